// One exchange on an HTTP/2 connection: the stream, the handler, and what they tell each other. Nothing throws; an answer that was cut is never told as whole.
// It decides nothing, least of all about a second attempt. SPEC: WIRE16, WIRE12, ENF10
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler } from '../handler.ts'
import { requestHead, requestTrailers } from './request-head.ts'
import { flow, listen, type StreamListener } from './stream-events.ts'

/** What an exchange asks and tells the connection that carries it. */
interface ExchangeOwner {
  readonly secure: boolean
  /** The connection is over, and with it whatever it carried. */
  readonly dead: boolean
  /** Streams above this number were not looked at by the peer. */
  readonly lastProcessed: number
  heard(): void
  answered(status: number): void
  failed(): void
  refused(handler: UpstreamHandler): boolean
  /** The stream is closed. @param wasted it was reset, or not all of the request went out */
  released(wasted: boolean): void
}

const WHOLE = { endStream: true }
const SIZED = { endStream: false }
const OPEN = { endStream: false, waitForTrailers: true }
const NONE: readonly string[] = []
/** More is no answer but a flood. */
const INTERIM_MAX = 32
/** Resets that say that the two sides do not agree on what was said. Among them is nghttp2's own word for an answer that it found malformed. */
const MALFORMED: ReadonlySet<number> = new Set([constants.NGHTTP2_PROTOCOL_ERROR, constants.NGHTTP2_FLOW_CONTROL_ERROR, constants.NGHTTP2_FRAME_SIZE_ERROR, constants.NGHTTP2_COMPRESSION_ERROR])

/** Fields as received, without pseudo headers. */
function fieldsOf(raw: readonly string[]): readonly string[] {
  const fields: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    if (!name.startsWith(':')) fields.push(name, raw[i + 1] ?? '')
  }
  return fields
}

const headOf = (status: number, raw: readonly string[]): AnswerHead => ({ status, text: '', headers: fieldsOf(raw) })

function request(session: ClientHttp2Session, head: readonly string[], bodyLength: number | null): ClientHttp2Stream | null {
  try {
    return session.request(head, bodyLength === 0 ? WHOLE : bodyLength === null ? OPEN : SIZED)
  } catch {
    return null // node refuses fields of its own accord
  }
}

export class Http2Exchange implements Sending, StreamListener {
  readonly #owner: ExchangeOwner
  readonly #handler: UpstreamHandler
  #stream: ClientHttp2Stream | null = null
  /** Bytes of the body that are still to come; null where that is not known. */
  #missing: number | null = 0
  #trailersUp: readonly string[] = NONE
  #trailersDown: readonly string[] = NONE
  #interim = 0
  #answered = false
  /** Its status has no content (RFC 9110 §15.3.6). */
  #contentless = false
  #paused = false
  /** The request was handed over whole; all of it went out. */
  #given = false
  #sent = false
  #complete = false
  /** What was read behind END_STREAM while paused, at most a window: it must not be lost with the connection. */
  #held: Buffer[] = []
  /** The whole answer was read, not told. */
  #read = false
  #over = false
  #unprocessed = false
  #bodyless = false
  #broken = false
  #violated = false

  constructor(owner: ExchangeOwner, handler: UpstreamHandler) {
    this.#owner = owner
    this.#handler = handler
  }

