// Each kind of token, with every claim and header member removed, retyped and exchanged: refused, with the fault it deserves. The table below says
// which, claim by claim; it knows nothing of how the providers are built.
import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Provider } from '../../../src/identity/credential.ts'
import { IntrospectionProvider } from '../../../src/identity/introspection.ts'
import { JwtProvider } from '../../../src/identity/jwt.ts'
import { JwtSvidProvider } from '../../../src/identity/jwt-svid.ts'
import { keysOfText, svidKeys } from '../../../src/identity/keys.ts'
import { KubernetesProvider } from '../../../src/identity/kubernetes.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { type TokenClaims, TokenIssuer } from '../../support/token-issuer.ts'
import { HandClock, introspectionSettings, jwtSettings, jwtSvidSettings, kubernetesSettings, NOON, proven, refused } from './fixtures.ts'
import { json, Service } from './service.ts'

const HOUR = NOON / 1000
const POD = { namespace: 'prod', serviceaccount: { name: 'deploy', uid: 'u-sa' }, pod: { name: 'deploy-0', uid: 'u-pod' } }
const TIMES = { iat: HOUR - 5, nbf: HOUR - 5, exp: HOUR + 600 }
const ISSUER = 'https://login.example'

type Kind = 'jwt' | 'jwtSvid' | 'kubernetes' | 'introspection'
const KINDS: readonly Kind[] = ['jwt', 'jwtSvid', 'kubernetes', 'introspection']

/** Claims of a good token, or of the answer about one. */
const GOOD: { readonly [K in Kind]: TokenClaims } = {
  jwt: { iss: ISSUER, aud: 'narrowgate', sub: 'agent-1', client_id: 'client-1', jti: 'j-1', act: { sub: 'bot' }, ...TIMES },
  jwtSvid: { aud: ['narrowgate'], sub: 'spiffe://example.org/ns/prod/sa/deploy', jti: 'j-1', ...TIMES },
  kubernetes: { iss: ISSUER, aud: ['narrowgate'], sub: 'system:serviceaccount:prod:deploy', jti: 'j-1', 'kubernetes.io': POD, ...TIMES },
  introspection: { active: true, iss: ISSUER, aud: 'narrowgate', sub: 'agent-1', client_id: 'client-1', token_type: 'Bearer', jti: 'j-1', act: { sub: 'bot' }, ...TIMES },
}
const TYP: { readonly [K in Kind]: string | undefined } = { jwt: 'at+jwt', jwtSvid: undefined, kubernetes: undefined, introspection: undefined }

let issuer: TokenIssuer
let service: Service
let http: HttpClient
beforeAll(async () => {
  issuer = await TokenIssuer.create({ algorithm: 'ES256', issuer: ISSUER })
  service = await Service.start()
  http = new HttpClient()
})
afterAll(async () => {
  await http.close()
  await service.close()
})

function providerOf(kind: Kind): Provider {
  const clock = new HandClock()
  const text = JSON.stringify({ keys: issuer.jwks().keys.map(key => ({ ...key, use: kind === 'jwtSvid' ? 'jwt-svid' : 'sig' })) })
  if (kind === 'jwt') return new JwtProvider(jwtSettings({ issuer: ISSUER }), keysOfText(text), clock, '')
  if (kind === 'jwtSvid') return new JwtSvidProvider(jwtSvidSettings(), keysOfText(text, svidKeys), clock, '')
  if (kind === 'kubernetes') return new KubernetesProvider(kubernetesSettings({ issuer: ISSUER }), { keys: keysOfText(text), review: null }, clock, '')
  return new IntrospectionProvider(introspectionSettings({ url: service.url, issuer: ISSUER }), { ca: null, secret: 's' }, { clock, http, notice: () => {} }, '')
}

/** A credential of the kind with these claims: signed as they are, or opaque with an answer that has them. */
async function made(kind: Kind, claims: TokenClaims, header: TokenClaims = {}): Promise<string> {
  if (kind !== 'introspection') return issuer.signText(JSON.stringify(claims), { typ: TYP[kind], ...header })
  service.answer = json(claims)
  return 'opaque-token'
}

const detail = async (kind: Kind, claims: TokenClaims, header: TokenClaims = {}): Promise<string> => (await refused(providerOf(kind), await made(kind, claims, header))).detail

const VALUES: readonly unknown[] = [-1, 7.5, true, false, [], ['x'], [7], {}, { a: 1 }, '', 'x ', '\u0000', '\u200b', 'e\u0301', [[]], [null], { sub: 7 }]

type Expected = { readonly removed: string | null; readonly retyped: (value: unknown) => string | null }
const always = (fault: string): ((value: unknown) => string) => () => fault
const required = (fault: string, removed = 'claim_missing'): Expected => ({ removed, retyped: always(fault) })
const optional = (fault: string): Expected => ({ removed: null, retyped: always(fault) })

const isText = (value: unknown): boolean => typeof value === 'string'
const texts = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

