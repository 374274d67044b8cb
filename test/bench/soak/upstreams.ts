// The APIs behind the gateway of soak:wire: HTTP/1.1 with answers, uploads, events and WebSockets that go on until they are cut, and calls over h2c.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

/** Milliseconds between two pieces of an endless answer. */
const EVERY = 20
const PIECE = Buffer.alloc(4_096, 'narrowgate')
const EVENT = `data: ${'.'.repeat(64)}\n\n`
const ignore = (): void => {}

const portOf = (server: Server | Http2Server): number => (server.address() as AddressInfo).port // it listens on a port

function endless(answer: ServerResponse, type: string, piece: Buffer | string): void {
  answer.writeHead(200, { 'content-type': type })
  const timer = setInterval(() => {
    if (!answer.writableNeedDrain) answer.write(piece)
  }, EVERY)
  answer.write(piece)
  answer.once('close', () => clearInterval(timer))
}

function serve(request: IncomingMessage, answer: ServerResponse): void {
  request.on('error', ignore)
  answer.on('error', ignore)
  const name = (request.url ?? '').split('/').at(-1)
  if (name === 'download') return endless(answer, 'application/octet-stream', PIECE)
  if (name === 'events') return endless(answer, 'text/event-stream', EVENT)
  if (name === 'upload') answer.writeHead(200).flushHeaders()
  request.resume().once('end', () => answer.end('{"ok":true}'))
}

/** Every message of a call comes back; its end brings the status. */
function call(stream: ServerHttp2Stream): void {
  stream.on('error', ignore)
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.pipe(stream)
}

export class Upstreams {
  readonly #http1 = createServer({ requestTimeout: 0, keepAliveTimeout: 5_000 }, serve)
  readonly #http2 = createHttp2Server()
  readonly #sockets = new WebSocketServer({ noServer: true })
  readonly #sessions = new Set<ServerHttp2Session>()

  static async start(): Promise<Upstreams> {
    const upstreams = new Upstreams()
    await upstreams.#listen()
    return upstreams
  }

  get api(): number { return portOf(this.#http1) }
  get calls(): number { return portOf(this.#http2) }

  async #listen(): Promise<void> {
    this.#http1.on('upgrade', (request, socket, head) => this.#sockets.handleUpgrade(request, socket, head, peer => {
      peer.on('error', ignore)
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }))
    }))
    this.#http2.on('session', session => {
      this.#sessions.add(session)
      session.on('error', ignore)
      session.once('close', () => this.#sessions.delete(session))
    })
    this.#http2.on('stream', call)
    this.#http1.listen(0, '127.0.0.1')
    this.#http2.listen(0, '127.0.0.1')
    await Promise.all([once(this.#http1, 'listening'), once(this.#http2, 'listening')])
  }

  close(): void {
    for (const peer of this.#sockets.clients) peer.terminate()
    for (const session of this.#sessions) session.destroy()
    this.#http1.close()
    this.#http1.closeAllConnections()
    this.#http2.close()
  }
}
