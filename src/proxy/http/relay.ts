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
import { EventBoundary } from '../sse/event-boundary.ts'
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

const HEARTBEAT = 15_000
/** Ticks behind a resume in which a fault is still put down to the freeze: a paused socket tells of its peer's end only when it is read empty. */
const THAW = 4
/** A body this short goes out with its head, in one write; the head of a longer one is sent ahead when the body is late. */
const WITH_HEAD = 16_384

export class HttpRelay implements Relay {
  readonly arrival: Arrival
  readonly upstream: Upstream
  connection: Connection | null = null
  exchange: Exchange | null = null
  status = 0
  readonly #owner: RelayOwner
  readonly #path: string
  readonly #limits: { readonly body: number; readonly idle: number }
  #controller: AnswerController | null = null
  #upload: Upload | null = null
  #head: ResponseHead | null = null
  #events: EventBoundary | null = null
  #held: Buffer[] = []
  #trailers: { [name: string]: string } | null = null
  #dispatched = false
  #answered = false
  #over = false
  /** When bytes were last seen to move, as far as the ticks tell. */
  #moved = 0
  #bytesAtTick = 0
  #waitsForDrain = false
  #beat = 0
  #thaw = 0

  constructor(arrival: Arrival, upstream: Upstream, path: string, owner: RelayOwner, limits: { readonly body: number; readonly idle: number }) {
    this.arrival = arrival
    this.upstream = upstream
    this.#path = path
    this.#owner = owner
    this.#limits = limits
  }

