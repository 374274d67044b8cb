// A stream that is heard of, and one that is not: asked to verify, looked at, told to everybody, and what stands on it.
import { afterEach, expect, test } from 'vitest'
import { type Duration, duration, instant } from '../../../../../src/core/time.ts'
import type { SsfTransmitter } from '../../../../support/ssf-transmitter.ts'
import { NOW } from '../../../core/world.ts'
import { type Plan, Room } from './room.ts'

const FRESHNESS = duration(15_000)
const push = (freshness: Duration | null = FRESHNESS): Plan => ({ settings: { delivery: 'push', endpoint: 'https://gateway.example/ssf/events/idp', freshness } })
let room: Room
afterEach(() => room.close())

const asked = (path: string, method: string): number => room.transmitter.askedFor(path, method).length
const lastState = (): string => String(room.transmitter.askedFor('/verify').at(-1)?.body['state'])
const matter = () => room.world.mirror.anchors.known({ kind: 'stream', name: 'idp' })?.matter
const verifies = (times: number): Promise<void> => expect.poll(() => asked('/verify', 'POST')).toBe(times)
const started = async (plan: Plan, prepare?: (transmitter: SsfTransmitter) => void): Promise<() => string> => {
  room = await Room.start(plan, prepare)
  const live = await room.world.opened('a', { issuedAt: instant(NOW) })
  return () => room.world.mirror.effective(live, room.world.clock.now()).state
}

/** As the receiver does with an event that was issued just now. */
async function verified(source: string, said: string | null): Promise<'heard' | 'wrong'> {
  const is = await room.streams.verified(source, said)
  if (is === 'heard') room.streams.heard(source)
  return is
}

test('[SSF6, SSF9] it is asked to verify within a third of its freshness, and heard of when whoever gets the event knows the state', async () => {
  const state = await started(push())
  await verifies(1)
  expect(state()).toBe('frozen')
  expect(await verified('idp', lastState())).toBe('heard')
  await expect.poll(state).toBe('live')
  await room.pass(2_500)
  expect(asked('/verify', 'POST')).toBe(1)
  await room.pass(2_500)
  await verifies(2)
})

test('[SSF6] a state that nobody asked with proves nothing; an event without any does', async () => {
  const state = await started(push())
  await verifies(1)
  expect(await verified('idp', 'a guess')).toBe('wrong')
  expect(await verified('nobody', lastState())).toBe('wrong')
  expect([state(), await room.counted('ssfFaults', 'verification')]).toEqual(['frozen', 1])
  expect(await verified('idp', null)).toBe('heard')
  await expect.poll(state).toBe('live')
})

test('[SSF6] states asked with before still count: events that were queued come first', async () => {
  await started(push())
  await verifies(1)
  const first = lastState()
  for (let i = 2; i < 10; i++) {
    await room.pass(5_000)
    await verifies(i)
  }
  expect(lastState()).not.toBe(first)
  expect(await verified('idp', first)).toBe('heard')
})

test('[SSF6] a transmitter that says how often it may be asked is asked no more often', async () => {
  await started(push(), ({ conduct }) => { conduct.minVerificationInterval = 10 })
  await verifies(1)
  await room.pass(7_500)
  await expect.poll(() => asked('/status', 'GET')).toBe(2)
  expect(asked('/verify', 'POST')).toBe(1)
  await room.pass(2_500)
  await verifies(2)
})

test('[SSF9] one that says nothing for too long is silent, and heard of again at its first word', async () => {
  const state = await started({ settings: { freshness: FRESHNESS } })
  await expect.poll(state).toBe('live')
  room.transmitter.conduct.down = 503
  room.transmitter.releasePolls()
  room.world.clock.pass(14_999)
  expect(state()).toBe('live')
  room.world.clock.pass(1)
  expect(state()).toBe('frozen')
  expect(await room.metrics.text()).toMatch(/narrowgate_ssf_streams\{source="idp",status="silent"\} 1/)
  room.transmitter.conduct.down = 0
  await expect.poll(state, { timeout: 10_000 }).toBe('live')
})

test('[SSF9] it is told to the store no more often than has to be', async () => {
  await started(push())
  room.streams.heard('idp')
  await expect.poll(() => matter()?.is).toBe('stream')
  const version = (): number | undefined => room.world.mirror.anchors.known({ kind: 'stream', name: 'idp' })?.version
  const before = version()
  for (let i = 0; i < 4; i++) {
    room.world.clock.pass(1_000)
    room.streams.heard('idp')
  }
  await new Promise(setImmediate)
  expect(version()).toBe(before)
  room.world.clock.pass(1_000)
  room.streams.heard('idp')
  await expect.poll(version).toBe(Number(before) + 1)
})

test.each(['paused', 'disabled'] as const)('[SSF6, SSF9] one that says it is %s is blind now, and sees again when it says so', async status => {
  const state = await started(push())
  room.streams.heard('idp')
  await expect.poll(state).toBe('live')
  await room.streams.updated('idp', status, instant(Math.floor(room.world.clock.now() / 1000) * 1000))
  expect(state()).toBe('frozen')
  room.streams.heard('idp') // what is still on its way proves nothing
  expect(state()).toBe('frozen')
  room.world.clock.pass(1_000)
  await room.streams.updated('idp', 'enabled', room.world.clock.now())
  expect(state()).toBe('live')
})

test('[SSF6] a pause that nobody told of is found by looking', async () => {
  const state = await started(push())
  room.streams.heard('idp')
  await expect.poll(state).toBe('live')
  await room.transmitter.turn('paused', { silently: true })
  await room.pass(5_000)
  await expect.poll(state).toBe('frozen')
  expect(await room.metrics.text()).toMatch(/narrowgate_ssf_streams\{source="idp",status="paused"\} 1/)
  await room.transmitter.turn('enabled', { silently: true })
  await room.pass(5_000)
  room.streams.heard('idp')
  await expect.poll(state).toBe('live')
})

test('[SSF6] a pause is told again where the store did not take it', async () => {
  const state = await started(push())
  room.streams.heard('idp')
  await expect.poll(state).toBe('live')
  room.world.valve.onCommit = () => { throw new Error('the store is down') }
  await expect(room.streams.updated('idp', 'paused', room.world.clock.now())).rejects.toThrow('the store is down')
  room.world.valve.onCommit = () => {}
  await room.streams.updated('idp', 'paused', room.world.clock.now())
  expect(state()).toBe('frozen')
})

test('[SSF6] a stream on which nothing depends is not asked to verify, and looked at often enough to stay', async () => {
  room = await Room.start(push(null), ({ conduct }) => { conduct.inactivityTimeout = 15 })
  await expect.poll(() => asked('/status', 'GET')).toBe(1)
  await room.pass(5_000)
  await expect.poll(() => asked('/status', 'GET')).toBe(2)
  expect([asked('/verify', 'POST'), matter()]).toEqual([0, undefined])
})

test('[SSF6] of what is said within one second, which is all that a transmitter names, the last word counts', async () => {
  const state = await started(push())
  room.streams.heard('idp')
  await expect.poll(state).toBe('live')
  const second = instant(Math.ceil(room.world.clock.now() / 1000) * 1000)
  room.world.clock.pass(second - room.world.clock.now())
  for (const [status, then] of [['paused', 'frozen'], ['enabled', 'live'], ['paused', 'frozen']] as const) {
    room.world.clock.pass(200)
    await room.streams.updated('idp', status, second)
    expect(state()).toBe(then)
  }
})
