// One HTTP exchange between a caller's socket and an upstream's: passes bytes both ways through the gate, with back-pressure,
// and carries out what enforcement tells it. It decides nothing. SPEC: ENF2, ENF5, ENF6, WIRE7, WIRE10, WIRE11
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import type { Relay } from '../../enforcement/admit.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import { WIRE } from '../../enforcement/exchange-recorder.ts'
import type { AnswerController, Connection, Upstream, UpstreamRequest } from '../../upstream/upstream.ts'
import { CallerSide, WITH_HEAD } from './caller-side.ts'
import { type ResponseHead, responseHead, trailersOf } from './response-head.ts'
import { Upload } from './upload.ts'
import { upstreamFault } from './upstream-fault.ts'

/** What the pipeline does for its relays. */
export interface RelayOwner {
  doubt(exchange: Exchange): void
  /** Ends the exchange for a reason that came up on the wire. */
  end(exchange: Exchange, reason: Reason): void
  /** Answers with a refusal; the response head has not begun. */
  refuse(relay: HttpRelay, reason: Reason): void
  /** Names and values of the head that goes upstream. Asked once, at the dispatch. */
  outgoing(relay: HttpRelay): readonly string[]
  headSent(relay: HttpRelay): void
  /** The whole answer was handed to the caller's socket. */
  completed(relay: HttpRelay): void
}

export type Arrival = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Bytes of the body; null when chunked. */
  readonly contentLength: number | null
  readonly expectsContinue: boolean
  /** The TCP socket under the response, also where TLS lies between. */
  readonly raw: Socket
  readonly at: Instant
}

/** Ticks behind a resume in which a fault is still put down to the freeze: a paused socket tells of its peer's end only when it is read empty. */
const THAW = 4

/** What the upstream's connection is told, nobody else: one for all, as the trace of each would cost more than the cut. */
const CUT = new Error('cut')

export class HttpRelay implements Relay {
  readonly arrival: Arrival
  readonly upstream: Upstream
  connection: Connection | null = null
  exchange: Exchange | null = null
  readonly #caller: CallerSide
  readonly #owner: RelayOwner
  readonly #path: string
  readonly #limits: { readonly body: number; readonly idle: number }
  #controller: AnswerController | null = null
  #upload: Upload | null = null
  #head: ResponseHead | null = null
  #held: Buffer[] = []
  #trailers: { [name: string]: string } | null = null
  #dispatched = false
  #over = false
  /** When bytes were last seen to move, as far as the ticks tell. */
  #moved = 0
  #bytesAtTick = 0
  #thaw = 0

  constructor(arrival: Arrival, upstream: Upstream, path: string, owner: RelayOwner, limits: { readonly body: number; readonly idle: number }) {
    this.arrival = arrival
    this.upstream = upstream
    this.#path = path
    this.#owner = owner
    this.#limits = limits
    this.#caller = new CallerSide(arrival.response, arrival.raw, () => this.#drained())
  }

