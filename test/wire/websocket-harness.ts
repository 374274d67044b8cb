// A bare gateway around the WebSocket relay: real sockets, the gateway's own HTTP/1.1 connections, a real Exchange; the gate and the verdicts are the test's.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { LimitSettings } from '../../src/config/settings.ts'
import type { Reason } from '../../src/core/reason.ts'
import type { MessageRules } from '../../src/core/route.ts'
import { duration, instant } from '../../src/core/time.ts'
import { Exchange, type GateKeeper, type Inquiry } from '../../src/enforcement/exchange.ts'
import type { Http1Arrival } from '../../src/proxy/http1/http1-arrival.ts'
import { Http1Connections } from '../../src/proxy/http1/http1-connections.ts'
import { type TunnelUpstream, WebSocketRelay, type WebSocketOwner } from '../../src/proxy/websocket/relay.ts'
import { refusalText } from '../../src/proxy/refusal.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import type { AnswerHead } from '../../src/upstream/handler.ts'

const LIMITS: LimitSettings = {
  headerBytes: 16_384, headers: 128, bodyBytes: 0, inspectTotal: 1e9, headersTimeout: duration(5_000), idleTimeout: duration(5_000), connections: 1_000, streamsPerConnection: 1, exchanges: 1_000, mirroredSessions: 1,
}

type Plan = { readonly messages?: MessageRules; readonly timeout?: number; readonly idle?: number; readonly extra?: readonly string[]; readonly upstream?: Partial<TunnelUpstream> }

/** One tunnel, with the verbs as enforcement would carry them out. */
export class Held {
  readonly exchange: Exchange
  readonly relay: WebSocketRelay
  readonly socket: Socket
  ended: Reason | 'completed' | null = null
  /** Asked when the gate was found closed; does nothing by default, as a verdict that is still to come. */
  onDoubt: () => void = () => undefined

  constructor(exchange: Exchange, relay: WebSocketRelay, socket: Socket) {
    this.socket = socket
    this.exchange = exchange
    this.relay = relay
  }

  /** Moves the stamp: nothing passes any more, and nobody was told. */
  shutGate(): void { this.exchange.holder.stamp++ }
  openGate(): void {
    this.exchange.stamp = this.exchange.holder.stamp
    this.exchange.state = 'open'
    this.relay.resume()
  }

  freeze(): void {
    this.exchange.holder.stamp++
    this.exchange.stamp = this.exchange.holder.stamp
    this.exchange.state = 'frozen'
    this.exchange.reason = 'frozen'
    this.relay.freeze()
  }

  end(reason: Reason): void {
    if (this.exchange.state === 'ended') return
    this.exchange.holder.stamp++
    this.exchange.state = 'ended'
    this.exchange.reason = reason
    this.ended = reason
    this.relay.cut(reason)
  }
}

export class WebSocketHarness {
  readonly held: Held[] = []
  /** What an upstream's address was told at the release of each place. */
  readonly released: unknown[] = []
  /** Before a relay is dispatched. */
  onAdmitted: (held: Held) => void = () => undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #timer: NodeJS.Timeout

  private constructor(origin: string, plan: Plan) {
    const connections = new Http1Connections({
      limits: LIMITS, clock: new SystemClock(), secure: false, onFault: () => undefined, onPipelined: () => undefined, callerOf: raw => ({ raw, peer: '127.0.0.1', serverName: null, certificate: null }),
      onRequest: arrival => this.#arrived(arrival as Http1Arrival, origin, plan), // it makes no others
    })
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      this.#sockets.add(socket)
      connections.take(socket)
    })
    this.#timer = setInterval(() => this.held.forEach(({ relay }) => relay.tick(instant(Date.now()))), 50)
  }

  static async start(origin: string, plan: Plan = {}): Promise<WebSocketHarness> {
    const harness = new WebSocketHarness(origin, plan)
    harness.#server.listen(0, '127.0.0.1')
    await once(harness.#server, 'listening')
    return harness
  }

  get port(): number { return (this.#server.address() as AddressInfo).port } // it listens on a port
  get url(): string { return `ws://127.0.0.1:${this.port}` }
  get last(): Held {
    const last = this.held.at(-1)
    if (last === undefined) throw new Error('no tunnel yet')
    return last
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const held of this.held) held.end('drained')
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #arrived(arrival: Http1Arrival, origin: string, plan: Plan): void {
    const { messages = null, timeout = 5_000, idle = 0, extra = [] } = plan
    const clock = new SystemClock()
    const upstream: TunnelUpstream = { name: 'u', settings: { timeout: duration(timeout), transaction: null }, place: () => ({ origin, agent: undefined, release: fault => void this.released.push(fault) }), ...plan.upstream }
    const owner: WebSocketOwner = {
      bearer: () => null,
      doubt: () => held.onDoubt(),
      end: (_, reason) => held.end(reason),
      refuse: (_, reason) => arrival.answer.refuse(refusalText(reason), 0, true),
      outgoing: () => [...arrival.headers.filter((_name, i, all) => !/^(connection|upgrade|x-drop)$/i.test(all[i - (i % 2)] ?? '')), ...extra],
      responseHead: (_, { status, text, headers }: AnswerHead) => ({ status, text, headers: headers.filter((_name, i) => !/^(connection|upgrade|transfer-encoding|keep-alive)$/i.test(headers[i - (i % 2)] ?? '')), delimitedByClose: false, eventStream: false, encoded: false, length: lengthOf(headers) }),
      headSent: () => undefined,
      completed: () => {
        held.exchange.state = 'ended'
        held.ended = 'completed'
      },
    }
    const relay = new WebSocketRelay(arrival, upstream, arrival.target, owner, { messages, idle, clock })
    // Only what an Exchange and its gate read: where a whole gateway is needed, there is one.
    const keeper = { clock, mirror: { anonymous: { stamp: 1 } }, confirmedUntil: () => Infinity, vouchesFor: () => true } as unknown as GateKeeper
    const inquiry = { id: 'exc_test', live: null, evaluation: {}, claims: {}, place: { route: { staleness: 0 }, rule: { messages, scope: 'x', decision: null } }, policy: {}, external: null } as unknown as Inquiry
    const exchange = new Exchange(inquiry, { until: instant(Infinity), grant: { is: 'baseline' } } as never, relay, keeper, clock.now())
    const held = new Held(exchange, relay, arrival.socket)
    this.held.push(held)
    const obstacle = relay.obstacle()
    if (obstacle !== null) return arrival.answer.refuse(refusalText(obstacle), 0, true)
    relay.admitted(exchange)
    this.onAdmitted(held)
    relay.dispatch()
  }
}

function lengthOf(headers: readonly string[]): number | null {
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length')
  return at === -1 ? null : Number(headers[at + 1])
}