const time: Expected = { removed: null, retyped: value => (value === 7.5 ? null : 'claim_malformed') }
const end = (removed: string, negative: string): Expected => ({ removed, retyped: value => (value === 7.5 ? 'expired' : value === -1 ? negative : 'claim_malformed') })
const name: Expected = { removed: null, retyped: value => (value === 'x' ? null : 'claim_malformed') }

const SIGNED = { aud: required('audience_refused'), exp: end('claim_missing', 'expired'), iat: time, nbf: time, jti: { removed: null, retyped: (value: unknown) => (isText(value) && value !== '' ? null : 'claim_malformed') } }
/** What becomes of each claim; null leaves the token good. */
const EXPECTED: { readonly [K in Kind]: { readonly [claim: string]: Expected } } = {
  jwt: { ...SIGNED, iss: required('issuer_unknown'), sub: required('claim_malformed'), client_id: name, act: optional('actor_malformed'), cnf: optional('proof_missing') },
  jwtSvid: { ...SIGNED, iss: optional('issuer_unknown'), sub: required('claim_malformed'), client_id: name, act: optional('actor_malformed'), cnf: optional('proof_missing') },
  kubernetes: {
    ...SIGNED, iss: required('issuer_unknown'), sub: required('subject_refused'), act: optional('actor_malformed'), cnf: optional('proof_missing'),
    'kubernetes.io': { removed: 'claim_missing', retyped: value => (typeof value === 'object' && !Array.isArray(value) ? 'claim_missing' : 'claim_malformed') },
  },
  introspection: {
    ...SIGNED,
    exp: end('claim_missing', 'claim_malformed'),
    active: { removed: 'claim_missing', retyped: value => (value === true ? null : value === false ? 'inactive' : 'claim_malformed') },
    iss: required('issuer_unknown'), sub: required('claim_malformed'), client_id: name, act: optional('actor_malformed'), cnf: optional('proof_missing'),
    aud: { removed: 'claim_missing', retyped: value => (texts(value).every(isText) ? 'audience_refused' : 'claim_malformed') },
    token_type: { removed: null, retyped: value => (isText(value) ? 'type_refused' : 'claim_malformed') },
    token_use: optional('type_refused'),
  },
}

type Mutation = { readonly kind: Kind; readonly claim: string; readonly what: string; readonly claims: TokenClaims; readonly fault: string }

function mutationsOf(kind: Kind): readonly Mutation[] {
  return Object.entries(EXPECTED[kind]).flatMap(([claim, { removed, retyped }]) => {
    const { [claim]: _, ...without } = GOOD[kind]
    const taken = removed === null ? [] : [{ kind, claim, what: 'removed', claims: without, fault: removed }]
    return [...taken, ...VALUES.flatMap(value => {
      const fault = retyped(value)
      return fault === null ? [] : [{ kind, claim, what: JSON.stringify(value), claims: { ...without, [claim]: value }, fault }]
    })]
  })
}

const MUTATIONS = KINDS.flatMap(mutationsOf)

describe('a good token', () => {
  test.each(KINDS)('[SES10] of the kind %s is taken as it is', async kind => {
    expect((await proven(providerOf(kind), await made(kind, GOOD[kind]))).principal.subject).toBe(GOOD[kind]['sub'])
  })
})

describe('claims', () => {
  test('[SES10] there are enough mutations', () => {
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(500)
  })

  test.each(KINDS.flatMap(kind => Object.keys(EXPECTED[kind]).map(claim => [kind, claim] as const)))('[SES10, SES11, SES16, SES17, SES18] %s: `%s` removed or of another form is refused', async (kind, claim) => {
    const told: string[] = []
    const wanted: string[] = []
    for (const mutation of MUTATIONS.filter(one => one.kind === kind && one.claim === claim)) {
      told.push(`${mutation.what}: ${await detail(kind, mutation.claims)}`)
      wanted.push(`${mutation.what}: ${mutation.fault}`)
    }
    expect(told).toEqual(wanted)
  })

  test.each(KINDS)('[SES10] %s: the claims of two exchanged', async kind => {
    const good = GOOD[kind]
    const names = ['aud', 'sub', 'exp'].concat('iss' in good ? ['iss'] : [])
    for (const a of names) for (const b of names) if (a !== b) expect(await detail(kind, { ...good, [a]: good[b], [b]: good[a] })).toMatch(/_refused$|_malformed$|_unknown$/)
  })

  test.each(KINDS)('[TOK-011, SES10] %s: ends and starts at the edges of time', async kind => {
    for (const exp of [HOUR, HOUR - 1, 0, 1e-9]) expect(await detail(kind, { ...GOOD[kind], exp })).toBe('expired')
    for (const exp of [8.64e12 + 1, Number.MAX_VALUE, `${HOUR + 60}`]) expect(await detail(kind, { ...GOOD[kind], exp })).toBe('claim_malformed')
    for (const claim of ['iat', 'nbf']) for (const at of [HOUR + 0.001, HOUR + 1, 8.64e12]) expect(await detail(kind, { ...GOOD[kind], [claim]: at })).toBe('not_yet_valid')
  })

  test.each(KINDS.filter(kind => kind !== 'introspection'))('[TOK-021, SES10] %s: a member named twice, in any spelling', async kind => {
    const body = JSON.stringify(GOOD[kind]).slice(1, -1)
    for (const more of ['"sub":"root"', '"s\\u0075b":"root"', '"x":1,"x":1', '"x":[{"y":1,"y":2}]']) {
      const text = await issuer.signText(`{${body},${more}}`, { typ: TYP[kind] })
      expect((await refused(providerOf(kind), text)).detail).toMatch(/duplicate_member|issuer_unknown/)
    }
  })
})

