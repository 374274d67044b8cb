// The caller's half of an exchange in HTTP/2: head, body and end of the answer on its stream, at most one window's worth handed to the connection at
// a time, held back, ended politely or reset as told, and the gateway's own refusals. Never ends the connection. SPEC: ENF6, ENF10, WIRE8, WIRE10, WIRE16, WIRE17
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import type { Answer } from '../arrival.ts'
import { grpcTrailers } from '../grpc/refusal.ts'
import type { ResponseHead } from '../http/response-head.ts'
import { problem, type RefusalText } from '../refusal.ts'
import { EventBoundary } from '../sse/event-boundary.ts'
import { fields, isTrailersOnly, linesOf } from './answer-fields.ts'
import { closeStream } from './close-stream.ts'

/** How this caller understands a refusal and a cut. */
type Form = 'plain' | 'grpc'

const HEARTBEAT = 15_000
/** What is handed to the connection and not yet on its way, and what may wait behind it, each. */
const ROOM = 65_536
/** Longest a polite end may take (RULES 17). */
const POLITE = 250
const NO_TRAILERS: readonly string[] = []
const COMMENT: Buffer = Buffer.from(':\n\n')
const ignore = (): void => {}

export class Http2Answer implements Answer {
  status = 0
  readonly #stream: ServerHttp2Stream
  readonly #form: Form
  readonly #head: boolean
  /** A head without a body, sent with its end: the stream is over when it goes out. gRPC reads a status in a head nowhere else. */
  #bodyless: readonly string[] | null = null
  #events: EventBoundary | null = null
  #queue: Buffer[] = []
  #queued = 0
  #handed = 0
  #full = false
  #held = false
  #ended = false
  #resets = false
  /** Its head promised trailers: node asks for them behind the last byte. */
  #trails = false
  #tunnel = false
  #lost = 0
  #overtook = false
  #trailers = NO_TRAILERS
  #beat = 0
  #drained = ignore

