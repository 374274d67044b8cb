// Spares a place that does not answer: after a few failures in a row nobody asks it for a moment, then one attempt may find out.
// SPEC: SES16
import type { Clock } from '../runtime/clock.ts'

/** Milliseconds, and failures in a row. One failure alone closes nothing: no single credential may shut the others out. */
export const CIRCUIT = { failures: 3, cooldown: 2_000 } as const

export class Circuit {
  readonly #clock: Clock
  readonly #cooldown: number
  #failures = 0
  #failedAt = -Infinity
  #trying = false

  /** @param cooldown milliseconds */
  constructor(clock: Clock, cooldown: number) {
    this.#clock = clock
    this.#cooldown = cooldown
  }

  /** May the place be asked now? Who is told yes says afterwards how it went. */
  enter(): boolean {
    if (this.#failures < CIRCUIT.failures) return true
    if (this.#trying || this.#clock.elapsed() - this.#failedAt < this.#cooldown) return false
    this.#trying = true
    return true
  }

  answered(): void {
    this.#failures = 0
    this.#trying = false
  }

  failed(): void {
    this.#failures++
    this.#failedAt = this.#clock.elapsed()
    this.#trying = false
  }
}
