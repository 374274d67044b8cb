// A session's text in Redis gives the very session back, whatever is in it, and a plain one is short.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BINDING_KINDS, NOT_BOUND } from '../../../src/core/binding.ts'
import type { RecordRef } from '../../../src/core/record.ts'
import type { Actor } from '../../../src/core/principal.ts'
import type { Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import { MEANS, type StepUp, type StepUpId } from '../../../src/core/step-up.ts'
import type { Taint } from '../../../src/core/taint.ts'
import { duration, instant } from '../../../src/core/time.ts'
import { bodyOf, recordOf } from '../../../src/sessions/redis/entry.ts'
import { at, elevation, NOW, SESSION } from '../core/world.ts'

const text = fc.oneof(fc.constant(''), fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom('["', '{', '\x1f', 'null', 'a/b|c'))
const time = fc.integer({ min: 0, max: 2 ** 50 }).map(instant)
const wellKnownTime = fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }).map(instant)
const orNull = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null })
const actor: fc.Arbitrary<Actor> = fc.record({ issuer: text, subject: text, actsFor: orNull(fc.record({ issuer: text, subject: text, actsFor: fc.constant(null) })) })
const scope = fc.array(text, { maxLength: 3 })

const reason = fc.constantFrom('revoked', 'idle', 'max_reached', 'state_lost')
const state: fc.Arbitrary<Session['state']> = fc.oneof(fc.constant({ is: 'live' } as const), fc.record({ is: fc.constant('lapsed'), at: time, reason }), fc.record({ is: fc.constant('revoked'), at: time, reason }))
const cap: fc.Arbitrary<Session['cap']> = fc.oneof(fc.constant({ is: 'none' } as const), fc.record({ is: fc.constant('baseline'), scopes: orNull(scope) }), fc.record({ is: fc.constant('scopes'), scopes: scope }))
const elevations = fc.array(fc.record({ id: text, adds: scope, until: time, params: fc.dictionary(text, fc.jsonValue({ maxDepth: 1 })) }), { maxLength: 2 })
  .map(all => all.map(({ id, adds, until, params }) => elevation(id, { adds, params, purposes: { ticket: id }, ties: [{ anchor: { kind: 'ticket', name: id }, generation: until, reason: 'ticket_closed', position: null, level: null }], for: duration(1), state: { is: 'active', since: NOW, until } })))

const bindings: fc.Arbitrary<Session['bindings']> = fc.oneof(fc.constant(NOT_BOUND), fc.record({ key: orNull(text), workload: orNull(text), device: orNull(text), source: orNull(text) }))
const brokered: fc.Arbitrary<Session['brokered']> = orNull(fc.record({
  broker: text, by: text, claims: fc.dictionary(text, fc.jsonValue({ maxDepth: 1 })), possession: orNull(fc.constantFrom('dpop', 'certificate')), scopes: orNull(scope), profiles: scope, purposes: fc.oneof(fc.constant({}), text.map(ticket => ({ ticket }))), barred: scope,
  parent: orNull(fc.record({ key: text.map(key => key as SessionKey), id: text.map(id => id as SessionId), baseline: scope, depth: fc.nat(4) })), // words of the test
}))

const stepUpState: fc.Arbitrary<StepUp['state']> = fc.oneof(fc.constant({ is: 'pending' } as const), fc.record({ is: fc.constant('satisfied'), at: time, until: orNull(time) }), fc.record({ is: fc.constant('denied'), at: time, by: text }), fc.record({ is: fc.constant('expired'), at: time }))
const stepUp: fc.Arbitrary<StepUp> = fc.record({
  id: text.map(id => id as StepUpId), covers: fc.record({ rule: orNull(text), request: orNull(fc.record({ method: text, host: text, path: text, query: text, call: orNull(text) })) }), by: fc.subarray([...MEANS]), all: fc.boolean(), acr: scope, role: text, askedAt: time, expiresAt: time, // a word of the test
  onTimeout: fc.constantFrom('refuse', 'terminate'), onDeny: fc.constantFrom('refuse', 'terminate'), uses: orNull(fc.nat()), for: orNull(fc.nat().map(duration)), because: text, barred: scope, notify: scope,
  given: fc.array(fc.record({ means: fc.constantFrom(...MEANS), by: text, at: time, proof: text }), { maxLength: 2 }), used: scope, state: stepUpState,
})
const taint: fc.Arbitrary<Taint> = fc.record({ name: text, since: time, until: orNull(time), rule: text, exchange: text })

