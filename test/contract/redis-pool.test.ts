// What members of a shared store say of something that all of them add to: beside each other, in the shard of its principal, until its time is over; and
// what becomes of it with members that die, data that is lost and memory that is full. SPEC: STO20
import { afterEach, beforeEach, expect, test } from 'vitest'
import { after, duration } from '../../src/core/time.ts'
import { PART_BYTES, PARTS_AT_ONCE } from '../../src/sessions/parts.ts'
import type { Part, SessionStore } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { Desk, type DeskPlan } from './redis-desk.ts'
import { anchorCommit } from './session-store-contract.ts'

const HOUR = 3_600_000
const KEY = 'ng:{0}:a:p'

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

const part = ({ member }: Desk, text: string, lasts = HOUR, name = 'p'): Part => ({ name, text, forgetAt: after(member.clock.now(), duration(lasts)) })
const says = async (one: Desk, text: string, lasts = HOUR): Promise<readonly string[]> => (await one.store.pool([part(one, text, lasts)]))[0]?.toSorted() ?? []
const asks = (one: Desk): Promise<readonly string[]> => says(one, '')

test('[STO20] what a member that died has said stays until its time is over, and what nobody says again takes its key with it', async () => {
  const way = await ByteProxy.start(server.port)
  ends.push(() => way.close())
  const [dying, other] = [await desk({ lease: 400 }, way.port), await desk()]
  const started = performance.now()
  await says(dying, 'of the dead', 1_200)
  way.refuse(true)
  way.dropConnections()
  const told = await says(other, 'mine', 600)
  if (performance.now() - started < 500) expect(told).toEqual(['mine', 'of the dead'])
  await eventually('the part of the dead has run out', 5_000, async () => (await asks(other)).length === 0 || null)
  expect(performance.now() - started).toBeGreaterThanOrEqual(1_199)
  await eventually('the key has gone', 5_000, async () => (await server.command('EXISTS', KEY)) === 0 || null)
})

test('[STO20] a part with less time than the others does not take them with it', async () => {
  const [one, other] = [await desk(), await desk()]
  await says(one, 'long')
  expect(await says(other, 'short', 1_000)).toEqual(['long', 'short'])
  await eventually('the short one has run out', 5_000, async () => (await asks(one)).length === 1 || null)
  expect([await asks(other), await server.command('HLEN', KEY), Number(await server.command('PTTL', KEY)) > HOUR / 2]).toEqual([['long'], 1, true])
})

test('[STO20] of a name 64 are kept: its own, and those of others that run out last; what ran out or is no part goes first', async () => {
  const one = await desk()
  const now = one.member.clock.now()
  const others = Array.from({ length: 64 }, (_, i) => [`member ${i}`, `${now + HOUR + i}|text ${i}`])
  await server.command('HSET', KEY, ...others.flat(), 'gone', `${now - 1}|gone`, 'nobody', 'no part')
  expect(await says(one, 'mine', 60_000)).toEqual(['mine', ...Array.from({ length: 63 }, (_, i) => `text ${i + 1}`)].toSorted())
  expect(await server.command('HLEN', KEY)).toBe(64)
})

test('[STO20] a store that lost everything has again what each says again', async () => {
  const [one, other] = [await desk(), await desk()]
  await says(one, 'of one')
  expect(await says(other, 'of other')).toEqual(['of one', 'of other'])
  await server.command('FLUSHALL')
  const again = (each: Desk, text: string): Promise<readonly string[]> => eventually('the store takes it', 10_000, () => says(each, text).catch(() => null))
  expect(await again(other, 'of other')).toEqual(['of other'])
  expect(await again(one, 'of one')).toEqual(['of one', 'of other'])
})

test('[STO20] parts lie in the shard of the anchor of their principal', async () => {
  const one = await desk({ home: { shards: 4 } })
  const places = async (what: string): Promise<readonly string[]> => ((await server.command('KEYS', `ng:{*}:${what}*`)) as readonly string[]).map(key => key.replace(`:${what}`, ' ')).toSorted() // as KEYS answers
  const names = Array.from({ length: 12 }, (_, i) => `principal-${i}`)
  for (const name of names) await one.store.commit(anchorCommit(`sig_${name}`, { kind: 'principal', name }, 'anchor.opened', one.member.clock.now()))
  await one.store.pool(names.map(name => part(one, 'mine', HOUR, name)))
  const parts = await places('a:')
  expect([parts.length, new Set(parts.map(place => place.split(' ')[0])).size > 1]).toEqual([12, true])
  expect(parts).toEqual(await places('r:principal/'))
})

test('[STO20] a store whose memory is full refuses what is said, and nobody loses a lease by it', async () => {
  const one = await desk()
  await says(one, 'before')
  await server.configSet('maxmemory', 1)
  await expect(says(one, 'too much')).rejects.toMatchObject({ name: 'StoreFull', code: 'full' })
  await server.configSet('maxmemory', 0)
  expect([await asks(one), await one.count('lapses'), await one.count('reconnects')]).toEqual([['before'], 0, 0])
})

test('[STO20] as much as may be said, by two members without a pause, delays no heartbeat so that a lease lapses', async () => {
  const both = [await desk(), await desk()] as const
  const much = (one: Desk): readonly Part[] => Array.from({ length: PARTS_AT_ONCE }, (_, i) => part(one, 'x'.repeat(PART_BYTES), HOUR, `p${i}`))
  const flood = async (store: SessionStore, parts: readonly Part[]): Promise<void> => { for (let i = 0; i < 20; i++) await store.pool(parts) }
  await Promise.all(both.map(one => flood(one.store, much(one))))
  for (const one of both) expect([one.fresh, await one.count('lapses'), await one.count('reconnects')]).toEqual([true, 0, 0])
  const [answered] = [await server.command('FCALL', 'ng1_pool', 1, 'ng:{0}:m', 'nobody', ...much(both[0]).flatMap(({ name }) => [name, 0, '']))] as readonly (readonly unknown[])[] // as the library returns it
  expect(answered).toHaveLength(32) // a MiB of it at a time
})
