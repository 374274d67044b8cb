// One HTTP exchange between a caller and an upstream: passes bytes both ways through the gate, with back-pressure,
// and carries out what enforcement tells it. It decides nothing and knows no wire. SPEC: ENF2, ENF5, ENF6, WIRE7, WIRE10, WIRE11
import type { Grant } from '../../core/decision.ts'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import type { Relay } from '../../enforcement/admit.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import { WIRE } from '../../enforcement/exchange-recorder.ts'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../upstream/handler.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { type Answer, type Arrival, WITH_HEAD } from '../arrival.ts'
import type { Departing } from '../departures.ts'
import type { Inspection } from './inspection.ts'
import type { RelayOwner } from './relay-owner.ts'
import { interimHead, type ResponseHead, trailersOf } from './response-head.ts'
import { Upload } from './upload.ts'

/** Ticks behind a resume in which a fault is still put down to the freeze: a paused socket tells of its peer's end only when it is read empty. */
const THAW = 4
const NO_TRAILERS: readonly string[] = []

export class HttpRelay implements Relay, UpstreamHandler, Departing {
  readonly arrival: Arrival
  readonly upstream: Upstream
  exchange: Exchange | null = null
  readonly #answer: Answer
  readonly #owner: RelayOwner
  readonly path: string
  readonly #inspection: Inspection | null
  readonly #announced: number | null
  readonly #limits: { readonly body: number; readonly idle: number }
  #sending: Sending | null = null
  #upload: Upload | null = null
  #head: ResponseHead | null = null
  #held: Buffer[] = []
  /** The upstream's part is over; what is left of it is in `#held`. */
  #trailers: readonly string[] | null = null
  #dispatched = false
  #over = false
  #watchesDrain = false
  /** When bytes were last seen to move, as far as the ticks tell. */
  #moved = 0
  #bytesAtTick = 0
  #thaw = 0

  /** @param contentLength bytes of the request's body; null when only its end tells @param inspection reads it before, or did; null where nobody does */
  constructor(arrival: Arrival, contentLength: number | null, inspection: Inspection | null, upstream: Upstream, path: string, owner: RelayOwner, limits: { readonly body: number; readonly idle: number }) {
    this.arrival = arrival
    this.upstream = upstream
    this.#answer = arrival.answer
    this.#announced = contentLength
    this.#inspection = inspection
    this.path = path
    this.#owner = owner
    this.#limits = limits
  }

