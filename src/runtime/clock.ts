// The clocks of the process. `now` never goes back; `elapsed` also runs while the machine sleeps, so a lease ends early rather than late.
// SPEC: SES9, DEC8
import { type Instant, instant } from '../core/time.ts'

export interface Clock {
  /** Wall time, never backwards. */
  now(): Instant
  /** Milliseconds since an arbitrary start: monotonic progress, and by how much the wall ever stepped ahead of it. Stands still for no step back. */
  elapsed(): number
}

/** Readings of the two clocks differ by as much without any step, in milliseconds: less than the margin leases have. */
const UNSTEADY = 50

export class SystemClock implements Clock {
  #last = Date.now()
  readonly #start = performance.now()
  /** The wall's lead over the monotonic clock, since its last step: the least of them. */
  #lead = Date.now() - this.#start
  /** All steps forward together: the machine slept, or the wall was set. */
  #stepped = 0
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
    const monotonic = performance.now()
    const lead = Date.now() - monotonic
    if (lead > this.#lead + UNSTEADY) {
      this.#stepped += lead - this.#lead
      this.#lead = lead
    } else if (lead < this.#lead) this.#lead = lead
    return monotonic - this.#start + this.#stepped
  }
}
