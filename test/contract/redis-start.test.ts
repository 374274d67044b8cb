// What a member must find before it trusts a server: each thing that is wrong is told with its cause and its cure, before anything is written.
// And the ways in which it may find it: TLS, scripts in place of functions, a cluster. SPEC: STO14, STO17
import { afterEach, expect, test } from 'vitest'
import { sessionRef } from '../../src/core/record.ts'
import { checkServer, infoOf } from '../../src/sessions/redis/server-check.ts'
import { memberOf, openMember } from '../support/redis-members.ts'
import { RedisCluster } from '../support/redis-cluster.ts'
import { RedisSentinels } from '../support/redis-sentinel.ts'
import { eventually, RedisServer, type RedisServerOptions } from '../support/redis-server.ts'
import { testAuthority } from '../support/tls.ts'
import { bySubject, Desk, type DeskPlan, keyOf, names } from './redis-desk.ts'

/** The least a gateway's user needs; docs/operations-redis.md has the same line. */
const RIGHTS = '+fcall +client|setname +info +time +ssubscribe +spublish +hset +hsetnx +hget +hmget +hgetall +hdel +hincrby +hlen +xadd +xrange +xlen +xtrim +get +set +del +exists +getrange +setrange +pexpire +pexpireat +pexpiretime +sadd +srem +sscan +srandmember +scan +zadd +zrem +zcard +zscore +zrange +zremrangebyscore'.split(' ')
const PLACES = ['~ng:*', '&ng:*']

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })

async function serverOf(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  ends.push(() => server.dispose())
  return server
}
async function desk(port: number, plan: DeskPlan = {}): Promise<Desk> {
  const opened = await Desk.open(port, plan)
  ends.push(() => opened.close())
  return opened
}
type Home = NonNullable<DeskPlan['home']>

/** A member is refused, for good and in words. */
async function refusal(server: RedisServer, home: Home = {}): Promise<{ readonly code: unknown; readonly message: string }> {
  const opening = openMember(server.port, { home }).then(({ store }) => store.close().then(() => { throw new Error('it was opened') }))
  const error: unknown = await opening.catch((thrown: unknown) => thrown)
  if (!(error instanceof Error) || !('code' in error)) throw error
  return { code: error.code, message: error.message }
}

/** What a shared store is for, in short: an end by one member is enforced at another, also at one that comes later. */
async function worksAt(port: number, home: Home = {}): Promise<void> {
  const [one, two] = [await desk(port, { home }), await desk(port, { home })]
  for (const name of names(3)) await one.begin(name)
  for (const name of names(3)) await two.know(name)
  expect(await one.enforced(await two.revoke('agent-1'))).toMatchObject({ gateways: { total: 2, acknowledged: 2 } })
  await two.enforced(await one.lock(bySubject('agent-2'), 'two'))
  expect([await one.standing('agent-0'), await one.standing('agent-1'), two.isLocked(bySubject('agent-2'))]).toEqual(['live', 'revoked', true])
  const late = await desk(port, { home })
  expect([await late.standing('agent-0'), await late.standing('agent-1'), late.isLocked(bySubject('agent-2'))]).toEqual(['live', 'revoked', true])
  expect(await late.store.find(bySubject('agent-0'), 10)).toEqual([sessionRef(keyOf('agent-0'))])
  expect((await late.store.drain(100)).length).toBeGreaterThanOrEqual(5)
  expect([one, two, late].flatMap(({ member }) => member.said.filter(said => !said.includes('append-only')))).toEqual([])
  await Promise.all([one, two, late].map(each => each.close()))
}

// ---- who is asked, and with what rights

test('[STO17] a password that is wrong or missing, and a user that does not exist, are told with the settings to check', async () => {
  const server = await serverOf({ password: 'right' })
  for (const home of [{ password: 'wrong' }, { password: null }, { username: 'nobody', password: 'right' }]) {
    expect(await refusal(server, home)).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/refuses the user or the password.*store\.redis\.username and passwordFile/) })
  }
  await worksAt(server.port, { password: 'right' })
})

