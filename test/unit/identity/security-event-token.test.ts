// Security event tokens and logout tokens: one good one of each, and everything that must not pass for one. Real keys, real signatures.
import { CompactSign, exportJWK, generateKeyPair, type JWTHeaderParameters } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { EVENT_TOKEN_MAX, EventTokens, LogoutTokens } from '../../../src/identity/security-event-token.ts'
import { keysOfText, KeysUnavailable } from '../../../src/identity/keys.ts'
import { instant } from '../../../src/core/time.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'

const NOW = Date.parse('2026-11-23T12:00:00Z')
const IAT = NOW / 1000
const DAY = 24 * 3600
const clock = { now: () => instant(NOW), elapsed: () => 0 }
const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'

let issuer: TokenIssuer
let events: EventTokens
let logouts: LogoutTokens

beforeAll(async () => {
  issuer = await TokenIssuer.create({ issuer: 'https://idp.example', audience: 'https://gw.example' })
  const source = { issuer: issuer.issuer, algorithms: ['EdDSA', 'RS256'], audience: () => ['https://gw.example', 'gw-2'] }
  const keys = keysOfText(JSON.stringify(issuer.jwks()))
  events = new EventTokens(source, keys, clock)
  logouts = new LogoutTokens(source, keys, clock)
})

type Claims = { readonly [name: string]: unknown }
/** What is undefined is left out. */
const set = (more: Claims = {}): Claims => ({ iss: issuer.issuer, aud: issuer.audience, jti: 'j-1', iat: IAT, sub_id: { format: 'opaque', id: 's-1' }, events: { [REVOKED]: { event_timestamp: IAT - 5 } }, ...more })
const logoutToken = (more: Claims = {}): Claims => ({ iss: issuer.issuer, aud: issuer.audience, jti: 'j-1', iat: IAT, exp: IAT + 120, sid: 's-1', events: { [LOGOUT]: {} }, ...more })
const signed = (claims: Claims | string, header: Claims = {}): Promise<string> => issuer.signText(typeof claims === 'string' ? claims : JSON.stringify(claims), { typ: 'secevent+jwt', ...header })

const refused = (fault: string) => ({ is: 'refused', fault })

