// The judge, by itself: what is asked first, which grant carries a request, until when, and what observing softens.
import { describe, expect, test } from 'vitest'
import { type Lock, LOCK_EFFECTS, type LockEffect, type LockId, type Selector } from '../../../src/core/anchor.ts'
import type { Case } from '../../../src/core/checks/check.ts'
import type { Condition, ConditionInput, SubjectCondition } from '../../../src/core/condition.ts'
import { type Grant, grantName, type Permit, refuse } from '../../../src/core/decision.ts'
import { effective } from '../../../src/core/effective.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Elevation, ElevationId } from '../../../src/core/elevation.ts'
import type { Evaluation } from '../../../src/core/evaluation.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import { lockIndex } from '../../../src/core/locks.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { baselineOf, type Policy } from '../../../src/core/policy.ts'
import type { Claims } from '../../../src/core/principal.ts'
import type { Purposes } from '../../../src/core/purpose.ts'
import { placeOf, type Route, routeTable, type Rule } from '../../../src/core/route.ts'
import type { EndReason } from '../../../src/core/reason.ts'
import { intersection, type Scope, scopeOf } from '../../../src/core/scope.ts'
import type { Session } from '../../../src/core/session.ts'
import { duration, FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { type Progress, reassess } from '../../../src/core/verdict.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'

const EVIDENCE: Evidence = { provider: 'login', fingerprint: 'f', credential: 'cred_1', issuer: 'https://idp.test', keyId: null, issuedAt: NOW, expiresAt: at(3_600), keyThumbprint: null, device: null, claimed: {} }
const RULE: Rule = { name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: 'db:write', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }
const ROUTE: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject',
  upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules: [RULE],
}
const FREE: Partial<Rule> = { scope: null }

/** What a test changes of one session's `GET /db`, on a rule that wants `db:write`. */
type World = {
  readonly rule?: Partial<Rule>
  readonly rules?: readonly Partial<Rule>[]
  readonly route?: Partial<Route>
  readonly path?: string
  readonly method?: string
  readonly session?: Partial<Session> | null
  readonly baseline?: Scope
  readonly purposes?: Purposes
  readonly evidence?: Partial<Evidence> | null
  readonly locks?: readonly Lock[]
  readonly policy?: Partial<Policy>
  readonly rulesOfSessions?: Partial<Policy['sessions']>
  readonly now?: Instant
  readonly confirmedUntil?: Instant
  readonly vouchedUntil?: Instant
  readonly held?: string
  readonly claims?: Claims
}

function caseOf(world: World): Case {
  const { now = NOW, session = {}, evidence = {}, path = '/db' } = world
  const route: Route = { ...ROUTE, rules: (world.rules ?? [world.rule ?? {}]).map((rule, i) => ({ ...RULE, name: `api#${i + 1}`, ...rule })), ...world.route }
  const plain = policyOf(profile('fix', ['db:write']), profile('mail', ['mail:send']))
  const policy: Policy = { ...plain, table: routeTable([route]), routes: [route], ...world.policy, sessions: { ...plain.sessions, ...world.rulesOfSessions } }
  const evaluation: Evaluation = {
    evidence: evidence === null ? null : { ...EVIDENCE, ...evidence }, action: { method: world.method ?? 'GET', upgrade: null, call: null },
    resource: { host: 'api.test', path, segments: path.slice(1).split('/'), query: '' },
    context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: world.purposes ?? {}, ...PLAIN_CONTEXT, headers: [] },
  }
  const locks = lockIndex(world.locks ?? [])
  const standing = session === null ? null : effective({ ...SESSION, ...session }, world.baseline ?? [], { find: () => null }, locks, policy, now)
  return { now, confirmedUntil: world.confirmedUntil ?? FOREVER, vouchedUntil: world.vouchedUntil ?? FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks, standing, claims: world.claims ?? {}, held: (world.held ?? null) as ElevationId | null, exchange: null, paid: null, external: null } // a test word
}

/** The grant's name, or the reason. */
function answer(world: World): string {
  const decision = evaluate(caseOf(world))
  return decision.effect === 'permit' ? grantName(decision.grant) : decision.reason
}
const permitOf = (world: World): Permit => {
  const decision = evaluate(caseOf(world))
  if (decision.effect === 'refuse') throw new Error(decision.reason)
  return decision
}

const lock = (kind: Selector['kind'], value: string, effect: LockEffect = 'deny', until: Instant | null = null): Lock =>
  ({ record: 'lock', id: 'lck_1' as LockId, selector: { kind, value }, version: 1, state: 'set', effect, reason: 'locked', note: '', by: 'operator', since: NOW, until }) // a test word
const active = (id: string, until: number, changes: Partial<Elevation> = {}): Elevation => elevation(id, { state: { is: 'active', since: NOW, until: at(until) }, ...changes })
const condition = (test: (input: ConditionInput) => 'true' | 'false' | 'error', readsElevation = false): Condition => ({ source: 'test', readsElevation, readsBody: false, readsMcp: false, readsArguments: false, test })
const E1 = { session: { elevations: [active('e1', 60)] } }
const REVOKED: Partial<Session> = { state: { is: 'revoked', at: NOW, reason: 'revoked' } }
const FROZEN: Partial<Session> = { frozen: { since: NOW, note: '', until: null } }

