// Another server takes over: with and without lost writes, with members left behind on the old one, by sentinels. Members reach their master by a
// proxy, which is what moves them. `§11.n` quotes the items of the protocol's list. SPEC: STO5, STO14-STO17
import { afterEach, expect, test } from 'vitest'
import { sessionRef } from '../../src/core/record.ts'
import { after, duration } from '../../src/core/time.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { RedisSentinels } from '../support/redis-sentinel.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { Desk, type DeskPlan, keyOf, names } from './redis-desk.ts'

const K = 10
const LEASE = 1_000
/** Without a fence: as long as somebody may act on the old master's word. */
const WINDOW = LEASE + 100
const NAME = 'mymaster'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })

const owned = <T>(part: T, end: () => Promise<unknown>): T => {
  ends.push(end)
  return part
}
async function serverOf(...given: Parameters<typeof RedisServer.start>): Promise<RedisServer> {
  const server = await RedisServer.start(...given)
  return owned(server, () => server.dispose())
}
async function wayTo({ port }: RedisServer): Promise<ByteProxy> {
  const proxy = await ByteProxy.start(port)
  return owned(proxy, () => proxy.close())
}
async function desk(port: number, plan: DeskPlan = {}): Promise<Desk> {
  const opened = await Desk.open(port, plan)
  return owned(opened, () => opened.close())
}

/** A gateway, and the way by which it reaches the master. */
type Led = { readonly desk: Desk; readonly way: ByteProxy }
type Pair = { readonly old: RedisServer; readonly next: RedisServer; readonly led: readonly Led[] }