describe('a security event token', () => {
  test('[SSF2] one that is as it must be is read as it was signed', async () => {
    expect(await events.read(await signed(set({ txn: 't-1', more: 'unknown members mean nothing' })))).toEqual({ is: 'event', jti: 'j-1', at: NOW, type: REVOKED, claims: { event_timestamp: IAT - 5 }, subject: { format: 'opaque', id: 's-1' } })
  })

  test.each(['application/secevent+jwt', 'SecEvent+JWT'])('[SSF2] its type may be written %s', async typ => {
    expect(await events.read(await signed(set(), { typ }))).toMatchObject({ is: 'event' })
  })

  test.each([
    ['of several audiences one of which is ours', { aud: ['https://siem.example', 'gw-2'] }],
    ['almost seven days old', { iat: IAT - 7 * DAY + 1 }],
    ['of a clock that is a minute ahead', { iat: IAT + 60 }],
    ['with a number as its transaction', { txn: 8675309 }],
    ['without an event of any claims', { events: { [REVOKED]: {} } }],
  ])('[SSF2] one %s counts', async (_, claims) => {
    expect(await events.read(await signed(set(claims)))).toMatchObject({ is: 'event' })
  })

  test.each([
    ['of a jwt', {}, { typ: 'jwt' }, 'type_refused'],
    ['without a type', {}, { typ: undefined }, 'type_refused'],
    ['of an access token', {}, { typ: 'at+jwt' }, 'type_refused'],
    ['of a logout token', {}, { typ: 'logout+jwt' }, 'type_refused'],
    ['with a critical extension', {}, { crit: ['b64'], b64: true }, 'extension_refused'],
    ['of a key that is not there', {}, { kid: 'other' }, 'key_unknown'],
    ['of another issuer', { iss: 'https://other.example' }, {}, 'issuer_unknown'],
    ['of an issuer with a slash more', { iss: 'https://idp.example/' }, {}, 'issuer_unknown'],
    ['without issuer', { iss: undefined }, {}, 'issuer_unknown'],
    ['for somebody else', { aud: 'https://siem.example' }, {}, 'audience_refused'],
    ['for nobody', { aud: undefined }, {}, 'claim_missing'],
    ['with an end', { exp: IAT + 600 }, {}, 'claim_prohibited'],
    ['with an end that is null', { exp: null }, {}, 'claim_malformed'],
    ['with a `sub`', { sub: 'ann' }, {}, 'claim_prohibited'],
    ['without id', { jti: undefined }, {}, 'claim_missing'],
    ['with an empty id', { jti: '' }, {}, 'claim_malformed'],
    ['with an id that is too long', { jti: 'x'.repeat(513) }, {}, 'claim_malformed'],
    ['with an id that is a number', { jti: 7 }, {}, 'claim_malformed'],
    ['without a time', { iat: undefined }, {}, 'claim_missing'],
    ['with a time before time', { iat: -1 }, {}, 'claim_malformed'],
    ['with a time that is a text', { iat: String(IAT) }, {}, 'claim_malformed'],
    ['of the future', { iat: IAT + 61 }, {}, 'future_dated'],
    ['that is not valid yet', { nbf: IAT + 600 }, {}, 'not_yet_valid'],
    ['more than seven days old', { iat: IAT - 7 * DAY - 1 }, {}, 'too_old'],
    ['with a list of transactions', { txn: ['t-1'] }, {}, 'claim_malformed'],
    ['without subject', { sub_id: undefined }, {}, 'subject_missing'],
    ['with a text as subject', { sub_id: 'ann' }, {}, 'subject_missing'],
    ['with a list as subject', { sub_id: [] }, {}, 'subject_missing'],
    ['whose subject stands in the event alone', { sub_id: undefined, events: { [REVOKED]: { subject: { format: 'opaque', id: 's-1' } } } }, {}, 'subject_missing'],
    ['without events', { events: undefined }, {}, 'claim_missing'],
    ['with no event', { events: {} }, {}, 'events_malformed'],
    ['with two events', { events: { [REVOKED]: {}, 'urn:other': {} } }, {}, 'events_malformed'],
    ['with an event that is a text', { events: { [REVOKED]: 'yes' } }, {}, 'events_malformed'],
    ['with a list of events', { events: [{ [REVOKED]: {} }] }, {}, 'events_malformed'],
  ])('[SSF2] one %s does not count', async (_, claims, header, fault) => {
    expect(await events.read(await signed(set(claims), header))).toEqual(refused(fault))
  })

  test('[SSF2] one without end counts only where every number in it is one', async () => {
    expect(await events.read(await signed(JSON.stringify(set()).replace(`"iat":${IAT}`, '"iat":1e999')))).toEqual(refused('claim_malformed'))
  })

  test('[SSF2] one with a member twice has no one reading', async () => {
    expect(await events.read(await signed(JSON.stringify(set()).replace('"jti":"j-1"', '"jti":"j-1","jti":"j-2"')))).toEqual(refused('duplicate_member'))
    expect(await events.read(await signed('[]'))).toEqual(refused('malformed'))
  })

  test.each([
    ['unsigned', (text: string) => `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${text.split('.')[1]}.`, 'algorithm_refused'],
    ['with another content under its signature', (text: string) => text.replace(text.split('.')[1] ?? '', Buffer.from(JSON.stringify(set({ jti: 'j-2' }))).toString('base64url')), 'signature_invalid'],
    ['in the JSON serialisation', (text: string) => JSON.stringify({ protected: text.split('.')[0], payload: text.split('.')[1], signature: text.split('.')[2] }), 'malformed'],
    ['with white space behind it', (text: string) => `${text}\n`, 'malformed'],
    ['of nothing', () => '', 'malformed'],
    ['longer than is looked at', (text: string) => text + 'x'.repeat(EVENT_TOKEN_MAX), 'too_long'],
  ])('[SSF2] one %s does not count', async (_, bent, fault) => {
    expect(await events.read(bent(await signed(set())))).toEqual(refused(fault))
  })

  test('[SSF2] a key of another issuer, one that is too weak and an algorithm that is not listed do not count', async () => {
    const other = await TokenIssuer.create({ issuer: issuer.issuer })
    expect(await events.read(await other.signText(JSON.stringify(set()), { typ: 'secevent+jwt' }))).toEqual(refused('signature_invalid'))
    const weak = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true })
    const strong = keysOfText(JSON.stringify({ keys: [{ ...(await exportJWK(weak.publicKey)), kid: 'r', alg: 'RS256' }] }))
    const text = await new CompactSign(new TextEncoder().encode(JSON.stringify(set()))).setProtectedHeader({ alg: 'RS256', typ: 'secevent+jwt', kid: 'r' }).sign(weak.privateKey)
    const by = (algorithms: readonly string[]) => new EventTokens({ issuer: issuer.issuer, algorithms, audience: () => [issuer.audience] }, strong, clock)
    expect(await by(['RS256']).read(text)).toMatchObject({ is: 'event' })
    expect(await by(['ES256']).read(text)).toEqual(refused('algorithm_refused'))
  })

  test('[SSF2] one signed with an RSA key of 1024 bits does not count', async () => {
    const { createSign, generateKeyPairSync } = await import('node:crypto')
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const header: JWTHeaderParameters = { alg: 'RS256', typ: 'secevent+jwt', kid: 'weak' }
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const toSign = `${part(header)}.${part(set())}`
    const text = `${toSign}.${createSign('sha256').update(toSign).sign(privateKey).toString('base64url')}`
    const keys = keysOfText(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'weak', alg: 'RS256' }] }))
    expect(await new EventTokens({ issuer: issuer.issuer, algorithms: ['RS256'], audience: () => [issuer.audience] }, keys, clock).read(text)).toEqual(refused('key_unusable'))
  })

  test('[SSF2] while nobody can tell for whom it is, or by which keys, that is no word on the token', async () => {
    const text = await signed(set())
    const unknown = new EventTokens({ issuer: issuer.issuer, algorithms: ['EdDSA'], audience: () => null }, keysOfText(JSON.stringify(issuer.jwks())), clock)
    expect(await unknown.read(text)).toEqual(refused('audience_unknown'))
    const keyless = new EventTokens({ issuer: issuer.issuer, algorithms: ['EdDSA'], audience: () => [issuer.audience] }, { find: () => Promise.reject(new KeysUnavailable('down')), fingerprintOf: () => '' }, clock)
    expect(await keyless.read(text)).toEqual(refused('keys_unavailable'))
    expect(await keyless.read(await signed(set({ iss: 'https://other.example' })))).toEqual(refused('issuer_unknown'))
  })
})

