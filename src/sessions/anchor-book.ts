// The anchors that sessions in memory are tied to, and which sessions those are. An anchor that is not known yet counts as ended until it is.
// SPEC: ELV6, SIG4
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import type { AnchorView } from '../core/footing.ts'
import { type RecordRef, refName, tiesOf } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import { after, instant } from '../core/time.ts'
import type { LiveSession } from './live-session.ts'
import { ENDED_ANCHOR_KEPT } from './placement.ts'
import type { SessionStore } from './store.ts'
import { isForged } from './store-fault.ts'

/** Milliseconds until a store that failed is asked again. */
const ASK_AGAIN = 1_000

/** Anchors read again at once. */
const READ_AT_ONCE = 100

type Entry = { readonly ref: RecordRef; anchor: Anchor | null; known: boolean; readonly tied: Set<LiveSession> }

/** Versions begin anew when an anchor was forgotten. Before that, clocks of two gateways say nothing. */
const isNewer = (anchor: Anchor, known: Anchor): boolean => anchor.version > known.version || anchor.since >= after(known.since, ENDED_ANCHOR_KEPT)

const isFurther = ({ matter: known }: Anchor, { matter }: Anchor): boolean => known?.is === 'progress' && matter?.is === 'progress' && known.position > matter.position

export class AnchorBook implements AnchorView {
  readonly #store: SessionStore
  readonly #entries = new Map<string, Entry>()
  readonly #learned: (sessions: readonly LiveSession[]) => void

  /** @param learned these sessions are tied to an anchor that is known now */
  constructor(store: SessionStore, learned: (sessions: readonly LiveSession[]) => void) {
    this.#store = store
    this.#learned = learned
  }

  find(ref: AnchorRef): Anchor | null {
    const entry = this.#entries.get(refName(ref))
    if (entry?.known === true) return entry.anchor
    return { record: 'anchor', kind: ref.kind, name: ref.name, version: 0, state: 'ended', generation: instant(0), since: instant(0), note: 'unknown', matter: null }
  }

  /** As it is, asked from the store where it is not known here; null when it was never opened or ended. */
  async ask(ref: AnchorRef): Promise<Anchor | null> {
    const entry = this.#entries.get(refName(ref))
    if (entry?.known === true) return entry.anchor
    const record = await this.#store.load({ kind: ref.kind, name: ref.name })
    return record !== null && record.record === 'anchor' ? record : null
  }

  /** Takes an announced anchor over, or one that is assumed, which never takes an order back; returns the sessions tied to it. */
  take(anchor: Anchor, assumed = false): readonly LiveSession[] {
    const entry = this.#entries.get(refName({ kind: anchor.kind, name: anchor.name }))
    if (entry === undefined || (entry.anchor !== null && (assumed ? isFurther(entry.anchor, anchor) : !isNewer(anchor, entry.anchor)))) return []
    entry.anchor = anchor
    entry.known = true
    return [...entry.tied]
  }

  /** Those that something here stands on, as far as they are known. */
  *tied(): Iterable<Anchor> {
    for (const { anchor, known } of this.#entries.values()) if (known && anchor !== null) yield anchor
  }

  /** @returns null when all of them are known; else when those that were not were asked for, whether or not the store answered */
  tie(live: LiveSession, record: Session): Promise<unknown> | null {
    const asking: Promise<void>[] = []
    for (const ref of tiesOf(record)) {
      const entry = this.#entry(ref)
      entry.tied.add(live)
      if (!entry.known) asking.push(this.#learn(ref))
    }
    return asking.length === 0 ? null : Promise.all(asking)
  }

  /** Lets go of what `before` was tied to, save what the session is tied to still: an anchor that is known stays known. */
  untie(live: LiveSession, before: Session, now: Session | null): void {
    const kept = new Set(now === null ? [] : tiesOf(now).map(refName))
    for (const ref of tiesOf(before)) {
      const name = refName(ref)
      if (kept.has(name)) continue
      const entry = this.#entries.get(name)
      entry?.tied.delete(live)
      if (entry?.tied.size === 0) this.#entries.delete(name)
    }
  }

  /** Every anchor here with its version: 0 for one that was never opened, -1 for one that is not known yet. */
  all(): readonly { readonly ref: RecordRef; readonly version: number }[] {
    return [...this.#entries.values()].map(({ ref, anchor, known }) => ({ ref, version: known ? (anchor?.version ?? 0) : -1 }))
  }

  /** These may be another than is known: read again, as far as sessions here are tied to them. Until then they count as ended. */
  async readAgain(refs: readonly RecordRef[]): Promise<void> {
    const entries = refs.flatMap(ref => this.#entries.get(refName(ref)) ?? [])
    for (const entry of entries) entry.known = false
    for (let i = 0; i < entries.length; i += READ_AT_ONCE) await Promise.all(entries.slice(i, i + READ_AT_ONCE).map(({ ref }) => this.#know(ref)))
  }

  /** Asks for anchors before a session tied to them is taken in. */
  async knowAll(refs: readonly RecordRef[]): Promise<void> {
    for (const ref of refs) if (!this.#entry(ref).known) await this.#know(ref)
  }

  /** Forgets what was asked for a session that was not taken in after all. */
  forgetUntied(refs: readonly RecordRef[]): void {
    for (const ref of refs) if (this.#entries.get(refName(ref))?.tied.size === 0) this.#entries.delete(refName(ref))
  }

  #entry(ref: RecordRef): Entry {
    const name = refName(ref)
    const entry = this.#entries.get(name) ?? { ref, anchor: null, known: false, tied: new Set() }
    this.#entries.set(name, entry)
    return entry
  }

  /** Never rejects: a store that failed is asked again later. */
  #learn(ref: RecordRef): Promise<void> {
    return this.#know(ref).catch(() => void setTimeout(() => {
      if (this.#entries.get(refName(ref))?.known === false) void this.#learn(ref)
    }, ASK_AGAIN).unref())
  }

  /** One that nobody of ours wrote stays unknown, and so counts as ended. */
  async #know(ref: RecordRef): Promise<void> {
    const record = await this.#store.load(ref).catch((error: unknown) => { if (isForged(error)) return undefined; throw error })
    if (record === undefined) return
    const entry = this.#entries.get(refName(ref))
    if (entry === undefined || entry.known) return
    entry.anchor = record !== null && record.record === 'anchor' ? record : null
    entry.known = true
    if (entry.tied.size > 0) this.#learned([...entry.tied])
  }
}
