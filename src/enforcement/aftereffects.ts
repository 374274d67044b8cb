// The step of gather in which an allowed request leaves behind what its rule says: a taint, an earlier end, fewer scopes. All of it is committed, and enforced by
// every gateway, before the request's first byte goes upstream; in force already it costs a look. Never taken back: also a request that is refused after it has
// left it. SPEC: CND4, RULES 1
import { setTimeout as pause } from 'node:timers/promises'
import type { AnchorRef } from '../core/anchor.ts'
import type { Reason } from '../core/reason.ts'
import type { Aftereffect } from '../core/route.ts'
import { type Cap, cappedTo, type Session, type SessionKey } from '../core/session.ts'
import type { AnchorNews, SessionNews } from '../core/signal.ts'
import type { Scope } from '../core/scope.ts'
import { isNewTaint, type Taint } from '../core/taint.ts'
import { after, type Duration, duration, type Instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Applied } from '../sessions/doing.ts'
import type { Ledger } from '../sessions/ledger.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { Enforcement } from '../sessions/store.ts'
import type { Inquiry } from './exchange.ts'
import type { GatherStep } from './gather.ts'

type Word = { readonly by: string; readonly note: string; readonly id: null; readonly life?: Session['id'] }
/** What became of news, on all gateways. */
export type Outcome = Pick<Applied<unknown>, 'rejected' | 'assumed'> & { readonly enforcement: Enforcement | null }

/** Where news enters, answered when it is enforced. */
type Door = {
  session(key: SessionKey, news: SessionNews, word: Word): Promise<Outcome & Pick<Applied<Session>, 'record'>>
  anchor(ref: AnchorRef, news: AnchorNews, word: Word): Promise<Outcome>
}

type Ports = {
  readonly door: Door
  readonly clock: Clock
  readonly mirror: Mirror
  readonly ledger: Pick<Ledger, 'owed'>
  /** How long news may be on its way to a gateway that still acts without it; 0 where there is one alone. */
  readonly lease: Duration
}

/** The taint goes first: what fails behind it leaves the safe part. */
const EFFECTS = ['taint', 'shorten', 'narrow'] as const
type Effect = (typeof EFFECTS)[number]
type Leaving = { readonly after: Aftereffect; readonly live: LiveSession; readonly rule: string; readonly exchange: string }

/** A taint that runs out is given so much more of its time, and so much at least, so that not every request has to give it again. */
const MORE = 1 / 16
const MORE_LEAST = 5_000
const withMore = (span: Duration): Duration => duration(Math.ceil(span + Math.max(span * MORE, MORE_LEAST)))

/** What clocks of two machines may be off by, in milliseconds. */
const APART = 100
/** Exchanges whose taints are known to be in force on every gateway. */
const SURE_MAX = 4_096

export const isWithin = (cap: Cap, to: Scope | null): boolean => (to === null ? cap.is === 'baseline' : cappedTo(cap)?.every(scope => to.includes(scope)) === true)

/** Kept with the principal rather than in the session; null for every other effect. */
const principalTaint = (effect: Effect, { after: { taint } }: Leaving): NonNullable<Aftereffect['taint']> | null => (effect === 'taint' && taint?.of === 'principal' ? taint : null)

export class Aftereffects {
  readonly #ports: Ports
  /** By effect and whose it is: others that need it as well wait for it. */
  readonly #underway = new Map<string, Promise<Reason | null>>()
  readonly #sure = new BoundedMap<string, true>(SURE_MAX)

  constructor(ports: Ports) {
    this.#ports = ports
  }

  get step(): GatherStep {
    return {
      name: 'after', failure: 'store_failed',
      needed: ({ inquiry, done }) => {
        const leaving = leavingOf(inquiry)
        return leaving !== null && EFFECTS.some(effect => this.#lacks(effect, leaving) || (!done.has('after') && (this.#mayLack(effect, leaving) || this.#spreads(effect, leaving) > 0)))
      },
      run: ({ inquiry }) => this.#leave(leavingOf(inquiry)),
      undo: () => undefined,
    }
  }

  async #leave(leaving: Leaving | null): Promise<Reason | 'again'> {
    if (leaving === null) return 'again'
    for (const effect of EFFECTS) {
      const reason = await this.#inTurn(effect, leaving)
      if (reason !== null) return reason
    }
    const wait = this.#spreads('taint', leaving)
    if (wait > 0) await pause(wait)
    return 'again'
  }

