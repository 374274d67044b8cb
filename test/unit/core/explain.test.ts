// An explanation is the judge's own answer taken apart: it never says anything else than the judge does.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Lock, LOCK_EFFECTS, type LockId } from '../../../src/core/anchor.ts'
import type { Case } from '../../../src/core/checks/check.ts'
import { grantName } from '../../../src/core/decision.ts'
import { effective } from '../../../src/core/effective.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Evaluation } from '../../../src/core/evaluation.ts'
import { explain } from '../../../src/core/explain.ts'
import { lockIndex } from '../../../src/core/locks.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { NO_ACTS, NO_STANDING, type RiskLevel } from '../../../src/core/risk.ts'
import { placeOf, type Route, routeTable, type Rule } from '../../../src/core/route.ts'
import type { Session } from '../../../src/core/session.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const RULE: Rule = { name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: 'db:write', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }
const ROUTE: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject',
  upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules: [RULE],
}
const level = (acts: Partial<RiskLevel['acts']>): RiskLevel => ({ name: 'watched', at: 20, acts: { ...NO_ACTS, ...acts } })

const LEVELS: readonly Partial<RiskLevel['acts']>[] = [{}, { stepUp: true }, { freeze: true }, { terminate: true }, { narrow: { to: null, ownTenant: false } }, { narrow: { to: ['db:read'], ownTenant: false } }]
const CAPS: readonly Session['cap'][] = [{ is: 'none' }, { is: 'baseline', scopes: null }, { is: 'scopes', scopes: ['db:read'] }]

const seldom = fc.integer({ min: 0, max: 5 }).map(n => n === 0)

/** What may be otherwise about a session's `POST /db`. */
const worlds = fc.record({
  scope: fc.constantFrom('db:write', 'db:read', null), deny: seldom, observe: seldom, excluded: fc.boolean(), stepUp: fc.boolean(),
  cap: fc.constantFrom(...CAPS), frozen: seldom, ended: seldom, tainted: seldom, acts: fc.option(fc.constantFrom(...LEVELS)), lock: fc.option(fc.constantFrom(...LOCK_EFFECTS), { freq: 2 }), locked: fc.constantFrom<Lock['selector']>({ kind: 'session', value: 'ses_1' }, { kind: 'route', value: 'api' }, { kind: 'profile', value: 'fix' }),
  elevations: fc.uniqueArray(fc.record({ id: fc.constantFrom('e1', 'e2', 'e3'), ticket: fc.boolean(), over: seldom, spent: seldom, key: seldom }), { selector: ({ id }) => id, maxLength: 3 }), ticket: fc.boolean(),
})
type World = typeof worlds extends fc.Arbitrary<infer W> ? W : never

function caseOf(world: World): Case {
  const rule: Rule = { ...RULE, scope: world.scope, effect: world.deny ? 'deny' : 'allow', notAfter: world.excluded ? ['secrets'] : [], stepUp: world.stepUp ? { at: 0, rules: NO_RISK.stepUp } : null }
  const route: Route = { ...ROUTE, mode: world.observe ? 'observe' : 'enforce', rules: [rule] }
  const policy: Policy = { ...policyOf(profile('fix', ['db:write'])), table: routeTable([route]), routes: [route], risk: { ...NO_RISK, levels: world.acts === null ? [] : [level(world.acts)] } }
  const session: Session = {
    ...SESSION, cap: world.cap, frozen: world.frozen ? { since: NOW, note: '', until: at(60) } : null, state: world.ended ? { is: 'revoked', at: NOW, reason: 'revoked' } : { is: 'live' },
    taints: world.tainted ? [{ name: 'secrets', since: NOW, until: at(60), rule: 'api#1', exchange: 'exc_1' }] : [],
    elevations: world.elevations.map(({ id, ticket, over, spent, key }) => elevation(id, { purposes: ticket ? { ticket: 'T-1' } : {}, spent, keyThumbprint: key ? 'k' : null, ...(over ? { state: { is: 'ended', at: NOW, reason: 'released' } } : {}) })),
  }
  const evaluation: Evaluation = {
    evidence: { provider: 'login', fingerprint: 'f', credential: 'cred_1', issuer: 'https://idp.test', keyId: null, issuedAt: NOW, expiresAt: at(3_600), keyThumbprint: null, device: null, claimed: {} }, action: { method: 'POST', upgrade: null, call: null },
    resource: { host: 'api.test', path: '/db', segments: ['db'], query: '' }, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, ...PLAIN_CONTEXT, purposes: world.ticket ? { ticket: 'T-1' } : {}, headers: [] },
  }
  const locks = lockIndex(world.lock === null ? [] : [{ record: 'lock', id: 'lck_1' as LockId, selector: world.locked, version: 1, state: 'set', effect: world.lock, reason: 'locked', note: '', by: 'operator', since: NOW, until: at(90) }]) // a test word
  const mark = { name: 'watched', at: 20, score: 25, since: NOW, who: 'https://idp.test|agent', why: { contributions: [], tenants: [], request: null } }
  const standing = effective(session, ['db:read'], { find: () => null }, locks, policy, NOW, { is: 'gone' }, {}, { ...NO_STANDING, level: world.acts === null ? null : mark })
  return { now: NOW, confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks, standing, claims: {}, held: null, exchange: null, paid: null, external: null }
}

