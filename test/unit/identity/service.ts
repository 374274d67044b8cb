// A service on a loopback port that is asked about credentials: it says what a test tells it to, and remembers what it was asked.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export type Asked = { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: string }
export type Answerer = (response: ServerResponse, asked: Asked) => void

export const json = (value: unknown, status = 200): Answerer => raw(JSON.stringify(value), status)
export const raw = (body: string | Buffer, status = 200, headers: { readonly [name: string]: string } = {}): Answerer => response => void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)

export class Service {
  answer: Answerer = json({})
  readonly asked: Asked[] = []
  readonly #server: Server
  readonly #scheme: string

  private constructor(tls: { readonly cert: string; readonly key: string } | null) {
    const respond = (request: IncomingMessage, response: ServerResponse): void => {
      text(request).then(body => {
        const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
        this.asked.push(asked)
        this.answer(response, asked)
      }, () => response.destroy())
    }
    this.#server = tls === null ? createServer(respond) : createTlsServer(tls, respond)
    this.#scheme = tls === null ? 'http' : 'https'
  }

  static async start(tls: { readonly cert: string; readonly key: string } | null = null): Promise<Service> {
    const service = new Service(tls)
    service.#server.listen(0, '127.0.0.1')
    await once(service.#server, 'listening')
    return service
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo // a TCP listener's
    return `${this.#scheme}://127.0.0.1:${port}/ask`
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
