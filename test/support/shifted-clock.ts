// A clock that began at another instant and goes at the usual speed: timers keep their meaning, calendars show another day. For tests only.
import { type Instant, instant } from '../../src/core/time.ts'
import { type Clock, SystemClock } from '../../src/runtime/clock.ts'

export class ShiftedClock implements Clock {
  readonly #system = new SystemClock()
  /** Milliseconds ahead of the wall. */
  shift: number

  /** @param at ISO 8601, of the moment of the call */
  constructor(at: string) {
    this.shift = Date.parse(at) - Date.now()
  }

  now(): Instant { return instant(this.#system.now() + this.shift) }
  elapsed(): number { return this.#system.elapsed() }

  /** Goes on from there; only ever forward. */
  moveTo(at: string): void {
    this.shift = Math.max(this.shift, Date.parse(at) - Date.now())
  }
}
