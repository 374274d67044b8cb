// What needs no exact instant, a few times a second: time limits on the wire, frozen exchanges that are held too long, and the lease:
// everything open is judged again when the proof of freshness lapses and when it returns. SPEC: ENF9, ENF6, WIRE14
import type { Duration } from '../core/time.ts'
import type { GateKeeper } from './exchange.ts'
import type { Inflight } from './inflight.ts'
import type { Reassessor } from './reassess.ts'

const EVERY = 250

export class Sweeper {
  readonly #keeper: GateKeeper
  readonly #inflight: Inflight
  readonly #reassessor: Reassessor
  readonly #holdStreams: () => Duration
  #timer: NodeJS.Timeout | null = null
  #fresh = true

  constructor(keeper: GateKeeper, inflight: Inflight, reassessor: Reassessor, holdStreams: () => Duration) {
    this.#keeper = keeper
    this.#inflight = inflight
    this.#reassessor = reassessor
    this.#holdStreams = holdStreams
  }

  start(): void {
    this.#timer = setInterval(() => this.sweep(), EVERY).unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  sweep(): void {
    this.#watchLease()
    const now = this.#keeper.clock.now()
    const held = this.#holdStreams()
    const lockable = this.#keeper.mirror.locks.size > 0
    for (const exchange of this.#inflight.all()) {
      const frozen = exchange.state === 'frozen'
      const stale = frozen && exchange.reason === 'stale'
      const due = stale ? this.#fresh : exchange.until <= now || (frozen && lockable) // its end came with no timer set; its lock lifted by itself; the lease lapsed and came back
      if (due) this.#reassessor.doubt(exchange)
      else if (stale && now - exchange.frozenAt > held) this.#reassessor.end(exchange, 'stale', 'time', null)
      exchange.channel.tick(now)
    }
  }

  /** A local store is always fresh; this costs two reads then. */
  #watchLease(): void {
    const until = this.#keeper.confirmedUntil()
    const fresh = until === Infinity || this.#keeper.clock.elapsed() < until
    if (fresh === this.#fresh) return
    this.#fresh = fresh
    void this.#reassessor.changed({ sessions: 'all', announcement: null })
  }
}
