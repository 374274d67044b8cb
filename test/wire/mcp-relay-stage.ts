// An MCP server that is written by hand, and callers of both protocols of HTTP: every answer is the test's to give, byte by byte if it likes. For tests only.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from 'node:http'
import { connect, type ClientHttp2Session } from 'node:http2'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { until } from './support.ts'

export type Json = { readonly [member: string]: unknown }
const EVENTS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } as const

/** One request as the server has it. Times are `performance.now()`, 0 while it has not happened. */
export class McpTap {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly answer: ServerResponse
  abortedAt = 0

  constructor(message: IncomingMessage, text: string, answer: ServerResponse) {
    this.method = message.method ?? ''
    this.headers = message.headers
    this.text = text
    this.answer = answer
    answer.on('error', () => undefined) // an abort shows at its close
    answer.on('close', () => {
      if (!answer.writableFinished) this.abortedAt = performance.now()
    })
  }

  get body(): Json { return this.text === '' ? {} : (JSON.parse(this.text) as Json) }

  json(value: unknown, status = 200): void {
    const text = JSON.stringify(value)
    this.answer.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
  }

  streams(): this {
    this.answer.writeHead(200, EVENTS).flushHeaders()
    return this
  }

  event(value: unknown, lead = 'event: message\n'): this {
    this.answer.write(`${lead}data: ${JSON.stringify(value)}\n\n`)
    return this
  }
}

export class McpUpstream {
  readonly taps: McpTap[] = []
  readonly #server: Server

  private constructor() {
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }, (message, answer) => void this.#took(message, answer))
  }

  static async start(): Promise<McpUpstream> {
    const upstream = new McpUpstream()
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get origin(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the server is not listening')
    return `http://127.0.0.1:${address.port}`
  }

  /** The request with that id, or that method of HTTP or JSON-RPC, when it has arrived. */
  async tap(what: string | number): Promise<McpTap> {
    const fits = (tap: McpTap): boolean => tap.body['id'] === what || tap.method === what || tap.body['method'] === what
    await until(() => this.taps.some(fits), `a request '${what}' at the server`)
    return this.taps.find(fits) as McpTap // waited for
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #took(message: IncomingMessage, answer: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer) // node's own
    this.taps.push(new McpTap(message, Buffer.concat(chunks).toString(), answer))
  }
}

export const VERSION = { modern: '2026-07-28', legacy: '2025-11-25' } as const
export type Era = keyof typeof VERSION
export type Protocol = 'http1' | 'http2'

/** What a caller gets of one answer. */
export class Reading {
  status = 0
  headers: { readonly [name: string]: string | readonly string[] | number | undefined } = {}
  text = ''
  /** How it ended. */
  end: 'whole' | 'broken' | null = null
  endedAt = 0
  /** Stops reading; and goes on. */
  pause: () => void = () => {}
  resume: () => void = () => {}
  close: () => void = () => {}

  over(end: 'whole' | 'broken'): void {
    this.end ??= end
    if (this.endedAt === 0) this.endedAt = performance.now()
  }

  /** Messages of an event stream, or the one of a body. */
  get messages(): readonly Json[] {
    if (!String(this.headers['content-type']).startsWith('text/event-stream')) return this.text === '' ? [] : [JSON.parse(this.text) as Json]
    return this.text.split('\n').filter(line => line.startsWith('data: {')).map(line => JSON.parse(line.slice(6)) as Json)
  }

  async whole(): Promise<this> {
    await until(() => this.end !== null, `the end of the answer: ${this.status} ${this.text.slice(-300)}`)
    return this
  }

  async message(count: number): Promise<Json> {
    await until(() => this.end !== null || this.messages.length >= count, `${count} messages`)
    const message = this.messages[count - 1]
    if (message === undefined) throw new Error(`${this.status} ${this.end}: ${this.text}`)
    return message
  }
}

type Said = { readonly token?: string; readonly method?: string; readonly headers?: { readonly [name: string]: string }; readonly body?: Json | string | null }

