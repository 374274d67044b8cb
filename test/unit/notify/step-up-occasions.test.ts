// What people are told of step-ups, and by which channels.
import { expect, test } from 'vitest'
import type { SessionFact } from '../../../src/core/fact.ts'
import type { SignalId } from '../../../src/core/signal.ts'
import type { StepUp, StepUpId } from '../../../src/core/step-up.ts'
import { stepUpNotices } from '../../../src/notify/occasions.ts'
import { at, NOW, SESSION } from '../core/world.ts'

const id = 'stp_a' as StepUpId // a word of the test, as below
const STEP_UP: StepUp = {
  id, covers: { rule: 'api#1', request: { method: 'POST', host: 'api.test', path: '/x', query: 'digest-of-the-query', call: null } }, by: ['attest', 'approval'], all: true, acr: [], role: 'approver', askedAt: NOW, expiresAt: at(120), onTimeout: 'refuse', onDeny: 'refuse',
  uses: 1, for: null, because: 'high', barred: ['ops|boss'], notify: ['oncall'], given: [], used: [], state: { is: 'pending' },
}
const told = { at: NOW, because: 'sig_1' as SignalId, by: 'step-ups', note: '', version: 2 }
const FACTS: readonly SessionFact[] = [
  { ...told, what: 'stepUp.asked', stepUp: STEP_UP }, { ...told, what: 'stepUp.answered', stepUp: id, given: { means: 'attest', by: 'x', at: NOW, proof: 'p' } }, { ...told, what: 'stepUp.satisfied', stepUp: id, until: null },
  { ...told, what: 'stepUp.denied', stepUp: id, denier: 'ops|ann' }, { ...told, what: 'stepUp.expired', stepUp: id }, { ...told, what: 'stepUp.used', stepUp: id, exchange: 'exc_1' }, { ...told, what: 'session.widened' },
]

test('[STU6, NOT1] the question and its end are told to its own channels, without a query and without who must not answer', () => {
  const notices = stepUpNotices({ ...SESSION, stepUps: [STEP_UP] }, FACTS, 'https://gate.example')
  expect(notices.map(({ channels, notice }) => [channels, notice.id])).toEqual(['asked', 'satisfied', 'denied', 'expired'].map(what => [['oncall'], `sig_1/stp_a/stepUp.${what}`]))
  expect(notices[0]?.notice).toMatchObject({ text: expect.stringMatching(/has to step up \(attest and approval\) for POST api\.test\/x, because of high$/), link: 'https://gate.example/console/step-ups/stp_a', data: { stepUp: 'stp_a', role: 'approver' } })
  expect(JSON.stringify(notices)).not.toMatch(/secret|boss/)
})

test('[STU6] without channels nobody is told', () => {
  expect(stepUpNotices({ ...SESSION, stepUps: [{ ...STEP_UP, notify: [] }] }, FACTS, null)).toEqual([])
})
