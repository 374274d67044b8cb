// How questions reach the store: each once, so many at a time, and never one in the place of a stronger one.
import { expect, test } from 'vitest'
import { StepUps } from '../../../src/approvals/step-ups.ts'
import type { Case } from '../../../src/core/checks/check.ts'
import { effective } from '../../../src/core/effective.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { placeOf, type Route } from '../../../src/core/route.ts'
import type { Session, SessionId } from '../../../src/core/session.ts'
import type { SessionSignal } from '../../../src/core/signal.ts'
import type { StepUp, StepUpId, StepUpRules } from '../../../src/core/step-up.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { at, NOW, policyOf, SESSION } from '../core/world.ts'

const RULES: StepUpRules = { ...NO_RISK.stepUp, by: ['approval'], covers: 'rule' }

function caseOf(session: Session): Case {
  const route: Route = {
    name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
    rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE, stepUp: { at: 0, rules: RULES } }],
  }
  const evaluation: Case['evaluation'] = {
    evidence: null, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'a', path: '/x', segments: ['x'], query: '' },
    context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] },
  }
  const standing = effective(session, [], { find: () => null }, NO_LOCKS, policyOf(), NOW, undefined, {})
  return { now: NOW, confirmedUntil: FOREVER, vouchedUntil: FOREVER, policy: policyOf(), place: placeOf(route, evaluation.action, evaluation.resource), evaluation, locks: NO_LOCKS, standing, claims: {}, held: null, exchange: 'exc_1', paid: null, external: null }
}

/** @param ready when the store answers */
function stepUpsOver(session: Session, ready: Promise<void> = Promise.resolve()) {
  const full: string[] = []
  const signals: SessionSignal[] = []
  const stepUps = new StepUps({
    full: limit => void full.push(limit),
    desk: { session: () => Promise.reject(new Error('nobody answers here')) },
    ledger: {
      settle: async () => {},
      applyToSession: async (_, signal) => {
        signals.push(signal)
        await ready
        return { ...transition({ ...session, id: signal.life ?? session.id }, signal, NOW), position: null, assumed: null, journaled: false, cutOff: false }
      },
    },
  })
  return { stepUps, full, signals }
}

test('[STU2] of more sessions than may ask at once the rest is told so, asks nothing of the store, and may come again', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { stepUps, full, signals } = stepUpsOver(SESSION, promise)
  const named = (i: number): Session => ({ ...SESSION, id: `ses_${i}` as SessionId }) // an id of the test
  const asking = Array.from({ length: 1_024 }, (_, i) => stepUps.ask(caseOf(named(i)), named(i), SESSION.principal))
  expect(await stepUps.ask(caseOf(named(1_024)), named(1_024), SESSION.principal)).toEqual({ is: 'busy' })
  expect([full, signals.length]).toEqual([['step_ups_asking'], 1_024])
  resolve()
  await Promise.all(asking)
  expect(await stepUps.ask(caseOf(named(1_024)), named(1_024), SESSION.principal)).toMatchObject({ is: 'waiting' })
})

test('[STU1, STU2] what waits for an answer to weaker terms does not stand for what needs stronger ones', async () => {
  const waiting = (by: StepUp['by']): Session => ({ ...SESSION, stepUps: [{
    id: 'stp_1' as StepUpId, covers: { rule: 'api#1', request: null }, by, all: false, acr: [], role: 'approver', askedAt: NOW, expiresAt: at(120), onTimeout: 'refuse', onDeny: 'refuse', uses: 1, for: null, because: 'high', barred: [], notify: [], given: [], used: [], state: { is: 'pending' }, // an id of the test
  }] })
  const asked = async (session: Session) => {
    const { stepUps, signals } = stepUpsOver(session)
    const answer = await stepUps.ask(caseOf(session), session, SESSION.principal)
    return [answer.is === 'waiting' ? [answer.stepUp.id === 'stp_1', answer.stepUp.by] : answer.is, signals.length]
  }
  expect(await asked(waiting(['approval']))).toEqual([[true, ['approval']], 0])
  expect(await asked(waiting(['attest', 'approval']))).toEqual([[false, ['approval']], 1])
})
