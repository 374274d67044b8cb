// What a refusal tells of a step-up, in JSON and in gRPC's details.
import { expect, test } from 'vitest'
import type { StepUp, StepUpId } from '../../../src/core/step-up.ts'
import { instant } from '../../../src/core/time.ts'
import { grpcTrailers } from '../../../src/proxy/grpc/refusal.ts'
import { problem, refusalText } from '../../../src/proxy/refusal.ts'
import { signInAsked, stepUpAnswer, stepUpTold } from '../../../src/proxy/step-up-text.ts'
import { readDetails } from '../../support/grpc-echo.ts'

const STEP_UP: StepUp = {
  id: 'stp_a' as StepUpId, covers: { rule: 'api#1', request: { method: 'GET', host: 'api.test', path: '/x', query: 'digest-of-the-query', call: null } }, by: ['signIn', 'approval'], all: false, acr: ['gold'], role: 'approver', // an id of the test
  askedAt: instant(1_000_000), expiresAt: instant(2_000_000), onTimeout: 'refuse', onDeny: 'refuse', uses: 2, for: null, because: 'high', barred: ['ops|boss'], notify: ['oncall'], given: [], used: ['exc_1'], state: { is: 'pending' },
}

test('[STU1, WIRE9, WIRE17] the same in both; where revalidation does not help it is not told', () => {
  const text = refusalText('step_up_required', { stepUp: stepUpTold(STEP_UP) })
  const told = { id: 'stp_a', by: ['signIn', 'approval'], all: false, expires_at: '1970-01-01T00:33:20.000Z', endpoint: '/.narrowgate/step-ups/stp_a' }
  expect(JSON.parse(problem(text).body.toString())).toMatchObject({ status: 401, reason: 'step_up_required', step_up: told })
  const details = grpcTrailers('step_up_required', text).at(-1) ?? ''
  expect(JSON.parse(String(readDetails(Buffer.from(details, 'base64')).told['step_up']))).toEqual(told)
  expect(stepUpTold({ ...STEP_UP, by: ['attest'] }).attest).toEqual({ endpoint: '/.narrowgate/session/revalidate' })
})

test('[STU6] a caller is told neither who must not answer, nor whom that goes to, nor the query', () => {
  expect(JSON.stringify(stepUpAnswer(STEP_UP))).not.toMatch(/boss|oncall|secret/)
  expect(stepUpAnswer(STEP_UP)).toMatchObject({ usesLeft: 1, state: 'pending', until: null })
})

test('[STU1] a sign-in since the question is recent enough, and none is asked for where it is not among the means', () => {
  expect(signInAsked(STEP_UP, instant(1_060_000))).toEqual({ acr: ['gold'], maxAge: 60_000 })
  expect(signInAsked(STEP_UP, instant(999_000))).toEqual({ acr: ['gold'], maxAge: 0 })
  expect(signInAsked({ ...STEP_UP, by: ['attest'] }, instant(1_060_000))).toBeNull()
})
