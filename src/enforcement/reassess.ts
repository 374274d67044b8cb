// Everything open, judged again by the same judge: at every change of a session, its anchors, the locks or the policy, at `until`,
// and when the proof of freshness lapses or returns. Works in slices, so that no loop of thousands holds up the others. SPEC: ENF3, ENF9
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import { tieBroken } from '../core/footing.ts'
import { scopesNow } from '../core/effective.ts'
import type { Reason } from '../core/reason.ts'
import { type Instant, instant } from '../core/time.ts'
import type { StepUp } from '../core/step-up.ts'
import { reassess as judgeAgain, type Verdict } from '../core/verdict.ts'
import type { Change } from '../sessions/change.ts'
import type { Tally } from '../sessions/store.ts'
import { caseOf, type Exchange, type GateKeeper, isTaken, placeUnder } from './exchange.ts'
import { WIRE } from './exchange-recorder.ts'
import { Hearing } from './external/hearing.ts'
import type { Inflight } from './inflight.ts'
import { owesUse } from './step-up-use.ts'

/** How long one slice may hold the event loop, in milliseconds. */
const SLICE = 4
const CLOCK_EVERY = 16

/** What is told of each verdict that changed something: the record, the metrics. */
export interface Witness {
  regranted(exchange: Exchange): void
  frozen(exchange: Exchange, reason: Reason): void
  resumed(exchange: Exchange): void
  finishing(exchange: Exchange, reason: Reason): void
  cut(ended: Ended): void
}

/** An exchange that the gateway ended. */
export type Ended = {
  readonly exchange: Exchange
  readonly reason: Reason
  readonly because: string
  /** When the change was accepted, or the time came; null for an end that comes from the wire. */
  readonly changedAt: Instant | null
  readonly endedAt: Instant
}

type Count = { -readonly [K in keyof Tally]: Tally[K] }
type Cause = { readonly because: string; readonly at: Instant | null }

const BY_TIME: Cause = { because: 'time', at: null }

export class Reassessor {
  readonly #keeper: GateKeeper
  readonly #inflight: Inflight
  readonly #witness: Witness
  /** Cut in a slice and not told yet: where thousands are cut, the last of them does not wait for the records of the others. */
  #untold: Ended[] = []
  /** Hears of an exchange that may go on as soon as it has taken its use of that step-up; it is held until then. */
  onOwing: (exchange: Exchange, stepUp: StepUp) => void = () => {}
  /** Hears of an exchange that waits for a step-up as before, though something changed: an answer that it waited for may have gone to another. */
  onHeld: (exchange: Exchange) => void = () => {}
  /** Hears of an exchange that is held because nobody outside has said that it may go on as everything is now. */
  onUnheard: (exchange: Exchange) => void = () => {}

  constructor(keeper: GateKeeper, inflight: Inflight, witness: Witness) {
    this.#keeper = keeper
    this.#inflight = inflight
    this.#witness = witness
  }

  /** Settles when the last exchange the change could touch has its verdict. The stamps moved before. */
  async changed({ sessions, anonymous, announcement }: Change): Promise<Tally> {
    const exchanges = sessions === 'all' ? this.#inflight.all() : [...sessions, ...(anonymous ? [this.#keeper.mirror.anonymous] : [])].flatMap(holder => this.#inflight.of(holder))
    const fact = announcement?.facts[0]
    const cause = fact === undefined ? BY_TIME : { because: fact.because, at: fact.at }
    const cut = announcement?.record.record === 'anchor' ? this.#endFinishing(announcement.record, cause) : 0
    const tally = await this.#judgeAll(exchanges, cause)
    return cut === 0 ? tally : { ...tally, cut: tally.cut + cut }
  }

