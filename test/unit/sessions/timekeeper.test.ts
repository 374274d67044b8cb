// Ends by time: when a session counts as idle, what is kept of one that made way in memory, and what a session without news is looked at for.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import type { StepUpId } from '../../../src/core/step-up.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { NO_TALLY } from '../../../src/sessions/change.ts'
import { asks, evidence, POLICY, World } from './world.ts'

const IDLE = POLICY.sessions.idle
let world: World

beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }) })
afterEach(async () => {
  vi.useRealTimers()
  await world.close()
})

/** Time passes for clock and timers alike, with an occasion to act in between. */
async function pass(ms: number, each: () => unknown = () => undefined, step = 10_000): Promise<void> {
  for (let left = ms; left > 0; left -= step) {
    world.clock.pass(Math.min(step, left))
    await vi.advanceTimersByTimeAsync(Math.min(step, left))
    await each()
  }
}
const moves = (live: LiveSession) => (): void => { live.lastSeen = world.clock.now() }

describe('idle', () => {
  beforeEach(async () => { world = await World.start() })

  test('[SES5] a session lapses when nothing moved for so long, also while an exchange of it is open', async () => {
    const live = await world.opened()
    live.pins = 1
    await pass(IDLE - 1_000, undefined, 1_000)
    expect(live.record.state.is).toBe('live')
    await pass(2_000, undefined, 1_000)
    expect(live.record.state).toMatchObject({ is: 'lapsed', reason: 'idle' })
    expect(await world.stored()).toEqual(live.record)
  })

  test('[SES5, SIG4] one that is frozen is not over by being idle, and is not looked at all the time: its credential opens no life that is free', async () => {
    const live = await world.opened()
    await world.tell('a', { kind: 'session.frozen', until: null })
    const settle = vi.spyOn(world.ledger, 'settle')
    await pass(3 * IDLE)
    expect(live.record).toMatchObject({ state: { is: 'live' }, frozen: { until: null } })
    expect(settle.mock.calls.length).toBeLessThan(5)
    await world.tell('a', { kind: 'session.resumed' })
    await pass(1_000, undefined, 100)
    expect(live.record.state).toMatchObject({ is: 'lapsed', reason: 'idle' })
  })

  test('[SES5] one that was idle for so long before it was taken in lapses at once, though nobody uses it', async () => {
    const live = await world.opened()
    live.lastSeen = instant(world.clock.now() - IDLE - 1)
    await world.mirror.touched([live])
    await pass(1_000, undefined, 100)
    expect(live.record.state).toMatchObject({ is: 'lapsed', reason: 'idle' })
  })

  test('[SES5] it does not while bytes move, and does so long after the last one', async () => {
    const live = await world.opened()
    await pass(4 * IDLE, moves(live))
    expect(live.record.state.is).toBe('live')
    const last = live.lastSeen
    await pass(IDLE - 10_000)
    expect(live.record.state.is).toBe('live')
    await pass(20_000)
    expect(live.record.state).toMatchObject({ is: 'lapsed', reason: 'idle' })
    expect(live.record.state.is === 'live' ? 0 : live.record.state.at - last).toBeLessThanOrEqual(IDLE + 10_000)
  })

  test('[SES5] news is no activity: neither of others nor of the session itself', async () => {
    const live = await world.opened()
    let turn = 0
    await pass(IDLE + 10_000, async () => {
      await world.lock(`other-${++turn}`)
      if (live.record.state.is === 'live') await world.tell('a', { kind: turn % 2 === 0 ? 'session.widened' : 'session.narrowed', to: 'baseline', elevations: [] })
      await world.mirror.touched([live])
    })
    expect(turn).toBeGreaterThan(50)
    expect(live.record.state).toMatchObject({ is: 'lapsed', reason: 'idle' })
  })

  test('[SES5] a store that fails at that moment is asked again', async () => {
    const live = await world.opened()
    await world.tell('a', asks('e1', undefined, { ties: [], for: IDLE, max: IDLE }))
    let failed = 0
    world.valve.onCommit = () => {
      if (++failed <= 3) throw new Error('the store is down')
    }
    await pass(IDLE + 10_000, undefined, 1_000)
    expect([failed > 3, live.record.state.is, (await world.stored()).state.is]).toEqual([true, 'lapsed', 'lapsed'])
  })
})

