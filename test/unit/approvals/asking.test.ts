// What an ask is declined for before anything is written; and that one person under two names is one approver, however two words race.
import { expect, test } from 'vitest'
import { type Ask, type Asker, prepare, type World } from '../../../src/approvals/asking.ts'
import type { TaskCondition } from '../../../src/core/condition.ts'
import { type Elevation, NO_LIMITS } from '../../../src/core/elevation.ts'
import type { ApprovalRules, Policy, PurposeSource } from '../../../src/core/policy.ts'
import type { SessionSignal, SignalId } from '../../../src/core/signal.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import { type PurposeKind, type Shown, shownPlainly } from '../../../src/core/purpose.ts'
import { AS_ASKED, at, elevation, NOW, policyOf, profile, SESSION } from '../core/world.ts'

const ASK: Ask = { profile: 'fix', for: null, purposes: {}, params: {}, note: '', startsAt: null, held: false }
const asker = (elevations: readonly Elevation[] = []): Asker =>
  ({ principal: SESSION.principal, claims: {}, keyThumbprint: null, workload: null, shown: shownPlainly({}), holds: { ...SESSION, elevations }, filedBy: 'https://idp.test|agent' })
const GLASS: ApprovalRules = { stages: [], within: null, extend: 'approval', autoWhen: null, breakGlass: { reviewWithin: duration(60_000), onMissed: 'alarm' }, notify: [] }
const world = (more: Partial<World>): World => ({ policy: policyOf(profile('fix', ['db:write'])), look: async () => null, now: NOW, unreviewed: () => 0, ...more })
const answer = async (asking: Asker, more: Partial<World>): Promise<string> => {
  const prepared = await prepare(ASK, asking, world(more))
  return 'declined' in prepared ? prepared.declined : 'prepared'
}

test('[ELV11] the pause behind the session\'s own end holds before anything was written about it', async () => {
  const policy = policyOf({ ...profile('fix', ['db:write']), cooldown: duration(60_000) })
  const ended = (seconds: number): readonly Elevation[] => [elevation('elv_1', { state: { is: 'ended', at: at(seconds), reason: 'released' } })]
  expect([await answer(asker(ended(-59)), { policy }), await answer(asker(ended(-60)), { policy }), await answer(asker([elevation('elv_2')]), { policy })]).toEqual(['cooling_down', 'prepared', 'prepared'])
})

test('[APR7] an emergency is prepared with its review, for the caller and those it may not be reviewed by', async () => {
  const policy = policyOf({ ...profile('fix', ['db:write']), approval: GLASS })
  const prepared = await prepare(ASK, asker(), world({ policy }))
  expect(prepared).toMatchObject({ elevation: { unasked: 'break_glass', stages: [] }, review: { is: 'review', session: SESSION.id, subject: 'https://idp.test|agent', barred: ['https://idp.test|agent'], dueAt: at(60), verdict: 'pending' } })
  expect([await answer(asker(), { policy, unreviewed: () => 3 }), await answer(asker(), { policy, unreviewed: () => 4 }), await answer(asker(), { unreviewed: () => Infinity })]).toEqual(['prepared', 'limit_reached', 'prepared'])
})

test('[APR5] one person under two names is one approver, also where the second word did not know of the first', () => {
  const asked = elevation('elv_1', { stages: [{ role: 'approver', count: 2 }], state: { is: 'requested', expiresAt: null } })
  const word = (by: string, names: readonly string[]): SessionSignal => ({ kind: 'elevation.approved', elevation: asked.id, ...AS_ASKED, barred: [], names, id: `sig_${by}` as SignalId, by, note: '' }) // a word of the test
  const first = transition({ ...SESSION, elevations: [asked] }, word('ops|ann', ['ops|ann', 'other|ann']), NOW)
  expect(first.record?.elevations[0]?.approvals).toHaveLength(1)
  expect(transition(first.record, word('other|ann', ['other|ann', 'ops|ann']), NOW).rejected?.rejected).toBe('conflict')
  expect(transition(first.record, word('ops|bob', ['ops|bob']), NOW).record?.elevations[0]?.state.is).toBe('active')
})

