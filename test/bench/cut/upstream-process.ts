// The API behind the gateways of bench:cut, a process of its own: event streams and downloads that never end, a piece every so often to each of them.
// /sse?every=20 and /download?every=20, in milliseconds.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { answering } from './talk.ts'

const TICK = 10
const EVENT = `data: ${'.'.repeat(64)}\n\n`
const PIECE = Buffer.alloc(4_096, 'narrowgate')

/** Endless answers that get a piece each `every` milliseconds, spread evenly over that time. */
class Rota {
  readonly #open = new Set<ServerResponse>()
  #due = 0
  #turn: Iterator<ServerResponse> = this.#open.values()

  constructor(every: number, piece: string | Buffer) {
    const tick = Math.min(every, TICK)
    setInterval(() => {
      this.#due += (this.#open.size * tick) / every
      for (; this.#due >= 1; this.#due--) this.#next()?.write(piece)
    }, tick)
  }

  add(answer: ServerResponse): void {
    this.#open.add(answer)
    answer.once('close', () => this.#open.delete(answer))
  }

  #next(): ServerResponse | null {
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
  const rota = rotas.get(name) ?? new Rota(every, path === '/sse' ? EVENT : PIECE)
  rotas.set(name, rota)
  return rota
}

const server = createServer((request, answer) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://bench')
  const events = pathname === '/sse'
  answer.on('error', () => undefined) // cut, as it should be
  answer.writeHead(200, { 'content-type': events ? 'text/event-stream' : 'application/octet-stream' })
  answer.write(events ? EVENT : PIECE)
  rotaOf(pathname, Number(searchParams.get('every') ?? 1_000)).add(answer)
})
server.keepAliveTimeout = 0
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 })
await once(server, 'listening')

answering({ port: () => { const at = server.address(); return at === null || typeof at === 'string' ? 0 : at.port } })