test('[STO17] a user with the least rights does everything and is never refused; with one right less it is told which, before anything is written', async () => {
  const server = await serverOf()
  const grant = (...rules: readonly string[]): Promise<unknown> => server.command('ACL', 'SETUSER', 'gateway', 'reset', 'on', '>secret', '-@all', ...rules)
  const user = { username: 'gateway', password: 'secret' }
  await (await openMember(server.port)).store.close() // the library, loaded by somebody who may
  await grant(...RIGHTS, ...PLACES)
  await server.command('FLUSHALL')
  await worksAt(server.port, user)
  expect(await server.command('ACL', 'LOG')).toEqual([])

  await server.command('FLUSHALL')
  for (const right of RIGHTS.filter(each => each !== '+client|setname')) {
    await grant(...RIGHTS.filter(each => each !== right), ...PLACES)
    expect(await refusal(server, user)).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(new RegExp(`lacks .*${right.slice(1)}\\b.*docs/operations-redis\\.md`)) })
  }
  await grant(...RIGHTS, '~other:*', '&ng:*')
  expect(await refusal(server, user)).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('keys') })
  await grant(...RIGHTS, '~ng:*', '&other:*')
  expect(await refusal(server, user)).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('spublish') })
  expect(await server.command('DBSIZE')).toBe(0)
})

test('[STO14, STO17] a user that may not load the library is told who has to', async () => {
  const server = await serverOf()
  await server.command('ACL', 'SETUSER', 'gateway', 'reset', 'on', '>secret', '-@all', ...RIGHTS, ...PLACES)
  expect(await refusal(server, { username: 'gateway', password: 'secret' })).toMatchObject({ code: 'library', message: expect.stringContaining('narrowgate store init') })
})

// ---- what is there already

test('[STO14, STO17] another text under the name of the library, of this program or another, is never called', async () => {
  const server = await serverOf()
  const load = (body: string): Promise<unknown> => server.command('FUNCTION', 'LOAD', 'REPLACE', `#!lua name=ng1\n${body}`)
  await load(`redis.register_function{function_name='ng1_hello', callback=function() return {'older', '1'} end, flags={'no-writes'}}`)
  expect(await refusal(server)).toMatchObject({ code: 'library', message: expect.stringMatching(/another text.*older.*narrowgate store init/) })
  await load(`redis.register_function('something', function() return 1 end)`)
  expect(await refusal(server)).toMatchObject({ code: 'library', message: expect.stringMatching(/another text.*narrowgate store init/) })
})

test('[STO17] keys of another program under the prefix are left as they are', async () => {
  const server = await serverOf()
  await server.command('SET', 'ng:{0}:m', 'mine')
  expect(await refusal(server)).toMatchObject({ code: 'not_ours', message: expect.stringContaining('store.redis.prefix') })
  expect(await server.command('GET', 'ng:{0}:m')).toBe('mine')
  await server.command('DEL', 'ng:{0}:m')
  await server.command('HSET', 'ng:{0}:m', 'colour', 'blue')
  expect(await refusal(server)).toMatchObject({ code: 'not_ours' })
  expect(await server.command('HGETALL', 'ng:{0}:m')).toEqual(['colour', 'blue'])
  await worksAt(server.port, { prefix: 'other' })
})

test('[STO17] another number of shards than the data has is told with the number it has', async () => {
  const server = await serverOf()
  await (await openMember(server.port, { home: { shards: 4 } })).store.close()
  for (const shards of [1, 8]) expect(await refusal(server, { shards })).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/has 4 shards.*store\.redis\.shards/) })
  await worksAt(server.port, { shards: 4 })
})

test('[STO17] data in a format of a later version is not read', async () => {
  const server = await serverOf()
  await (await openMember(server.port)).store.close()
  await server.command('HSET', 'ng:{0}:m', 'fmt', '9')
  expect(await refusal(server)).toMatchObject({ code: 'newer_schema', message: expect.stringContaining('format 9') })
})

// ---- what the server is

test('[STO17] a server that evicts, one that is too old, and one of another mode are refused with the line to set', async () => {
  const server = await serverOf({ config: ['maxmemory 100mb', 'maxmemory-policy allkeys-lru'] })
  expect(await refusal(server)).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/evicts keys.*allkeys-lru.*`maxmemory-policy noeviction`/) })
  await server.configSet('maxmemory-policy', 'noeviction')
  expect(await refusal(server, { mode: 'cluster' })).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('`store.redis.mode: single`') })
  const node = await serverOf({ config: ['cluster-enabled yes'] })
  await node.command('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  await eventually('the node serves', 10_000, async () => String(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok') || null)
  expect(await refusal(node)).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('`store.redis.mode: cluster`') })
  for (const version of ['redis_version:6.2.14', 'redis_version:7.2.4\r\nvalkey_version:6.9.0', 'redis_mode:standalone']) expect(() => checkServer(infoOf(version), { mode: 'single' })).toThrow('too old') // no such server is here
})

