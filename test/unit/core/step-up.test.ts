// Step-ups: what needs one, what covers it, and their life in a session.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Case } from '../../../src/core/checks/check.ts'
import { effective } from '../../../src/core/effective.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { replaySession } from '../../../src/core/replay.ts'
import { type LevelMark, NO_ACTS, NO_STANDING } from '../../../src/core/risk.ts'
import { placeOf, type Route, type Rule, routeTable } from '../../../src/core/route.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews, SignalId } from '../../../src/core/signal.ts'
import { type Means, type RuleStepUp, type StepUp, type StepUpId, STEP_UPS_KEPT, STEP_UPS_MAX, type StepUpRules } from '../../../src/core/step-up.ts'
import { duration, FOREVER, type Instant } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { reassess } from '../../../src/core/verdict.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { at, NOW, policyOf, SESSION } from './world.ts'

const RULES: StepUpRules = NO_RISK.stepUp
const id = (name: string): StepUpId => `stp_${name}` as StepUpId // a word of the test
const asked = (name: string, changes: Partial<StepUp> = {}): StepUp => ({
  id: id(name), covers: { rule: 'api#1', request: { method: 'GET', host: 'a', path: '/secrets/1', query: null, call: null } }, by: ['approval'], all: false, acr: [], role: 'approver', askedAt: NOW, expiresAt: at(120),
  onTimeout: 'refuse', onDeny: 'terminate', uses: 1, for: null, because: 'medium', barred: ['https://idp.test|owner'], notify: [], given: [], used: [], state: { is: 'pending' }, ...changes,
})
const LEVEL: LevelMark = { name: 'medium', at: 40, score: 44, since: NOW, who: '', why: { contributions: [], tenants: [], request: null } }

type World = { readonly stepUp?: RuleStepUp | null; readonly level?: boolean; readonly stepUps?: readonly StepUp[]; readonly method?: string; readonly path?: string; readonly exchange?: string; readonly seconds?: number; readonly mode?: Route['mode']; readonly upgrade?: string | null }

function caseOf({ stepUp = null, level = true, stepUps = [], method = 'GET', path = '/secrets/1', exchange = 'exc_1', seconds = 0, mode = 'enforce', upgrade = null }: World): Case {
  const rule: Rule = { name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade, anonymous: false, scope: 'base:read', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, stepUp }
  const route: Route = { name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode, staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules: [rule] }
  const policy: Policy = { ...policyOf(), routes: [route], table: routeTable([route]), risk: { ...NO_RISK, levels: [{ name: 'medium', at: 40, acts: { ...NO_ACTS, stepUp: true } }] } }
  const evaluation: Case['evaluation'] = {
    evidence: null, action: { method, upgrade, call: null }, resource: { host: 'a', path, segments: path.slice(1).split('/'), query: '' },
    context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] },
  }
  const standing = effective({ ...SESSION, stepUps }, ['base:read'], { find: () => null }, NO_LOCKS, policy, at(seconds), undefined, {}, { ...NO_STANDING, level: level ? LEVEL : null })
  return { now: at(seconds), confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks: NO_LOCKS, standing, claims: {}, held: null, exchange, paid: null, external: null }
}

const answer = (world: World): string => {
  const decision = evaluate(caseOf(world))
  return decision.effect === 'permit' ? 'permit' : decision.reason
}
const ALWAYS: RuleStepUp = { at: 0, rules: RULES }
const asks = (terms: Partial<StepUpRules>): RuleStepUp => ({ at: 0, rules: { ...RULES, ...terms } })

