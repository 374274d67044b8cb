// One thing that is open: who holds it, the Permit it stands on, and the gate its bytes pass. Four verbs reach the wire through its channel.
// SPEC: ENF1-ENF4
import type { Counted } from '../audit/record.ts'
import type { Tape } from '../audit/recording.ts'
import type { Case } from '../core/checks/check.ts'
import type { Permit } from '../core/decision.ts'
import type { Evaluation } from '../core/evaluation.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Policy } from '../core/policy.ts'
import type { Claims } from '../core/principal.ts'
import type { Reason } from '../core/reason.ts'
import { placeOf, type Place, routeOf } from '../core/route.ts'
import type { Risked } from '../core/risk.ts'
import type { Scope } from '../core/scope.ts'
import { type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { RunningDigest } from '../runtime/running-digest.ts'
import type { Holder, LiveSession } from '../sessions/live-session.ts'
import type { Mirror } from '../sessions/mirror.ts'
import { Hearing } from './external/hearing.ts'

/** What a protocol does to its sockets when told to. None of them waits; none of them throws. */
export interface Channel {
  /** Status of the response head that went to the caller, 0 before. */
  readonly status: number
  /** Stops relaying in both directions and keeps both connections. */
  freeze(): void
  /** Relays on from the very byte at which it stopped. */
  resume(): void
  /** Ends it now: queued output dropped, upstream aborted, nothing more handed to any socket. */
  cut(reason: Reason): void
  /** Housekeeping, a few times a second. */
  tick(now: Instant): void
}

/** `request` until the response head is on its way, then what it turned out to be; `task` for work of a server that goes on behind its answer. */
type ExchangeKind = 'request' | 'download' | 'upload' | 'sse' | 'websocket' | 'task'

/** The proof of freshness and the clocks every gate asks, and whether what proved a credential is still in the configuration. */
export type GateKeeper = {
  readonly clock: Clock
  readonly mirror: Mirror
  readonly confirmedUntil: () => number
  readonly vouchesFor: (evidence: Evidence) => boolean
}

/** What an exchange took of the limits of the elevation that carries it, before it was admitted and on its way. */
export interface Allowance {
  readonly counted: Counted
  carries(exchange: Exchange): void
  /** As `Exchange.pays`. */
  pays(bytes: number): boolean
  /** It is dispatched now. */
  used(): void
  /** Nothing of it was dispatched. */
  back(): void
  /** It has ended, or is carried by something else. */
  close(): void
}

/** Counts bytes of bodies as they pass, either way. */
export interface Meter {
  passed(bytes: number): void
}

export class Exchange {
  readonly id: string
  readonly live: LiveSession | null
  readonly holder: Holder
  readonly evaluation: Evaluation
  readonly claims: Claims
  readonly openedAt: Instant
  readonly channel: Channel
  /** What its principal's score was when it came. */
  readonly risk: Risked
  readonly #keeper: GateKeeper
  /** null where nothing of it is limited. */
  allowance: Allowance | null = null
  /** Stays with it when something else carries it. */
  counted: Counted | null = null
  place: Place
  policy: Policy
  permit: Permit
  stamp: number
  until: number
  /** Moved by whoever asks about its credential again. */
  vouchedUntil: Instant
  /** What was said of it outside; null where nobody was asked. */
  external: Hearing | null
  /** Of the rates it counts for; null where none counts bytes. */
  meter: Meter | null = null
  /** Records every byte before it is handed on; null where nothing has to be recorded. */
  tape: Tape | null = null
  /** All of the request went upstream. */
  whole = false
  /** Until when it may finish behind the end of its grant; null before that. */
  finishUntil: Instant | null = null
  /** What its session might do when it was judged last, where it carries many actions; null elsewhere. */
  scopes: Scope | null = null
  state: 'open' | 'frozen' | 'ended' = 'open'
  /** Why it is frozen or was ended. */
  reason: Reason | null = null
  kind: ExchangeKind = 'request'
  frozenAt = 0
  /** Of the bodies as they pass; null where the rule does not record them. */
  readonly digests: { readonly up: RunningDigest; readonly down: RunningDigest } | null
  bytesUp = 0
  bytesDown = 0
  /** Where it sits among the open ones, in all and of its holder; -1 while it is none of them. Kept by `Inflight` alone. */
  seat = -1
  ownSeat = -1

  constructor(inquiry: Inquiry, permit: Permit, channel: Channel, keeper: GateKeeper, now: Instant) {
    this.id = inquiry.id
    this.live = inquiry.live
    this.holder = inquiry.live ?? keeper.mirror.anonymous
    this.evaluation = inquiry.evaluation
    this.claims = inquiry.claims
    this.place = inquiry.place
    this.policy = inquiry.policy
    this.permit = permit
    this.risk = inquiry.risk
    this.channel = channel
    this.openedAt = now
    this.stamp = this.holder.stamp
    this.until = permit.until
    this.vouchedUntil = inquiry.vouchedUntil
    this.external = inquiry.external
    this.digests = (inquiry.place.rule?.record ?? 'off') === 'off' ? null : { up: new RunningDigest(), down: new RunningDigest() }
    this.#keeper = keeper
    this.#moved()
  }

  /**
   * The gate: asked before each hand-off to a socket, in the same turn as the hand-off. Closed at once by a moved stamp, a passed
   * instant or a lapsed lease; what is refused here is judged again, never let through by default.
   */
  get open(): boolean {
    if (this.state !== 'open' || this.stamp !== this.holder.stamp) return false
    const { clock, confirmedUntil } = this.#keeper
    const now = clock.now()
    if (now >= this.until) return false
    const fresh = confirmedUntil()
    if (fresh !== Infinity && clock.elapsed() >= fresh + this.#slack()) return false
    return true
  }

  holds(allowance: Allowance | null): void {
    this.allowance = allowance
    this.counted = allowance?.counted ?? null
    allowance?.carries(this)
  }

  /** It is carried by something else now. */
  letGo(): void {
    this.allowance?.close()
    this.allowance = null
  }

  /**
   * May so many bytes of bodies be handed on, either way? Asked last, in the turn in which they are: where the answer is yes they are paid for.
   * Otherwise the channel is resumed when there is more, or the exchange is ended.
   */
  pays(bytes: number): boolean {
    return this.allowance === null || this.allowance.pays(bytes)
  }

  /** Is this piece on record, where it must be? Asked behind `pays`, in the same turn; where the answer is no, the exchange is ended. */
  taped(way: 'up' | 'down', piece: Uint8Array): boolean {
    return this.tape === null || piece.length === 0 || this.tape[way](piece)
  }

  /** Bytes of the answer are handed to the caller's socket; those of its head are not counted. */
  handedDown(bytes: number): void {
    this.bytesDown += bytes
    this.meter?.passed(bytes)
    this.#moved()
  }

  /** These bytes of the answer's body are handed to the caller's socket. */
  passedDown(bytes: Uint8Array): void {
    this.handedDown(bytes.length)
    this.digests?.down.update(bytes)
  }

  /** These bytes are handed to the upstream's socket, and were not counted before. */
  passedUp(bytes: Uint8Array): void {
    this.handedUp(bytes.length)
    this.digests?.up.update(bytes)
  }

  /** Bytes of the request's body arrived. */
  handedUp(bytes: number): void {
    this.bytesUp += bytes
    this.meter?.passed(bytes)
    this.#moved()
  }

  /** What keeps a session from being idle: its requests, and bytes of them. */
  #moved(): void {
    if (this.live !== null) this.live.lastSeen = this.#keeper.clock.now()
  }

  #slack(): number {
    return this.place.rule?.scope === null ? this.place.route.staleness : 0
  }
}

