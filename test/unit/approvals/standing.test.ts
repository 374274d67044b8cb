// Whether an approval still counts, and what is kept of an approver for asking again.
import { expect, test } from 'vitest'
import { keptFrom, keptOf } from '../../../src/admin/kept.ts'
import type { Caller } from '../../../src/admin/roles.ts'
import { isLockedOut, isStillUnasked, lostApproval, type Now, type Standing } from '../../../src/approvals/standing.ts'
import type { Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import type { SubjectCondition, TaskCondition } from '../../../src/core/condition.ts'
import type { Approval, Elevation } from '../../../src/core/elevation.ts'
import { lockIndex, NO_LOCKS } from '../../../src/core/locks.ts'
import type { ApprovalRules, Policy } from '../../../src/core/policy.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from '../core/world.ts'

const ONCALL: SubjectCondition = { source: 'identity.team == "oncall"', test: (_, claims) => (claims['team'] === 'oncall' ? 'true' : 'false') }
const RULES: ApprovalRules = { stages: [{ role: 'operator', count: 1, who: null }, { role: 'approver', count: 1, who: ONCALL }], within: null, extend: 'approval', autoWhen: null, breakGlass: null, notify: ['hook'] }
const policy = (approval: ApprovalRules | null = RULES, identities: Policy['identities'] = []): Policy => ({ ...policyOf({ ...profile('fix', ['db:write']), approval }), identities })
const given = (by: string, stage: number): Approval => ({ by, at: NOW, stage, shown: 's', claims: { team: 'oncall' } })
const ASKED: Elevation = elevation('elv_1', { stages: [{ role: 'operator', count: 1 }, { role: 'approver', count: 1 }], approvals: [given('ops|olga', 0), given('ops|ann', 1)] })
const world = (more: Partial<Now> = {}): Now => ({ policy: policy(), locks: NO_LOCKS, now: NOW, ...more })
const everybody = async ({ claims }: Pick<Approval, 'claims'>): Promise<Standing> => ({ claims, holds: () => true })
const lost = async (now: Now, standing: (approval: Pick<Approval, 'by' | 'claims'>) => Promise<Standing | null> = everybody): Promise<string | null> => (await lostApproval(SESSION, ASKED, now, standing))?.by ?? null
const lock = (selector: Selector, effect: LockEffect = 'deny'): Lock => ({ record: 'lock', id: 'lck_1' as LockId, selector, version: 1, state: 'set', effect, reason: 'locked', note: '', by: 'ops|x', since: NOW, until: at(60) }) // a word of the test

test('[APR6] each approval is asked: known still, with its role, by its stage and condition as they are now', async () => {
  expect(await lost(world())).toBeNull()
  expect(await lost(world(), async approval => (approval.by === 'ops|ann' ? null : everybody(approval)))).toBe('ops|ann')
  expect(await lost(world(), async ({ claims }) => ({ claims, holds: role => role === 'approver' }))).toBe('ops|olga')
  expect(await lost(world(), async () => ({ claims: { team: 'other' }, holds: () => true }))).toBe('ops|ann')
  expect(await lost(world({ policy: policy({ ...RULES, stages: RULES.stages.slice(0, 1) }) }))).toBe('ops|ann')
  for (const gone of [policy(null), policyOf()]) expect(await lost(world({ policy: gone }))).toBe('ops|olga')
})

test('[APR6, APR2] somebody who turns out to be the caller, or the other approver, gives nothing', async () => {
  expect(await lost(world({ policy: policy(RULES, [['ops|ann', 'https://idp.test|agent']]) }))).toBe('ops|ann')
  expect(await lost(world({ policy: policy(RULES, [['ops|ann', 'ops|olga']]) }))).toBe('ops|ann')
})

test('[APR6] a lock that refuses is met by identity, bare subject and issuer, as long as it stands', async () => {
  for (const selector of [{ kind: 'subject', value: 'ops|ann' }, { kind: 'subject', value: 'ann' }, { kind: 'issuer', value: 'ops' }] as const) {
    const locks = lockIndex([lock(selector)])
    expect([selector, isLockedOut({ locks, now: NOW }, 'ops|ann'), isLockedOut({ locks, now: at(60) }, 'ops|ann')]).toEqual([selector, true, false])
  }
  expect(isLockedOut({ locks: lockIndex([lock({ kind: 'subject', value: 'ops|ann' }, 'baseline')]), now: NOW }, 'ops|ann')).toBe(false)
  expect(await lost(world({ locks: lockIndex([lock({ kind: 'subject', value: 'ops|ann' })]) }))).toBe('ops|ann')
})

test('[APR8, APR6] what a condition gave is given only as long as that condition is there and true', () => {
  const auto = (answer: ReturnType<TaskCondition['test']>): Now => world({ policy: policy({ ...RULES, autoWhen: { source: 'x', readsTicket: false, test: () => answer } }) })
  const holder = { principal: SESSION.principal, claims: {}, changed: false }
  const asked = (now: Now, unasked: Elevation['unasked']): boolean => isStillUnasked(now, { ...ASKED, unasked }, holder, { find: () => null })
  expect((['true', 'false', 'error', 'unknown'] as const).map(answer => asked(auto(answer), 'condition'))).toEqual([true, false, false, false])
  expect([asked(world(), 'condition'), asked(world({ policy: policyOf() }), 'condition'), asked(world(), null), asked(world(), 'break_glass')]).toEqual([false, false, true, true])
})

test('[APR6] of a credential all is kept, or the approval is refused; anything else is nobody', () => {
  const caller: Caller = { via: 'oidc', name: 'ann', identity: 'ops|ann', roles: ['approver'], claims: { team: 'oncall', via: 'token' }, breakGlass: false }
  const kept = keptOf(caller)
  expect(kept === null ? null : keptFrom(kept)).toEqual({ via: 'oidc', name: 'ann', claims: { team: 'oncall', via: 'token' } })
  expect(keptOf({ ...caller, claims: { groups: 'x'.repeat(4_096) } })).toBeNull()
  for (const claims of [{}, { via: 'oidc' }, { via: 'other', name: 'a', claims: {} }, { via: 'mtls', name: 1, claims: {} }, { via: 'token', name: 'a', claims: [] }]) expect(keptFrom(claims)).toBeNull()
})