  get source(): string { return this.#owner.sourceAddress }
  get status(): number { return this.#answer.status }
  get passes(): boolean { return this.exchange?.open === true }
  get #contentLength(): number | null { return this.#inspection === null ? this.#announced : this.#inspection.length }
  get #answered(): boolean { return this.status !== 0 }
  get #frozenLately(): boolean { return this.exchange?.state === 'frozen' || this.#thaw > 0 }

  // ---- admission

  obstacle(grant: Grant): Reason | null {
    if (this.#limits.body > 0 && (this.#contentLength ?? 0) > this.#limits.body) return 'body_too_large'
    return this.#owner.isTooEarly(grant) ? 'too_early' : (this.#inspection?.obstacle() ?? null)
  }

  inspect(): Promise<Reason | null> { return this.#inspection?.read() ?? Promise.resolve('internal_error') }
  bearer(): string | null { return this.#owner.bearer() }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    this.#moved = exchange.openedAt
    if (this.#contentLength !== 0) exchange.kind = 'upload'
    this.#answer.onClose(() => this.#callerDone())
  }

  dispatch(): void {
    this.#dispatched = true
    this.upstream.send(this)
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.#owner.end(this.exchange, reason)
    this.#over = true
    this.#owner.refuse(this, reason)
  }

  // ---- from the upstream

  /** The connection is there and nothing was written to it yet: what the gate holds back now is not sent at all. */
  outgoing(sending: Sending): UpstreamRequest | null {
    const { exchange } = this
    if (this.#over || exchange === null) return null
    if (!this.passes) this.doubt()
    if (!this.#over && (!this.passes || exchange.finishUntil !== null)) this.#owner.end(exchange, exchange.reason ?? 'stale') // what only finishes is not sent once more
    if (this.#over) return null
    const headers = this.#owner.outgoing(this)
    if (this.#over) return null
    this.#sending = sending
    if (this.#contentLength === 0) exchange.whole = true
    else {
      if (this.arrival.expectsContinue && this.#inspection === null) this.#answer.proceed()
      process.nextTick(() => { // behind the head
        if (!this.#over) this.#upload ??= new Upload(this.#inspection?.stream ?? this.arrival.body, sending, this)
      })
    }
    return { method: this.arrival.method, path: this.path, headers, bodyLength: this.#contentLength }
  }

  drained(): void { this.#upload?.drained() }

  informed(head: AnswerHead): void {
    if (!this.#over && !this.#answered && this.passes) this.#answer.inform(head.status, this.#owner.told(interimHead(head)))
  }

  answered(head: AnswerHead): void {
    if (this.#over) return
    const { exchange } = this
    this.#head = this.#owner.responseHead(this, head)
    if (this.#head === null && exchange !== null) return this.#owner.end(exchange, 'upstream_malformed')
    if (exchange !== null) exchange.kind = this.#head?.eventStream === true ? 'sse' : this.#contentLength !== 0 ? 'upload' : 'download'
    if (this.#isShort) return
    if (this.passes) this.#sendHead()
    else this.#hold(null)
  }

  /** A body so short that head and body go out as one, when its end is there. */
  get #isShort(): boolean {
    const length = this.#head?.length ?? null
    return length !== null && length > 0 && length <= WITH_HEAD && this.arrival.method !== 'HEAD' && this.#head?.status !== 304
  }

  data(chunk: Buffer): void {
    if (this.#over) return
    if (!this.#answered && this.#held.length === 0 && chunk.length === this.#head?.length && this.#isShort) return void this.#held.push(chunk)
    if (this.#held.length > 0 || !this.#answered || !this.passes || !this.#paysDown(chunk)) return this.#hold(chunk)
    this.#send(chunk)
  }

  ended(trailers: readonly string[]): void {
    if (this.#over) return
    this.#trailers = trailers.length === 0 ? NO_TRAILERS : this.#owner.told(trailersOf(trailers))
    this.#sending = null
    if (this.exchange !== null && this.#frozenLately && this.#head?.delimitedByClose === true) return this.#owner.end(this.exchange, 'frozen_peer_closed')
    if (!this.#answered && this.#held.length === 1 && this.#isShort && this.#trailers.length === 0 && this.passes) return this.#owner.leaving(this)
    if (this.#held.length > 0 || !this.#answered || !this.passes) return this.#hold(null)
    this.#answer.finish(this.#trailers)
  }

  failed(fault: UpstreamFault): void {
    this.#sending = null
    if (this.#over || this.exchange === null) return
    this.#owner.end(this.exchange, this.#frozenLately ? 'frozen_peer_closed' : fault)
  }

  #hold(chunk: Buffer | null): void {
    if (chunk !== null) this.#held.push(chunk)
    this.#sending?.pause()
    const { exchange } = this
    if (exchange?.state === 'open') this.#owner.doubt(exchange)
  }

  // ---- to the caller; each called only behind an open gate, in the same turn

  #sendHead(): void {
    if (this.#head === null) return
    this.exchange?.handedDown(0)
    this.#answer.sendHead(this.#head)
    this.#owner.headSent(this)
  }

  /** Head and body at once, when the turn in which the end came is over: what happened in it is asked for here. */
  depart(): void {
    const [body] = this.#held
    if (this.#over || this.#answered || body === undefined || this.#head === null) return
    if (!this.passes || !this.#paysDown(body)) return this.#hold(null)
    this.#held = []
    this.exchange?.passedDown(body)
    this.#owner.headSent(this)
    this.#answer.sendWhole(this.#head, body)
  }

  #send(chunk: Buffer): void {
    this.exchange?.passedDown(chunk)
    if (this.#answer.send(chunk)) return
    this.#sending?.pause()
    if (!this.#watchesDrain) this.#answer.onDrain(() => this.#roomier())
    this.#watchesDrain = true
  }

  #roomier(): void {
    if (this.#over || this.exchange?.state !== 'open') return
    if (this.#held.length > 0 || this.#trailers !== null) this.resume()
    else this.#sending?.resume()
  }

  // ---- the four verbs

  freeze(): void {
    this.#sending?.pause()
    this.#answer.hold()
    this.#thaw = THAW
  }

  resume(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (exchange.state === 'open') this.#answer.release()
    if (!this.#dispatched) return
    this.#upload?.release()
    if (this.#head !== null && !this.#answered && this.passes) this.#sendHead()
    for (let next = this.#held[0]; next !== undefined && this.passes && !this.#answer.full && this.#paysDown(next); next = this.#held[0]) {
      this.#held.shift()
      this.#send(next)
    }
    if (this.#held.length > 0 || !this.passes) return
    if (this.#trailers !== null && this.#answered && !this.#answer.ended) this.#answer.finish(this.#trailers)
    else if (!this.#answer.full) this.#sending?.resume()
  }

  cut(reason: Reason): void {
    if (this.#over) return
    this.#over = true
    this.#held = []
    const asked = this.#upload?.finished ?? this.#contentLength === 0
    this.#upload?.stop()
    if (this.#sending !== null) {
      if (this.#head !== null && asked) this.upstream.endBehind(this.#sending) // the request is long there
      else this.#sending.abort()
    } else if (this.#dispatched && this.#head === null) this.upstream.withdraw(this)
    this.#sending = null
    const own = !WIRE.has(reason)
    if (this.#answered || (own && this.#upload !== null && !asked)) return this.#answer.cut(reason, own)
    this.#answer.release()
    this.#owner.refuse(this, reason)
  }

  // ---- limits and peers

  doubt(): void {
    if (this.exchange?.state === 'open') this.#owner.doubt(this.exchange)
  }

  pays(piece: Buffer): boolean { return this.exchange?.pays(piece.length) === true && this.exchange.taped('up', piece) }

  #paysDown(piece: Buffer): boolean { return this.exchange?.pays(piece.length) === true && this.exchange.taped('down', piece) }

  handing(chunk: Buffer): void { this.exchange?.digests?.up.update(chunk) }

  counted(bytes: number): boolean {
    const { exchange } = this
    if (exchange === null) return false
    exchange.handedUp(bytes)
    if (this.#limits.body === 0 || exchange.bytesUp <= this.#limits.body) return true
    this.#owner.end(exchange, 'body_too_large')
    return false
  }

  trailersUp(): readonly string[] {
    if (this.exchange !== null) this.exchange.whole = true
    return this.#owner.trailersUp()
  }

  /** Housekeeping, a few times a second: time limits of an exchange that stands, signs of life of one that is frozen. */
  tick(now: Instant): void {
    const { exchange } = this
    if (exchange === null || this.#over || !this.#dispatched) return
    const bytes = exchange.bytesUp + exchange.bytesDown
    if (bytes !== this.#bytesAtTick) {
      this.#bytesAtTick = bytes
      this.#moved = now
    }
    if (exchange.state === 'frozen') {
      this.#moved = now
      if (this.#answered) this.#answer.heartbeat(now)
      return
    }
    if (this.#thaw > 0 && !this.#answer.full) this.#thaw--
    if ((this.#answer.full || this.#upload?.finished === false) && now - this.#moved > this.#limits.idle) return this.#owner.end(exchange, 'request_timeout')
    if (!this.#answered && now - this.#moved > this.upstream.settings.timeout) this.#owner.end(exchange, 'upstream_timeout')
  }

  #callerDone(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (this.#answer.finished && this.#answered) {
      this.#over = true
      this.#upload?.stop()
      this.#sending?.abort()
      this.#owner.completed(this)
      return
    }
    this.#owner.end(exchange, this.#frozenLately ? 'frozen_peer_closed' : 'caller_closed')
  }
}
