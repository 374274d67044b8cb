// What changed behind a credential: claims that count as others now, and what a session has to show anew.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Case } from '../../../src/core/checks/check.ts'
import { effective } from '../../../src/core/effective.ts'
import { evaluate, needOf } from '../../../src/core/evaluate.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import { CLAIM_CHANGES_MAX, type ClaimChange, type Demand } from '../../../src/core/outside.ts'
import { overlaid, withChanges } from '../../../src/core/overlay.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { type Route, type Rule, placeOf, routeTable } from '../../../src/core/route.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import type { StepUpId } from '../../../src/core/step-up.ts'
import { duration, FOREVER, type Instant } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { reassess } from '../../../src/core/verdict.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { asSignal } from './lives.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const change = (claim: string, value: unknown, seconds: number): ClaimChange => ({ claim, value, at: at(seconds) })
const changes = fc.array(fc.record({ claim: fc.constantFrom('role', 'team', 'groups'), value: fc.constantFrom<unknown>(null, 'a', ['b']), at: fc.integer({ min: 0, max: 20 }).map(at) }), { maxLength: 6 })
const standing = (all: readonly ClaimChange[]): ReadonlyMap<string, Instant> => new Map(all.map(({ claim, at: when }) => [claim, when]))

describe('claims', () => {
  test('[OUT5] of each claim what happened last counts, in whatever order it is told', () => {
    fc.assert(fc.property(changes, told => {
      const newest = new Map<string, Instant>()
      for (const { claim, at: when } of told) if (when > (newest.get(claim) ?? -1)) newest.set(claim, when)
      const kept = told.reduce<readonly ClaimChange[]>((held, one) => withChanges(held, [one]), [])
      expect(standing(kept)).toEqual(newest)
      expect(withChanges(kept, told)).toEqual(kept)
    }))
  })

  test('[OUT5] of two changes in one second the one told last counts, and what one takes away the other does not give back', () => {
    const told = (...values: readonly unknown[]): unknown => values.reduce<readonly ClaimChange[]>((held, value) => withChanges(held, [change('role', value, 1)]), [])[0]?.value
    expect([told('admin', 'guest'), told('admin', null), told(null, 'admin')]).toEqual(['guest', null, null])
  })

  test('[OUT5] what is taken away is not there, what is changed is, until a newer credential shows its own', () => {
    const claims = { role: 'admin', team: 'ops', sub: 'x' }
    const overlay = [change('role', null, 10), change('team', 'guests', 10)]
    expect(overlaid(claims, overlay, NOW)).toEqual({ team: 'guests', sub: 'x' })
    expect(overlaid(claims, overlay, null)).toEqual({ team: 'guests', sub: 'x' })
    expect(overlaid(claims, overlay, at(14))).toEqual({ team: 'guests', sub: 'x' }) // issuers' clocks
    expect(overlaid(claims, overlay, at(16))).toBe(claims)
  })

  test('[OUT5] there is a limit to what is remembered of one session', () => {
    const many = Array.from({ length: CLAIM_CHANGES_MAX + 5 }, (_, i) => change(`c${i}`, i, 1))
    expect(withChanges([], many)).toHaveLength(CLAIM_CHANGES_MAX)
    expect(standing(withChanges(withChanges([], many), [change('c0', 'new', 2)])).get('c0')).toBe(at(2))
  })

  test('[OUT5] an elevation whose profile is no longer for such a caller carries nothing', () => {
    const eligible = { source: '', test: (_: unknown, claims: { readonly [name: string]: unknown }) => (claims['team'] === 'ops' ? 'true' : 'false') } as const
    const policy = policyOf({ ...profile('fix', ['db:write']), eligible })
    const session: Session = { ...SESSION, elevations: [elevation('elv_1')] }
    const carried = (of: Session, team: string) => {
      const { carriers, lost } = effective(of, [], { find: () => null }, NO_LOCKS, policy, at(1), undefined, { team })
      return [carriers.length, [...lost.values()]]
    }
    expect(carried(session, 'ops')).toEqual([1, []])
    expect(carried({ ...session, overlay: [change('team', 'guests', 1)] }, 'guests')).toEqual([0, ['not_eligible']])
    expect(carried({ ...session, overlay: [change('other', 'x', 1)] }, 'ops')).toEqual([1, []])
    expect(carried(session, 'guests')).toEqual([1, []]) // nobody said so: a newer credential ends nothing by itself
  })
})

const DEMAND: Demand = { since: at(10), because: 'credential-change', by: ['signIn'], all: false }
const ROUTE = (rule: Partial<Rule>, mode: Route['mode']): Route => ({
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode, staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, ...rule }],
})

