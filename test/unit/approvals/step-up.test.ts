// What counts as an answer that a caller gives by itself: by what it shows, against what was asked for and when.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { givenBy, type Shown } from '../../../src/approvals/step-up.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import type { PrincipalKind } from '../../../src/core/principal.ts'
import type { StepUp, StepUpId } from '../../../src/core/step-up.ts'
import { at, NOW, SESSION } from '../core/world.ts'

const ASKED: StepUp = {
  id: 'stp_a' as StepUpId, covers: { rule: null, request: null }, by: ['signIn', 'attest', 'approval'], all: false, acr: [], role: 'approver', askedAt: NOW, expiresAt: at(120), onTimeout: 'refuse', onDeny: 'refuse', // an id of the test
  uses: 1, for: null, because: 'high', barred: [], notify: [], given: [], used: [], state: { is: 'pending' },
}
const EVIDENCE: Evidence = { provider: 'p', fingerprint: 'f', credential: 'c', issuer: 'i', keyId: null, issuedAt: at(-60), expiresAt: null, keyThumbprint: null, device: null, claimed: {} }
type Change = { readonly kind?: PrincipalKind; readonly issued?: number | null; readonly key?: boolean; readonly nonce?: number | null; readonly dpop?: boolean; readonly claims?: Shown['claims'] }
const shown = ({ kind = 'agent', issued = -60, key = false, nonce = null, dpop = false, claims = {} }: Change): Shown => ({
  principal: { ...SESSION.principal, kind }, claims, evidence: { ...EVIDENCE, issuedAt: issued === null ? null : at(issued), keyThumbprint: key || dpop ? 'k' : null }, binding: dpop ? { is: 'dpop', thumbprint: 'k' } : null, nonceAt: nonce === null ? null : at(nonce),
})
const means = (change: Change, asked: Partial<StepUp> = {}, now = at(10)): readonly string[] => givenBy({ ...ASKED, ...asked }, shown(change), now).map(given => given.means)
const signedIn = (seconds: number): number => NOW / 1_000 + seconds

describe('a sign-in', () => {
  test('[STU3] counts from the second of the question on, in a context that is asked for, as a number and not of tomorrow', () => {
    expect([means({ claims: { auth_time: signedIn(0) } }), means({ claims: { auth_time: signedIn(-1) } }), means({ claims: { auth_time: signedIn(100) } })]).toEqual([['signIn'], [], []])
    expect([means({ claims: { auth_time: signedIn(1), acr: 'gold' } }, { acr: ['gold'] }), means({ claims: { auth_time: signedIn(1), acr: 'bronze' } }, { acr: ['gold'] }), means({ claims: { auth_time: signedIn(1) } }, { acr: ['gold'] })]).toEqual([['signIn'], [], []])
    for (const auth_time of [String(signedIn(1)), Number.NaN, Infinity, -1, null, [signedIn(1)], undefined]) expect(means({ claims: { auth_time } })).toEqual([])
  })
})

describe('a newer credential', () => {
  test('[STU3] counts from the question on; one that is bound to a key only with a proof made behind the question', () => {
    expect([means({ issued: 0 }), means({ issued: -1 }), means({ issued: null }), means({ issued: 100 })]).toEqual([['attest'], [], [], []])
    expect([means({ issued: 1, dpop: true, nonce: 1 }), means({ issued: 1, dpop: true, nonce: -1 }), means({ issued: 1, dpop: true }), means({ issued: -1, dpop: true, nonce: 1 })]).toEqual([['attest'], [], [], []])
  })

  test('[STU3] of people counts only with a key: without one it is renewed with nobody there', () => {
    expect([means({ kind: 'person', issued: 1 }), means({ kind: 'operator', issued: 1 }), means({ kind: 'person', issued: 1, key: true }), means({ kind: 'service', issued: 1 })]).toEqual([[], [], ['attest'], ['attest']])
  })
})

test('[STU3] nothing answers what is not asked for, was given already, or is over; an operator’s word is nobody’s own', () => {
  const all: Change = { issued: 1, claims: { auth_time: signedIn(1) } }
  expect([means(all), means(all, { by: ['approval'] }), means(all, { by: ['attest'] })]).toEqual([['signIn', 'attest'], [], ['attest']])
  expect(means(all, { given: [{ means: 'signIn', by: 'x', at: NOW, proof: '' }] })).toEqual(['attest'])
  expect([means(all, { state: { is: 'expired', at: NOW } }), means(all, {}, at(120)), means(all, {}, at(119))]).toEqual([[], [], ['signIn', 'attest']])
})

test('[STU3] whatever is shown, an answer is never older than the question', () => {
  const time = fc.option(fc.integer({ min: -500, max: 500 }))
  fc.assert(fc.property(time, time, fc.boolean(), fc.double(), (issued, nonce, dpop, auth) => {
    for (const given of givenBy(ASKED, shown({ issued, nonce, dpop, claims: { auth_time: signedIn(auth) } }), at(10))) expect(given.at).toBeGreaterThanOrEqual(ASKED.askedAt)
  }))
})