  /** What finishes stands on an elevation that is over, and its session is tied to nothing of that any more. @returns how many this anchor ends */
  #endFinishing(anchor: Anchor, { because, at }: Cause): number {
    const anchors = { find: ({ kind, name }: AnchorRef) => (kind === anchor.kind && name === anchor.name ? anchor : null) }
    let cut = 0
    for (const exchange of this.#inflight.all()) {
      const { finishUntil, permit: { grant } } = exchange
      const reason = finishUntil !== null && grant.is === 'elevation' ? tieBroken(grant.elevation, anchors) : null
      if (reason === null) continue
      this.end(exchange, reason, because, at)
      cut++
    }
    return cut
  }

  /** One exchange whose gate was found closed. */
  doubt(exchange: Exchange): void {
    const before = this.#untold.length
    this.#tried(exchange, each => this.#judge(each, BY_TIME, EMPTY())) // whoever asks stands in the turn of a socket
    for (const ended of this.#untold.splice(before)) this.#tell(ended) // its own: those of a cut of thousands keep to their slices
  }

  /** These may have lost or regained their right by the mere passing of time. */
  async doubtAll(exchanges: readonly Exchange[]): Promise<void> {
    await this.#judgeAll(exchanges, BY_TIME)
  }

  /**
   * Each in its turn, the first ones in this. A fault ends that exchange, closed, and no other.
   * @returns how many ended so
   */
  async inSlices(exchanges: readonly Exchange[], act: (exchange: Exchange) => void): Promise<number> {
    let failed = 0
    let started = performance.now()
    for (const [i, exchange] of exchanges.entries()) {
      if (!this.#tried(exchange, act)) failed++
      if (i % CLOCK_EVERY === CLOCK_EVERY - 1 && performance.now() - started > SLICE) {
        await nextTurn()
        started = performance.now()
      }
    }
    return failed
  }

  async #judgeAll(exchanges: readonly Exchange[], cause: Cause): Promise<Tally> {
    const count = EMPTY()
    const failed = await this.inSlices(exchanges, exchange => this.#judge(exchange, cause, count))
    for (let until = performance.now() + SLICE; this.#untold.length > 0; until = performance.now() + SLICE) {
      this.#tellUntil(until)
      if (this.#untold.length > 0) await nextTurn()
    }
    return { ...count, cut: count.cut + failed }
  }

  /** Tells at once what is not told yet: nothing comes behind it. */
  close(): void {
    this.#tellUntil(Infinity)
  }

  #tellUntil(until: number): void {
    const untold = this.#untold
    let told = 0
    while (told < untold.length && performance.now() < until) {
      const ended = untold[told++]
      if (ended !== undefined) this.#tell(ended)
    }
    this.#untold = untold.slice(told)
  }

  /** The end stands, told or not: a fault in telling one keeps none of the others from being told. */
  #tell(ended: Ended): void {
    try {
      this.#witness.cut(ended)
    } catch {} // the trail itself counts what it could not take
  }

  #tried(exchange: Exchange, act: (exchange: Exchange) => void): boolean {
    try {
      act(exchange)
      return true
    } catch {
      exchange.state = 'ended'
      exchange.tape?.close()
      this.#inflight.remove(exchange)
      exchange.channel.cut('internal_error')
      return false
    }
  }

  #judge(exchange: Exchange, cause: Cause, count: Count): void {
    if (exchange.state === 'ended') {
      if (exchange.reason !== null && !WIRE.has(exchange.reason)) count.cut++ // its gate was asked first
      return
    }
    const stamp = exchange.holder.stamp
    const verdict = this.#verdictOn(exchange)
    exchange.stamp = stamp
    switch (verdict.kind) {
      case 'continue':
      case 'narrow':
      case 'regrant': return this.#goOn(exchange, verdict, count)
      case 'freeze': return this.#freeze(exchange, verdict.reason, count)
      case 'finish': return this.#finish(exchange, verdict, count)
      case 'terminate': return this.#cut(exchange, verdict.reason, cause, count)
    }
  }

  #verdictOn(exchange: Exchange): Verdict {
    const { mirror, clock } = this.#keeper
    const place = placeUnder(mirror.policy, exchange)
    if (typeof place === 'string') return { kind: 'terminate', reason: place }
    if (mirror.policy !== exchange.policy && !isTaken(exchange, place, this.#keeper)) return { kind: 'terminate', reason: 'credential_invalid' }
    exchange.place = place
    exchange.policy = mirror.policy
    if (place.rule?.inspect != null && exchange.evaluation.context.body === null) return { kind: 'terminate', reason: 'condition_error' } // its body went by before a rule wanted to read it
    if (place.rule?.decision != null) exchange.external ??= new Hearing()
    const { grant, stepUp } = exchange.permit
    const inquiry = { id: exchange.id, policy: mirror.policy, place, evaluation: exchange.evaluation, live: exchange.live, claims: exchange.claims, vouchedUntil: exchange.vouchedUntil, external: exchange.external }
    const asked = caseOf(inquiry, this.#keeper, clock.now(), grant.is === 'elevation' ? grant.elevation.id : null, stepUp?.id ?? null)
    const verdict = judgeAgain(grant, asked, exchange)
    if (exchange.scopes !== null && asked.standing !== null) exchange.scopes = scopesNow(asked.standing)
    return asked.external === 'ahead' ? unheard(verdict) : this.#unlessOwing(exchange, verdict, stepUp?.id ?? null)
  }

  /** Whatever is counted is paid before a byte stands on it. */
  #unlessOwing(exchange: Exchange, verdict: Verdict, paid: StepUp['id'] | null): Verdict {
    if (!('permit' in verdict) || verdict.permit.stepUp === null || !owesUse(verdict.permit.stepUp, exchange.id, paid)) return verdict
    this.onOwing(exchange, verdict.permit.stepUp)
    return { kind: 'freeze', reason: 'step_up_required' }
  }

  #goOn(exchange: Exchange, verdict: Extract<Verdict, { permit: unknown }>, count: Count): void {
    exchange.permit = verdict.permit
    exchange.until = verdict.permit.until
    if (verdict.kind === 'regrant') {
      exchange.letGo()
      count.regranted++
      this.#witness.regranted(exchange)
    } else if (verdict.kind === 'narrow') count.narrowed++
    else count.continued++
    if (exchange.state !== 'frozen') return exchange.channel.resume()
    exchange.state = 'open'
    exchange.reason = null
    this.#witness.resumed(exchange)
    exchange.channel.resume()
  }

  /** Its permit stands until then, and is looked at at every change as before. */
  #finish(exchange: Exchange, { reason, until }: Extract<Verdict, { kind: 'finish' }>, count: Count): void {
    count.continued++
    exchange.until = until
    if (exchange.finishUntil === null) this.#witness.finishing(exchange, reason)
    exchange.finishUntil ??= until
    if (exchange.state === 'frozen') {
      exchange.state = 'open'
      exchange.reason = null
      this.#witness.resumed(exchange)
    }
    exchange.channel.resume()
  }

  /** Frozen for another reason than before, it counts as frozen since now: how long it may be held depends on why. */
  #freeze(exchange: Exchange, reason: Reason, count: Count): void {
    count.frozen++
    const already = exchange.state === 'frozen'
    if (reason === 'external_unavailable') this.onUnheard(exchange)
    if (already && exchange.reason === reason) return reason === 'step_up_required' ? this.onHeld(exchange) : undefined
    exchange.state = 'frozen'
    exchange.reason = reason
    exchange.frozenAt = this.#keeper.clock.now()
    if (!already) exchange.channel.freeze()
    this.#witness.frozen(exchange, reason)
  }

  #cut(exchange: Exchange, reason: Reason, cause: Cause, count: Count): void {
    count.cut++
    const due = exchange.until <= this.#keeper.clock.now() ? instant(exchange.until) : null // an end by time took effect when it was due
    this.#untold.push(this.#ended(exchange, reason, cause.because, cause.at ?? due))
  }

  /** Ends an exchange for a reason of the gateway's own, and tells it. */
  end(exchange: Exchange, reason: Reason, because: string, changedAt: Instant | null): void {
    if (exchange.state !== 'ended') this.#witness.cut(this.#ended(exchange, reason, because, changedAt))
  }

  #ended(exchange: Exchange, reason: Reason, because: string, changedAt: Instant | null): Ended {
    exchange.state = 'ended'
    exchange.reason = reason
    exchange.channel.cut(reason)
    this.#inflight.remove(exchange)
    return { exchange, reason, because, changedAt, endedAt: this.#keeper.clock.now() }
  }
}

const nextTurn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

/** Everything here lets it go on, and whoever else has to let it was not asked about this. */
const unheard = (verdict: Verdict): Verdict => (verdict.kind === 'freeze' || verdict.kind === 'terminate' ? verdict : { kind: 'freeze', reason: 'external_unavailable' })

const EMPTY = (): Count => ({ continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 })