describe('the route', () => {
  test('[DEC2] without a matching rule it refuses, whatever the session holds', () => {
    expect(answer({ ...E1, rules: [] })).toBe('no_rule')
    expect(answer({ ...E1, rule: { methods: new Set(['POST']) } })).toBe('no_rule')
    expect(answer({ ...E1, baseline: ['db:write'], rule: { effect: 'deny' } })).toBe('denied')
  })

  test('[DEC2] the first rule whose selector matches decides, also where a later one would allow', () => {
    const allow: Partial<Rule> = { scope: null }
    expect(answer({ rules: [{ effect: 'deny', paths: [pathPattern('/db')] }, allow] })).toBe('denied')
    expect(answer({ rules: [allow, { effect: 'deny' }] })).toBe('baseline')
    expect(answer({ rules: [{ scope: 'never:given' }, allow] })).toBe('elevation_required')
  })

  test('[DEC2] a path that an upstream may read as one under another rule is refused', () => {
    const rules = [{ effect: 'deny', paths: [pathPattern('/admin')] }, { scope: null }] as const
    expect(['/Admin', '/admin;x=1', '/ADMIN'].map(path => answer({ rules, path }))).toEqual(['path_ambiguous', 'path_ambiguous', 'path_ambiguous'])
    expect(answer({ rules, path: '/Other' })).toBe('baseline')
    expect(answer({ rules, path: '/Admin', route: { upstreamFolds: { case: false, params: false } } })).toBe('baseline')
  })
})

test('[DEC1] the order in which things are asked: each refusal hides what comes after it and nothing before it', () => {
  const layers: readonly (readonly [string, World])[] = [
    ['no_rule', { rules: [] }],
    ['stale', { confirmedUntil: NOW }],
    ['locked', { locks: [lock('route', 'api')] }],
    ['frozen', { session: FROZEN }],
    ['authentication_insufficient', { rule: { requireAuth: { acr: ['gold'], maxAge: null } } }],
    ['elevation_required', {}],
  ]
  for (const [i, [reason]] of layers.entries()) expect(answer(layers.slice(i).map(([, world]) => world).reduce((all, world) => ({ ...world, ...all }), {}))).toBe(reason)
  expect(answer({ session: { ...REVOKED, notBefore: NOW, credential: { ...SESSION.credential, expiresAt: NOW } } })).toBe('revoked')
  expect(answer({ session: { notBefore: NOW, credential: { ...SESSION.credential, expiresAt: NOW } }, evidence: { expiresAt: NOW } })).toBe('credential_revoked')
  expect(answer({ session: { credential: { ...SESSION.credential, expiresAt: NOW } }, evidence: { expiresAt: NOW } })).toBe('credential_ended')
})

describe('the sign-in a rule asks for', () => {
  const asks = (acr: readonly string[], maxAge: number | null, more: Partial<Rule> = FREE): World => ({ rule: { ...more, requireAuth: { acr, maxAge: maxAge === null ? null : duration(maxAge * 1_000) } } })
  const SECONDS = NOW / 1_000

  test('[BND6] one of the named `acr` values, exactly; nothing else counts as one', () => {
    for (const acr of ['gold', 'silver']) expect(answer({ ...asks(['gold', 'silver'], null), claims: { acr } })).toBe('baseline')
    for (const acr of ['Gold', 'gold ', 'bronze', '', null, undefined, true, 1, ['gold'], { gold: true }]) expect(answer({ ...asks(['gold', 'silver'], null), claims: { acr } }), JSON.stringify(acr)).toBe('authentication_insufficient')
    expect(answer({ ...asks(['gold'], null), claims: {} })).toBe('authentication_insufficient')
  })

  test('[BND6] `auth_time` bounds it to the millisecond, and the permit ends with it', () => {
    const signedIn = (ago: unknown): World => ({ ...asks([], 300), claims: { auth_time: ago } })
    expect(permitOf(signedIn(SECONDS)).until).toBe(at(300))
    expect(permitOf(signedIn(SECONDS - 299.999)).until).toBe(NOW + 1)
    expect(answer(signedIn(SECONDS - 300))).toBe('authentication_insufficient')
    expect(permitOf(signedIn(SECONDS + 60)).until).toBe(at(360)) // an issuer whose clock is ahead
    for (const wrong of [undefined, null, String(SECONDS), SECONDS + 61, NOW, -1, Number.NaN, Infinity, [SECONDS], true]) expect(answer(signedIn(wrong)), String(wrong)).toBe('authentication_insufficient')
    expect(permitOf({ ...asks(['gold'], null), claims: { acr: 'gold' } }).until).toBe(SESSION.endsAt)
  })

  test('[BND6] both are asked where both are named, on an elevation too, and observing softens neither', () => {
    const both = asks(['gold'], 300, {})
    expect(answer({ ...E1, ...both, claims: { acr: 'gold', auth_time: SECONDS } })).toBe('e1')
    expect(permitOf({ ...E1, ...both, claims: { acr: 'gold', auth_time: SECONDS - 290 } }).until).toBe(at(10))
    for (const claims of [{ acr: 'gold' }, { auth_time: SECONDS }, { acr: 'iron', auth_time: SECONDS }, { acr: 'gold', auth_time: SECONDS - 301 }]) {
      expect(answer({ ...E1, ...both, claims })).toBe('authentication_insufficient')
      expect(answer({ ...E1, ...both, claims, route: { mode: 'observe' } })).toBe('authentication_insufficient')
    }
  })

  test('[BND6, ENF3] what is open ends when the sign-in is too old, and goes on where a newer one showed', () => {
    const held: Grant = { is: 'baseline' }
    const later = (auth_time: number) => reassess(held, caseOf({ ...asks([], 300), now: at(300), claims: { auth_time } }))
    expect(later(SECONDS)).toEqual({ kind: 'terminate', reason: 'authentication_insufficient' })
    expect(later(SECONDS + 200)).toMatchObject({ kind: 'continue', permit: { until: at(500) } })
  })
})

