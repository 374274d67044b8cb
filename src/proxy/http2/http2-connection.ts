// One HTTP/2 connection of a caller: its streams become arrivals, in a turn of their own, so that whatever is dead by then is never judged.
// Keeps its budget against floods and ends what exceeds it; idle or shut down, it says so and lets its streams finish. SPEC: WIRE3, WIRE8, WIRE16
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream, type ServerOptions } from 'node:http2'
import type { Socket } from 'node:net'
import type { LimitSettings } from '../../config/settings.ts'
import type { Reason } from '../../core/reason.ts'
import type { CertificateRead } from '../../identity/certificate/client-certificate.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Arrival } from '../arrival.ts'
import { refusalText } from '../refusal.ts'
import { Flood, type Http2Limit } from './flood.ts'
import { Http2Arrival } from './http2-arrival.ts'
import { readStreamHead, type StreamHead } from './stream-head.ts'

export type ConnectionLimit = Http2Limit | 'http2_invalid_frames'

/** What a connection tells its listener. */
export type ConnectionOwner = {
  readonly limits: LimitSettings
  readonly clock: Clock
  readonly onRequest: (arrival: Arrival) => void
  /** A request that was refused before it made sense, or a connection that broke the protocol. */
  readonly onFault: (reason: Reason, source: string) => void
  /** As many streams are open as may be; further ones are refused below us. */
  readonly onFull: () => void
  /** A limit was met; the connection is gone. */
  readonly onLimit: (limit: ConnectionLimit, source: string) => void
}

/** Who it counts as coming from, what its TLS client asked for, and what that proved. */
export type Caller = { readonly peer: string; readonly secure: boolean; readonly serverName: string | null; readonly certificate: CertificateRead | null }

/** On its way for all streams together: node gives it back at once, taken or not. What nobody takes is bounded by the window of each stream, 64 KiB. */
const WINDOW = 1_048_576
const PSEUDO_FIELDS = 5
/** Bytes that resets have left in node's account of the connection, which it never settles: behind so many the connection takes nothing new, as in the end node would refuse every stream. */
const LOST = 16_777_216
/** What a stream may need at worst: its window, its head, what is handed to it and what waits in front of it. */
const STREAM_BYTES = 4 * 65_536
/** Streams in a connection's life: each that is cut leaves some hundred bytes more in that account (about 390 in a soak of 140,000), so that at last node would refuse every new one. */
const STREAMS_MOST = 10_000
const STREAM_LEFT = 512
const MEGABYTE = 1_000_000
/** Milliseconds until a socket whose session is over is destroyed, whatever its peer does. */
const LINGER = 2_000
/** Milliseconds that a connection on its way out may take to answer. */
const PATIENCE = 5_000

const sessionOptions = ({ headerBytes, headers, streamsPerConnection }: LimitSettings): ServerOptions => ({
  settings: { maxConcurrentStreams: streamsPerConnection, maxHeaderListSize: headerBytes, enableConnectProtocol: true, initialWindowSize: 65_535 },
  maxHeaderListPairs: headers + PSEUDO_FIELDS, maxSettings: 32, maxSessionInvalidFrames: 500, maxSessionRejectedStreams: 100, streamResetBurst: 1_000, streamResetRate: 50,
  maxSessionMemory: Math.ceil((LOST + STREAMS_MOST * STREAM_LEFT + streamsPerConnection * STREAM_BYTES) / MEGABYTE) + 4, maxSendHeaderBlockLength: 262_144, strictSingleValueFields: false,
})

export class Http2Connection {
  readonly #owner: ConnectionOwner
  readonly #caller: Caller
  readonly #socket: Socket
  readonly #session: ServerHttp2Session
  readonly #flood: Flood
  readonly #open = new Set<ServerHttp2Stream>()
  readonly #judged = new WeakSet<Http2Arrival>()
  /** Came in this turn of the loop. */
  #fresh: Http2Arrival[] = []
  #served = false
  #lost = 0
  #streams = 0
  #quietSince: number
  #overSince: number | null = null
  #askedAt = -PATIENCE
  #answered = true

