// A request that is let go, when another proxy carries it: its upstream is the answer to that proxy, given once, through the gate, with the word on its
// standing. What the rule needs to see of its bytes is not seen here, and refused. SPEC: FWA3, FWA4, ENF2
import type { ForwardProxy } from '../../config/compile/forward-auth.ts'
import type { Grant } from '../../core/decision.ts'
import type { Reason } from '../../core/reason.ts'
import type { Place } from '../../core/route.ts'
import type { Instant } from '../../core/time.ts'
import type { Relay } from '../../enforcement/admit.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import type { Ask, Injected } from '../ask.ts'
import { MISLEADING } from '../http/header-names.ts'
import type { ForwardAnswer } from './forward-answer.ts'

const CONTEXT = 'narrowgate-context'
const SESSION = 'narrowgate-session'
const ELEVATION = 'narrowgate-elevation'
/** What a caller may have sent that its upstream must not get. */
const NEVER_PASSED: readonly string[] = [...MISLEADING, CONTEXT, SESSION, ELEVATION]

const countsBytes = (rates: readonly { readonly bytes: number | null }[]): boolean => rates.some(({ bytes }) => bytes !== null)

/** Does the place ask for anything that hangs on the bytes of its requests? */
export const needsBytes = ({ route, rule }: Place): boolean =>
  countsBytes(route.rates) || (rule !== null && (rule.inspect !== null || rule.messages !== null || rule.record !== 'off' || countsBytes(rule.rates)))

const grantNeedsBytes = (grant: Grant): boolean => grant.is === 'elevation' && (grant.elevation.recording || grant.elevation.limits.bytes !== null || grant.elevation.limits.sum !== null)

/** Envoy takes away what is named to it; the others are told by their configuration. */
const takenAway = (given: readonly string[], kept: ReadonlySet<string>): string => [...new Set([...NEVER_PASSED, ...kept])].filter(name => !given.includes(name)).join(', ')

export class ForwardRelay implements Relay {
  readonly upstream: Pick<Upstream, 'name' | 'settings'>
  exchange: Exchange | null = null
  readonly #ask: Ask
  readonly #answer: ForwardAnswer
  readonly #proxy: ForwardProxy
  readonly #injects: boolean
  #over = false

  /** @param injects hands over what the upstream is shown */
  constructor(ask: Ask, answer: ForwardAnswer, proxy: ForwardProxy, upstream: Pick<Upstream, 'name' | 'settings'>, injects: boolean) {
    this.upstream = upstream
    this.#ask = ask
    this.#answer = answer
    this.#proxy = proxy
    this.#injects = injects
  }

  get status(): number { return this.#answer.status }

  obstacle(grant: Grant): Reason | null {
    return grantNeedsBytes(grant) ? 'not_shown' : this.#ask.isTooEarly(grant) ? 'too_early' : null
  }

  inspect(): Promise<Reason | null> { return Promise.resolve('not_shown') }
  bearer(): string | null { return this.#ask.bearer() }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    exchange.whole = true
    this.#answer.onClose(() => this.#done())
  }

  dispatch(): void {
    const { exchange } = this
    if (exchange === null || this.#over) return
    if (!exchange.open || exchange.finishUntil !== null) return this.#ask.end(exchange, exchange.reason ?? 'stale') // what only finishes begins nothing
    const context = this.#ask.vouched(this)
    const shown = this.#injects && !this.#over ? this.#ask.injected(this) : null
    if (!this.#over) this.#answer.allow(this.#given(exchange, context, shown))
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.#ask.end(this.exchange, reason)
    this.#over = true
    this.#ask.refuse(this, reason)
  }

  /** An answer that was given stands; one that was not is asked for its gate first. */
  freeze(): void {}
  resume(): void {}

  cut(reason: Reason): void {
    if (this.#over) return
    this.#over = true
    if (this.status !== 0) this.#answer.cut()
    else this.#ask.refuse(this, reason)
  }

  /** The proxy takes nothing of its answer. */
  tick(now: Instant): void {
    const { exchange } = this
    if (exchange !== null && !this.#over && this.status !== 0 && now - exchange.openedAt > this.#ask.world.settings.limits.idleTimeout) this.#ask.end(exchange, 'request_timeout')
  }

  #given({ live, permit: { grant } }: Exchange, context: string | null, shown: Injected | null): readonly string[] {
    const lines: string[] = []
    if (context !== null) lines.push(CONTEXT, context)
    if (this.#ask.transaction !== null) lines.push('txn-token', this.#ask.transaction)
    if (live !== null) lines.push(SESSION, live.record.id)
    if (grant.is === 'elevation') lines.push(ELEVATION, grant.elevation.id)
    if (shown !== null) lines.push(shown.header, shown.value)
    if (this.#proxy === 'envoy') lines.push('x-envoy-auth-headers-to-remove', takenAway(lines, this.#ask.kept))
    return lines
  }

  #done(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (!this.#answer.finished || this.status === 0) return this.#ask.end(exchange, 'caller_closed')
    this.#over = true
    this.#ask.completed(this)
  }
}
