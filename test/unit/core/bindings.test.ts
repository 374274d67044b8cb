// What a session is bound to, asked of every request of it: the judge, the carriers of elevations, and what a broker and a parent leave.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import { BINDING_MODES, type BindingModes, type Bindings, boundBy, networkOf, NOT_BOUND } from '../../../src/core/binding.ts'
import type { Case } from '../../../src/core/checks/check.ts'
import type { TextExpression } from '../../../src/core/condition.ts'
import { grantName } from '../../../src/core/decision.ts'
import type { Elevation } from '../../../src/core/elevation.ts'
import { driftOf } from '../../../src/core/drift.ts'
import { effective, type ParentView } from '../../../src/core/effective.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import { lockIndex, type LockIndex, NO_LOCKS } from '../../../src/core/locks.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Broker, Policy } from '../../../src/core/policy.ts'
import type { Purposes } from '../../../src/core/purpose.ts'
import { placeOf, type Route, routeTable, type Rule } from '../../../src/core/route.ts'
import type { Scope } from '../../../src/core/scope.ts'
import type { Brokered, Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'

const MODES: BindingModes = { key: 'required', workload: 'required', device: 'required', source: 'required', tenant: 'required' }
const BOUND: Bindings = { key: 'k1', workload: 'spiffe://test/a', device: 'laptop', source: '192.0.2.1' }
const EVIDENCE: Evidence = { provider: 'login', fingerprint: 'f', credential: 'c', issuer: 'https://idp.test', keyId: null, issuedAt: NOW, expiresAt: at(3_600), keyThumbprint: 'k1', device: 'laptop', claimed: {} }
const RULE: Rule = { name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: 'db:read', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }

const BROKER: Broker = { name: 'b', who: null, may: { source: 'true', test: () => 'true' }, profiles: ['fix'], max: duration(600_000), bindRequired: false, once: null }

type World = {
  readonly session?: Partial<Session>
  readonly modes?: Partial<BindingModes>
  readonly evidence?: Partial<Evidence>
  readonly workload?: string | null
  readonly source?: string
  readonly tenant?: TextExpression['read']
  readonly path?: string
  readonly purposes?: Purposes
  readonly rule?: Partial<Rule>
  readonly baseline?: Scope
  readonly parent?: ParentView
  readonly locks?: LockIndex
  readonly credentialEnd?: 'cut' | 'ignore'
}

function caseOf({ session = {}, modes = {}, evidence = {}, workload = 'spiffe://test/a', source = '192.0.2.1', tenant, path = '/acme/x', purposes = {}, rule = {}, baseline = ['db:read'], parent, locks = NO_LOCKS, credentialEnd = 'cut' }: World): Case {
  const route: Route = {
    name: 'api', host: { is: 'any' }, path: pathPattern('/{tenant}/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject',
    upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: tenant === undefined ? null : { source: '', read: tenant }, ...PLAIN_ROUTE, rules: [{ ...RULE, ...rule }],
  }
  const plain = policyOf(profile('fix', ['db:write', 'db:read']))
  const policy: Policy = { ...plain, brokers: new Map([['b', BROKER]]), routes: [route], table: routeTable([route]), sessions: { ...plain.sessions, credentialEnd, bind: { ...MODES, ...modes } } }
  const evaluation: Case['evaluation'] = {
    evidence: { ...EVIDENCE, ...evidence }, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'a', path, segments: path.slice(1).split('/'), query: '' },
    context: { protocol: 'http', source, secure: true, workload, certified: null, purposes, ...PLAIN_CONTEXT, headers: [] },
  }
  const standing = effective({ ...SESSION, bindings: BOUND, ...session }, baseline, { find: () => null }, locks, policy, NOW, parent)
  return { now: NOW, confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks, standing, claims: {}, held: null, exchange: null, paid: null, external: null }
}

function answer(world: World): string {
  const decision = evaluate(caseOf(world))
  return decision.effect === 'permit' ? grantName(decision.grant) : decision.reason
}

const others: readonly (readonly [kind: keyof Bindings, shows: World])[] = [
  ['key', { evidence: { keyThumbprint: 'k2' } }], ['key', { evidence: { keyThumbprint: null } }], ['workload', { workload: 'spiffe://test/b' }], ['workload', { workload: null }],
  ['device', { evidence: { device: 'phone' } }], ['device', { evidence: { device: null } }], ['source', { source: '192.0.2.2' }], ['source', { source: '2001:db8::1' }],
]

describe('a session bound to what its first request showed', () => {
  test('[BND5] carries what shows all of it', () => {
    expect(answer({})).toBe('baseline')
  })

  test.each(others)('[BND5] by its %s refuses what shows another one or none, tells of it or does not look, as configured', (kind, shows) => {
    expect(answer(shows)).toBe('binding_broken')
    expect(answer({ ...shows, modes: { [kind]: 'observe' } })).toBe('baseline')
    expect(driftOf(caseOf({ ...shows, modes: { [kind]: 'observe' } }), { ...SESSION, bindings: BOUND }, 'observe')).toMatchObject({ binding: kind })
    expect(answer({ ...shows, modes: { [kind]: 'off' } })).toBe('baseline')
    expect(driftOf(caseOf({ ...shows, modes: { [kind]: 'off' } }), { ...SESSION, bindings: BOUND }, 'observe')).toBeNull()
  })

  test.each(others)('[BND5] but not by its %s carries whatever shows one', (kind, shows) => {
    expect(answer({ ...shows, session: { bindings: { ...BOUND, [kind]: null } } })).toBe('baseline')
  })

  test('[BND5] refuses under any modes exactly what differs where it is required', () => {
    const shown = fc.constantFrom('k1', 'k2', null)
    const mode = fc.constantFrom(...BINDING_MODES)
    fc.assert(fc.property(shown, shown, mode, mode, (bound, now, key, workload) => {
      const session = { bindings: { ...NOT_BOUND, key: bound, workload: bound } }
      const broken = bound !== null && bound !== now && (key === 'required' || workload === 'required')
      expect(answer({ session, evidence: { keyThumbprint: now }, workload: now, modes: { key, workload } })).toBe(broken ? 'binding_broken' : 'baseline')
    }))
  })

  test('[BND5] an elevation asked for by a workload carries only requests of it', () => {
    const session = { bindings: NOT_BOUND, elevations: [elevation('elv_1', { adds: ['db:read'], workload: 'spiffe://test/a' })] }
    expect(answer({ session, baseline: [] })).toBe('elv_1')
    expect(answer({ session, baseline: [], workload: 'spiffe://test/b' })).toBe('binding_broken')
    expect(answer({ session, baseline: [], workload: null })).toBe('binding_broken')
  })

  test('[BND5] its bindings are what that request proved, and the network it came from where anybody asks for that', () => {
    expect(boundBy(EVIDENCE, 'pod/1', '2001:DB8:0:7::1', MODES)).toEqual({ key: 'k1', workload: 'pod/1', device: 'laptop', source: '2001:db8:0:7::/64' })
    expect(boundBy(EVIDENCE, null, '192.0.2.1', { ...MODES, source: 'off' })).toEqual({ key: 'k1', workload: null, device: 'laptop', source: null })
    expect(boundBy({ ...EVIDENCE, keyThumbprint: null, device: null }, null, '192.0.2.1', { ...MODES, source: 'off' })).toBe(NOT_BOUND)
  })

  test.each([
    ['192.0.2.1', '192.0.2.1'], ['2001:db8::1', '2001:db8:0:0::/64'], ['2001:0db8:0000:0000:ffff::1', '2001:db8:0:0::/64'], ['::1', '0:0:0:0::/64'], ['fe80::1%eth0', 'fe80:0:0:0::/64'], ['::', '0:0:0:0::/64'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'], ['1:2:3::', '1:2:3:0::/64'],
  ])('[BND5] %s is of %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })
})

describe('a route of one tenant', () => {
  const byPath: TextExpression['read'] = ({ params }) => params['tenant'] ?? null

  test.each([['/acme/x', 'baseline'], ['/other/x', 'binding_broken'], ['/ACME/x', 'binding_broken']])('[BND7] %s of a session of acme is %s', (path, expected) => {
    expect(answer({ tenant: byPath, path })).toBe(expected)
  })

  test('[BND7] refuses what cannot be read, what is empty, and a session without a tenant', () => {
    expect(answer({ tenant: () => null })).toBe('binding_broken')
    expect(answer({ tenant: () => '', session: { principal: { ...SESSION.principal, tenant: '' } } })).toBe('binding_broken')
    expect(answer({ tenant: byPath, session: { principal: { ...SESSION.principal, tenant: '' } } })).toBe('binding_broken')
  })

  test('[BND7] asks by the parameters of the route: those of a rule may have the same names', () => {
    expect(answer({ tenant: byPath, path: '/other/acme', rule: { paths: [pathPattern('/*/{tenant}')] } })).toBe('binding_broken')
  })

  test('[BND7] is only told of, or not asked about, where that is configured', () => {
    expect(answer({ tenant: byPath, path: '/other/x', modes: { tenant: 'observe' } })).toBe('baseline')
    expect(answer({ tenant: byPath, path: '/other/x', modes: { tenant: 'off' } })).toBe('baseline')
  })
})

describe('a session that a broker opened', () => {
  const brokered = (changes: Partial<Brokered> = {}): Brokered =>
    ({ broker: 'b', by: 'https://idp.test|orchestrator', claims: {}, possession: null, scopes: null, profiles: ['fix'], purposes: {}, barred: [], parent: null, ...changes })
  const parent = { key: 'key_0' as SessionKey, id: 'ses_0' as SessionId, baseline: ['db:read'], depth: 0 } // words of the test
  const off: BindingModes = { key: 'off', workload: 'off', device: 'off', source: 'off', tenant: 'off' }
  const there = (session: Partial<Session>, baselineKnown = true, baseline: Scope = ['db:read', 'db:write']): ParentView =>
    ({ is: 'there', standing: effective({ ...SESSION, ...session }, baseline, { find: () => null }, NO_LOCKS, policyOf(profile('fix', ['db:write'])), NOW), baselineKnown })

  test.each(others)('[BND7] is bound by its %s whatever the configuration asks of others', (_kind, shows) => {
    expect(answer({ ...shows, modes: off, session: { brokered: brokered() } })).toBe('binding_broken')
    expect(answer({ modes: off, session: { brokered: brokered() } })).toBe('baseline')
  })

  test('[PUR4] serves its purpose, and what shows another one is refused', () => {
    const session = { brokered: brokered({ purposes: { run: 'U' } }) }
    expect(answer({ session, purposes: { run: 'U' } })).toBe('baseline')
    expect(answer({ session, purposes: { run: 'V' } })).toBe('purpose_mismatch')
    expect(answer({ session })).toBe('purpose_mismatch')
  })

  test('[SES20] never does more than the scopes it was given, and no elevation lifts that', () => {
    const session = { brokered: brokered({ scopes: ['db:write'] }), elevations: [elevation('elv_1', { adds: ['db:read', 'db:write'] })] }
    expect(evaluate(caseOf({ session }))).toMatchObject({ reason: 'elevation_required', requestable: false })
    expect(answer({ session, rule: { scope: 'db:write' } })).toBe('elv_1')
  })

  test('[SES21] under another one does nothing when that one is gone or over', () => {
    const session = { brokered: brokered({ parent }) }
    expect(answer({ session, parent: there({}) })).toBe('baseline')
    expect(answer({ session, parent: { is: 'gone' } })).toBe('parent_ended')
    expect(answer({ session })).toBe('parent_ended')
    expect(answer({ session, parent: there({ state: { is: 'revoked', at: NOW, reason: 'revoked' } }) })).toBe('parent_ended')
    expect(answer({ session, parent: there({ endsAt: NOW }) })).toBe('parent_ended')
  })

  test('[SES21] is held while that one is frozen, and ends its permits no later', () => {
    const session = { brokered: brokered({ parent }) }
    expect(answer({ session, parent: there({ frozen: { since: NOW, note: '', until: null } }) })).toBe('frozen')
    expect(evaluate(caseOf({ session, parent: there({ endsAt: at(60) }) }))).toMatchObject({ effect: 'permit', until: at(60) })
    expect(evaluate(caseOf({ session, parent: there({ elevations: [elevation('elv_0')] }) }))).toMatchObject({ effect: 'permit', until: at(600) })
  })

  test('[SES21] is asked about again when the lock lifts by itself that refuses its parent', () => {
    const lock: Lock = { record: 'lock', id: 'lck_1' as LockId, selector: { kind: 'session', value: 'ses_0' }, version: 1, state: 'set', effect: 'deny', reason: 'locked', note: '', by: '', since: NOW, until: at(10) } // a word of the test
    const standing = effective({ ...SESSION, id: parent.id }, [], { find: () => null }, lockIndex([lock]), policyOf(), NOW)
    expect(caseOf({ session: { brokered: brokered({ parent }) }, parent: { is: 'there', standing, baselineKnown: true } }).standing).toMatchObject({ state: 'refused', reason: 'parent_ended', until: at(10) })
  })

  test('[SES21] does what that one may do now: its baseline, capped, and its elevations while they run', () => {
    const session = { brokered: brokered({ parent: { ...parent, baseline: ['db:read', 'db:write'] } }) }
    const write = { session, rule: { scope: 'db:write' }, baseline: ['db:read', 'db:write'] } as const
    expect(answer({ ...write, parent: there({}) })).toBe('baseline')
    expect(answer({ ...write, parent: there({ cap: { is: 'scopes', scopes: ['db:read'] } }) })).toBe('elevation_required')
    expect(answer({ ...write, parent: there({ cap: { is: 'scopes', scopes: ['db:read'] } }, false) })).toBe('elevation_required')
    expect(answer({ ...write, parent: there({}, true, ['db:read']) })).toBe('elevation_required')
    expect(answer({ ...write, parent: there({ elevations: [elevation('elv_0', { adds: ['db:write'] })] }, true, []) })).toBe('baseline')
    expect(answer({ ...write, parent: there({ elevations: [elevation('elv_0', { adds: ['db:write'], state: { is: 'ended', at: NOW, reason: 'revoked' } })] }, true, []) })).toBe('elevation_required')
  })

  test('[LIM1, SES21] does nothing by what is limited of that one: its requests would be counted by nobody', () => {
    const write = { session: { brokered: brokered({ parent }) }, rule: { scope: 'db:write' }, baseline: ['db:write'] } as const
    const lent = (budget: Elevation['budget']) => there({ elevations: [elevation('elv_0', { adds: ['db:write'], budget })] }, true, [])
    expect(answer({ ...write, parent: lent(null) })).toBe('baseline')
    expect(answer({ ...write, parent: lent({ counter: 'c', forgetAt: at(600) }) })).toBe('elevation_required')
  })

  const lockOn = (selector: Selector, effect: LockEffect): Lock =>
    ({ record: 'lock', id: 'lck_1' as LockId, selector, version: 1, state: 'set', effect, reason: 'locked', note: '', by: '', since: NOW, until: at(10) }) // a word of the test
  const locked = (selector: Selector, effect: LockEffect, session: Partial<Session> = {}) => {
    const locks = lockIndex([lockOn(selector, effect)])
    const above = effective({ ...SESSION, id: parent.id, credential: { ...SESSION.credential, keyId: 'k' }, ...session }, ['db:read'], { find: () => null }, locks, policyOf(profile('fix', ['db:write'])), NOW)
    return caseOf({ session: { brokered: brokered({ parent: { ...parent, baseline: ['db:read', 'db:write'] } }) }, baseline: ['db:read', 'db:write'], evidence: { issuedAt: at(1) }, locks, parent: { is: 'there', standing: above, baselineKnown: true } })
  }

  test.each<readonly [string, Selector]>([
    ['the credential', { kind: 'credential', value: 'cred_1' }], ['its key', { kind: 'keyId', value: 'k' }], ['its key at its issuer', { kind: 'keyId', value: 'https://idp.test|k' }],
    ['its time', { kind: 'issuedBefore', value: String(NOW) }], ['its time for its subject', { kind: 'issuedBefore', value: `${NOW} https://idp.test|agent` }],
  ])('[SES21, ENF8] a lock on %s of the parent ends, holds and narrows what was delegated by it', (_what, selector) => {
    const elevated = { elevations: [elevation('elv_0', { adds: ['db:write'] })] }
    expect(evaluate(locked(selector, 'deny'))).toMatchObject({ effect: 'refuse', reason: 'parent_ended' })
    expect(locked(selector, 'deny').standing?.until).toBe(at(10))
    expect(evaluate(locked(selector, 'freeze'))).toMatchObject({ effect: 'refuse', reason: 'frozen' })
    expect(locked(selector, 'baseline', elevated).standing?.baseline).toEqual(['db:read'])
    expect(locked({ kind: 'credential', value: 'other' }, 'deny', elevated).standing?.baseline).toEqual(['db:read', 'db:write'])
  })

  test('[SES21, SES6] ends with the newest credential of its parent, unless sessions outlive theirs', () => {
    const session = { brokered: brokered({ parent }) }
    const ended = { credential: { ...SESSION.credential, expiresAt: NOW } }
    expect(answer({ session, parent: there(ended) })).toBe('parent_ended')
    expect(answer({ session, parent: there(ended), credentialEnd: 'ignore' })).toBe('baseline')
    expect(evaluate(caseOf({ session, parent: there({ credential: { ...SESSION.credential, expiresAt: at(30) } }) }))).toMatchObject({ until: at(30) })
  })

  test('[SES21, PUR2, BND1] an elevation of the parent carries it only for the purpose, the key and the workload of that elevation', () => {
    const lent = (changes: Partial<Elevation>, own: Partial<Brokered> = {}, bindings: Bindings = NOT_BOUND) => answer({
      session: { bindings, brokered: brokered({ ...own, parent: { ...parent, baseline: [] } }) }, rule: { scope: 'db:write' }, baseline: ['db:write'], purposes: own.purposes ?? {},
      parent: there({ elevations: [elevation('elv_0', { adds: ['db:write'], ...changes })] }, true, []),
    })
    expect(lent({})).toBe('baseline')
    expect([lent({ purposes: { ticket: 'T1' } }), lent({ purposes: { ticket: 'T1' } }, { purposes: { ticket: 'T2' } }), lent({ purposes: { ticket: 'T1' } }, { purposes: { ticket: 'T1' } })]).toEqual(['elevation_required', 'elevation_required', 'baseline'])
    expect([lent({ keyThumbprint: 'k1' }), lent({ keyThumbprint: 'k1' }, {}, { ...NOT_BOUND, key: 'k1' })]).toEqual(['elevation_required', 'baseline'])
    expect([lent({ workload: 'pod/1' }), lent({ workload: 'spiffe://test/a' }, {}, { ...NOT_BOUND, workload: 'spiffe://test/a' })]).toEqual(['elevation_required', 'baseline'])
  })

  test('[SES21] is held where a lock holds the elevation of its parent that it stands on', () => {
    const locks = lockIndex([lockOn({ kind: 'profile', value: 'fix' }, 'freeze')])
    const standing = effective({ ...SESSION, id: parent.id, elevations: [elevation('elv_0', { adds: ['db:write'] })] }, [], { find: () => null }, locks, policyOf(profile('fix', ['db:write'])), NOW)
    const held = { session: { brokered: brokered({ parent: { ...parent, baseline: [] } }) }, baseline: ['db:write'], parent: { is: 'there', standing, baselineKnown: true } } as const
    expect(answer({ ...held, rule: { scope: 'db:write' } })).toBe('frozen')
    expect(answer({ ...held, rule: { scope: 'db:read' } })).toBe('elevation_required')
  })

  test('[SES20] ends with its broker', () => {
    expect(answer({ session: { brokered: brokered({ broker: 'gone' }) } })).toBe('session_ended')
  })

  test('[SES21] of a parent whose credential was not seen here does no more than that might do when it delegated', () => {
    const session = { brokered: brokered({ parent }) }
    expect(answer({ session, baseline: ['db:read', 'db:write'], parent: there({}, false, []) })).toBe('baseline')
    expect(answer({ session, baseline: ['db:read', 'db:write'], rule: { scope: 'db:write' }, parent: there({}, false, []) })).toBe('elevation_required')
  })
})
