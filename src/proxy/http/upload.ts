// A request body on its way upstream: every chunk passes the gate when it arrives and again when it is handed on. SPEC: ENF2, WIRE7
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'

/** What the body asks of its relay. */
interface UploadOwner {
  /** The gate, in this turn. */
  readonly passes: boolean
  /** The gate was found closed while something waits. */
  doubt(): void
  /** @returns false when the body is over its limit and the relay ended the exchange */
  counted(bytes: number): boolean
}

export class Upload extends Readable {
  readonly #request: IncomingMessage
  readonly #owner: UploadOwner
  /** Arrived while the gate was closed; the request is paused, so this stays small. */
  readonly #held: Buffer[] = []
  #ended = false

  constructor(request: IncomingMessage, owner: UploadOwner) {
    super({ highWaterMark: 65_536 })
    this.#request = request
    this.#owner = owner
    request.on('data', (chunk: Buffer) => this.#arrived(chunk))
    request.once('end', () => this.#finished())
    request.pause()
  }

  get finished(): boolean { return this.#ended }

  #arrived(chunk: Buffer): void {
    if (this.destroyed || !this.#owner.counted(chunk.length)) return
    if (this.#owner.passes && this.#held.length === 0) {
      if (!this.push(chunk)) this.#request.pause()
      return
    }
    this.#held.push(chunk)
    this.#request.pause()
    this.#owner.doubt()
  }

  #finished(): void {
    this.#ended = true
    if (this.#owner.passes && this.#held.length === 0) this.push(null)
    else this.#owner.doubt()
  }

  override _read(): void {
    if (this.#held.length === 0) this.#request.resume()
  }

  /** The hand-off towards the upstream's socket happens in the turn of this call. */
  override read(size?: number): unknown {
    if (this.#owner.passes) return super.read(size)
    if (this.readableLength > 0) this.#owner.doubt()
    return this.#owner.passes ? super.read(size) : null
  }

  /** The gate is open again: what was held goes first, in order. */
  release(): void {
    if (this.destroyed) return
    while (this.#held.length > 0) {
      const chunk = this.#held.shift()
      if (chunk !== undefined && !this.push(chunk)) break
    }
    if (this.#held.length > 0) return
    if (this.#ended) this.push(null)
    else this.#request.resume()
    if (this.isPaused()) return
    this.pause()
    this.resume()
  }
}
