// A message on its way upstream, all of which is there: each piece of it passes the gate in the turn in which it is handed on. SPEC: ENF2, MCP6
import type { Sending } from '../../../upstream/handler.ts'

interface MessageUploadOwner {
  /** The gate, in this turn. */
  readonly passes: boolean
  /** May this piece be handed on? Asked last, behind an open gate; where the answer is no, `release` is called or nothing more. */
  pays(piece: Buffer): boolean
  /** The gate was found closed while something waits. */
  doubt(): void
  /** This piece is handed on, in this turn. */
  handing(piece: Buffer): void
  /** All of it was. */
  handed(): void
}

/** Bytes that pass one look at the gate. */
const PIECE = 65_536
const NO_TRAILERS: readonly string[] = []

export class MessageUpload {
  readonly #sending: Sending
  readonly #owner: MessageUploadOwner
  #left: Buffer
  #full = false
  #over = false

  constructor(bytes: Buffer, sending: Sending, owner: MessageUploadOwner) {
    this.#left = bytes
    this.#sending = sending
    this.#owner = owner
  }

  /** All of it was handed on. */
  get finished(): boolean { return this.#left.length === 0 }

  drained(): void {
    this.#full = false
    this.release()
  }

  /** The gate is open, or there is room. */
  release(): void {
    while (!this.#over && !this.#full && this.#left.length > 0) {
      const piece = this.#left.subarray(0, PIECE)
      if (!this.#owner.passes) return this.#owner.doubt()
      if (!this.#owner.pays(piece)) return
      this.#left = this.#left.subarray(piece.length)
      this.#owner.handing(piece)
      this.#full = !this.#sending.write(piece)
    }
    if (this.#over || this.#left.length > 0) return
    this.#over = true
    this.#owner.handed()
    this.#sending.end(NO_TRAILERS)
  }

  /** Nothing of it goes on any more. */
  stop(): void { this.#over = true }
}
