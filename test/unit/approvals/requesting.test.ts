// What an elevation holds alone: as long as it may still come to run, and no longer; over a real store.
import { afterEach, expect, test } from 'vitest'
import { requestElevation } from '../../../src/approvals/requesting.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Elevation } from '../../../src/core/elevation.ts'
import { sessionRef } from '../../../src/core/record.ts'
import type { SessionId } from '../../../src/core/session.ts'
import { after, duration } from '../../../src/core/time.ts'
import { Intake } from '../../../src/signals/intake.ts'
import { NOW, SESSION } from '../core/world.ts'
import { asks, keyOf, World } from '../sessions/world.ts'

const DAY = 86_400_000
const worlds: World[] = []
afterEach(async () => { for (const world of worlds.splice(0)) await world.close() })

async function stage() {
  const world = await World.start()
  worlds.push(world)
  const { ledger, store, clock, mirror } = world
  const intake = new Intake(ledger, store, clock, () => {})
  /** @param days until it starts: its window opens then */
  const ask = async (name: string, id: string, changes: Partial<Elevation>, days = 0): Promise<string> => {
    const news = asks(id, undefined, { ties: [], ...changes })
    if (news.kind !== 'elevation.requested') throw new Error(news.kind)
    const ports = { intake, now: clock.now(), sessionAt: async (key: ReturnType<typeof keyOf>) => (await mirror.load(key))?.record ?? null }
    const { rejected } = await requestElevation(ports, keyOf(name), { elevation: news.elevation, startsAt: days === 0 ? null : after(clock.now(), duration(days * DAY)), review: null }, { by: name, note: '', id: null })
    return rejected?.rejected ?? 'taken'
  }
  for (const name of ['a', 'b']) {
    const { principal, credential } = SESSION
    const endsAt = after(NOW, duration(100 * DAY))
    const key = keyOf(name)
    await world.tell(name, { kind: 'session.opened', key, session: `ses_${name}` as SessionId, epoch: store.epochOf(sessionRef(key)), principal, endsAt, credential: { ...credential, expiresAt: endsAt }, bindings: NOT_BOUND, aliases: [], brokered: null }) // a word of the test
  }
  return { world, ask }
}

test('[ELV12] what waits for a window that is two months away holds its resource until then', async () => {
  const { world, ask } = await stage()
  expect(await ask('a', 'elv_1', { resource: 'host/db-1' }, 60)).toBe('taken')
  world.clock.pass(30 * DAY)
  expect([await ask('b', 'elv_2', { resource: 'host/db-1' }), await ask('b', 'elv_3', { resource: 'host/db-2' })]).toEqual(['resource_held', 'taken'])
})

test('[ELV12, ELV17] who asks for another resource under the name of an elevation that runs holds nothing by it', async () => {
  const { ask } = await stage()
  expect(await ask('a', 'elv_1', { resource: 'host/db-1', asked: 'one' })).toBe('taken')
  expect(await ask('a', 'elv_1', { resource: 'host/db-2', asked: 'other' })).toBe('repeat_differs')
  expect([await ask('b', 'elv_2', { resource: 'host/db-1' }), await ask('b', 'elv_3', { resource: 'host/db-2' })]).toEqual(['resource_held', 'taken'])
})
