// What becomes of each event of CAEP 1.0 and of the stream itself, what is no such event, and what a transmitter is told. Real tokens; the store and the stream are not asked.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { EventName } from '../../../../src/config/schema/signals.ts'
import { TokenIssuer } from '../../../support/token-issuer.ts'
import { CAEP, type Claims, ReceivingEnd, SSF } from './receiving-end.ts'

type Expected = { readonly event?: string; readonly at?: number; readonly note?: string; readonly means?: readonly string[]; readonly order?: boolean; readonly changes?: Claims; readonly unread?: readonly string[]; readonly noted?: string; readonly verified?: string; readonly updated?: string; readonly ignored?: boolean }
type Case = { readonly from: string; readonly claims: Claims; readonly expect: Expected }

const FOLDER = new URL('../../../cases/caep/', import.meta.url)
const CASES = readdirSync(FOLDER).map(name => [name, JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Case] as const)

const REVOKED = 'session-revoked'
const refused = (err: string) => ({ is: 'refused', err })

describe('examples of the standards', () => {
  test('[SSF3] there are some of each event', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(20)
    expect(new Set(CASES.map(([, each]) => each.expect.event?.split('.')[0] ?? each.expect.noted ?? '')).size).toBeGreaterThanOrEqual(8)
  })

  test.each(CASES)('[SSF2, SSF3, OUT3] %s', async (_, { claims, expect: expected }) => {
    const end = await ReceivingEnd.open('', { issuer: String(claims['iss']), audience: String(claims['aud']), now: Number(claims['iat']) * 1000 })
    expect(await end.receive(claims)).toEqual({ is: 'taken' })
    expect(end.heard).toBe(1)
    const [name = ''] = expected.event?.split('.') ?? []
    const { effects = [] } = end.taken[0] ?? {}
    if (expected.event === undefined) expect(end.taken).toEqual([])
    else {
      expect(end.taken).toMatchObject([{ source: 'idp', issuer: claims['iss'], jti: claims['jti'], type: name, at: Number(expected.at) * 1000, takenAt: end.now, note: expected.note, most: 500 }])
      expect(end.taken[0]?.subject.map(({ of }) => of)).toEqual(expected.means)
      expect(effects.map(effect => effect.do)).toEqual(end.settings.events[expected.event as EventName].map(effect => effect.do)) // one of the fixture's own names
      expect(end.taken[0]?.order !== null).toBe(expected.order)
    }
    expect(effects.flatMap(effect => (effect.do === 'claims' ? [effect.changes] : []))).toEqual(expected.changes === undefined ? [] : [expected.changes])
    expect(end.unread.map(text => text.split(' ').slice(2))).toEqual(expected.unread === undefined ? [] : [expected.unread])
    expect(end.verified).toEqual(expected.verified === undefined ? [] : [expected.verified])
    expect(end.updated).toEqual(expected.updated === undefined ? [] : [[expected.updated, Number(claims['iat']) * 1000]])
    expect(end.counted).toEqual([expected.unread !== undefined ? `${Object.keys(claims['events'] as Claims)[0]?.split('/').at(-1)} unread` : expected.ignored === true ? 'other ignored' : expected.noted !== undefined ? `${expected.noted} noted` : `${expected.verified !== undefined ? 'verification' : expected.updated !== undefined ? 'stream-updated' : name} taken`])
  })
})

