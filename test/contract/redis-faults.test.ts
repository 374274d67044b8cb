// What happens to servers, and what members must not do meanwhile: crashes that lose writes, freezes, missing replicas, full memory, lost libraries,
// lost data sets, trimmed logs, members that die holding something. `§11.n` quotes the items of the protocol's list. SPEC: STO12-STO16
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sessionRef } from '../../src/core/record.ts'
import { after, duration, type Instant } from '../../src/core/time.ts'
import type { SessionStore, Taking } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { bySubject, Desk, type DeskPlan, keyOf, names } from './redis-desk.ts'

const HOUR = duration(3_600_000)
const K = 20

let server: RedisServer
const ends: (() => Promise<unknown>)[] = []

beforeEach(async () => { server = await RedisServer.start() })
afterEach(async () => {
  await Promise.all(ends.splice(0).map(end => end()))
  await server.dispose()
})

async function desk(plan: DeskPlan = {}, port = server.port): Promise<Desk> {
  const opened = await Desk.open(port, plan)
  ends.push(() => opened.close())
  return opened
}

async function proxy(port = server.port): Promise<ByteProxy> {
  const opened = await ByteProxy.start(port)
  ends.push(() => opened.close())
  return opened
}

/** Connections of the other side are reset, new ones too. */
function unplug(way: ByteProxy): void {
  way.refuse(true)
  way.dropConnections()
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0)
const inLog = async (word: string): Promise<number> => JSON.stringify(await server.command('XRANGE', 'ng:{0}:L', '-', '+')).split(word).length - 1
const isMember = async (count: number): Promise<void> => { await eventually(`${count} members`, 10_000, async () => Number(await server.command('HLEN', 'ng:{0}:R')) >= count || null) }

/** As if everything in it were that much older. */
const age = (ms: number): Promise<unknown> => server.command('EVAL', `redis.call('HINCRBY', 'ng:{0}:m', 'tm', -ARGV[1])
  local all = redis.call('HGETALL', 'ng:{0}:R')
  for i = 1, #all, 2 do redis.call('HSET', 'ng:{0}:R', all[i], (string.gsub(all[i + 1], '^%d+', function(ends) return string.format('%.0f', ends - ARGV[1]) end))) end`, 0, ms)

/** How many of them each desk refused in the turn in which it could decide again. */
function atFirstServe(desks: readonly Desk[], all: readonly string[]): Promise<readonly number[]> {
  return Promise.all(desks.map(each => {
    const { promise, resolve } = Promise.withResolvers<number>()
    each.onConfirmed = () => resolve(each.refused(all))
    return promise
  }))
}

// ---- crashes

test('[STO16, STORE-19] §11.19 a crash that loses the last acknowledged revocations: all are refused at every member, a fresh one too, before its first decision', async () => {
  const [a, b] = [await desk(), await desk()]
  const all = names(K)
  for (const name of all) await a.begin(name)
  for (const name of all.slice(K / 2)) await b.know(name)
  await server.command('SAVE')
  const acknowledged = await a.revokeAll(all)
  expect(acknowledged.every(({ gateways }) => gateways.acknowledged === 2)).toBe(true)
  const first = atFirstServe([a, b], all)
  await server.kill()
  const fresh = desk()
  await server.restart()
  expect(await (await fresh).refused(all)).toBe(K)
  expect(await first).toEqual([K, K])
  expect([await a.count('forks'), await b.count('forks'), a.saidAgain.recorded + b.saidAgain.recorded]).toEqual([1, 1, K])
  expect(await inLog('session.terminated')).toBe(K) // one event each, however many members say it
})

test('[STO16, STORE-19] §11.19 a snapshot from before any of the members joined: a fresh one still waits for what they have to say', async () => {
  const all = names(K)
  const before = await Desk.open(server.port)
  for (const name of all) await before.begin(name)
  await before.close()
  await server.command('SAVE')
  const way = await proxy()
  const a = await desk({ lease: 2_000 }, way.port)
  expect((await a.revokeAll(all)).every(({ gateways }) => gateways.acknowledged === 1)).toBe(true)
  const first = atFirstServe([a], all)
  unplug(way)
  await server.kill()
  await server.restart()
  const fresh = desk({ lease: 2_000 })
  await isMember(1)
  way.refuse(false)
  expect(await (await fresh).refused(all)).toBe(K)
  expect(await first).toEqual([K])
})

test('[STO16, STORE-19] §11.19 a server that was away for long: whoever was a member when it stopped is still waited for', async () => {
  const all = names(K)
  const [wayOfOne, wayOfOther] = [await proxy(), await proxy()]
  const [one] = [await desk({ lease: 2_000 }, wayOfOne.port), await desk({ lease: 2_000 }, wayOfOther.port)]
  for (const name of all) await one.begin(name)
  await server.command('SAVE')
  await one.revokeAll(all)
  for (const way of [wayOfOne, wayOfOther]) unplug(way)
  await server.kill()
  await server.restart()
  await age(600_000)
  const started = performance.now()
  const fresh = desk({ lease: 2_000 })
  await isMember(3)
  wayOfOne.refuse(false)
  expect(await (await fresh).refused(all)).toBe(K)
  expect(performance.now() - started).toBeGreaterThan(2_000) // the other one never came
})

