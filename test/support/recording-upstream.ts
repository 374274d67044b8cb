// An upstream of the tests' own on node:http that records every byte and its time, and behaves as the path asks (upstream-behaviours.ts).
// The raw variant for answers node:http would never give is in raw-upstream.ts.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Certificate } from './tls.ts'
import { behave, Feed } from './upstream-behaviours.ts'

const KEPT_PER_CONNECTION = 8 * 1024 * 1024

/** One request as it arrived. Times are `performance.now()`, 0 while it has not happened. */
export class RecordedRequest {
  readonly method: string
  readonly url: string
  /** Request line and header lines with their order, case and duplicates; white space as node:http read it. */
  readonly rawHead: string
  readonly rawHeaders: readonly (readonly [name: string, value: string])[]
  readonly arrivedAt = performance.now()
  trailers: readonly string[] = []
  bodyBytes = 0
  lastByteAt = 0
  bodyEndedAt = 0
  /** The caller's side went away before body or answer were complete. */
  abortedAt = 0
  answeredAt = 0
  /** Bytes of the answer's body handed to the socket. */
  sentBytes = 0
  readonly #body: Buffer[] = []

  constructor(message: IncomingMessage, answer: ServerResponse) {
    this.method = message.method ?? ''
    this.url = message.url ?? ''
    this.rawHeaders = Array.from({ length: message.rawHeaders.length / 2 }, (_, i) => [message.rawHeaders[2 * i] ?? '', message.rawHeaders[2 * i + 1] ?? ''] as const)
    this.rawHead = [`${this.method} ${this.url} HTTP/${message.httpVersion}`, ...this.rawHeaders.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
    message.on('data', (chunk: Buffer) => this.#onBody(chunk))
    message.on('end', () => this.#onEnd(message))
    message.on('error', () => this.#abort())
    answer.on('finish', () => (this.answeredAt = performance.now()))
    answer.on('close', () => {
      if (this.answeredAt === 0) this.#abort()
    })
  }

  get path(): string {
    return this.url.split('?', 1)[0] ?? ''
  }

  /** Every value of a header, any case. */
  header(name: string): readonly string[] {
    return this.rawHeaders.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  }

  body(): Buffer {
    return Buffer.concat(this.#body)
  }

  #onBody(chunk: Buffer): void {
    this.bodyBytes += chunk.length
    this.lastByteAt = performance.now()
    this.#body.push(chunk)
  }

  #onEnd(message: IncomingMessage): void {
    this.bodyEndedAt = performance.now()
    this.trailers = message.rawTrailers
  }

  #abort(): void {
    if (this.abortedAt === 0) this.abortedAt = performance.now()
  }
}

export class RecordingUpstream {
  readonly requests: RecordedRequest[] = []
  /** Every byte received, per connection, the first 8 MiB of each. */
  readonly connections: { readonly socket: Socket; readonly chunks: Buffer[] }[] = []
  /** Bytes received on all connections, and when the last came. */
  receivedBytes = 0
  lastByteAt = 0
  /** Paths of an API that is played, and the path above whose behaviour each has. */
  readonly plays = new Map<string, string>()
  readonly #server: Server
  readonly #feeds = new Map<string, Feed>()
  readonly #gates = new Map<string, PromiseWithResolvers<void>>()
  readonly #scheme: 'http' | 'https'
  /** The TCP socket of each caller's port: a TLS socket cannot be reset. */
  readonly #tcp = new Map<number, Socket>()
  #arrived = Promise.withResolvers<void>()

  private constructor(tls: Certificate | null) {
    const answer = (message: IncomingMessage, response: ServerResponse): void => this.#onRequest(message, response)
    const options = { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }
    this.#scheme = tls === null ? 'http' : 'https'
    this.#server = tls === null ? createServer(options, answer) : createTlsServer({ ...options, cert: tls.cert, key: tls.key }, answer)
    this.#server.on('connection', (socket: Socket) => this.#tcp.set(socket.remotePort ?? 0, socket))
    this.#server.on(tls === null ? 'connection' : 'secureConnection', (socket: Socket) => this.#onConnection(socket))
    this.#server.on('clientError', (_, socket) => socket.destroy())
  }

  static async start(tls: Certificate | null = null): Promise<RecordingUpstream> {
    const upstream = new RecordingUpstream(tls)
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the upstream is not listening')
    return address.port
  }

  get origin(): string {
    return `${this.#scheme}://${this.#scheme === 'http' ? '127.0.0.1' : 'localhost'}:${this.port}`
  }

  /** Everything received on all connections, as latin-1 text. */
  bytes(): string {
    return this.connections.map(({ chunks }) => Buffer.concat(chunks).toString('latin1')).join('\n')
  }

  feed(name: string): Feed {
    const feed = this.#feeds.get(name) ?? new Feed()
    this.#feeds.set(name, feed)
    return feed
  }

  /** Lets `/gate/NAME` answer and `/stall/NAME` read. */
  release(name: string): void {
    this.#gate(name).resolve()
  }

  released(name: string): Promise<void> {
    return this.#gate(name).promise
  }

  /** Who answers upgrades; nobody does before. */
  upgrades(take: (message: IncomingMessage, socket: Duplex, head: Buffer) => void): void {
    this.#server.on('upgrade', take)
  }

  /** Resets the connection a request came on. */
  reset(message: IncomingMessage): void {
    this.#tcp.get(message.socket.remotePort ?? 0)?.resetAndDestroy()
  }

  /** The first request of a path, when it has arrived. */
  async request(path: string, ms = 10_000): Promise<RecordedRequest> {
    const signal = AbortSignal.timeout(ms)
    for (;;) {
      const found = this.requests.find(request => request.path === path)
      if (found) return found
      if (signal.aborted) throw new Error(`no request for ${path} within ${ms} ms; there were ${this.requests.map(({ url }) => url).join(', ') || 'none'}`)
      const tick = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => tick.resolve(), { once: true })
      await Promise.race([this.#arrived.promise, tick.promise])
    }
  }

  /** Forgets what was recorded; open exchanges go on. */
  forget(): void {
    this.requests.length = 0
    for (const { chunks } of this.connections) chunks.length = 0
    this.receivedBytes = 0
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    for (const { socket } of this.connections) socket.destroy()
    await once(this.#server, 'close')
  }

  #gate(name: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(name) ?? Promise.withResolvers<void>()
    this.#gates.set(name, gate)
    return gate
  }

  #onConnection(socket: Socket): void {
    const chunks: Buffer[] = []
    let kept = 0
    this.connections.push({ socket, chunks })
    socket.on('error', () => undefined) // the end of a connection is told by the request's own record
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length
      this.lastByteAt = performance.now()
      if (kept < KEPT_PER_CONNECTION) chunks.push(chunk)
      kept += chunk.length
    })
  }

  #onRequest(message: IncomingMessage, answer: ServerResponse): void {
    const recorded = new RecordedRequest(message, answer)
    this.requests.push(recorded)
    const [asked = '', query = ''] = recorded.url.split('?', 2)
    behave(this.plays.get(asked) ?? asked, { recorded, message, answer, query: new URLSearchParams(query), upstream: this })
    const arrived = this.#arrived
    this.#arrived = Promise.withResolvers<void>()
    arrived.resolve()
  }
}
