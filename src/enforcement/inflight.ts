// Every open exchange of this gateway, by session and in the order of opening. SPEC: ENF1, SES8
import type { Holder } from '../sessions/live-session.ts'
import type { Exchange } from './exchange.ts'

export class Inflight {
  readonly #held = new Map<Holder, Set<Exchange>>()
  #size = 0

  get size(): number { return this.#size }

  add(exchange: Exchange): void {
    const { holder, live } = exchange
    const set = this.#held.get(holder)
    if (set === undefined) this.#held.set(holder, new Set([exchange]))
    else set.add(exchange)
    if (live !== null) live.pins++
    this.#size++
  }

  remove(exchange: Exchange): void {
    const { holder, live } = exchange
    const set = this.#held.get(holder)
    if (set?.delete(exchange) !== true) return
    if (set.size === 0) this.#held.delete(holder)
    if (live !== null) live.pins--
    this.#size--
  }

  of(holder: Holder): ReadonlySet<Exchange> { return this.#held.get(holder) ?? NONE }
  *all(): Iterable<Exchange> { for (const set of this.#held.values()) yield* set }
}

const NONE: ReadonlySet<Exchange> = new Set()