function caseOf(session: Session, seconds: number, rule: Partial<Rule> = {}, mode: Route['mode'] = 'enforce'): Case {
  const route = ROUTE(rule, mode)
  const policy = { ...policyOf(), routes: [route], table: routeTable([route]), risk: NO_RISK }
  const evaluation: Case['evaluation'] = {
    evidence: null, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'a', path: '/x', segments: ['x'], query: '' },
    context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] },
  }
  return {
    now: at(seconds), confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks: NO_LOCKS, claims: {}, held: null, exchange: 'exc_1', paid: null, external: null,
    standing: effective(session, [], { find: () => null }, NO_LOCKS, policy, at(seconds)),
  } as Case // what others add to a case is of no interest here
}
const judged = (c: Case): string => { const decision = evaluate(c); return decision.effect === 'permit' ? 'permit' : decision.reason }

function after(session: Session, seconds: number, news: SessionNews): Session {
  const { record, rejected } = transition(session, asSignal(news), at(seconds))
  if (record === null || rejected !== null) throw new Error(rejected?.says ?? 'no record')
  return record
}

describe('what has to be shown anew', () => {
  const held = after(SESSION, 10, { kind: 'proof.demanded', demand: DEMAND })

  test('[OUT6] nothing of the session goes on, whatever the rule and the mode of its route', () => {
    expect(judged(caseOf(SESSION, 11))).toBe('permit')
    expect(judged(caseOf(held, 11))).toBe('step_up_required')
    expect(judged(caseOf(held, 11, {}, 'observe'))).toBe('step_up_required')
    expect(judged(caseOf(held, 11, { anonymous: true }))).toBe('permit')
    expect(needOf(caseOf(held, 11))).toMatchObject({ because: 'credential-change', whole: true, rules: { by: ['signIn'], covers: 'session', uses: null, for: null } })
    expect(needOf(caseOf(held, 11, { scope: 'never:given' }))).toMatchObject({ whole: true }) // also where another refusal would follow
  })

  const asked = (seconds: number, changes: object = {}): SessionNews => ({
    kind: 'stepUp.asked', stepUp: { id: 'stp_1' as StepUpId, covers: { rule: null, request: null }, by: ['signIn'], all: false, acr: [], role: 'approver', askedAt: at(seconds), expiresAt: at(200), onTimeout: 'refuse', onDeny: 'refuse', uses: null, for: null, because: 'credential-change', barred: [], notify: [], given: [], used: [], state: { is: 'pending' }, ...changes }, // a word of the test
  })
  const answered = (seconds: number): SessionNews => ({ kind: 'stepUp.answered', stepUp: 'stp_1' as StepUpId, given: { means: 'signIn', by: 'https://idp.test|agent', at: at(seconds), proof: 'd' }, barred: [] })

  test('[OUT5, OUT6] waiting until the session is idle gets nobody out of either: only a newer credential does', () => {
    const told = after(held, 11, { kind: 'claims.changed', changes: [change('role', null, 10)] })
    const next = (of: Session, issued: number | null): Session => {
      const { principal, key, epoch, bindings, aliases } = of
      return after(after(of, 20, { kind: 'session.lapsed', reason: 'idle' }), 30, { kind: 'session.opened', key, session: 'ses_next' as Session['id'], epoch, principal, endsAt: at(900), credential: { id: 'c', keyId: null, issuedAt: issued === null ? null : at(issued), expiresAt: null }, bindings, aliases, brokered: null }) // a word of the test
    }
    for (const issued of [0, 10, null]) expect([next(told, issued).demand, next(told, issued).overlay]).toEqual([DEMAND, told.overlay])
    expect([next(told, 11).demand, next(told, 11).overlay]).toEqual([null, told.overlay]) // issuers' clocks
    expect([next(told, 16).demand, next(told, 16).overlay]).toEqual([null, []])
    expect(next(SESSION, 0)).toMatchObject({ demand: null, overlay: [] })
    const frozen = after(SESSION, 10, { kind: 'session.frozen', until: at(900) })
    expect(after(frozen, 20, { kind: 'session.lapsed', reason: 'idle' })).toEqual(frozen)
  })

  test('[OUT6] what is open waits, and goes on once it was shown', () => {
    const waiting = after(held, 12, asked(12))
    expect(reassess({ is: 'baseline' }, caseOf(waiting, 12))).toEqual({ kind: 'freeze', reason: 'step_up_required' })
    const shown = after(waiting, 13, answered(13))
    expect(shown.demand).toBeNull()
    expect(reassess({ is: 'baseline' }, caseOf(shown, 13))).toMatchObject({ kind: 'continue' })
  })

  test('[OUT6] what was shown before, for something else, or for less counts for nothing', () => {
    for (const changes of [{ askedAt: at(9) }, { because: 'medium' }, { covers: { rule: 'api#1', request: null } }]) {
      const shown = after(after(held, 12, asked(12, changes)), 13, answered(13))
      expect(judged(caseOf(shown, 14)), JSON.stringify(changes)).toBe('step_up_required')
      expect(reassess({ is: 'baseline' }, caseOf(shown, 14)).kind).toBe('freeze') // never `step_up_over`: that one was another
    }
  })

  test('[OUT6] who says no to it ends what is open; news of the same demand is none, a later one asks again', () => {
    const refused = after(after(held, 12, asked(12)), 13, { kind: 'stepUp.denied', stepUp: 'stp_1' as StepUpId, barred: [] })
    expect(reassess({ is: 'baseline' }, caseOf(refused, 14))).toEqual({ kind: 'terminate', reason: 'step_up_denied' })
    expect(transition(held, asSignal({ kind: 'proof.demanded', demand: DEMAND }), at(20)).facts).toEqual([])
    expect(after(held, 20, { kind: 'proof.demanded', demand: { ...DEMAND, since: at(20) } }).demand?.since).toBe(at(20))
  })

  test('[OUT6] what is demanded is not made less by what is demanded behind it', () => {
    const also = (first: Partial<Demand>, second: Partial<Demand>) => after(after(SESSION, 10, { kind: 'proof.demanded', demand: { ...DEMAND, ...first } }), 20, { kind: 'proof.demanded', demand: { ...DEMAND, because: 'other', ...second } }).demand
    expect(also({ by: ['attest'] }, { by: ['signIn'], since: at(20) })).toEqual({ since: at(20), because: 'other', by: ['attest', 'signIn'], all: true })
    expect(also({ by: ['attest'] }, { by: ['signIn', 'attest'], since: at(5) })).toEqual({ since: at(10), because: 'credential-change', by: ['attest'], all: false }) // told late
    const both = after(SESSION, 10, { kind: 'proof.demanded', demand: { ...DEMAND, by: ['attest', 'signIn'], all: true } })
    expect(after(both, 20, { kind: 'proof.demanded', demand: { ...DEMAND, since: at(20) } }).demand).toMatchObject({ by: ['attest', 'signIn'], all: true })
    expect(needOf(caseOf(both, 21))?.rules).toMatchObject({ by: ['attest', 'signIn'], all: true })
    const half = after(after(both, 22, asked(22, { by: ['attest', 'signIn'], all: true })), 23, answered(23))
    expect(judged(caseOf(half, 24))).toBe('step_up_required')
    const either = after(after(SESSION, 10, { kind: 'proof.demanded', demand: { ...DEMAND, by: ['attest', 'signIn'] } }), 12, asked(12, { by: ['attest', 'signIn'] }))
    const more = after(either, 13, { kind: 'proof.demanded', demand: { ...DEMAND, since: at(5), because: 'told late', by: ['attest'] } })
    expect(after(more, 14, answered(14)).demand).toMatchObject({ since: at(10), by: ['attest'] })
  })

  test('[OUT6, SES5] a newer credential opens a life without it only where a sign-in alone answers it', () => {
    const next = (by: Demand['by'], issuedAt: Instant) => {
      const held = after(after(SESSION, 10, { kind: 'proof.demanded', demand: { ...DEMAND, by } }), 20, { kind: 'session.lapsed', reason: 'released' })
      const { key, epoch, principal, bindings, aliases } = SESSION
      return after(held, 30, { kind: 'session.opened', key, session: 'ses_2' as Session['id'], epoch, principal, credential: { id: 'cred_2', keyId: null, issuedAt, expiresAt: at(3_600) }, endsAt: at(3_600), bindings, aliases, brokered: null }).demand?.by ?? null // a word of the test
    }
    expect(next(['signIn'], at(15))).toBeNull()
    expect(next(['signIn'], at(9))).toEqual(['signIn'])
    for (const by of [['approval'], ['attest']] as const) expect(next(by, at(15))).toEqual(by)
  })

  test('[OUT6, SES21] what was delegated from it waits with it', () => {
    const child: Session = { ...SESSION, brokered: { broker: 'flows', by: 'ops|flows', claims: {}, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: { key: SESSION.key, id: SESSION.id, baseline: ['base:read'], depth: 0 } } }
    const policy = { ...policyOf(), brokers: new Map([['flows', { name: 'flows', who: null, may: { source: '', test: () => 'true' as const }, profiles: [], max: duration(1), bindRequired: false, once: null }]]) }
    const childOf = (parent: Session) => effective(child, [], { find: () => null }, NO_LOCKS, policy, at(11), { is: 'there', standing: effective(parent, ['base:read'], { find: () => null }, NO_LOCKS, policy, at(11)), baselineKnown: true }).state
    expect([childOf(SESSION), childOf(held)]).toEqual(['live', 'frozen'])
  })
})
