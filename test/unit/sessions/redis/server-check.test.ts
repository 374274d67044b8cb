// What a Redis server must be like: refused with the cause and the line to set, or warned about. SPEC: STO17
import { expect, test } from 'vitest'
import type { RedisHome } from '../../../../src/config/settings.ts'
import { StoreFault } from '../../../../src/sessions/store-fault.ts'
import { checkServer, infoOf } from '../../../../src/sessions/redis/server-check.ts'

const GOOD = { redis_version: '7.0.15', redis_mode: 'standalone', maxmemory: '1073741824', maxmemory_policy: 'noeviction', aof_enabled: '1' }
type Mode = RedisHome['mode']

/** As INFO prints it. */
const info = (changes: { readonly [field: string]: string | null }) =>
  infoOf(`# Server\r\n${Object.entries({ ...GOOD, ...changes }).flatMap(([name, value]) => (value === null ? [] : [`${name}:${value}`])).join('\r\n')}\r\n\r\n# End\r\n`)

test('[STO17] INFO is read field by field, values with colons too', () => {
  expect([...infoOf('# Server\r\nredis_version:7.0.15\r\nexecutable:/a:b\r\nempty:\r\n:x\r\nnothing\r\n')]).toEqual([['redis_version', '7.0.15'], ['executable', '/a:b'], ['empty', '']])
})

test('[STO17] a server that is as it should be gives nothing to say', () => {
  expect(checkServer(info({}), { mode: 'single' })).toEqual([])
  expect(checkServer(info({ min_slaves_good_slaves: '1' }), { mode: 'sentinel' })).toEqual([])
  expect(checkServer(info({ redis_mode: 'cluster', connected_slaves: '1' }), { mode: 'cluster' })).toEqual([])
  expect(checkServer(info({ redis_version: '7.2.4', valkey_version: '8.0.1' }), { mode: 'single' })).toEqual([])
  expect(checkServer(info({ redis_version: '10.0.0' }), { mode: 'single' })).toEqual([])
})

test.each<[what: string, Parameters<typeof info>[0], Mode, RegExp]>([
  ['an older major version', { redis_version: '6.2.14' }, 'single', /Redis 6\.2\.14 is too old: version 7\.0/],
  ['a version that says nothing', { redis_version: null }, 'single', /too old/],
  ['an old Valkey, whatever Redis it stands for', { redis_version: '7.2.4', valkey_version: '6.9.0' }, 'single', /Valkey 6\.9\.0 is too old/],
  ['a cluster node where a single server is meant', { redis_mode: 'cluster' }, 'single', /store\.redis\.mode: cluster/],
  ['a cluster node behind sentinels', { redis_mode: 'cluster', min_slaves_good_slaves: '1' }, 'sentinel', /store\.redis\.mode: cluster/],
  ['a single server where a cluster is meant', {}, 'cluster', /store\.redis\.mode: single/],
  ['a master behind sentinels that writes alone', {}, 'sentinel', /min-replicas-to-write 1.*min-replicas-max-lag 2/],
  ['a server that evicts keys', { maxmemory_policy: 'allkeys-lru' }, 'single', /maxmemory-policy allkeys-lru.*maxmemory-policy noeviction/],
  ['one that evicts what expires', { maxmemory_policy: 'volatile-ttl' }, 'cluster', /single/],
])('[STO17] %s is refused, with what to set', (_what, fields, mode, says) => {
  const refused = (): unknown => checkServer(info(fields), { mode })
  expect(refused).toThrow(StoreFault)
  expect(refused).toThrow(says)
  try {
    refused()
  } catch (error) {
    expect(error).toMatchObject({ code: 'misconfigured' })
  }
})

test.each<[what: string, Parameters<typeof info>[0], Mode, RegExp]>([
  ['no append-only file', { aof_enabled: '0' }, 'single', /appendonly yes.*appendfsync everysec/],
  ['no limit of memory', { maxmemory: '0' }, 'single', /maxmemory/],
  ['a master of a cluster without a replica', { redis_mode: 'cluster', connected_slaves: '0' }, 'cluster', /no replica/],
])('[STO17] %s is warned about', (_what, fields, mode, says) => {
  expect(checkServer(info(fields), { mode })).toEqual([expect.stringMatching(says)])
})
