// What an effect is as news of one session.
import { describe, expect, test } from 'vitest'
import type { Effect, OutsideEvent } from '../../../../src/core/outside.ts'
import type { Session } from '../../../../src/core/session.ts'
import { duration, type Instant, instant } from '../../../../src/core/time.ts'
import { deedsOf } from '../../../../src/signals/outside/deeds.ts'
import { asks, life } from '../../core/lives.ts'
import { elevationId, START } from '../../core/news.ts'

const MINUTE = 60_000
const at = (ms: number): Instant => instant(START + ms)
const eventAt = (happened: Instant): OutsideEvent => ({ source: 'idp', issuer: '', jti: 'j', type: 'credential-change', at: happened, takenAt: at(MINUTE), subject: [], effects: [], order: null, most: 5, notify: [], note: '' })
const terms = { now: at(2 * MINUTE), frozenFor: duration(30 * MINUTE) }
/** Opened, and with a credential issued, at START. */
const SESSION = life([1, asks(1, {}, { adds: ['db:read'] })], [3, asks(2, {}, { adds: ['db:write', 'db:admin'] })])
const newsOf = (effect: Effect, session: Session = SESSION, event = eventAt(START)) => deedsOf(effect, 4, session, event, terms)

describe('an effect', () => {
  test.each<readonly [Effect, object]>([
    [{ do: 'terminate' }, { kind: 'session.terminated', reason: 'revoked_outside' }],
    [{ do: 'freeze', for: null }, { kind: 'session.frozen', until: at(32 * MINUTE) }],
    [{ do: 'freeze', for: duration(MINUTE) }, { kind: 'session.frozen', until: at(3 * MINUTE) }],
    [{ do: 'narrow', to: null }, { kind: 'session.narrowed', to: 'baseline', elevations: [] }],
    [{ do: 'narrow', to: ['a'] }, { kind: 'session.narrowed', to: ['a'], elevations: [] }],
    [{ do: 'shorten', to: duration(MINUTE) }, { kind: 'session.shortened', endsAt: at(2 * MINUTE) }],
    [{ do: 'reproof', by: ['attest'] }, { kind: 'proof.demanded', demand: { since: at(2 * MINUTE), because: 'credential-change', by: ['attest'], all: false } }],
    [{ do: 'claims', changes: { role: null } }, { kind: 'claims.changed', changes: [{ claim: 'role', value: null, at: START }] }],
  ])('[OUT3] %j is news of its own, under the place that it has among the effects', (effect, news) => {
    expect(newsOf(effect)).toEqual([{ part: '4', news }])
  })

  test('[OUT3] on elevations ends those that are not over and add one of the scopes, each under a name of its own', () => {
    const ending = (n: number) => ({ part: `4.${elevationId(n)}`, news: { kind: 'elevation.ended', elevation: elevationId(n), reason: 'trust_changed', because: 'credential-change' } })
    expect(newsOf({ do: 'endElevations', scopes: null })).toEqual([ending(1), ending(2)])
    expect(newsOf({ do: 'endElevations', scopes: ['db:admin', 'other'] })).toEqual([ending(2)])
    const over = life([1, asks(1)], [2, { kind: 'elevation.ended', elevation: elevationId(1), reason: 'revoked', because: 'test' }])
    expect(newsOf({ do: 'endElevations', scopes: null }, over)).toEqual([])
  })

  test('[OUT3] neither revokes nor asks for proof where the credential is newer than what happened', () => {
    const earlier = eventAt(at(-MINUTE))
    expect([newsOf({ do: 'terminate' }, SESSION, earlier), newsOf({ do: 'reproof', by: ['signIn'] }, SESSION, earlier)]).toEqual([[], []])
    expect(newsOf({ do: 'narrow', to: null }, SESSION, earlier)).toHaveLength(1)
  })

  test('[OUT3] that is of a principal, or of people, is no news of a session', () => {
    expect([newsOf({ do: 'risk', name: 'idp', points: 5 }), newsOf({ do: 'notify' })]).toEqual([[], []])
  })
})
