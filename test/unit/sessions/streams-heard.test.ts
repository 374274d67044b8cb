// A stream that is heard of, falls silent or speaks again: whoever stands on it is judged again, and nobody where nothing changed.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { StreamStatus } from '../../../src/core/anchor.ts'
import type { StreamRules } from '../../../src/core/policy.ts'
import { duration, instant } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { NOW } from '../core/world.ts'
import { POLICY, World } from './world.ts'

const STREAM: StreamRules = { name: 'idp', issuers: ['https://idp.test'], tenants: [], freshness: duration(60_000), onSilence: 'freeze' }
let world: World
beforeEach(async () => { world = await World.start({ ...POLICY, streams: [STREAM] }) })
afterEach(() => world.close())

const tell = (status: StreamStatus = 'enabled', name = 'idp') => {
  const now = world.clock.now()
  return world.ledger.applyToAnchor({ kind: 'stream', name }, { kind: 'anchor.told', matter: { is: 'stream', heardAt: now, status, statusAt: now }, id: newSignalId(), by: 'ssf', note: '' })
}

test('[OUT7] its first word lets go, a pause holds at once, and regular words move nothing that is open', async () => {
  const live = await world.opened('a', { issuedAt: instant(NOW) })
  const state = (): string => world.mirror.effective(live, world.clock.now()).state
  expect(state()).toBe('frozen')
  let stamp = live.stamp
  const moved = (): boolean => { const before = stamp; stamp = live.stamp; return stamp !== before }
  await tell()
  expect([state(), moved()]).toEqual(['live', true])
  world.clock.pass(30_000)
  await tell()
  expect([state(), moved()]).toEqual(['live', false])
  world.clock.pass(59_000)
  expect(state()).toBe('live')
  await tell('paused')
  expect([state(), moved()]).toEqual(['frozen', true])
  world.clock.pass(1_000)
  await tell()
  expect([state(), moved()]).toEqual(['live', true])
  world.clock.pass(60_000)
  expect(state()).toBe('frozen')
  await tell()
  expect([state(), moved()]).toEqual(['live', true])
})

test('[OUT7] another configuration may depend on it, whether or not anybody did before', async () => {
  await tell()
  const live = await world.opened('a', { issuedAt: instant(NOW) })
  await world.mirror.replacePolicy({ ...POLICY, streams: [{ ...STREAM, name: 'edr' }] })
  await expect.poll(() => world.mirror.anchors.known({ kind: 'stream', name: 'edr' })).toBeNull()
  expect(world.mirror.effective(live, world.clock.now()).state).toBe('frozen')
  await world.mirror.replacePolicy(POLICY)
  expect(world.mirror.effective(live, world.clock.now()).state).toBe('live')
})

test('[OUT7] a stream that was heard of before anybody here depended on it lets go as soon as the store says so', async () => {
  await tell()
  await tell('enabled', 'edr')
  const live = await world.opened('a', { issuedAt: instant(NOW) })
  const asked = Promise.withResolvers<void>()
  world.valve.onLoad = name => (name === 'edr' ? asked.promise : undefined)
  await world.mirror.replacePolicy({ ...POLICY, streams: [{ ...STREAM, name: 'edr' }] })
  expect(world.mirror.effective(live, world.clock.now()).state).toBe('frozen')
  const { stamp } = live
  asked.resolve()
  await expect.poll(() => live.stamp).toBeGreaterThan(stamp)
  expect(world.mirror.effective(live, world.clock.now()).state).toBe('live')
})
