// What a shard is made from, and what it tells. SPEC: STO15-STO17
import type { RedisHome } from '../../config/settings.ts'
import type { StoreMetrics } from '../../runtime/metrics.ts'
import type { Watcher } from '../store.ts'
import type { Seal } from './entry.ts'
import type { Wire } from './link.ts'
import type { StoreClock } from './store-clock.ts'

export type ShardSettings = {
  readonly home: Pick<RedisHome, 'mode' | 'prefix' | 'shards'>
  /** Milliseconds. */
  readonly lease: number
  /** Longest time for which an old master may be believed after a new one opened its epoch: fence, lease and margin. */
  readonly window: number
  /** Another connection to the shard's master, checked for the library. */
  readonly connect: (shard: number, name: string, key: string) => Promise<Wire>
  readonly member: string
  readonly configuration: () => string
  /** Decides nothing and enforces nothing: nobody waits for its acknowledgement. */
  readonly observes: boolean
}

export type ShardPorts = {
  readonly clock: StoreClock
  readonly metrics: StoreMetrics
  readonly seal: Seal
  readonly watcher: () => Watcher | null
  /** The lease moved, or what a survey was answered. */
  readonly moved: () => void
  readonly answered: (survey: string, text: string) => void
  /** What goes wrong while nobody waits for it. */
  readonly says: (text: string, cause: unknown) => void
}

/** Fractions of the lease: five heartbeats in it, and a while of good ones after a lapse. */
export const beatEvery = (lease: number): number => lease / 5
export const probationOf = (lease: number): number => lease * 1.5
/** What no other attempt will mend. */
export const FATAL: ReadonlySet<string> = new Set(['misconfigured', 'library', 'not_ours', 'newer_schema', 'corrupt'])
