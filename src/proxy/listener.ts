// Sockets in, requests out: plain or TLS, one request at a time per connection, strict parsing, and an answer for what cannot be parsed.
// SPEC: WIRE3, WIRE8, WIRE14
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { LimitSettings } from '../config/settings.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Certificate } from './certificate.ts'
import type { Arrival } from './http/relay.ts'

type ListenOptions = {
  readonly host: string
  readonly port: number
  /** PEM texts; null for plain HTTP. */
  readonly tls: Certificate | null
  readonly limits: LimitSettings
  readonly clock: Clock
  readonly onRequest: (arrival: Omit<Arrival, 'contentLength'>, secure: boolean) => void
  /** A connection that was refused or ended before it made a request. */
  readonly onFault: (reason: Reason, source: string) => void
  /** A limit of connections was met; the connection is gone. */
  readonly onLimit: (limit: 'connections' | 'pipelined_requests', source: string) => void
}

/** Requests one connection may have sent ahead of their answers. */
const PIPELINED_MAX = 32
const CHECK_EVERY = 1_000

type Turn = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly expectsContinue: boolean }
type Connection = { current: ServerResponse | null; readonly waiting: Turn[] }

const serverOptions = ({ limits }: ListenOptions): ServerOptions => ({
  maxHeaderSize: limits.headerBytes, headersTimeout: limits.headersTimeout, requestTimeout: 0, keepAliveTimeout: limits.idleTimeout,
  connectionsCheckingInterval: CHECK_EVERY, insecureHTTPParser: false, requireHostHeader: false, noDelay: true,
})

export class Listener {
  readonly #options: ListenOptions
  readonly #server: Server
  readonly #connections = new WeakMap<Duplex, Connection>()
  readonly #sockets = new Set<Socket>()

  constructor(options: ListenOptions) {
    this.#options = options
    const { tls, limits } = options
    this.#server = tls === null ? createServer(serverOptions(options)) : createTlsServer({ ...serverOptions(options), cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] })
    this.#server.maxConnections = limits.connections
    this.#server.maxRequestsPerSocket = 0
    this.#server.on('connection', (socket: Socket) => this.#opened(socket))
    this.#server.on('request', (request, response) => this.#arrived({ request, response, expectsContinue: false }))
    this.#server.on('checkContinue', (request, response) => this.#arrived({ request, response, expectsContinue: true }))
    this.#server.on('checkExpectation', (request, response) => this.#answer(request.socket, 'expectation_failed', response))
    this.#server.on('clientError', (error, socket) => this.#unparsable(error, socket))
    this.#server.on('connect', (_request, socket) => this.#answer(socket, 'method_refused', null))
    this.#server.on('drop', dropped => options.onLimit('connections', dropped?.remoteAddress ?? ''))
  }

  async listen(): Promise<AddressInfo> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host: host === '' ? undefined : host, port }, () => resolve())
    })
    return this.#server.address() as AddressInfo // it listens on a port
  }

  /** Connections from now on get this certificate; open ones keep theirs. */
  secure({ cert, key }: Certificate): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' })
  }

  /** No new connections; idle ones close now, the others after their answer. */
  stop(): void {
    this.#server.close()
    this.#server.closeIdleConnections()
  }

  /** Whatever is left ends now. */
  destroy(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #opened(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
  }

  /** A pipelined request waits for the answer before it: judged when its turn comes, and cut without cutting another. */
  #arrived(turn: Turn): void {
    const { socket } = turn.request
    let connection = this.#connections.get(socket)
    if (connection === undefined) this.#connections.set(socket, (connection = { current: null, waiting: [] }))
    if (connection.current !== null && !connection.current.closed) {
      if (connection.waiting.push(turn) > PIPELINED_MAX) this.#overrun(socket)
      else if (connection.waiting.length === 1) this.#after(connection.current, connection)
      return
    }
    this.#serve(connection, turn)
  }

  #overrun(socket: Socket): void {
    if (!socket.destroyed) this.#options.onLimit('pipelined_requests', socket.remoteAddress ?? '')
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

  /** In the next tick: a body that begins with broken framing in the same bytes as its head is answered before, and the head goes nowhere. */
  #serve(connection: Connection, { request, response, expectsContinue }: Turn): void {
    connection.current = response
    const { clock, tls, onRequest } = this.#options
    const arrival = { request, response, expectsContinue, raw: rawSocket(request.socket), at: clock.now() }
    process.nextTick(() => {
      if (!response.writableEnded && !response.destroyed) onRequest(arrival, tls !== null)
    })
  }

  #unparsable(error: Error, socket: Duplex): void {
    const code = 'code' in error ? error.code : ''
    const reason: Reason = code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request_timeout' : 'bad_request'
    this.#answer(socket, reason, null)
  }

  /** Outside of any response: a problem for whoever reads it, then the end of the connection. */
  #answer(socket: Duplex, reason: Reason, response: ServerResponse | null): void {
    const source = 'remoteAddress' in socket && typeof socket.remoteAddress === 'string' ? socket.remoteAddress : ''
    this.#options.onFault(reason, source)
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

/** The TCP socket under a TLS one: only it can be reset. */
function rawSocket(socket: Socket): Socket {
  const parent = '_parent' in socket ? socket._parent : null // node keeps it there; a TLS socket itself refuses resetAndDestroy
  return parent instanceof Object && 'resetAndDestroy' in parent ? (parent as Socket) : socket // checked to be a TCP socket
}
