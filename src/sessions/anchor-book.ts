// The anchors that sessions in memory are tied to, and which sessions those are. An anchor that is not known yet counts as ended until it is.
// SPEC: ELV6, SIG4
import type { Anchor, AnchorRef, Matter } from '../core/anchor.ts'
import type { AnchorView } from '../core/footing.ts'
import { type RecordRef, refName, tiesOf } from '../core/record.ts'
import type { Policy } from '../core/policy.ts'
import type { Session } from '../core/session.ts'
import type { Trusted } from '../core/effective.ts'
import { type LevelMark, NO_STANDING } from '../core/risk.ts'
import { isHeard } from '../core/silence.ts'
import { after, instant } from '../core/time.ts'
import type { LiveSession } from './live-session.ts'
import { ENDED_ANCHOR_KEPT } from './placement.ts'
import { principalAnchor } from './principal-anchor.ts'
import type { SessionStore } from './store.ts'
import { isForged } from './store-fault.ts'

/** Milliseconds until a store that failed is asked again. */
const ASK_AGAIN = 1_000

/** Anchors read again at once. */
const READ_AT_ONCE = 100

/** `foreseen`: a level that is about to be told. `view`: the anchor with it. */
type Entry = { readonly ref: RecordRef; anchor: Anchor | null; known: boolean; readonly tied: Set<LiveSession>; foreseen: LevelMark | null; view: Anchor | null }

/** Versions begin anew when an anchor was forgotten. Before that, clocks of two gateways say nothing. */
const isNewer = (anchor: Anchor, known: Anchor): boolean => anchor.version > known.version || anchor.since >= after(known.since, ENDED_ANCHOR_KEPT)

const isFurther = ({ matter: known }: Anchor, { matter }: Anchor): boolean => known?.is === 'progress' && matter?.is === 'progress' && known.position > matter.position

/** Every anchor a session is judged by: those it is tied to, and its principal's, which its next life under the same key is judged by from its first request on. */
export const anchorsOf = (session: Session): readonly RecordRef[] => [...tiesOf(session), principalAnchor(session.principal)]

/** With a level that nothing announced has reached yet; null where it says nothing more. */
function withLevel(anchor: Anchor | null, name: string, level: LevelMark): Anchor | null {
  const held = anchor?.matter?.is === 'principal' ? anchor.matter : null
  const standing = held ?? NO_STANDING
  if ((standing.level !== null && standing.level.at >= level.at) || level.since <= standing.clearedAt) return null
  const matter: Matter = { is: 'principal', cooling: held?.cooling ?? {}, ...standing, level, reached: [{ at: level.at, when: level.since }, ...standing.reached] }
  return anchor === null ? { record: 'anchor', kind: 'principal', name, version: 0, state: 'open', generation: instant(0), since: level.since, note: '', matter } : { ...anchor, matter }
}

/** What is announced takes the place of what was foreseen as soon as it says as much. */
function see(entry: Entry): void {
  const view = entry.foreseen === null ? null : withLevel(entry.anchor, entry.ref.name, entry.foreseen)
  if (view === null) entry.foreseen = null
  entry.view = view ?? entry.anchor
}

export class AnchorBook implements AnchorView {
  readonly #store: SessionStore
  readonly #entries = new Map<string, Entry>()
  #streams: Policy['streams'] = []
  /** Names of what the policy asks about, whether or not a session is tied to it. */
  #standing: ReadonlySet<string> = new Set()
  readonly #learned: (sessions: readonly LiveSession[]) => void

  /** @param learned these sessions are tied to an anchor that is known now */
  constructor(store: SessionStore, learned: (sessions: readonly LiveSession[]) => void) {
    this.#store = store
    this.#learned = learned
  }

  find(ref: AnchorRef): Anchor | null {
    const entry = this.#entries.get(refName(ref))
    if (entry?.known === true) return entry.view
    return { record: 'anchor', kind: ref.kind, name: ref.name, version: 0, state: 'ended', generation: instant(0), since: instant(0), note: 'unknown', matter: null }
  }

  /** As it was told; null where it is not known, or was never opened or ended. */
  known(ref: AnchorRef): Anchor | null {
    const entry = this.#entries.get(refName(ref))
    return entry?.known === true ? entry.anchor : null
  }

