// Finds in the store what nobody takes back, because the gateway that obtained it is gone or was started anew: behind each end of a session or an elevation,
// at the start, and from time to time. What is there already for a while is claimed, opened and revoked here. SPEC: CRD9
import type { Session } from '../../core/session.ts'
import { type Instant, instant } from '../../core/time.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Told } from './held.ts'
import { aboutOf, type Left, type RevocationQueue, SHARDS, shardOf } from './queue.ts'
import { claim, type Over } from './revoking.ts'
import type { Source } from './source.ts'
import { isOver, isOverByRecord, overSince } from './standing.ts'

export type TakingOverPorts = {
  readonly clock: Clock
  readonly mirror: Pick<Mirror, 'byId' | 'effective' | 'above' | 'locks'>
  readonly store: Pick<SessionStore, 'find' | 'load' | 'share'>
  readonly queue: RevocationQueue
  readonly sourceOf: (upstream: string) => Source | null
  /** Somebody is at it here, or it is in use here. */
  readonly isOurs: (id: string) => boolean
  readonly take: (over: Over) => void
  /** Nobody here can open it, or take it back. */
  readonly stuck: (told: Told) => void
  readonly unread: (cause: unknown) => void
}

/** Milliseconds for which it may be over before it counts as left. */
const LEFT_AFTER = 2_000
const TICK = 500
const LOOK_EVERY = 60_000
/** Until what somebody else is at is looked at again. */
const CLAIMED_FOR = 5_000
/** Until a queue that could not be read is looked at again. */
const UNREAD_FOR = 5_000
/** For so long whoever was at one and is done with it still keeps others from it: what was read lately needs no other look. */
const READ_FOR = 500
/** Those seen over whose record does not say since when, and those nobody can open. */
const SEEN_MAX = 10_000

export class TakingOver {
  readonly #ports: TakingOverPorts
  /** When each queue is looked at next, on the elapsed scale. */
  readonly #due = new Map<string, number>()
  readonly #seen = new BoundedMap<string, Instant>(SEEN_MAX)
  readonly #told = new BoundedMap<string, true>(SEEN_MAX)
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  /** When the queue that is looked at was read, on the elapsed scale, and what was in it. */
  #read: { readonly at: number; readonly left: readonly Left[] } = { at: -Infinity, left: [] }
  #stopped = false

  constructor(ports: TakingOverPorts) {
    this.#ports = ports
  }

  start(): void {
    for (const shard of SHARDS) this.#due.set(shard, 0)
    this.#timer = setInterval(() => this.#tick(), TICK).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#looking
  }

  /** Something of it may have ended: what it left is looked for, once whoever obtained it had its time. */
  ended({ id }: Pick<Session, 'id'>): void { this.#lookIn(shardOf(id), LEFT_AFTER + TICK) }

  /** What a lock denies is no news of the sessions themselves. */
  locked(): void { for (const shard of SHARDS) this.#lookIn(shard, LEFT_AFTER + TICK) }

  #lookIn(shard: string, ms: number): void {
    const at = this.#ports.clock.elapsed() + ms
    const due = this.#due.get(shard)
    if (due !== undefined && due > at) this.#due.set(shard, at)
  }

  #tick(): void {
    this.#looking ??= this.#look().catch(this.#ports.unread).finally(() => { this.#looking = null })
  }

  async #look(): Promise<void> {
    for (const [shard, at] of this.#due) {
      if (this.#stopped) return
      if (this.#ports.clock.elapsed() < at) continue
      this.#due.set(shard, this.#ports.clock.elapsed() + LOOK_EVERY)
      try {
        for (const left of await this.#waiting(shard)) await this.#lookAt(left, shard)
      } catch (error) {
        this.#lookIn(shard, UNREAD_FOR)
        throw error
      }
    }
  }

  async #waiting(shard: string): Promise<readonly Left[]> {
    const at = this.#ports.clock.elapsed()
    this.#read = { at, left: await this.#ports.queue.waiting(shard) }
    return this.#read.left
  }

  async #waits({ told }: Left, shard: string): Promise<boolean> {
    const left = this.#ports.clock.elapsed() - this.#read.at < READ_FOR ? this.#read.left : await this.#waiting(shard)
    return left.some(({ told: { id } }) => id === told.id)
  }

  async #lookAt(one: Left, shard: string): Promise<void> {
    const { told, sealed } = one
    const { clock, store, sourceOf, isOurs, stuck, take } = this.#ports
    if (this.#stopped || isOurs(told.id)) return
    const since = await this.#overSince(told)
    if (since === null) return
    if (clock.now() - since < LEFT_AFTER) return this.#lookIn(shard, LEFT_AFTER)
    const source = sourceOf(told.upstream)
    const revocable = source === null || source.revoke === null ? null : source.open(sealed, aboutOf(told))
    if (source === null || revocable === null) {
      if (!this.#told.has(told.id)) stuck(told)
      this.#told.set(told.id, true)
      return
    }
    if (!(await claim(store, told, source))) return this.#lookIn(shard, CLAIMED_FOR)
    if (!(await this.#waits(one, shard))) return // somebody was faster
    take({ told: { ...told, lease: revocable.lease }, source, revocable, kept: true, since })
  }

  /** null where it is not over. */
  async #overSince({ id, session, elevation }: Told): Promise<Instant | null> {
    const { clock, mirror } = this.#ports
    const live = mirror.byId(session)
    const now = clock.now()
    if (live !== null && !isOver(live, elevation, mirror, now)) return null
    const record = live?.record ?? (await this.#recordOf(session))
    if (record !== null && live === null && !isOverByRecord(record, elevation, mirror.locks, now)) return null
    const since = (record === null ? null : overSince(record, elevation, now)) ?? now
    const first = this.#seen.get(id) ?? since
    this.#seen.set(id, first)
    return instant(Math.min(first, since))
  }

  /** As the store has it; null where it knows no such life any more. */
  async #recordOf(session: Told['session']): Promise<Session | null> {
    const { store } = this.#ports
    const [ref] = await store.find({ kind: 'session', value: session }, 1)
    const record = ref === undefined ? null : await store.load(ref)
    return record?.record === 'session' && record.id === session ? record : null
  }
}