describe('which grant', () => {
  const three = { elevations: [active('late', 90), active('b', 30), active('a', 30)] }

  test('[DEC4] the baseline before elevations, then the earliest end, then the id', () => {
    expect(answer({ session: three, baseline: ['db:write'] })).toBe('baseline')
    expect(answer({ session: three })).toBe('a')
    expect(answer({ session: { elevations: three.elevations.slice(0, 2) } })).toBe('b')
  })

  test('[DEC4] only what adds the scope is a candidate; a rule without scope needs nothing more', () => {
    expect(answer({ session: { elevations: [active('mail', 10, { profile: 'mail', adds: ['mail:send'] }), active('e1', 60)] } })).toBe('e1')
    expect(answer({ ...E1, rule: FREE })).toBe('baseline')
    expect(answer({ baseline: ['db:writer', 'db'] })).toBe('elevation_required')
  })

  test('[DEC4] an open exchange keeps its grant while it holds, also where one comes before it', () => {
    expect(answer({ session: three, held: 'late' })).toBe('late')
    expect(answer({ session: three, baseline: ['db:write'], held: 'b' })).toBe('b')
    expect(answer({ session: three, held: 'gone' })).toBe('a')
  })

  test('[LIM1, ENF3] what has limits takes over nothing that is open, as it was not paid; what it carries itself goes on, though it is spent', () => {
    const over = elevation('e1', { state: { is: 'ended', at: NOW, reason: 'released' } })
    const counted = { ...active('e2', 90), budget: { counter: 'c', forgetAt: at(600) } }
    const heldBy = (id: string): Grant => ({ is: 'elevation', elevation: active(id, 60), schedules: [] })
    expect(reassess(heldBy('e1'), caseOf({ session: { elevations: [over, counted] }, held: 'e1' }))).toEqual({ kind: 'terminate', reason: 'released' })
    expect(reassess({ is: 'baseline' }, caseOf({ session: { elevations: [counted] } }))).toEqual({ kind: 'terminate', reason: 'elevation_required' })
    expect(reassess(heldBy('e2'), caseOf({ session: { elevations: [counted] }, held: 'e2' }))).toMatchObject({ kind: 'continue' })
    expect(reassess(heldBy('e2'), caseOf({ session: { elevations: [{ ...counted, spent: true }] }, held: 'e2' }))).toMatchObject({ kind: 'continue' })
    expect(answer({ session: { elevations: [{ ...counted, spent: true }] } })).toBe('limit_reached')
  })

  test('[ELV14] what is whole finishes behind an end by time, window or limit where its rule says so, once and for so long; behind any other end it is cut', () => {
    const rule: Partial<Rule> = { scope: 'db:write', atEnd: duration(30_000) }
    const holding: Grant = { is: 'elevation', elevation: elevation('e1'), schedules: [] }
    const ended = (reason: EndReason) => elevation('e1', { state: { is: 'ended', at: NOW, reason } })
    const verdict = (reason: EndReason, progress: Omit<Progress, 'openedAt'> = { whole: true, finishUntil: null, scopes: null }, more: Partial<World> = {}) =>
      reassess(holding, caseOf({ rule, session: { elevations: [ended(reason)] }, held: 'e1', ...more }), { ...progress, openedAt: NOW })
    for (const reason of ['time_up', 'window_closed', 'limit_reached'] as const) expect(verdict(reason)).toEqual({ kind: 'finish', reason, until: at(30) })
    for (const reason of ['revoked', 'released', 'approval_withdrawn', 'ticket_closed', 'purpose_over', 'recording_failed'] as const) expect(verdict(reason)).toEqual({ kind: 'terminate', reason })
    expect(verdict('time_up', { whole: false, finishUntil: null, scopes: null })).toEqual({ kind: 'terminate', reason: 'time_up' })
    expect(verdict('time_up', { whole: true, finishUntil: at(10), scopes: null }, { now: at(5) })).toEqual({ kind: 'finish', reason: 'time_up', until: at(10) })
    expect(verdict('time_up', { whole: true, finishUntil: at(10), scopes: null }, { now: at(10) })).toEqual({ kind: 'terminate', reason: 'time_up' })
    expect(verdict('time_up', undefined, { rule: { scope: 'db:write' } })).toEqual({ kind: 'terminate', reason: 'time_up' })
    expect(verdict('time_up', undefined, { session: { elevations: [ended('time_up')], endsAt: at(7) } })).toEqual({ kind: 'finish', reason: 'time_up', until: at(7) })
    expect(verdict('time_up', undefined, { locks: [lock('subject', 'agent')] })).toMatchObject({ kind: 'terminate' })
    expect(verdict('time_up', undefined, { session: { elevations: [ended('time_up')], frozen: { since: NOW, note: '', until: null } } })).toMatchObject({ kind: 'freeze' })
  })

  test('[ELV14] what finishes ends at once for whatever else would have ended it: a lock, a narrowing, its profile, its conditions, what it shows', () => {
    const rule: Partial<Rule> = { scope: 'db:write', atEnd: duration(30_000) }
    const over = elevation('e1', { state: { is: 'ended', at: NOW, reason: 'time_up' } })
    const verdict = (more: Partial<World> = {}, lasted: Partial<Elevation> = {}) =>
      reassess({ is: 'elevation', elevation: { ...over, ...lasted }, schedules: [] }, caseOf({ rule, session: { elevations: [over] }, held: 'e1', now: at(5), ...more }), { whole: true, finishUntil: null, openedAt: NOW, scopes: null })
    const narrowed = { kind: 'terminate', reason: 'narrowed' }
    expect(verdict()).toEqual({ kind: 'finish', reason: 'time_up', until: at(30) })
    for (const selector of [['elevation', 'e1'], ['profile', 'fix']] as const) for (const effect of ['deny', 'freeze', 'baseline'] as const) expect(verdict({ locks: [lock(selector[0], selector[1], effect)] })).toEqual({ kind: 'terminate', reason: 'locked' })
    for (const selector of [['route', 'api'], ['subject', 'agent'], ['session', SESSION.id]] as const) expect(verdict({ locks: [lock(selector[0], selector[1], 'baseline')] })).toEqual(narrowed)
    expect(verdict({ session: { elevations: [over], cap: { is: 'baseline', scopes: null } } })).toEqual(narrowed)
    expect(verdict({ session: { elevations: [over], barred: ['fix'] } })).toEqual(narrowed)
    expect(verdict({ policy: { profiles: new Map() } })).toEqual({ kind: 'terminate', reason: 'profile_removed' })
    expect(verdict({ policy: policyOf(profile('fix', ['db:read'])) })).toEqual(narrowed)
    expect(verdict({ rule: { ...rule, condition: condition(() => 'false') } })).toEqual({ kind: 'terminate', reason: 'condition_false' })
    expect(verdict({}, { purposes: { ticket: 'T-1' } })).toEqual({ kind: 'terminate', reason: 'purpose_missing' })
    expect(verdict({ vouchedUntil: at(9) }), 'no longer than its credential is vouched for').toEqual({ kind: 'finish', reason: 'time_up', until: at(9) })
    expect(verdict({ now: at(30) }), 'held behind its end for longer than that').toEqual({ kind: 'terminate', reason: 'time_up' })
  })

  test('[DEC4, ENF3] what it held is lost: it goes on under the next, or ends for the reason of the loss', () => {
    const over = elevation('e1', { state: { is: 'ended', at: NOW, reason: 'released' } })
    const held: Grant = { is: 'elevation', elevation: active('e1', 60), schedules: [] }
    expect(reassess(held, caseOf({ session: { elevations: [active('e1', 60)] }, held: 'e1' }))).toMatchObject({ kind: 'continue' })
    expect(reassess(held, caseOf({ session: { elevations: [over, active('e2', 90)] }, held: 'e1' }))).toMatchObject({ kind: 'regrant', permit: { grant: { elevation: { id: 'e2' } }, until: at(90) } })
    expect(reassess(held, caseOf({ session: { elevations: [over] }, baseline: ['db:write'], held: 'e1' }))).toMatchObject({ kind: 'regrant', permit: { grant: { is: 'baseline' } } })
    expect(reassess(held, caseOf({ session: { elevations: [over] }, held: 'e1' }))).toEqual({ kind: 'terminate', reason: 'released' })
    expect(reassess({ is: 'baseline' }, caseOf({}))).toEqual({ kind: 'terminate', reason: 'elevation_required' })
    expect(reassess(held, caseOf({ session: { ...FROZEN, elevations: [active('e1', 60)] }, held: 'e1' }))).toEqual({ kind: 'freeze', reason: 'frozen' })
  })

  test('[CRD12] what its upstream was shown for a grant goes over to no other, be it the baseline', () => {
    const over = elevation('e1', { state: { is: 'ended', at: NOW, reason: 'released' } })
    const held: Grant = { is: 'elevation', elevation: active('e1', 60), schedules: [] }
    const route = { brokered: true }
    expect(reassess(held, caseOf({ route, session: { elevations: [active('e1', 60)] }, held: 'e1' }))).toMatchObject({ kind: 'continue' })
    expect(reassess(held, caseOf({ route, session: { elevations: [over, active('e2', 90)] }, held: 'e1' }))).toMatchObject({ kind: 'terminate' })
    expect(reassess(held, caseOf({ route, session: { elevations: [over] }, baseline: ['db:write'], held: 'e1' }))).toMatchObject({ kind: 'terminate' })
    expect(reassess({ is: 'baseline' }, caseOf({ route, session: { elevations: [active('e1', 60)] } }))).toEqual({ kind: 'terminate', reason: 'elevation_required' })
  })

  test('[DEC4] the condition decides between candidates, and the first that holds is the grant', () => {
    const only = (id: string | null) => ({ rule: { condition: condition(({ elevation: e }) => (e?.id === id || (e === null && id === null) ? 'true' : 'false')) } })
    expect(answer({ session: three, ...only('late') })).toBe('late')
    expect(answer({ session: three, ...only('late'), held: 'a' })).toBe('late')
    expect(answer({ session: three, baseline: ['db:write'], ...only('b') })).toBe('b')
    expect(answer({ session: three, baseline: ['db:write'], ...only(null) })).toBe('baseline')
    expect(answer({ session: three, baseline: ['db:write'], ...only('none') })).toBe('condition_false')
  })
})

