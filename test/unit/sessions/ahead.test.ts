// What a lock would have to say to mean the same as the end of a session: exactly that, for as long, and never in the place of somebody's own word.
// SPEC: STO13, ENF8
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import { type Effective, effective } from '../../../src/core/effective.ts'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews, SessionSignal, SignalId } from '../../../src/core/signal.ts'
import type { Instant } from '../../../src/core/time.ts'
import { transition, transitionLock } from '../../../src/core/transition.ts'
import { lockAhead } from '../../../src/sessions/ahead.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from '../core/world.ts'

const ELEVATED: Session = { ...SESSION, elevations: [elevation('elv_1')] }
const [SES, ELV]: readonly [Selector, Selector] = [{ kind: 'session', value: SESSION.id }, { kind: 'elevation', value: 'elv_1' }]
const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const freeze = (until: Instant | null): SessionNews => ({ kind: 'session.frozen', until })
const ended = (id: string): SessionNews => ({ kind: 'elevation.ended', elevation: id as ElevationId, reason: 'ticket_closed', because: '' }) // a word of the test

const signal = (news: SessionNews): SessionSignal => ({ id: 'sig_abc' as SignalId, by: 'operator', note: 'why', ...news }) // likewise
const nothing = (): null => null
const ahead = (news: SessionNews, session = ELEVATED, now = NOW, standing: (selector: Selector) => Lock | null = nothing) => lockAhead(session, signal(news), now, standing)

const SAYS: readonly (readonly [string, SessionNews, Selector, LockEffect, string, Instant])[] = [
  ['a terminate denies it until its end', END, SES, 'deny', 'locked', ELEVATED.endsAt],
  ['a freeze freezes it until its end', freeze(null), SES, 'freeze', 'frozen', ELEVATED.endsAt],
  ['a freeze for a while freezes it until its end all the same, as that while ends in an end', freeze(at(60)), SES, 'freeze', 'frozen', ELEVATED.endsAt],
  ['the end of an elevation denies that one alone', ended('elv_1'), ELV, 'deny', 'locked', ELEVATED.endsAt],
]
test.each(SAYS)('[STO13, ENF8] %s, in the name of whoever brought it', (_, news, selector, effect, reason, until) => {
  expect(ahead(news)).toMatchObject({
    ref: { kind: 'lock', name: `${selector.kind}:${selector.value}` }, expectedVersion: 0, forgetAt: until, facts: [{ what: 'lock.set', because: 'sig_abc' }],
    record: { record: 'lock', id: 'lck_abc', selector, version: 1, state: 'set', effect, reason, until, since: NOW, by: 'operator', note: 'why' },
  })
})

const SILENT: readonly (readonly [string, SessionNews])[] = [
  ['a narrow', { kind: 'session.narrowed', to: 'baseline', elevations: [] }], ['a shorter end', { kind: 'session.shortened', endsAt: at(60) }],
  ['what time has done', { kind: 'time.passed' }], ['idleness', { kind: 'session.lapsed', reason: 'idle' }],
  ['the end of an elevation of another session', ended('elv_2')], ['what gives', { kind: 'session.resumed' }],
]
test.each(SILENT)('[STO13] no lock says the same as %s', (_, news) => expect(ahead(news)).toBeNull())

test('[STO13] none is written for what is over by then', () => {
  for (const news of [END, freeze(null), ended('elv_1')]) expect([ahead(news, ELEVATED, ELEVATED.endsAt), ahead(news, ELEVATED, at(3_599)) === null]).toEqual([null, false])
})

test('[STO13, ENF8] a lock that stands on the same selector is somebody\'s word: nothing goes in its place, be it weaker or stronger; any other is in nobody\'s way', () => {
  for (const effect of ['deny', 'freeze', 'baseline'] as const) {
    const standing: Lock = { record: 'lock', id: 'lck_op' as LockId, selector: SES, version: 3, state: 'set', effect, reason: 'locked', note: '', by: 'op', since: NOW, until: null } // a word of the test
    const asked = (selector: Selector): Lock | null => (selector.kind === SES.kind && selector.value === SES.value ? standing : null)
    expect([END, freeze(null)].map(news => ahead(news, ELEVATED, NOW, asked))).toEqual([null, null])
    expect(ahead(ended('elv_1'), ELEVATED, NOW, asked)).not.toBeNull()
  }
})

test('[STO13, ENF6, ENF7] from its first instant to its last it takes whatever the end itself takes', () => {
  const policy = policyOf(profile('fix', ['db:write']))
  const no = { find: (): null => null }
  const may = (session: Session, lock: Lock | null, now: Instant) => {
    const byName = new Map(lock === null ? [] : [[`${lock.selector.kind}:${lock.selector.value}`, lock]])
    return effective(session, ['db:read'], no, { size: byName.size, byName, issuedBefore: new Map(), tools: new Map() }, policy, now)
  }
  fc.assert(fc.property(fc.constantFrom(END, freeze(null), freeze(at(300)), ended('elv_1')), fc.nat(3_599), (news, second) => {
    const found = ahead(news)?.record
    const { record } = transition(ELEVATED, signal(news), NOW)
    if (found?.record !== 'lock' || record === null) throw new Error('no lock or no record')
    const now = at(second)
    const [locked, over] = [may(ELEVATED, found, now), may(record, null, now)]
    const scopes = ({ state, baseline, carriers }: Effective): readonly string[] => (state === 'live' ? [...baseline, ...carriers.flatMap(({ carries }) => carries)] : [])
    expect(scopes(may(ELEVATED, null, now))).toContain('db:read')
    expect(scopes(locked).filter(scope => !scopes(over).includes(scope))).toEqual([])
  }))
})

test('[STO13, STO16] a lock that went ahead can be said again to a store that lost it, as the same news', () => {
  for (const [, news] of SAYS) {
    const lock = ahead(news)
    expect(lock?.news).toMatchObject({ kind: 'lock.set', id: 'sig_abc', by: 'operator', note: 'why' })
    if (lock?.news?.kind === 'lock.set') expect(transitionLock(null, lock.news, NOW).record).toEqual(lock.record)
  }
})
