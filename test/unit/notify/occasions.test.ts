// What people are told of one commit, and by which channels.
import { expect, test } from 'vitest'
import type { Elevation } from '../../../src/core/elevation.ts'
import type { SessionFact } from '../../../src/core/fact.ts'
import type { ApprovalRules, Policy } from '../../../src/core/policy.ts'
import type { SignalId } from '../../../src/core/signal.ts'
import { noticesOf } from '../../../src/notify/occasions.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from '../core/world.ts'

const RULES: ApprovalRules = { stages: [{ role: 'approver', count: 1, who: null }], within: null, extend: 'approval', autoWhen: null, breakGlass: null, notify: ['hook'] }
const policy = (approval: ApprovalRules | null = RULES): Policy => policyOf({ ...profile('fix', ['db:write']), approval })
const ASKED: Elevation = elevation('elv_1', { stages: [{ role: 'approver', count: 1 }] })

test('[NOT1] one commit tells each thing once, by the channels of its profile; what is plain is told to nobody', () => {
  const told = { at: NOW, because: 'sig_1' as SignalId, by: 'ops|ann', note: '', version: 2 } // a word of the test
  const facts: readonly SessionFact[] = [
    { ...told, what: 'elevation.activated', elevation: ASKED.id, until: at(60) }, { ...told, what: 'elevation.ended', elevation: ASKED.id, reason: 'revoked', cause: 'admin', unfinished: false }, { ...told, what: 'session.widened' },
  ]
  const notices = noticesOf({ ...SESSION, elevations: [ASKED] }, facts, policy(), null)
  expect(notices.map(({ channels, notice }) => [channels, notice.id, notice.event, notice.link])).toEqual([[['hook'], 'sig_1/elv_1/elevation.ended', 'elevation.ended', null]])
  expect(noticesOf({ ...SESSION, elevations: [{ ...ASKED, unasked: 'break_glass' }] }, facts.slice(0, 1), policy(), 'https://gate.example')).toMatchObject([{ notice: { event: 'break_glass.activated', link: 'https://gate.example/console/elevations/elv_1' } }])
  expect(noticesOf({ ...SESSION, elevations: [ASKED] }, facts, policy(null), null)).toEqual([])
})
