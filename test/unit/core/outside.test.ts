// Whom news from outside means, which credentials it revokes, and that news once taken is never new again.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Selector } from '../../../src/core/anchor.ts'
import { cutOffSubjects, findableBy, isAfter, isMeant, type OutsideEvent, type Respect, revokedUpTo, type Subject } from '../../../src/core/outside.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SignalId } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { placement } from '../../../src/sessions/placement.ts'
import { life } from './lives.ts'

const WORDS = ['one', 'two', 'three'] as const
const word = fc.constantFrom(...WORDS)
const maybe = fc.option(word, { nil: null })

/** What a session is called, by respect; of some it may be nothing. */
const CALLED = fc.record({ user: word, sid: maybe, email: maybe, device: maybe, workload: maybe, tenant: word, application: fc.constantFrom('', ...WORDS), groups: fc.uniqueArray(word, { maxLength: 2 }), credential: word, issuer: word })
type Called = typeof CALLED extends fc.Arbitrary<infer T> ? T : never

function sessionCalled({ user, sid, email, device, workload, tenant, application, groups, credential, issuer }: Called): Session {
  const session = life()
  const aliases = [...(sid === null ? [] : [`sid:${sid}`]), ...(email === null ? [] : [`email:${email}`]), ...groups.map(group => `group:${group}`)]
  return { ...session, aliases, principal: { ...session.principal, issuer, subject: user, tenant, client: application }, credential: { ...session.credential, id: credential }, bindings: { ...NOT_BOUND, device, workload } }
}

/** Ways to name somebody, with the respect and what a session shows in it. */
const WAYS: readonly { readonly of: Respect; readonly selector: (value: string) => Selector; readonly own: (called: Called) => readonly (string | null)[] }[] = [
  { of: 'user', selector: value => ({ kind: 'subject', value }), own: ({ user }) => [user] },
  { of: 'user', selector: value => ({ kind: 'alias', value: `email:${value}` }), own: ({ email }) => [email] },
  { of: 'session', selector: value => ({ kind: 'alias', value: `sid:${value}` }), own: ({ sid }) => [sid] },
  { of: 'device', selector: value => ({ kind: 'device', value }), own: ({ device }) => [device] },
  { of: 'workload', selector: value => ({ kind: 'workload', value }), own: ({ workload }) => [workload] },
  { of: 'tenant', selector: value => ({ kind: 'tenant', value }), own: ({ tenant }) => [tenant] },
  { of: 'application', selector: value => ({ kind: 'alias', value: `application:${value}` }), own: ({ application }) => [application === '' ? null : application] },
  { of: 'group', selector: value => ({ kind: 'alias', value: `group:${value}` }), own: ({ groups }) => (groups.length === 0 ? [null] : groups) },
  { of: 'credential', selector: value => ({ kind: 'credential', value }), own: ({ credential }) => [credential] },
  { of: 'issuer', selector: value => ({ kind: 'issuer', value }), own: ({ issuer }) => [issuer] },
]
/** Respects that can be searched by, the one that tells most first. */
const ORDER: readonly Respect[] = ['credential', 'user', 'session', 'device', 'workload', 'group', 'tenant']
const NAMED = fc.uniqueArray(fc.record({ way: fc.nat(WAYS.length - 1), values: fc.uniqueArray(word, { minLength: 1, maxLength: 2 }) }), { maxLength: 4, selector: ({ way }) => WAYS[way]?.of })

/** Said another way: what tells most fits, and nothing else that both sides know differs. A user is always known, whatever it is called by. */
function modelled(called: Called, named: readonly { readonly way: number; readonly values: readonly string[] }[]): boolean {
  const members = named.flatMap(({ way, values }) => { const found = WAYS[way]; return found === undefined ? [] : [{ of: found.of, own: found.own(called), values }] })
  const telling = ORDER.find(of => members.some(member => member.of === of))
  if (telling === undefined) return false
  return members.every(({ of, own, values }) => own.some(each => each !== null && values.includes(each)) || (of !== telling && of !== 'user' && own.every(each => each === null)))
}

const NOW = instant(1_000_000)
const eventOf = (subject: Subject, more: Partial<OutsideEvent> = {}): OutsideEvent =>
  ({ source: 'idp', issuer: 'https://t.test', jti: 'j', type: 'session-revoked', at: NOW, takenAt: NOW, subject, effects: [{ do: 'terminate' }], order: null, most: 5, notify: [], note: '', ...more })

