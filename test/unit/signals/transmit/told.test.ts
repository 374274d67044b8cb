// What facts are to others: who is named, who is said to have done it, and what is nobody's business.
import { describe, expect, test } from 'vitest'
import type { Outgoing } from '../../../../src/audit/record.ts'
import { sessionRef } from '../../../../src/core/record.ts'
import type { AnchorFact, Fact, SessionFact } from '../../../../src/core/fact.ts'
import { NO_STANDING } from '../../../../src/core/risk.ts'
import type { Session } from '../../../../src/core/session.ts'
import { transition } from '../../../../src/core/transition.ts'
import { after, duration, instant } from '../../../../src/core/time.ts'
import { isTold, ofRisk, ofSession, personNamed, riskWord, typeOf } from '../../../../src/signals/transmit/told.ts'
import { birth, frozen, KEY, outgoing } from '../../audit/samples.ts'
import { opening } from '../../../contract/session-store-contract.ts'

const NOW = instant(1_790_000_000_000)
function life(): Session {
  const { record } = transition(null, opening('a', NOW, 'e1'), NOW)
  if (record === null) throw new Error('no life')
  return record
}
const LIFE = life()
const factOf = (what: Partial<SessionFact> & Pick<SessionFact, 'what'>, told: Partial<Fact> = {}): Outgoing =>
  outgoing({ at: after(NOW, duration(5)), because: 'sig_1', by: 'timekeeper', note: '', version: 2, ...what, ...told } as SessionFact, 7) // members of that kind, as its test names them
const revoked = (told: Partial<Fact> = {}): Outgoing => factOf({ what: 'session.revoked', reason: 'revoked' }, told)

describe('a fact of a session', () => {
  test('[TRM2] names its session, user and tenant, and says what it is of whom', () => {
    expect(ofSession(revoked(), LIFE)).toEqual({
      event: 'session-revoked', issuer: 'https://idp.test', tenant: 'acme', txn: 'sig_1', source: null, mark: JSON.stringify(['session', KEY, 2, NOW + 5, 0]),
      subject: { format: 'complex', session: { format: 'opaque', id: LIFE.id }, user: { format: 'iss_sub', iss: 'https://idp.test', sub: 'agent-a' }, tenant: { format: 'opaque', id: 'acme' } },
      says: { event_timestamp: NOW / 1000, initiating_entity: 'policy', reason_admin: { en: 'revoked' } },
    })
  })

  test('[TRM2] of a life that is over is not said of the next one under its key', () => {
    expect(ofSession(revoked({ at: instant(LIFE.openedAt - 1) }), LIFE)).toBeNull()
    expect(ofSession(revoked(), null)).toBeNull()
    expect(ofSession(outgoing(birth(), 1), null)).toMatchObject({ event: 'session-established', says: { ext_id: 'ses_abcdefghijklmnopqrstuvwxyz' } })
  })

  test.each([['timekeeper', 'policy'], ['https://ops.test|root', 'admin'], ['https://idp.test|agent-a', 'user'], ['signals:idp', 'policy']])('[TRM2] that %s brought about is initiated by %s', (by, initiating_entity) => {
    expect(ofSession(revoked({ by }), LIFE)?.says).toMatchObject({ initiating_entity })
  })

  test('[TRM2] that news from outside caused says whose, and an operator who brought it is one', () => {
    const news = { because: 'sig_out_x.0' as Fact['because'], by: 'signals:idp' } // a test word
    expect(ofSession(revoked(news), LIFE)?.source).toBe('idp')
    expect(ofSession(revoked({ ...news, by: 'signals:operator' }), LIFE)).toMatchObject({ source: 'operator', says: { initiating_entity: 'admin' } })
    expect(ofSession(revoked({ ...news, because: 'sig_1' as Fact['because'] }), LIFE)?.source).toBeNull() // a test word
  })

  test('[TRM2] is told once for each that there is, and of nothing that only we care about', () => {
    const marks = [revoked(), revoked({ version: 3 }), revoked({ at: after(NOW, duration(6)) }), { ...revoked(), part: 1 }, { ...revoked(), ref: sessionRef('other' as typeof KEY) }].map(each => ofSession(each, LIFE)?.mark) // a test word
    expect(new Set(marks).size).toBe(5)
    expect([isTold(revoked()), isTold(outgoing(frozen(2), 2))]).toEqual([true, false])
  })

  test('[TRM2] of an elevation says its profile and the kinds of its purposes where they are known, and never what the drift showed', () => {
    const drifted = ofSession(factOf({ what: 'binding.drifted', drift: { binding: 'source', shown: '203.0.113.0/24' } }), LIFE)
    expect(drifted).toMatchObject({ event: 'session-presented', says: { ext_id: LIFE.id } })
    expect(JSON.stringify(drifted)).not.toContain('203.0.113')
    const elevation = 'elv_1' as Session['elevations'][number]['id'] // a test word
    expect(ofSession(factOf({ what: 'elevation.ended', elevation, reason: 'time_up', cause: '', unfinished: false }), LIFE)).toMatchObject({ event: 'elevation-ended', says: { elevation, reason_admin: { en: 'time_up' } } })
    const held = { ...LIFE, elevations: [{ id: elevation, profile: 'fix', purposes: { ticket: 'OPS-1', run: 'r' }, state: { is: 'active', since: NOW, until: instant(NOW + 60_000) } }] } as unknown as Session // what is read of it
    for (const [what, event] of [['elevation.resumed', 'elevation-granted'], ['elevation.suspended', 'elevation-narrowed']] as const) {
      const told = ofSession(factOf({ what, elevation }), held)
      expect(told).toMatchObject({ event, says: { elevation, profile: 'fix', purposes: ['run', 'ticket'], ...(event === 'elevation-granted' ? { until: NOW / 1000 + 60 } : {}) } })
      expect(JSON.stringify(told)).not.toContain('OPS-1')
    }
  })

  test('[TRM2] is of a type of CAEP, or of our own', () => {
    expect([typeOf('https://gw', 'session-revoked'), typeOf('https://gw', 'elevation-ended')]).toEqual(['https://schemas.openid.net/secevent/caep/event-type/session-revoked', 'https://gw/events/elevation-ended'])
  })
})

