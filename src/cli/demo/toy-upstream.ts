// The protected API of the demo: orders as JSON, a slow download, numbered event feeds. A toy on loopback: it keeps nothing, checks nothing
// and is no part of the gateway; it only tells what it saw, so that the story can.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { originOf } from './loopback.ts'

const EVENT_EVERY_MS = 40
const LINE_EVERY_MS = 50
const EXPORT_LINES = 80

const exportLine = (number: number): string => `${String(number).padStart(6, '0')},paid,${'0123456789abcdef'.repeat(16)}\n`

/** What every download is, byte for byte. */
export const EXPORT_TEXT = Array.from({ length: EXPORT_LINES }, (_, i) => exportLine(i + 1)).join('')

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}

/** Calls `tick` until it answers false or the caller is gone; waits while the caller does not read. */
function paced(response: ServerResponse, everyMs: number, tick: () => boolean): void {
  const timer = setInterval(() => {
    if (!response.writableNeedDrain && !tick()) clearInterval(timer)
  }, everyMs)
  response.once('close', () => clearInterval(timer))
}

function download(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/csv', 'content-length': Buffer.byteLength(EXPORT_TEXT) })
  let sent = 0
  paced(response, LINE_EVERY_MS, () => {
    response.write(exportLine(++sent))
    if (sent === EXPORT_LINES) response.end()
    return sent < EXPORT_LINES
  })
}

export class ToyUpstream {
  readonly origin: string
  readonly #server: Server
  readonly #written: Map<string, number>

  private constructor(server: Server, written: Map<string, number>) {
    this.#server = server
    this.#written = written
    this.origin = originOf(server)
  }

  static async start(): Promise<ToyUpstream> {
    const written = new Map<string, number>()
    const server = createServer((request, response) => serve(request, response, written)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new ToyUpstream(server, written)
  }

  /** Number of the last event written to the newest connection of this feed. */
  written(feed: string): number {
    return this.#written.get(feed) ?? 0
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}

function feed(response: ServerResponse, name: string, written: Map<string, number>): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  let number = 0
  paced(response, EVENT_EVERY_MS, () => {
    number++
    written.set(name, number)
    response.write(`id: ${number}\nevent: ${name}\ndata: {"number":${number}}\n\n`)
    return true
  })
}

function serve(request: IncomingMessage, response: ServerResponse, written: Map<string, number>): void {
  request.resume()
  const [, room = '', name = '', verb = ''] = new URL(request.url ?? '/', 'http://toy').pathname.split('/')
  if (room === 'feeds' && (name === 'orders' || name === 'payments')) return feed(response, name, written)
  if (room === 'exports') return download(response)
  if (room !== 'orders') return answer(response, 404, { error: 'no such thing in the toy shop' })
  const saw = { authorization: request.headers.authorization !== undefined, context: request.headers['narrowgate-context'] !== undefined }
  if (verb === 'refund' && request.method === 'POST') return answer(response, 200, { order: name, refunded: true, saw })
  answer(response, 200, { order: name, status: 'paid', amount: '42.00', saw })
}