describe('what needs one', () => {
  test('[STU1] at such a level all but reading on the baseline', () => {
    expect(['GET', 'HEAD', 'OPTIONS'].map(method => answer({ method }))).toEqual(['permit', 'permit', 'permit'])
    expect(['POST', 'PUT', 'DELETE'].map(method => answer({ method }))).toEqual(['step_up_required', 'step_up_required', 'step_up_required'])
    expect(answer({ upgrade: 'websocket' })).toBe('step_up_required')
    expect(answer({ method: 'POST', level: false })).toBe('permit')
  })

  test('[STU1] what a rule asks, always or from a level on', () => {
    expect(answer({ stepUp: ALWAYS, level: false })).toBe('step_up_required')
    expect(answer({ stepUp: { at: 40, rules: RULES } })).toBe('step_up_required')
    expect(answer({ stepUp: { at: 41, rules: RULES } })).toBe('permit')
  })

  test('[STU1, SES21] what is asked of whoever it was delegated from, by the level or the rule', () => {
    const below = (world: World): string => {
      const c = caseOf({ ...world, level: false })
      const levelAbove = c.policy.risk.levels[0] ?? null
      const decision = evaluate({ ...c, standing: c.standing === null ? null : { ...c.standing, levelAbove } })
      return decision.effect === 'permit' ? 'permit' : decision.reason
    }
    expect([below({ method: 'POST' }), below({}), below({ stepUp: { at: 40, rules: RULES } }), below({ stepUp: { at: 41, rules: RULES } })]).toEqual(['step_up_required', 'permit', 'step_up_required', 'permit'])
  })

  test('[STU1] a route that only observes lets it pass and says so', () => {
    const decision = evaluate(caseOf({ method: 'POST', mode: 'observe' }))
    expect(decision).toMatchObject({ effect: 'permit', grant: { is: 'observed' }, would: 'step_up_required' })
  })
})

