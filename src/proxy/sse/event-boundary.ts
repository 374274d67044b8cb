// Where an event stream stands between two events, so that what the gateway adds or ends never falls inside one. SPEC: WIRE10
const CR = 13
const LF = 10

export class EventBoundary {
  /** The stream's last bytes ended a line that was empty: CRLF, LF and CR all end lines. */
  at = true
  #lineEmpty = true
  #afterCr = false

  /** Follows the tail of a chunk; only its last line ends matter. */
  follow(chunk: Uint8Array): void {
    for (let i = Math.max(0, chunk.length - 4); i < chunk.length; i++) this.#step(chunk[i] ?? 0, i === 0 || i > chunk.length - 4)
  }

  #step(byte: number, continues: boolean): void {
    if (!continues) {
      this.#lineEmpty = false
      this.#afterCr = false
    }
    if (byte === LF && this.#afterCr) {
      this.#afterCr = false
      return
    }
    this.#afterCr = byte === CR
    if (byte === CR || byte === LF) {
      this.at = this.#lineEmpty
      this.#lineEmpty = true
      return
    }
    this.at = false
    this.#lineEmpty = false
  }
}
