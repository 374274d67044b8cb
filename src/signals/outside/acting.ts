// Does what follows from news, for every session that is meant: each time the same, so that whoever does it again does nothing. News that is older than what
// was heard already does nothing; what means too many ends none, and holds them until somebody looks. SPEC: OUT2-OUT4, OUT8
import { cutOffFor, type Matter, type Selector } from '../../core/anchor.ts'
import { cutOffSubjects, isMeant, type OutsideEvent, type OutsideOutcome, revokedUpTo, type Subject } from '../../core/outside.ts'
import { identityOf } from '../../core/principal.ts'
import type { Session, SessionId } from '../../core/session.ts'
import { after, duration, type Instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import { principalAnchor } from '../../sessions/principal-anchor.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Scores } from '../scores.ts'
import { deedsOf } from './deeds.ts'
import { type Found, type LookPorts, meantBy } from './meant.ts'
import { orderRef } from './names.ts'
import { inSlices } from './slices.ts'
import { type WritePorts, Writes } from './writes.ts'

export type ActPorts = LookPorts & WritePorts & {
  readonly store: Pick<SessionStore, 'find' | 'load' | 'enforced'>
  readonly mirror: Pick<Mirror, 'known' | 'policy' | 'all' | 'locks'>
  readonly clock: Pick<Clock, 'now'>
  readonly risk: Scores
  /** A limit was met. */
  readonly full: () => void
}

export type Deeds = { readonly outcome: OutsideOutcome; readonly met: number; readonly writes: Writes }

/** A lock on credentials outlives every session that one of them could open by so much. */
const LOCK_SLACK = 86_400_000
/** With so many locks none is set for somebody who has no session: whoever revokes the invented fills no memory. */
const LOCKS_MAX = 100_000
/** Sessions may open while those that are there are acted on. */
const LOOKS = 3

type Withheld = Extract<Found, { is: 'tooMany' }>

export class Acting {
  readonly #ports: ActPorts

  constructor(ports: ActPorts) {
    this.#ports = ports
  }

  /** @param met who was met when it was done before. @throws where the store fails: then it is to be done again */
  async act(event: OutsideEvent, met: Set<SessionId>): Promise<Deeds> {
    const writes = new Writes(this.#ports, event)
    if (event.effects.length === 0) return { outcome: 'ignored', met: 0, writes }
    if (await this.#isLate(event, writes)) return { outcome: 'late', met: 0, writes }
    const first = await meantBy(this.#ports, event)
    if (first.is === 'tooMany') return this.#hold(first, event, writes)
    const [withheld] = await Promise.all([this.#each(first.sessions, event, writes, met), this.#mayCutOff(first.sessions) ? this.#cutOff(event, writes) : this.#ports.full()])
    return withheld ?? { outcome: met.size === 0 ? 'nobody' : 'acted', met: met.size, writes }
  }

  /** No store takes it: what is known here is acted on from memory, and owed. @returns how many are met */
  async here(event: OutsideEvent): Promise<number> {
    const writes = new Writes(this.#ports, event, 'owed')
    const sessions = [...this.#ports.mirror.all()].map(({ record }) => record).filter(session => session.state.is === 'live' && isMeant(session, event.subject))
    if (sessions.length > event.most) await this.#hold({ is: 'tooMany', count: sessions.length, under: [], sessions }, event, writes)
    else await Promise.all([inSlices(sessions, session => this.#meet(session, event, writes)), this.#cutOff(event, writes)])
    return sessions.length
  }

  /** Of its order something newer was heard. The same again is this very event, or as good as it. */
  async #isLate({ source, issuer, jti, order, at }: OutsideEvent, writes: Writes): Promise<boolean> {
    if (order === null) return false
    const matter: Matter = { is: 'order', at }
    const { record } = await writes.anchor(orderRef({ source, issuer, jti }, order), 'order', { kind: 'anchor.told', matter })
    return record?.matter?.is === 'order' && record.matter.at > at
  }

  /** Until nobody is found any more who was not met. */
  async #each(first: readonly Session[], event: OutsideEvent, writes: Writes, met: Set<SessionId>): Promise<Deeds | null> {
    let fresh = first
    for (let look = 1; fresh.length > 0; look++) {
      for (const { id } of fresh) met.add(id)
      await inSlices(fresh, session => this.#meet(session, event, writes))
      if (look >= LOOKS) break
      const found = await meantBy(this.#ports, event)
      if (found.is === 'tooMany') return this.#hold(found, event, writes)
      fresh = found.sessions.filter(({ id }) => !met.has(id))
    }
    return null
  }

  /** A life that was over already is another one now, which the next look finds. */
  async #meet(session: Session, event: OutsideEvent, writes: Writes): Promise<void> {
    const { clock, mirror, risk } = this.#ports
    const terms = { now: clock.now(), frozenFor: mirror.policy.sessions.frozenFor }
    for (const [nth, effect] of event.effects.entries()) {
      for (const { part, news } of deedsOf(effect, nth, session, event, terms)) if (!(await writes.session(session, part, news))) return
      if (effect.do === 'terminate') await this.#cutOffOf(session, event, writes)
      if (effect.do === 'risk') risk.told(principalAnchor(session.principal), identityOf(session.principal), effect.name, effect.points)
    }
  }

  // ---- credentials, whether or not they were seen here

  #mayCutOff(met: readonly Session[]): boolean { return met.length > 0 || this.#ports.mirror.locks.size < LOCKS_MAX }

  async #cutOff(event: OutsideEvent, writes: Writes): Promise<void> {
    if (!event.effects.some(effect => effect.do === 'terminate')) return
    const before = revokedUpTo(event)
    const until = this.#cutOffUntil(event)
    const selectors = [...cutOffSubjects(event.subject).map(subject => cutOffFor({ before, subject })), ...credentialsIn(event.subject)]
    await inSlices(selectors, selector => writes.lock(selector, 'revoked', { effect: 'deny', reason: 'revoked_outside', until }))
  }

  /** A user that is named alone, by whatever others call it: here it is known who that is, and its earlier credentials go though its session may have a newer one. */
  async #cutOffOf({ principal }: Session, event: OutsideEvent, writes: Writes): Promise<void> {
    const [named, more] = event.subject
    const subject = identityOf(principal)
    if (named?.of !== 'user' || more !== undefined || cutOffSubjects(event.subject).includes(subject)) return
    await writes.lock(cutOffFor({ before: revokedUpTo(event), subject }), 'revoked', { effect: 'deny', reason: 'revoked_outside', until: this.#cutOffUntil(event) })
  }

  #cutOffUntil({ takenAt }: OutsideEvent): Instant { return after(takenAt, duration(this.#ports.mirror.policy.sessions.max + LOCK_SLACK)) }

  // ---- too many

  /** One lock where nobody else is under it, else each of them. What takes nothing away holds nobody. */
  async #hold({ under, sessions, count }: Withheld, event: OutsideEvent, writes: Writes): Promise<Deeds> {
    if (!event.effects.every(effect => effect.do === 'risk' || effect.do === 'notify')) {
      await inSlices(under, selector => writes.lock(selector, 'withheld', { effect: 'freeze', reason: 'frozen', until: null }))
      await inSlices(sessions, session => writes.session(session, 'withheld', { kind: 'session.frozen', until: null }))
    }
    return { outcome: 'withheld', met: count, writes }
  }
}

const credentialsIn = (subject: Subject): readonly Selector[] => subject.flatMap(({ of, any }) => (of === 'credential' ? any : []))