describe('a session that made way in memory', () => {
  beforeEach(async () => { world = await World.start(POLICY, 1) })

  /** Others come until it is not here any more. */
  async function crowdedOut(live: LiveSession): Promise<void> {
    for (let i = 0; world.mirror.byId(live.record.id) === live; i++) await world.opened(`other-${i}`)
  }

  test('[SES5, SES8] and came back is not lapsed by what was kept of it, while bytes move', async () => {
    const before = await world.opened()
    await pass(IDLE / 2, moves(before))
    await crowdedOut(before)
    const live = await world.live()
    live.pins = 1
    world.timekeeper.watch(live)
    expect(live).not.toBe(before)
    await pass(2 * IDLE, moves(live))
    expect([live.record.state.is, (await world.stored()).state.is]).toEqual(['live', 'live'])
    await pass(IDLE + 10_000)
    expect((await world.stored()).state).toMatchObject({ is: 'lapsed', reason: 'idle' })
  })

  test('[SES5] takes the time it was last seen along', async () => {
    const before = await world.opened()
    await pass(IDLE / 2)
    moves(before)()
    const seen = before.lastSeen
    await crowdedOut(before)
    expect((await world.live()).lastSeen).toBe(seen)
  })

  test('[SES8] leaves nothing behind, however many come and go', async () => {
    for (let i = 0; i < 3_000; i++) await world.opened(`s${i}`)
    expect([world.mirror.size <= 2, world.mirror.evicted >= 2_998]).toEqual([true, true])
    expect(world.timekeeper.size).toBeLessThan(1_100)
  })
})

describe('a look', () => {
  beforeEach(async () => { world = await World.start() })

  test('[ENF4] comes again where another end is due by the time one is written', async () => {
    const live = await world.opened()
    const ends = (id: string, after: number): ReturnType<typeof asks> => asks(id, undefined, { ties: [], for: duration(after), max: duration(after) })
    await world.tell('a', ends('e1', 60_000))
    await world.tell('a', ends('e2', 60_002))
    const states = (): readonly string[] => live.record.elevations.map(({ state }) => state.is)
    expect(states()).toEqual(['active', 'active'])
    let written = 0
    world.valve.onCommit = () => { if (written++ === 0) world.clock.pass(10) } // and the store takes its time
    await pass(60_001, moves(live), 60_001)
    await pass(100, moves(live), 10)
    expect([written > 0, states()]).toEqual([true, ['ended', 'ended']])
  })

  test('[ENF4, STU3] also where that other one ends the session, which the judge refuses by then', async () => {
    const live = await world.opened()
    const asked = (id: string, onTimeout: 'refuse' | 'terminate', after: number): SessionNews => ({ kind: 'stepUp.asked', stepUp: {
      id: `stp_${id}` as StepUpId, covers: { rule: id, request: null }, by: ['approval'], all: false, acr: [], role: 'approver', askedAt: world.clock.now(), expiresAt: instant(world.clock.now() + after), onTimeout, onDeny: 'refuse', uses: null, for: null,
      because: id, barred: [], notify: [], given: [], used: [], state: { is: 'pending' },
    } }) // a word of the test
    await world.tell('a', asked('mild', 'refuse', 60_000))
    await world.tell('a', asked('harsh', 'terminate', 60_002))
    let written = 0
    world.valve.onCommit = () => { if (written++ === 0) world.clock.pass(10) }
    await pass(60_001, moves(live), 60_001)
    await pass(100, moves(live), 10)
    expect([written > 0, live.record.state.is]).toEqual([true, 'revoked'])
  })

  test('[ENF4, SES6] comes at the end of a credential that was seen and is not on record', async () => {
    const live = await world.opened('a', { issuedAt: world.clock.now(), expiresAt: instant(world.clock.now() + 300_000) })
    const own = instant(world.clock.now() + 100_000)
    world.mirror.learn(live, {}, evidence('cred_newer', world.clock.now() + 1, own))
    world.timekeeper.watch(live)
    const looks: number[] = []
    world.mirror.onChange = async () => {
      looks.push(world.clock.now())
      return NO_TALLY
    }
    await pass(200_000, undefined, 1_000)
    expect(looks).toEqual([own])
  })

  test('[ENF4] comes at the end of an elevation, and ends it on record', async () => {
    const live = await world.opened()
    await world.tell('a', asks('e1', undefined, { ties: [] }))
    live.pins = 1
    await pass(590_000, moves(live))
    expect(live.record.elevations[0]?.state.is).toBe('active')
    await pass(20_000, moves(live), 1_000)
    expect((await world.stored()).elevations[0]?.state).toMatchObject({ is: 'ended', reason: 'time_up', at: live.record.openedAt + 600_000 })
  })
})