  /** The peer has processed nothing of it: it may be sent elsewhere, as far as its body can be. To be read when it has failed. */
  get unprocessed(): boolean { return this.#unprocessed }

  /** @returns false when there is no stream */
  start(session: ClientHttp2Session): boolean {
    const asked = this.#handler.outgoing(this)
    if (asked === null || this.#over) {
      this.#over = true
      return false
    }
    const head = this.#broken ? null : requestHead(asked, this.#owner.secure)
    this.#stream = head === null ? null : request(session, head, asked.bodyLength)
    if (this.#stream === null) { // the upstream is not to blame
      this.#stop()
      this.#handler.failed('upstream_malformed')
      return false
    }
    this.#missing = asked.bodyLength
    this.#sent = this.#given = this.#bodyless = asked.bodyLength === 0
    listen(this.#stream, this)
    return true
  }

  // ---- from the handler

  write(chunk: Buffer): boolean {
    if (this.#over || this.#given || chunk.length === 0) return true
    if (this.#stream === null) return this.#tooEarly()
    if (this.#missing !== null) this.#missing -= chunk.length
    if (this.#missing === null || this.#missing >= 0) return this.#stream.write(chunk)
    this.#giveUp('upstream_reset')
    return true
  }

  end(trailers: readonly string[]): void {
    if (this.#over || this.#given) return
    if (this.#stream === null) return void this.#tooEarly()
    if (this.#missing !== null && this.#missing > 0) return this.#giveUp('upstream_reset')
    this.#given = true
    this.#trailersUp = trailers
    this.#stream.end()
  }

  pause(): void {
    if (this.#paused || this.#over) return
    this.#paused = true
    if (this.#answered && !this.#complete) this.#stream?.pause()
  }

  resume(): void {
    if (!this.#paused || this.#over) return
    this.#paused = false
    if (this.#held.length > 0 || this.#read) process.nextTick(tellHeld, this)
    if (this.#answered) this.#stream?.resume()
  }

  abort(): void {
    if (this.#over) return
    this.#stop()
    this.#cancel()
  }

  /** From within `outgoing` there is no head yet that a body could follow: nothing is sent. */
  #tooEarly(): true {
    this.#broken = true
    return true
  }

  #cancel(): void {
    if (this.#stream === null) return
    if (this.#missing === null && !this.#sent) setImmediate(cancel, this.#stream)
    else cancel(this.#stream)
  }

  #stop(): void {
    this.#over = true
    this.#held = []
  }

  #fail(fault: UpstreamFault): void {
    this.#stop()
    this.#owner.failed()
    this.#handler.failed(fault)
  }

  #giveUp(fault: UpstreamFault): void {
    this.#cancel()
    this.#fail(fault)
  }

  // ---- from the stream

  onInterim(status: number, raw: readonly string[]): void {
    this.#owner.heard()
    if (this.#over || status === 100) return
    if (status === 101 || this.#answered || ++this.#interim > INTERIM_MAX) return this.#giveUp('upstream_malformed')
    this.#handler.informed(headOf(status, raw))
  }

  onAnswer(status: number, raw: readonly string[]): void {
    this.#owner.heard()
    const stream = this.#stream
    if (this.#over || stream === null) return
    if (this.#answered || !(status >= 200 && status <= 999)) return this.#giveUp('upstream_malformed')
    this.#answered = true
    this.#contentless = status === 205
    this.#owner.answered(status)
    this.#handler.answered(headOf(status, raw))
    if (this.#over) return
    if (this.#paused && !this.#complete) stream.pause() // before the data flow: else a second window would be granted
    flow(stream)
  }

  onTrailers(raw: readonly string[]): void {
    this.#owner.heard()
    this.#trailersDown = fieldsOf(raw)
  }

  /** A stream that lies still is read on now, which takes at most what its window let in. */
  onComplete(): void {
    this.#complete = true
    if (this.#answered) this.#stream?.resume()
  }

  onData(chunk: Buffer): void {
    this.#owner.heard()
    if (this.#over) return
    if (this.#contentless) return this.#giveUp('upstream_malformed')
    if (this.#paused || this.#held.length > 0) this.#held.push(chunk)
    else this.#handler.data(chunk)
  }

  onEnd(): void {
    if (this.#over || !this.#complete) return // cut: the close tells
    this.#read = true
    this.#tellEnd()
  }

  onDrain(): void {
    if (!this.#over && !this.#given) this.#handler.drained()
  }

  onFinish(): void {
    if (this.#missing !== null) this.#sent = true // else trailers follow
  }

  onWantTrailers(): void {
    const stream = this.#stream
    if (this.#over || stream === null || stream.closed) return
    const trailers = requestTrailers(this.#trailersUp)
    if (trailers === null) return this.#giveUp('upstream_malformed')
    this.#sent = true
    stream.sendTrailers(trailers)
  }

  onViolation(): void {
    this.#violated = true
  }

  onClose(): void {
    if (!this.#over && !this.#read) this.#closedEarly()
    this.#owner.released(!this.#sent || this.#stream?.rstCode !== constants.NGHTTP2_NO_ERROR)
  }

  #closedEarly(): void {
    const stream = this.#stream
    if (stream === null) return
    if (this.#complete && this.#answered && stream.readableLength === 0) return this.onEnd() // a reset behind the whole answer
    const { rstCode, id } = stream
    this.#unprocessed = !this.#answered && (rstCode === constants.NGHTTP2_REFUSED_STREAM || id === undefined || id > this.#owner.lastProcessed)
    if (this.#unprocessed && this.#bodyless && this.#owner.refused(this.#handler)) return this.#stop()
    this.#fail(this.#violated || (MALFORMED.has(rstCode) && !this.#owner.dead) ? 'upstream_malformed' : 'upstream_reset')
  }

  #tellEnd(): void {
    if (this.#over || this.#paused || this.#held.length > 0) return
    this.#stop()
    this.#handler.ended(this.#trailersDown)
    if (!this.#sent) this.#cancel()
  }

  /** @internal behind a resume */
  tellHeld(): void {
    while (!this.#over && !this.#paused) {
      const chunk = this.#held.shift()
      if (chunk === undefined) break
      this.#handler.data(chunk)
    }
    if (this.#read) this.#tellEnd()
  }
}

/**
 * Node aborts the process when a stream that waits for its trailers is reset from within an event of its session and read to its end before the
 * reset goes out (`Http2Stream::OnTrailers`, Assertion failed: !this->is_destroyed()): such a reset waits until the events are over.
 */
function cancel(stream: ClientHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL)
  stream.resume() // where its end was there already, node keeps it until somebody has read it
}

const tellHeld = (exchange: Http2Exchange): void => exchange.tellHeld()
