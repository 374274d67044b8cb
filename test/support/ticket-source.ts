// A ticket system for tests, on a loopback port: answers what the test put there, with entity tags, takes notes, and signs what it sends to webhooks.
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { instant } from '../../src/core/time.ts'
import { signedWebhook } from '../../src/runtime/standard-webhook.ts'

export const WEBHOOK_SECRET = 'a secret of the ticket system'

type Note = { readonly method: string; readonly path: string; readonly key: string; readonly body: Record<string, unknown> }
export type Delivery = { readonly id?: string; /** Milliseconds since the epoch. */ readonly at?: number; readonly secret?: string; readonly headers?: { readonly [name: string]: string }; readonly body?: string }

export class TicketSource {
  /** What is answered under a path; nothing is 404. */
  readonly tickets = new Map<string, unknown>()
  /** Paths asked for, and what they were answered with. */
  readonly asked: { readonly path: string; readonly status: number; readonly authorization: string | undefined }[] = []
  readonly notes: Note[] = []
  /** Answers everything with 503 while true. */
  down = false
  /** Notes that are refused with 503 before one is taken. */
  refuseNotes = 0
  /** Called when a ticket is asked for, before it is answered. */
  beforeAnswer: () => Promise<void> = async () => {}
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  static async start(): Promise<TicketSource> {
    const source = new TicketSource()
    source.#server.listen(0, '127.0.0.1')
    await once(source.#server, 'listening')
    return source
  }

  get origin(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const found = this.tickets.get(path)
    if (request.method !== 'GET') return this.#noted(request, response)
    const text = JSON.stringify(found)
    await this.beforeAnswer()
    const etag = `"${createHash('sha256').update(text ?? '').digest('hex').slice(0, 16)}"`
    const status = this.down ? 503 : found === undefined ? 404 : request.headers['if-none-match'] === etag ? 304 : 200
    this.asked.push({ path, status, authorization: request.headers.authorization })
    response.writeHead(status, { 'content-type': 'application/json', ...(status === 200 || status === 304 ? { etag } : {}) }).end(status === 200 ? text : undefined)
  }

  async #noted(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (this.refuseNotes-- > 0) return void response.writeHead(503).end()
    this.notes.push({ method: request.method ?? '', path: request.url ?? '', key: String(request.headers['idempotency-key']), body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown> })
    response.writeHead(201).end()
  }
}

/** Sends a message to a webhook; signed, and now, where the test says nothing else. */
export async function deliver(port: number, name: string, message: unknown, { id = `msg_${randomUUID()}`, at = Date.now(), secret = WEBHOOK_SECRET, headers, body }: Delivery = {}): Promise<number> {
  const text = body ?? JSON.stringify(message)
  const sent = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: `/hooks/${name}`, agent: false, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...(headers ?? signedWebhook(id, instant(at), text, [Buffer.from(secret)])) } })
  sent.end(text)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode ?? 0
}
