// What the session behind an open exchange may do now beside what it does: asked of the same judge as its requests, of messages that nobody sent. Nothing is
// taken or counted. For lists, what only a request can answer is looked past: arguments, a body, who else is asked. SPEC: MCP12, MCP13, MCP19
import type { Call } from '../../../core/call.ts'
import type { Case } from '../../../core/checks/check.ts'
import type { Decision } from '../../../core/decision.ts'
import { evaluate } from '../../../core/evaluate.ts'
import type { Evaluation } from '../../../core/evaluation.ts'
import { toolLocks, toolLocksUntil } from '../../../core/locks.ts'
import { type Place, placeOf, type Rule } from '../../../core/route.ts'
import { earlier, FOREVER, type Instant } from '../../../core/time.ts'
import type { Exchange, GateKeeper } from '../../../enforcement/exchange.ts'
import { supposedCase } from '../../../enforcement/supposed.ts'

/** Whoever would have to show something anew may, and whoever has to say what a call is for: both are asked when it calls. */
const mayBe = (decision: Decision): boolean => decision.effect === 'permit' || decision.reason === 'step_up_required' || decision.reason === 'purpose_missing'

export class Supposing {
  readonly #keeper: GateKeeper
  readonly #exchange: () => Exchange | null

  /** @param exchange null before it was admitted: nothing may be done then */
  constructor(keeper: GateKeeper, exchange: () => Exchange | null) {
    this.#keeper = keeper
    this.#exchange = exchange
  }

  /** Until when it may, by the first rule that means the call; null where it may not. */
  until(call: Call): Instant | null {
    const exchange = this.#exchange()
    if (exchange === null) return null
    const evaluation = asking(exchange, call)
    return this.#judged(exchange, placeOf(exchange.place.route, evaluation.action, evaluation.resource), evaluation)
  }

  /** Nothing is looked past: where somebody would have to be asked first, it may not. */
  may(call: Call): boolean {
    const exchange = this.#exchange()
    if (exchange === null) return false
    const evaluation = asking(exchange, call)
    return evaluate(this.#caseOf(exchange, placeOf(exchange.place.route, evaluation.action, evaluation.resource), evaluation)).effect === 'permit'
  }

  /** Likewise by a rule that would mean it. */
  untilBy(rule: Rule, call: Call): Instant | null {
    const exchange = this.#exchange()
    return exchange === null ? null : this.#judged(exchange, { ...exchange.place, rule }, asking(exchange, call))
  }

  #caseOf({ live, claims, vouchedUntil }: Exchange, place: Place, evaluation: Evaluation): Case { return supposedCase(this.#keeper, { place, evaluation, live, claims, vouchedUntil }) }

  #judged(exchange: Exchange, place: Place, evaluation: Evaluation): Instant | null {
    const decision = evaluate({ ...this.#caseOf(exchange, place, evaluation), external: place.rule?.decision == null ? null : 'ahead' })
    return !mayBe(decision) ? null : decision.effect === 'permit' ? decision.until : FOREVER
  }

  /** The route's locks on tools that stand, as one text. */
  toolLocks(): string {
    const exchange = this.#exchange()
    const { mirror: { locks }, clock } = this.#keeper
    return exchange === null ? '' : toolLocks(locks, exchange.place.route.name, clock.now()).map(({ selector: { kind, value }, effect }) => `${kind}:${value}:${effect}`).sort().join(' ')
  }

  /** Milliseconds until time alone may change what it may do: its elevations, windows, and locks on tools. */
  left(): number {
    const exchange = this.#exchange()
    const { mirror, clock } = this.#keeper
    if (exchange === null || exchange.live === null) return 0
    const now = clock.now()
    return Math.max(0, earlier(earlier(mirror.effective(exchange.live, now).until, exchange.permit.until), toolLocksUntil(mirror.locks, exchange.place.route.name, now)) - now)
  }

  get now(): Instant { return this.#keeper.clock.now() }
}

/** Whatever the exchange showed, asking for something else. */
function asking({ evaluation: { evidence, action, resource, context } }: Exchange, call: Call): Evaluation {
  const { protocol, source, secure, workload, certified, purposes, purposesUntil, positions, queryDigest, headers } = context
  return { evidence, action: { ...action, call }, resource, context: { protocol, source, secure, workload, certified, purposes, purposesUntil, positions, queryDigest, headers, body: null } }
}
