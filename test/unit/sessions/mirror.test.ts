// What one gateway knows: every lock there is, however many, and the claims of the newest credential it saw of each session.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Lock, LockId } from '../../../src/core/anchor.ts'
import { locksOnSession } from '../../../src/core/locks.ts'
import type { Policy } from '../../../src/core/policy.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { instant } from '../../../src/core/time.ts'
import { type Change, NO_TALLY } from '../../../src/sessions/change.ts'
import type { Mirror } from '../../../src/sessions/mirror.ts'
import { NOW, SESSION } from '../core/world.ts'
import { evidence, POLICY, World } from './world.ts'

const BOSS = { role: 'boss' }
const CLERK = { role: 'clerk' }
const ROLES: Policy = { ...POLICY, sessions: { ...POLICY.sessions, baseline: [
  { when: null, scopes: ['base:read'] },
  { when: { source: 'test', test: (_, claims) => (claims['role'] === 'boss' ? 'true' : 'false') }, scopes: ['base:admin'] },
] } }

let world: World
beforeEach(async () => { world = await World.start(ROLES) })
afterEach(() => world.close())

describe('locks', () => {
  const name = (i: number): string => `u${String(i).padStart(6, '0')}`
  const meets = (mirror: Mirror, subject: string): string | null => locksOnSession(mirror.locks, { ...SESSION, principal: { ...SESSION.principal, subject } }, NOW)?.lock.effect ?? null

  test('[ENF8] 12,000 of them are all in force after a restart', async () => {
    const MANY = 12_000
    for (let i = 0; i < MANY; i += 500) await Promise.all(Array.from({ length: 500 }, (_, k) => world.lock(name(i + k), (i + k) % 2 === 0 ? 'deny' : 'freeze')))
    const again = await world.restarted()
    expect([world.mirror.locks.size, again.locks.size]).toEqual([MANY, MANY])
    const missing = Array.from({ length: MANY }, (_, i) => i).filter(i => meets(again, name(i)) !== (i % 2 === 0 ? 'deny' : 'freeze'))
    expect(missing).toEqual([])
    expect(meets(again, name(MANY))).toBeNull()
  })

  test('[ENF8] one more costs the same, however many stand already', async () => {
    const set = (i: number): Lock => ({ record: 'lock', id: `lck_${i}` as LockId, selector: { kind: 'subject', value: name(i) }, version: 1, state: 'set', effect: 'deny', reason: 'locked', note: '', by: 'operator', since: NOW, until: null }) // a word of the test
    const setAll = async (from: number, to: number): Promise<number> => {
      const locks = Array.from({ length: to - from }, (_, i) => set(from + i))
      const started = performance.now()
      for (const lock of locks) await world.mirror.assume(lock, [])
      return performance.now() - started
    }
    await setAll(0, 20_000)
    expect(await setAll(20_000, 22_000)).toBeLessThan(500) // a copy of the index for each takes seconds
    expect(meets(world.mirror, name(21_999))).toBe('deny')
  })
})

describe('claims', () => {
  let live: LiveSession
  let changes: Change[]
  beforeEach(async () => {
    live = await world.opened('a', { id: 'cred_boss', issuedAt: NOW })
    changes = []
    world.mirror.onChange = async change => {
      changes.push(change)
      return NO_TALLY
    }
  })

  const baseline = (): readonly string[] => world.mirror.effective(live, world.clock.now()).baseline
  const boss = evidence('cred_boss', NOW, NOW + 60_000)
  const clerk = evidence('cred_clerk', NOW + 1_000, NOW + 60_000)

  test('[SES7] the newest credential\'s make the baseline; an older one of the session never brings its own back', () => {
    expect(baseline()).toEqual([])
    world.mirror.learn(live, BOSS, boss)
    expect(baseline()).toEqual(['base:admin', 'base:read'])
    world.mirror.learn(live, CLERK, clerk)
    for (let i = 0; i < 3; i++) {
      world.mirror.learn(live, BOSS, boss)
      expect([baseline(), live.claims]).toEqual([['base:read'], CLERK])
      world.mirror.learn(live, CLERK, clerk)
    }
  })

  test('[OUT5, ENF3] where somebody changed them from outside, a newer credential has what is open judged again, though it shows the same', async () => {
    world.mirror.learn(live, BOSS, boss)
    await world.tell('a', { kind: 'claims.changed', changes: [{ claim: 'role', value: null, at: instant(NOW + 10_000) }] })
    const before = changes.length
    world.mirror.learn(live, { ...BOSS }, evidence('cred_later', NOW + 60_000, NOW + 120_000))
    expect([changes.length - before, live.knownClaims]).toEqual([1, BOSS])
  })

  test('[SES7, ENF3] another baseline is a change: what is open is judged again, once', () => {
    world.mirror.learn(live, BOSS, boss)
    const stamp = live.stamp
    world.mirror.learn(live, CLERK, clerk)
    expect([changes.map(({ sessions }) => sessions), live.stamp]).toEqual([[[live]], stamp + 1])
    world.mirror.learn(live, CLERK, clerk)
    world.mirror.learn(live, BOSS, boss)
    world.mirror.learn(live, { role: 'clerk', other: 1 }, evidence('cred_3', NOW + 2_000, NOW + 60_000))
    expect([changes.length, live.claims]).toEqual([1, { role: 'clerk', other: 1 }])
  })

  test.each<readonly [string, ReturnType<typeof evidence>, boolean]>([
    ['issued later, though it ends sooner', evidence('c', NOW + 1, NOW + 30_000), true],
    ['of the same instant that ends later', evidence('c', NOW, NOW + 60_001), true],
    ['of the same instant without an end', evidence('c', NOW, null), true],
    ['of the same instant that ends sooner', evidence('c', NOW, NOW + 59_999), false],
    ['equal in both', evidence('c', NOW, NOW + 60_000), false],
    ['issued sooner, though it ends later', evidence('c', NOW - 1, null), false],
    ['without an issue time', evidence('c', null, null), false],
  ])('[SES7] which is newer: one %s', (_, from, newer) => {
    world.mirror.learn(live, BOSS, boss)
    world.mirror.learn(live, CLERK, from)
    expect(live.claims).toEqual(newer ? CLERK : BOSS)
  })

  test('[SES7, SES3] a next life starts without the claims of the one before', async () => {
    world.mirror.learn(live, BOSS, boss)
    await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
    world.clock.pass(2_000)
    const next = await world.opened('a', { id: 'cred_2', issuedAt: world.clock.now() })
    expect([next, live.claims, baseline()]).toEqual([live, null, []])
  })
})
