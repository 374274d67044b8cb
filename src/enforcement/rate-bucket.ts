// A rate as this gateway has it: a bucket that fills with time, at the speed of its share of the rate. Requests are taken before they are admitted; bytes are
// counted as they pass, also below nothing. Without a share that holds it fills with a tenth. It asks nobody, and reads no clock. SPEC: RAT1, RAT2
import type { RateLimit } from '../core/route.ts'
import { duration } from '../core/time.ts'

/** How long a share holds, and how long the last one does while the store does not answer. */
export const SHARED_FOR = duration(2_000)
const LAST_FOR = 10_000
/** A share is asked for so often while it is used; one that was not for longer tells nothing of what is wanted. */
const ASKED_EVERY = 1_000
const IDLE = 3_000
/** Of the rate and of its burst, what every gateway has by itself. */
const FLOOR = 0.1
/** What is asked for beyond what was wanted of late. */
const AHEAD = 1.5
/** Sums of floating point are off by less. */
const EXACT = 1e-6

export class RateBucket {
  readonly key: string
  /** Of the whole rate: requests or bytes in `per`. */
  readonly amount: number
  readonly #per: number
  /** Most that it holds; and what it holds at first, before it was given a share. */
  readonly #most: number
  readonly #first: number
  /** What must be in it for a request to pass, and what that takes. */
  readonly #least: 0 | 1
  /** Nobody else has a part of the rate. */
  readonly #alone: boolean
  #level: number
  #filledAt: number
  #share = 0
  #shareUntil = -Infinity
  #lastUntil = -Infinity
  #isGiven = false
  #isAsking = false
  #askedAt = -Infinity
  /** Requests or bytes since a share was asked for last. */
  #wanted = 0

  /** @param now on any scale that only goes forward, in milliseconds; here and below */
  constructor(key: string, { requests, bytes, per, burst }: RateLimit, alone: boolean, now: number) {
    this.key = key
    this.amount = requests ?? bytes ?? 0
    this.#per = per
    this.#least = requests === null ? 0 : 1
    this.#alone = alone
    this.#most = Math.max(1, (this.amount * burst * 1_000) / per)
    this.#first = alone ? this.#most : Math.max(1, this.#most * FLOOR)
    this.#level = this.#first
    this.#filledAt = now
  }

  /** Milliseconds until a request may pass; 0 is now. */
  wait(now: number): number {
    this.#fill(now)
    const missing = this.#least - this.#level
    return missing <= EXACT ? 0 : missing / this.#speed(now)
  }

  /** One request passes. */
  take(): void {
    this.#level -= this.#least
    this.#wanted += this.#least
  }

  /** One would have, had there been room. */
  refused(): void { this.#wanted += this.#least === 1 ? 1 : this.amount }

  /** These bytes passed. */
  passed(bytes: number): void {
    if (this.#least === 1) return
    this.#level -= bytes
    this.#wanted += bytes
  }

  // ---- its share

  /** How much of the rate is to be asked for now; null for nothing. Whoever asks tells the answer. */
  asks(now: number): number | null {
    if (this.#alone || this.#isAsking || now - this.#askedAt < ASKED_EVERY || (this.#share === 0 && this.#level >= this.#first / 2)) return null
    const span = now - this.#askedAt
    const wanted = span > IDLE ? this.amount : Math.min(this.amount, Math.max(this.amount * FLOOR, (this.#wanted * this.#per * AHEAD) / span))
    this.#isAsking = true
    this.#askedAt = now
    this.#wanted = 0
    return Math.ceil(wanted)
  }

  /** It was given so much of the rate, from when it asked. The first time, so much of the burst comes with it. */
  given(share: number, now: number): void {
    this.#fill(now)
    this.#isAsking = false
    if (!this.#isGiven) this.#level = Math.min(this.#most, this.#level + ((this.#most - this.#first) * share) / this.amount)
    this.#isGiven = true
    this.#share = share
    this.#shareUntil = this.#askedAt + SHARED_FOR
    this.#lastUntil = this.#askedAt + LAST_FOR
  }

  /** Nobody answered: it goes on with what it had, for a while. */
  unanswered(now: number): void {
    this.#fill(now)
    this.#isAsking = false
    this.#shareUntil = this.#lastUntil
  }

  #fill(now: number): void {
    const passed = now - this.#filledAt
    if (passed <= 0) return
    this.#filledAt = now
    this.#level = Math.min(this.#isGiven || this.#alone ? this.#most : this.#first, this.#level + passed * this.#speed(now)) // the rest of the burst comes with its first share
  }

  /** In a millisecond. */
  #speed(now: number): number {
    const share = this.#alone ? this.amount : Math.max(this.amount * FLOOR, now < this.#shareUntil ? this.#share : 0)
    return share / this.#per
  }
}
