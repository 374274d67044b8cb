// What follows from an end, written behind it: elevations whose shared condition has ended, sessions whose parent has. The judge refuses all of it
// already; this is for the record, and what is not settled is left to the next touch. SPEC: SIG4, ELV6, SES21
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import { tieBroken } from '../core/effective.ts'
import { isOver } from '../core/elevation.ts'
import { type RecordRef, refName, sessionRef, tiesOf } from '../core/record.ts'
import type { Session, SessionKey } from '../core/session.ts'
import type { SessionSignal, Signal } from '../core/signal.ts'
import { newSignalId } from '../runtime/id.ts'
import { type Applied, sessionIn } from './doing.ts'
import { depthOf, parentOf } from './kin-book.ts'
import type { SessionStore } from './store.ts'

const SETTLED_AT_ONCE = 10_000

type Ports = {
  /** Writes news of a session. */
  readonly apply: (key: SessionKey, signal: SessionSignal) => Promise<Applied<Session>>
  /** Settles everything that was decided about a session. */
  readonly settle: (session: Session) => Promise<void>
}

export class Settlement {
  readonly #store: SessionStore
  readonly #ports: Ports
  /** On their way; a shutdown waits for them. */
  readonly #settling = new Set<Promise<void>>()
  #stopping = false

  constructor(store: SessionStore, ports: Ports) {
    this.#store = store
    this.#ports = ports
  }

  /** Work that nobody waits for but a shutdown. */
  behind(work: Promise<unknown>): void {
    const tracked = work.then(() => undefined, () => undefined).finally(() => this.#settling.delete(tracked))
    this.#settling.add(tracked)
  }

  /** Resolves when nothing is left to settle. */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.allSettled(this.#settling)
  }

  stop(): void {
    this.#stopping = true
  }

  /** Every session tied to an anchor that ended gets its `elevation.ended`. */
  ofAnchor(ref: AnchorRef, signal: Signal): void {
    this.behind(this.#each(this.#store.tiedTo(ref, SETTLED_AT_ONCE), session => this.#endBroken(session, signal.id)))
  }

  /** Every session delegated from one that is over ends with it, and so does what was delegated from those. */
  ofEnded(session: Session | null, signal: Signal): void {
    if (session === null || session.state.is === 'live') return
    const children = this.#store.find({ kind: 'parent', value: session.id }, SETTLED_AT_ONCE)
    this.behind(this.#each(children, child => (parentOf(child)?.id === session.id ? this.#endChild(child, `${signal.id}.${child.id}` as Signal['id']) : null))) // one id on every gateway
  }

  /** What its anchors and those above it decided while nobody looked. */
  async ofSession(session: Session): Promise<void> {
    await this.#endBroken(session, 'anchor')
    const parent = parentOf(session)
    if (parent === null || session.state.is !== 'live') return
    const above = sessionIn(await this.#store.load(sessionRef(parent.key)))
    if (above === null) return // it may have been lost, and come back
    if (above.id !== parent.id || above.state.is !== 'live') await this.#endChild(session, `sig_parent_${session.id}` as Signal['id']) // likewise
    else if (depthOf(above) < parent.depth) await this.#ports.settle(above) // if that ends it, this one follows
  }

  async #each(found: Promise<readonly RecordRef[]>, settle: (session: Session) => Promise<unknown> | null): Promise<void> {
    for (const { name } of await found) {
      if (this.#stopping) return
      const session = sessionIn(await this.#store.load({ kind: 'session', name }))
      if (session !== null) await settle(session)
    }
  }

  #endChild(child: Session, id: Signal['id']): Promise<unknown> {
    return this.#ports.apply(child.key, { kind: 'session.terminated', reason: 'parent_ended', life: child.id, id, by: 'ledger', note: '' })
  }

  /** The judge refuses them already. */
  async #endBroken(session: Session, because: string): Promise<void> {
    for (const elevation of session.elevations) {
      if (isOver(elevation)) continue
      const anchors = await this.#anchorsOf(session)
      const reason = tieBroken(elevation, { find: ref => anchors.get(refName(ref)) ?? null })
      if (reason !== null) await this.#ports.apply(session.key, { kind: 'elevation.ended', elevation: elevation.id, reason, because, id: newSignalId(), by: 'ledger', note: '' })
    }
  }

  async #anchorsOf(session: Session): Promise<Map<string, Anchor>> {
    const found = await Promise.all(tiesOf(session).map(async ref => [refName(ref), await this.#store.load(ref)] as const))
    return new Map(found.flatMap(([name, record]) => (record?.record === 'anchor' ? [[name, record] as const] : [])))
  }
}
