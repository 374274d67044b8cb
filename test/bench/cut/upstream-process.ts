// The API behind the gateways of bench:cut, a process of its own: event streams, downloads and WebSockets that never end, a piece every so often to each
// of them. /sse?every=20, /download?every=20 and /ws?every=20, in milliseconds.
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Writable } from 'node:stream'
import { answering } from './talk.ts'

const TICK = 10
const EVENT = `data: ${'.'.repeat(64)}\n\n`
const PIECE = Buffer.alloc(4_096, 'narrowgate')
/** A text message in one frame that is not masked. */
const MESSAGE = Buffer.concat([Buffer.from([0x81, EVENT.length]), Buffer.from(EVENT)])
/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const PIECES: ReadonlyMap<string, string | Buffer> = new Map<string, string | Buffer>([['/sse', EVENT], ['/ws', MESSAGE]])

/** Endless answers and connections that get a piece each `every` milliseconds, spread evenly over that time. */
class Rota {
  readonly #open = new Set<Writable>()
  #due = 0
  #turn: Iterator<Writable> = this.#open.values()

  constructor(every: number, piece: string | Buffer) {
    const tick = Math.min(every, TICK)
    setInterval(() => {
      this.#due += (this.#open.size * tick) / every
      for (; this.#due >= 1; this.#due--) this.#next()?.write(piece)
    }, tick)
  }

  add(answer: Writable): void {
    this.#open.add(answer)
    answer.once('close', () => this.#open.delete(answer))
  }

  #next(): Writable | null {
    for (let again = 0; again < 2; again++) {
      const { done, value } = this.#turn.next()
      if (done !== true) return value
      this.#turn = this.#open.values()
    }
    return null
  }
}

const rotas = new Map<string, Rota>()

function rotaOf(path: string, every: number): Rota {
  const name = `${path} ${every}`
  const rota = rotas.get(name) ?? new Rota(every, PIECES.get(path) ?? PIECE)
  rotas.set(name, rota)
  return rota
}

function asked(url: string): { readonly pathname: string; readonly every: number } {
  const { pathname, searchParams } = new URL(url, 'http://bench')
  return { pathname, every: Number(searchParams.get('every') ?? 1_000) }
}

const server = createServer((request, answer) => {
  const { pathname, every } = asked(request.url ?? '/')
  const events = pathname === '/sse'
  answer.on('error', () => undefined) // cut, as it should be
  answer.writeHead(200, { 'content-type': events ? 'text/event-stream' : 'application/octet-stream' })
  answer.write(events ? EVENT : PIECE)
  rotaOf(pathname, every).add(answer)
})
server.on('upgrade', (request, socket) => {
  const { pathname, every } = asked(request.url ?? '/')
  socket.on('error', () => undefined).resume().once('end', () => socket.destroy()) // what it says is nothing but its end
  const accept = hash('sha1', `${request.headers['sec-websocket-key'] ?? ''}${GUID}`, 'base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`)
  socket.write(MESSAGE)
  rotaOf(pathname, every).add(socket)
})
server.keepAliveTimeout = 0
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 })
await once(server, 'listening')

answering({ port: () => { const at = server.address(); return at === null || typeof at === 'string' ? 0 : at.port } })