  constructor(socket: Socket, caller: Caller, owner: ConnectionOwner) {
    this.#owner = owner
    this.#caller = caller
    this.#socket = socket
    this.#quietSince = this.#now
    this.#flood = new Flood(this.#now)
    this.#session = performServerHandshake(socket, sessionOptions(owner.limits))
    this.#session.once('connect', () => { if (!this.#session.destroyed) this.#session.setLocalWindowSize(WINDOW) })
    this.#session.on('stream', (stream, _fields, _flags, raw: string[]) => this.#arrived(stream, raw))
    this.#session.on('ping', () => this.#heed(this.#flood.pinged(this.#now)))
    this.#session.on('remoteSettings', () => this.#heed(this.#flood.settled(this.#now)))
    this.#session.on('error', error => this.#broken(error))
    socket.once('end', () => this.#session.destroy()) // without its caller's frames no stream of it goes on: idle ones would never notice
  }

  get #now(): number { return this.#owner.clock.elapsed() }

  /** Bytes of bodies that came and that nobody took: frozen ones, and those of slow upstreams. */
  get #held(): number {
    let held = 0
    for (const stream of this.#open) held += stream.readableLength
    return held
  }

  /** Nothing new from here on; open streams go on to their end. */
  close(): void {
    this.#session.close()
  }

  /** Asked about once a second: floods that only their bytes show, silence, and what does not go away by itself. */
  look(): void {
    const now = this.#now
    if (this.#session.destroyed || (this.#session.closed && this.#open.size === 0)) { // node waits for ever to end a session that broke on its way out
      this.#overSince ??= now
      if (now - this.#overSince > LINGER) this.#socket.destroy()
      return
    }
    if (this.#session.closed) this.#ask(now)
    this.#heed(this.#flood.weigh(this.#socket.bytesRead, this.#socket.bytesWritten, this.#held, now))
    for (const stream of this.#open) if (stream.closed && !stream.destroyed) stream.destroy() // its body is of no use to anybody, and nobody reads it
    const { headersTimeout, idleTimeout } = this.#owner.limits
    if (this.#open.size === 0 && now - this.#quietSince > (this.#served ? idleTimeout : headersTimeout)) this.#session.close()
  }

  /** A session that was broken behind its peer's GOAWAY neither reads nor writes any more, and node tells nobody: SETTINGS show whether it lives. */
  #ask(now: number): void {
    if (now - this.#askedAt < PATIENCE) return
    if (!this.#answered) return void this.#socket.destroy()
    this.#askedAt = now
    this.#answered = false
    this.#session.settings({}, error => { this.#answered = error === null })
  }

  #arrived(stream: ServerHttp2Stream, raw: readonly string[]): void {
    const { clock, limits, onFull } = this.#owner
    stream.on('error', ignore)
    if (++this.#streams >= STREAMS_MOST) this.#retire()
    if (this.#open.add(stream).size === limits.streamsPerConnection) onFull()
    this.#served = true
    const head = readStreamHead(raw, this.#caller.secure)
    this.#flood.opened(typeof head === 'string' ? 0 : head.size)
    if (!stream.endAfterHeaders) stream.once('resume', () => stream.on('data', this.#carried))
    const arrival = new Http2Arrival(stream, typeof head === 'string' ? MALFORMED : head, { ...this.#caller, at: clock.now() })
    stream.once('close', () => this.#left(arrival))
    if (typeof head === 'string') return this.#refuse(arrival, 'bad_request', head)
    if (head.headers.length > limits.headers * 2 || head.size > limits.headerBytes) return this.#refuse(arrival, 'headers_too_large', null) // node resets what is well beyond, once the peer knows its limits
    if (head.method === 'CONNECT' && head.protocol === null) return this.#refuse(arrival, 'method_refused', null)
    if (head.expectation !== null && !arrival.expectsContinue) return this.#refuse(arrival, 'expectation_failed', null)
    if (this.#fresh.push(arrival) === 1) setImmediate(() => this.#serve())
  }

  /** Its caller goes on with another connection; what is open is finished here. */
  #retire(): void {
    if (!this.#session.closed) this.#session.close()
  }

  /** Behind everything that came in the same read: a stream reset at once, or broken by its first bytes, goes nowhere. */
  #serve(): void {
    const arrivals = this.#fresh
    this.#fresh = []
    for (const arrival of arrivals) {
      if (arrival.answer.gone) continue
      this.#judged.add(arrival)
      this.#owner.onRequest(arrival)
    }
  }

  #refuse(arrival: Http2Arrival, reason: Reason, detail: string | null): void {
    this.#owner.onFault(reason, this.#caller.peer)
    arrival.answer.refuse(refusalText(reason, { detail }), null, false)
  }

  #left(arrival: Http2Arrival): void {
    this.#open.delete(arrival.body)
    this.#quietSince = this.#now
    this.#lost += arrival.answer.lost
    if (this.#lost >= LOST) this.#retire()
    if (arrival.body.readableLength > 0) this.#flood.carried(arrival.body.readableLength) // what nobody took is no fault of who sent it
    if (arrival.answer.overtook) this.#flood.overtook(this.#now)
    if (!arrival.answer.settled && !this.#session.destroyed) this.#heed(this.#flood.died(this.#judged.has(arrival), this.#now))
  }

  readonly #carried = (chunk: Buffer): void => this.#flood.carried(chunk.length)

  #heed(limit: ConnectionLimit | null): void {
    if (limit === null || this.#session.destroyed) return
    this.#owner.onLimit(limit, this.#caller.peer)
    this.#session.destroy(new Error(limit), constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  #broken(error: Error): void {
    const code = 'code' in error ? error.code : ''
    const errno = 'errno' in error ? error.errno : 0
    if (code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES') this.#owner.onLimit('http2_invalid_frames', this.#caller.peer)
    else if (errno === FLOODED || errno === TOO_MANY_CONTINUATIONS) this.#owner.onLimit('http2_frames', this.#caller.peer)
    else if (code === 'ERR_HTTP2_ERROR') this.#owner.onFault('bad_request', this.#caller.peer)
  }
}

const ignore = (): void => {}
/** nghttp2's own words for more than its limits of frames it has to answer, and of CONTINUATION. */
const [FLOODED, TOO_MANY_CONTINUATIONS] = [-904, -905]
const MALFORMED: StreamHead = { method: '', path: '', protocol: null, headers: [], expectation: null, contentType: '', size: 0 }
