// What ends next of one session, as people are told.
import { expect, test } from 'vitest'
import { effective } from '../../../src/core/effective.ts'
import type { Session } from '../../../src/core/session.ts'
import type { StepUp, StepUpId } from '../../../src/core/step-up.ts'
import { upcoming } from '../../../src/core/upcoming.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const stepUp = (id: string, state: StepUp['state'], expiresAt = at(90)): StepUp => ({
  id: id as StepUpId, covers: { rule: null, request: null }, by: ['approval'], all: false, acr: [], role: 'approver', askedAt: NOW, expiresAt, onTimeout: 'refuse', onDeny: 'refuse', uses: null, for: null, because: 'x', barred: [], notify: [], given: [], used: [], state, // a test word
})
const taint = (name: string, until: number | null) => ({ name, since: NOW, until: until === null ? null : at(until), rule: 'api#1', exchange: 'exc_1' })

function ends(changes: Partial<Session>, cutsAtEnd = true, now = NOW): readonly string[] {
  const standing = effective({ ...SESSION, ...changes }, [], { find: () => null }, { size: 0, byName: new Map(), issuedBefore: new Map(), tools: new Map() }, policyOf(profile('fix', ['db:write'])), now)
  return upcoming(standing, cutsAtEnd, now).map(({ at: when, what, name }) => `${(when - now) / 1_000} ${what} ${name}`)
}

test('[EXP2] everything that time alone ends is told, soonest first, and what does not end is not', () => {
  expect(ends({})).toEqual(['3600 session ses_1', '3600 credential cred_1'])
  expect(ends({}, false)).toEqual(['3600 session ses_1'])
  expect(ends({
    endsAt: at(1_000), elevations: [elevation('e1'), elevation('e2', { state: { is: 'requested', expiresAt: at(60) } }), elevation('e3', { state: { is: 'ended', at: NOW, reason: 'released' } })],
    stepUps: [stepUp('s1', { is: 'pending' }), stepUp('s2', { is: 'satisfied', at: NOW, until: at(30) }), stepUp('s3', { is: 'satisfied', at: NOW, until: null }), stepUp('s4', { is: 'expired', at: NOW }, at(10))],
    taints: [taint('a', 20), taint('b', null)], frozen: { since: NOW, note: '', until: at(900) },
  }, false)).toEqual(['20 taint a', '30 coverage s2', '60 request e2', '90 stepUp s1', '600 elevation e1', '900 freeze ses_1', '1000 session ses_1'])
})

test('[EXP2] what has passed is not to come, and nothing is of a session that has ended', () => {
  expect(ends({ taints: [taint('a', 20)] }, false, at(21))).toEqual(['3579 session ses_1'])
  expect(ends({ state: { is: 'revoked', at: NOW, reason: 'revoked' } })).toEqual([])
})
