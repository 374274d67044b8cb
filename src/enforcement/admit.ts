// Admission: evaluate, register, record, dispatch, with no await between them; what must be awaited first is named, awaited outside, and the
// judge is asked again. Nothing else lets a relay go.
// Elevated requests of one turn share one write: judged and registered, then written, then each dispatched after one more look at its gate.
// SPEC: ENF2, AUD2, RULES 1
import { carriesMany } from '../core/call.ts'
import { type Decision, type Grant, grantName, type Refusal, refuse } from '../core/decision.ts'
import { scopesNow } from '../core/effective.ts'
import type { ElevationId } from '../core/elevation.ts'
import { evaluate } from '../core/evaluate.ts'
import type { Reason } from '../core/reason.ts'
import type { StepUpId } from '../core/step-up.ts'
import type { Instant } from '../core/time.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { type Allowance, type Channel, caseOf, Exchange, type GateKeeper, type Inquiry } from './exchange.ts'
import type { Gathered, Gathering, GatherStep } from './gather.ts'
import type { Inflight } from './inflight.ts'
import type { Reassessor } from './reassess.ts'
import type { Recorder } from './recorder.ts'

/** The protocol's side of an exchange: its channel, and what goes upstream once it is admitted. */
export interface Relay extends Channel, Gathered {
  readonly exchange: Exchange | null
  /** Why it could not be relayed even if the judge lets it, such as a body over its limit. */
  obstacle(grant: Grant): Reason | null
  admitted(exchange: Exchange): void
  /** Sends it upstream. Called by admission alone. */
  dispatch(): void
  /** It was admitted, but nothing was sent upstream and nothing will be. */
  refused(reason: Reason): void
}

/** One decision of so many is timed. */
const SAMPLED = 16
const NOTHING_DONE: Gathering['done'] = new Map()
const NOTHING_RESERVED: Gathering['reserved'] = { spending: null, attempts: 0, stepUp: null }

/** Waits for the write that names `grant` as what it stands on. */
type Admitted = { readonly exchange: Exchange; readonly relay: Relay; readonly grant: string; readonly allowance: Allowance | null }

export class Admission {
  readonly #keeper: GateKeeper
  readonly #inflight: Inflight
  readonly #recorder: Recorder
  readonly #reassessor: Reassessor
  readonly #steps: readonly GatherStep[]
  readonly #metrics: Metrics
  readonly #most: () => number
  #asked = 0
  #batch: Admitted[] = []

  /** @param most open exchanges in all */
  constructor(keeper: GateKeeper, inflight: Inflight, recorder: Recorder, reassessor: Reassessor, steps: readonly GatherStep[], metrics: Metrics, most: () => number) {
    this.#steps = steps
    this.#keeper = keeper
    this.#inflight = inflight
    this.#recorder = recorder
    this.#reassessor = reassessor
    this.#metrics = metrics
    this.#most = most
  }

  /**
   * Synchronous on purpose: what the judge saw is what is registered.
   * @param gathered what was awaited for this request already; null on the first look, which is the preview
   * @returns null when the relay took over, a refusal with nothing consumed, or what has to be awaited before it is asked again
   */
  admit(inquiry: Inquiry, relay: Relay, gathered: Gathering | null): Refusal | Gathering | null {
    const { clock, mirror } = this.#keeper
    const now = clock.now()
    if (inquiry.live !== null && mirror.byId(inquiry.live.record.id) !== inquiry.live) return refuse('stale') // it made way in memory: news no longer reaches it
    const spending = gathered?.reserved.spending ?? null
    const decision = this.#judge(inquiry, now, spending?.elevation.id ?? null, gathered?.reserved.stepUp ?? null)
    if (decision.effect === 'refuse') return decision
    const obstacle = relay.obstacle(decision.grant)
    if (obstacle !== null) return refuse(obstacle)
    const wanted: Gathering = { inquiry, grant: decision.grant, stepUp: decision.stepUp, until: decision.until, relay, done: gathered?.done ?? NOTHING_DONE, reserved: gathered?.reserved ?? NOTHING_RESERVED }
    if (this.#steps.some(({ needed }) => needed(wanted))) return gathered === null ? { ...wanted, done: new Map(), reserved: { ...NOTHING_RESERVED } } : wanted
    if (this.#isFull(inquiry)) return refuse('limit_reached')
    const exchange = new Exchange(inquiry, decision, relay, this.#keeper, now)
    exchange.holds(spending)
    if (inquiry.live !== null && carriesMany(inquiry.evaluation.action.call)) exchange.scopes = scopesNow(mirror.effective(inquiry.live, now))
    this.#inflight.add(exchange)
    relay.admitted(exchange)
    try {
      this.#recorder.opened(exchange)
    } catch {
      this.#drop(exchange)
      return refuse('record_failed')
    }
    if (decision.grant.is === 'elevation' || decision.grant.is === 'observed') this.#afterWrite(exchange, relay)
    else relay.dispatch() // without limits: those of an elevation are all that is counted
    return null
  }

  /** @param paid the elevation whose use it has taken already, be it the last one; @param shown the step-up, likewise */
  #judge(inquiry: Inquiry, now: Instant, paid: ElevationId | null, shown: StepUpId | null): Decision {
    const asked = caseOf(inquiry, this.#keeper, now, paid, shown)
    if (this.#asked++ % SAMPLED !== 0) return evaluate(asked)
    const started = performance.now()
    const decision = evaluate(asked)
    this.#metrics.decisionDuration.observe((performance.now() - started) / 1000)
    return decision
  }

  #isFull({ live, policy }: Inquiry): boolean {
    const limit = this.#inflight.size >= this.#most() ? 'exchanges' : live !== null && live.pins >= policy.sessions.exchangesPerSession ? 'exchanges_per_session' : null
    if (limit !== null) this.#metrics.limitReached.inc({ limit })
    return limit !== null
  }

  #drop(exchange: Exchange): void {
    exchange.state = 'ended'
    exchange.tape?.close()
    this.#inflight.remove(exchange)
  }

  #afterWrite(exchange: Exchange, relay: Relay): void {
    if (this.#batch.push({ exchange, relay, grant: grantName(exchange.permit.grant), allowance: exchange.allowance }) === 1) setImmediate(() => this.#writeAndDispatch())
  }

  #writeAndDispatch(): void {
    const batch = this.#batch
    this.#batch = []
    try {
      this.#recorder.flush()
    } catch {
      for (const admitted of batch) this.#refuse(admitted, 'record_failed')
      return
    }
    for (const admitted of batch) this.#dispatch(admitted)
  }

  /** Not on another grant than what was gathered and written for it. */
  #dispatch(admitted: Admitted): void {
    const { exchange, relay, grant, allowance } = admitted
    if (!exchange.open) this.#reassessor.doubt(exchange)
    if (!exchange.open || grantName(exchange.permit.grant) !== grant) return this.#refuse(admitted, exchange.reason ?? 'stale')
    allowance?.used()
    relay.dispatch()
  }

  /** An exchange that a change ended while it waited for the write was refused by its channel already. */
  #refuse({ exchange, relay, allowance }: Admitted, reason: Reason): void {
    const waiting = exchange.state !== 'ended'
    allowance?.back()
    this.#recorder.notDispatched(exchange, reason)
    if (!waiting) return
    this.#drop(exchange)
    relay.refused(reason)
  }
}
