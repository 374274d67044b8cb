// An upstream of the tests' own on node:http that records every byte and its time, and behaves as the path asks (see BEHAVIOURS).
// The raw variant for answers node:http would never give is in raw-upstream.ts.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { patternAt } from './pattern.ts'
import type { Certificate } from './tls.ts'

const KEPT_PER_CONNECTION = 8 * 1024 * 1024
const STEP = 64 * 1024

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

/** A feed of events the test sends; every open answer on it gets them. */
export class Feed {
  readonly #open = new Set<ServerResponse>()

  get listeners(): number {
    return this.#open.size
  }

  emit(data: string, fields: { readonly id?: string; readonly event?: string } = {}): void {
    const head = `${fields.id === undefined ? '' : `id: ${fields.id}\n`}${fields.event === undefined ? '' : `event: ${fields.event}\n`}`
    this.write(`${head}${data.split('\n').map(line => `data: ${line}\n`).join('')}\n`)
  }

  /** Bytes as they are, for half events. */
  write(text: string): void {
    for (const answer of this.#open) answer.write(text)
  }

  end(): void {
    for (const answer of this.#open) answer.end()
  }

  add(answer: ServerResponse): void {
    this.#open.add(answer)
    answer.on('close', () => this.#open.delete(answer))
  }
}

type Asked = { readonly recorded: RecordedRequest; readonly message: IncomingMessage; readonly answer: ServerResponse; readonly argument: string; readonly query: URLSearchParams; readonly upstream: RecordingUpstream }
type Behaviour = (asked: Asked) => void

const json = (answer: ServerResponse, value: unknown, status = 200): void => {
  const text = JSON.stringify(value)
  answer.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

/** Writes [sent, stopAt) of the pattern as fast as the reader takes it, then calls `done`. */
function writePattern(recorded: RecordedRequest, answer: ServerResponse, stopAt: number, done: () => void): void {
  while (recorded.sentBytes < stopAt && !answer.destroyed) {
    const part = patternAt(recorded.sentBytes, Math.min(STEP, stopAt - recorded.sentBytes))
    recorded.sentBytes += part.length
    if (answer.write(part)) continue
    answer.once('drain', () => writePattern(recorded, answer, stopAt, done))
    return
  }
  done()
}

function startDownload({ recorded, answer, argument, query }: Asked, stopAt: number, done: () => void): void {
  answer.writeHead(200, { 'content-type': 'application/octet-stream', ...(query.has('chunked') ? {} : { 'content-length': argument }) })
  writePattern(recorded, answer, stopAt, done)
}

/** What the first part of the path asks for; the second is its argument. Everything else answers a small JSON. */
const BEHAVIOURS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  // /echo: what arrived, as JSON, once the body is there.
  ['echo', ({ recorded, message, answer }) => void message.on('end', () => json(answer, { method: recorded.method, url: recorded.url, headers: recorded.rawHeaders, body: recorded.body().toString('latin1') }))],
  // /download/BYTES[?chunked]: the pattern, with back-pressure.
  ['download', asked => startDownload(asked, Number(asked.argument), () => asked.answer.end())],
  // /reset/BYTES[?after=N][&chunked]: the same, reset after N bytes (half of it by default).
  ['reset', asked => startDownload(asked, Number(asked.query.get('after') ?? Number(asked.argument) / 2), () => void asked.answer.write('', () => asked.upstream.reset(asked.message)))],
  // /sse/NAME: the feed of that name.
  ['sse', ({ answer, argument, upstream }) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders()
    upstream.feed(argument).add(answer)
  }],
  // /stream/NAME: the feed of that name as plain bytes.
  ['stream', ({ answer, argument, upstream }) => {
    answer.writeHead(200, { 'content-type': 'application/octet-stream' }).flushHeaders()
    upstream.feed(argument).add(answer)
  }],
  // /upload: takes everything, then says how much.
  ['upload', ({ recorded, message, answer }) => void message.on('end', () => json(answer, { received: recorded.bodyBytes }))],
  // /stall: takes the head and reads no body until the test says so.
  ['stall', ({ message, answer, argument, upstream }) => {
    message.pause()
    void upstream.released(argument).then(() => message.resume().on('end', () => json(answer, { stalled: true })))
  }],
  // /gate/NAME: answers when the test releases NAME.
  ['gate', ({ answer, argument, upstream }) => void upstream.released(argument).then(() => json(answer, { released: argument }))],
  // /never: no answer, ever.
  ['never', () => undefined],
  // /trailers: a chunked body with trailers.
  ['trailers', ({ answer }) => {
    answer.writeHead(200, { 'content-type': 'text/plain', trailer: 'X-Checksum' })
    answer.write('body')
    answer.addTrailers({ 'X-Checksum': 'abc' })
    answer.end()
  }],
  // /status/CODE: that status, without a body where it has none.
  ['status', ({ answer, argument }) => (['204', '304'].includes(argument) ? void answer.writeHead(Number(argument), { etag: '"e"' }).end() : json(answer, { status: Number(argument) }, Number(argument)))],
  // /hints: 103 before the answer.
  ['hints', ({ answer }) => answer.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => json(answer, { hinted: true }))],
  // /headers: answers with headers a gateway must not relay.
  ['headers', ({ answer }) => void answer.writeHead(200, { connection: 'keep-alive, x-hop', 'x-hop': '1', 'keep-alive': 'timeout=99', 'narrowgate-reason': 'forged', 'set-cookie': ['a=1', 'b=2'], 'content-length': 2 }).end('ok')],
])

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
    const path = this.plays.get(asked) ?? asked
    const [, name = '', argument = ''] = path.split('/')
    const behaviour = BEHAVIOURS.get(name) ?? (() => json(answer, { ok: true, path }))
    behaviour({ recorded, message, answer, argument, query: new URLSearchParams(query), upstream: this })
    const arrived = this.#arrived
    this.#arrived = Promise.withResolvers<void>()
    arrived.resolve()
  }
}