describe('events', () => {
  const wrong: readonly (readonly [string, string, Claims])[] = [
    ['a risk in small letters', 'risk-level-change', { principal: 'USER', current_level: 'high' }],
    ['a risk of nobody', 'risk-level-change', { current_level: 'HIGH' }],
    ['a risk that was no risk', 'risk-level-change', { principal: 'USER', current_level: 'HIGH', previous_level: 'TALL' }],
    ['a reason that is a number', 'risk-level-change', { principal: 'USER', current_level: 'HIGH', risk_reason: 7 }],
    ['a compliance in capitals', 'device-compliance-change', { previous_status: 'compliant', current_status: 'NOT-COMPLIANT' }],
    ['a compliance without what it was', 'device-compliance-change', { current_status: 'not-compliant' }],
    ['no claims that changed', 'token-claims-change', {}],
    ['an empty set of claims', 'token-claims-change', { claims: {} }],
    ['a list of claims', 'token-claims-change', { claims: ['role'] }],
    ['too many claims', 'token-claims-change', { claims: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`c${i}`, i])) }],
    ['claims that are too long', 'token-claims-change', { claims: { role: 'x'.repeat(4_096) } }],
    ['another end of the token', 'token-claims-change', { claims: { role: 'a', exp: 1 } }],
    ['a credential without type', 'credential-change', { change_type: 'revoke' }],
    ['a credential that changed in no known way', 'credential-change', { credential_type: 'x509', change_type: 'lost' }],
    ['a serial that is a number', 'credential-change', { credential_type: 'x509', change_type: 'revoke', x509_serial: 7 }],
    ['an assurance without a name space', 'assurance-level-change', { current_level: 'nist-aal1', change_direction: 'decrease' }],
    ['an assurance without a level', 'assurance-level-change', { namespace: 'NIST-AAL', change_direction: 'decrease' }],
    ['a direction of no kind', 'assurance-level-change', { namespace: 'NIST-AAL', current_level: 'nist-aal1', change_direction: 'down' }],
    ['a fingerprint that is a number', 'session-presented', { fp_ua: 7 }],
    ['a time that is a text', REVOKED, { event_timestamp: '1615304991' }],
    ['a time in fractions', REVOKED, { event_timestamp: 1615304991.5 }],
    ['a reason that is a list', REVOKED, { reason_admin: ['x'] }],
    ['a list as who began it', REVOKED, { initiating_entity: ['user'] }],
  ]
  test.each(wrong)('[SSF3] %s is not as %s is defined', async (_, event, details) => {
    const end = await ReceivingEnd.open()
    expect(await end.send(event, details)).toMatchObject(refused('invalid_request'))
    expect(end).toMatchObject({ taken: [], heard: 0, refused: ['idp event_malformed'] })
  })

  test('[SSF3, OUT8] one that happened in the future, or in milliseconds, does not count; a minute is forgiven', async () => {
    const end = await ReceivingEnd.open()
    for (const at of [end.iat + 61, end.now]) expect(await end.send(REVOKED, { event_timestamp: at })).toMatchObject(refused('invalid_request'))
    expect(end.refused).toEqual(['idp event_future_dated', 'idp event_future_dated'])
    expect(await end.send(REVOKED, { event_timestamp: end.iat + 60 })).toEqual({ is: 'taken' })
  })

  test('[SSF3] what does not say when it happened, happened when it was said', async () => {
    const end = await ReceivingEnd.open()
    await end.send(REVOKED, {}, { iat: end.iat - 7 })
    expect(end.taken).toMatchObject([{ at: end.now - 7_000 }])
  })

  test.each([
    ['risk of what is none of ours', 'risk-level-change', { principal: 'ORG_UNIT', current_level: 'HIGH' }],
    ['an event of CAEP that is not known yet', 'session-paused', {}],
    ['an event of somebody else', 'urn:example:event', {}],
  ])('[SSF3] %s is taken, and nothing follows', async (_, event, details) => {
    const end = await ReceivingEnd.open()
    expect(await end.send(event, details)).toEqual({ is: 'taken' })
    expect(end).toMatchObject({ taken: [], heard: 1, counted: ['other ignored'] })
  })

  test('[OUT8] of the same type and subject, however its members are ordered, the newest counts; what else tells them apart is kept apart', async () => {
    const end = await ReceivingEnd.open()
    const risk = (principal: string, current_level: string, sub_id: Claims) => end.send('risk-level-change', { principal, current_level }, { sub_id })
    await risk('USER', 'HIGH', { format: 'iss_sub', iss: end.issuer.issuer, sub: 'ann' })
    await risk('USER', 'LOW', { sub: 'ann', iss: end.issuer.issuer, format: 'iss_sub' })
    await risk('DEVICE', 'LOW', { format: 'iss_sub', iss: end.issuer.issuer, sub: 'ann' })
    await risk('USER', 'LOW', { format: 'iss_sub', iss: end.issuer.issuer, sub: 'bob' })
    const [high, low, device, bob] = end.taken.map(({ order }) => order)
    expect(high).toBe(low)
    expect(new Set([high, device, bob]).size).toBe(3)
    expect(end.taken[1]?.effects).toEqual([])
  })

  test('[OUT3] what its reason says is kept, in English where it is there, without controls and not too long', async () => {
    const end = await ReceivingEnd.open()
    for (const reason_admin of [{ de: 'Nein', en: 'No' }, { de: 'Nein' }, 'plain', {}, `a\u0007\nb${'x'.repeat(600)}`]) await end.send(REVOKED, { reason_admin })
    expect(end.taken.map(({ note }) => note)).toEqual(['No', 'Nein', 'plain', '', `a b${'x'.repeat(497)}`])
  })

  test('[OUT1, OUT3] a drift that the store did not take is one still when it comes again', async () => {
    const end = await ReceivingEnd.open()
    await end.send('session-established', { fp_ua: 'a', ext_id: 'x' })
    const drift = end.claims('session-presented', { fp_ua: 'b', ext_id: 'x' })
    const { take } = end
    end.take = () => Promise.reject(new Error('down'))
    await expect(end.receive(drift)).rejects.toThrow('down')
    end.take = take
    await end.receive(drift)
    expect(end.taken.map(({ jti }) => jti)).toEqual([drift['jti']])
    await end.send('session-presented', { fp_ua: 'b', ext_id: 'x' })
    expect(end.taken).toHaveLength(1)
  })

  test('[OUT5, SSF3] nobody is signed in better, or later, because somebody says so: what changed of it is gone until a token shows it', async () => {
    const end = await ReceivingEnd.open()
    await end.send('token-claims-change', {}, { events: { [`${CAEP}token-claims-change`]: { claims: { role: 'ops', acr: 'phr', amr: ['hwk'], auth_time: end.iat } } } })
    expect(end.taken[0]?.effects).toEqual([{ do: 'claims', changes: { role: 'ops', acr: null, amr: null, auth_time: null } }])
  })

  test('[SSF9, OUT7] what was issued longer ago than the stream may be silent does not prove that it tells still', async () => {
    const end = await ReceivingEnd.open('freshness: 5m')
    for (const ago of [0, 299, 300, 86_400]) await end.send(REVOKED, {}, { iat: end.iat - ago })
    expect([end.taken.length, end.heard]).toEqual([4, 2])
    for (const event of ['verification', 'stream-updated']) await end.send(`${SSF}${event}`, { state: 's', status: 'enabled' }, { iat: end.iat - 300 })
    expect([end.verified, end.updated.length, end.heard]).toEqual([['s'], 1, 2])
  })

  test('[OUT3] a session that is known elsewhere by one thing and is shown by another has drifted, once for each', async () => {
    const end = await ReceivingEnd.open()
    const shown = (event: string, fp_ua: string, ext_id?: string) => end.send(event, { fp_ua, ...(ext_id === undefined ? {} : { ext_id }) })
    await shown('session-established', 'one', 'e-1')
    await shown('session-presented', 'one', 'e-1')
    await shown('session-presented', 'one', 'e-2')
    await shown('session-presented', 'two')
    expect(end.taken).toEqual([])
    await shown('session-presented', 'two', 'e-1')
    expect(end.taken).toMatchObject([{ type: 'session-presented', order: null, effects: [{ do: 'risk', name: 'idp', points: 30 }] }])
    await shown('session-presented', 'two', 'e-1')
    expect(end.taken).toHaveLength(1)
    expect(end.counted.filter(each => each.endsWith('noted'))).toHaveLength(5)
  })

  test('[OUT3] what follows is what is configured', async () => {
    const end = await ReceivingEnd.open('events: { session-revoked: { do: [freeze], freezeFor: 1m }, session-established: { do: [shorten] } }, maxSessionsPerEvent: 7')
    await end.send(REVOKED)
    expect(end.taken).toMatchObject([{ effects: [{ do: 'freeze', for: 60_000 }], most: 7 }])
  })
})