describe('conditions', () => {
  test('[DEC5] false and error refuse, as what they are', () => {
    expect(answer({ baseline: ['db:write'], rule: { condition: condition(() => 'false') } })).toBe('condition_false')
    expect(answer({ baseline: ['db:write'], rule: { condition: condition(() => 'error') } })).toBe('condition_error')
    expect(answer({ rule: { ...FREE, condition: condition(() => 'error') } })).toBe('condition_error')
    expect(answer({ ...E1, rule: { condition: condition(({ elevation: e }) => (e === null ? 'true' : 'error')) } })).toBe('condition_error')
  })

  test('[DEC5] asked once for each candidate, with its elevation bound and none on baseline', () => {
    const asked: (string | null)[] = []
    const noting = condition(({ elevation: e, session, principal }) => {
      asked.push(e?.id ?? null)
      expect([session, principal]).toEqual([SESSION.id, SESSION.principal])
      return 'false'
    })
    answer({ session: { elevations: [active('e1', 60), active('e2', 90)] }, baseline: ['db:write'], rule: { condition: noting } })
    expect(asked).toEqual([null, 'e1', 'e2'])
  })

  test('[DEC5] one that reads the elevation is false on baseline, unasked', () => {
    let asked = 0
    const reading = condition(({ elevation: e }) => {
      asked++
      return e === null ? 'error' : 'true'
    }, true)
    expect(answer({ baseline: ['db:write'], rule: { condition: reading } })).toBe('condition_false')
    expect(asked).toBe(0)
    expect(answer({ ...E1, baseline: ['db:write'], rule: { condition: reading } })).toBe('e1')
  })

  test('[DEC5] a condition gives no scope: it is asked only where the scope is there', () => {
    expect(answer({ rule: { condition: condition(() => 'true') } })).toBe('elevation_required')
  })
})

