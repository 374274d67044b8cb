// Rates of routes and rules: each request is taken from a bucket of every rate of its place, by whom it counts. What gateways share is divided by the store, asked
// behind requests and waited for by none: together they let pass no more than the rate, a tenth of it for each further gateway, and a burst for each.
// They protect from load; what bounds privilege is counted exactly elsewhere (budget.ts). SPEC: RAT1-RAT3
import type { Place, RateLimit } from '../core/route.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'
import { sha256 } from '../runtime/id.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { SessionStore } from '../sessions/store.ts'
import type { Meter } from './exchange.ts'
import { RateBucket, SHARED_FOR } from './rate-bucket.ts'

/** Over all rates; what was idle for longest makes way, and is full when it comes again. */
const BUCKETS_MAX = 65_536

/** A rate that has nothing left, and in how many milliseconds it has. */
export type Short = { readonly rate: RateLimit; readonly wait: number }

/** The buckets of one rate of the file. */
type Shelf = { readonly name: string; readonly rate: RateLimit; readonly buckets: Map<string, RateBucket> }

type Ports = { readonly store: Pick<SessionStore, 'share' | 'confirmedUntil'>; readonly clock: Clock; readonly metrics: Pick<Metrics, 'limitReached' | 'rateLimited'> }

const NOBODY = '-'

function keyOf({ by }: RateLimit, live: LiveSession | null): string {
  if (live === null || by === 'everyone') return NOBODY // callers without a session are counted together
  return by === 'principal' ? live.principal.name : by === 'session' ? live.record.id : `=${live.record.principal.tenant}`
}

const isAlike = (a: RateLimit, b: RateLimit): boolean => a.requests === b.requests && a.bytes === b.bytes && a.per === b.per && a.burst === b.burst && a.by === b.by

const hasRates = (route: Place['route'], rule: Place['rule']): boolean => route.rates.length > 0 || (rule !== null && rule.rates.length > 0)

export class Rates {
  readonly #ports: Ports
  readonly #alone: boolean
  readonly #shelves = new WeakMap<RateLimit, Shelf>()
  /** By the place of the rate in the file, so that a reload which leaves it as it is leaves its buckets. */
  readonly #named = new Map<string, Shelf>()
  readonly #idle: BoundedMap<RateBucket, Shelf>
  /** Of the request that is looked at. */
  readonly #found: RateBucket[] = []

  /** @param most buckets */
  constructor(ports: Ports, most = BUCKETS_MAX) {
    this.#ports = ports
    this.#alone = ports.store.confirmedUntil() === Infinity
    this.#idle = new BoundedMap(most, ({ key }, shelf) => {
      ports.metrics.limitReached.inc({ limit: 'rate_buckets' })
      this.#drop(shelf, key)
    })
  }

  get size(): number { return this.#idle.size }

  /** Takes a request of every rate of its place, or of none. @returns that which lets it pass last, where any does not now */
  take({ route, rule }: Place, live: LiveSession | null): Short | null {
    if (!hasRates(route, rule)) return null
    const now = this.#ports.clock.elapsed()
    this.#found.length = 0
    const ofRoute = this.#shortOf(route.rates, route.name, live, now)
    const ofRule = rule === null ? null : this.#shortOf(rule.rates, rule.name, live, now)
    const short = ofRoute === null || (ofRule !== null && ofRule.wait > ofRoute.wait) ? ofRule : ofRoute
    if (short === null) for (const bucket of this.#found) bucket.take()
    else this.#ports.metrics.rateLimited.inc({ route: route.name })
    return short
  }

  /** What counts the bytes of a request that was let pass; null where nothing does. */
  meterOf({ route, rule }: Place, live: LiveSession | null): Meter | null {
    if (!hasRates(route, rule)) return null
    const meters = [...this.#metersOf(route.rates, route.name, live), ...(rule === null ? [] : this.#metersOf(rule.rates, rule.name, live))]
    const [only] = meters
    return meters.length <= 1 ? (only ?? null) : { passed: bytes => { for (const meter of meters) meter.passed(bytes) } }
  }

  *#metersOf(rates: readonly RateLimit[], place: string, live: LiveSession | null): Iterable<Meter> {
    for (let i = 0; i < rates.length; i++) {
      const rate = rates[i]
      if (rate !== undefined && rate.bytes !== null) yield this.#bucket(this.#shelf(rate, place, i), live)
    }
  }

  #shortOf(rates: readonly RateLimit[], place: string, live: LiveSession | null, now: number): Short | null {
    let short: Short | null = null
    for (let i = 0; i < rates.length; i++) {
      const rate = rates[i]
      if (rate === undefined) continue
      const shelf = this.#shelf(rate, place, i)
      const bucket = this.#bucket(shelf, live)
      const wait = bucket.wait(now)
      if (wait === 0) this.#found.push(bucket)
      else {
        bucket.refused()
        if (short === null || wait > short.wait) short = { rate, wait }
      }
      const wanted = bucket.asks(now)
      if (wanted !== null) void this.#ask(shelf, bucket, wanted)
    }
    return short
  }

  #shelf(rate: RateLimit, place: string, i: number): Shelf {
    const known = this.#shelves.get(rate)
    if (known !== undefined) return known
    const name = `rate/${place}/${i}`
    const before = this.#named.get(name)
    const shelf = before !== undefined && isAlike(before.rate, rate) ? before : { name, rate, buckets: new Map<string, RateBucket>() }
    this.#named.set(name, shelf)
    this.#shelves.set(rate, shelf)
    return shelf
  }

  #bucket(shelf: Shelf, live: LiveSession | null): RateBucket {
    const key = keyOf(shelf.rate, live)
    const known = shelf.buckets.get(key)
    if (known !== undefined) {
      this.#idle.get(known) // a use
      return known
    }
    const bucket = new RateBucket(key, shelf.rate, this.#alone, this.#ports.clock.elapsed())
    shelf.buckets.set(key, bucket)
    this.#named.set(shelf.name, shelf)
    this.#idle.set(bucket, shelf)
    return bucket
  }

  #drop(shelf: Shelf, key: string): void {
    shelf.buckets.delete(key)
    if (shelf.buckets.size === 0 && this.#named.get(shelf.name) === shelf) this.#named.delete(shelf.name)
  }

  /** Nobody waits for it, and a store that does not answer costs the share. */
  async #ask({ name }: Shelf, bucket: RateBucket, wanted: number): Promise<void> {
    const { store, clock } = this.#ports
    try {
      bucket.given(await store.share({ bucket: `${name}/${sha256(bucket.key)}`, wanted, limit: bucket.amount, for: SHARED_FOR }), clock.elapsed())
    } catch {
      bucket.unanswered(clock.elapsed())
    }
  }
}
