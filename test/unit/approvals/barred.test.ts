import { expect, test } from 'vitest'
import { barredFrom, namedBy } from '../../../src/approvals/barred.ts'
import type { SignalId, SessionSignal } from '../../../src/core/signal.ts'
import { transition } from '../../../src/core/transition.ts'
import { AS_ASKED, elevation, NOW, policyOf, SESSION } from '../core/world.ts'

const BEARER = { ...SESSION.principal, owner: 'team-7', actor: { issuer: 'https://idp.test', subject: 'bob', actsFor: { issuer: 'https://other.test', subject: 'eve', actsFor: null } } }
const NAMED = ['https://idp.test|agent', 'https://idp.test|bob', 'https://other.test|eve', 'team-7', 'https://idp.test|team-7']

test('[APR2] whom the asking credential names is barred, though the session was opened by one that names fewer', () => {
  expect(namedBy(BEARER)).toEqual(NAMED)
  const asked = elevation('elv_1', { requestedBy: 'corp|broker', barred: namedBy(BEARER) })
  const policy = { ...policyOf(), identities: [['https://idp.test|bob', 'corp|robert']] }
  const barred = barredFrom(policy, SESSION.principal, asked)
  for (const identity of [...NAMED, 'corp|broker', 'corp|robert']) expect(barred).toContain(identity)
  expect(barredFrom(policy, SESSION.principal, { ...asked, barred: [] })).not.toContain('corp|robert')
})

test('[APR2] the core takes no approval from whom the asking credential named, whatever the signal says', () => {
  const asked = elevation('elv_1', { requestedBy: 'corp|broker', barred: namedBy(BEARER), stages: [{ role: 'approver', count: 1 }], state: { is: 'requested', expiresAt: null } })
  const approvedBy = (by: string): SessionSignal => ({ kind: 'elevation.approved', elevation: asked.id, ...AS_ASKED, barred: [], id: 'sig_1' as SignalId, by, note: '' }) // a word of the test
  for (const by of NAMED) expect(transition({ ...SESSION, elevations: [asked] }, approvedBy(by), NOW).rejected?.rejected, by).toBe('denied')
  expect(transition({ ...SESSION, elevations: [asked] }, approvedBy('corp|ann'), NOW).record?.elevations[0]?.state.is).toBe('active')
})