describe('without a session', () => {
  test('[DEC2] an anonymous rule has a Permit of its own and needs none; every other rule wants a credential', () => {
    expect(permitOf({ session: null, evidence: null, rule: { ...FREE, anonymous: true } })).toMatchObject({ grant: { is: 'anonymous' }, until: FOREVER, would: null })
    expect(answer({ session: null, evidence: null, rule: FREE })).toBe('no_credential')
    expect(answer({ session: null, evidence: null })).toBe('no_credential')
    expect(answer({ session: null, evidence: null, route: { mode: 'observe' } })).toBe('no_credential')
  })

  test('[ENF8] locks on everybody and on the route meet it too', () => {
    const open: World = { session: null, evidence: null, rule: { ...FREE, anonymous: true } }
    expect(answer({ ...open, locks: [lock('all', '')] })).toBe('locked')
    expect(answer({ ...open, locks: [lock('route', 'api', 'freeze')] })).toBe('frozen')
    expect(answer({ ...open, locks: [lock('all', '', 'baseline')] })).toBe('anonymous')
  })
})

describe('until', () => {
  const until = (world: World): number => permitOf(world).until

  test('[ENF4, SES6] the earliest of grant, session and credential', () => {
    expect(until(E1)).toBe(at(60))
    expect(until({ session: { ...E1.session, endsAt: at(50) } })).toBe(at(50))
    expect(until({ session: { ...E1.session, credential: { ...SESSION.credential, expiresAt: at(40) } }, evidence: { expiresAt: at(40) } })).toBe(at(40))
    expect(until({ baseline: ['db:write'] })).toBe(at(3_600))
    expect(until({ baseline: ['db:write'], session: { endsAt: at(7_200), credential: { ...SESSION.credential, expiresAt: null } }, evidence: { expiresAt: null } })).toBe(at(7_200))
  })

  test('[SES6] of the newest credential: the one of the session, or the one shown where it was issued later or, issued together, ends later', () => {
    const shown = (issued: number, own: number, newest: number) => ({ baseline: ['db:write'], session: { credential: { ...SESSION.credential, expiresAt: at(newest) } }, evidence: { issuedAt: at(issued), expiresAt: at(own) } })
    expect([until(shown(0, 10, 100)), until(shown(0, 100, 10)), until(shown(-1, 100, 10)), until(shown(1, 10, 100))]).toEqual([at(100), at(100), at(10), at(10)])
    expect(answer({ ...shown(0, 10, 100), now: at(99) })).toBe('baseline')
    expect(answer({ ...shown(0, 10, 100), now: at(100) })).toBe('credential_ended')
    expect(answer({ ...shown(0, 10, 10), now: instant(at(10) - 1) })).toBe('baseline')
  })

  test('[SES6] `credentialEnd: ignore` leaves only the session\'s own end', () => {
    const world: World = { baseline: ['db:write'], session: { credential: { ...SESSION.credential, expiresAt: at(10) }, endsAt: at(99) }, evidence: { expiresAt: at(10) }, rulesOfSessions: { credentialEnd: 'ignore' } }
    expect(until(world)).toBe(at(99))
    expect(answer({ ...world, now: at(98) })).toBe('baseline')
    expect(answer({ ...world, now: at(99) })).toBe('max_reached')
  })

  test('[ENF4] a grant carries to the last millisecond and not at its end', () => {
    expect([-1, 0, 1].map(ms => answer({ ...E1, now: instant(at(60) + ms) }))).toEqual(['e1', 'elevation_required', 'elevation_required'])
  })
})

