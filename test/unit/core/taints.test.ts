// Whose taints and whose level count for a session: its own, its principal's and those of the sessions above it, as long as they last.
import { describe, expect, test } from 'vitest'
import { effective, type Effective, type ParentView } from '../../../src/core/effective.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import type { Broker } from '../../../src/core/policy.ts'
import { type LevelMark, NO_ACTS, NO_STANDING } from '../../../src/core/risk.ts'
import { NO_PURPOSES } from '../../../src/core/purpose.ts'
import type { Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import type { Taint } from '../../../src/core/taint.ts'
import { duration, type Instant } from '../../../src/core/time.ts'
import { NO_RISK } from '../../support/plain.ts'
import { at, NOW, policyOf, SESSION } from './world.ts'

const ANCHORS = { find: () => null }
const BROKER: Broker = { name: 'flows', who: null, may: { source: 'true', test: () => 'true' } as unknown as Broker['may'], profiles: [], max: duration(3_600_000), bindRequired: false, once: null } // asked for by name alone
const POLICY = { ...policyOf(), brokers: new Map([['flows', BROKER]]) }
const taint = (name: string, until: Instant | null = null): Taint => ({ name, since: NOW, until, rule: 'api#1', exchange: 'exc_1' })
const CHILD: Session = {
  ...SESSION, key: 'key_2' as SessionKey, id: 'ses_2' as SessionId, taints: [taint('own')], // words of the test
  brokered: { broker: 'flows', by: 'ops|flows', claims: {}, possession: null, scopes: null, profiles: [], purposes: NO_PURPOSES, barred: [], parent: { key: SESSION.key, id: SESSION.id, baseline: [], depth: 0 } },
}

const standing = (session: Session, now = NOW, parent: ParentView = { is: 'gone' }, trusted: readonly Taint[] = []): Effective => effective(session, [], ANCHORS, NO_LOCKS, POLICY, now, parent, null, { ...NO_STANDING, taints: trusted })
const names = ({ taints }: Effective): readonly string[] => taints.map(({ name }) => name)
const above = (session: Session, now = NOW): ParentView => ({ is: 'there', standing: standing(session, now, { is: 'gone' }, [taint('of its principal')]), baselineKnown: true })

describe('a session', () => {
  test('[CND3] has its own taints and its principal\'s, until they are over', () => {
    const session = { ...SESSION, taints: [taint('kept'), taint('brief', at(10))] }
    const before = standing(session, NOW, { is: 'gone' }, [taint('principal', at(20))])
    expect([names(before), before.until]).toEqual([['kept', 'brief', 'principal'], at(10)])
    expect(names(standing(session, at(10), { is: 'gone' }, [taint('principal', at(20))]))).toEqual(['kept', 'principal'])
  })

  test('[CND3, SES21] has those of the session it was delegated from, which has none of its', () => {
    const parent = { ...SESSION, taints: [taint('above'), taint('brief', at(10))] }
    const child = standing(CHILD, NOW, above(parent))
    expect([names(child), child.until]).toEqual([['own', 'above', 'brief', 'of its principal'], at(10)])
    expect(names(standing(CHILD, at(10), above(parent, at(10))))).toEqual(['own', 'above', 'of its principal'])
    expect(names(standing(parent))).toEqual(['above', 'brief'])
  })

  test('[CND3] that nobody delegated asks nobody above it', () => {
    expect(names(standing(SESSION, NOW, above({ ...SESSION, taints: [taint('above')] })))).toEqual([])
  })
})

describe('a level', () => {
  const levels = [{ name: 'high', at: 60, acts: { ...NO_ACTS, stepUp: true, narrow: { to: ['db:read'], ownTenant: true } } }, { name: 'worst', at: 120, acts: { ...NO_ACTS, terminate: true } }]
  const policy = { ...POLICY, risk: { ...NO_RISK, levels } }
  const at60: LevelMark = { name: 'high', at: 60, score: 60, since: NOW, who: '', why: { contributions: [], tenants: [], request: null } }
  const stands = (session: Session, level: LevelMark | null, parent: ParentView = { is: 'gone' }): Effective => effective(session, ['db:read', 'db:write'], ANCHORS, NO_LOCKS, policy, NOW, parent, null, { ...NO_STANDING, level })
  const delegated: Session = { ...CHILD, brokered: CHILD.brokered === null ? null : { ...CHILD.brokered, parent: { key: SESSION.key, id: SESSION.id, baseline: ['db:read', 'db:write'], depth: 0 } } }
  const grandchild: Session = { ...delegated, brokered: delegated.brokered === null ? null : { ...delegated.brokered, parent: { key: CHILD.key, id: CHILD.id, baseline: ['db:read', 'db:write'], depth: 1 } } }

  test('[RSK5, SES21] narrows what was delegated, also where the newest credential above was not seen', () => {
    for (const baselineKnown of [true, false]) expect(stands(delegated, null, { is: 'there', standing: stands(SESSION, at60), baselineKnown }).baseline).toEqual(['db:read'])
  })

  test('[STU1, SES21] is asked of what was delegated, however far below', () => {
    const child = stands(delegated, null, { is: 'there', standing: stands(SESSION, at60), baselineKnown: true })
    const below = stands(grandchild, null, { is: 'there', standing: child, baselineKnown: true })
    expect([child.level, child.levelAbove?.name, below.levelAbove?.name]).toEqual([null, 'high', 'high'])
    expect(stands(SESSION, at60, { is: 'there', standing: child, baselineKnown: true }).levelAbove).toBeNull()
  })

  test('[RSK5, ENF6] that ends sessions does not hide from a route that only observes that somebody froze this one', () => {
    const worst = { ...at60, at: 120 }
    expect(stands(SESSION, worst)).toMatchObject({ state: 'refused', reason: 'risk', byRisk: true })
    expect(stands({ ...SESSION, frozen: { since: NOW, note: '', until: null } }, worst)).toMatchObject({ state: 'refused', byRisk: false })
  })
})
