// One HTTP/2 connection to an upstream over an opened socket: many exchanges at once, each its own stream with a window of its own.
// It opens nothing and queues nothing: what has no room is not taken. SPEC: WIRE16, WIRE12, ENF10
import { type ClientHttp2Session, connect, type Settings } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { UpstreamHandler } from '../handler.ts'
import { Http2Exchange } from './exchange.ts'

export interface Http2Owner {
  /** The head of an answer came. */
  answered(status: number): void
  /** An exchange failed, by no doing of this side. */
  failed(): void
  /** The peer has processed nothing of a request without a body. @returns whether somebody else takes it: then the handler is told of no fault */
  refused(handler: UpstreamHandler): boolean
  /** There is room (again): the peer has said what it takes, a stream has ended, or the connection has, which made room for another. */
  roomier(connection: Http2Connection): void
  /** Told once: it takes nothing new any more. What runs on it may still end well. */
  gone(connection: Http2Connection): void
}

export type Http2Limits = {
  /** Streams at once, whatever the peer allows. */
  readonly streams: number
  /** Streams reset in the life of a connection: behind that it takes no more, as many a server takes further resets for an attack and closes it on everybody. */
  readonly resets: number
  /** Milliseconds without a sign of life, while there are streams, until a PING asks for one. */
  readonly quiet: number
  /** Milliseconds that an answer to PING, or the first SETTINGS, may take. */
  readonly patience: number
}

export const HTTP2_LIMITS: Http2Limits = { streams: 128, resets: 400, quiet: 30_000, patience: 10_000 }

/** Of one stream in bytes: what the peer may send into a frozen exchange. RULES 30 */
const WINDOW = 65_535
/** Of a whole connection: twice what 128 streams may have under way, as it is granted again by halves. It holds nothing back: node takes all off the connection at once. */
const CONNECTION_WINDOW = 16 * 1_048_576
const HEAD_MAX = 65_536
const FIELDS_MAX = 256
/** What a stream may need in this process at worst: its window, head and trailers, and what is on the way up. */
const STREAM_BYTES = 5 * 65_536
/** What was on the way up when a stream was reset: node never takes it off its account, and refuses every answer once that is full. */
const RESET_BYTES = 2 * 65_536
const MEGABYTE = 1_000_000
const ANY = 2 ** 31

function startSession(socket: Duplex, secure: boolean, { streams, resets }: Http2Limits): ClientHttp2Session {
  const settings: Settings = { enablePush: false, initialWindowSize: WINDOW, maxHeaderListSize: HEAD_MAX }
  const options = {
    createConnection: () => socket, settings, strictSingleValueFields: false,
    maxHeaderListPairs: FIELDS_MAX, maxSendHeaderBlockLength: 4 * HEAD_MAX, maxReservedRemoteStreams: 0, maxSettings: 32,
    maxSessionMemory: Math.ceil((streams * STREAM_BYTES + resets * RESET_BYTES) / MEGABYTE) + 4, maxOutstandingPings: 2, maxOutstandingSettings: 2,
  }
  // The name is node's default for a request without one; ours always have one.
  return connect(secure ? 'https://upstream.invalid' : 'http://upstream.invalid', options)
}

export class Http2Connection {
  readonly secure: boolean
  readonly #socket: Duplex
  readonly #session: ClientHttp2Session
  readonly #limits: Http2Limits
  readonly #owner: Http2Owner
  readonly #ticking: NodeJS.Timeout
  #allowed = 0
  #busy = 0
  #resets = 0
  #gone = false
  #closing = false
  #dead = false
  #settled = false
  #lastProcessed = ANY
  #heard = false
  #quiet = 0
  #pinged = false