describe('headers', () => {
  const SIGNED_KINDS = KINDS.filter(kind => kind !== 'introspection')
  const spliced = async (kind: Kind, header: TokenClaims, signature: string | null = null): Promise<string> => {
    const [, body, old = ''] = (await made(kind, GOOD[kind])).split('.')
    return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${body}.${signature ?? old}`
  }
  const told = async (kind: Kind, text: string): Promise<string> => (await refused(providerOf(kind), text)).detail

  test.each(SIGNED_KINDS)('[TOK-001, SES10] %s: no algorithm at all', async kind => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', undefined, null, 7, ['ES256']]) {
      for (const signature of ['', 'AAAA', null]) expect(await told(kind, await spliced(kind, { alg, typ: TYP[kind], kid: 'key-1' }, signature))).toMatch(/algorithm_refused|malformed/)
    }
  })

  test.each(SIGNED_KINDS)('[SES10] %s: a secret in place of the key', async kind => {
    const signed = (await spliced(kind, { alg: 'HS256', typ: TYP[kind], kid: 'key-1' }, '')).slice(0, -1)
    for (const secret of ['', JSON.stringify(issuer.jwks()), JSON.stringify(issuer.jwks().keys[0])]) {
      expect(await told(kind, `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`)).toBe('algorithm_refused')
    }
  })

  test.each(SIGNED_KINDS)('[TOK-003, SES10] %s: a key of the token’s own choosing', async kind => {
    const thief = await TokenIssuer.create({ algorithm: 'ES256' })
    const [jwk] = thief.jwks().keys
    for (const more of [{ jwk }, { jku: 'https://thief.example/keys' }, { x5u: 'https://thief.example/cert' }, { x5c: ['AAAA'] }]) {
      const text = await thief.signText(JSON.stringify(GOOD[kind]), { typ: TYP[kind], ...more })
      expect(await told(kind, text)).toBe('signature_invalid')
      expect(await told(kind, await thief.signText(JSON.stringify(GOOD[kind]), { typ: TYP[kind], kid: '../../../etc/passwd', ...more }))).toBe('key_unknown')
    }
  })

  test.each(SIGNED_KINDS)('[TOK-006, SES10] %s: signatures that sign everything', async kind => {
    const header = { alg: 'ES256', typ: TYP[kind], kid: 'key-1' }
    for (const bytes of [Buffer.alloc(64), Buffer.alloc(64, 0xff), Buffer.alloc(63, 1), Buffer.alloc(0), Buffer.from('3006020100020100', 'hex')]) expect(await told(kind, await spliced(kind, header, bytes.toString('base64url')))).toBe('signature_invalid')
  })

  test.each(SIGNED_KINDS)('[TOK-008, SES10] %s: JSON where the compact form is due', async kind => {
    const [header, payload, signature] = (await made(kind, GOOD[kind])).split('.')
    for (const json of [{ protected: header, payload, signature }, { payload, signatures: [{ protected: header, signature }, { protected: header, signature: '' }] }]) expect(await told(kind, JSON.stringify(json))).toBe('malformed')
  })

  test.each(SIGNED_KINDS)('[SES10] %s: another type, an extension, or a header that is changed after signing', async kind => {
    const others = ['JWT', 'at+jwt', 'dpop+jwt', 'secevent+jwt', 'logout+jwt', 'txntoken+jwt', 'wit+jwt', 'wpt+jwt', 'JOSE+JSON', '', 7, null, [], {}]
    for (const typ of others.filter(typ => typ !== TYP[kind] && !(kind !== 'jwt' && typ === 'JWT'))) expect(await detail(kind, GOOD[kind], { typ })).toBe('type_refused')
    for (const crit of [['exp'], [], 'exp', null]) expect(await told(kind, await spliced(kind, { alg: 'ES256', kid: 'key-1', typ: TYP[kind], crit }))).toBe('extension_refused')
    for (const header of [{ alg: 'ES256', typ: TYP[kind] }, { alg: 'ES256', typ: TYP[kind], kid: 'key-1', x: 1 }]) expect(await told(kind, await spliced(kind, header))).toBe('signature_invalid')
  })
})