describe('a logout token', () => {
  const read = async (claims: Claims, header: Claims = {}) => logouts.read(await signed(logoutToken(claims), { typ: 'logout+jwt', ...header }))

  test.each([[{ typ: 'logout+jwt' }], [{ typ: 'JWT' }], [{ typ: undefined }]])('[LGO2] one that is as it must be is read, with the header %j', async header => {
    expect(await read({}, header)).toEqual({ is: 'logout', jti: 'j-1', at: NOW, sub: null, sid: 's-1' })
    expect(await read({ sub: 'ann', sid: undefined }, header)).toEqual({ is: 'logout', jti: 'j-1', at: NOW, sub: 'ann', sid: null })
  })

  test.each([
    ['of a security event token', {}, { typ: 'secevent+jwt' }, 'type_refused'],
    ['of an access token', {}, { typ: 'at+jwt' }, 'type_refused'],
    ['of another issuer', { iss: 'https://other.example' }, {}, 'issuer_unknown'],
    ['for somebody else', { aud: 'other' }, {}, 'audience_refused'],
    ['without end', { exp: undefined }, {}, 'claim_missing'],
    ['that is over', { iat: IAT - 600, exp: IAT - 61 }, {}, 'expired'],
    ['of the future', { iat: IAT + 61 }, {}, 'future_dated'],
    ['more than seven days old', { iat: IAT - 8 * DAY }, {}, 'too_old'],
    ['without id', { jti: undefined }, {}, 'claim_missing'],
    ['that could be an ID token', { nonce: 'n' }, {}, 'claim_prohibited'],
    ['with another event', { events: { [REVOKED]: {} } }, {}, 'events_malformed'],
    ['with an event that is a text', { events: { [LOGOUT]: 'yes' } }, {}, 'events_malformed'],
    ['with an event that is a list', { events: { [LOGOUT]: [] } }, {}, 'events_malformed'],
    ['without events', { events: undefined }, {}, 'claim_missing'],
    ['of nobody', { sid: undefined }, {}, 'subject_missing'],
    ['of a session that is a number', { sid: 7 }, {}, 'claim_malformed'],
    ['of a user that is a list', { sub: ['ann'] }, {}, 'claim_malformed'],
  ])('[LGO2] one %s does not count', async (_, claims, header, fault) => {
    expect(await read(claims, header)).toEqual(refused(fault))
  })
})
