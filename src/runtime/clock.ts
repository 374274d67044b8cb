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
  #behind: { readonly last: number; readonly monotonic: number } | null = null

  now(): Instant {
    const wall = Date.now()
    if (wall >= this.#last) {
      this.#last = wall
      this.#behind = null
      return instant(wall)
    }
    return this.#carriedOn()
  }

  /** The wall stepped back: time goes on from where it was, so that nothing lives longer for it. */
  #carriedOn(): Instant {
    this.#behind ??= { last: this.#last, monotonic: performance.now() }
    this.#last = Math.max(this.#last, Math.floor(this.#behind.last + performance.now() - this.#behind.monotonic))
    return instant(this.#last)
  }

  elapsed(): number {
    const passed = Math.max(performance.now() - this.#monotonicStart, Date.now() - this.#wallStart)
    if (passed > this.#elapsed) this.#elapsed = passed
    return this.#elapsed
  }
}
