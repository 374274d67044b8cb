// Every open exchange of this gateway, in all and by session. Each knows its seats, so that coming and going leaves nothing behind: a Set that is
// filled and emptied all the time is laid anew again and again, and V8 chains the old tables, which keeps dead requests alive through every
// collection of the young generation. SPEC: ENF1, SES8
import type { Holder } from '../sessions/live-session.ts'
import type { Exchange } from './exchange.ts'

/** Where an exchange sits: among all, and among those of its holder. */
type Seat = 'seat' | 'ownSeat'

class Crowd {
  readonly members: Exchange[] = []
  readonly #seat: Seat

  constructor(seat: Seat) {
    this.#seat = seat
  }

  add(exchange: Exchange): void {
    exchange[this.#seat] = this.members.push(exchange) - 1
  }

  /** The last one takes the seat that is left. */
  remove(exchange: Exchange): void {
    const at = exchange[this.#seat]
    const last = this.members.pop()
    exchange[this.#seat] = -1
    if (last === undefined || last === exchange) return
    this.members[at] = last
    last[this.#seat] = at
  }
}

export class Inflight {
  readonly #all = new Crowd('seat')
  readonly #own = new WeakMap<Holder, Crowd>()

  get size(): number { return this.#all.members.length }

  add(exchange: Exchange): void {
    const { holder, live } = exchange
    let own = this.#own.get(holder)
    if (own === undefined) this.#own.set(holder, (own = new Crowd('ownSeat')))
    own.add(exchange)
    this.#all.add(exchange)
    if (live !== null) live.pins++
  }

  remove(exchange: Exchange): void {
    if (exchange.seat === -1) return
    const { holder, live } = exchange
    const own = this.#own.get(holder)
    own?.remove(exchange)
    if (own?.members.length === 0) this.#own.delete(holder)
    this.#all.remove(exchange)
    if (live !== null) live.pins--
    exchange.allowance?.close()
  }

  /** Those open now, in no order; what ends later stays in the list. */
  of(holder: Holder): readonly Exchange[] { return this.#own.get(holder)?.members.slice() ?? NONE }
  all(): readonly Exchange[] { return this.#all.members.slice() }
}

const NONE: readonly Exchange[] = []