describe('a fact of a principal', () => {
  const level = (at: number) => ({ name: 'hot', at, score: at, since: NOW, who: 'https://idp.test|a|b', why: { contributions: [], tenants: [], request: null } })
  const moved = (changes: Partial<AnchorFact> = {}, clearedAt = instant(0), at: number | null = 50): AnchorFact => ({
    at: NOW, because: 'sig_rose_1', by: 'risk', note: '', version: 3, what: 'anchor.told', kind: 'principal', name: 'digest', matter: { is: 'principal', cooling: {}, ...NO_STANDING, clearedAt, level: at === null ? null : level(at) }, ...changes,
  } as AnchorFact) // members of that kind
  const out = (fact: AnchorFact): Outgoing => outgoing(fact, 3, 0, 'e1', { kind: 'principal', name: 'digest' })
  const WHO = { issuer: 'https://idp.test', subject: 'a|b', tenant: null, was: null }

  test('[TRM2] is told where it is of risk, and of nothing else', () => {
    expect([moved(), moved({ because: 'sig_fell_1' as Fact['because'] }), moved({ because: 'sig_x' as Fact['because'] }, NOW), moved({ because: 'sig_x' as Fact['because'] })].map(fact => isTold(out(fact)))).toEqual([true, true, true, false]) // test words
    expect(isTold(out({ ...moved(), matter: null } as AnchorFact))).toBe(false) // as above
  })

  test.each([[1, ['HIGH']], [2, ['MEDIUM', 'HIGH']], [3, ['MEDIUM', 'HIGH', 'HIGH']], [4, ['MEDIUM', 'MEDIUM', 'HIGH', 'HIGH']]] as const)('[TRM2] with %i levels stands for LOW below all of them, then %j', (count, words) => {
    const levels = Array.from({ length: count }, (_, i) => ({ name: `l${i}`, at: (i + 1) * 10 })) as unknown as Parameters<typeof riskWord>[0]['levels'] // what is read of them
    expect(levels.map(({ at }) => riskWord({ levels }, at))).toEqual(words)
    expect([riskWord({ levels }, null), riskWord({ levels }, 10 * count + 5)]).toEqual(['LOW', words.at(-1)])
  })

  test('[TRM2] says how it was where that is known, and nothing where it is as it was', () => {
    expect(ofRisk(out(moved()), moved(), WHO, 'HIGH')).toMatchObject({
      event: 'risk-level-change', subject: { format: 'iss_sub', iss: 'https://idp.test', sub: 'a|b' },
      says: { event_timestamp: NOW / 1000, principal: 'USER', current_level: 'HIGH', risk_reason: 'hot', initiating_entity: 'policy' },
    })
    expect(ofRisk(out(moved()), moved(), { ...WHO, was: 'MEDIUM' }, 'HIGH')?.says).toMatchObject({ previous_level: 'MEDIUM' })
    expect(ofRisk(out(moved()), moved(), { ...WHO, was: 'HIGH' }, 'HIGH')).toBeNull()
    expect(personNamed('https://idp.test|a|b')).toEqual({ issuer: 'https://idp.test', subject: 'a|b', tenant: null })
    expect([personNamed('nobody'), personNamed('|a')]).toEqual([null, null])
  })
})