test('[STO17] behind sentinels a master without min-replicas-to-write is refused', async () => {
  const master = await serverOf()
  await serverOf({ replicaOf: master })
  await master.waitForReplicas(1)
  const sentinels = await RedisSentinels.start({ master, name: 'mymaster', count: 1, quorum: 1 })
  ends.push(() => sentinels.dispose())
  const nodes = sentinels.processes.map(({ host, port }) => ({ host, port }))
  const home: Home = { mode: 'sentinel', nodes, sentinel: { master: 'mymaster', username: null, passwordFile: null } }
  expect(await refusal(master, home)).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('`min-replicas-to-write 1`') })
  expect(await refusal(master, { ...home, nodes: [master] })).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('not a sentinel') })
  expect(await refusal(master, { nodes })).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('store.redis.mode') })
})

// ---- ways in

test('[STO17] TLS: the authority counts, and a certificate is shown where the server asks for one', async () => {
  const { caFile, server: { certFile, keyFile } } = await testAuthority()
  const tls = { caFile, certFile, keyFile }
  const server = await serverOf({ tls })
  const trusting = { caFile, certFile: null, keyFile: null, serverName: null }
  await worksAt(server.port, { tls: trusting })
  const mutual = await serverOf({ tls, config: ['tls-auth-clients yes'] })
  await worksAt(mutual.port, { tls: { ...trusting, certFile, keyFile } })

  expect(await refusal(server, { tls: { ...trusting, caFile: null } })).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/self-signed.*store\.redis\.tls\.caFile/) })
  expect(await refusal(server, { tls: { ...trusting, serverName: 'elsewhere.example' } })).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/elsewhere\.example.*serverName/) })
  expect(await refusal(mutual, { tls: trusting })).toMatchObject({ code: 'misconfigured', message: expect.stringMatching(/certificate required.*store\.redis\.tls\.certFile/) })
  const clear = await memberOf(server.port)
  clear.store.open().catch(() => undefined)
  await eventually('clear text gets no answer, and that is said', 5_000, async () => clear.said.at(-1)?.includes('ECONNRESET') || null)
  expect(clear.store.confirmedUntil()).toBe(-Infinity)
  await clear.store.close()
})

test.for(['FUNCTION', 'FCALL'])('[STO14] a server without %s runs the same library as scripts, also after it forgot them', async command => {
  const server = await serverOf({ config: [`rename-command ${command} ""`] })
  await worksAt(server.port)
  const one = await desk(server.port)
  await one.begin('x')
  await server.command('SCRIPT', 'FLUSH')
  expect(await one.enforced(await one.revoke('x'))).toMatchObject({ gateways: { total: 1, acknowledged: 1 } })
  expect(await one.count('lapses')).toBe(0)
  await server.configSet('maxmemory', 1)
  await expect(one.begin('y')).rejects.toMatchObject({ name: 'StoreFull' })
  expect((await one.lock(bySubject('y'), 'y')).position).not.toBeNull()
})

test('[STO15, STO17] a cluster of three masters and sixteen shards: ends reach every member, a lost master ends the lease, its return gives it back', async () => {
  const cluster = await RedisCluster.start({ masters: 3, config: ['cluster-require-full-coverage no'] })
  ends.push(() => cluster.dispose())
  const home: Home = { mode: 'cluster', shards: 16, nodes: cluster.nodes.map(({ host, port }) => ({ host, port })) }
  const [one, two] = [await desk(0, { home }), await desk(0, { home })]
  const all = names(24)
  for (const name of all) await one.begin(name)
  for (const name of all) await two.know(name)
  expect((await two.revokeAll(all.slice(12))).every(({ gateways }) => gateways.acknowledged === 2)).toBe(true)
  expect([await one.refused(all), await one.refused(all.slice(12)), await two.refused(all)]).toEqual([12, 12, 12])

  const [, lost] = cluster.nodes
  await lost?.command('SAVE')
  await lost?.kill()
  await Promise.all([one.isStale(), two.isStale()])
  expect(await one.standing(all[0] ?? '')).toBe('stale')
  const died = performance.now()
  await lost?.restart()
  await Promise.all([one.isFresh(30_000), two.isFresh(30_000)])
  console.log(`a master of a cluster came back: decisions again after ${((performance.now() - died) / 1_000).toFixed(1)} s`)
  expect([await one.refused(all), await two.refused(all)]).toEqual([12, 12])
}, 60_000)
