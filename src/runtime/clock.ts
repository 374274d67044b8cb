// The clocks of the process. `now` never goes back; `elapsed` also runs while the machine sleeps, so a lease ends early rather than late.
// SPEC: SES9, DEC8
import { type Instant, instant } from '../core/time.ts'

export interface Clock {
  /** Wall time, never backwards. */
  now(): Instant
  /** Milliseconds since an arbitrary start: the greater of monotonic and wall progress. */
  elapsed(): number
}

export class SystemClock implements Clock {
  #last = Date.now()
  readonly #wallStart = Date.now()
  readonly #monotonicStart = performance.now()
  #elapsed = 0

  now(): Instant {
    const wall = Date.now()
    if (wall > this.#last) this.#last = wall
    return instant(this.#last)
  }

  elapsed(): number {
    const passed = Math.max(performance.now() - this.#monotonicStart, Date.now() - this.#wallStart)
    if (passed > this.#elapsed) this.#elapsed = passed
    return this.#elapsed
  }
}