test('[STO15, STORE-24] §11.24 a master stopped for 5 s and resumed: nothing is decided in the first 1.5 s', async () => {
  const a = await desk()
  await a.begin('x')
  server.pause()
  await pause(5_000) // the fault itself
  expect([a.fresh, await a.standing('x')]).toEqual([false, 'stale'])
  const confirmed = Promise.withResolvers<number>()
  a.onConfirmed = () => confirmed.resolve(performance.now())
  const resumed = performance.now()
  server.resume()
  const waited = (await confirmed.promise) - resumed
  console.log(`a master stopped for 5 s: the first decision ${waited.toFixed(0)} ms after it went on`)
  expect(waited).toBeGreaterThanOrEqual(1_500)
  expect(await a.standing('x')).toBe('live')
})

// ---- a server that refuses

test('[STO15, STORE-23] §11.23 a master without its replica ends leases; what is ended meanwhile it gets before the next one', async () => {
  const master = await RedisServer.start({ config: ['min-replicas-to-write 1', 'min-replicas-max-lag 1'] })
  const replica = await RedisServer.start({ replicaOf: master })
  ends.push(() => master.dispose(), () => replica.dispose())
  await master.waitForReplicas(1)
  const a = await desk({ lease: 400 }, master.port)
  await a.begin('x')
  await replica.kill()
  await a.isStale()
  const ended = await a.revoke('x')
  expect([ended.assumed !== null, a.ledger.owed, a.member.said.at(-1)]).toEqual([true, 1, expect.stringContaining('NOREPLICAS')])
  const first = atFirstServe([a], ['x'])
  await replica.restart()
  expect(await first).toEqual([1])
  expect(a.ledger.owed).toBe(0)
  expect(await a.store.load(sessionRef(keyOf('x')))).toMatchObject({ state: { is: 'revoked' } })
})

test('[STO16, STORE-26] §11.26 out of memory: a revocation works on all members, what gives is refused as full, leases run on', async () => {
  const [a, b] = [await desk(), await desk()]
  await a.begin('x')
  await b.know('x')
  await server.configSet('maxmemory', 1)
  await expect(a.begin('y')).rejects.toMatchObject({ name: 'StoreFull', code: 'full', message: expect.stringContaining('maxmemory') })
  expect(await a.enforced(await a.revoke('x'))).toMatchObject({ gateways: { total: 2, acknowledged: 2 } })
  expect([await b.standing('x'), await a.count('lapses'), await b.count('lapses')]).toEqual(['revoked', 0, 0])
  await server.configSet('maxmemory', 0)
  expect((await a.begin('y')).record.state.is).toBe('live')
})

test('[STO14, STORE-28] §11.28 a library that is gone is loaded again over the connections that are there, and nobody notices', async () => {
  const [a, b] = [await desk(), await desk()]
  for (const name of ['x', 'y']) await a.begin(name)
  for (const name of ['x', 'y']) await b.know(name)
  for (const name of ['x', 'y']) {
    expect(await a.enforced(await a.revoke(name))).toMatchObject({ gateways: { total: 2, acknowledged: 2 } })
    expect(await b.standing(name)).toBe('revoked')
    await server.command('FUNCTION', 'FLUSH')
  }
  await eventually('a heartbeat alone loads it', 5_000, async () => JSON.stringify(await server.command('FUNCTION', 'LIST')).includes('ng1_hb') || null)
  for (const each of [a, b]) expect([each.fresh, await each.count('lapses'), await each.count('forks'), await each.count('reconnects')]).toEqual([true, 0, 0, 0])
})

// ---- what was lost or missed

test('[STO16, STORE-25] §11.25 everything is lost: ends and locks are said again before anything is decided, sessions are gone', async () => {
  const [a, b] = [await desk(), await desk()]
  const ended = names(K)
  for (const name of [...ended, 'innocent']) await a.begin(name)
  for (const name of [...ended.slice(0, 5), 'innocent']) await b.know(name)
  await a.revokeAll(ended)
  await a.enforced(await b.lock(bySubject('mallory'), 'mallory'))
  const first = atFirstServe([a, b], [...ended, 'innocent'])
  await server.command('FLUSHALL')
  expect(await first).toEqual([K + 1, K + 1])
  expect([await a.count('dataSetChanges'), await b.count('dataSetChanges'), a.isLocked(bySubject('mallory')), b.isLocked(bySubject('mallory'))]).toEqual([1, 1, true, true])
  const fresh = await desk()
  expect([await fresh.refused(ended), await fresh.standing('innocent'), fresh.isLocked(bySubject('mallory'))]).toEqual([K, 'absent', true])
  expect(await inLog('session.terminated')).toBe(K)
})

