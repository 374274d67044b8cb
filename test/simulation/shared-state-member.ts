// A gateway in the model check: the real store, mirror and ledger on a simulated wire and clock, and open exchanges that take a while to be judged.
import { duration, type Instant, instant } from '../../src/core/time.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror, NO_TALLY } from '../../src/sessions/mirror.ts'
import { Seal } from '../../src/sessions/redis/entry.ts'
import { RedisStore } from '../../src/sessions/redis/redis-store.ts'
import { StoreClock } from '../../src/sessions/redis/store-clock.ts'
import type { Tally } from '../../src/sessions/store.ts'
import { policyOf, profile } from '../unit/core/world.ts'
import { type Network, Place, START } from './shared-state-network.ts'
import type { Right } from './shared-state-rights.ts'
import type { SimulatedTime } from './simulated-time.ts'

export const LEASE = duration(1_000)
const JUDGING = 40
const POLICY = policyOf(profile('fix', ['db:write']))
const METRICS = new Metrics().store

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

export class Member extends Place {
  readonly clock: StoreClock
  readonly store: RedisStore
  readonly mirror: Mirror
  readonly ledger: Ledger
  /** Open exchanges, by the right they stand on. */
  readonly exchanges = new Map<Right, LiveSession>()
  /** Serves requests. */
  isUp = false
  /** Its own lease may still run and the server that counts now never heard of it: it joined in what that one lost. */
  isStray = false
  readonly #time: SimulatedTime

  constructor(name: string, time: SimulatedTime, network: Network, plan: { readonly mode: 'single' | 'sentinel'; readonly window: number; readonly rate: number; readonly skew: number; readonly rights: () => readonly Right[] }) {
    super(name)
    this.#time = time
    this.clock = new StoreClock(new MemberClock(time, plan.rate, plan.skew), () => time.now * plan.rate)
    this.store = new RedisStore(
      { home: { mode: plan.mode, prefix: 'ng', shards: 1 }, lease: LEASE, window: plan.window, connect: () => network.connect(this), member: name, configuration: () => '', observes: false },
      { clock: this.clock, metrics: METRICS, seal: new Seal([]), says: (text, cause) => { if (process.env['SAY']) console.log(name, Math.floor(time.now), text, cause instanceof Error ? cause.message : '') } },
    )
    this.mirror = new Mirror(this.store, POLICY, 100)
    this.ledger = new Ledger(this.store, this.mirror, this.clock)
    this.mirror.onAnnounced = ({ record, position }) => {
      if (position.sequence > 0) for (const right of plan.rights()) if (right.endedBy(record)) right.known.add(this.name) // else it is assumed
    }
    this.mirror.onChange = () => this.#judgeSoon()
  }

  /** As a gateway starts: joined, then subscribed, then up. */
  async start(): Promise<void> {
    await this.store.open()
    await this.mirror.start({ lost: (news, replaced) => this.ledger.sayAgain(news, replaced), confirmed: () => void this.#judgeSoon() })
    this.isUp = true
  }

  get serves(): boolean { return this.state === 'runs' && this.isUp }
  get isConfirmed(): boolean { return this.clock.elapsed() < this.store.confirmedUntil() }

  /** The decision of a request that stands on this right, in this turn. */
  allows(right: Right): boolean { return this.serves && this.isConfirmed && this.#holds(right) }

  /** A request that stays open where it may. */
  async request(right: Right): Promise<void> {
    const live = await this.mirror.load(right.key)
    if (live === null || this.exchanges.has(right) || !this.allows(right)) return
    this.exchanges.set(right, live)
    live.pins++
  }

  #holds({ key, life, elevation }: Right): boolean {
    const live = this.mirror.peek(key)
    if (live === null || live.record.id !== life) return false
    const { state, carriers } = this.mirror.effective(live, this.clock.now())
    return state === 'live' && (elevation === null || carriers.some(carrier => carrier.elevation.id === elevation))
  }

  async #judgeSoon(): Promise<Tally> {
    await new Promise<void>(resolve => setTimeout(resolve, JUDGING))
    for (const [right, live] of this.exchanges) {
      if (this.#holds(right)) continue
      this.exchanges.delete(right)
      live.pins--
    }
    return NO_TALLY
  }

  crash(): void {
    this.state = 'dead'
    for (const cable of this.cables) this.#time.after(this.up, cable.host, () => cable.host.cables.delete(cable))
  }
}