  get status(): number { return this.#caller.status }

  get passes(): boolean { return this.exchange?.open === true }
  get #frozenLately(): boolean { return this.exchange?.state === 'frozen' || this.#thaw > 0 }
  get hasBody(): boolean { return this.arrival.contentLength !== 0 }
  get obstacle(): Reason | null { return this.#limits.body > 0 && (this.arrival.contentLength ?? 0) > this.#limits.body ? 'body_too_large' : null }
  get answered(): boolean { return this.#caller.answered }

  // ---- admission

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    this.#moved = exchange.openedAt
    this.arrival.response.on('close', () => this.#callerDone())
  }

  outgoing(): UpstreamRequest {
    const { request, response, expectsContinue } = this.arrival
    this.#dispatched = true
    if (this.hasBody) {
      this.#upload = new Upload(request, this)
      if (this.exchange !== null) this.exchange.kind = 'upload'
      if (expectsContinue) response.writeContinue()
    }
    return { method: request.method ?? 'GET', path: this.#path, headers: this.#owner.outgoing(this), body: this.#upload }
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.#owner.end(this.exchange, reason)
    this.#over = true
    this.#owner.refuse(this, reason)
  }

  // ---- from the upstream

  /** The connection is there and nothing was written to it yet: what the gate holds back now is not sent at all. */
  onRequestStart(controller: AnswerController): void {
    this.#controller = controller
    const { exchange } = this
    if (this.#over || exchange === null) return controller.abort(CUT)
    if (!this.passes) this.doubt()
    if (!this.#over && !this.passes) this.#owner.end(exchange, exchange.reason ?? 'stale')
  }

  onResponseStart(controller: AnswerController, status: number, _headers: unknown, text?: string): void {
    if (status < 200 || this.#over) return
    const head = responseHead(controller.rawHeaders, status, text ?? '')
    if (head === null && this.exchange !== null) return this.#owner.end(this.exchange, 'upstream_malformed')
    this.#head = head
    if (this.exchange !== null) this.exchange.kind = head?.eventStream === true ? 'sse' : this.hasBody ? 'upload' : 'download'
    if (this.#isShort) return
    if (this.passes) this.#sendHead()
    else this.#hold(null)
  }

  /** A body so short that head and body go out as one, when its end is there. */
  get #isShort(): boolean {
    const length = this.#head?.length ?? null
    return length !== null && length > 0 && length <= WITH_HEAD && this.arrival.request.method !== 'HEAD' && this.#head?.status !== 304
  }

  onResponseData(_controller: AnswerController, chunk: Buffer): void {
    if (this.#over) return
    if (!this.answered && this.#held.length === 0 && chunk.length === this.#head?.length && this.#isShort) return void this.#held.push(chunk)
    if (this.#held.length > 0 || !this.answered || !this.passes) return this.#hold(chunk)
    this.#send(chunk)
  }

  onResponseEnd(_controller: AnswerController, trailers: unknown): void {
    if (this.#over) return
    this.#trailers = trailersOf(trailers)
    this.upstream.release(this, this.#upload === null || this.#upload.finished)
    if (this.exchange !== null && this.#frozenLately && this.#head?.delimitedByClose === true) return this.#owner.end(this.exchange, 'frozen_peer_closed')
    if (!this.answered && this.#held.length === 1 && this.#isShort && this.passes) return this.#answerWhole()
    if (this.#held.length > 0 || !this.answered || !this.passes) return this.#hold(null)
    this.#caller.finish(this.#trailers ?? {})
  }

  onResponseError(_controller: AnswerController, error: Error): void {
    this.upstream.release(this, false)
    if (this.#over || this.exchange === null) return
    this.#owner.end(this.exchange, this.#frozenLately ? 'frozen_peer_closed' : upstreamFault(error))
  }

  #hold(chunk: Buffer | null): void {
    if (chunk !== null) this.#held.push(chunk)
    this.#controller?.pause()
    const { exchange } = this
    if (exchange?.state === 'open') this.#owner.doubt(exchange)
  }

  // ---- to the caller; each called only behind an open gate, in the same turn

  #sendHead(): void {
    if (this.#head === null) return
    this.exchange?.handedDown(0)
    this.#caller.sendHead(this.#head)
    this.#owner.headSent(this)
  }

  #answerWhole(): void {
    const [body] = this.#held
    if (body === undefined || this.#head === null) return
    this.#held = []
    this.exchange?.handedDown(body.length)
    this.#owner.headSent(this)
    this.#caller.sendWhole(this.#head, body)
  }

  #send(chunk: Buffer): void {
    this.exchange?.handedDown(chunk.length)
    if (!this.#caller.send(chunk)) this.#controller?.pause()
  }

  #drained(): void {
    if (this.#over || this.exchange?.state !== 'open') return
    if (this.#held.length > 0 || this.#trailers !== null) this.resume()
    else this.#controller?.resume()
  }

  // ---- the four verbs

  freeze(): void {
    this.#controller?.pause()
    this.#caller.hold()
    this.#thaw = THAW
  }

  resume(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (exchange.state === 'open') this.#caller.release()
    if (!this.#dispatched) return
    this.#upload?.release()
    if (this.#head !== null && !this.answered && this.passes) this.#sendHead()
    while (this.#held.length > 0 && this.passes && !this.#caller.full) {
      const chunk = this.#held.shift()
      if (chunk !== undefined) this.#send(chunk)
    }
    if (this.#held.length > 0 || !this.passes) return
    if (this.#trailers !== null && this.answered) this.#caller.finish(this.#trailers ?? {})
    else if (!this.#caller.full) this.#controller?.resume()
  }

  cut(reason: Reason): void {
    if (this.#over) return
    this.#over = true
    this.#held = []
    if (this.#head !== null && (this.#upload?.finished ?? true)) this.upstream.endBehind(() => this.#letGo()) // the request is long there
    else if (this.#dispatched) this.#letGo()
    if (this.answered || !(WIRE.has(reason) || this.#upload === null || this.#upload.finished)) return this.#caller.cut(!WIRE.has(reason))
    this.#caller.release()
    this.#owner.refuse(this, reason)
  }

  #letGo(): void {
    this.#controller?.abort(CUT)
    this.upstream.release(this, false)
    this.#upload?.destroy()
  }

  // ---- limits and peers

  doubt(): void {
    if (this.exchange?.state === 'open') this.#owner.doubt(this.exchange)
  }

  counted(bytes: number): boolean {
    const { exchange } = this
    if (exchange === null) return false
    exchange.handedUp(bytes)
    if (this.#limits.body === 0 || exchange.bytesUp <= this.#limits.body) return true
    this.#owner.end(exchange, 'body_too_large')
    return false
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
      if (this.answered) this.#caller.heartbeat(now)
      return
    }
    if (this.#thaw > 0 && !this.#caller.full) this.#thaw--
    if (this.#upload !== null && !this.#upload.finished && now - this.#moved > this.#limits.idle) return this.#owner.end(exchange, 'request_timeout')
    if (this.#head === null && now - this.#moved > this.upstream.settings.timeout) this.#owner.end(exchange, 'upstream_timeout')
  }

  #callerDone(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (this.#caller.finished && this.answered) {
      this.#over = true
      this.upstream.release(this, false)
      this.#owner.completed(this)
      return
    }
    this.#owner.end(exchange, this.#frozenLately ? 'frozen_peer_closed' : 'caller_closed')
  }
}
