// A request of HTTP/1.1 or 1.0, as node:http parsed it, and the way back. SPEC: WIRE15
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Instant } from '../../core/time.ts'
import type { Arrival, CallerStream } from '../arrival.ts'
import { reset } from '../reset.ts'
import { Http1Answer } from './http1-answer.ts'

export type Http1Upgrade = { readonly socket: Socket; readonly head: Buffer; readonly response: ServerResponse }

type Carried = {
  /** The TCP socket under the response, also where TLS lies between. */
  readonly raw: Socket
  readonly expectsContinue: boolean
  readonly secure: boolean
  readonly serverName: string | null
  /** Who the connection counts as coming from; null for the socket's own peer. */
  readonly peer: string | null
  readonly at: Instant
  /** Where the connection was given up by the parser for another protocol: what had come behind the head. */
  readonly upgraded: Http1Upgrade | null
}

export class Http1Arrival implements Arrival {
  readonly protocol = 'http1'
  readonly connects = null
  readonly body: IncomingMessage
  readonly answer: Http1Answer
  readonly expectsContinue: boolean
  readonly secure: boolean
  readonly serverName: string | null
  readonly peer: string
  readonly at: Instant
  readonly #raw: Socket
  readonly #upgraded: Http1Upgrade | null

  constructor(request: IncomingMessage, response: ServerResponse, { raw, expectsContinue, secure, serverName, peer, at, upgraded }: Carried) {
    this.body = request
    this.answer = new Http1Answer(request, response, raw)
    this.expectsContinue = expectsContinue
    this.secure = secure
    this.serverName = serverName
    this.peer = peer ?? request.socket.remoteAddress ?? ''
    this.at = at
    this.#raw = raw
    this.#upgraded = upgraded
  }

  get version() { return this.body.httpVersion }
  get method() { return this.body.method ?? '' }
  get target() { return this.body.url ?? '' }
  get headers() { return this.body.rawHeaders }
  get trailers() { return this.body.rawTrailers }
  get complete() { return this.body.complete }

  takeOver(headers: readonly string[]): CallerStream | null {
    if (this.#upgraded === null || this.#upgraded.socket.destroyed) return null
    const { socket, head, response } = this.#upgraded
    const raw = this.#raw
    response.detachSocket(socket)
    const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1] ?? ''}\r\n`] : []))
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n${lines.join('')}\r\n`, 'latin1')
    return { socket, head, reset: () => reset(raw, socket) }
  }
}
