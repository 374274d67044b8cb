// One WebSocket between a caller and an upstream, as an exchange: what admission sends, what enforcement tells it, its time limits. It decides
// nothing; bytes are the tunnel's. SPEC: WIRE18, ENF2, ENF5, ENF6
import type { Agent } from 'node:http'
import type { UpstreamSettings } from '../../config/settings.ts'
import type { Reason } from '../../core/reason.ts'
import type { MessageRules } from '../../core/route.ts'
import type { Instant } from '../../core/time.ts'
import type { Relay } from '../../enforcement/admit.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { AnswerHead, UpstreamFault } from '../../upstream/handler.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { Arrival, CallerStream } from '../arrival.ts'
import { dial } from './dial.ts'
import { type Offer, offerOf, upstreamHeaders } from './handshake.ts'
import { Tunnel } from './tunnel.ts'
import type { TunnelOwner } from './tunnel-owner.ts'

/** Where one tunnel goes. */
export type TunnelPlace = {
  /** `http://` or `https://`, host and port. */
  readonly origin: string
  /** Verifies the upstream's identity by its configured name; only plain HTTP goes without. */
  readonly agent: Agent | undefined
  /** Told once: the place is free again. @param fault what the address is to blame for */
  readonly release: (fault: UpstreamFault | null) => void
}

/** What a tunnel needs of an upstream. */
export interface TunnelUpstream {
  readonly name: string
  /** Longest wait for the upstream's answer, in milliseconds. */
  readonly settings: Pick<UpstreamSettings, 'timeout' | 'transaction'>
  /** @returns why there is none */
  place(): TunnelPlace | UpstreamFault
}

/** What the pipeline does for its tunnels. */
export interface WebSocketOwner {
  /** The token its caller showed. */
  bearer(): string | null
  doubt(exchange: Exchange): void
  end(exchange: Exchange, reason: Reason): void
  /** Answers with a refusal and closes; no head has begun. */
  refuse(relay: WebSocketRelay, reason: Reason): void
  /** Names and values of the head that goes upstream. Asked once. */
  outgoing(relay: WebSocketRelay): readonly string[]
  /** The upstream's head as the caller gets it; null where its framing is broken. */
  responseHead(relay: WebSocketRelay, head: AnswerHead): ResponseHead | null
  headSent(relay: WebSocketRelay): void
  completed(relay: WebSocketRelay): void
}

/** Ticks behind a resume in which a fault is still put down to the freeze. */
const THAW = 4

type Settings = {
  /** The rule's when it was admitted: decides whether messages can be read at all. */
  readonly messages: MessageRules | null
  /** Longest without a byte, in milliseconds; 0 sets no bound. */
  readonly idle: number
  readonly clock: Clock
}

export class WebSocketRelay implements Relay, TunnelOwner {
  readonly arrival: Arrival
  readonly upstream: TunnelUpstream
  exchange: Exchange | null = null
  readonly #owner: WebSocketOwner
  readonly path: string
  readonly #settings: Settings
  readonly #offer: Offer | null
  #place: TunnelPlace | null = null
  #tunnel: Tunnel | null = null
  #switched = 0
  #answered = false
  #over = false
  #moved = 0
  #bytesAtTick = 0
  #thaw = 0

  /** @param path the canonical path and query */
  constructor(arrival: Arrival, upstream: TunnelUpstream, path: string, owner: WebSocketOwner, settings: Settings) {
    this.arrival = arrival
    this.upstream = upstream
    this.path = path
    this.#owner = owner
    this.#settings = settings
    this.#offer = offerOf(arrival, settings.messages !== null)
  }

