// Standing refusals: found by name, the strongest counts, the first to lift is waited for.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Lock, LOCK_EFFECTS, type LockEffect, type LockId, type Selector, selectorName, stronger } from '../../../src/core/anchor.ts'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import { type LockIndex, lockIndex, lockOnElevation, locksOnRequest, locksOnSession, NO_LOCKS, standsAt } from '../../../src/core/locks.ts'
import { FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { NOW, SESSION } from './world.ts'

let made = 0
const lock = (kind: Selector['kind'], value: string, effect: LockEffect = 'deny', until: number | null = null, state: Lock['state'] = 'set'): Lock => ({
  record: 'lock', id: `lck_${++made}` as LockId, selector: { kind, value }, version: 1, state, effect, reason: 'locked', note: '', by: 'operator', since: NOW, until: until === null ? null : instant(NOW + until), // a test word
})
const EVIDENCE: Evidence = { provider: 'login', fingerprint: 'f', credential: 'cred_1', keyId: null, issuedAt: NOW, expiresAt: null, keyThumbprint: null, claimed: {} }

const onSession = (index: LockIndex, now: Instant = NOW): string | null => locksOnSession(index, SESSION, now)?.lock.effect ?? null
const onRequest = (index: LockIndex, evidence: Evidence | null = EVIDENCE, now: Instant = NOW): string | null => locksOnRequest(index, 'api', evidence, now)?.effect ?? null

describe('on a session', () => {
  test.each<readonly [Selector['kind'], string]>([
    ['session', 'ses_1'], ['subject', 'https://idp.test|agent'], ['subject', 'agent'], ['tenant', 'acme'], ['issuer', 'https://idp.test'], ['all', ''],
  ])('[ENF8] %s %j meets it', (kind, value) => expect(onSession(lockIndex([lock(kind, value)]))).toBe('deny'))

  test.each<readonly [Selector['kind'], string]>([
    ['session', 'ses_2'], ['subject', 'https://other.test|agent'], ['subject', 'Agent'], ['subject', 'idp.test|agent'], ['tenant', ''], ['tenant', 'acme2'], ['issuer', 'https://idp.test/'], ['credential', 'cred_1'], ['route', 'api'], ['profile', 'fix'], ['issuedBefore', String(NOW)],
  ])('[ENF8] %s %j does not', (kind, value) => expect(onSession(lockIndex([lock(kind, value)]))).toBeNull())
})

describe('on a request', () => {
  test('[ENF8] by route, by credential, and by issue time', () => {
    expect(onRequest(lockIndex([lock('route', 'api')]))).toBe('deny')
    expect(onRequest(lockIndex([lock('route', 'other')]))).toBeNull()
    expect(onRequest(lockIndex([lock('credential', 'cred_1', 'freeze')]))).toBe('freeze')
    expect(onRequest(lockIndex([lock('credential', 'cred_2')]))).toBeNull()
    expect(onRequest(lockIndex([lock('route', 'api', 'freeze')]), null)).toBe('freeze')
  })

  test('[ENF8] a cut-off meets what was issued at or before it, and what has no issue time', () => {
    const cutOff = (ms: number) => lockIndex([lock('issuedBefore', String(NOW + ms))])
    expect([cutOff(-1), cutOff(0), cutOff(1)].map(index => onRequest(index))).toEqual([null, 'deny', 'deny'])
    expect(onRequest(cutOff(-100_000), { ...EVIDENCE, issuedAt: null })).toBe('deny')
    expect(onRequest(cutOff(100_000), null)).toBeNull()
  })

  test('[ENF8] a lock on everybody meets who has no session here; who has one meets it there', () => {
    expect(onRequest(lockIndex([lock('all', '')]), null)).toBe('deny')
    expect(onRequest(lockIndex([lock('all', '')]))).toBeNull()
    expect(onSession(lockIndex([lock('all', '')]))).toBe('deny')
  })
})

test('[ENF8] a lock on a profile', () => {
  expect(lockOnElevation(lockIndex([lock('profile', 'fix')]), { id: 'elv_1' as ElevationId, profile: 'fix' }, NOW)?.lock.effect).toBe('deny')
  expect(lockOnElevation(lockIndex([lock('profile', 'fix')]), { id: 'elv_1' as ElevationId, profile: 'read' }, NOW)).toBeNull()
  expect(lockOnElevation(lockIndex([lock('profile', 'fix', 'deny', 5)]), { id: 'elv_1' as ElevationId, profile: 'fix' }, instant(NOW + 5))).toBeNull()
})

test('[ENF8] a lock on one elevation, and the strongest of it and its profile', () => {
  const asked = (id: string) => ({ id: id as ElevationId, profile: 'fix' }) // a test word
  const index = lockIndex([lock('elevation', 'elv_1'), lock('profile', 'fix', 'freeze')])
  expect([lockOnElevation(index, asked('elv_1'), NOW)?.lock.effect, lockOnElevation(index, asked('elv_2'), NOW)?.lock.effect]).toEqual(['deny', 'freeze'])
})

test('[ENF8] a lifted lock is none; one lifts by itself exactly at its instant', () => {
  expect(lockIndex([lock('all', '', 'deny', null, 'lifted')])).toMatchObject({ size: 0 })
  const index = lockIndex([lock('tenant', 'acme', 'deny', 1_000)])
  expect([999, 1_000, 1_001].map(ms => onSession(index, instant(NOW + ms)))).toEqual(['deny', null, null])
  expect(standsAt(lock('all', '', 'deny', 10), instant(NOW + 10))).toBe(false)
  expect(standsAt(lock('all', ''), FOREVER)).toBe(true)
  expect(locksOnSession(NO_LOCKS, SESSION, NOW)).toBeNull()
})

describe('of several', () => {
  const NAMES: readonly Selector[] = [{ kind: 'session', value: 'ses_1' }, { kind: 'subject', value: 'agent' }, { kind: 'tenant', value: 'acme' }, { kind: 'issuer', value: 'https://idp.test' }, { kind: 'all', value: '' }, { kind: 'tenant', value: 'other' }]
  const anyLock = fc.record({ at: fc.nat(NAMES.length - 1), effect: fc.constantFrom(...LOCK_EFFECTS), until: fc.option(fc.integer({ min: -5, max: 20 }), { nil: null }) })

  test('[ENF8] the strongest counts, and the first to lift bounds the answer', () => {
    let hits = 0
    fc.assert(fc.property(fc.uniqueArray(anyLock, { selector: ({ at }) => at, maxLength: 6 }), fc.integer({ min: 0, max: 15 }), (specs, later) => {
      const now = instant(NOW + later)
      const locks = specs.map(({ at, effect, until }) => lock(NAMES[at]?.kind ?? 'all', NAMES[at]?.value ?? '', effect, until))
      const standing = locks.filter(({ selector, until }) => selector.value !== 'other' && (until === null || until > now))
      const hit = locksOnSession(lockIndex(locks), SESSION, now)
      expect(hit === null).toBe(standing.length === 0)
      if (standing.length === 0) return
      hits++
      expect(hit?.lock.effect).toBe((['deny', 'freeze', 'baseline'] as const).find(effect => standing.some(each => each.effect === effect)))
      expect(hit?.until).toBe(Math.min(...standing.map(({ until }) => until ?? Infinity)))
    }))
    expect(hits).toBeGreaterThan(30)
  })

  test('[ENF8] nothing about the order of locks counts', () => {
    fc.assert(fc.property(fc.uniqueArray(anyLock, { selector: ({ at }) => at, maxLength: 6 }), specs => {
      const locks = specs.map(({ at, effect, until }) => lock(NAMES[at]?.kind ?? 'all', NAMES[at]?.value ?? '', effect, until))
      expect(onSession(lockIndex(locks))).toBe(onSession(lockIndex(locks.toReversed())))
    }))
  })

  test('[ENF8] stronger is total: deny before freeze before baseline', () => {
    for (const a of LOCK_EFFECTS) for (const b of LOCK_EFFECTS) expect(stronger(a, b)).toBe(stronger(b, a))
    expect([stronger('deny', 'freeze'), stronger('freeze', 'baseline'), stronger('baseline', 'deny')]).toEqual(['deny', 'freeze', 'deny'])
  })

  test('[ENF8] selectors of different kinds never share a name', () => {
    expect(selectorName({ kind: 'subject', value: 'a' })).not.toBe(selectorName({ kind: 'tenant', value: 'a' }))
    expect(selectorName({ kind: 'all', value: '' })).toBe('all:')
  })
})
