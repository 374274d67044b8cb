// What an answer from outside does to a decision: nothing goes on without one that fits and lets, and it lets nothing that is refused here.
import { describe, expect, test } from 'vitest'
import type { Case } from '../../../src/core/checks/check.ts'
import type { Decision } from '../../../src/core/decision.ts'
import { effective } from '../../../src/core/effective.ts'
import { evaluate, needOf } from '../../../src/core/evaluate.ts'
import { askedOf, type External, type ExternalAnswer, type RuleDecision } from '../../../src/core/external.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { placeOf, type Route, type Rule, routeTable } from '../../../src/core/route.ts'
import type { Session } from '../../../src/core/session.ts'
import type { StepUp, StepUpId } from '../../../src/core/step-up.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { reassess } from '../../../src/core/verdict.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const NOTHING = { type: null, id: null, properties: new Map() }
const DECISION: RuleDecision = { pdp: 'main', digest: 'd', subject: NOTHING, action: { name: null, properties: new Map() }, resource: NOTHING, context: new Map(), for: duration(10_000), notify: [] }

type World = {
  readonly decision?: RuleDecision | null; readonly session?: Partial<Session>; readonly claims?: object; readonly scope?: string; readonly mode?: Route['mode']; readonly name?: string; readonly rule?: string; readonly path?: string
  readonly method?: string; readonly query?: string; readonly host?: string; readonly upgrade?: string; readonly context?: Partial<Case['evaluation']['context']>; readonly credential?: string
}

function caseOf({ decision = DECISION, session, claims = {}, scope = 'base:read', mode = 'enforce', name = 'api', rule: called = 'api#1', path = '/a', method = 'GET', query = '', host = 'a', upgrade, context, credential = 'cred_1' }: World, external: External = null): Case {
  const rule: Rule = { name: called, effect: 'allow', methods: null, paths: null, upgrade: upgrade ?? null, anonymous: false, scope, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, decision }
  const route: Route = { name, host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode, staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules: [rule] }
  const policy = { ...policyOf(profile('fix', ['db:write'])), routes: [route], table: routeTable([route]), risk: { ...NO_RISK, stepUp: { ...NO_RISK.stepUp, for: duration(60_000) } } }
  const evidence = { provider: 'login', fingerprint: 'f', credential, issuer: 'https://idp.test', keyId: null, issuedAt: NOW, expiresAt: at(3_600), keyThumbprint: null, device: null, claimed: {} }
  const evaluation: Case['evaluation'] = {
    evidence, action: { method, upgrade: upgrade ?? null, call: null }, resource: { host, path, segments: path.slice(1).split('/'), query },
    context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [], ...context },
  }
  const standing = effective({ ...SESSION, ...session }, ['base:read'], { find: () => null }, NO_LOCKS, policy, NOW, undefined, {})
  return { now: NOW, confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks: NO_LOCKS, standing, claims: claims as Case['claims'], held: null, exchange: 'exc_1', paid: null, external } // a literal of the test
}

const LETS: Omit<ExternalAnswer, 'asked'> = { refusal: null, requestable: false, acr: null, until: at(10) }
/** The judge on this world, with an answer that was given in that one. */
function judged(world: World, answer: Partial<ExternalAnswer> = {}, asked: World = world): Decision {
  return evaluate(caseOf(world, { ...LETS, asked: askedOf(caseOf(asked)), ...answer }))
}
const said = (decision: Decision): string => (decision.effect === 'permit' ? `permit ${decision.would ?? ''}`.trim() : decision.reason)

