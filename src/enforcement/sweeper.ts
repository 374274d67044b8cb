// What needs no exact instant, a few times a second: time limits on the wire, frozen exchanges that are held too long or too many, and the lease:
// everything open is judged again when the proof of freshness lapses and when it returns. SPEC: ENF9, ENF6, ENF11, WIRE14
import type { Duration, Instant } from '../core/time.ts'
import type { Exchange, GateKeeper } from './exchange.ts'
import { isFresh } from './hold.ts'
import type { Inflight } from './inflight.ts'
import type { Reassessor } from './reassess.ts'

const EVERY = 250

export type HoldLimits = {
  /** Longest that a lapsed lease holds an open exchange. */
  readonly streams: () => Duration
  /** Frozen exchanges towards an upstream, at most. */
  readonly frozen: (upstream: string) => number
}

export class Sweeper {
  readonly #keeper: GateKeeper
  readonly #inflight: Inflight
  readonly #reassessor: Reassessor
  readonly #limits: HoldLimits
  #timer: NodeJS.Timeout | null = null
  #fresh = true

  constructor(keeper: GateKeeper, inflight: Inflight, reassessor: Reassessor, limits: HoldLimits) {
    this.#keeper = keeper
    this.#inflight = inflight
    this.#reassessor = reassessor
    this.#limits = limits
  }

  start(): void {
    this.#timer = setInterval(() => this.sweep(), EVERY).unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Also at once when the proof of freshness came back or lapsed. */
  sweep(): void {
    const { clock, mirror } = this.#keeper
    const now = clock.now()
    if (this.#leaseTurned()) void this.#reassessor.changed({ sessions: 'all', anonymous: true, announcement: null })
    else {
      const lockable = mirror.locks.size > 0
      void this.#reassessor.doubtAll(this.#those(exchange => this.#isDue(exchange, now, lockable)))
    }
    if (!this.#fresh) void this.#reassessor.inSlices(this.#those(exchange => this.#isHeldTooLong(exchange)), exchange => this.#endHeld(exchange))
    this.#share()
    for (const exchange of this.#inflight.all()) exchange.channel.tick(now)
  }

  #those(wanted: (exchange: Exchange) => boolean): readonly Exchange[] {
    const found: Exchange[] = []
    for (const exchange of this.#inflight.all()) if (wanted(exchange)) found.push(exchange)
    return found
  }

  /** A local store is always fresh; this costs two reads then. */
  #leaseTurned(): boolean {
    const fresh = isFresh(this.#keeper)
    const turned = fresh !== this.#fresh
    this.#fresh = fresh
    return turned
  }

  #isDue(exchange: Exchange, now: Instant, lockable: boolean): boolean {
    if (exchange.until <= now) return true // its end came with no timer set
    if (exchange.state === 'frozen') return exchange.reason === 'stale' ? this.#fresh : lockable // the lease lapsed and came back between two looks; its lock lifted by itself
    return !this.#fresh && exchange.stamp === exchange.holder.stamp && !exchange.open // its route's `staleness` is used up too
  }

  #isHeldTooLong({ state, reason, frozenAt }: Exchange): boolean {
    return state === 'frozen' && reason === 'stale' && this.#keeper.clock.now() - frozenAt > this.#limits.streams()
  }

  /** Those frozen first make way: what is frozen keeps connections from those who may go on. What waits for an answer is held for a moment, and has its own end. */
  #share(): void {
    const frozen = Map.groupBy(this.#those(({ state, reason, kind }) => state === 'frozen' && reason !== 'stale' && kind !== 'task'), ({ place }) => place.route.upstream)
    for (const [upstream, exchanges] of frozen) {
      const over = exchanges.length - this.#limits.frozen(upstream)
      if (over <= 0) continue
      const oldest = exchanges.toSorted((a, b) => a.frozenAt - b.frozenAt).slice(0, over)
      void this.#reassessor.inSlices(oldest, exchange => this.#reassessor.end(exchange, 'limit_reached', 'frozen share', null))
    }
  }

  /** Asked again: the lease may have come back while others were ended. */
  #endHeld(exchange: Exchange): void {
    if (!isFresh(this.#keeper) && this.#isHeldTooLong(exchange)) this.#reassessor.end(exchange, 'stale', 'time', null)
  }
}
