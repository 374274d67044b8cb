// A connection to an upstream that speaks HTTP/1.1: one exchange at a time, used again only behind a whole, well-framed answer to a request
// that was sent whole. Waits for answers without end: how long is not its business. SPEC: WIRE7, WIRE12, WIRE22, ENF10
import type { Socket } from 'node:net'
import { type Duration, duration } from '../../core/time.ts'
import { BAD } from '../../http1/field-block.ts'
import type { AnswerHead, UpstreamFault, UpstreamHandler } from '../handler.ts'
import { post } from './outbox.ts'
import { Http1Place, type PlaceOwner } from './place.ts'
import { requestHead } from './request-head.ts'
import { type AnswerReader, ResponseParser, type ResponseLimits, RESPONSE_LIMITS } from './response-parser.ts'

export interface Http1Owner {
  /** The head of an answer came. */
  answered(status: number): void
  /** Its exchange failed, by no doing of this side. */
  failed(): void
  /** It may carry another exchange. */
  idle(connection: Http1Connection): void
  /** It carries nothing any more. Told once, before the handler is told of a fault. */
  gone(connection: Http1Connection): void
}

const NOTHING = Buffer.alloc(0)
/** An upstream that closes idle connections is believed to do so this much earlier than it says. */
const KEEP_ALIVE_MARGIN = 1_000
const KEEP_ALIVE_MAX = 60_000

export class Http1Connection implements PlaceOwner, AnswerReader {
  readonly #socket: Socket
  readonly #owner: Http1Owner
  readonly #keepAlive: Duration
  readonly #parser: ResponseParser
  #timer: NodeJS.Timeout
  #timerSpan: Duration
  #place: Http1Place | null = null
  #paused = false
  #gone = false
  #closing = false
  #exchanges = 0
  #answerBegan = false
  #bodyBegan = false

