// The proof of freshness, counted from the moment a heartbeat was sent. After a lapse it counts again only after a while without another one: a master
// that was frozen and resumed answers for up to a second before it notices that nobody follows it. Pure. SPEC: STO15, DEC8

/** What one heartbeat tells, on the scale of the clock's `elapsed`. */
type Grant = { readonly sentAt: number; readonly now: number; /** A new epoch that everybody has joined. */ readonly settledAnew: boolean }

export class Lease {
  readonly #length: number
  readonly #probation: number
  #until = -Infinity
  #trustedFrom = 0
  #suspended = false
  lapses = 0
  /** How long the last lapse was, in milliseconds. */
  gap = 0

  /** Both in milliseconds. */
  constructor(length: number, probation: number) {
    this.#length = length
    this.#probation = probation
  }

  /** A good heartbeat: everything announced before it was sent is applied. */
  grant({ sentAt, now, settledAnew }: Grant): void {
    const lapsed = this.#until > -Infinity && now >= this.#until
    if (lapsed) {
      this.lapses++
      this.gap = now - this.#until
    }
    if (lapsed || this.#suspended) this.#trustedFrom = now + this.#probation
    this.#suspended = false
    if (settledAnew) this.#trustedFrom = 0
    this.#until = Math.max(this.#until, sentAt + this.#length)
    if (now >= this.#trustedFrom) this.confirmedUntil = this.#until // else what was proven before the lapse stays the last that is
  }

  /** -Infinity while nothing was ever proven. */
  confirmedUntil = -Infinity

  /** What is known is wrong: nothing is confirmed before a new epoch is settled, or a probation over. */
  suspend(): void {
    this.#suspended = true
    this.confirmedUntil = -Infinity
    this.#until = -Infinity
  }
}