describe('an answer', () => {
  test('[PEP2] is what a rule waits for that wants one: nobody who asks, nothing that goes; ahead of it only the preview passes', () => {
    expect(said(evaluate(caseOf({})))).toBe('external_unavailable')
    expect(said(evaluate(caseOf({}, 'ahead')))).toBe('permit')
    expect(said(evaluate(caseOf({ decision: null })))).toBe('permit')
    expect(said(evaluate(caseOf({ scope: 'db:write' }, 'ahead')))).toBe('elevation_required')
  })

  test('[PEP2] lets or refuses what is let here, and nothing else, and counts until it ends', () => {
    expect(judged({})).toMatchObject({ effect: 'permit', until: at(10) })
    expect(judged({}, { refusal: 'external_denied', requestable: true })).toEqual({ effect: 'refuse', reason: 'external_denied', requestable: true })
    expect(said(judged({}, { refusal: 'obligation_unmet' }))).toBe('obligation_unmet')
    expect([at(0), at(-1)].map(until => said(judged({}, { until })))).toEqual(['external_unavailable', 'external_unavailable'])
    expect(said(judged({ scope: 'db:write' }))).toBe('elevation_required')
    expect(said(judged({ session: { frozen: { since: NOW, note: '', until: null } } }))).toBe('frozen')
  })

  test('[PEP2] holds on a route that only observes', () => {
    const mode = 'observe'
    expect(said(judged({ mode, scope: 'db:write' }))).toBe('permit elevation_required')
    expect(said(judged({ mode, scope: 'db:write' }, { refusal: 'external_denied' }))).toBe('external_denied')
    expect(said(judged({ mode }, { refusal: 'condition_error' }))).toBe('condition_error')
    expect(said(judged({ mode }, { acr: 'gold' }))).toBe('step_up_required')
    expect(said(evaluate(caseOf({ mode })))).toBe('external_unavailable')
  })

  test.each<readonly [string, World]>([
    ['another version of the session', { session: { version: 2 } }], ['another life', { session: { id: 'ses_2' as Session['id'] } }] /* a word of the test */, ['an elevation', { session: { elevations: [elevation('elv_1')] } }],
    ['other claims', { claims: { role: 'guest' } }], ['another purpose', { context: { purposes: { ticket: 'T-1' } } }], ['another body', { context: { body: { value: new Map(), digest: 'x' } } }], ['another source', { context: { source: '192.0.2.2' } }],
    ['another workload', { context: { workload: 'spiffe://a/b' } }], ['another path', { path: '/b' }], ['another query', { query: '?a' }], ['another host', { host: 'b' }], ['another method', { method: 'POST' }], ['an upgrade', { upgrade: 'websocket' }],
    ['another route', { name: 'other' }], ['another rule', { rule: 'api#2' }], ['another configuration of it', { decision: { ...DECISION, digest: 'e' } }], ['another credential', { credential: 'cred_2' }],
  ])('[PEP2] about %s is none', (_, world) => {
    expect(said(judged({}))).toBe('permit')
    expect(said(judged(world, {}, {}))).toBe('external_unavailable')
    expect(said(judged(world))).toBe('permit')
  })

  test('[PEP4] that is over holds what is open; one that refuses ends it, and so does what ends here meanwhile', () => {
    const verdict = (world: World, answer: Partial<ExternalAnswer>, held: { is: 'baseline' } = { is: 'baseline' }) => reassess(held, caseOf(world, { ...LETS, asked: askedOf(caseOf(world)), ...answer }))
    expect(verdict({}, {})).toMatchObject({ kind: 'continue', permit: { until: at(10) } })
    expect(verdict({}, { until: NOW })).toEqual({ kind: 'freeze', reason: 'external_unavailable' })
    expect(verdict({}, { refusal: 'external_denied' })).toEqual({ kind: 'terminate', reason: 'external_denied' })
    expect(verdict({ scope: 'db:write' }, { until: NOW })).toEqual({ kind: 'terminate', reason: 'elevation_required' })
  })
})

describe('a sign-in that it wants to see', () => {
  const shown = (changes: Partial<StepUp> = {}): World => ({
    session: {
      stepUps: [{
        id: 'stp_1' as StepUpId, covers: { rule: 'api#1', request: null }, by: ['signIn'], all: false, acr: ['gold'], role: 'approver', askedAt: NOW, expiresAt: at(120), onTimeout: 'refuse', onDeny: 'refuse', uses: null, for: duration(60_000), // a word of the test
        because: 'api#1', barred: [], notify: [], given: [{ means: 'signIn', by: 'https://idp.test|agent', at: NOW, proof: 'cred_2' }], used: [], state: { is: 'satisfied', at: NOW, until: at(5) }, ...changes,
      }],
    },
  })

  test('[PEP5, STU1] is asked for of the rule, and covers it as long as the step-up counts', () => {
    expect(said(judged({}, { acr: 'gold' }))).toBe('step_up_required')
    expect(needOf(caseOf({}, { ...LETS, asked: askedOf(caseOf({})), acr: 'gold' }))).toMatchObject({ rules: { by: ['signIn'], acr: ['gold'], covers: 'rule', uses: null, for: duration(60_000) }, because: 'api#1' })
    expect(judged(shown(), { acr: 'gold' })).toMatchObject({ effect: 'permit', until: at(5) })
    expect(said(judged(shown({ acr: ['silver'] }), { acr: 'gold' }))).toBe('step_up_required')
    expect(said(judged(shown({ covers: { rule: 'api#9', request: null } }), { acr: 'gold' }))).toBe('step_up_required')
    expect(needOf(caseOf(shown(), { ...LETS, asked: askedOf(caseOf(shown())), acr: 'gold' }))).toBeNull()
  })

  test('[PEP5] lifts no no', () => {
    expect(said(judged({}, { acr: 'gold', refusal: 'external_denied' }))).toBe('step_up_required')
    expect(said(judged(shown(), { acr: 'gold', refusal: 'external_denied' }))).toBe('external_denied')
  })
})