const AFTER_CHECKS: ReadonlySet<string> = new Set(['step_up_required'])

describe('an explanation', () => {
  test('[EXP1] is the judge\'s answer, with the check that gave it and what could carry it', () => {
    const seen = new Set<string>()
    fc.assert(fc.property(worlds, world => {
      const c = caseOf(world)
      const { decision, checks, candidates } = explain(c)
      expect(decision).toEqual(evaluate(c))
      const refusing = checks.find(({ refuses }) => refuses !== null)?.refuses ?? null
      const carrying = candidates.filter(({ fault }) => fault === null).map(({ grant }) => grant)
      const reason = decision.effect === 'refuse' ? decision.reason : decision.would
      seen.add(reason ?? 'permit')
      if (refusing !== null) expect(reason).toBe(refusing)
      else if (reason === null) expect(carrying).toContain(decision.effect === 'permit' ? grantName(decision.grant) : '')
      else if (!AFTER_CHECKS.has(reason)) expect(carrying).toEqual([])
      else expect(carrying).not.toEqual([])
    }), { numRuns: 6_000 })
    for (const reason of ['permit', 'denied', 'locked', 'frozen', 'revoked', 'tainted', 'risk', 'narrowed', 'elevation_required', 'step_up_required', 'purpose_missing', 'limit_reached', 'binding_broken']) expect([...seen]).toContain(reason)
  })

  test('[EXP1] names for each refusal what would turn it', () => {
    const remedies: ReadonlyMap<string, string> = new Map([['elevation_required', 'elevation'], ['step_up_required', 'stepUp'], ['tainted', 'taint'], ['locked', 'lock'], ['risk', 'level'], ['purpose_missing', '']])
    fc.assert(fc.property(worlds, world => {
      const { decision, remedies: found } = explain(caseOf(world))
      const expected = decision.effect === 'refuse' ? remedies.get(decision.reason) : undefined
      if (expected !== undefined && expected !== '') expect(found.map(({ is }) => is)).toContain(expected)
      if (decision.effect === 'refuse' && (decision.reason === 'narrowed' || decision.reason === 'frozen')) expect(found).not.toEqual([])
      if (decision.effect === 'permit' && decision.would === null) expect(found).toEqual([])
    }), { numRuns: 2_000 })
  })

  test('[EXP1] of a step-up says whether something covers it already', () => {
    const world: World = { scope: 'db:read', deny: false, observe: false, excluded: false, stepUp: true, cap: { is: 'none' }, frozen: false, ended: false, tainted: false, acts: null, lock: null, locked: { kind: 'session', value: 'ses_1' }, elevations: [], ticket: false }
    expect(explain(caseOf(world)).stepUp).toMatchObject({ because: 'api#1', covered: null })
    expect(explain(caseOf({ ...world, stepUp: false })).stepUp).toBeNull()
  })
})
