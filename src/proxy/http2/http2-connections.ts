// The HTTP/2 connections of one listener: looked after once a second, told when the listener stops. SPEC: WIRE16
import type { Socket } from 'node:net'
import { type Caller, type ConnectionOwner, Http2Connection } from './http2-connection.ts'

const LOOK_EVERY = 1_000

export class Http2Connections {
  readonly #owner: ConnectionOwner
  readonly #open = new Set<Http2Connection>()
  #timer: NodeJS.Timeout | null = null

  constructor(owner: ConnectionOwner) {
    this.#owner = owner
  }

  take(socket: Socket, caller: Caller): void {
    const connection = new Http2Connection(socket, caller, this.#owner)
    this.#open.add(connection)
    socket.once('close', () => this.#closed(connection))
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
  }

  /** Each says that it takes nothing new; open streams finish. */
  stop(): void {
    for (const connection of this.#open) connection.close()
  }

  #look(): void {
    for (const connection of this.#open) connection.look()
  }

  #closed(connection: Http2Connection): void {
    this.#open.delete(connection)
    if (this.#open.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}