describe('whom news means', () => {
  test('[OUT2] is who is called so in what tells most, and not otherwise in anything that both know', () => {
    const seen = { meant: 0, not: 0 }
    fc.assert(fc.property(CALLED, NAMED, (called, named) => {
      const subject: Subject = named.flatMap(({ way, values }) => { const found = WAYS[way]; return found === undefined ? [] : [{ of: found.of, any: values.map(found.selector) }] })
      const meant = modelled(called, named)
      seen[meant ? 'meant' : 'not']++
      expect(isMeant(sessionCalled(called), subject)).toBe(meant)
    }), { numRuns: 3_000 })
    expect(Math.min(seen.meant, seen.not)).toBeGreaterThan(300)
  })

  test('[OUT2] nobody is named by nothing, or by an application alone, and whoever bounds others names nobody', () => {
    const session = sessionCalled({ user: 'one', sid: null, email: null, device: null, workload: null, tenant: 'one', application: 'one', groups: [], credential: 'one', issuer: 'one' })
    const application = { of: 'application', any: [{ kind: 'alias', value: 'application:one' }] } as const
    const bounds = [{ of: 'issuer', any: [{ kind: 'issuer', value: 'one' }] }, { of: 'ownTenant', any: [{ kind: 'tenant', value: 'one' }] }] as const
    for (const subject of [[], [application], bounds] satisfies Subject[]) expect([isMeant(session, subject), findableBy(subject)]).toEqual([false, null])
    const tenant = { of: 'tenant', any: [{ kind: 'tenant', value: 'one' }] } as const
    expect(isMeant(session, [tenant, ...bounds])).toBe(true)
    expect(isMeant(session, [tenant, { of: 'ownTenant', any: [{ kind: 'tenant', value: 'two' }] }])).toBe(false)
  })

  test('[OUT2] a session of a user that nobody here knows by the name it is meant by is meant; one that is known by another is not', () => {
    const named = (sid: Called['sid']): Session => sessionCalled({ user: 'one', sid, email: null, device: null, workload: null, tenant: 'one', application: '', groups: [], credential: 'one', issuer: 'one' })
    const subject: Subject = [{ of: 'user', any: [{ kind: 'subject', value: 'one|one' }] }, { of: 'session', any: [{ kind: 'alias', value: 'sid:two' }] }]
    expect([named(null), named('two'), named('three')].map(session => isMeant(session, subject))).toEqual([true, true, false])
  })
})

describe('what is revoked', () => {
  test('[OUT3] are credentials up to the event, and a little behind it; never any that nobody could have seen yet', () => {
    const at = (ms: number): Instant => instant(NOW + ms)
    expect([null, at(0), at(5_000), at(5_001)].map(issuedAt => isAfter(issuedAt, { at: NOW }))).toEqual([false, false, false, true])
    expect(revokedUpTo({ at: NOW, takenAt: at(60_000) })).toBe(at(5_000))
    expect(revokedUpTo({ at: NOW, takenAt: at(100) })).toBe(at(100))
  })

  test('[OUT3] only a user alone, and whole, has its credentials refused that were never seen here', () => {
    const user = (value: string) => ({ of: 'user', any: [{ kind: 'subject', value }] }) as const
    expect(cutOffSubjects([user('https://idp|eve')])).toEqual(['https://idp|eve'])
    expect(cutOffSubjects([user('eve')])).toEqual([])
    expect(cutOffSubjects([user('https://idp|eve'), { of: 'device', any: [{ kind: 'device', value: 'd' }] }])).toEqual([])
  })

  test('[OUT3] or a workload, as its own trust domain vouches for it, where that is spoken for', () => {
    const workload = (value: string) => ({ of: 'workload', any: [{ kind: 'workload', value }] }) as const
    const issuers = (...values: readonly string[]) => ({ of: 'issuer', any: values.map(value => ({ kind: 'issuer', value }) as const) }) as const
    const [id, own] = ['spiffe://acme.example/ns/a', ['spiffe://acme.example|spiffe://acme.example/ns/a']]
    expect([cutOffSubjects([workload(id)]), cutOffSubjects([workload(id), issuers('https://ci', 'spiffe://acme.example')])]).toEqual([own, own])
    for (const other of [[workload(id), issuers('https://ci', 'spiffe://acme.example.org')], [workload('pod/1')], [workload(id), issuers('spiffe://acme.example'), { of: 'ownTenant', any: [{ kind: 'tenant', value: 'acme' }] }], [workload(id), { of: 'ownTenant', any: [] }]] as const) expect(cutOffSubjects(other)).toEqual([])
  })
})

describe('news that was taken', () => {
  const ref = { kind: 'event', name: 'idp/x' } as const
  const word = (kind: 'anchor.opened' | 'anchor.ended', outcome: 'acted' | null) => ({ kind, matter: { is: 'event', event: eventOf([]), outcome, met: 0 }, id: 'sig_1' as SignalId, by: 'test', note: '' }) as const // a test word

  test('[OUT1] is never new again, open or acted on', () => {
    const opened = transitionAnchor(ref, null, word('anchor.opened', null), NOW)
    expect(opened.facts.map(({ what }) => what)).toEqual(['anchor.opened'])
    expect(transitionAnchor(ref, opened.record, word('anchor.opened', null), NOW).facts).toEqual([])
    const ended = transitionAnchor(ref, opened.record, word('anchor.ended', 'acted'), NOW)
    expect(ended.record).toMatchObject({ state: 'ended', matter: { outcome: 'acted' } })
    expect(transitionAnchor(ref, ended.record, word('anchor.opened', null), NOW)).toMatchObject({ record: ended.record, facts: [] })
  })

  test('[OUT1] is found while it is open, is kept for eight days when it is over, and an order for thirty', () => {
    const day = 86_400_000
    const opened = transitionAnchor(ref, null, word('anchor.opened', null), NOW).record
    const ended = transitionAnchor(ref, opened, word('anchor.ended', 'acted'), NOW).record
    const order = transitionAnchor({ kind: 'event', name: 'idp/order/x' }, null, { kind: 'anchor.told', matter: { is: 'order', at: NOW }, id: 'sig_2' as SignalId, by: 'test', note: '' }, NOW).record // a test word
    const places = [opened, ended, order].map(record => (record === null ? null : placement(record, NOW)))
    expect(places).toEqual([
      { index: [], ties: [{ kind: 'event', name: 'open' }], forgetAt: NOW + 90 * day },
      { index: [], ties: [], forgetAt: NOW + 8 * day },
      { index: [], ties: [], forgetAt: NOW + 30 * day },
    ])
  })
})