/** A question about to be judged, with everything but the time: what a request becomes, and what an exchange keeps of it. */
export type Inquiry = {
  /** The exchange's id, should it be admitted. */
  readonly id: string
  readonly policy: Policy
  readonly place: Place
  readonly evaluation: Evaluation
  /** null on an anonymous rule. */
  readonly live: LiveSession | null
  readonly claims: Claims
  /** As in `Case`. */
  readonly vouchedUntil: Instant
  /** What is heard of it outside, where its rule asks; null: nobody asks, and where the rule wants it nothing goes. */
  readonly external: Hearing | null
  /** For the record; the judge asks levels. */
  readonly risk: Risked
}

export const NO_CLAIMS: Claims = {}

const hasNoDecision = ({ rule }: Place): boolean => rule === null || rule.decision === null

/** For a rule that wants somebody outside asked, a place for the answer. */
export const hearingOf = (place: Place): Hearing | null => (hasNoDecision(place) ? null : new Hearing())

/** Milliseconds of wall time until which knowledge counts as fresh, from a lease kept on the elapsed scale. */
function confirmedAt(keeper: GateKeeper, now: Instant): Instant {
  const fresh = keeper.confirmedUntil()
  return fresh === Infinity ? instant(Infinity) : instant(now + (fresh - keeper.clock.elapsed()))
}

/** A session is judged by its claims as they are known now, whatever was awaited since it was asked about. @param paid the step-up of which a use was taken for it */
export function caseOf(inquiry: Omit<Inquiry, 'risk'>, keeper: GateKeeper, now: Instant, held: Case['held'], paid: Case['paid'] = null): Case {
  const { live, external } = inquiry
  const asked: Case = {
    now, confirmedUntil: confirmedAt(keeper, now), vouchedUntil: inquiry.vouchedUntil, policy: inquiry.policy, place: inquiry.place, evaluation: inquiry.evaluation,
    locks: keeper.mirror.locks, standing: live === null ? null : keeper.mirror.effective(live, now), claims: live?.knownClaims ?? inquiry.claims, held, exchange: inquiry.id, paid, external: null,
  }
  return external === null || hasNoDecision(inquiry.place) ? asked : { ...asked, external: external.about(asked) }
}

/** Where this exchange stands under a policy that may be another than the one that admitted it. */
export function placeUnder(policy: Policy, exchange: Exchange): Place | 'no_route' | 'wrong_host' {
  if (policy === exchange.policy) return exchange.place
  const route = routeOf(policy.table, exchange.evaluation.resource)
  return typeof route === 'string' ? route : placeOf(route, exchange.evaluation.action, exchange.evaluation.resource)
}

/** Would its credential be taken at this place, and by the same proof? Anyone may pass an anonymous rule. */
export function isTaken({ evaluation: { evidence } }: Exchange, { route, rule }: Place, keeper: GateKeeper): boolean {
  return evidence === null || rule?.anonymous === true || (route.authn.includes(evidence.provider) && keeper.vouchesFor(evidence))
}
