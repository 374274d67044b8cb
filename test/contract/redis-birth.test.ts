// A data set of which a part came back empty: what had been ended there must not come back with credentials from before.
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { acceptLoss, installStore, markBirth } from '../../src/sessions/birth.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { openMember } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { CONFIG, policyOf } from './admin-desk.ts'

let server: RedisServer
beforeAll(async () => { server = await RedisServer.start() })
afterAll(() => server.dispose())
beforeEach(async () => { await server.command('FLUSHALL') })

async function gateway() {
  const { store, clock } = await openMember(server.port, { home: { shards: 3 }, lease: 400 })
  onTestFinished(() => store.close())
  const mirror = new Mirror(store, policyOf(CONFIG), 10)
  await mirror.start()
  const ledger = new Ledger(store, mirror, clock)
  return { store, mirror, mark: () => markBirth(store, ledger, false), accept: () => acceptLoss(store, ledger, 'ops', 'a new server') }
}

/** As a master of a cluster that starts again with nothing. */
async function lose(shard: number): Promise<void> {
  await server.command('DEL', ...((await server.command('KEYS', `ng:{${shard}}:*`)) as string[])) // an array of names
}

const marksOf = (mirror: Mirror): readonly string[] => mirror.standingLocks().map(({ selector, reason }) => `${reason} ${selector.kind} ${selector.value}`)

test('[STO11, STO17] one shard of three that came back empty refuses what was issued before its birth, until the loss is accepted', async () => {
  const before = await gateway()
  expect([await installStore(before.store), await before.mark()]).toEqual(['installed', 'clean'])
  const { born } = before.store
  await before.store.close()
  await lose(1)
  const after = await gateway()
  expect(after.store.born).toBeGreaterThan(born)
  expect([await installStore(after.store), await after.mark(), await after.mark()]).toEqual(['exists', 'marked', 'marked'])
  expect(marksOf(after.mirror)).toEqual([`state_lost issuedBefore ${after.store.born}`])
  expect([await after.accept(), await after.accept(), await after.mark()]).toEqual(['accepted', 'nothing', 'clean'])
  expect(marksOf(after.mirror)).toEqual([])
})

test('[STO11, STO17] a second shard lost before the first loss was accepted is one loss to the operator', async () => {
  const first = await gateway()
  await installStore(first.store)
  await first.store.close()
  await lose(1)
  const second = await gateway()
  expect(await second.mark()).toBe('marked')
  await second.store.close()
  await lose(2)
  const third = await gateway()
  expect(await third.mark()).toBe('marked')
  expect(marksOf(third.mirror)).toHaveLength(2)
  expect([await third.accept(), marksOf(third.mirror), await third.mark()]).toEqual(['accepted', [], 'clean'])
})
