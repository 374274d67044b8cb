// The HTTP/1.1 connections of one listener: looked after once a second, told when the listener stops. SPEC: WIRE8, WIRE14
import type { Socket } from 'node:net'
import { Http1Connection } from './http1-connection.ts'
import type { Http1Owner, Http1Room } from './http1-room.ts'

const LOOK_EVERY = 1_000

export class Http1Connections {
  readonly #room: Http1Room
  readonly #open = new Set<Http1Connection>()
  #stopped = false
  #timer: NodeJS.Timeout | null = null

  constructor(owner: Http1Owner) {
    const { headerBytes, headers, idleTimeout } = owner.limits
    const keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(idleTimeout / 1_000)}\r\n`
    this.#room = { owner, parsing: { head: headerBytes, fields: headers }, keepAlive, onGone: connection => this.#closed(connection) }
  }

  take(socket: Socket): void { this.#taken(socket) }

  /** One that has said nothing that could be told. */
  late(socket: Socket): void { this.#taken(socket).fault('request_timeout') }

  /** Idle ones end now, the others behind their answers. */
  stop(): void {
    this.#stopped = true
    for (const connection of this.#open) connection.close()
  }

  #taken(socket: Socket): Http1Connection {
    const connection = new Http1Connection(socket, this.#room)
    connection.closing = this.#stopped
    this.#open.add(connection)
    if (socket.destroyed) this.#closed(connection)
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
    return connection
  }

  #look(): void {
    const now = this.#room.owner.clock.elapsed()
    for (const connection of this.#open) connection.look(now)
  }

  #closed(connection: Http1Connection): void {
    this.#open.delete(connection)
    if (this.#open.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}