  /** @param head the request was a HEAD */
  constructor(stream: ServerHttp2Stream, form: Form, head: boolean) {
    this.#stream = stream
    this.#form = form
    this.#head = head
    stream.on('aborted', () => this.#aborted())
    stream.on('wantTrailers', () => this.#lastFrame())
  }

  get gone(): boolean { return this.#resets || this.#stream.closed || this.#stream.destroyed }
  get ended(): boolean { return this.#ended }
  /** Known when the stream is over; node does not always tell its writable side before. */
  get finished(): boolean { return this.#ended && this.gone && !this.#resets && this.#queue.length === 0 && this.#stream.rstCode === constants.NGHTTP2_NO_ERROR && !this.#stream.aborted }
  get waiting(): number { return this.#queued + this.#handed }
  get full(): boolean { return this.#full }
  /** Something final was said, or the exchange was ended here: whatever becomes of the stream is not the caller's whim. */
  get settled(): boolean { return this.status !== 0 || this.#ended || this.#resets }

  /** It came to its end here, in whatever way, while the body was still coming. */
  get overtook(): boolean { return this.#overtook }

  /** Bytes that its reset left in the connection: node never takes them off the connection's account. */
  get lost(): number { return this.#lost }

  onClose(listener: () => void): () => void {
    this.#stream.once('close', listener)
    return () => this.#stream.off('close', listener)
  }

  onDrain(listener: () => void): void {
    this.#drained = listener
  }

  proceed(): void { this.inform(100, NO_TRAILERS) }

  inform(status: number, headers: readonly string[]): void {
    if (!this.gone && this.status === 0) this.#try(() => this.#stream.additionalHeaders({ ...fields(headers), ':status': status }))
  }

  sendHead(head: ResponseHead): void {
    this.status = head.status
    if (this.gone) return
    if (head.eventStream && head.length === null && !head.encoded) this.#events = new EventBoundary() // else nothing can be added, and only its own end is an end
    const lines = linesOf(head.status, head.headers)
    if (this.#head || head.status === 204 || head.status === 205 || head.status === 304 || (this.#form === 'grpc' && isTrailersOnly(lines))) this.#bodyless = lines
    else {
      this.#trails = true
      this.#try(() => this.#stream.respond(lines, { waitForTrailers: true }))
    }
  }

  sendWhole(head: ResponseHead, body: Buffer): void {
    this.status = head.status
    this.#say(linesOf(head.status, head.headers), body)
  }

  send(chunk: Buffer): boolean {
    if (this.#bodyless !== null) this.#reset(constants.NGHTTP2_INTERNAL_ERROR) // there cannot be a body
    if (this.gone) return true
    this.#events?.follow(chunk)
    this.#queue.push(chunk)
    this.#queued += chunk.length
    this.#pump()
    this.#full ||= this.#queued + this.#handed >= ROOM
    return !this.#full
  }

  finish(trailers: readonly string[]): void {
    if (this.#ended) return
    this.#ended = true
    this.#trailers = trailers
    if (this.#bodyless !== null) this.#sayAlone(this.#bodyless)
    else this.#pump()
  }

  hold(): void {
    this.#held = true
    this.#beat = 0
  }

  release(): void {
    this.#held = false
    this.#pump()
  }

  heartbeat(now: Instant): void {
    if (this.#beat === 0) this.#beat = now
    if (this.#bodyless !== null || this.#events?.at !== true || now - this.#beat < HEARTBEAT || this.waiting > 0 || this.#ended || this.gone) return
    this.#hand(COMMENT)
    this.#beat = now
  }

  /**
   * A whole end of an event stream between two events, where nothing waits; else a reset, which drops what waits. A call of gRPC says what ended it,
   * whatever it was: its status cannot be taken for a whole answer.
   */
  cut(reason: Reason, politely: boolean): void {
    if (this.gone) return
    const free = this.waiting === 0 && !this.#ended && this.#bodyless === null
    if (free && this.#form === 'grpc') {
      if (this.status === 0) this.#refuseCall([], grpcTrailers(reason, null))
      else this.#endWith(grpcTrailers(reason, null))
    } else if (free && politely && this.#events?.at === true) this.#endWith(NO_TRAILERS)
    else this.#reset(constants.NGHTTP2_CANCEL)
  }

  farewell(words: Buffer): void {
    if (this.waiting > 0 || this.#ended || this.#events?.at !== true) return this.#reset(constants.NGHTTP2_CANCEL)
    this.#held = false
    if (words.length > 0) this.send(words)
    this.#endWith(NO_TRAILERS)
  }

  /** Others use the connection too: it is told by the listener when it is not to be used again. */
  last(): void {}

  /** The head of a tunnel, whose bytes are not this answer's affair. @returns false when the caller is gone */
  open(headers: readonly string[]): boolean {
    if (this.gone || this.#stream.headersSent) return false
    this.status = 200
    this.#tunnel = true
    this.#try(() => this.#stream.respond(linesOf(200, headers)))
    return !this.gone
  }

  /** Sent with the stream's end, and a body that is still coming is told to stop: the connection is as good as before. */
  refuse(text: RefusalText, _contentLength: number | null, _close: boolean): void {
    if (this.gone || this.#ended || this.#stream.headersSent) return
    this.#held = false
    if (this.#form === 'grpc') this.#refuseCall(text.headers, grpcTrailers(text.reason, text))
    else {
      const { status, headers, body } = problem(text)
      this.#say(linesOf(status, headers), body)
    }
  }

  /** Trailers alone: nothing was said of the call before. */
  #refuseCall(headers: readonly string[], trailers: readonly string[]): void {
    this.#ended = true
    this.#sayAlone([':status', '200', 'content-type', 'application/grpc', ...headers, ...trailers])
  }

  #say(lines: readonly string[], body: Buffer): void {
    this.#ended = true
    if (this.gone) return
    if (this.#head || body.length === 0) return this.#sayAlone(lines)
    this.#try(() => {
      this.#stream.respond(lines)
      this.#stream.end(body)
    })
    this.#stopUpload()
  }

  #sayAlone(lines: readonly string[]): void {
    this.#bodyless = null
    if (this.gone) return
    this.#try(() => this.#stream.respond(lines, { endStream: true }))
    this.#stopUpload()
  }

  #endWith(trailers: readonly string[]): void {
    this.#held = false
    this.finish(trailers)
    const late = setTimeout(() => this.#reset(constants.NGHTTP2_CANCEL), POLITE)
    this.#stream.once('close', () => clearTimeout(late))
  }

  // ---- to the connection

  #pump(): void {
    if (this.#held || this.#handed > 0 || this.gone || this.#stream.writableEnded) return
    if (this.#queue.length === 0) {
      if (this.#ended && this.status !== 0) this.#stream.end()
      return
    }
    const chunks: Buffer[] = []
    let bytes = 0
    for (let next = this.#queue[0]; next !== undefined && (bytes === 0 || bytes + next.length <= ROOM); next = this.#queue[0]) {
      chunks.push(next)
      bytes += next.length
      this.#queue.shift()
    }
    this.#queued -= bytes
    this.#hand(chunks.length === 1 ? (chunks[0] ?? COMMENT) : Buffer.concat(chunks, bytes))
  }

  #hand(bytes: Buffer): void {
    this.#handed = bytes.length
    this.#stream.write(bytes, this.#written)
  }

  readonly #written = (error: Error | null | undefined): void => {
    this.#handed = 0
    if (error !== null && error !== undefined) return
    this.#pump()
    if (!this.#full || this.waiting >= ROOM) return
    this.#full = false
    this.#drained()
  }

  /** Everything but the end is on its way. */
  #lastFrame(): void {
    this.#try(() => this.#stream.sendTrailers(fields(this.#trailers)))
    if (!this.#uploads) return
    this.#overtook = true
    setImmediate(() => this.#stream.destroy()) // behind the trailers, which node sends in an immediate of its own
  }

  get #uploads(): boolean { return !this.#stream.endAfterHeaders && !this.#stream.readableEnded }

  /** Whoever still sends its body is told by a reset without an error (RFC 9113 §8.1), a while behind the answer: curl before 8.0 loses an answer that it reads together with its reset. */
  #stopUpload(): void {
    if (!this.#uploads) return
    this.#overtook = true
    const stop = (): void => void this.#stream.destroy()
    this.#stream.pause() // node resets at once what nobody ever looked at
    setTimeout(() => (this.#stream.writableFinished ? stop() : this.#stream.once('finish', stop)), POLITE)
  }

  #reset(code: number): void {
    if (this.#resets) return
    this.#drop()
    this.#resets = true
    this.#overtook = this.#uploads
    if (this.#trails) setImmediate(closeStream, this.#stream, code)
    else closeStream(this.#stream, code)
  }

  #drop(): void {
    this.#queue = []
    this.#queued = 0
    this.#lost = this.#tunnel ? ROOM : this.#handed
  }

  /** The peer's reset: the body must not look as if it had come to its end. */
  #aborted(): void {
    this.#drop()
    if (!this.#resets) this.#stream.destroy(new Error('the stream was reset'))
  }

  /** node:http2 throws at fields that cannot be sent; such an answer is none. */
  #try(says: () => void): void {
    try {
      says()
    } catch {
      this.#reset(constants.NGHTTP2_INTERNAL_ERROR)
    }
  }
}