/** A request of its era, with what its headers have to say. */
export function requestOf(era: Era, id: string | number, method: string, params: Json = {}): { readonly headers: { readonly [name: string]: string }; readonly body: Json } {
  const name = params['name'] ?? params['uri']
  const _meta = { 'io.modelcontextprotocol/protocolVersion': VERSION.modern, 'io.modelcontextprotocol/clientCapabilities': {} }
  return era === 'legacy'
    ? { headers: { 'mcp-protocol-version': VERSION.legacy }, body: { jsonrpc: '2.0', id, method, params } }
    : { headers: { 'mcp-protocol-version': VERSION.modern, 'mcp-method': method, ...(typeof name === 'string' ? { 'mcp-name': name } : {}) }, body: { jsonrpc: '2.0', id, method, params: { ...params, _meta } } }
}

export class RelayStage {
  readonly upstream: McpUpstream
  readonly gate: TestGateway
  readonly token: string
  readonly #sessions: ClientHttp2Session[] = []

  private constructor(upstream: McpUpstream, gate: TestGateway, token: string) {
    this.upstream = upstream
    this.gate = gate
    this.token = token
  }

  /** The tool `deploy` and resources under `secret:` stand on an elevation, all others on the baseline. @param mcp YAML of the route's `mcp` */
  static async start(mcp = '{}', more: Partial<GatewayPlan> = {}): Promise<RelayStage> {
    const upstream = await McpUpstream.start()
    const gate = await TestGateway.start({
      listener: 'protocols: [http1, http2]',
      routes: `
- name: tools
  match: { host: api.test, path: /mcp }
  upstream: { url: "${upstream.origin}/mcp", protocol: mcp, timeout: 2s }
  mcp: ${mcp}
  rules:
    - { allow: { tools: [deploy], resources: ["secret://*"] }, scope: extra:use }
    - { allow: { tools: ["*"], resources: ["*"] } }`,
      elevations: 'long: { adds: [extra:use], for: 10m, max: 1h }',
      ...more,
    })
    return new RelayStage(upstream, gate, await gate.token())
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    await this.gate.stop()
    await this.upstream.close()
  }

  /** A request of a method, through HTTP of that version. */
  call(protocol: Protocol, era: Era, id: string | number, method: string, params: Json = {}, token = this.token): Promise<Reading> { return this.send(protocol, { ...requestOf(era, id, method, params), token }) }

  async send(protocol: Protocol, { token = this.token, method = 'POST', headers = {}, body = null }: Said): Promise<Reading> {
    const text = body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body)
    const all = { authorization: `Bearer ${token}`, accept: 'application/json, text/event-stream', ...(text === '' ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }), ...headers }
    return protocol === 'http1' ? this.#http1(method, all, text) : this.#http2(method, all, text)
  }

  #http1(method: string, headers: { readonly [name: string]: string }, text: string): Reading {
    const reading = new Reading()
    const sent = httpRequest({ host: '127.0.0.1', port: this.gate.target.port, method, path: '/mcp', headers: { host: 'api.test', ...headers }, agent: false })
    sent.on('error', () => reading.over('broken'))
    sent.on('response', answer => {
      reading.status = answer.statusCode ?? 0
      reading.headers = answer.headers
      reading.pause = () => answer.pause()
      reading.resume = () => answer.resume()
      answer.on('data', (chunk: Buffer) => (reading.text += chunk.toString()))
      answer.on('error', () => reading.over('broken'))
      answer.on('close', () => reading.over(answer.complete ? 'whole' : 'broken'))
    })
    reading.close = () => void sent.destroy()
    sent.end(text)
    return reading
  }

  #http2(method: string, headers: { readonly [name: string]: string }, text: string): Reading {
    const reading = new Reading()
    const session = connect(`http://127.0.0.1:${this.gate.target.port}`)
    this.#sessions.push(session)
    session.on('error', () => reading.over('broken'))
    const stream = session.request({ ':method': method, ':path': '/mcp', ':authority': 'api.test', ...headers })
    stream.on('response', fields => {
      reading.status = fields[':status'] ?? 0
      reading.headers = fields
    })
    stream.on('data', (chunk: Buffer) => (reading.text += chunk.toString()))
    stream.on('error', () => reading.over('broken'))
    stream.on('close', () => reading.over(stream.rstCode === 0 ? 'whole' : 'broken'))
    reading.pause = () => stream.pause()
    reading.resume = () => stream.resume()
    reading.close = () => stream.close(8)
    if (!stream.writableEnded) stream.end(text)
    return reading
  }
}