  /** One of its kind at a time: whoever comes later waits until it is enforced, and mostly finds nothing left to do. */
  #inTurn(effect: Effect, leaving: Leaving): Promise<Reason | null> {
    const name = nameOf(effect, leaving)
    if (!this.#lacks(effect, leaving) && !this.#mayLack(effect, leaving)) return NOTHING
    const before = this.#underway.get(name)?.catch(() => null) ?? NOTHING
    const told = before.then(() => (this.#lacks(effect, leaving) || this.#isOwed(effect, leaving) ? this.#tell(effect, leaving) : null))
    this.#underway.set(name, told)
    return told.finally(() => { if (this.#underway.get(name) === told) this.#underway.delete(name) })
  }

  /** Compared with what the store has: what is only in force here is on no other gateway. */
  #lacks(effect: Effect, leaving: Leaving): boolean {
    const { clock, mirror } = this.#ports
    const taint = principalTaint(effect, leaving)
    if (taint === null) return lacking(effect, leaving, leaving.live.stored, clock.now())
    const trusted = mirror.trusted(leaving.live.principal)
    return trusted === 'unknown' || isNewTaint(trusted.taints, taintOf(taint, leaving, clock.now()), clock.now())
  }

  /** Another gateway told of it just now: how long it may not have reached every one, in milliseconds. */
  #spreads(effect: Effect, leaving: Leaving): number {
    const { clock, mirror, lease } = this.#ports
    const wanted = leaving.after.taint
    if (lease === 0 || effect !== 'taint' || wanted === null) return 0
    const trusted = wanted.of === 'principal' ? mirror.trusted(leaving.live.principal) : leaving.live.stored
    const held = trusted === 'unknown' ? undefined : trusted.taints.find(({ name }) => name === wanted.name)
    if (held === undefined || this.#sure.has(held.exchange)) return 0
    return Math.max(0, held.since + lease + APART - clock.now())
  }

  /** It is in force here, and perhaps nowhere else yet. */
  #mayLack(effect: Effect, leaving: Leaving): boolean { return this.#isOwed(effect, leaving) || this.#underway.has(nameOf(effect, leaving)) }

  /** What is known of a principal does not tell whether the store has it. */
  #isOwed(effect: Effect, leaving: Leaving): boolean { return principalTaint(effect, leaving) !== null && this.#ports.ledger.owed > 0 }

  async #tell(effect: Effect, leaving: Leaving): Promise<Reason | null> {
    const { live: { record, principal }, rule } = leaving
    const word: Word = { by: 'aftereffect', note: rule, id: null }
    const now = this.#ports.clock.now()
    const taint = principalTaint(effect, leaving)
    if (taint !== null) return isEverywhere(await this.#ports.door.anchor(principal, { kind: 'principal.tainted', taint: taintOf(taint, leaving, now, MORE) }, word)) ? this.#known(leaving) : 'store_failed'
    const news = newsOf(effect, leaving, now)
    if (news === null) return null
    const outcome = await this.#ports.door.session(record.key, news, { ...word, life: record.id })
    if (!isEverywhere(outcome)) return 'store_failed'
    return outcome.rejected !== null || outcome.record?.id !== record.id || outcome.record.state.is !== 'live' ? 'session_ended' : this.#known(leaving)
  }

  #known({ exchange }: Leaving): null {
    this.#sure.set(exchange, true)
    return null
  }
}

const NOTHING: Promise<null> = Promise.resolve(null)

export const isEverywhere = ({ assumed, enforcement }: Outcome): boolean =>
  assumed === null && (enforcement === null || enforcement.gateways.acknowledged + enforcement.gateways.expired >= enforcement.gateways.total)

function leavingOf({ live, place: { rule }, id }: Inquiry): Leaving | null {
  return live === null || rule === null || rule.after === null ? null : { after: rule.after, live, rule: rule.name, exchange: id }
}

const nameOf = (effect: Effect, leaving: Leaving): string => `${effect}/${principalTaint(effect, leaving) === null ? leaving.live.record.id : leaving.live.principal.name}`

/** @param more part of its time on top */
const taintOf = ({ name, for: span }: NonNullable<Aftereffect['taint']>, { rule, exchange }: Leaving, now: Instant, more = 0): Taint =>
  ({ name, since: now, until: span === null ? null : after(now, more > 0 ? withMore(span) : span), rule, exchange })

/** Would it change anything of the session? */
function lacking(effect: Effect, leaving: Leaving, { taints, endsAt, cap }: Session, now: Instant): boolean {
  const { shorten, taint, narrow } = leaving.after
  switch (effect) {
    case 'taint': return taint?.of === 'session' && isNewTaint(taints, taintOf(taint, leaving, now), now)
    case 'shorten': return shorten !== null && after(now, shorten) < endsAt
    case 'narrow': return narrow !== null && !isWithin(cap, narrow.to)
  }
}

function newsOf(effect: Effect, leaving: Leaving, now: Instant): SessionNews | null {
  const { shorten, taint, narrow } = leaving.after
  switch (effect) {
    case 'taint': return taint === null ? null : { kind: 'session.tainted', taint: taintOf(taint, leaving, now, MORE) }
    case 'shorten': return shorten === null ? null : { kind: 'session.shortened', endsAt: after(now, shorten) }
    case 'narrow': return narrow === null ? null : { kind: 'session.narrowed', to: narrow.to ?? 'baseline', elevations: [] }
  }
}