  /** 101 in HTTP/1.1, 200 in HTTP/2; that of an ordinary answer otherwise. */
  get status(): number { return this.#switched > 0 ? this.#switched : this.arrival.answer.status }
  get passes(): boolean { return this.exchange?.open === true }
  get frozen(): boolean { return this.exchange?.state === 'frozen' }
  get frozenLately(): boolean { return this.frozen || this.#thaw > 0 }
  obstacle(): Reason | null { return this.#offer === null ? 'bad_request' : null }

  // ---- admission

  /** There is no body. */
  inspect(): Promise<Reason> { return Promise.resolve('body_malformed') }
  bearer(): string | null { return this.#owner.bearer() }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    this.#moved = exchange.openedAt
    exchange.kind = 'websocket'
    this.arrival.answer.onClose(() => this.#answerGone())
  }

  dispatch(): void {
    const { exchange } = this
    if (exchange === null || this.#offer === null) return
    const place = this.upstream.place()
    if (typeof place === 'string') return this.#owner.end(exchange, place)
    this.#place = place
    const flat = this.#owner.outgoing(this)
    if (this.#over) return
    const tunnel = new Tunnel(this, this.#offer, this.arrival.protocol === 'http1', this.#settings.messages !== null, this.#settings.clock)
    this.#tunnel = tunnel
    dial({ origin: place.origin, agent: place.agent, path: this.path, headers: upstreamHeaders(flat, this.#offer) }, tunnel)
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.#owner.end(this.exchange, reason)
    this.#over = true
    this.#owner.refuse(this, reason)
  }

  // ---- what the tunnel tells

  /** What the gate holds back now is not sent at all. */
  mayAsk(): boolean {
    if (!this.passes) this.doubt()
    if (!this.passes) this.end(this.exchange?.reason ?? 'stale')
    return this.passes
  }

  doubt(): void {
    if (this.exchange?.state === 'open') this.#owner.doubt(this.exchange)
  }

  end(reason: Reason): void {
    if (this.exchange !== null && !this.#over) this.#owner.end(this.exchange, reason)
  }

  rules(): MessageRules | null { return this.exchange?.place.rule?.messages ?? this.#settings.messages }

  relayed(head: AnswerHead): ResponseHead | null { return this.#owner.responseHead(this, head) }

  takeOver(headers: readonly string[]): CallerStream | null {
    this.#answered = true
    const caller = this.arrival.takeOver(headers)
    if (caller === null) return null
    this.#switched = this.arrival.protocol === 'http1' ? 101 : 200
    this.exchange?.handedDown(0)
    this.#owner.headSent(this)
    return caller
  }

  answered(head: ResponseHead, body: Buffer): void {
    this.#answered = true
    this.#release(null)
    this.exchange?.passedDown(body)
    const { answer } = this.arrival
    answer.last()
    const bare = head.status === 204 || head.status === 304
    const headers = bare || head.length !== null ? head.headers : [...head.headers, 'content-length', String(body.length)]
    answer.sendWhole({ ...head, headers, length: bare ? head.length : body.length, delimitedByClose: false }, body)
    this.#owner.headSent(this)
  }

  pays(way: 'up' | 'down', piece: Buffer): boolean { return this.exchange?.pays(piece.length) === true && this.exchange.taped(way, piece) }
  handedUp(bytes: Buffer): void { this.exchange?.passedUp(bytes) }
  handedDown(bytes: Buffer): void { this.exchange?.passedDown(bytes) }

  left(): void {
    this.#over = true
    this.#release(null)
    this.#owner.completed(this)
  }

  // ---- the four verbs

  freeze(): void {
    this.#thaw = THAW
    this.#tunnel?.freeze()
  }

  resume(): void {
    if (!this.#over && this.passes) this.#tunnel?.thaw()
  }

  cut(reason: Reason): void {
    if (this.#over) return
    this.#over = true
    this.#tunnel?.cut(reason)
    this.#release(isFault(reason) ? reason : null)
    if (this.#switched > 0) return
    if (this.#answered) this.arrival.answer.cut(reason, false)
    else this.#owner.refuse(this, reason)
  }

  // ---- limits and peers

  /** Housekeeping, a few times a second. */
  tick(now: Instant): void {
    const { exchange } = this
    if (exchange === null || this.#over || this.#tunnel === null) return
    const bytes = exchange.bytesUp + exchange.bytesDown
    if (bytes !== this.#bytesAtTick || exchange.state === 'frozen') {
      this.#bytesAtTick = bytes
      this.#moved = now
    }
    if (exchange.state === 'frozen') return
    if (this.#thaw > 0) this.#thaw--
    const still = now - this.#moved
    if (this.#switched > 0) {
      if (this.#settings.idle > 0 && still > this.#settings.idle) this.end('request_timeout')
    } else if (!this.#answered && !this.#tunnel.isAnswered && still > this.upstream.settings.timeout) this.end('upstream_timeout')
  }

  #release(fault: UpstreamFault | null): void {
    this.#place?.release(fault)
    this.#place = null
  }

  /** The way back closed: behind an ordinary answer, or because the caller left before there was one. */
  #answerGone(): void {
    if (this.#over || this.#switched > 0) return
    if (!this.#answered || !this.arrival.answer.finished) return this.end(this.frozenLately ? 'frozen_peer_closed' : 'caller_closed')
    this.#over = true
    this.#owner.completed(this)
  }
}

const isFault = (reason: Reason): reason is UpstreamFault => reason.startsWith('upstream_')
