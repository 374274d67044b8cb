// Members of a shared store, each as a gateway would open it: against one server, a proxy before it, or its sentinels. For tests only.
import type { RedisHome } from '../../src/config/settings.ts'
import { duration } from '../../src/core/time.ts'
import { SystemClock, type Clock } from '../../src/runtime/clock.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { redisStore } from '../../src/sessions/redis/open-redis.ts'
import type { RedisStore } from '../../src/sessions/redis/redis-store.ts'
import type { Watcher } from '../../src/sessions/store.ts'

export type MemberPlan = {
  readonly home?: Partial<RedisHome>
  readonly lease?: number
  readonly clock?: Clock
  readonly macKeyFiles?: readonly string[]
  /** Subscribed before the store is opened. */
  readonly watcher?: Watcher
}

export const homeAt = (port: number, more: Partial<RedisHome> = {}): RedisHome => ({
  is: 'redis', mode: 'single', nodes: [{ host: '127.0.0.1', port }], tls: null, username: null, password: null, passwordFile: null, sentinel: null,
  database: 0, prefix: 'ng', shards: 1, maxLag: duration(2_000), ...more,
})

export type Member = { readonly store: RedisStore; readonly clock: Clock; readonly metrics: Metrics; readonly said: string[] }

/** A member that is not open yet. */
export async function memberOf(port: number, plan: MemberPlan = {}): Promise<Member> {
  const metrics = new Metrics()
  const said: string[] = []
  const { store, clock } = await redisStore(homeAt(port, plan.home), { store: { home: homeAt(port, plan.home), lease: duration(plan.lease ?? 1_000), hold: { requests: duration(2_000), streams: duration(30_000) }, macKeyFiles: plan.macKeyFiles ?? [] } }, {
    clock: plan.clock ?? new SystemClock(), metrics: metrics.store, configuration: () => 'digest', observes: false, says: text => said.push(text),
  })
  if (plan.watcher !== undefined) store.subscribe(plan.watcher)
  return { store, clock, metrics, said }
}

/** A member with its first lease. */
export async function openMember(port: number, plan: MemberPlan = {}): Promise<Member> {
  const member = await memberOf(port, plan)
  try {
    await member.store.open()
    return member
  } catch (error) {
    await member.store.close()
    throw error
  }
}
