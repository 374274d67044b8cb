// A call of one of the gateway's own tools, admitted like any other: its upstream is the gateway itself. It is answered once, whole, through the gate; while it is
// frozen its answer waits, and what is cut is not answered. SPEC: MCP15, ENF2
import type { Grant } from '../../../core/decision.ts'
import type { Reason } from '../../../core/reason.ts'
import type { Relay } from '../../../enforcement/admit.ts'
import type { Exchange } from '../../../enforcement/exchange.ts'
import type { Gathered } from '../../../enforcement/gather.ts'
import type { Ask } from '../../ask.ts'
import { ownHead } from '../../own-answer.ts'
import type { Message, OwnTool } from '../message.ts'
import type { OwnCalls } from './own-calls.ts'
import { knownOf } from './own-calls.ts'

const JSON_HEAD: readonly string[] = ['content-type', 'application/json', 'cache-control', 'no-store']

export class OwnRelay implements Relay {
  readonly upstream: Gathered['upstream']
  exchange: Exchange | null = null
  readonly #ask: Ask
  readonly #message: Message
  readonly #tool: OwnTool
  readonly #calls: OwnCalls
  /** What an error of the gateway's own is told as. */
  readonly #faultOf: (error: unknown) => Reason
  /** What waits for its gate. */
  #waiting: Buffer | null = null
  #over = false

  /** @param upstream name of that of its route: nothing is sent there */
  constructor(ask: Ask, message: Message, tool: OwnTool, upstream: string, calls: OwnCalls, faultOf: (error: unknown) => Reason) {
    this.upstream = { name: upstream, settings: { transaction: null } }
    this.#ask = ask
    this.#message = message
    this.#tool = tool
    this.#calls = calls
    this.#faultOf = faultOf
  }

  get status(): number { return this.#ask.arrival.answer.status }

  /** Nobody is told what becomes of a notification: it asks for nothing. */
  obstacle(grant: Grant): Reason | null { return this.#message.is !== 'request' ? 'message_malformed' : this.#ask.isTooEarly(grant) ? 'too_early' : null }

  inspect(): Promise<Reason | null> { return Promise.resolve('internal_error') }
  bearer(): string | null { return null }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    exchange.whole = true
    this.#ask.arrival.answer.onClose(() => this.#done())
  }

  dispatch(): void {
    const { exchange } = this
    const { live, verified } = this.#ask
    if (exchange === null || this.#over) return
    if (live === null || verified === null || !exchange.open || exchange.finishUntil !== null) return this.#ask.end(exchange, exchange.reason ?? 'stale') // what only finishes begins nothing
    void this.#calls.result(this.#ask, knownOf(this.#ask, live, verified), this.#message, this.#tool).then(
      result => this.#answer(Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: this.#message.id, result }))),
      error => this.#ask.end(exchange, this.#faultOf(error)),
    )
  }

  #answer(bytes: Buffer): void {
    if (this.#over) return
    this.#waiting = bytes
    if (this.exchange?.state === 'open' && !this.exchange.open) this.#ask.doubt(this.exchange)
    this.#send()
  }

  /** Behind an open gate, in its turn. */
  #send(): void {
    const { exchange } = this
    const bytes = this.#waiting
    if (this.#over || bytes === null || exchange === null || !exchange.open) return
    if (!exchange.pays(bytes.length) || !exchange.taped('down', bytes)) return
    this.#waiting = null
    exchange.passedDown(bytes)
    this.#ask.arrival.answer.sendWhole(ownHead(200, JSON_HEAD, bytes.length), bytes)
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.#ask.end(this.exchange, reason)
    this.#over = true
    this.#ask.refuse(this, reason)
  }

  freeze(): void { this.#ask.arrival.answer.hold() }

  resume(): void {
    if (this.#over) return
    if (this.exchange?.state === 'open') this.#ask.arrival.answer.release()
    this.#send()
  }

  cut(reason: Reason): void {
    if (this.#over) return
    const { answer } = this.#ask.arrival
    this.#over = true
    this.#waiting = null
    if (this.status !== 0) return answer.cut(reason, true)
    answer.release()
    this.#ask.refuse(this, reason)
  }

  /** No tool takes longer than it may wait. */
  tick(): void {}

  #done(): void {
    const { exchange } = this
    const { answer } = this.#ask.arrival
    if (this.#over || exchange === null) return
    if (!answer.finished || this.status === 0) return this.#ask.end(exchange, 'caller_closed')
    this.#over = true
    this.#ask.completed(this)
  }
}