  /** @param socket is open, and was read by nobody */
  constructor(socket: Socket, owner: Http1Owner, keepAlive: Duration, limits: ResponseLimits = RESPONSE_LIMITS) {
    this.#socket = socket
    this.#owner = owner
    this.#keepAlive = keepAlive
    this.#parser = new ResponseParser(this, limits)
    this.#timerSpan = keepAlive
    this.#timer = this.#startTimer(keepAlive)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onEnd())
    socket.on('error', () => this.#lose())
    socket.on('close', () => this.#lose())
  }

  /** Exchanges whose head was written on it. */
  get exchanges(): number { return this.#exchanges }
  /** Of the exchange it has, or had last: something of its answer came; something of its body was handed to the socket. */
  get answerBegan(): boolean { return this.#answerBegan }
  get bodyBegan(): boolean { return this.#place?.bodyBegan ?? this.#bodyBegan }

  /** Sends the handler's request. Asked of an idle connection alone; it is idle again at once when there is nothing to send. */
  send(handler: UpstreamHandler): void {
    if (this.#gone || this.#socket.destroyed || this.#place !== null) return handler.failed('upstream_reset')
    const place = new Http1Place(handler, this, this.#socket)
    this.#place = place
    this.#answerBegan = this.#bodyBegan = false
    const request = handler.outgoing(place)
    if (place.over) return
    const head = request === null ? null : requestHead(request)
    if (request === null || head === null) return this.#unsent(place, request === null)
    this.#exchanges++
    this.#parser.begin(request.method === 'HEAD')
    place.announce(request.bodyLength)
    if (place.sent) post(this.#socket, head)
    else this.#begin(head)
  }

  /** What of its body is there already goes with it, in one write: whoever has it hands it on in this turn, behind the head. */
  #begin(head: string): void {
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    process.nextTick(uncork, this.#socket)
  }

  /** No further exchange: closed now when it is idle, else behind the one it has. */
  close(): void {
    this.#closing = true
    if (this.#place === null) this.#destroy()
  }

  // ---- from the exchange

  pause(place: Http1Place): void {
    if (place !== this.#place) return
    this.#paused = true
    this.#parser.halt()
    this.#socket.pause()
  }

  resume(place: Http1Place): void {
    if (place !== this.#place || !this.#paused) return
    this.#paused = false
    this.#parser.proceed()
    if (this.#parser.whole) process.nextTick(() => this.#read(NOTHING)) // no octet will come that could tell its end
    this.#socket.resume()
  }

  abort(place: Http1Place): void {
    if (place !== this.#place) return
    this.#leave(place)
    this.#parser.halt()
    this.#destroy()
  }

  misframed(place: Http1Place): void {
    if (place === this.#place) this.#fail('upstream_malformed')
  }

  // ---- from the parser

  informed(head: AnswerHead): void { this.#place?.handler.informed(head) }

  answered(head: AnswerHead): void {
    this.#owner.answered(head.status)
    this.#place?.handler.answered(head)
  }

  data(chunk: Buffer): void { this.#place?.handler.data(chunk) }

  ended(trailers: readonly string[]): void {
    const place = this.#place
    if (place === null) return
    this.#leave(place)
    place.handler.ended(trailers)
    if (!place.sent || this.#socket.writableLength > 0 || !this.#parser.reusable) this.#destroy()
  }

  // ---- from the socket

  #onData(chunk: Buffer): void {
    if (this.#place === null) return this.#destroy() // nobody asked for it
    this.#answerBegan = true
    this.#read(chunk)
  }

  #read(chunk: Buffer): void {
    const place = this.#place
    if (place === null) return
    const taken = this.#parser.read(chunk)
    if (taken === BAD) return this.#fail('upstream_malformed')
    const surplus = taken < chunk.length
    if (this.#place === place) return surplus ? this.#socket.unshift(chunk.subarray(taken)) : undefined // paused: the rest comes again
    if (!this.#gone) this.#becomeIdle(surplus)
  }

  #onDrain(): void {
    const place = this.#place
    if (place === null || !place.full) return
    place.full = false
    if (!place.sent) place.handler.drained()
  }

  #onEnd(): void {
    if (this.#parser.close()) this.#read(NOTHING)
    else this.#lose()
  }

  /** An answer that is whole is told to its end, when the exchange takes it. */
  #lose(): void {
    if (this.#place !== null && this.#parser.whole) this.#destroy()
    else this.#fail('upstream_reset')
  }

  // ---- its end

  #unsent(place: Http1Place, given: boolean): void {
    this.#leave(place)
    if (!given) place.handler.failed('upstream_malformed')
    if (!this.#gone) this.#becomeIdle(false)
  }

  #becomeIdle(surplus: boolean): void {
    // More than was asked for would be taken for the next exchange's answer.
    if (this.#closing || surplus || this.#socket.readableLength > 0 || !this.#armTimer()) return this.#destroy()
    this.#owner.idle(this)
  }

  #fail(fault: UpstreamFault): void {
    const place = this.#place
    if (place !== null) this.#leave(place)
    this.#destroy()
    if (place === null) return
    this.#owner.failed()
    place.handler.failed(fault)
  }

  #leave(place: Http1Place): void {
    place.over = true
    this.#bodyBegan = place.bodyBegan
    this.#place = null
    this.#paused = false
  }

  #destroy(): void {
    if (this.#gone) return
    this.#gone = true
    clearTimeout(this.#timer)
    this.#socket.destroy()
    this.#owner.gone(this)
  }

  /** @returns false when the upstream keeps it no longer than it takes to tell */
  #armTimer(): boolean {
    const said = this.#parser.keepAlive
    const span = said === null ? this.#keepAlive : duration(Math.min(said - KEEP_ALIVE_MARGIN, KEEP_ALIVE_MAX))
    if (span <= 0) return false
    if (span === this.#timerSpan) this.#timer.refresh()
    else {
      clearTimeout(this.#timer)
      this.#timer = this.#startTimer(span)
    }
    return true
  }

  #startTimer(span: Duration): NodeJS.Timeout {
    this.#timerSpan = span
    return setTimeout(() => {
      if (this.#place === null) this.#destroy()
    }, span).unref()
  }
}

const uncork = (socket: Socket): void => socket.uncork()