describe('freshness', () => {
  test('[DEC8] nothing is decided at or after the end of what is known', () => {
    expect([-1, 0, 1].map(ms => answer({ rule: FREE, confirmedUntil: instant(NOW - ms) }))).toEqual(['baseline', 'stale', 'stale'])
    expect(answer({ session: null, evidence: null, rule: { ...FREE, anonymous: true }, confirmedUntil: NOW })).toBe('stale')
  })

  test('[SES16] what vouches for the credential is known until an instant, at which its requests are held and what it opened with them', () => {
    expect([-1, 0, 1].map(ms => answer({ rule: FREE, vouchedUntil: instant(NOW - ms) }))).toEqual(['baseline', 'stale', 'stale'])
    expect(permitOf({ rule: FREE, vouchedUntil: at(7) }).until).toBe(at(7))
  })

  test('[DEC8] a route\'s staleness stretches it, for rules without scope only', () => {
    const route = { staleness: duration(1_000) }
    const old = (ms: number) => ({ route, confirmedUntil: instant(NOW - ms) })
    expect([999, 1_000].map(ms => answer({ rule: FREE, ...old(ms) }))).toEqual(['baseline', 'stale'])
    expect([-1, 0, 999].map(ms => answer({ ...E1, ...old(ms) }))).toEqual(['e1', 'stale', 'stale'])
    expect(answer({ baseline: ['db:write'], ...old(1) })).toBe('stale')
  })
})

describe('observing', () => {
  const route = { mode: 'observe' } as const
  const KEY = { keyThumbprint: 'k1' }

  test.each<readonly [string, World]>([
    ['elevation_required', {}],
    ['condition_false', { rule: { ...FREE, condition: condition(() => 'false') } }],
    ['condition_error', { rule: { ...FREE, condition: condition(() => 'error') } }],
    ['purpose_missing', { session: { elevations: [active('e1', 60, { purposes: { ticket: 'T-1' } })] } }],
    ['purpose_mismatch', { session: { elevations: [active('e1', 60, { purposes: { ticket: 'T-1' } })] }, purposes: { ticket: 'T-2' } }],
  ])('[DEC1] %s is let through, and it is told what enforcing would have said', (reason, world) => {
    expect(answer(world)).toBe(reason)
    expect(permitOf({ ...world, route })).toMatchObject({ grant: { is: 'observed' }, would: reason, until: SESSION.endsAt })
  })

  test.each<readonly [string, World]>([
    ['no_rule', { rules: [] }], ['denied', { rule: { effect: 'deny' } }], ['stale', { confirmedUntil: NOW }], ['locked', { locks: [lock('route', 'api')] }], ['locked', { locks: [lock('tenant', 'acme')] }],
    ['frozen', { session: FROZEN }], ['revoked', { session: REVOKED }], ['credential_revoked', { session: { notBefore: NOW } }], ['max_reached', { session: { endsAt: NOW } }],
    ['binding_broken', { session: { elevations: [active('e1', 60, KEY)] } }], ['narrowed', { session: { cap: { is: 'scopes', scopes: [] } } }], ['narrowed', { ...E1, locks: [lock('tenant', 'acme', 'baseline')] }],
  ])('[DEC1] %s holds all the same', (reason, world) => expect(answer({ ...world, route })).toBe(reason))

  test('[DEC1] what is allowed anyway has its own grant, and nothing would have been refused', () => {
    expect(permitOf({ ...E1, route })).toMatchObject({ grant: { is: 'elevation' }, would: null, until: at(60) })
  })
})

