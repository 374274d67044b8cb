// One exchange's place on an HTTP/1.1 connection: frames the body it sends, and keeps it to what its head announced.
// An object of its own, so that whoever holds on to it behind the end reaches nobody else's exchange. SPEC: WIRE7, WIRE12
import type { Socket } from 'node:net'
import type { Sending, UpstreamHandler } from '../handler.ts'
import { lastChunk } from './request-head.ts'

/** The connection's side. It ignores a place that is not the one it has. */
export interface PlaceOwner {
  pause(place: Http1Place): void
  resume(place: Http1Place): void
  abort(place: Http1Place): void
  /** What was sent is not what the head announced, or may not be sent. */
  misframed(place: Http1Place): void
}

export class Http1Place implements Sending {
  readonly handler: UpstreamHandler
  readonly #owner: PlaceOwner
  readonly #socket: Socket
  /** Bytes still to come; null in chunks; -1 before the head was written. */
  #left: number | null = -1
  /** The request was handed to the socket to its end. */
  sent = false
  /** Something of the body was handed over. */
  bodyBegan = false
  /** A `write` was answered with false and `drained` not told yet. */
  full = false
  over = false

  constructor(handler: UpstreamHandler, owner: PlaceOwner, socket: Socket) {
    this.handler = handler
    this.#owner = owner
    this.#socket = socket
  }

  /** The head is written next, and announces this. */
  announce(bodyLength: number | null): void {
    this.#left = bodyLength
    this.sent = bodyLength === 0
  }

  write(chunk: Buffer): boolean {
    if (this.over) return false
    if (chunk.length === 0) return !this.full // written, it would be the last chunk
    if (this.sent || !this.#counts(chunk.length)) return this.#misframed()
    this.bodyBegan = true
    if (this.#left === null) this.#writeChunk(chunk)
    else this.#socket.write(chunk)
    this.full = this.#socket.writableNeedDrain
    return !this.full
  }

  end(trailers: readonly string[]): void {
    if (this.over || this.sent) return
    const last = this.#left === null ? lastChunk(trailers) : ''
    if (last === null || (this.#left ?? 0) !== 0) return void this.#misframed()
    this.sent = true
    this.bodyBegan ||= last !== ''
    if (last !== '') this.#socket.write(last, 'latin1')
  }

  pause(): void { this.#owner.pause(this) }
  resume(): void { this.#owner.resume(this) }
  abort(): void { this.#owner.abort(this) }

  #counts(bytes: number): boolean {
    if (this.#left === null) return true
    this.#left -= bytes
    return this.#left >= 0
  }

  #writeChunk(chunk: Buffer): void {
    const socket = this.#socket
    socket.cork()
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    socket.write(chunk)
    socket.write('\r\n', 'latin1')
    socket.uncork()
  }

  #misframed(): false {
    this.#owner.misframed(this)
    return false
  }
}