  isKnown(ref: AnchorRef): boolean { return this.#entries.get(refName(ref))?.known === true }

  /** How many live sessions here stand on it. */
  countTied(ref: AnchorRef): number { return this.#entries.get(refName(ref))?.tied.size ?? 0 }

  /** What is kept of the principal of a session that is tied here. */
  trusted(principal: AnchorRef): Trusted {
    const entry = this.#entries.get(refName(principal))
    if (entry?.known !== true) return 'unknown'
    return entry.view?.matter?.is === 'principal' ? entry.view.matter : NO_STANDING
  }

  /** As it is, asked from the store where it is not known here; null when it was never opened or ended. */
  async ask(ref: AnchorRef): Promise<Anchor | null> {
    const entry = this.#entries.get(refName(ref))
    if (entry?.known === true) return entry.view
    const record = await this.#store.load({ kind: ref.kind, name: ref.name })
    return record !== null && record.record === 'anchor' ? record : null
  }

  /** A level of a principal that is about to be told is in force here until it is; returns the sessions tied to it. */
  foresee(ref: AnchorRef, level: LevelMark): readonly LiveSession[] {
    const entry = this.#entries.get(refName(ref))
    if (entry === undefined || !entry.known) return []
    entry.foreseen = level
    see(entry)
    return [...entry.tied]
  }

  /** Takes an announced anchor over, or one that is assumed, which never takes an order back; returns the sessions tied to it. */
  take(anchor: Anchor, assumed = false): readonly LiveSession[] {
    const entry = this.#entries.get(refName({ kind: anchor.kind, name: anchor.name }))
    if (entry === undefined || (entry.anchor !== null && (assumed ? isFurther(entry.anchor, anchor) : !isNewer(anchor, entry.anchor)))) return []
    const before = entry.known ? entry.anchor : null
    entry.anchor = anchor
    entry.known = true
    see(entry)
    return anchor.kind === 'stream' ? this.#whomItHolds(before, anchor) : [...entry.tied]
  }

  /** Nobody where it was heard of all the time. */
  #whomItHolds(before: Anchor | null, { name, matter: now }: Anchor): readonly LiveSession[] {
    const rules = this.#streams.find(stream => stream.name === name)
    const was = before?.matter?.is === 'stream' ? before.matter : null
    if (rules === undefined || now?.is !== 'stream' || (now.status === 'enabled' && isHeard(was, rules, now.heardAt))) return []
    return this.#everyone()
  }

  /** Every session is tied to its principal. */
  #everyone(): readonly LiveSession[] { return [...new Set([...this.#entries.values()].flatMap(({ ref: { kind }, tied }) => (kind === 'principal' ? [...tied] : [])))] }

  /** Those that something here stands on, as far as they are known. */
  *tied(): Iterable<Anchor> {
    for (const { anchor, known } of this.#entries.values()) if (known && anchor !== null) yield anchor
  }

  /** @returns null when all of them are known; else when those that were not were asked for, whether or not the store answered */
  tie(live: LiveSession, record: Session): Promise<unknown> | null {
    const asking: Promise<void>[] = []
    for (const ref of anchorsOf(record)) {
      const entry = this.#entry(ref)
      entry.tied.add(live)
      if (!entry.known) asking.push(this.#learn(ref))
    }
    return asking.length === 0 ? null : Promise.all(asking)
  }

  /** Lets go of what `before` was tied to, save what the session is tied to still: an anchor that is known stays known. */
  untie(live: LiveSession, before: Session, now: Session | null): void {
    const kept = new Set(now === null ? [] : anchorsOf(now).map(refName))
    for (const ref of anchorsOf(before)) {
      const name = refName(ref)
      if (kept.has(name)) continue
      const entry = this.#entries.get(name)
      entry?.tied.delete(live)
      if (entry !== undefined && this.#isIdle(entry)) this.#entries.delete(name)
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

  /** An operator's word on a window, whether a stream was heard of, and which definitions of tools count: for whoever asks, also where no session is tied to them. Never rejects. */
  keepStanding({ windows, streams, routes }: Pick<Policy, 'windows' | 'streams' | 'routes'>): Promise<unknown> {
    this.#streams = streams
    const pinned = routes.filter(({ mcp }) => mcp !== null && mcp.onChange !== 'off')
    const refs = [...[...windows.keys()].map(name => ({ kind: 'window', name }) as const), ...streams.map(({ name }) => ({ kind: 'stream', name }) as const), ...pinned.map(({ name }) => ({ kind: 'tools', name }) as const)]
    this.#standing = new Set(refs.map(refName))
    return Promise.all(refs.map(ref => this.#entry(ref)).filter(({ known }) => !known).map(({ ref }) => this.#learn(ref)))
  }

  #isIdle({ ref, tied }: Entry): boolean { return tied.size === 0 && !this.#standing.has(refName(ref)) }

  /** Asks for anchors before a session tied to them is taken in. */
  async knowAll(refs: readonly RecordRef[]): Promise<void> {
    for (const ref of refs) if (!this.#entry(ref).known) await this.#know(ref)
  }

  /** Forgets what was asked for a session that was not taken in after all. */
  forgetUntied(refs: readonly RecordRef[]): void {
    for (const ref of refs) {
      const entry = this.#entries.get(refName(ref))
      if (entry !== undefined && this.#isIdle(entry)) this.#entries.delete(refName(ref))
    }
  }

  #entry(ref: RecordRef): Entry {
    const name = refName(ref)
    const entry = this.#entries.get(name) ?? { ref, anchor: null, known: false, tied: new Set(), foreseen: null, view: null }
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
    see(entry)
    const whom = ref.kind === 'stream' ? this.#everyone() : [...entry.tied]
    if (whom.length > 0) this.#learned(whom)
  }
}