describe('locks', () => {
  const world = (...locks: readonly Lock[]): World => ({ ...E1, locks })

  test.each<readonly [Selector['kind'], string]>([
    ['session', 'ses_1'], ['subject', 'https://idp.test|agent'], ['subject', 'agent'], ['tenant', 'acme'], ['issuer', 'https://idp.test'], ['all', ''],
    ['route', 'api'], ['credential', 'cred_1'], ['issuedBefore', String(NOW)],
  ])('[ENF8] by %s %j: denied, frozen or kept to the baseline, new and live alike', (kind, value) => {
    const held: Grant = { is: 'elevation', elevation: active('e1', 60), schedules: [] }
    expect(answer(world(lock(kind, value, 'deny')))).toBe('locked')
    expect(answer(world(lock(kind, value, 'freeze')))).toBe('frozen')
    expect(answer(world(lock(kind, value, 'baseline')))).toBe('narrowed')
    expect(answer({ ...world(lock(kind, value, 'baseline')), baseline: ['db:write'] })).toBe('baseline')
    expect(LOCK_EFFECTS.map(effect => reassess(held, caseOf({ ...world(lock(kind, value, effect)), held: 'e1' })).kind)).toEqual(['terminate', 'freeze', 'terminate'])
    expect(answer({ ...world(lock(kind, value, 'deny', at(5))), now: at(5) })).toBe('e1')
  })

  test.each<readonly [Selector['kind'], string]>([['session', 'ses_2'], ['subject', 'other'], ['tenant', ''], ['issuer', 'https://other.test'], ['route', 'api2'], ['credential', 'cred_2'], ['issuedBefore', String(NOW - 1)], ['profile', 'mail']])(
    '[ENF8] by %s %j: not this one', (kind, value) => expect(answer(world(lock(kind, value)))).toBe('e1'))

  test('[ENF8] by profile: what it carries is lost or frozen, the rest is not', () => {
    const onProfile = (effect: LockEffect) => reassess({ is: 'elevation', elevation: active('e1', 60), schedules: [] }, caseOf({ ...world(lock('profile', 'fix', effect)), held: 'e1' }))
    expect((['deny', 'baseline', 'freeze'] as const).map(effect => answer(world(lock('profile', 'fix', effect))))).toEqual(['elevation_required', 'elevation_required', 'frozen'])
    expect((['deny', 'baseline', 'freeze'] as const).map(onProfile)).toEqual([{ kind: 'terminate', reason: 'locked' }, { kind: 'terminate', reason: 'locked' }, { kind: 'freeze', reason: 'frozen' }])
    expect((['deny', 'baseline', 'freeze'] as const).map(effect => answer({ ...world(lock('profile', 'fix', effect)), baseline: ['db:write'] }))).toEqual(['baseline', 'baseline', 'baseline'])
    const shrunk: World = { ...world(lock('profile', 'fix', 'freeze')), policy: { profiles: new Map([['fix', profile('fix', ['db:read'])]]) } }
    expect(reassess({ is: 'elevation', elevation: active('e1', 60), schedules: [] }, caseOf({ ...shrunk, held: 'e1' }))).toEqual({ kind: 'terminate', reason: 'elevation_required' })
    expect(answer({ session: { elevations: [active('e1', 60), active('m1', 90, { profile: 'mail', adds: ['mail:send'] })] }, rule: { scope: 'mail:send' }, locks: [lock('profile', 'fix', 'freeze')] })).toBe('m1')
  })

  test('[ENF8, ENF7] one that freezes hides no end of what is open', () => {
    const held: Grant = { is: 'elevation', elevation: active('e1', 60), schedules: [] }
    const verdict = (more: World) => reassess(held, caseOf({ locks: [lock('route', 'api', 'freeze')], ...more, held: 'e1' }))
    expect(verdict(E1)).toEqual({ kind: 'freeze', reason: 'frozen' })
    expect(verdict({ session: REVOKED })).toEqual({ kind: 'terminate', reason: 'revoked' })
    expect(verdict({ ...E1, locks: [lock('route', 'api', 'freeze'), lock('tenant', 'acme')] })).toEqual({ kind: 'terminate', reason: 'locked' })
    expect(verdict({ session: { ...FROZEN, elevations: [elevation('e1', { state: { is: 'ended', at: NOW, reason: 'released' } })] } })).toEqual({ kind: 'terminate', reason: 'released' })
    expect(verdict({ session: { ...E1.session, ...FROZEN }, locks: [lock('tenant', 'acme', 'baseline')] })).toEqual({ kind: 'terminate', reason: 'narrowed' })
    expect(verdict({ session: REVOKED, locks: [], confirmedUntil: NOW })).toEqual({ kind: 'terminate', reason: 'revoked' })
  })
})

describe('narrowed', () => {
  test('[ENF5] by a cap, or by profile: refused as that, not as something to ask for', () => {
    const suspended = elevation('e1', { state: { is: 'suspended', since: NOW, until: at(60) } })
    expect(answer({ session: { elevations: [suspended], cap: { is: 'baseline', scopes: null } } })).toBe('narrowed')
    expect(answer({ session: { elevations: [suspended], barred: ['fix'] } })).toBe('narrowed')
    expect(answer({ ...E1, session: { ...E1.session, cap: { is: 'scopes', scopes: ['db:read'] } } })).toBe('narrowed')
    expect(answer({ baseline: ['db:write'], session: { cap: { is: 'scopes', scopes: ['db:read'] } } })).toBe('narrowed')
    expect(answer({ baseline: ['db:write'], session: { cap: { is: 'scopes', scopes: ['db:write'] } } })).toBe('baseline')
  })

  test('[ENF5] what nobody narrowed goes on', () => {
    expect(answer({ session: { elevations: [active('e2', 60)], barred: ['mail'] } })).toBe('e2')
    expect(answer({ baseline: ['db:write'], session: { cap: { is: 'baseline', scopes: null } } })).toBe('baseline')
    expect(answer({ session: { cap: { is: 'baseline', scopes: null } } })).toBe('elevation_required')
  })

  test('[ELV1] requestable only where a profile adds the scope', () => {
    const refusal = (scope: string) => evaluate(caseOf({ rule: { scope } }))
    expect(refusal('db:write')).toEqual(refuse('elevation_required', true))
    expect(refusal('db:drop')).toEqual(refuse('elevation_required', false))
    expect(evaluate(caseOf({ session: FROZEN }))).toEqual(refuse('frozen', false))
  })
})

