// The one clock of a gateway on a shared store: an estimate of the store's time from above, at most one round trip ahead of it and never back.
// It runs on the steady clock of the process: a wall clock that is set moves nothing here, and behind a sleep the lease has lapsed until the store is heard.
// Time therefore ends things when it is due or a moment before, never after, also by a new master whose clock is behind the one before; what is written
// in its name the store checks by its own. SPEC: STO5, RULES 25
import { type Instant, instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'

const LOOKS = 8

/** Bounds of (store time − steady time), the newest last. */
type Looks = {
  above: number[]
  below: number[]
  /** What the time of a master lacks to that of the one before it. */
  lacks: number
  turned: boolean
}

export class StoreClock implements Clock {
  readonly #system: Clock
  readonly #steady: () => number
  readonly #looks = new Map<number, Looks>()
  #offset: number | null = null
  #last = 0

  /** @param steady milliseconds that only ever pass, whatever the wall clock does */
  constructor(system: Clock, steady: () => number) {
    this.#system = system
    this.#steady = steady
  }

  elapsed(): number { return this.#system.elapsed() }

  now(): Instant {
    const estimate = this.#offset === null ? this.#system.now() : Math.floor(this.#offset + this.#steady())
    if (estimate > this.#last) this.#last = estimate
    return instant(this.#last)
  }

  /** A shard said its time in an answer to what was sent at `sentAt` on the elapsed scale. */
  observe(shard: number, time: number, sentAt: number): void {
    const looks = this.#looks.get(shard) ?? { above: [], below: [], lacks: 0, turned: false }
    this.#looks.set(shard, looks)
    const now = this.#steady()
    const sent = now - Math.max(0, this.#system.elapsed() - sentAt)
    if (looks.turned) this.#turn(looks, time - sent)
    looks.above = [...looks.above, time + looks.lacks - sent].slice(-LOOKS)
    looks.below = [...looks.below, time + looks.lacks - now].slice(-LOOKS)
    this.#offset = Math.max(...[...this.#looks.values()].map(({ above }) => Math.min(...above)))
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
  get skew(): number { return this.#offset === null ? 0 : this.#system.now() - (this.#offset + this.#steady()) }
}
