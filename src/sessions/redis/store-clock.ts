// The one clock of a gateway on a shared store: an estimate of the store's time from above, at most one round trip ahead of it, and back only after
// this machine's own clock was set ahead.
// Time therefore ends things when it is due or a moment before, never after, also by a new master whose clock is behind the one before; what is written
// in its name the store checks by its own. SPEC: STO5, RULES 25
import { type Instant, instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'

const LOOKS = 8
/** More than any way to the store takes within a lease that counts, in milliseconds. */
const STEP = 1_000

/** Bounds of (store time − elapsed), the newest last. */
type Looks = {
  above: number[]
  below: number[]
  /** What the time of a master lacks to that of the one before it. */
  lacks: number
  turned: boolean
}

export class StoreClock implements Clock {
  readonly #system: Clock
  readonly #looks = new Map<number, Looks>()
  #offset: number | null = null
  #last = 0

  constructor(system: Clock) {
    this.#system = system
  }

  elapsed(): number { return this.#system.elapsed() }

  now(): Instant {
    const estimate = this.#offset === null ? this.#system.now() : Math.floor(this.#offset + this.#system.elapsed())
    if (estimate > this.#last) this.#last = estimate
    return instant(this.#last)
  }

  /** A shard said its time in an answer to what was sent at `sentAt` on the elapsed scale. */
  observe(shard: number, time: number, sentAt: number): void {
    const looks = this.#looks.get(shard) ?? { above: [], below: [], lacks: 0, turned: false }
    this.#looks.set(shard, looks)
    if (looks.turned) this.#turn(looks, time - sentAt)
    looks.above = [...looks.above, time + looks.lacks - sentAt].slice(-LOOKS)
    looks.below = [...looks.below, time + looks.lacks - this.#system.elapsed()].slice(-LOOKS)
    this.#offset = Math.max(...[...this.#looks.values()].map(({ above }) => Math.min(...above)))
    this.#correct()
  }

  /** Far ahead of what the store itself says is no long way to it but a machine whose clock was set: what is given now must not last that much longer. */
  #correct(): void {
    const estimate = Math.floor((this.#offset ?? 0) + this.#system.elapsed())
    if (this.#last - estimate > STEP) this.#last = estimate
  }

  /** The next a shard says is said by another master: where its time is behind, this clock goes on as it went. */
  turned(shard: number): void {
    const looks = this.#looks.get(shard)
    if (looks !== undefined) looks.turned = true
  }

  #turn(looks: Looks, above: number): void {
    looks.lacks = Math.max(0, Math.max(...looks.below) - above)
    looks.above = []
    looks.below = []
    looks.turned = false
  }

  /** Milliseconds by which this machine's clock is ahead of the store's. */
  get skew(): number { return this.#offset === null ? 0 : this.#system.now() - (this.#offset + this.#system.elapsed()) }
}