test('[LIM1, PUR6] the same turn of one conversation shares a count with itself, and with that of no other', async () => {
  const plain = policyOf({ ...profile('fix', ['db:write']), purposes: ['turn'], limits: { ...NO_LIMITS, uses: 3 } })
  const policy: Policy = { ...plain, purposes: new Map<PurposeKind, PurposeSource>([['turn', { kind: 'turn', from: { is: 'signed', header: 'x-turn', claim: 'turn', line: 'talk' }, source: null }]]) }
  const counter = async (line: string): Promise<string | undefined> => {
    const shown: Shown = { purposes: { turn: '7' }, until: FOREVER, positions: [{ kind: 'turn', line, at: 7 }] }
    const prepared = await prepare(ASK, { ...asker(), shown }, world({ policy }))
    return 'declined' in prepared ? prepared.declined : prepared.elevation.budget?.counter
  }
  const [one, again, other] = [await counter('c-1'), await counter('c-1'), await counter('c-2')]
  expect(one).toMatch(/^task\//)
  expect([again, other === one]).toEqual([one, false])
})

test('[ELV1] what a profile requires of no ticket makes who does not have it not eligible', async () => {
  const require = (readsTicket: boolean): TaskCondition => ({ source: 'purpose.step == "sign"', readsTicket, test: () => 'false' })
  const told = (readsTicket: boolean) => answer(asker(), { policy: policyOf({ ...profile('fix', ['db:write']), require: require(readsTicket) }) })
  expect([await told(false), await told(true)]).toEqual(['not_eligible', 'ticket_changed'])
})

test('[PUR7] who shows a purpose with less proof than its profile asks may not ask; who shows it with more may', async () => {
  const source = (from: PurposeSource['from']): Policy['purposes'] => new Map<PurposeKind, PurposeSource>([['run', { kind: 'run', from, source: null }]])
  const sources = [source({ is: 'header', header: 'x-run' }), source({ is: 'claim', claim: 'run_id' }), source({ is: 'signed', header: 'x-run', claim: 'run', line: null })]
  const shown: Shown = { ...shownPlainly({ run: '7' }), until: FOREVER }
  const told = (wanted: 'stated' | 'claimed' | 'signed') => Promise.all(sources.map(purposes =>
    answer({ ...asker(), shown }, { policy: { ...policyOf({ ...profile('fix', ['db:write']), purposes: ['run'], proof: new Map([['run', wanted]]) }), purposes } })))
  expect(await told('stated')).toEqual(['prepared', 'prepared', 'prepared'])
  expect(await told('claimed')).toEqual(['purpose_missing', 'prepared', 'prepared'])
  expect(await told('signed')).toEqual(['purpose_missing', 'purpose_missing', 'prepared'])
})

test('[PUR6, PUR4] a turn that nobody signed for this ask is none, also in a session that was opened for it: nothing later would end what stands on it', async () => {
  const policy: Policy = { ...policyOf({ ...profile('fix', ['db:write']), purposes: ['turn'] }), purposes: new Map<PurposeKind, PurposeSource>([['turn', { kind: 'turn', from: { is: 'signed', header: 'x-turn', claim: 'turn', line: 'talk' }, source: null }]]) }
  const told = (shown: Shown | null) => answer({ ...asker(), shown }, { policy })
  const signed: Shown = { purposes: { turn: '7' }, until: FOREVER, positions: [{ kind: 'turn', line: 'c-1', at: 7 }] }
  expect([await told(signed), await told(shownPlainly({ turn: '7' }))]).toEqual(['prepared', 'denied'])
})

test('[ELV1, ELV4] a length beyond the longest is refused, or becomes that one where the profile says so', async () => {
  const length = async (tooLong: 'refuse' | 'clamp'): Promise<unknown> => {
    const prepared = await prepare({ ...ASK, for: duration(900_000) }, asker(), world({ policy: policyOf({ ...profile('fix', ['db:write']), tooLong }) }))
    return 'declined' in prepared ? prepared.declined : prepared.elevation.for
  }
  expect([await length('refuse'), await length('clamp')]).toEqual(['limit_reached', 600_000])
})
