// A lock on one caller concerns that caller's sessions, what was delegated from them, and nobody else; every other lock concerns everything.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cutOffFor, type LockEffect, type Selector } from '../../../src/core/anchor.ts'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { newLockId, newSignalId } from '../../../src/runtime/id.ts'
import { type Change, NO_TALLY } from '../../../src/sessions/change.ts'
import { NOW } from '../core/world.ts'
import { World } from './world.ts'

let world: World
let changes: Change[]
beforeEach(async () => {
  world = await World.start()
  for (const name of ['ann', 'bob']) await world.opened(name)
  changes = []
  world.mirror.onChange = async change => {
    changes.push(change)
    return NO_TALLY
  }
})
afterEach(() => world.close())

const set = (selector: Selector, effect: LockEffect = 'deny', until: Instant | null = null) =>
  world.ledger.applyToLock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect, reason: 'locked', until, id: newSignalId(), by: 'operator', note: '' })
const whom = (): unknown => changes.map(({ sessions, anonymous }) => [sessions === 'all' ? 'all' : sessions.map(({ record }) => record.principal.subject), anonymous])

test.each<readonly [Selector, readonly string[] | 'all', boolean]>([
  [{ kind: 'subject', value: 'ann' }, ['ann'], false],
  [{ kind: 'subject', value: 'https://idp.test|bob' }, ['bob'], false],
  [{ kind: 'subject', value: 'https://other.test|bob' }, [], false],
  [{ kind: 'session', value: 'ses_ann_1' }, ['ann'], false],
  [{ kind: 'alias', value: 'sid:x' }, [], false],
  [cutOffFor({ before: NOW, subject: 'https://idp.test|ann' }), ['ann'], true],
  [cutOffFor({ before: NOW, subject: null }), 'all', true],
  [{ kind: 'tenant', value: 'acme' }, 'all', true],
  [{ kind: 'tool', value: 'runbooks/write' }, ['bob'], false],
  [{ kind: 'definition', value: 'runbooks/write' }, ['bob'], false],
  [{ kind: 'route', value: 'api' }, 'all', true],
  [{ kind: 'all', value: '' }, 'all', true],
])('[ENF8, STO6] %j has these judged again: %j', async (selector, sessions, anonymous) => {
  ;(await world.live('bob')).pins = 1 // it has something open
  await set(selector)
  expect(whom()).toEqual([[sessions, anonymous]])
})

test('[ENF8, STO6] it moves the stamps of those it concerns, in the turn in which it is heard', async () => {
  const [ann, bob] = [await world.live('ann'), await world.live('bob')]
  const stamps = (): readonly number[] => [ann.stamp, bob.stamp, world.mirror.anonymous.stamp]
  const [a = 0, b = 0, c = 0] = stamps()
  await set({ kind: 'subject', value: 'ann' })
  expect(stamps()).toEqual([a + 1, b, c])
  await set(cutOffFor({ before: NOW, subject: 'bob' }))
  expect(stamps()).toEqual([a + 1, b + 1, c + 1])
  expect([world.mirror.effective(ann, NOW).state, world.mirror.effective(bob, NOW).state]).toEqual(['refused', 'live']) // a cut-off is met by what a request shows
})

test('[ENF8, SES8] locks that lifted by themselves make way in memory, however many come and go, and those that stand stay', async () => {
  await set({ kind: 'subject', value: 'for-ever' })
  for (let i = 0; i < 400; i++) {
    world.clock.pass(10_000)
    await set(i % 2 === 0 ? { kind: 'subject', value: `s${i}` } : cutOffFor({ before: instant(NOW + i), subject: `s${i}` }), 'deny', instant(world.clock.now() + duration(20_000)))
  }
  expect(world.mirror.locks.size).toBeLessThan(40)
  expect([...world.mirror.locks.issuedBefore.keys()].length).toBeLessThan(40)
  expect(world.mirror.lock({ kind: 'subject', value: 'for-ever' })?.effect).toBe('deny')
})
