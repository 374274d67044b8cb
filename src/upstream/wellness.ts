// How an address is doing, from what requests met there and from what it was asked: out after so many faults in a row or failed probes, in again
// after its time or enough good ones. Pure; time is an input. SPEC: WIRE20
import type { Ejection, HealthCheck } from '../config/compile/upstreams.ts'

export class Wellness {
  readonly #ejection: Ejection | null
  readonly #check: Pick<HealthCheck, 'healthyAfter' | 'unhealthyAfter'> | null
  #faults = 0
  #ejections = 0
  #outUntil = 0
  #probes = 0
  /** By its probes; what was never asked counts as well. */
  #healthy = true

  constructor(ejection: Ejection | null, check: HealthCheck | null) {
    this.#ejection = ejection
    this.#check = check
  }

  /** @param now milliseconds of a clock that never goes back */
  isWell(now: number): boolean { return this.#healthy && now >= this.#outUntil }
  isEjected(now: number): boolean { return now < this.#outUntil }

  /** A request was answered there, by something better than 502 to 504. */
  succeeded(): void {
    this.#faults = 0
    this.#ejections = 0
  }

  /** @param mayEject false when too many others are out already. @returns whether it was ejected now */
  failed(now: number, mayEject: boolean): boolean {
    if (this.#ejection === null || now < this.#outUntil) return false
    if (++this.#faults < this.#ejection.failures || !mayEject) return false
    this.#faults = 0
    this.#ejections = Math.min(this.#ejections + 1, LONGEST)
    this.#outUntil = now + this.#ejection.for * this.#ejections
    return true
  }

  probed(good: boolean): void {
    const { healthyAfter, unhealthyAfter } = this.#check ?? { healthyAfter: 1, unhealthyAfter: 1 }
    if (good === this.#healthy) {
      this.#probes = 0
      return
    }
    if (++this.#probes < (good ? healthyAfter : unhealthyAfter)) return
    this.#probes = 0
    this.#healthy = good
  }
}

/** An address that fails again and again stays out for so many times its first term, at most. */
const LONGEST = 10