/** A master with its replica, members that know K sessions, and all of it replicated. */
async function pair(members: number): Promise<Pair> {
  const old = await serverOf()
  const next = await serverOf({ replicaOf: old })
  await old.waitForReplicas(1)
  const led: Led[] = []
  for (let i = 0; i < members; i++) {
    const way = await wayTo(old)
    led.push({ way, desk: await desk(way.port, { lease: LEASE }) })
  }
  for (const name of [...names(K), 'late', 'bystander']) await led[0]?.desk.begin(name)
  for (const each of led) for (const name of [...names(K), 'late', 'bystander']) await each.desk.know(name)
  await eventually('the replica has it all', 5_000, async () => (await head(next)) === (await head(old)) || null)
  return { old, next, led }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const head = async (server: RedisServer): Promise<string> => String(await server.command('HGET', 'ng:{0}:m', 'head'))
const inLog = async (server: RedisServer, word: string): Promise<number> => JSON.stringify(await server.command('XRANGE', 'ng:{0}:L', '-', '+')).split(word).length - 1
const promote = (server: RedisServer): Promise<unknown> => server.command('REPLICAOF', 'NO', 'ONE')

/** A replica that hears no more of its master. */
const cutOff = (server: RedisServer): Promise<unknown> => server.command('REPLICAOF', '127.0.0.1', 1)

function follow({ way }: Led, to: RedisServer): void {
  way.retarget(to.port)
  way.dropConnections()
}

/** When the first decision of a desk under the new epoch could be taken, and how many of them it refused then. */
function firstServe(of: Desk, all: readonly string[]): Promise<{ readonly at: number; readonly refused: number }> {
  const { promise, resolve } = Promise.withResolvers<{ at: number; refused: number }>()
  of.onConfirmed = () => {
    const at = performance.now()
    resolve(of.refused(all).then(refused => ({ at, refused })))
  }
  return promise
}

/** Sees nothing of the new epoch from before its members are settled in it. */
const settledOn = (server: RedisServer, after: string): Promise<unknown> =>
  eventually('the new epoch is settled', 20_000, async () => {
    const [epoch, set] = (await server.command('HMGET', 'ng:{0}:m', 'epoch', 'set')) as readonly (string | null)[] // as HMGET answers
    return (epoch !== after && set === '1') || null
  })
const epochOn = async (server: RedisServer): Promise<string> => String(await server.command('HGET', 'ng:{0}:m', 'epoch'))

test('[STO14, STO16, STORE-20] §11.20 a promoted server lacks acknowledged revocations and the old master takes more: all of them are refused before the first decision', async () => {
  const { old, next, led: [one, two] } = await pair(2)
  if (one === undefined || two === undefined) throw new Error('two members were asked for')
  await cutOff(next)
  expect((await one.desk.revokeAll(names(K))).every(({ gateways }) => gateways.acknowledged === 2)).toBe(true)
  await promote(next)
  expect(await inLog(next, 'session.terminated')).toBe(0)
  const all = [...names(K), 'late']
  const [first, second] = [firstServe(one.desk, all), firstServe(two.desk, all)]
  follow(one, next)
  await two.desk.revoke('late') // the old master takes it, and only this member hears of it
  expect(await inLog(old, 'session.terminated')).toBe(K + 1)
  follow(two, next)
  expect([(await first).refused, (await second).refused]).toEqual([K + 1, K + 1])
  expect([await one.desk.count('forks'), await two.desk.count('forks'), await inLog(next, 'session.terminated')]).toEqual([1, 1, K + 1])
  expect([await one.desk.standing('bystander'), await two.desk.standing('bystander')]).toEqual(['live', 'live'])
})

test('[STO16, STORE-21] §11.21 a member that stays with the old master: the others wait the whole window before they decide anything', async () => {
  const { next, led: [one, two, left] } = await pair(3)
  if (one === undefined || two === undefined || left === undefined) throw new Error('three members were asked for')
  await promote(next)
  const began = performance.now()
  for (const each of [one, two]) follow(each, next)
  const served = await Promise.all([one, two].map(({ desk: its }) => firstServe(its, [])))
  const waited = served.map(({ at }) => at - began)
  console.log(`one of three stayed behind: the others decided after ${waited.map(ms => ms.toFixed(0)).join(' and ')} ms`)
  expect(Math.min(...waited)).toBeGreaterThanOrEqual(WINDOW)
  expect(left.desk.fresh).toBe(true) // nothing fences a single server: its word ends with nobody but the operator
})

test('[STO16, STORE-22] §11.22 all members follow to a replica that has everything: settled in under a second, no fork, nothing is read again', async () => {
  const { next, led } = await pair(3)
  const epoch = await epochOn(next)
  await Promise.all(led.map(({ desk: its }) => its.isProven(LEASE)))
  for (const { desk: its } of led) its.reads = 0
  const began = performance.now()
  await promote(next)
  for (const each of led) follow(each, next)
  await settledOn(next, epoch)
  const settled = performance.now() - began
  console.log(`three members followed: settled after ${settled.toFixed(0)} ms`)
  expect(settled).toBeLessThan(1_000)
  await Promise.all(led.map(({ desk: its }) => eventually('it decides in the new epoch', 5_000, async () => (its.fresh && its.store.epochOf(sessionRef(keyOf('late'))).endsWith(`.${await epochOn(next)}`)) || null)))
  for (const { desk: its } of led) expect([await its.count('forks'), its.reads, its.mirror.size, its.saidAgain]).toEqual([0, 0, K + 2, { recorded: 0, known: 0 }])
})

test('[STO17, STORE-27] §11.27 a master that is demoted refuses heartbeats and commits: members go to the new one, an end on its way lands there', async () => {
  const { old, next, led: [one, two] } = await pair(2)
  if (one === undefined || two === undefined) throw new Error('two members were asked for')
  await one.desk.revoke('bystander') // over the connection that ends take
  await eventually('the replica has it', 5_000, async () => (await head(next)) === (await head(old)) || null)
  const epoch = await epochOn(next)
  for (const { way } of [one, two]) way.retarget(next.port)
  await promote(next)
  await old.command('REPLICAOF', next.host, next.port)
  const ended = await one.desk.revoke('late')
  expect(ended.position).not.toBeNull() // it was not put off
  await settledOn(next, epoch)
  await eventually('the end is in the new master', 5_000, async () => (await inLog(next, 'session.terminated')) === 2 || null)
  await Promise.all([one, two].map(({ desk: its }) => its.isFresh()))
  expect([await one.desk.standing('late'), await two.desk.standing('late'), one.desk.ledger.owed]).toEqual(['revoked', 'revoked', 0])
  expect([...one.desk.member.said, ...two.desk.member.said].join()).toContain('READONLY')
})

test.for([[3_000, 0], [1_500, 1_700]])('[STO5, STORE-35R] §11.35 a new master %i ms behind, after %i ms without one: time goes on where it was, and nothing ends later than it would have', async ([behind = 0, without = 0]) => {
  const server = await serverOf()
  const a = await desk(server.port, { lease: 400 })
  const now = a.member.clock.now()
  await server.command('HSET', 'ng:{0}:m', 'off', behind)
  await eventually('the member to hear it', 1_400, async () => a.member.clock.now() >= now + behind || null)
  await server.command('SAVE')
  const [end, started] = [after(a.member.clock.now(), duration(3_000)), performance.now()]
  await server.kill()
  await pause(without)
  await server.restart()
  await a.isFresh()
  await eventually('the end is reached', 10_000, async () => a.member.clock.now() >= end || null)
  const took = performance.now() - started
  console.log(`a new master ${behind} ms behind: an end in 3,000 ms was reached after ${took.toFixed(0)} ms`)
  expect(took).toBeGreaterThan(2_800)
  expect(took).toBeLessThan(4_000)
})

test('[STO15, STO16, STO17] sentinels replace a master that died: members follow, nothing is decided before the new master has a replica, and no end is lost', async () => {
  const config = ['min-replicas-to-write 1', 'min-replicas-max-lag 2']
  const old = await serverOf({ config })
  const next = await serverOf({ config, replicaOf: old })
  await old.waitForReplicas(1)
  const sentinels = await RedisSentinels.start({ master: old, name: NAME })
  ends.push(() => sentinels.dispose())
  const home = { mode: 'sentinel', nodes: sentinels.processes.map(({ host, port }) => ({ host, port })), sentinel: { master: NAME, username: null, passwordFile: null } } as const
  const [one, two] = [await desk(0, { home }), await desk(0, { home })]
  for (const name of names(K)) await one.begin(name)
  for (const name of names(K)) await two.know(name)
  const ended = names(K).slice(1)
  expect((await one.revokeAll(ended)).every(({ gateways }) => gateways.acknowledged === 2)).toBe(true)
  const first = Promise.all([firstServe(one, ended), firstServe(two, ended)])

  const died = performance.now()
  await old.kill()
  const { port } = await sentinels.failedOver(old)
  expect(port).toBe(next.port)
  const replaced = performance.now() - died
  await eventually('the promoted server has no replica, and says so', 20_000, async () => one.member.said.some(said => said.includes('NOREPLICAS')) || null)
  expect([one.fresh, two.fresh]).toEqual([false, false])
  await old.restart()
  await old.command('REPLICAOF', next.host, next.port)
  await next.waitForReplicas(1)
  const back = performance.now() - died
  const served = await first
  const decided = Math.max(...served.map(({ at }) => at)) - died
  console.log(`a failover by sentinels (down after 1 s): replaced after ${(replaced / 1_000).toFixed(1)} s, a replica again after ${(back / 1_000).toFixed(1)} s, decisions again after ${(decided / 1_000).toFixed(1)} s`)
  expect(served.map(({ refused }) => refused)).toEqual([K - 1, K - 1])
  expect([await one.standing(names(1)[0] ?? ''), await one.count('forks')]).toEqual(['live', 0])
}, 90_000)
