// Bytes that come piece by piece, copied into one place: whoever sends them one at a time fills no more room with them than whoever sends them at once, and
// nothing of what they were read from is kept. SPEC: INS1, MCP6

const EMPTY: Buffer = Buffer.alloc(0)
/** Bytes that are made room for at first; from then on twice as many each time, so that few are copied often. */
const FIRST = 1_024

export class GatheredBytes {
  #room = EMPTY
  #size = 0

  get size(): number { return this.#size }

  add(piece: Uint8Array): void {
    const size = this.#size + piece.length
    if (size > this.#room.length) this.#grow(size)
    this.#room.set(piece, this.#size)
    this.#size = size
  }

  #grow(size: number): void {
    const room = Buffer.allocUnsafeSlow(Math.max(FIRST, size, 2 * this.#room.length))
    room.set(this.#room.subarray(0, this.#size))
    this.#room = room
  }

  /** All of it, in no more room than it takes; what comes next is gathered anew. */
  take(): Buffer {
    const { length } = this.#room
    const bytes = this.#size === length ? this.#room : Buffer.from(this.#room.subarray(0, this.#size))
    this.#room = EMPTY
    this.#size = 0
    return bytes
  }
}