describe('what covers it', () => {
  const satisfied = (changes: Partial<StepUp> = {}): StepUp => asked('1', { state: { is: 'satisfied', at: NOW, until: null }, given: [{ means: 'approval', by: 'x', at: NOW, proof: 'p' }], ...changes })

  test('[STU4] that request and no other, and no further exchange once it is used', () => {
    const cover = [satisfied()]
    expect(answer({ stepUp: ALWAYS, stepUps: cover })).toBe('permit')
    expect(answer({ stepUp: ALWAYS, stepUps: cover, path: '/secrets/2' })).toBe('step_up_required')
    expect(answer({ stepUp: ALWAYS, stepUps: cover, method: 'POST' })).toBe('step_up_required')
    const used = [satisfied({ used: ['exc_1'] })]
    expect(answer({ stepUp: ALWAYS, stepUps: used })).toBe('permit')
    expect(answer({ stepUp: ALWAYS, stepUps: used, exchange: 'exc_2' })).toBe('step_up_required')
  })

  test('[STU4] a rule or all of a session where so configured, for its time and not a moment longer', () => {
    const wide = satisfied({ covers: { rule: 'api#1', request: null }, uses: null, state: { is: 'satisfied', at: NOW, until: at(60) } })
    const stepUp = asks({ covers: 'session', uses: null })
    expect(answer({ stepUp, stepUps: [wide], path: '/other', method: 'POST', seconds: 59 })).toBe('permit')
    expect(answer({ stepUp, stepUps: [wide], seconds: 60 })).toBe('step_up_required')
    expect(answer({ stepUp, stepUps: [{ ...wide, covers: { rule: 'api#2', request: null } }] })).toBe('step_up_required')
    expect(answer({ stepUp, stepUps: [{ ...wide, covers: { rule: null, request: null } }] })).toBe('permit')
    expect(evaluate(caseOf({ stepUp, stepUps: [wide] }))).toMatchObject({ until: at(60) })
  })

  test('[STU4] no answer to weaker terms than those that are asked for: by other means, of another role, more widely, oftener or longer', () => {
    const given = (...means: readonly Means[]): StepUp['given'] => means.map(each => ({ means: each, by: 'x', at: NOW, proof: 'p' }))
    const covering = (terms: Partial<StepUpRules>, changes: Partial<StepUp> = {}): string => answer({ stepUp: asks(terms), stepUps: [satisfied(changes)] })
    expect(covering({ by: ['approval'] }, { by: ['attest', 'approval'], given: given('attest') })).toBe('step_up_required')
    expect(covering({ by: ['approval'] }, { by: ['attest', 'approval'], given: given('attest', 'approval') })).toBe('permit')
    expect(covering({ by: ['attest', 'approval'], all: true })).toBe('step_up_required')
    expect(covering({ by: ['attest', 'approval'], all: true }, { given: given('attest', 'approval') })).toBe('permit')
    expect(covering({ role: 'admin' })).toBe('step_up_required')
    expect(['permit', 'step_up_required', 'step_up_required']).toEqual([['gold'], [], ['gold', 'brass']].map(acr => covering({ by: ['signIn'], acr: ['gold'] }, { by: ['signIn'], acr, given: given('signIn') })))
    expect(covering({ covers: 'rule' }, { covers: { rule: null, request: null } })).toBe('step_up_required')
    expect(covering({ covers: 'request' }, { covers: { rule: 'api#1', request: null } })).toBe('step_up_required')
    expect(covering({ covers: 'session' }, { covers: { rule: 'api#1', request: null } })).toBe('permit')
    expect([covering({ uses: 1 }, { uses: 2 }), covering({ uses: 1 }, { uses: null }), covering({ uses: 2 })]).toEqual(['step_up_required', 'step_up_required', 'permit'])
    expect([covering({ for: duration(1_000) }), covering({ for: duration(1_000) }, { for: duration(1_001) }), covering({ for: duration(1_000) }, { for: duration(1_000) })]).toEqual(['step_up_required', 'step_up_required', 'permit'])
  })

  test('[STU4] neither what is pending, denied or expired', () => {
    for (const state of [{ is: 'pending' }, { is: 'denied', at: NOW, by: 'x' }, { is: 'expired', at: NOW }] as const) expect(answer({ stepUp: ALWAYS, stepUps: [asked('1', { state })] })).toBe('step_up_required')
  })

  test('[STU5] what is open waits while it may still be answered, and ends where it was, or where that is over', () => {
    const verdict = (stepUps: readonly StepUp[], seconds = 0) => reassess({ is: 'baseline' }, caseOf({ stepUp: asks({ uses: null }), stepUps, seconds }))
    expect(verdict([])).toMatchObject({ kind: 'freeze', reason: 'step_up_required' })
    expect(verdict([asked('1')])).toMatchObject({ kind: 'freeze' })
    expect(verdict([asked('1', { state: { is: 'denied', at: NOW, by: 'x' } })])).toMatchObject({ kind: 'terminate', reason: 'step_up_denied' })
    expect(verdict([asked('1', { state: { is: 'expired', at: NOW } })])).toMatchObject({ kind: 'terminate', reason: 'step_up_denied' })
    expect(verdict([satisfied({ uses: null, state: { is: 'satisfied', at: NOW, until: at(60) } })], 60)).toMatchObject({ kind: 'terminate', reason: 'step_up_over' })
    expect(verdict([satisfied({ used: ['exc_1'] })])).toMatchObject({ kind: 'continue' })
  })

  test('[STU5] what was opened behind an answer that is over, or needs more than that was, is asked about like any other', () => {
    const verdict = (state: StepUp['state'], openedAt: Instant, terms: Partial<StepUpRules> = { uses: null }) =>
      reassess({ is: 'baseline' }, caseOf({ stepUp: asks(terms), stepUps: [asked('1', { uses: null, state, given: [{ means: 'approval', by: 'x', at: NOW, proof: 'p' }] })], seconds: 60 }), { whole: false, finishUntil: null, openedAt, scopes: null }).kind
    for (const state of [{ is: 'denied', at: at(5), by: 'x' }, { is: 'expired', at: at(5) }, { is: 'satisfied', at: NOW, until: at(5) }] as const) {
      expect([verdict(state, at(5)), verdict(state, at(6))]).toEqual(['terminate', 'freeze'])
    }
    expect(verdict({ is: 'satisfied', at: NOW, until: null }, NOW, { by: ['attest'], uses: null })).toBe('freeze')
  })
})

