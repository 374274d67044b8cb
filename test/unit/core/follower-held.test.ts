// What follows an end is held by whatever held what it follows: an operator's narrowing or lock is not gone round by waiting for the end.
import { expect, test } from 'vitest'
import type { Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import { type Effective, effective } from '../../../src/core/effective.ts'
import type { ElevationId, Then } from '../../../src/core/elevation.ts'
import { lockIndex } from '../../../src/core/locks.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews, SignalId } from '../../../src/core/signal.ts'
import { duration } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const then: Then = { id: 'elv_then' as ElevationId, profile: 'tidy', adds: ['db:tidy'], uses: 3, for: duration(60_000), recording: false } // a word of the test
const held: Session = { ...SESSION, elevations: [elevation('elv_1', { afterEnd: then })] }

const told = (session: Session, news: SessionNews, seconds: number): Session => transition(session, { ...news, id: `sig_${seconds}` as SignalId, by: 'test', note: '' }, at(seconds)).record ?? session // a word of the test
const standing = (session: Session, locks: readonly Lock[] = []): Effective =>
  effective(session, [], { find: () => null }, lockIndex(locks), policyOf(profile('fix', ['db:write']), profile('tidy', ['db:tidy'])), at(601))
const carriedBy = ({ carriers }: Effective): readonly string[] => carriers.map(({ elevation: { id } }) => id)
const lockOn = (selector: Selector, effect: LockEffect): Lock =>
  ({ record: 'lock', id: 'lck_1' as LockId, selector, version: 1, state: 'set', effect, reason: 'locked', note: '', by: 'test', since: NOW, until: null }) // a word of the test
const ended = (session: Session): Session => told(session, { kind: 'time.passed' }, 600)

test('[ELV13, ENF5] behind an end while its profile was narrowed away, what follows waits until it is widened', () => {
  const narrowed = ended(told(held, { kind: 'session.narrowed', to: null, elevations: ['elv_1' as ElevationId] }, 5)) // a word of the test
  expect([narrowed.elevations.map(({ state }) => state.is), carriedBy(standing(narrowed))]).toEqual([['ended', 'suspended'], []])
  expect(carriedBy(standing(told(narrowed, { kind: 'session.widened' }, 601)))).toEqual(['elv_then'])
})

test('[ELV13, ENF8] a lock on an elevation or its profile is one on what follows it', () => {
  const after = ended(held)
  expect(carriedBy(standing(after))).toEqual(['elv_then'])
  const lost = (selector: Selector, effect: LockEffect) => [carriedBy(standing(after, [lockOn(selector, effect)])), standing(after, [lockOn(selector, effect)]).lost.get(then.id)]
  expect(lost({ kind: 'elevation', value: 'elv_1' }, 'deny')).toEqual([[], 'locked'])
  expect(lost({ kind: 'profile', value: 'fix' }, 'freeze')).toEqual([[], 'frozen'])
})
