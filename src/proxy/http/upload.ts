// A request body on its way upstream: every chunk passes the gate in the turn in which it is handed on, and what it may not pass waits here,
// bounded by what one read of the caller's socket brings. SPEC: ENF2, WIRE7
import type { Readable } from 'node:stream'
import type { Sending } from '../../upstream/handler.ts'

/** What the body asks of its relay. */
interface UploadOwner {
  /** The gate, in this turn. */
  readonly passes: boolean
  /** May this piece be handed on? Asked last, behind an open gate; where the answer is no, `release` is called or nothing more. */
  pays(piece: Buffer): boolean
  /** The gate was found closed while something waits. */
  doubt(): void
  /** These bytes are handed on, in this turn. */
  handing(chunk: Buffer): void
  /** @returns false when the body is over its limit and the relay ended the exchange */
  counted(bytes: number): boolean
  /** Those that go on; asked once, behind the body's last byte. */
  trailersUp(): readonly string[]
}

export class Upload {
  readonly #body: Readable
  readonly #sending: Sending
  readonly #owner: UploadOwner
  /** Arrived while the gate was closed or the upstream full; the caller is not read meanwhile, so this stays small. */
  #held: Buffer[] = []
  #full = false
  #ended = false
  #over = false

  constructor(body: Readable, sending: Sending, owner: UploadOwner) {
    this.#body = body
    this.#sending = sending
    this.#owner = owner
    body.on('data', (chunk: Buffer) => this.#arrived(chunk))
    body.once('end', () => this.#finished())
  }

  /** All of it has arrived. */
  get finished(): boolean { return this.#ended }

  #arrived(chunk: Buffer): void {
    if (this.#over || !this.#owner.counted(chunk.length)) return
    if (!this.#full && this.#held.length === 0 && this.#owner.passes && this.#owner.pays(chunk)) return this.#hand(chunk)
    this.#held.push(chunk)
    this.#body.pause()
    if (!this.#full) this.#owner.doubt()
  }

  #hand(chunk: Buffer): void {
    this.#owner.handing(chunk)
    if (this.#sending.write(chunk)) return
    this.#full = true
    this.#body.pause()
  }

  #finished(): void {
    this.#ended = true
    if (this.#over) return
    if (this.#held.length > 0) return
    if (this.#owner.passes) this.#end()
    else this.#owner.doubt()
  }

  #end(): void {
    this.#over = true
    this.#sending.end(this.#owner.trailersUp())
  }

  /** The upstream takes more. */
  drained(): void {
    this.#full = false
    this.release()
  }

  /** The gate is open again, or there is room: what was held goes first, in order. */
  release(): void {
    for (let next = this.#held[0]; next !== undefined && !this.#over && !this.#full; next = this.#held[0]) {
      if (!this.#owner.passes) return this.#owner.doubt()
      if (!this.#owner.pays(next)) return
      this.#held.shift()
      this.#hand(next)
    }
    if (this.#over || this.#full || this.#held.length > 0) return
    if (!this.#ended) this.#body.resume()
    else if (this.#owner.passes) this.#end()
    else this.#owner.doubt()
  }

  /** Nothing of it goes on any more. */
  stop(): void {
    this.#over = true
    this.#held = []
  }
}
