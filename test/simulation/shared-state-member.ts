// A gateway in the model check: the real mirror and ledger over a store, and open exchanges that take a while to be judged; as a member the real Redis
// store on a simulated wire and clock. What it would decide can be asked at any moment.
import { duration, type Instant, instant } from '../../src/core/time.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { NO_TALLY } from '../../src/sessions/change.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { Seal } from '../../src/sessions/redis/entry.ts'
import { RedisStore } from '../../src/sessions/redis/redis-store.ts'
import { StoreClock } from '../../src/sessions/redis/store-clock.ts'
import type { SessionStore, Tally } from '../../src/sessions/store.ts'
import { policyOf, profile } from '../unit/core/world.ts'
import { type Network, Place, START } from './shared-state-network.ts'
import type { Right } from './shared-state-rights.ts'
import type { SimulatedTime } from './simulated-time.ts'

export const LEASE = duration(1_000)
const JUDGING = 40
const POLICY = policyOf(profile('fix', ['db:write']))
const METRICS = new Metrics().store

/** What decides: mirror, ledger and open exchanges, by the right they stand on. */
export class Desk {
  readonly store: SessionStore
  readonly clock: Clock
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly exchanges = new Map<Right, LiveSession>()
  readonly #judging: () => Promise<void>

  /** @param judging until the exchanges that a change touches are judged */
  constructor(store: SessionStore, clock: Clock, judging: () => Promise<void>) {
    this.store = store
    this.clock = clock
    this.#judging = judging
    this.mirror = new Mirror(store, POLICY, 100)
    this.ledger = new Ledger(store, this.mirror, clock)
    this.mirror.onChange = () => this.judge()
  }

  get isConfirmed(): boolean { return this.clock.elapsed() < this.store.confirmedUntil() }

  /** The decision of a request that stands on this right, in this turn. */
  allows(right: Right): boolean { return this.isConfirmed && this.#holds(right) }

  #holds({ key, life, elevation }: Right): boolean {
    const live = this.mirror.peek(key)
    if (live === null || live.record.id !== life) return false
    const { state, carriers } = this.mirror.effective(live, this.clock.now())
    return state === 'live' && (elevation === null || carriers.some(carrier => carrier.elevation.id === elevation))
  }

  /** A request that stays open where it may. */
  async request(right: Right): Promise<void> {
    const live = await this.mirror.load(right.key)
    if (live === null || this.exchanges.has(right) || !this.allows(right)) return
    this.exchanges.set(right, live)
    live.pins++
  }

  async judge(): Promise<Tally> {
    await this.#judging()
    for (const [right, live] of this.exchanges) {
      if (this.#holds(right)) continue
      this.exchanges.delete(right)
      live.pins--
    }
    return NO_TALLY
  }
}

/** Runs a little fast or slow, and is off by a while. */
class MemberClock implements Clock {
  readonly #time: SimulatedTime
  readonly #rate: number
  readonly #skew: number

  constructor(time: SimulatedTime, rate: number, skew: number) {
    this.#time = time
    this.#rate = rate
    this.#skew = skew
  }

  now(): Instant { return instant(Math.floor(START + this.#skew + this.elapsed())) }
  elapsed(): number { return this.#time.now * this.#rate }
}

type Plan = { readonly mode: 'single' | 'sentinel'; readonly window: number; readonly rate: number; readonly skew: number; readonly rights: () => readonly Right[] }

export class Member extends Place {
  readonly desk: Desk
  /** Serves requests. */
  isUp = false
  /** Its lease may still run and the server that counts now never heard of it: it joined in what that one lost. */
  isStray = false
  readonly #store: RedisStore
  readonly #time: SimulatedTime

  constructor(name: string, time: SimulatedTime, network: Network, { mode, window, rate, skew, rights }: Plan) {
    super(name)
    this.#time = time
    const own = new MemberClock(time, rate, skew)
    const clock = new StoreClock(own, () => own.elapsed())
    this.#store = new RedisStore(
      { home: { mode, prefix: 'ng', shards: 1 }, lease: LEASE, window, connect: () => network.connect(this), member: name, configuration: () => '', observes: false },
      { clock, metrics: METRICS, seal: new Seal([]), says: () => {} },
    )
    this.desk = new Desk(this.#store, clock, () => new Promise<void>(resolve => setTimeout(resolve, JUDGING)))
    this.desk.mirror.onAnnounced = ({ record, position }) => {
      if (position.sequence > 0) for (const right of rights()) if (right.endedBy(record)) right.known.add(this.name) // else it is assumed
    }
  }

  /** As a gateway starts: joined, then subscribed, then up. */
  async start(): Promise<void> {
    await this.#store.open()
    const { ledger, mirror } = this.desk
    await mirror.start({ lost: (news, replaced) => ledger.sayAgain(news, replaced), confirmed: () => void this.desk.judge() })
    this.isUp = true
  }

  get serves(): boolean { return this.state === 'runs' && this.isUp }
  allows(right: Right): boolean { return this.serves && this.desk.allows(right) }

  crash(): void {
    this.state = 'dead'
    for (const cable of this.cables) this.#time.after(this.up, cable.host, () => cable.host.cables.delete(cable))
  }
}
