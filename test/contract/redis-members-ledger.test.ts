// What a ledger makes of a store that others write as well: the end of a busy record in one round trip, and time that is the store's own.
// Real servers; the ledger's calls are counted on their way. SPEC: STO5, STO13, RULES 22, RULES 25
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sessionRef } from '../../src/core/record.ts'
import { duration, instant } from '../../src/core/time.ts'
import { type Clock, SystemClock } from '../../src/runtime/clock.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { Commit, CommitAnswer, SessionStore } from '../../src/sessions/store.ts'
import { RedisServer } from '../support/redis-server.ts'
import { Gateway, type GatewayPlan, timeOf } from './redis-gateways.ts'
import { asking, commitOf, sessionOf, signal } from './session-store-contract.ts'

let server: RedisServer
let open: Gateway[]
beforeAll(async () => { server = await RedisServer.start() })
afterAll(() => server.dispose())
beforeEach(async () => {
  open = []
  await server.command('FLUSHALL')
})
afterEach(async () => { for (const each of open) await each.close() })

async function gateway(plan: GatewayPlan = {}): Promise<Gateway> {
  const opened = await Gateway.open(server.port, plan)
  open.push(opened)
  return opened
}

/** Counts the writes that a ledger makes, and what they were answered. */
function counting(store: SessionStore, calls: { readonly name: string; readonly answer: CommitAnswer }[]): SessionStore {
  const told = (name: 'commit' | 'commitRestrictive') => async (commit: Commit): Promise<CommitAnswer> => {
    const answer = await store[name](commit)
    calls.push({ name, answer })
    return answer
  }
  const own: ReadonlyMap<string | symbol, unknown> = new Map([['commit', told('commit')], ['commitRestrictive', told('commitRestrictive')]])
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = own.get(name) ?? Reflect.get(target, name, target)
      return typeof member === 'function' ? (...args: unknown[]): unknown => Reflect.apply(member, target, args) : member
    },
  })
}

test('[STO13] a terminate against 8 gateways committing in a loop lands in one round trip', async () => {
  const calls: { name: string; answer: CommitAnswer }[] = []
  const one = await gateway({ wrap: store => counting(store, calls) })
  const busy = await Promise.all(Array.from({ length: 8 }, () => gateway()))
  let ahead = 0
  let round = 0
  for (; round < 5 || (ahead === 0 && round < 20); round++) {
    const session = await one.opened(`s${round}`)
    const ref = sessionRef(session.key)
    const views = await Promise.all([one, ...busy].map(({ mirror }) => mirror.load(session.key)))
    let commits = 0
    const loops = busy.map(async ({ store, clock }, i) => {
      for (let n = 1; ; n++) {
        const now = sessionOf(await store.load(ref))
        if (now.state.is !== 'live') return
        const credential = { ...now.credential, expiresAt: instant((now.credential.expiresAt ?? 0) + 1) }
        if ((await store.commit(commitOf(now, signal(`sig_${round}_${i}_${n}`, { kind: 'credential.renewed', credential }), clock.now()))).is === 'OK') commits++
      }
    })
    await expect.poll(() => commits, { interval: 2, timeout: 10_000 }).toBeGreaterThan(20)
    calls.length = 0
    const { position } = await one.ledger.applyToSession(session.key, signal(`sig_end_${round}`, { kind: 'session.terminated', reason: 'revoked' }))
    expect(calls.map(({ name }) => name)).toEqual(['commitRestrictive'])
    if (calls[0]?.answer.is === 'CONFLICT') ahead++
    expect(await one.store.enforced(position ?? { epoch: '', sequence: 0 })).toMatchObject({ gateways: { total: 9, acknowledged: 9, expired: 0 } })
    for (const [i, { mirror, clock }] of [one, ...busy].entries()) expect(views[i] && mirror.effective(views[i], clock.now()).state).toBe('refused')
    await Promise.all(loops)
    await one.ledger.settled()
    expect(sessionOf(await one.store.load(ref)).state.is).toBe('revoked')
    await expect.poll(() => [one, ...busy].map(({ mirror }) => mirror.lock({ kind: 'session', value: session.id })?.state ?? 'none'), { timeout: 10_000 }).not.toContain('set')
  }
  console.log(`of ${round} terminates of a busy session ${ahead} went ahead as a lock`)
  expect(ahead).toBeGreaterThan(0)
})

describe('time', () => {
  const AHEAD = 700
  test('[STO5] a gateway whose clock is ahead ends nothing early: the store says EARLY by its own time, the ledger waits, and then it lands', async () => {
    const calls: { name: string; answer: CommitAnswer }[] = []
    const one = await gateway({ wrap: store => counting(store, calls) })
    const clock: Clock = { now: () => instant(one.clock.now() + AHEAD), elapsed: () => one.clock.elapsed() }
    const fast = new Ledger(one.store, one.mirror, clock)
    const { key } = await one.opened('a')
    const asked = asking('1', { kind: 'ticket', name: 'T' }, one.clock.now())
    if (asked.kind !== 'elevation.requested') throw new Error('no request')
    await one.ledger.applyToSession(key, { ...asked, elevation: { ...asked.elevation, for: duration(AHEAD / 2), ties: [] } })
    const live = await one.mirror.load(key)
    const elevation = live?.record.elevations[0]
    const until = elevation?.state.is === 'active' ? elevation.state.until : instant(0)
    calls.length = 0
    const landing = live === null ? Promise.reject(new Error('no session')) : fast.settle(live.record)
    await expect.poll(() => calls.length, { interval: 1 }).toBeGreaterThan(0)
    const [early] = calls.map(({ answer }) => answer)
    expect(early?.is === 'EARLY' && early.now < until + AHEAD).toBe(true)
    await landing
    const landedAt = await timeOf(server)
    const stored = sessionOf(await one.store.load(sessionRef(key))).elevations.at(0)
    expect(stored?.state).toMatchObject({ is: 'ended', reason: 'time_up' })
    expect(landedAt).toBeGreaterThanOrEqual(until)
    expect(calls.map(({ answer }) => answer.is)).toEqual([...calls.slice(1).map(() => 'EARLY'), 'OK'])
  })

  test('[STO5] however wrong its own clock, a member tells the store’s time: never behind it, and ahead by no more than a round trip', async () => {
    const wrong = new SystemClock()
    for (const hours of [1, -1]) {
      const { clock } = await gateway({ clock: { now: () => instant(wrong.now() + hours * 3_600_000), elapsed: () => wrong.elapsed() } })
      for (let i = 0; i < 20; i++) {
        const [before, told, after] = [await timeOf(server), clock.now(), await timeOf(server)]
        expect(told).toBeGreaterThanOrEqual(Math.floor(before) - 1)
        expect(told - after).toBeLessThan(250)
      }
    }
  })
})
