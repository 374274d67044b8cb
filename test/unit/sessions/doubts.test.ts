// What comes into doubt is read again, and what is heard meanwhile stands. The model check of the shared state found the race.
import { expect, test } from 'vitest'
import { sessionRef } from '../../../src/core/record.ts'
import { keyOf, World } from './world.ts'

test('[STO16] an end that is announced while its session is read again is not undone by the older reading', async () => {
  const world = await World.start()
  const live = await world.opened('a')
  live.pins = 1
  const load = world.disk.load.bind(world.disk)
  let overtaken = false
  world.disk.load = async ref => {
    const read = await load(ref)
    if (ref.kind === 'session' && !overtaken) {
      overtaken = true
      await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
    }
    return read
  }
  await world.mirror.doubted([sessionRef(keyOf('a'))])
  expect(overtaken).toBe(true)
  expect(live.record.state.is).toBe('revoked')
  await world.close()
})
