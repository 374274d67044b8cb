// What all bodies together may hold that were read before their decision, from the first byte until the answer is over. SPEC: INS1
export class InspectedBytes {
  readonly #most: () => number
  readonly #full: () => void
  #held = 0

  /** @param full the limit was met */
  constructor(most: () => number, full: () => void) {
    this.#most = most
    this.#full = full
  }

  take(bytes: number): boolean {
    if (this.#held + bytes > this.#most()) {
      this.#full()
      return false
    }
    this.#held += bytes
    return true
  }

  give(bytes: number): void { this.#held -= bytes }
}
