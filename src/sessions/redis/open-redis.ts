// The shared store opened from its settings: secrets and certificates read, the servers found, every shard joined. SPEC: STO17
import { readFile } from 'node:fs/promises'
import type { RedisHome, Settings } from '../../config/settings.ts'
import type { Clock } from '../../runtime/clock.ts'
import { newGatewayId } from '../../runtime/id.ts'
import type { StoreMetrics } from '../../runtime/metrics.ts'
import { readSecretFile } from '../../runtime/secret-file.ts'
import { StoreFault } from '../store-fault.ts'
import { Seal } from './entry.ts'
import { type Access, Link } from './link.ts'
import { locator } from './locator.ts'
import { RedisStore } from './redis-store.ts'
import { StoreClock } from './store-clock.ts'

export type RedisPorts = {
  readonly clock: Clock
  readonly metrics: StoreMetrics
  /** The digest of the configuration that runs. */
  readonly configuration: () => string
  readonly observes: boolean
  readonly says: (text: string, cause: unknown) => void
}

/** How long a master may go on taking writes after its last replica was promoted, beyond `min-replicas-max-lag`: its own look is once a second. */
const FENCE_SLACK = 2_000
const MARGIN = 100
const KEY_BYTES_MIN = 32

const fileOrNone = (file: string | null): Promise<Buffer | null> => (file === null ? Promise.resolve(null) : readFile(file))

async function accessOf({ username, password, passwordFile, database, tls }: Pick<RedisHome, 'username' | 'password' | 'passwordFile' | 'database' | 'tls'>, lease: number): Promise<Access> {
  const patience = Math.max(500, lease)
  return {
    username, password: passwordFile === null ? password : (await readSecretFile(passwordFile)).trim(), database, connectTimeout: patience, commandTimeout: Math.max(1_000, lease),
    tls: tls === null ? null : { ca: await fileOrNone(tls.caFile), cert: await fileOrNone(tls.certFile), key: await fileOrNone(tls.keyFile), serverName: tls.serverName },
  }
}

async function sealOf(files: readonly string[]): Promise<Seal> {
  const keys = await Promise.all(files.map(async file => {
    const key = Buffer.from((await readSecretFile(file)).trim())
    if (key.length < KEY_BYTES_MIN) throw new StoreFault('misconfigured', `${file} holds ${key.length} bytes; a MAC key has ${KEY_BYTES_MIN} or more`)
    return key
  }))
  return new Seal(keys)
}

const sentinelHome = (home: RedisHome) => ({ ...home, username: home.sentinel?.username ?? null, password: null, passwordFile: home.sentinel?.passwordFile ?? null, database: 0 })

/** @returns the store, not yet open, and the clock that follows its time. @throws Error naming a file that can not be read */
export async function redisStore(home: RedisHome, { store: { lease, macKeyFiles } }: Pick<Settings, 'store'>, { clock, ...ports }: RedisPorts): Promise<{ readonly store: RedisStore; readonly clock: StoreClock }> {
  const access = await accessOf(home, lease)
  const storeClock = new StoreClock(clock, () => performance.now())
  const locate = locator(home, access, await accessOf(sentinelHome(home), lease))
  const window = home.mode === 'single' ? lease + MARGIN : home.maxLag + FENCE_SLACK + lease + MARGIN
  const connect = async (shard: number, name: string, key: string): Promise<Link> => Link.open(await locate(shard), access, `narrowgate-${name}`, key)
  const store = new RedisStore({ home, lease, window, connect, member: newGatewayId(), configuration: ports.configuration, observes: ports.observes }, { ...ports, clock: storeClock, seal: await sealOf(macKeyFiles) })
  return { store, clock: storeClock }
}

/** Loads this version's library on every master, in place of another text of the same name. @throws StoreFault `misconfigured` where the user may not */
export async function loadLibrary(home: RedisHome, { store: { lease } }: Pick<Settings, 'store'>): Promise<void> {
  const access = await accessOf(home, lease)
  const locate = locator(home, access, await accessOf(sentinelHome(home), lease))
  for (let shard = 0; shard < home.shards; shard++) {
    const link = await Link.open(await locate(shard), access, 'narrowgate-init', null)
    try {
      await link.replaceLibrary()
    } finally {
      link.destroy()
    }
  }
}
