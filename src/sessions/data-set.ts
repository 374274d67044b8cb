// The data set of one gateway or many: opened from its settings, installed by whoever sets the gateway up, accepted again after a loss.
// An embedded one is never used by two processes at once. SPEC: STO8, STO17
import type { Settings } from '../config/settings.ts'
import type { Instant } from '../core/time.ts'
import { type Clock, SystemClock } from '../runtime/clock.ts'
import { Metrics, type StoreGauges, type StoreMetrics } from '../runtime/metrics.ts'
import { acceptLoss as liftBirth, installStore } from './birth.ts'
import { openEmbeddedStore } from './embedded-store.ts'
import { Ledger } from './ledger.ts'
import { Mirror } from './mirror.ts'
import type { SessionStore } from './store.ts'
import { StoreFault } from './store-fault.ts'

export type DataSet = SessionStore & {
  /** When it came to be. */
  readonly born: Instant
  /** Facts not yet in a trail, as far as is known here. */
  readonly undrained: number
  /** What a shared store tells at a scrape; null for an embedded one. */
  readonly gauges: StoreGauges | null
}

export type StorePorts = {
  readonly clock: Clock
  readonly metrics: StoreMetrics
  readonly configuration: () => string
  /** For one word to the store: no gateway, nobody waits for it. */
  readonly observes: boolean
  /** What a shared store lacks or finds odd. */
  readonly says: (text: string, cause: unknown) => void
}

/**
 * @returns the clock that follows the store's own time; the system's with an embedded one
 * @throws StoreFault when the store is in use, damaged, or must not be used as it is; one that is merely out of reach is waited for
 */
export async function openStore({ store, ephemeral }: Settings, ports: StorePorts, patience: number = Infinity): Promise<{ readonly store: DataSet; readonly clock: Clock }> {
  const { home } = store
  if (home.is === 'embedded') return { store: openEmbeddedStore({ file: home.file, clock: ports.clock, ephemeral }), clock: ports.clock }
  const { redisStore } = await import('./redis/open-redis.ts')
  const opened = await redisStore(home, { store }, ports)
  try {
    await within(patience, opened.store.open())
    return opened
  } catch (error) {
    await opened.store.close()
    throw error
  }
}

async function within(patience: number, opening: Promise<void>): Promise<void> {
  if (patience === Infinity) return opening
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(() => late.reject(new StoreFault('unreachable', `the store did not answer within ${patience} ms`)), patience)
  await Promise.race([opening, late.promise]).finally(() => clearTimeout(timer))
}

/** A value that lives with the data set, made at its first use: where several gateways are first, all get the same. */
export async function keptOr(store: SessionStore, name: string, make: () => string | Promise<string>): Promise<string> {
  return (await store.kept(name)) ?? (await store.keepFirst(name, await make()))
}

/** For one word to the store of a gateway that may not be running. */
const CALLER_PATIENCE = 10_000
async function once<T>(settings: Settings, word: (store: DataSet, clock: Clock) => Promise<T>): Promise<T> {
  let last = ''
  const says = (text: string, cause: unknown): void => { if (cause !== null) last = text }
  const { store, clock } = await openStore(settings, { clock: new SystemClock(), metrics: new Metrics().store, configuration: () => settings.digest, observes: true, says }, CALLER_PATIENCE)
    .catch((error: unknown) => { throw error instanceof StoreFault && error.code === 'unreachable' && last !== '' ? new StoreFault('unreachable', last, error) : error })
  try {
    return await word(store, clock)
  } finally {
    await store.close()
  }
}

/** What the data set of a gateway that is not running keeps under a name, or null. @throws StoreFault when the store is in use or damaged */
export const readKept = (settings: Settings, name: string): Promise<string | null> => once(settings, store => store.kept(name))

/** `store init`: the first installation; a shared store also gets this version's library. @throws StoreFault when the store is in use or damaged */
export async function initStore(settings: Settings): Promise<'installed' | 'exists'> {
  const { home } = settings.store
  if (home.is === 'redis') {
    const { loadLibrary } = await import('./redis/open-redis.ts')
    await loadLibrary(home, settings)
  }
  return once(settings, store => installStore(store))
}

/** `store accept-loss`: credentials from before the data set's birth may be used again. */
export const acceptLoss = (settings: Settings, by: string, reason: string): Promise<'accepted' | 'nothing'> =>
  once(settings, async (store, clock) => liftBirth(store, new Ledger(store, new Mirror(store, settings.policy, 1), clock), by, reason))