test('[STO16, STORE-39] §11.39 a member away for longer than the log: what changed is read again, the rest is kept, nothing stale is allowed', async () => {
  const way = await proxy()
  const [a, b] = [await desk(), await desk({}, way.port)]
  const all = names(K)
  for (const name of all) await a.begin(name)
  for (const name of all) await b.know(name)
  const [pinned, ...rest] = all.slice(0, 5)
  b.live(pinned ?? '').pins++
  way.blackhole(true)
  await a.revokeAll([pinned ?? '', ...rest])
  await server.command('XTRIM', 'ng:{0}:L', 'MAXLEN', 0)
  await b.isStale()
  b.reads = 0
  const first = atFirstServe([b], [pinned ?? '', ...rest])
  way.blackhole(false)
  expect(await first).toEqual([5])
  expect([b.live(pinned ?? '').record.state.is, b.live('agent-7').record.state.is, await b.count('forks'), b.reads < K]).toEqual(['revoked', 'live', 0, true])
})

// ---- time

test('[STO5, STORE-35R] §11.35 the clock of a member is never behind the time of the store, and ahead by a round trip at most', async () => {
  const way = await proxy()
  way.delay(20)
  const a = await desk({}, way.port)
  const off: number[] = []
  for (let i = 0; i < 50; i++) {
    const before = a.member.clock.now()
    const [seconds = '0', micros = '0'] = (await server.command('TIME')) as readonly string[] // as TIME answers
    const there = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    off.push(a.member.clock.now() - there)
    expect(before - there).toBeLessThanOrEqual(41 + 20)
  }
  console.log(`the clock of a member over a round trip of 40 ms: ahead by ${Math.min(...off)} to ${Math.max(...off)} ms`)
  expect(Math.min(...off)).toBeGreaterThanOrEqual(-1) // both are whole milliseconds
})

// ---- budgets of members that die

const taking = (now: Instant, counter: string, request: string, amount: number, limit: number): Taking => ({ counter, request, amount, limit, forgetAt: after(now, HOUR) })

/** The process is gone, with its connections; what it holds it holds on. */
async function dying(): Promise<{ readonly store: SessionStore; readonly now: Instant; readonly way: ByteProxy; readonly die: () => void }> {
  const way = await proxy()
  const { store, member } = await desk({ lease: 400 }, way.port)
  return { store, now: member.clock.now(), way, die: () => unplug(way) }
}

test('[STO12, STORE-29] §11.29 a taker that dies keeps what it took, and only that; asked again under the same request, the answer is the same', async () => {
  const [taker, other] = [await dying(), await desk()]
  expect(await taker.store.take(taking(taker.now, 'elv', 'req_dead', 6, 10))).toBe(6)
  taker.die()
  const taken = await Promise.all(names(8).map(request => other.store.take(taking(taker.now, 'elv', request, 3, 10))))
  expect(sum(taken)).toBe(4)
  expect(await other.store.take(taking(taker.now, 'elv', 'req_dead', 6, 10))).toBe(6)
})

test('[STO12, STORE-30] §11.30 single use while connections die between execution and reply: one of all members gets it, and is told so', async () => {
  const [one, two, other] = [await dying(), await dying(), await desk()]
  for (const counter of names(6, 'once')) {
    const isTake = (frame: Buffer): boolean => frame.includes('ng1_take')
    const killed = Promise.all([one.way.killAfterRequest(isTake), two.way.killAfterRequest(isTake)])
    const got = await Promise.all([one.store, two.store, other.store].map((store, i) => store.take(taking(one.now, counter, `${counter}-${i}`, 1, 1))))
    await killed
    expect(sum(got)).toBe(1)
    const again = await Promise.all(got.map((_, i) => other.store.take(taking(one.now, counter, `${counter}-${i}`, 1, 1))))
    expect(again).toEqual(got)
  }
})

test('[STO12, STORE-31] §11.31 a mark whose reply was lost is seen, not first once more; one made by a member that died is seen by every other', async () => {
  const [marker, other] = [await dying(), await desk()]
  const mark = (store: SessionStore, digest: string): Promise<'first' | 'again'> => store.mark(digest, marker.now, after(marker.now, HOUR))
  const killed = marker.way.killAfterRequest(frame => frame.includes('ng1_mark'))
  await expect(mark(marker.store, 'lost')).rejects.toMatchObject({ code: 'unreachable' })
  await killed
  expect([await mark(marker.store, 'lost'), await mark(marker.store, 'made')]).toEqual(['again', 'first'])
  marker.die()
  expect([await mark(other.store, 'lost'), await mark(other.store, 'made'), await mark(other.store, 'new')]).toEqual(['again', 'again', 'first'])
})

test('[STO12, STORE-32] §11.32 the share of a member that died stays its own until it ends, then goes to the others', async () => {
  const [holder, other] = [await dying(), await desk()]
  const share = (store: SessionStore): Promise<number> => store.share({ bucket: 'rate', wanted: 8, limit: 10, for: duration(1_500) })
  const started = performance.now()
  expect(await share(holder.store)).toBe(8)
  holder.die()
  const rest = await share(other.store)
  if (performance.now() - started < 1_400) expect(rest).toBe(2)
  await eventually('the share of the dead has ended', 5_000, async () => (await share(other.store)) === 8 || null)
  expect(performance.now() - started).toBeGreaterThanOrEqual(1_500)
})