const session: fc.Arbitrary<Session> = fc.record({
  record: fc.constant('session'), key: text.map(key => key as SessionKey), id: text.map(id => id as SessionId), epoch: text, version: fc.nat(), // words of the test
  principal: fc.record({ kind: fc.constantFrom('agent', 'service', 'ci', 'operator', 'person'), issuer: text, tenant: text, subject: text, client: text, owner: orNull(text), actor: orNull(actor) }),
  bindings, aliases: fc.array(text, { maxLength: 2 }), overlay: fc.array(fc.record({ claim: text, value: fc.jsonValue({ maxDepth: 1 }).map((value): unknown => value), at: time }), { maxLength: 2 }), demand: orNull(fc.record({ since: time, because: text, by: fc.constant([] as const), all: fc.boolean() })), brokered, drifts: fc.array(fc.record({ binding: fc.constantFrom(...BINDING_KINDS), shown: text }), { maxLength: 2 }),
  openedAt: fc.oneof(time, wellKnownTime), credential: fc.record({ id: text, keyId: orNull(text), issuedAt: orNull(fc.oneof(time, wellKnownTime)), expiresAt: orNull(time) }),
  endsAt: fc.oneof(time, wellKnownTime), cap, barred: scope, frozen: orNull(fc.record({ since: time, note: text, until: orNull(time) })), elevations, stepUps: fc.array(stepUp, { maxLength: 2 }), taints: fc.array(taint, { maxLength: 2 }), state, notBefore: orNull(time),
})

const STEP_UP: StepUp = {
  id: 'stp_1' as StepUpId, covers: { rule: null, request: null }, by: ['approval'], all: false, acr: [], role: 'approver', askedAt: NOW, expiresAt: at(60), onTimeout: 'refuse', onDeny: 'terminate', // a word of the test
  uses: 1, for: null, because: 'suspect', barred: [], notify: [], given: [], used: [], state: { is: 'pending' },
}

const refOf = ({ key }: Session): RecordRef => ({ kind: 'session', name: key })
/** What JSON makes of it: an object without a prototype of its own and the like stay out of the comparison. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('[STO14] what is written of a session gives the very session back', () => {
  fc.assert(fc.property(session, whole => {
    const back = recordOf(refOf(whole), bodyOf(whole))
    expect(back).toEqual(plain(whole))
    expect(Object.keys(back)).toEqual(Object.keys(SESSION_IN_ORDER))
    expect(bodyOf(back)).toBe(bodyOf(whole))
  }), { numRuns: 1_000 })
})

test('[STO14] each way in which a session is not plain is kept', () => {
  const ways: readonly Partial<Session>[] = [
    {}, { cap: { is: 'baseline', scopes: null } }, { cap: { is: 'scopes', scopes: [] } }, { barred: ['fix'] }, { frozen: { since: NOW, note: '', until: null } }, { elevations: [elevation('e1')] },
    { state: { is: 'revoked', at: NOW, reason: 'revoked' } }, { state: { is: 'lapsed', at: NOW, reason: 'idle' } }, { notBefore: NOW }, { notBefore: instant(0) },
    { bindings: { ...NOT_BOUND, source: '192.0.2.1' } }, { brokered: { broker: 'b', by: 'i|s', claims: {}, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: null } }, { drifts: [{ binding: 'key', shown: '' }] },
    { principal: { ...SESSION.principal, owner: '' } }, { principal: { ...SESSION.principal, actor: { issuer: 'i', subject: 's', actsFor: null } } },
    { credential: { ...SESSION.credential, issuedAt: null, expiresAt: null } }, { endsAt: at(-5) }, { taints: [{ name: 'pii', since: NOW, until: null, rule: 'api#1', exchange: 'exc_1' }] }, { stepUps: [STEP_UP] },
  ]
  for (const way of ways) expect(recordOf(refOf(SESSION), bodyOf({ ...SESSION, ...way }))).toEqual({ ...SESSION, ...way })
})

test('[STO14] instants whose differences are not exact are written as they are', () => {
  for (const odd of [NOW + 0.1, 2 ** 53 - 1, Number.MAX_VALUE]) {
    const whole: Session = { ...SESSION, endsAt: instant(odd), credential: { ...SESSION.credential, issuedAt: instant(odd) } }
    expect(recordOf(refOf(whole), bodyOf(whole))).toEqual(whole)
  }
})

test('[STO14] other records, and sessions written out whole, are read as they stand', () => {
  const anchor = { record: 'anchor', kind: 'ticket', name: 'm//T-1', version: 3, state: 'ended', generation: NOW, since: NOW, note: '[', matter: null } as const
  expect(recordOf({ kind: 'ticket', name: anchor.name }, bodyOf(anchor))).toEqual(anchor)
  expect(recordOf(refOf(SESSION), JSON.stringify(SESSION))).toEqual(SESSION)
})

test('[STO14] a plain live session takes less than 260 characters', () => {
  const digest = 'd'.repeat(43)
  const whole: Session = { ...SESSION, key: 'k'.repeat(43) as SessionKey, id: `ses_${'a'.repeat(26)}` as SessionId, epoch: '0123456789ab.1790000000', credential: { ...SESSION.credential, id: digest, keyId: 'key-1' }, principal: { ...SESSION.principal, issuer: 'https://login.example', subject: 'agent-000001', client: 'client-1' } } // words of the test
  expect(bodyOf(whole).length).toBeLessThan(260)
  expect(bodyOf(whole)).not.toContain(whole.key)
})

const SESSION_IN_ORDER = { record: 0, key: 0, id: 0, epoch: 0, version: 0, principal: 0, bindings: 0, aliases: 0, overlay: 0, demand: 0, brokered: 0, drifts: 0, openedAt: 0, credential: 0, endsAt: 0, cap: 0, barred: 0, frozen: 0, elevations: 0, stepUps: 0, taints: 0, state: 0, notBefore: 0 }