describe('subjects', () => {
  test('[SSF3] of another issuer is refused, one that nobody knows here is not', async () => {
    const end = await ReceivingEnd.open()
    expect(await end.send(REVOKED, {}, { sub_id: { format: 'iss_sub', iss: 'https://other.example', sub: 'ann' } })).toMatchObject(refused('access_denied'))
    expect(await end.send(REVOKED, {}, { sub_id: { format: 'iss_sub', iss: end.issuer.issuer, sub: 'nobody' } })).toEqual({ is: 'taken' })
    expect(await end.send(REVOKED, {}, { sub_id: { format: 'iss_sub', iss: end.issuer.issuer } })).toMatchObject(refused('invalid_request'))
    expect(end.refused).toEqual(['idp subject_foreign', 'idp subject_malformed'])
  })

  test('[SSF3] named in the event as well, as older transmitters do, both must say the same', async () => {
    const end = await ReceivingEnd.open()
    expect(await end.send(REVOKED, { subject: { sub: 'ann', iss: end.issuer.issuer, format: 'iss_sub' } })).toEqual({ is: 'taken' })
    expect(await end.send(REVOKED, { subject: { format: 'iss_sub', iss: end.issuer.issuer, sub: 'bob' } })).toMatchObject(refused('invalid_request'))
    expect(end.refused).toEqual(['idp subject_ambiguous'])
  })

  test('[SSF3] that is not understood somebody is told of; nothing follows, and it is not sent again', async () => {
    const end = await ReceivingEnd.open()
    expect(await end.send(REVOKED, {}, { jti: 'j', sub_id: { format: 'ip-addresses', 'ip-addresses': ['192.0.2.1'] } })).toEqual({ is: 'taken' })
    expect(end).toMatchObject({ taken: [], unread: ['session-revoked j ip-addresses'], counted: ['session-revoked unread'] })
  })

  test('[SSF3] a member that is passed over discards the event where its metadata calls that critical', async () => {
    const sub_id = { format: 'complex', user: { format: 'opaque', id: 'ann' }, orbit: { format: 'opaque', id: 'low' } }
    const end = await ReceivingEnd.open()
    await end.send(REVOKED, {}, { sub_id })
    expect(end.taken).toHaveLength(1)
    end.critical = ['orbit']
    expect(await end.send(REVOKED, {}, { jti: 'j', sub_id })).toEqual({ is: 'taken' })
    expect(end).toMatchObject({ taken: [{}], unread: ['session-revoked j orbit'], counted: ['session-revoked taken', 'session-revoked discarded'] })
    end.critical = null
    await expect(end.send(REVOKED, {}, { sub_id })).rejects.toThrow('down')
  })
})