  /** @param socket open, its TLS handshake done and `h2` agreed where it has one; its owner is this connection from now on */
  constructor(socket: Duplex, secure: boolean, limits: Http2Limits, owner: Http2Owner) {
    this.secure = secure
    this.#socket = socket
    this.#limits = limits
    this.#owner = owner
    this.#session = startSession(socket, secure, limits)
    this.#session.setLocalWindowSize(CONNECTION_WINDOW)
    this.#session.on('remoteSettings', settings => this.#peerAllows(settings.maxConcurrentStreams ?? ANY))
    this.#session.on('goaway', (_code, last) => this.#goingAway(last))
    this.#session.on('stream', () => this.destroy()) // a push, which was forbidden
    this.#session.on('error', () => this.#leave()) // its close follows
    this.#session.on('close', () => this.#closed())
    this.#ticking = setInterval(() => this.#tick(), limits.patience)
    this.#ticking.unref()
  }

  /** Streams that it takes now; none before the peer has said what it allows. */
  get room(): number { return this.#gone || this.#session.closed || this.#session.destroyed ? 0 : Math.max(0, Math.min(this.#limits.streams, this.#allowed) - this.#busy) }
  /** Streams that are not closed. */
  get busy(): number { return this.#busy }
  get dead(): boolean { return this.#dead }
  get lastProcessed(): number { return this.#lastProcessed }

  /** Sends the handler's request in this turn. Only where there is room. */
  send(handler: UpstreamHandler): void {
    if (this.room === 0) return handler.failed('upstream_busy')
    this.#busy++
    const exchange = new Http2Exchange(this, handler)
    if (!exchange.start(this.#session)) this.#busy--
  }

  /** Takes nothing new; ends when what runs on it has ended. */
  close(): void {
    this.#leave()
    this.#closing = true
    if (this.#busy === 0) this.#session.close() // its GOAWAY would overtake a request that was not written yet, and many a server refuses what comes behind it
  }

  /** Ends now, with all that runs on it. */
  destroy(): void {
    this.#dead = true
    this.#leave()
    this.#session.destroy()
    this.#socket.destroy() // the session would wait until everything is written
  }

  // ---- from its exchanges

  answered(status: number): void { this.#owner.answered(status) }
  failed(): void { this.#owner.failed() }
  refused(handler: UpstreamHandler): boolean { return this.#owner.refused(handler) }

  heard(): void {
    this.#heard = true
  }

  released(wasted: boolean): void {
    this.#busy--
    if (wasted) this.#resets++
    if ((this.#resets >= this.#limits.resets && !this.#gone) || (this.#closing && this.#busy === 0)) this.close()
    else if (this.#gone && this.#busy === 0) setImmediate(() => this.destroy()) // behind GOAWAY node leaves some open
    if (this.room > 0) this.#owner.roomier(this)
  }

  // ---- from the session

  #peerAllows(streams: number): void {
    this.#settled = this.#heard = true
    this.#allowed = streams
    if (this.room > 0) this.#owner.roomier(this)
  }

  /** Node closes the session behind this: it lets run what runs, or, with an error code, ends it. */
  #goingAway(last: number): void {
    this.#lastProcessed = Math.min(this.#lastProcessed, last)
    this.#leave()
  }

  #leave(): void {
    if (this.#gone) return
    this.#gone = true
    this.#owner.gone(this)
  }

  #closed(): void {
    this.#dead = true
    clearInterval(this.#ticking)
    this.#leave()
    this.#owner.roomier(this)
  }

  #tick(): void {
    if (!this.#settled || this.#pinged || (this.#gone && this.#busy === 0)) return this.destroy()
    this.#quiet = this.#heard || this.#busy === 0 ? 0 : this.#quiet + this.#limits.patience
    this.#heard = false
    if (this.#quiet < this.#limits.quiet) return
    this.#pinged = true
    if (this.#session.closed) this.#session.settings({}, this.#ponged) // node pings no peer that goes away; its answer to this is as good
    else this.#session.ping(this.#ponged)
  }

  readonly #ponged = (error: Error | null): void => {
    if (error !== null) return
    this.#pinged = false
    this.#quiet = 0
  }
}
