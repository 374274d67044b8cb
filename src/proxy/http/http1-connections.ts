// The HTTP/1.1 side of a listener: one request at a time per connection, strict parsing, and an answer for what cannot be parsed. SPEC: WIRE3, WIRE8, WIRE14
import { type IncomingMessage, type Server, type ServerOptions, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { LimitSettings } from '../../config/settings.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Arrival } from '../arrival.ts'
import { Http1Arrival, type Http1Upgrade } from './http1-arrival.ts'

/** What these connections tell their listener, and what it knows of a socket. */
type Http1Owner = {
  readonly limits: LimitSettings
  readonly clock: Clock
  readonly secure: boolean
  readonly onRequest: (arrival: Arrival) => void
  readonly onFault: (reason: Reason, source: string) => void
  readonly onPipelined: (source: string) => void
  readonly callerOf: (socket: Socket) => { readonly raw: Socket; readonly peer: string; readonly serverName: string | null }
}

/** Requests one connection may have sent ahead of their answers. */
const PIPELINED_MAX = 32
const CHECK_EVERY = 1_000

type Turn = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly expectsContinue: boolean }
type Connection = { current: ServerResponse | null; readonly waiting: Turn[] }

export const http1Options = ({ headerBytes, headersTimeout, idleTimeout }: LimitSettings): ServerOptions => ({
  maxHeaderSize: headerBytes, headersTimeout, requestTimeout: 0, keepAliveTimeout: idleTimeout, connectionsCheckingInterval: CHECK_EVERY, insecureHTTPParser: false, requireHostHeader: false, noDelay: true,
  shouldUpgradeCallback: ({ headers: { upgrade } }) => upgrade?.trim().toLowerCase() === 'websocket', // any other is a request like those without
})

export class Http1Connections {
  readonly #owner: Http1Owner
  readonly #connections = new WeakMap<Duplex, Connection>()

  constructor(server: Server, owner: Http1Owner) {
    this.#owner = owner
    server.maxRequestsPerSocket = 0
    server.maxHeadersCount = owner.limits.headers + 1 // one more than is taken, so that too many show: node leaves the rest out unsaid
    server.on('request', (request, response) => this.#arrived({ request, response, expectsContinue: false }))
    server.on('checkContinue', (request, response) => this.#arrived({ request, response, expectsContinue: true }))
    server.on('checkExpectation', (request, response) => this.answer(request.socket, 'expectation_failed', response))
    server.on('clientError', (error, socket) => this.#unparsable(error, socket))
    server.on('upgrade', (request, socket, head) => this.#upgrading(request, socket, head))
    server.on('connect', (_request, socket) => this.answer(socket, 'method_refused'))
  }

  /** A pipelined request waits for the answer before it: judged when its turn comes, and cut without cutting another. */
  #arrived(turn: Turn): void {
    const { socket, rawHeaders } = turn.request
    if (rawHeaders.length > this.#owner.limits.headers * 2) return this.answer(socket, 'headers_too_large', turn.response)
    let connection = this.#connections.get(socket)
    if (connection === undefined) this.#connections.set(socket, (connection = { current: null, waiting: [] }))
    if (connection.current !== null && !connection.current.closed) {
      if (connection.waiting.push(turn) > PIPELINED_MAX) this.#overrun(socket)
      else if (connection.waiting.length === 1) this.#after(connection.current, connection)
      return
    }
    this.#serve(connection, turn)
  }

  /** The parser has let the connection go: whatever is answered, nothing comes behind it. */
  #upgrading(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (!(socket instanceof Socket)) { // node's stand-in for one where a body comes behind the head: no handshake has one
      socket.on('error', () => {})
      return this.answer(request.socket, 'bad_request')
    }
    const connection = this.#connections.get(socket) ?? { current: null, waiting: [] }
    if (connection.current !== null && !connection.current.closed) return void socket.destroy() // behind a request that is still being answered
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    if (!isAssigned(response, socket)) return void socket.destroy() // behind a refusal that is still going out
    response.once('finish', () => socket.destroySoon())
    this.#connections.set(socket, connection)
    if (request.rawHeaders.length > this.#owner.limits.headers * 2) return this.answer(socket, 'headers_too_large', response)
    this.#serve(connection, { request, response, expectsContinue: false }, { socket, head, response })
  }

  #overrun(socket: Socket): void {
    if (!socket.destroyed) this.#owner.onPipelined(this.#owner.callerOf(socket).peer)
    socket.destroy()
  }

  #after(response: ServerResponse, connection: Connection): void {
    response.once('close', () => {
      const next = connection.waiting.shift()
      if (next === undefined || next.request.socket.destroyed) return
      this.#serve(connection, next)
      if (connection.waiting.length > 0) this.#after(next.response, connection)
    })
  }

  /** Behind whatever came with it: a body that begins with broken framing in the same bytes as its head is answered before, and the head goes nowhere. */
  #serve(connection: Connection, { request, response, expectsContinue }: Turn, upgraded: Http1Upgrade | null = null): void {
    connection.current = response
    const { clock, secure, onRequest, callerOf } = this.#owner
    const arrival = new Http1Arrival(request, response, { ...callerOf(request.socket), expectsContinue, secure, at: clock.now(), upgraded })
    if (hasBody(request.rawHeaders)) setImmediate(handOver, onRequest, arrival, response) // node runs ticks between the pieces of a body
    else process.nextTick(handOver, onRequest, arrival, response)
  }

  #unparsable(error: Error, socket: Duplex): void {
    const code = 'code' in error ? error.code : ''
    this.answer(socket, code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request_timeout' : 'bad_request')
  }

  /** Outside of any response: a problem for whoever reads it, then the end of the connection. */
  answer(socket: Duplex, reason: Reason, response: ServerResponse | null = null): void {
    const source = 'remoteAddress' in socket ? this.#owner.callerOf(socket as Socket).peer : '' // it has what only a net.Socket has
    this.#owner.onFault(reason, source)
    const current = response ?? this.#connections.get(socket)?.current ?? null
    const pending = current !== null && !current.writableFinished ? current : null
    if (!socket.writable || (pending !== null && (pending.headersSent || (response === null && pending.req.complete)))) return void socket.destroy()
    const { status, says } = REASONS[reason]
    const body = JSON.stringify({ type: `urn:narrowgate:reason:${reason}`, title: reason.replaceAll('_', ' '), status, detail: says, reason })
    const head = ['content-type', 'application/problem+json', 'content-length', String(Buffer.byteLength(body)), 'cache-control', 'no-store', 'connection', 'close']
    if (pending !== null) return void pending.writeHead(status, head).end(body)
    const lines = head.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${head[i + 1] ?? ''}\r\n`] : []))
    socket.end(`HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy())
  }
}

/** Node throws where another response has the socket. */
function isAssigned(response: ServerResponse, socket: Socket): boolean {
  try {
    response.assignSocket(socket)
    return true
  } catch {
    return false
  }
}

function handOver(onRequest: Http1Owner['onRequest'], arrival: Arrival, response: ServerResponse): void {
  if (!response.writableEnded && !response.destroyed && response.req.socket.writable) onRequest(arrival) // behind an answer that ends the connection nothing is asked
}

/** Does it announce one? */
function hasBody(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { length } = rawHeaders[i] ?? ''
    if ((length === 14 || length === 17) && /^(?:content-length|transfer-encoding)$/i.test(rawHeaders[i] ?? '')) return true
  }
  return false
}
