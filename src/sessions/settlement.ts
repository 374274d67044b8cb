// What follows from news, written behind it: elevations whose footing is gone, those that waited and may start now, sessions whose parent has ended. The judge
// refuses all of it already; this is for the record, and what is not settled is left to the next touch. SPEC: SIG4, ELV6, ELV10, SES21
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import { type Elevation, isOver } from '../core/elevation.ts'
import { endedBy, footingOf, type Holder } from '../core/footing.ts'
import type { Policy } from '../core/policy.ts'
import type { EndReason } from '../core/reason.ts'
import { type RecordRef, refName, sessionRef, tiesOf } from '../core/record.ts'
import type { Session, SessionKey } from '../core/session.ts'
import type { SessionNews, SessionSignal, Signal } from '../core/signal.ts'
import { FOREVER, type Instant, instant, later } from '../core/time.ts'
import { newSignalId } from '../runtime/id.ts'
import { type Applied, sessionIn } from './doing.ts'
import { depthOf, parentOf } from './kin-book.ts'
import { restsUntil } from './principal-anchor.ts'
import type { SessionStore } from './store.ts'

const SETTLED_AT_ONCE = 10_000

type Ports = {
  /** Writes news of a session. */
  readonly apply: (key: SessionKey, signal: SessionSignal) => Promise<Applied<Session>>
  /** Settles everything that was decided about a session. */
  readonly settle: (session: Session) => Promise<void>
  readonly policy: () => Policy
  readonly now: () => Instant
  /** Claims of its newest credential where one was seen here. */
  readonly claimsOf: (session: Session) => Holder['claims']
  /** Why one that waited must not start although its footing holds: whoever approved it may not do so any more. Null where nothing speaks against it. */
  readonly objection: (session: Session, elevation: Elevation) => Promise<EndReason | null>
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

  /** Every session tied to an anchor of which there is news. */
  ofAnchor(ref: AnchorRef, signal: Signal): void {
    this.behind(this.#each(this.#store.tiedTo(ref, SETTLED_AT_ONCE), session => this.#ofElevations(session, signal.id)))
  }

  /** Every session delegated from one that is over ends with it, and so does what was delegated from those. */
  ofEnded(session: Session | null, signal: Signal): void {
    if (session === null || session.state.is === 'live') return
    const children = this.#store.find({ kind: 'parent', value: session.id }, SETTLED_AT_ONCE)
    this.behind(this.#each(children, child => (parentOf(child)?.id === session.id ? this.#endChild(child, `${signal.id}.${child.id}` as Signal['id']) : null))) // one id on every gateway
  }

  /** What its anchors and those above it decided while nobody looked. */
  async ofSession(session: Session): Promise<void> {
    await this.#ofElevations(session, 'anchor')
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

  /** Those whose footing is gone end, those that waited start or wait on. */
  async #ofElevations(session: Session, because: string): Promise<void> {
    if (session.state.is !== 'live' || session.elevations.every(isOver)) return
    const anchors = await this.#anchorsOf(session)
    const holder: Holder = { principal: session.principal, claims: this.#ports.claimsOf(session), changed: session.overlay.length > 0 }
    const now = this.#ports.now()
    for (const elevation of session.elevations) {
      if (isOver(elevation)) continue
      const footing = footingOf(elevation, this.#ports.policy(), { find: ref => anchors.get(refName(ref)) ?? null }, holder, now)
      const reason = endedBy(elevation, footing)
      const news: SessionNews | null = reason === null ? await this.#onWaiting(session, elevation, footing.waits, now) : { kind: 'elevation.ended', elevation: elevation.id, reason, because }
      if (news !== null) await this.#ports.apply(session.key, { ...news, id: newSignalId(), by: 'ledger', note: footing.schedules.join(' ') })
    }
  }

  /** What becomes of one that waits for its start. */
  async #onWaiting(session: Session, elevation: Elevation, waits: Instant | null, now: Instant): Promise<SessionNews | null> {
    const { id, state } = elevation
    if (state.is !== 'scheduled' || waits === FOREVER) return null
    const startsAt = later(later(elevation.startsAt ?? now, waits ?? now), await this.#rest(session, elevation))
    if (startsAt > now) return startsAt === state.startsAt ? null : { kind: 'elevation.deferred', elevation: id, startsAt }
    const objection = await this.#ports.objection(session, elevation)
    if (objection !== null) return { kind: 'elevation.ended', elevation: id, reason: objection, because: 'approval' }
    return state.startsAt > now ? { kind: 'elevation.deferred', elevation: id, startsAt: now } : { kind: 'elevation.started', elevation: id }
  }

  /** Until when its principal's pause keeps it waiting: what was asked for ahead of an end goes round no pause. */
  async #rest({ principal, elevations }: Session, { profile }: Elevation): Promise<Instant> {
    const rules = this.#ports.policy().profiles.get(profile)
    return rules === undefined ? instant(0) : restsUntil(rules, principal, elevations, ref => this.#anchor(ref))
  }

  async #anchor(ref: RecordRef): Promise<Anchor | null> {
    const record = await this.#store.load(ref)
    return record?.record === 'anchor' ? record : null
  }

  async #anchorsOf(session: Session): Promise<Map<string, Anchor>> {
    const found = await Promise.all(tiesOf(session).map(async ref => [refName(ref), await this.#anchor(ref)] as const))
    return new Map(found.flatMap(([name, anchor]) => (anchor === null ? [] : [[name, anchor] as const])))
  }
}