describe('scopes', () => {
  test('[SCP1] are sets: equal ones are equal text, whatever they were made of', () => {
    expect(JSON.stringify(scopeOf(['b', 'a', 'b']))).toBe(JSON.stringify(scopeOf(['a', 'b'])))
    expect(intersection(['a', 'b', 'c'], ['c', 'a'])).toEqual(['a', 'c'])
  })

  test('[SCP2, SES7] the baseline is every entry whose `when` holds, from claims and configuration; a token\'s `scope` gives none', () => {
    const when = (test: SubjectCondition['test']): SubjectCondition => ({ source: 'test', test })
    const plain = policyOf()
    const policy: Policy = {
      ...plain,
      sessions: { ...plain.sessions, baseline: [
        { when: null, scopes: ['b:read', 'a:read'] }, { when: when((_, { team }) => (team === 'db' ? 'true' : 'false')), scopes: ['db:read', 'a:read'] },
        { when: when(() => 'error'), scopes: ['never:given'] }, { when: when(({ kind }) => (kind === 'person' ? 'true' : 'false')), scopes: ['ui:use'] },
      ] },
    }
    expect(baselineOf(policy, SESSION.principal, { scope: 'db:write never:given' })).toEqual(['a:read', 'b:read'])
    expect(baselineOf(policy, SESSION.principal, { team: 'db' })).toEqual(['a:read', 'b:read', 'db:read'])
    expect(baselineOf({ ...policy, sessions: plain.sessions }, SESSION.principal, { team: 'db' })).toEqual([])
    expect(Object.keys(SESSION)).not.toContain('baseline')
  })

  test('[SCP3] an elevation carries what was approved and what its profile adds now', () => {
    const asked = (adds: Scope, now: Scope | null): string => answer({ session: { elevations: [active('e1', 60, { adds })] }, policy: { profiles: new Map(now === null ? [] : [['fix', profile('fix', now)]]) } })
    expect(asked(['db:write'], ['db:write', 'db:read'])).toBe('e1')
    expect(asked(['db:read'], ['db:write', 'db:read'])).toBe('elevation_required')
    expect(asked(['db:write'], ['db:read'])).toBe('elevation_required')
    expect(asked(['db:write'], null)).toBe('elevation_required')
  })
})

test('[BND1] an elevation asked for with a proven key carries only who proves the same one', () => {
  const session = { elevations: [active('e1', 60, { keyThumbprint: 'k1' })] }
  expect([null, 'k2', 'K1', 'k1'].map(keyThumbprint => answer({ session, evidence: { keyThumbprint } }))).toEqual(['binding_broken', 'binding_broken', 'binding_broken', 'e1'])
  expect(answer({ ...E1, evidence: { keyThumbprint: 'k1' } })).toBe('e1')
  expect(answer({ session: { elevations: [...session.elevations, active('e2', 90)] } })).toBe('e2')
})

describe('purposes', () => {
  const session = { elevations: [active('e1', 60, { purposes: { ticket: 'T-1', task: 'P-3' } })] }

  test('[PUR2] every one of them, with the same value; absent and different are told apart', () => {
    expect(answer({ session, purposes: { ticket: 'T-1', task: 'P-3' } })).toBe('e1')
    expect(answer({ session, purposes: { ticket: 'T-1', task: 'P-3', run: 'R-9' } })).toBe('e1')
    expect(answer({ session })).toBe('purpose_missing')
    expect(answer({ session, purposes: { ticket: 'T-1' } })).toBe('purpose_missing')
    expect(answer({ session, purposes: { ticket: 'T-1', task: 'p-3' } })).toBe('purpose_mismatch')
    expect(answer({ session, purposes: { task: 'P-4' } })).toBe('purpose_mismatch')
  })

  test('[PUR2, ELV2] of several elevations the one whose purpose is shown carries', () => {
    const both = { elevations: [active('t1', 30, { purposes: { ticket: 'T-1' } }), active('t2', 60, { purposes: { ticket: 'T-2' } })] }
    expect(['T-1', 'T-2', 'T-3'].map(ticket => answer({ session: both, purposes: { ticket } }))).toEqual(['t1', 't2', 'purpose_mismatch'])
    expect(answer({ session: both, baseline: ['db:write'] })).toBe('baseline')
  })
})

test('[DEC7] a Permit is made by the judge alone: a look-alike is none', () => {
  const opens = (permit: Permit): number => permit.until
  // @ts-expect-error an object of the same shape lacks the brand
  const forged = opens({ effect: 'permit', grant: { is: 'baseline' }, until: FOREVER, would: null })
  // @ts-expect-error and so does a copy under another grant
  const widened: Permit = { ...refuse('denied'), effect: 'permit', grant: { is: 'baseline' }, until: FOREVER, would: null }
  expect([forged, widened.until]).toEqual([FOREVER, FOREVER])
  expect(opens(permitOf({ rule: FREE }))).toBe(SESSION.endsAt)
})