  get passes(): boolean { return this.exchange?.open === true }
  get #frozenLately(): boolean { return this.exchange?.state === 'frozen' || this.#thaw > 0 }
  get hasBody(): boolean { return this.arrival.contentLength !== 0 }
  get obstacle(): Reason | null { return this.#limits.body > 0 && (this.arrival.contentLength ?? 0) > this.#limits.body ? 'body_too_large' : null }
  get answered(): boolean { return this.#answered }

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
    if (this.#over || exchange === null) return controller.abort(new Error('cut'))
    if (!this.passes) this.doubt()
    if (!this.#over && !this.passes) this.#owner.end(exchange, exchange.reason ?? 'stale')
  }

  onResponseStart(controller: AnswerController, status: number, _headers: unknown, text?: string): void {
    if (status < 200 || this.#over) return
    const head = responseHead(controller.rawHeaders, status, text ?? '')
    if (head === null && this.exchange !== null) return this.#owner.end(this.exchange, 'upstream_malformed')
    this.#head = head
    if (head?.eventStream === true) this.#events = new EventBoundary()
    if (this.exchange !== null) this.exchange.kind = this.#events !== null ? 'sse' : this.hasBody ? 'upload' : 'download'
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
    if (!this.#answered && this.#held.length === 0 && chunk.length === this.#head?.length && this.#isShort) return void this.#held.push(chunk)
    if (this.#held.length > 0 || !this.#answered || !this.passes) return this.#hold(chunk)
    this.#send(chunk)
  }

  onResponseEnd(_controller: AnswerController, trailers: unknown): void {
    if (this.#over) return
    this.#trailers = trailersOf(trailers)
    this.upstream.release(this, this.#upload === null || this.#upload.finished)
    if (this.exchange !== null && this.#frozenLately && this.#head?.delimitedByClose === true) return this.#owner.end(this.exchange, 'frozen_peer_closed')
    if (!this.#answered && this.#held.length === 1 && this.#isShort && this.passes) return this.#answerWhole()
    if (this.#held.length > 0 || !this.#answered || !this.passes) return this.#hold(null)
    this.#finish()
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
    const head = this.#head
    if (head === null) return
    this.#answered = true
    this.status = head.status
    this.arrival.response.writeHead(head.status, head.text, head.headers)
    this.#owner.headSent(this)
    if (head.length === null || head.length > WITH_HEAD) process.nextTick(flushHead, this.arrival.response)
  }

  /** Head and body in one write. */
  #answerWhole(): void {
    const [body] = this.#held
    const head = this.#head
    const { exchange } = this
    if (body === undefined || head === null || exchange === null) return
    this.#held = []
    this.#answered = true
    this.status = head.status
    exchange.handedDown(body.length)
    this.arrival.response.writeHead(head.status, head.text, head.headers)
    this.#owner.headSent(this)
    this.arrival.response.end(body.toString('latin1'), 'latin1')
  }

  #send(chunk: Buffer): void {
    const { exchange } = this
    exchange?.handedDown(chunk.length)
    this.#events?.follow(chunk)
    if (this.arrival.response.write(chunk)) return
    this.#controller?.pause()
    if (this.#waitsForDrain) return
    this.#waitsForDrain = true
    this.arrival.response.on('drain', () => this.#drained())
  }

  #drained(): void {
    if (this.#over || this.exchange?.state !== 'open') return
    if (this.#held.length > 0 || this.#trailers !== null) this.resume()
    else this.#controller?.resume()
  }

  #finish(): void {
    const { response } = this.arrival
    if (this.#trailers !== null && Object.keys(this.#trailers).length > 0) response.addTrailers(this.#trailers)
    response.end()
  }

  // ---- the four verbs

  freeze(): void {
    this.#controller?.pause()
    this.#beat = 0
    this.#thaw = THAW
  }

  resume(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (!this.#dispatched) return
    this.#upload?.release()
    if (this.#head !== null && !this.#answered && this.passes) this.#sendHead()
    while (this.#held.length > 0 && this.passes && !this.arrival.response.writableNeedDrain) {
      const chunk = this.#held.shift()
      if (chunk !== undefined) this.#send(chunk)
    }
    if (this.#held.length > 0 || !this.passes) return
    if (this.#trailers !== null && this.#answered) this.#finish()
    else if (!this.arrival.response.writableNeedDrain) this.#controller?.resume()
  }

  cut(reason: Reason): void {
    if (this.#over) return
    this.#over = true
    this.#held = []
    const { response, raw } = this.arrival
    if (this.#dispatched) {
      this.#controller?.abort(new Error(reason))
      this.upstream.release(this, false)
      this.#upload?.destroy()
    }
    if (!this.#answered && (WIRE.has(reason) || this.#upload === null || this.#upload.finished)) return this.#owner.refuse(this, reason)
    if (this.#events?.at === true && !WIRE.has(reason) && response.writableLength === 0 && raw.writableLength === 0) response.end()
    else reset(raw)
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
    if (exchange.state === 'frozen') return this.#heartbeat(now)
    if (this.#thaw > 0 && !this.arrival.response.writableNeedDrain) this.#thaw--
    if (this.#upload !== null && !this.#upload.finished && now - this.#moved > this.#limits.idle) return this.#owner.end(exchange, 'request_timeout')
    if (this.#head === null && now - this.#moved > this.upstream.settings.timeout) this.#owner.end(exchange, 'upstream_timeout')
  }

  #heartbeat(now: Instant): void {
    const { response } = this.arrival
    this.#moved = now
    if (this.#beat === 0) this.#beat = now
    if (this.#events?.at !== true || !this.#answered || now - this.#beat < HEARTBEAT || response.writableLength > 0) return
    this.#beat = now
    response.write(':\n\n')
  }

  #callerDone(): void {
    const complete = this.arrival.response.writableFinished
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (complete && this.#answered) {
      this.#over = true
      this.upstream.release(this, false)
      this.#owner.completed(this)
      return
    }
    this.#owner.end(exchange, this.#frozenLately ? 'frozen_peer_closed' : 'caller_closed')
  }
}

function flushHead(response: ServerResponse): void {
  if (response.headersSent && !response.writableEnded && !response.destroyed) response.flushHeaders()
}

/** Drops what is queued, in this process and, but for a few packets, in the kernel. */
function reset(raw: Socket): void {
  if (!raw.destroyed) raw.resetAndDestroy()
}
