import { createHmac, createPublicKey } from 'node:crypto'
import { exportSPKI, importJWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { keysOfText } from '../../../src/identity/keys.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { TokenIssuer, type TokenClaims } from '../../support/token-issuer.ts'
import { HandClock, jwtProvider, NOON, proven, refused, seconds } from './fixtures.ts'

let issuer: TokenIssuer
let es256: TokenIssuer
beforeAll(async () => {
  issuer = await TokenIssuer.create()
  es256 = await TokenIssuer.create({ algorithm: 'ES256' })
})

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const sign = (claims: TokenClaims = {}, header = {}): Promise<string> => issuer.sign(claims, { now: NOON, header })
const payload = (changes: TokenClaims = {}): TokenClaims => ({ iss: issuer.issuer, aud: 'narrowgate', sub: 'agent-1', iat: NOON / 1000, exp: NOON / 1000 + 600, ...changes })
const detail = async (text: string, changes = {}): Promise<string> => (await refused(jwtProvider(issuer, new HandClock(), changes), text)).detail

describe('what a token proves', () => {
  test('[SES1] principal and evidence come from the verified claims', async () => {
    const text = await sign({ jti: 'j-1', org: 'acme', team: 'ops' })
    const { principal, evidence, mark } = await proven(jwtProvider(issuer, new HandClock(), { claims: { tenant: 'org', owner: 'team', client: null, device: null, subjectCase: 'exact' }, clockTolerance: seconds(30) }), text)
    expect(principal).toEqual({ kind: 'agent', issuer: issuer.issuer, tenant: 'acme', subject: 'agent-1', client: 'client-1', owner: 'ops', actor: null })
    expect(evidence).toEqual({
      provider: 'agents',
      fingerprint: expect.any(String),
      credential: sha256(JSON.stringify([issuer.issuer, 'jti', 'j-1'])),
      issuer: issuer.issuer,
      keyId: 'key-1',
      issuedAt: NOON,
      expiresAt: NOON + 600_000 + 30_000,
      keyThumbprint: null,
      device: null,
      claimed: {},
    })
    expect(mark).toEqual({ is: 'jti', value: 'j-1' })
  })

  test('[SES1] the client is client_id, else azp, unless a claim is configured for it', async () => {
    const provider = jwtProvider(issuer, new HandClock())
    expect((await proven(provider, await sign({ azp: 'other' }))).principal.client).toBe('client-1')
    expect((await proven(provider, await sign({ client_id: undefined, azp: 'other' }))).principal.client).toBe('other')
    expect((await proven(provider, await sign({ client_id: undefined }))).principal.client).toBe('')
    const named = jwtProvider(issuer, new HandClock(), { claims: { tenant: null, owner: null, client: 'azp', device: null, subjectCase: 'exact' } })
    expect((await proven(named, await sign({ azp: 'other' }))).principal.client).toBe('other')
  })

  test('[SES1] the act chain is kept outermost first, to eight links', async () => {
    const provider = jwtProvider(issuer, new HandClock())
    const { principal } = await proven(provider, await sign({ act: { sub: 'bot', act: { sub: 'person', iss: 'https://people.example' } } }))
    expect(principal.actor).toEqual({ issuer: issuer.issuer, subject: 'bot', actsFor: { issuer: 'https://people.example', subject: 'person', actsFor: null } })
    const chain = (length: number): unknown => (length === 0 ? undefined : { sub: `a${length}`, act: chain(length - 1) })
    expect((await proven(provider, await sign({ act: chain(8) }))).principal.actor?.subject).toBe('a8')
    expect(await detail(await sign({ act: chain(9) }))).toBe('actor_malformed')
  })

  test.each([{ act: 'bot' }, { act: {} }, { act: { sub: 7 } }, { act: { sub: 'x', iss: 'https://a|b' } }, { act: { sub: 'x', act: [] } }])('[SES1] %j is no act chain', async claims => {
    expect(await detail(await sign(claims))).toBe('actor_malformed')
  })
})

describe('what is refused', () => {
  test.each(['none', 'None', 'NONE', 'nOnE', ''])('[SES10] alg %j', async alg => {
    for (const signature of ['', 'AAAA']) {
      expect(await detail(`${b64({ alg, typ: 'at+jwt' })}.${b64(payload())}.${signature}`)).toMatch(/algorithm_refused|malformed/)
    }
  })

  test('[SES10] HS256 with the public key as the secret, even where the configuration lists it', async () => {
    const [jwk] = es256.jwks().keys
    const spki = await exportSPKI((await importJWK({ ...jwk }, 'ES256')) as CryptoKey) // a public JWK gives a CryptoKey
    for (const secret of [spki, createPublicKey(spki).export({ format: 'der', type: 'spki' }), JSON.stringify(jwk)]) {
      const signed = `${b64({ alg: 'HS256', typ: 'at+jwt', kid: 'key-1' })}.${b64(payload())}`
      const text = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
      for (const algorithms of [['ES256'], ['ES256', 'HS256']]) {
        expect(await refused(jwtProvider(es256, new HandClock(), { algorithms }), text)).toEqual({ reason: 'credential_invalid', detail: 'algorithm_refused' })
      }
    }
  })

  test('[SES10] an algorithm the provider does not list', async () => {
    expect(await detail(await sign(), { algorithms: ['ES256'] })).toBe('algorithm_refused')
  })

  test('[SES10] a key of the token’s own choosing', async () => {
    const thief = await TokenIssuer.create()
    const text = await thief.sign({}, { now: NOON, header: { jwk: { ...thief.jwks().keys[0] }, jku: 'https://thief.example/keys' } })
    expect(await detail(text)).toBe('signature_invalid')
    expect(await detail(await thief.sign({}, { now: NOON, header: { kid: 'other' } }))).toBe('key_unknown')
  })

  test('[SES10] degenerate ECDSA signatures', async () => {
    const [header, body, signature] = (await es256.sign({}, { now: NOON })).split('.')
    const bytes = Buffer.from(signature ?? '', 'base64url')
    for (const forged of [Buffer.alloc(64), Buffer.alloc(64, 0xff), Buffer.concat([Buffer.from([0x30, 0x44]), bytes]), bytes.subarray(0, 63)]) {
      expect(await refused(jwtProvider(es256, new HandClock()), `${header}.${body}.${forged.toString('base64url')}`)).toMatchObject({ detail: 'signature_invalid' })
    }
  })

  test('[SES10] forms that are not the compact JWS', async () => {
    const text = await sign()
    const [header, body, signature] = text.split('.')
    const json = JSON.stringify({ protected: header, payload: body, signature })
    for (const other of ['', 'a.b', `${text}.x.y`, `${text}.`, json, ` ${text}`, `${text}=`, `${header}.${body}\n.${signature}`, `${b64([])}.${body}.${signature}`]) {
      expect(await detail(other)).toBe('malformed')
    }
  })

  test('[SES10] crit, also with an extension the library knows', async () => {
    for (const header of [{ crit: ['exp'], exp: 1 }, { crit: ['b64'], b64: true }]) {
      const text = await sign()
      expect(await detail([b64({ alg: 'EdDSA', typ: 'at+jwt', kid: 'key-1', ...header }), ...text.split('.').slice(1)].join('.'))).toBe('extension_refused')
    }
  })

  test('[SES10] another type; a missing one counts as jwt', async () => {
    for (const typ of ['JWT', 'jwt', undefined, 'secevent+jwt', 'at+jwt ', 'application/application/at+jwt', 7]) expect(await detail(await sign({}, { typ }))).toBe('type_refused')
    const accepts = async (typ: string | undefined, types: readonly string[]): Promise<string> => (await proven(jwtProvider(issuer, new HandClock(), { types }), await sign({}, { typ }))).principal.subject
    expect(await accepts('application/at+jwt', ['at+jwt'])).toBe('agent-1')
    expect(await accepts('AT+JWT', ['at+jwt'])).toBe('agent-1')
    expect(await accepts(undefined, ['jwt'])).toBe('agent-1')
    expect(await accepts('JWT', ['at+jwt', 'jwt'])).toBe('agent-1')
  })

  test('[SES10, LGO2] a logout token or a security event is no credential, by whatever type it goes', async () => {
    const said = ['http://schemas.openid.net/event/backchannel-logout', 'https://schemas.openid.net/secevent/caep/event-type/session-revoked']
    for (const event of said) expect(await detail(await sign({ events: { [event]: {} } }))).toBe('type_refused')
    for (const events of [['conference'], { conference: true }, 'none']) expect((await proven(jwtProvider(issuer, new HandClock(), {}), await sign({ events }))).principal.subject).toBe('agent-1')
  })

  test('[SES10] another issuer: slash, case, list, look-alike', async () => {
    for (const iss of [`${issuer.issuer}/`, issuer.issuer.toUpperCase(), [issuer.issuer], ['https://evil', issuer.issuer], 'https://login.exampl\u0435']) {
      expect(await detail(await sign({ iss }))).toBe('issuer_unknown')
    }
    expect(await detail(await sign({ iss: undefined }))).toBe('claim_missing')
  })

  test('[SES10] another audience', async () => {
    for (const aud of ['narrowgate2', 'Narrowgate', ['a', 'b'], [], { narrowgate: 1 }, '']) expect(await detail(await sign({ aud }))).toBe('audience_refused')
    expect(await detail(await sign({ aud: undefined }))).toBe('claim_missing')
    expect((await proven(jwtProvider(issuer, new HandClock()), await sign({ aud: ['other', 'narrowgate'] }))).principal.subject).toBe('agent-1')
  })

  test('[SES10] a token bound to a key, shown as a bearer token', async () => {
    for (const cnf of [{ jkt: 'x' }, { 'x5t#S256': 'x' }, {}, 'x']) expect(await detail(await sign({ cnf }))).toBe('proof_missing')
  })

  test('[SES10] members named twice, in any spelling, in claims or header', async () => {
    const body = JSON.stringify(payload()).slice(1, -1)
    expect(await detail(await issuer.signText(`{${body},"scope":"a","scope":"b"}`))).toBe('duplicate_member')
    expect(await detail(await issuer.signText(`{${body},"sub":"root"}`))).toBe('duplicate_member')
    expect(await detail(await issuer.signText(`{${body},"s\\u0075b":"root"}`))).toBe('duplicate_member')
    const [, second, third] = (await sign()).split('.')
    expect(await detail(`${Buffer.from('{"alg":"none","typ":"at+jwt","alg":"EdDSA"}').toString('base64url')}.${second}.${third}`)).toBe('duplicate_member')
  })
})

describe('times', () => {
  const HOUR = NOON / 1000

  test('[SES10] expired is told apart from invalid, to the millisecond and with tolerance', async () => {
    const clock = new HandClock()
    const strict = jwtProvider(issuer, clock)
    const tolerant = jwtProvider(issuer, clock, { clockTolerance: seconds(2.5) })
    const text = await sign({ exp: HOUR + 10 })
    clock.advance(9_999)
    await proven(strict, text)
    clock.advance(1)
    expect(await refused(strict, text)).toEqual({ reason: 'credential_expired', detail: 'expired' })
    clock.advance(2_499)
    expect((await proven(tolerant, text)).evidence.expiresAt).toBe(NOON + 12_500)
    clock.advance(1)
    expect(await refused(tolerant, text)).toEqual({ reason: 'credential_expired', detail: 'expired' })
  })

  test('[SES10] an end that is missing, no number or beyond any date is refused', async () => {
    expect(await detail(await sign({ exp: undefined }))).toBe('claim_missing')
    for (const exp of [`${HOUR + 10}`, null, true, [HOUR], 8.64e12 + 1]) expect(await detail(await sign({ exp }))).toBe('claim_malformed')
    const body = JSON.stringify(payload({ exp: undefined })).slice(1, -1)
    expect(await detail(await issuer.signText(`{${body},"exp":1e400}`))).toBe('claim_malformed')
    expect(await refused(jwtProvider(issuer, new HandClock()), await sign({ exp: -1 }))).toMatchObject({ reason: 'credential_expired' })
  })

  test('[SES10] not yet valid, or issued in the future, beyond the tolerance', async () => {
    for (const claims of [{ nbf: HOUR + 31 }, { iat: HOUR + 31 }, { nbf: HOUR + 30.001 }, { iat: HOUR + 30.001 }]) expect(await detail(await sign(claims), { clockTolerance: seconds(30) })).toBe('not_yet_valid')
    for (const claims of [{ nbf: HOUR + 30 }, { iat: HOUR + 30 }]) await proven(jwtProvider(issuer, new HandClock(), { clockTolerance: seconds(30) }), await sign(claims))
    for (const claims of [{ nbf: 'soon' }, { iat: 'now' }, { iat: -1 }]) expect(await detail(await sign(claims))).toBe('claim_malformed')
  })

  test('[SES10] a token without iat has no issue time', async () => {
    expect((await proven(jwtProvider(issuer, new HandClock()), await sign({ iat: undefined }))).evidence.issuedAt).toBeNull()
  })
})

describe('names', () => {
  test.each(['', ' bob', 'bob ', 'bob\u00a0', 'bo\u2003b', 'bob\u200b', 'bo\u0000b', 'bob\n', 'e\u0301', 'b  b', '\ufeffbob', 'bo\u202eb', 'b\u3164b', 'x'.repeat(513), 7, null, ['bob'], {}])(
    '[SES11] %j is no subject',
    async sub => {
      expect(await detail(await sign({ sub }))).toBe(sub === null ? 'claim_missing' : 'claim_malformed')
    },
  )

  test('[SES11] lone surrogates are no subject', async () => {
    const body = JSON.stringify(payload({ sub: undefined })).slice(1, -1)
    expect(await detail(await issuer.signText(`{${body},"sub":"\\ud800"}`))).toBe('claim_malformed')
  })

  test.each(['bob', 'Bob', 'é', 'auth0|17', 'repo:acme/shop:ref:refs/heads/main', 'CN=A B,O=C', '李', 'x'.repeat(512)])('[SES11] %j is one', async sub => {
    expect((await proven(jwtProvider(issuer, new HandClock()), await sign({ sub }))).principal.subject).toBe(sub)
  })

  test('[SES11] a configured tenant must be there; tenant, owner and client have one spelling too', async () => {
    const claims = { tenant: 'org', owner: 'team', client: 'app', device: null, subjectCase: 'exact' } as const
    expect(await detail(await sign(), { claims })).toBe('claim_missing')
    expect(await detail(await sign({ org: 7 }), { claims })).toBe('claim_malformed')
    expect(await detail(await sign({ org: 'a', team: ' x' }), { claims })).toBe('claim_malformed')
    expect(await detail(await sign({ org: 'a', app: ['x'] }), { claims })).toBe('claim_malformed')
    expect((await proven(jwtProvider(issuer, new HandClock(), { claims }), await sign({ org: 'a' }))).principal).toMatchObject({ tenant: 'a', owner: null, client: '' })
  })

  test('[SES11] a claim of the prototype is no claim', async () => {
    expect(await detail(await sign(), { claims: { tenant: 'constructor', owner: null, client: null, device: null, subjectCase: 'exact' } })).toBe('claim_missing')
  })
})

describe('ids', () => {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

  /** The same token with other spare bits in the last character of its signature. */
  function respelled(text: string): string {
    const last = ALPHABET.indexOf(text.slice(-1))
    return text.slice(0, -1) + ALPHABET[last ^ 1]
  }

  /** ECDSA: (r, n - s) is as good a signature as (r, s). */
  function mirrored(text: string): string {
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const [header, body, signature] = text.split('.')
    const bytes = Buffer.from(signature ?? '', 'base64url')
    const s = n - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    return `${header}.${body}.${Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]).toString('base64url')}`
  }

  test.each([{ jti: 'j-1' }, {}])('[SES10] two spellings of one token with %j are one credential', async claims => {
    const clock = new HandClock()
    for (const maker of [issuer, es256]) {
      const text = await maker.sign(claims, { now: NOON })
      const spellings = maker === es256 ? [respelled(text), mirrored(text)] : [respelled(text)]
      const first = await proven(jwtProvider(maker, clock), text)
      for (const spelling of spellings) {
        expect(spelling).not.toBe(text)
        const other = await proven(jwtProvider(maker, clock), spelling)
        expect(other.evidence.credential).toBe(first.evidence.credential)
        expect(other.mark).toEqual(first.mark)
      }
    }
  })

  test('[SES10] without jti the id is the digest of the signed bytes', async () => {
    const text = await sign()
    const { evidence, mark } = await proven(jwtProvider(issuer, new HandClock()), text)
    expect(evidence.credential).toBe(sha256(Buffer.from(text.split('.')[1] ?? '', 'base64url')))
    expect(mark).toEqual({ is: 'payload', value: evidence.credential })
  })

  test('[SES10] a jti is a string of 1 to 512 characters', async () => {
    for (const jti of ['', 7, 'x'.repeat(513), ['a']]) expect(await detail(await sign({ jti }))).toBe('claim_malformed')
  })
})

describe('keys of a file', () => {
  test('[SES13] a token without key id is tried with each key that fits', async () => {
    const rotating = await TokenIssuer.create()
    const old = await rotating.sign({}, { now: NOON, header: { kid: undefined } })
    await rotating.rotate({ keepOld: true })
    const fresh = await rotating.sign({}, { now: NOON, header: { kid: undefined } })
    const provider = jwtProvider(rotating, new HandClock())
    for (const text of [old, fresh]) expect((await proven(provider, text)).principal.subject).toBe('agent-1')
    const thief = await TokenIssuer.create()
    expect(await refused(provider, await thief.sign({}, { now: NOON, header: { kid: undefined } }))).toMatchObject({ detail: 'signature_invalid' })
  })

  test('[SES13] a key set that is none, or holds a private key, is an error that says so', () => {
    expect(() => keysOfText('{')).toThrow('is not JSON')
    for (const text of ['[]', '{}', '{"keys":[]}', '{"keys":{}}', 'null']) expect(() => keysOfText(text)).toThrow('is not a JSON Web Key Set')
    expect(() => keysOfText('{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"oct","k":"c2VjcmV0"}]}')).toThrow('keys[1] is not a public key')
  })
})
