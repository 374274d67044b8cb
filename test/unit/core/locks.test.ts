// Standing refusals: found by name, the strongest counts, the first to lift is waited for.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutOffFor, cutOffOf, type Lock, LOCK_EFFECTS, type LockEffect, type LockId, type Selector, selectorName, stronger } from '../../../src/core/anchor.ts'
import type { Call } from '../../../src/core/call.ts'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import { cutOffsAmong, keptToBaseline, type LockIndex, lockIndex, lockOnElevation, locksOnRequest, locksOnSession, moveCutOff, moveTool, NO_CALL, NO_LOCKS, standsAt } from '../../../src/core/locks.ts'
import type { Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import { FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { NOW, SESSION } from './world.ts'

let made = 0
const lock = (kind: Selector['kind'], value: string, effect: LockEffect = 'deny', until: number | null = null, state: Lock['state'] = 'set'): Lock => ({
  record: 'lock', id: `lck_${++made}` as LockId, selector: { kind, value }, version: 1, state, effect, reason: 'locked', note: '', by: 'operator', since: NOW, until: until === null ? null : instant(NOW + until), // a test word
})
const EVIDENCE: Evidence = { provider: 'login', fingerprint: 'f', credential: 'cred_1', issuer: 'https://idp.test', keyId: null, issuedAt: NOW, expiresAt: null, keyThumbprint: null, device: null, claimed: {} }

const DELEGATED: Session = {
  ...SESSION, bindings: { key: null, workload: 'spiffe://test/agent', device: 'laptop', source: '192.0.2.1' },
  brokered: { broker: 'factory', by: 'https://idp.test|boss', claims: {}, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: { key: 'key_above' as SessionKey, id: 'ses_above' as SessionId, baseline: [], depth: 0 } }, // test words
}

const onSession = (index: LockIndex, now: Instant = NOW): string | null => locksOnSession(index, SESSION, now)?.lock.effect ?? null
const onRequest = (index: LockIndex, evidence: Evidence | null = EVIDENCE, workload: string | null = null, certified: string | null = null): string | null =>
  locksOnRequest(index, 'api', { evidence, action: NO_CALL, context: { workload, certified } }, evidence === null ? null : SESSION.principal, NOW)?.effect ?? null

describe('on a session', () => {
  test.each<readonly [Selector['kind'], string]>([
    ['session', 'ses_1'], ['subject', 'https://idp.test|agent'], ['subject', 'agent'], ['tenant', 'acme'], ['issuer', 'https://idp.test'], ['all', ''],
  ])('[ENF8] %s %j meets it', (kind, value) => expect(onSession(lockIndex([lock(kind, value)]))).toBe('deny'))

  test.each<readonly [Selector['kind'], string]>([
    ['session', 'ses_2'], ['subject', 'https://other.test|agent'], ['subject', 'Agent'], ['subject', 'idp.test|agent'], ['tenant', ''], ['tenant', 'acme2'], ['issuer', 'https://idp.test/'], ['credential', 'cred_1'], ['route', 'api'], ['profile', 'fix'], ['issuedBefore', String(NOW)],
    ['device', ''], ['workload', ''], ['parent', ''], ['parent', 'ses_1'],
  ])('[ENF8] %s %j does not', (kind, value) => expect(onSession(lockIndex([lock(kind, value)]))).toBeNull())

  test.each<readonly [Selector['kind'], string, string | null]>([
    ['device', 'laptop', 'deny'], ['workload', 'spiffe://test/agent', 'deny'], ['parent', 'ses_above', 'deny'],
    ['device', 'Laptop', null], ['device', 'spiffe://test/agent', null], ['workload', 'spiffe://test/agent/2', null], ['workload', 'laptop', null], ['parent', 'ses_1', null], ['parent', 'key_above', null],
  ])('[ENF8, BND5] on what a session is bound to and delegated from, %s %j: %s', (kind, value, effect) => {
    const { lock: hit = null } = locksOnSession(lockIndex([lock(kind, value)]), DELEGATED, NOW) ?? {}
    expect(hit?.effect ?? null).toBe(effect)
  })
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

  test.each<readonly [Selector['kind'], string, string | null]>([
    ['keyId', 'https://idp.test|k1', 'deny'], ['keyId', 'k1', 'deny'], ['device', 'laptop', 'deny'], ['workload', 'pod/1', 'deny'], ['issuer', 'https://idp.test', 'deny'],
    ['keyId', 'https://other.test|k1', null], ['keyId', 'K1', null], ['keyId', 'https://idp.test', null], ['keyId', '', null], ['keyId', 'null', null], ['device', 'pod/1', null], ['device', 'null', null], ['workload', 'laptop', null], ['workload', 'pod/11', null],
    ['issuer', 'https://other.test', null], ['parent', 'ses_1', null], ['subject', 'agent', null],
  ])('[ENF8, BND5] by what it shows, whatever its session is bound to: %s %j: %s', (kind, value, effect) => {
    const shown: Evidence = { ...EVIDENCE, keyId: 'k1', device: 'laptop' }
    expect(onRequest(lockIndex([lock(kind, value)]), shown, 'pod/1')).toBe(effect)
    const others = ['keyId', 'device', 'workload'].includes(kind) ? null : effect
    expect(onRequest(lockIndex([lock(kind, value)])), 'a request that shows none of it').toBe(others)
  })

  test('[ENF8, BND5] a workload that runs a caller without a session here is met all the same', () => {
    expect(onRequest(lockIndex([lock('workload', 'pod/1')]), null, 'pod/1')).toBe('deny')
    expect(onRequest(lockIndex([lock('keyId', 'k1'), lock('device', 'laptop'), lock('issuer', 'https://idp.test')]), null, 'pod/1')).toBeNull()
  })

  test('[ENF8, BND5] who shows a credential of one workload on the connection of another is met as either, and by the stronger word on both', () => {
    const [token, connection] = [lock('workload', 'pod/1', 'freeze'), lock('workload', 'spiffe://test/b')]
    for (const evidence of [EVIDENCE, null]) {
      const met = (...locks: readonly Lock[]): string | null => onRequest(lockIndex(locks), evidence, 'pod/1', 'spiffe://test/b')
      expect([met(token), met(connection), met(token, connection), met(lock('workload', 'spiffe://test/c'))]).toEqual(['freeze', 'deny', 'deny', null])
    }
    expect(onRequest(lockIndex([connection]), null, null, 'spiffe://test/b')).toBe('deny')
  })

  describe('a cut-off for one subject', () => {
    const cutOff = (ms: number, subject: string | null, effect: LockEffect = 'deny') => lockIndex([lock('issuedBefore', cutOffFor({ before: instant(NOW + ms), subject }).value, effect)])

    test.each<readonly [string, string | null]>([
      ['https://idp.test|agent', 'deny'], ['agent', 'deny'], ['https://other.test|agent', null], ['Agent', null], ['agent ', null], ['https://idp.test|', null], ['https://idp.test', null], ['someone else', null],
    ])('[ENF8] %j: %s', (subject, effect) => {
      expect([-1, 0, 1].map(ms => onRequest(cutOff(ms, subject)))).toEqual([null, effect, effect])
      expect(onRequest(cutOff(-100_000, subject), { ...EVIDENCE, issuedAt: null }), 'without an issue time').toBe(effect)
      expect(onRequest(cutOff(100_000, subject), null)).toBeNull()
    })

    test('[ENF8] of a caller of whom nothing else is known every cut-off may be meant', () => {
      expect(locksOnRequest(cutOff(0, 'someone else'), 'api', { evidence: EVIDENCE, action: NO_CALL, context: { workload: null, certified: null } }, null, NOW)?.effect).toBe('deny')
    })

    test('[ENF8] keeps to the baseline like any other lock, and only who is meant', () => {
      const kept = (index: LockIndex): boolean => keptToBaseline(index, 'api', { evidence: EVIDENCE, action: NO_CALL, context: { workload: null, certified: null } }, SESSION.principal, NOW)
      expect(['agent', 'someone else', null].map(subject => kept(cutOff(0, subject, 'baseline')))).toEqual([true, false, true])
      expect(kept(cutOff(0, 'agent', 'freeze'))).toBe(false)
    })

    test('[ENF8] of several each counts for its own subject, effect, instant and end, whatever else stands and in whichever order they came', () => {
      const SUBJECTS = [null, 'agent', 'https://idp.test|agent', 'https://other.test|agent', 'someone else']
      const MEANT = SUBJECTS.slice(0, 3)
      const anyCutOff = fc.record({ ms: fc.integer({ min: -5, max: 5 }), subject: fc.constantFrom(...SUBJECTS), effect: fc.constantFrom(...LOCK_EFFECTS), until: fc.option(fc.integer({ min: -9, max: 9 }), { nil: null }) })
      const places = { selector: ({ ms, subject }: { readonly ms: number; readonly subject: string | null }) => `${ms} ${subject}`, minLength: 5, maxLength: 30, size: 'max' as const }
      let hits = 0
      fc.assert(fc.property(fc.uniqueArray(anyCutOff, places), fc.option(fc.integer({ min: -5, max: 5 }), { nil: null }), fc.array(fc.nat(29)), fc.boolean(), (specs, issued, lifted, isKnown) => {
        const locks = specs.map(({ ms, subject, effect, until }) => lock('issuedBefore', cutOffFor({ before: instant(NOW + ms), subject }).value, effect, until))
        const gone = new Set(lifted)
        const standing = specs.filter(({ ms, subject, until }, i) => !gone.has(i) && (!isKnown || MEANT.includes(subject)) && (issued === null || issued <= ms) && (until === null || until > 0))
        const shown = { evidence: { ...EVIDENCE, issuedAt: issued === null ? null : instant(NOW + issued) }, action: NO_CALL, context: { workload: null, certified: null } }
        const whose = isKnown ? SESSION.principal : null
        const [read, moved] = [lockIndex(locks.filter((_, i) => !gone.has(i))), cutOffsAmong(locks.slice(0, 10))]
        for (const each of locks.slice(10)) moveCutOff(moved, each)
        for (const i of gone) for (const each of locks.slice(i, i + 1)) moveCutOff(moved, { ...each, state: 'lifted' })
        for (const index of [read, { ...read, issuedBefore: moved }]) {
          expect(locksOnRequest(index, 'api', shown, whose, NOW)?.effect).toBe((['deny', 'freeze', 'baseline'] as const).find(effect => standing.some(each => each.effect === effect)))
          expect(keptToBaseline(index, 'api', shown, whose, NOW)).toBe(standing.some(({ effect }) => effect === 'baseline'))
        }
        if (standing.length > 1) hits++
      }), { numRuns: 400 })
      expect(hits).toBeGreaterThan(30)
    })

    test('[ENF8] an older one that stands longer counts when a newer one has run out, whatever the newer one would have met besides', () => {
      const [newer, older] = [lock('issuedBefore', `${NOW + 5} agent`, 'deny', 10), lock('issuedBefore', `${NOW} agent`, 'deny', 20)]
      const metAt = (ms: number, issuedAt: Instant): boolean => locksOnRequest(lockIndex([older, newer]), 'api', { evidence: { ...EVIDENCE, issuedAt }, action: NO_CALL, context: { workload: null, certified: null } }, SESSION.principal, instant(NOW + ms)) !== null
      expect([9, 10, 19, 20].map(ms => metAt(ms, NOW))).toEqual([true, true, true, false])
      expect([9, 10, 19, 20].map(ms => metAt(ms, instant(NOW + 3)))).toEqual([true, false, false, false])
    })

    test('[ENF8] one that is changed counts as it is now, and leaves nothing when it is lifted', () => {
      const set = lock('issuedBefore', `${NOW} agent`, 'freeze')
      const cutOffs = cutOffsAmong([set])
      const effectNow = (): string | null => onRequest({ size: 1, byName: new Map(), issuedBefore: cutOffs, tools: new Map() })
      moveCutOff(cutOffs, { ...set, effect: 'deny' })
      expect(effectNow()).toBe('deny')
      moveCutOff(cutOffs, { ...set, effect: 'baseline' })
      expect(effectNow()).toBe('baseline')
      moveCutOff(cutOffs, { ...set, state: 'lifted' })
      expect([effectNow(), cutOffs.size]).toEqual([null, 0])
    })

    test.each<readonly [string, (i: number) => string]>([
      ['subjects', i => `${NOW + 1} somebody-${i}`], ['instants for everybody', i => String(NOW - 1 - i)], ['instants for the caller, each lasting longer', i => `${NOW - 1 - i} agent`],
    ])('[ENF8] ten thousand of them, of as many %s, are each read once and not again for any request', (_, valueOf) => {
      let read = 0
      const locks = Array.from({ length: 10_000 }, (_each, i): Lock => {
        const set = lock('issuedBefore', valueOf(i), 'deny', i)
        return { ...set, get selector() { read++; return set.selector }, get until() { read++; return set.until } } // whoever looks at one is counted
      })
      const index = lockIndex(locks)
      read = 0
      for (let i = 0; i < 100; i++) expect(onRequest(index)).toBeNull()
      expect(read).toBeLessThan(100 * 10)
    })

    test('[ENF8] is read as it was written, whatever the subject is; what cannot be read refuses everybody', () => {
      for (const subject of [null, 'a', 'CN=a b, O=c', '1 2', 'https://idp.test|a b']) expect(cutOffOf(cutOffFor({ before: NOW, subject }))).toEqual({ before: NOW, subject })
      expect(onRequest(lockIndex([lock('issuedBefore', 'soon')]))).toBe('deny')
    })
  })

  test('[ENF8] a lock on everybody meets who has no session here; who has one meets it there', () => {
    expect(onRequest(lockIndex([lock('all', '')]), null)).toBe('deny')
    expect(onRequest(lockIndex([lock('all', '')]))).toBeNull()
    expect(onSession(lockIndex([lock('all', '')]))).toBe('deny')
    expect(locksOnRequest(lockIndex([lock('all', '')]), 'api', { evidence: EVIDENCE, action: NO_CALL, context: { workload: null, certified: null } }, null, NOW)?.effect, 'with a credential, and no session for it').toBe('deny')
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

describe('on tools', () => {
  const effectOn = (call: Call | null, ...locks: readonly Lock[]): string | null => locksOnRequest(lockIndex(locks), 'runbooks', { evidence: EVIDENCE, action: { call }, context: { workload: null, certified: null } }, SESSION.principal, NOW)?.effect ?? null
  const call = (name: string, kind: Call['kind'] = 'tool', method = 'tools/call'): Call => ({ kind, method, name, args: null, digest: null })

  test.each<readonly [string, string, Call | null, string | null]>([
    ['tool', 'runbooks/write', call('write'), 'deny'], ['definition', 'runbooks/write', call('write'), 'deny'], ['tool', 'runbooks/write', call('write', 'tool', 'tasks/get'), 'deny'],
    ['tool', 'runbooks/write', call('Write'), 'deny'], ['definition', 'runbooks/deployProd', call('deployprod'), 'deny'], ['tool', 'runbooks/Write', call('write'), 'deny'], ['tool', 'runbooks/write', call('write2'), null], ['tool', 'other/write', call('write'), null], ['tool', 'runbooks/write', call('write', 'prompt', 'prompts/get'), null], ['tool', 'runbooks/', call(''), 'deny'],
    ['tool', 'runbooks/write', call('', 'protocol', 'tools/list'), null], ['tool', 'runbooks/write', null, null], ['route', 'runbooks', call('write'), 'deny'],
  ])('[MCP14, ENF8] %s %j on %j: %s', (kind, value, asked, effect) => expect(effectOn(asked, lock(kind as Selector['kind'], value))).toBe(effect)) // kinds as written above

  test('[MCP14, ENF8] a lock that is set, changed and lifted is found, and gone, by any case of its name', () => {
    const tools = new Map<string, readonly Lock[]>()
    const effects = (): readonly (string | null)[] => ['write', 'WRITE'].map(name => locksOnRequest({ ...lockIndex([lock('tenant', 'other')]), tools }, 'runbooks', { evidence: EVIDENCE, action: { call: call(name) }, context: { workload: null, certified: null } }, SESSION.principal, NOW)?.effect ?? null)
    const [first, other] = [lock('tool', 'runbooks/Write', 'freeze'), lock('tool', 'runbooks/write')]
    for (const [each, effect] of [[first, 'freeze'], [other, 'deny'], [{ ...other, state: 'lifted' }, 'freeze'], [{ ...first, effect: 'deny' }, 'deny'], [{ ...first, state: 'lifted' }, null]] as const) {
      moveTool(tools, each)
      expect(effects()).toEqual([effect, effect])
    }
    expect(tools.size).toBe(0)
  })

  test('[MCP14, ENF8] an operator’s word and the gateway’s own stand beside each other', () => {
    const both = [lock('tool', 'runbooks/write', 'deny'), lock('definition', 'runbooks/write', 'freeze')]
    expect([effectOn(call('write'), ...both), effectOn(call('write'), ...both.slice(1))]).toEqual(['deny', 'freeze'])
  })
})