describe('its life', () => {
  const told = (session: Session, news: SessionNews, { by = 'https://idp.test|officer', seconds = 0 } = {}) => transition(session, { ...news, id: `sig_${JSON.stringify(news)}_${seconds}` as SignalId, by, note: '' }, at(seconds)) // a word of the test
  const after = (news: SessionNews, session: Session = SESSION): Session => told(session, news).record ?? session
  const waiting = after({ kind: 'stepUp.asked', stepUp: asked('1') })
  const approved = (by: string) => ({ kind: 'stepUp.answered', stepUp: id('1'), given: { means: 'approval', by, at: NOW, proof: 'p' }, barred: [] }) as const

  test('[STU2] the same is asked for once at a time, and not more than so many', () => {
    expect(told(waiting, { kind: 'stepUp.asked', stepUp: asked('2') }).facts).toHaveLength(0)
    let session = SESSION
    for (let i = 0; i < STEP_UPS_MAX; i++) session = after({ kind: 'stepUp.asked', stepUp: asked(`${i}`, { covers: { rule: `r#${i}`, request: null } }) }, session)
    expect(told(session, { kind: 'stepUp.asked', stepUp: asked('more', { covers: { rule: 'more', request: null } }) }).rejected).toMatchObject({ rejected: 'limit_reached' })
  })

  test('[STU3] an approver’s word satisfies it, the caller’s own or its owner’s never', () => {
    expect(told(waiting, approved('https://idp.test|agent')).rejected).toMatchObject({ rejected: 'denied' })
    expect(told(waiting, approved('https://idp.test|owner')).rejected).toMatchObject({ rejected: 'denied' })
    expect(told(waiting, { ...approved('alias'), barred: ['alias'] }).rejected).toMatchObject({ rejected: 'denied' })
    expect(after(approved('https://idp.test|officer'), waiting).stepUps[0]?.state).toMatchObject({ is: 'satisfied' })
  })

  test('[STU3] with `all` each of the means is needed; any other means is none', () => {
    const both = after({ kind: 'stepUp.asked', stepUp: asked('1', { by: ['attest', 'approval'], all: true }) })
    const one = after(approved('https://idp.test|officer'), both)
    expect(one.stepUps[0]?.state.is).toBe('pending')
    const attested = (seconds: number) => ({ kind: 'stepUp.answered', stepUp: id('1'), given: { means: 'attest', by: 'https://idp.test|agent', at: at(seconds), proof: 'p' }, barred: [] }) as const
    expect(told(one, attested(-1)).rejected).toMatchObject({ rejected: 'conflict' })
    expect(after(attested(1), one).stepUps[0]?.state.is).toBe('satisfied')
    expect(told(waiting, attested(1)).rejected).toMatchObject({ rejected: 'bad_request' })
  })

  test('[STU3] a no, or silence, ends the session where so configured, and is final', () => {
    const denied = told(waiting, { kind: 'stepUp.denied', stepUp: id('1'), barred: [] })
    expect(denied.record).toMatchObject({ state: { is: 'revoked', reason: 'step_up_denied' }, stepUps: [{ state: { is: 'denied' } }] })
    expect(told(waiting, { kind: 'stepUp.denied', stepUp: id('1'), barred: [] }, { by: 'https://idp.test|agent' }).rejected).toMatchObject({ rejected: 'denied' })
    expect(told(waiting, { kind: 'time.passed' }, { seconds: 119 }).facts).toHaveLength(0)
    expect(told(waiting, { kind: 'time.passed' }, { seconds: 120 }).record).toMatchObject({ state: { is: 'live' }, stepUps: [{ state: { is: 'expired' } }] })
    const strict = after({ kind: 'stepUp.asked', stepUp: asked('1', { onTimeout: 'terminate' }) })
    const late = told(strict, { kind: 'time.passed' }, { seconds: 120 })
    expect(late.record).toMatchObject({ state: { is: 'revoked', reason: 'step_up_denied' } })
    expect(told(waiting, approved('https://idp.test|officer'), { seconds: 120 }).rejected).toMatchObject({ rejected: 'conflict' })
  })

  test('[STU4] its uses are taken once each, given back, and never more than there are', () => {
    const two = after(approved('https://idp.test|officer'), after({ kind: 'stepUp.asked', stepUp: asked('1', { uses: 2 }) }))
    const use = (exchange: string): SessionNews => ({ kind: 'stepUp.used', stepUp: id('1'), exchange })
    const taken = after(use('b'), after(use('a'), two))
    expect(told(taken, use('a')).facts).toHaveLength(0)
    expect(told(taken, use('c')).rejected).toMatchObject({ rejected: 'conflict' })
    expect(told(after({ kind: 'stepUp.returned', stepUp: id('1'), exchange: 'a' }, taken), use('c')).rejected).toBeNull()
  })

  test('[STU2, AUD1] whatever comes in whatever order, the facts alone give the record, and it stays bounded', () => {
    const names = fc.constantFrom('1', '2', '3')
    const means = fc.constantFrom('signIn', 'attest', 'approval' as const)
    const news: fc.Arbitrary<SessionNews> = fc.oneof(
      fc.tuple(names, fc.nat(3), fc.boolean(), fc.constantFrom('refuse', 'terminate' as const)).map(([name, rule, all, onTimeout]): SessionNews => ({ kind: 'stepUp.asked', stepUp: asked(name, { by: ['signIn', 'approval'], all, onTimeout, onDeny: 'refuse', covers: { rule: `r#${rule}`, request: null }, expiresAt: at(40) }) })),
      fc.tuple(names, means, fc.nat(60)).map(([name, by, seconds]): SessionNews => ({ kind: 'stepUp.answered', stepUp: id(name), given: { means: by as 'signIn', by: 'https://idp.test|officer', at: at(seconds), proof: 'p' }, barred: [] })), // one of the three
      names.map((name): SessionNews => ({ kind: 'stepUp.denied', stepUp: id(name), barred: [] })),
      fc.tuple(names, fc.constantFrom('a', 'b')).map(([name, exchange]): SessionNews => ({ kind: 'stepUp.used', stepUp: id(name), exchange })),
      fc.tuple(names, fc.constantFrom('a', 'b')).map(([name, exchange]): SessionNews => ({ kind: 'stepUp.returned', stepUp: id(name), exchange })),
      fc.constant<SessionNews>({ kind: 'time.passed' }),
    )
    fc.assert(fc.property(fc.array(fc.tuple(news, fc.nat(5)), { maxLength: 60 }), steps => {
      let session: Session = SESSION
      let seconds = 0
      const facts = []
      for (const [one, wait] of steps) {
        const done = told(session, one, { seconds: (seconds += wait) })
        facts.push(...done.facts)
        session = done.record ?? session
      }
      const opened = { what: 'session.opened', session: SESSION.id, key: SESSION.key, epoch: SESSION.epoch, principal: SESSION.principal, credential: SESSION.credential, endsAt: SESSION.endsAt, notBefore: null, bindings: SESSION.bindings, aliases: [], brokered: null, at: SESSION.openedAt, because: 'sig_0' as SignalId, by: '', note: '', version: SESSION.version } as const
      expect(replaySession([opened, ...facts])).toEqual(session)
      expect(session.stepUps.length).toBeLessThanOrEqual(STEP_UPS_MAX + STEP_UPS_KEPT)
      for (const { uses, used } of session.stepUps) expect(used.length).toBeLessThanOrEqual(uses ?? Infinity)
    }))
  })
})
