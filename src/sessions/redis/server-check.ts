// What a Redis server must be like before anything is trusted to it, read from INFO: refused with the reason and the line to set, or warned about.
// SPEC: STO17
import type { RedisHome } from '../../config/settings.ts'
import { StoreFault } from '../store-fault.ts'

export type Info = ReadonlyMap<string, string>

export const infoOf = (text: string): Info =>
  new Map(text.split('\r\n').flatMap(line => {
    const at = line.indexOf(':')
    return at < 1 || line.startsWith('#') ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
  }))

const OLDEST = { redis: 7, valkey: 7 } as const
const refuse = (says: string): never => { throw new StoreFault('misconfigured', says) }

function checkVersion(info: Info): void {
  const valkey = info.get('valkey_version')
  const version = valkey ?? info.get('redis_version') ?? ''
  const [product, oldest] = valkey === undefined ? ['Redis', OLDEST.redis] : ['Valkey', OLDEST.valkey]
  if (!(Number.parseInt(version, 10) >= oldest)) refuse(`${product} ${version} is too old: version ${oldest}.0 or newer is needed (functions, sharded pub/sub)`)
}

function checkMode(info: Info, { mode }: Pick<RedisHome, 'mode'>): void {
  const cluster = info.get('redis_mode') === 'cluster'
  if (cluster && mode !== 'cluster') refuse('this server is a node of a Redis cluster: set `store.redis.mode: cluster`')
  if (!cluster && mode === 'cluster') refuse('this server is not a node of a cluster: set `store.redis.mode: single` or `sentinel`')
  if (mode === 'sentinel' && !info.has('min_slaves_good_slaves')) refuse('a master behind sentinels that takes writes without a replica would keep them after it was replaced: set `min-replicas-to-write 1` and `min-replicas-max-lag 2` on every server')
}

function warningsOf(info: Info, { mode }: Pick<RedisHome, 'mode'>): readonly string[] {
  const warnings: string[] = []
  const aof = info.get('aof_enabled') === '1'
  if (!aof) warnings.push('the server keeps no append-only file: what was written since its last snapshot is lost when it stops; set `appendonly yes` and `appendfsync everysec`')
  if (mode === 'cluster' && Number(info.get('connected_slaves') ?? '0') === 0) warnings.push('a master of the cluster has no replica: when it stops, its sessions are refused until it is back')
  if (info.get('maxmemory') === '0') warnings.push('`maxmemory` is not set: a full machine ends the server instead of refusing what gives rights')
  return warnings
}

/** @returns what is odd about it. @throws StoreFault `misconfigured` */
export function checkServer(info: Info, home: Pick<RedisHome, 'mode'>): readonly string[] {
  checkVersion(info)
  checkMode(info, home)
  const policy = info.get('maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction') refuse(`this server evicts keys when memory is full (maxmemory-policy ${policy}): ended sessions would come back; set \`maxmemory-policy noeviction\``)
  return warningsOf(info, home)
}