describe('what is no word on a token', () => {
  test('[SSF2] a store that does not take it is said to its sender, by nothing that ends the matter', async () => {
    const end = await ReceivingEnd.open()
    end.take = () => Promise.reject(new Error('full'))
    await expect(end.send(REVOKED)).rejects.toThrow('full')
    expect(end.heard).toBe(0)
    await expect(end.receiver.receive('somebody', '')).rejects.toThrow('there is no transmitter somebody')
  })

  test('[OUT1] one that was taken before is answered as it was then', async () => {
    const end = await ReceivingEnd.open()
    end.take = () => Promise.resolve({ is: 'again' })
    expect(await end.send(REVOKED)).toEqual({ is: 'again' })
    expect(end).toMatchObject({ heard: 1, counted: ['session-revoked again'] })
  })
})

describe('the stream itself', () => {
  const event = (name: string): string => SSF + name

  test('[SSF2] a verification nobody asked for is one, and one with a state of somebody else is not', async () => {
    const end = await ReceivingEnd.open()
    expect(await end.send(event('verification'))).toEqual({ is: 'taken' })
    end.isKnownState = false
    expect(await end.send(event('verification'), { state: 's' })).toMatchObject(refused('invalid_state'))
    expect(await end.send(event('verification'), { state: 7 })).toMatchObject(refused('invalid_request'))
    expect(end).toMatchObject({ verified: [null, 's'], heard: 1, refused: ['idp state_unknown', 'idp event_malformed'] })
  })

  test('[SSF2] its status is told as it is, or is refused', async () => {
    const end = await ReceivingEnd.open()
    for (const status of ['enabled', 'paused', 'disabled']) expect(await end.send(event('stream-updated'), { status })).toEqual({ is: 'taken' })
    expect(await end.send(event('stream-updated'), { status: 'asleep' })).toMatchObject(refused('invalid_request'))
    expect(end.updated.map(([status]) => status)).toEqual(['enabled', 'paused', 'disabled'])
  })
})

test('[SSF2] each fault has its code and says nothing of what was sent; whence it came is told to nobody but the operator', async () => {
  const end = await ReceivingEnd.open()
  const answers = [
    await end.receive(end.claims(REVOKED, {}, { aud: 'https://other.example' }), '192.0.2.7'), await end.receive(end.claims(REVOKED, {}, { iss: 'https://other.example' }), '192.0.2.7'),
    await end.receiver.receive('idp', 'secret.of.somebody', '192.0.2.7'), await end.receiver.receive('idp', await (await TokenIssuer.create()).signText(JSON.stringify(end.claims(REVOKED)), { typ: 'secevent+jwt' })),
  ]
  expect(answers.map(answer => (answer.is === 'refused' ? answer.err : answer.is))).toEqual(['invalid_audience', 'invalid_issuer', 'invalid_request', 'invalid_key'])
  expect(JSON.stringify(answers)).not.toMatch(/secret|other\.example|192/)
  expect(end.refused).toEqual(['idp audience_refused 192.0.2.7', 'idp issuer_unknown 192.0.2.7', 'idp malformed 192.0.2.7', 'idp signature_invalid'])
})
