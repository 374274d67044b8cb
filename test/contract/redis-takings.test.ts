// What a server counts that took the place of another one: nothing before everybody who took from the one before has said it again, or can no longer act on
// it; and nothing for somebody who has not noticed yet. SPEC: STO12, STO16, LIM1
import { afterEach, beforeEach, expect, test } from 'vitest'
import { after, duration } from '../../src/core/time.ts'
import { isUnreachable } from '../../src/sessions/store-fault.ts'
import type { Taking } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { RedisServer } from '../support/redis-server.ts'
import { Desk } from './redis-desk.ts'

let server: RedisServer
const ends: (() => Promise<unknown>)[] = []
beforeEach(async () => { server = await RedisServer.start() })
afterEach(async () => {
  await Promise.all(ends.splice(0).map(end => end()))
  await server.dispose()
})

async function desk(port = server.port): Promise<Desk> {
  const opened = await Desk.open(port, { lease: 1_000 })
  ends.push(() => opened.close())
  return opened
}

const taking = ({ member }: Desk, request: string, amount: number): Taking => ({ counter: 'elv', request, amount, limit: 7, forgetAt: after(member.clock.now(), duration(3_600_000)) })
/** How much was given; null where the store does not count now. */
const taken = ({ store }: Desk, wanted: Taking): Promise<number | null> => store.take(wanted).catch((error: unknown) => {
  if (!isUnreachable(error)) throw error
  return null
})

test('[LIM1, STO12, STO16] a server that lost what was counted gives nothing before the last of them is there, or its time is over', async () => {
  const way = await ByteProxy.start(server.port)
  ends.push(() => way.close())
  const [one, silent] = [await desk(), await desk(way.port)]
  await server.command('SAVE')
  const before = [taking(one, 'a', 2), taking(silent, 'b', 4)] as const
  expect([await taken(one, before[0]), await taken(silent, before[1])]).toEqual([2, 4])
  way.refuse(true)
  way.dropConnections()
  await server.kill()
  await server.restart()
  const restarted = performance.now()
  await expect.poll(() => one.store.takeAgain(before[0]).then(() => 'said', () => 'not yet'), { interval: 2, timeout: 10_000 }).toBe('said')
  expect(await taken(one, taking(one, 'c', 1))).toBeNull() // it is known here by now, but the other one is not there
  await expect.poll(() => taken(one, taking(one, 'd', 7)), { interval: 5, timeout: 10_000 }).toBe(5) // who never came back took its own with it
  expect(performance.now() - restarted).toBeGreaterThan(800)
})
