// narrow, said more than once: what one word took no other gives back, whichever came first, and nobody is told of a narrowing that did nothing.
// `widen` is the one way back. SPEC: ENF5, SIG3
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { effective } from '../../../src/core/effective.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import { scopeOf } from '../../../src/core/scope.ts'
import { NO_CAP, type Session } from '../../../src/core/session.ts'
import type { SessionNews, SignalId } from '../../../src/core/signal.ts'
import { transition } from '../../../src/core/transition.ts'
import { AS_ASKED, at, elevation, policyOf, profile, SESSION } from './world.ts'

const POLICY = policyOf(profile('fix', ['db:write']), profile('mail', ['mail:send']))
const BASELINE = ['base:read', 'base:write']
/** Two elevations run beside the baseline. */
const OPEN: Session = { ...SESSION, elevations: [elevation('e1'), elevation('e2', { profile: 'mail', adds: ['mail:send'] })] }
const ALL = ['base:read', 'base:write', 'db:write', 'mail:send']

type Narrowing = Extract<SessionNews, { kind: 'session.narrowed' }>
const to = (what: Narrowing['to'], ...elevations: readonly string[]): Narrowing => ({ kind: 'session.narrowed', to: what, elevations: elevations as Narrowing['elevations'] }) // words of the test

const tell = (session: Session, news: SessionNews) => transition(session, { id: 'sig_x' as SignalId, by: 'operator', note: '', ...news }, at(1)) // a word of the test
function after(session: Session, ...news: readonly SessionNews[]): Session {
  const { record } = news.reduce((so, one) => tell(so.record ?? session, one), { record: session } as ReturnType<typeof tell>) // `record` is all that is read of it
  if (record === null) throw new Error('no session')
  return record
}

/** Every scope that carries a request now. */
function may(session: Session): readonly string[] {
  const { state, baseline, carriers } = effective(session, BASELINE, { find: () => null }, NO_LOCKS, POLICY, at(2))
  return state === 'live' ? scopeOf([...baseline, ...carriers.flatMap(({ carries }) => carries)]) : []
}

describe('narrowed twice', () => {
  const READ = to(['base:read'])
  const ONLY_BASELINE = to('baseline')

  test.each<readonly [string, readonly Narrowing[], readonly string[]]>([
    ['to the baseline', [ONLY_BASELINE], BASELINE],
    ['to scopes', [to(['base:read', 'db:write'])], ['base:read', 'db:write']],
    ['to the baseline, then to scopes', [ONLY_BASELINE, READ], ['base:read']],
    ['to scopes, then to the baseline', [READ, ONLY_BASELINE], ['base:read']],
    ['to the baseline, then to a scope of an elevation', [ONLY_BASELINE, to(['base:read', 'db:write'])], ['base:read']],
    ['to a scope of an elevation, then to the baseline', [to(['base:read', 'db:write']), ONLY_BASELINE], ['base:read']],
    ['to scopes, then to others', [READ, to(['base:write'])], []],
    ['to scopes, then to more', [READ, to(ALL)], ['base:read']],
    ['to scopes, then by elevation', [to(['base:read', 'db:write', 'mail:send']), to(null, 'e1')], ['base:read', 'mail:send']],
    ['by elevation, then to scopes', [to(null, 'e1'), to(['base:read', 'db:write', 'mail:send'])], ['base:read', 'mail:send']],
    ['by elevation, then to the baseline', [to(null, 'e1'), ONLY_BASELINE], BASELINE],
  ])('[ENF5, SIG3] %s', (_, news, left) => {
    expect(may(OPEN)).toEqual(ALL)
    expect(may(after(OPEN, ...news))).toEqual(left)
  })

  test('[ENF5, SIG3] what is left is what every word left, in whatever order they came, and no word is taken without effect', () => {
    const words = fc.record({ scopes: fc.oneof(fc.constant(null), fc.constant('baseline' as const), fc.subarray([...ALL]).map(scopeOf)), named: fc.subarray(['e1', 'e2']) })
    let said = 0
    fc.assert(fc.property(fc.array(words, { minLength: 1, maxLength: 5 }), told => {
      const news = told.map(({ scopes, named }) => to(scopes, ...named))
      const left = ALL.filter(scope => news.every(word => may(after(OPEN, word)).includes(scope)))
      expect(may(after(OPEN, ...news))).toEqual(left)
      expect(may(after(OPEN, ...news.toReversed()))).toEqual(left)
      let session = OPEN
      for (const word of news) {
        const { record, facts, rejected } = tell(session, word)
        const takes = may(session).some(scope => !may(after(OPEN, word)).includes(scope))
        if (takes) expect([facts[0]?.what, rejected]).toEqual(['session.narrowed', null])
        said += takes ? 1 : 0
        session = record ?? session
      }
    }), { numRuns: 500 })
    expect(said).toBeGreaterThan(200)
  })

  test('[ENF5] `widen` lifts every cap and every bar, and gives back what still runs', () => {
    const narrowed = after(OPEN, READ, to(null, 'e1'), ONLY_BASELINE)
    expect(may(narrowed)).toEqual(['base:read'])
    const wide = after(narrowed, { kind: 'session.widened' })
    expect([wide.cap, wide.barred, may(wide)]).toEqual([NO_CAP, [], ALL])
  })

  test('[ENF5, SIG3] said again it is nothing new; a name nobody knows beside a word that takes does not spoil it, alone it is refused', () => {
    const narrowed = after(OPEN, ONLY_BASELINE, READ)
    for (const word of [ONLY_BASELINE, READ, to(ALL)]) expect(tell(narrowed, word)).toEqual({ record: narrowed, facts: [], rejected: null })
    expect(may(after(OPEN, to('baseline', 'nobody')))).toEqual(BASELINE)
    expect(may(after(OPEN, to(null, 'nobody', 'e1')))).toEqual(['base:read', 'base:write', 'mail:send'])
    expect(tell(OPEN, to(null, 'nobody')).rejected?.rejected).toBe('not_found')
  })

  test('[ENF5, ELV7] an elevation approved under both caps waits, and runs within neither', () => {
    const asked = elevation('e3', { stages: [{ role: 'approver', count: 1 }], state: { is: 'requested', expiresAt: null } })
    const narrowed = after({ ...OPEN, elevations: [asked] }, READ, ONLY_BASELINE)
    const approved = after(narrowed, { kind: 'elevation.approved', elevation: asked.id, ...AS_ASKED, barred: [] })
    expect([approved.elevations[0]?.state.is, may(approved)]).toEqual(['suspended', ['base:read']])
  })
})
