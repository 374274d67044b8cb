// How many decisions one may have: a bucket that holds those of a second. What is taken beyond it is owed, and waited for. It reads no clock. SPEC: PDP1
export class Pace {
  readonly #perSecond: number
  #level: number
  #filledAt = -Infinity

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#level = perSecond
  }

  /** @param now on the elapsed scale, in milliseconds @returns false where nothing is left, and then takes nothing */
  take(count: number, now: number): boolean {
    if (this.#filledAt !== -Infinity) this.#level = Math.min(this.#perSecond, this.#level + (Math.max(0, now - this.#filledAt) * this.#perSecond) / 1000)
    this.#filledAt = now
    if (this.#level < 1) return false
    this.#level -= count
    return true
  }

  /** Taken already. */
  owe(count: number): void { this.#level -= count }
}
