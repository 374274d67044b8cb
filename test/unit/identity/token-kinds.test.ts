// A token of each kind in the place of each other kind: one validator answers, and none takes what is another's.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { IntrospectionSettings } from '../../../src/config/settings.ts'
import { ApiKeyProvider } from '../../../src/identity/api-key.ts'
import { apiKeysOf } from '../../../src/identity/api-key-file.ts'
import type { Provider } from '../../../src/identity/credential.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { IntrospectionProvider } from '../../../src/identity/introspection.ts'
import { JwtProvider } from '../../../src/identity/jwt.ts'
import { JwtSvidProvider } from '../../../src/identity/jwt-svid.ts'
import { keysOfText, svidKeys } from '../../../src/identity/keys.ts'
import { KubernetesProvider } from '../../../src/identity/kubernetes.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { apiKeySettings, bearer, DIGEST_KEY, HandClock, introspectionSettings, jwtSettings, jwtSvidSettings, kubernetesSettings, NO_STORE, NOON } from './fixtures.ts'
import { json, Service } from './service.ts'

const ISSUER = 'https://login.example'
const SVID = 'spiffe://example.org/ns/prod/sa/deploy'
const POD = { namespace: 'prod', serviceaccount: { name: 'deploy', uid: 'u-sa' }, pod: { name: 'deploy-0', uid: 'u-pod' } }
const KEY = 'correct-horse-battery'

let issuer: TokenIssuer
let service: Service
let http: HttpClient
const clock = new HandClock()
beforeAll(async () => {
  issuer = await TokenIssuer.create({ algorithm: 'ES256', issuer: ISSUER })
  service = await Service.start()
  http = new HttpClient()
})
afterAll(async () => {
  await http.close()
  await service.close()
})
beforeEach(() => {
  service.asked.length = 0
  service.answer = json({ active: true, iss: ISSUER, aud: 'narrowgate', sub: 'opaque-1', exp: NOON / 1000 + 600 })
})

/** All of them with the same issuer, audience and signing key: only the kind tells them apart. */
const PROVIDERS: { readonly [name: string]: (changes?: Partial<IntrospectionSettings>) => Provider } = {
  jwt: () => new JwtProvider(jwtSettings({ name: 'jwt', issuer: ISSUER }), keys(), clock, ''),
  jwtSvid: () => new JwtSvidProvider(jwtSvidSettings({ name: 'jwtSvid', issuer: ISSUER }), keys(), clock, ''),
  kubernetes: () => new KubernetesProvider(kubernetesSettings({ name: 'kubernetes', issuer: ISSUER }), { keys: keys(), review: null }, clock, ''),
  introspection: (changes = {}) => new IntrospectionProvider(introspectionSettings({ name: 'introspection', url: service.url, issuer: ISSUER, ...changes }), { ca: null, secret: 's' }, { clock, http, notice: () => {} }, ''),
  apiKey: () => new ApiKeyProvider(apiKeySettings({ name: 'apiKey', header: 'authorization' }), apiKeysOf([{ id: 'k1', sha256: sha256(KEY), subject: 'key-1' }]), clock, ''),
}
const keys = () => keysOfText(JSON.stringify({ keys: issuer.jwks().keys.map(key => ({ ...key, use: 'jwt-svid' })) }), svidKeys)

const claims = (more: object): string => JSON.stringify({ iss: ISSUER, aud: 'narrowgate', exp: NOON / 1000 + 600, ...more })
const TOKENS: { readonly [name: string]: () => string | Promise<string> } = {
  jwt: () => issuer.signText(claims({ sub: 'agent-1' })),
  jwtSvid: () => issuer.signText(claims({ sub: SVID }), { typ: 'JOSE' }),
  kubernetes: () => issuer.signText(claims({ sub: 'system:serviceaccount:prod:deploy', 'kubernetes.io': POD }), { typ: undefined }),
  introspection: () => 'opaque-token',
  apiKey: () => KEY,
}

async function told(names: readonly string[], token: string, changes: Partial<IntrospectionSettings> = {}): Promise<string> {
  const providers = new Map(names.flatMap(name => {
    const made = PROVIDERS[name]?.(changes)
    return made === undefined ? [] : [[name, made] as const]
  }))
  const answer = await new Identifier(providers, { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 }).identify(names, bearer(token))
  return answer.is === 'verified' ? `${answer.verified.provider} ${answer.verified.principal.subject}` : answer.detail
}
const tokenOf = async (kind: string): Promise<string> => (await TOKENS[kind]?.()) ?? ''

/** By the kind of the only provider, then by the kind of the token. */
const TABLE: { readonly [provider: string]: { readonly [token: string]: string } } = {
  jwt: { jwt: 'jwt agent-1', jwtSvid: 'type_refused', kubernetes: 'type_refused', introspection: 'malformed', apiKey: 'malformed' },
  jwtSvid: { jwt: 'type_refused', jwtSvid: `jwtSvid ${SVID}`, kubernetes: 'claim_malformed', introspection: 'malformed', apiKey: 'malformed' },
  kubernetes: { jwt: 'type_refused', jwtSvid: 'type_refused', kubernetes: 'kubernetes system:serviceaccount:prod:deploy', introspection: 'malformed', apiKey: 'malformed' },
  introspection: { jwt: 'issuer_unknown', jwtSvid: 'issuer_unknown', kubernetes: 'issuer_unknown', introspection: 'introspection opaque-1', apiKey: 'introspection opaque-1' },
  apiKey: { jwt: 'api_key_unknown', jwtSvid: 'api_key_unknown', kubernetes: 'api_key_unknown', introspection: 'api_key_unknown', apiKey: 'apiKey key-1' },
}

describe('alone on a route', () => {
  test.each(Object.keys(TABLE))('[SES15] a provider of the kind %s takes its own kind alone', async provider => {
    const row: { [token: string]: string } = {}
    for (const kind of Object.keys(TOKENS)) row[kind] = await told([provider], await tokenOf(kind))
    expect(row).toEqual(TABLE[provider])
  })
})

describe('together on a route', () => {
  test('[SES15] of several with one issuer the first answers, and its refusal is final', async () => {
    for (const [first, second] of [['jwt', 'kubernetes'], ['kubernetes', 'jwt'], ['jwtSvid', 'jwt'], ['jwt', 'jwtSvid']] as const) {
      expect(await told([first, second], await tokenOf(first))).toBe(TABLE[first]?.[first])
      expect(await told([first, second], await tokenOf(second))).toBe(TABLE[first]?.[second])
    }
  })

  test('[SES15, SES16] a JWT that was refused or that nobody takes never becomes an opaque token', async () => {
    const [header, payload, signature = ''] = (await tokenOf('jwt')).split('.')
    const expired = await issuer.signText(claims({ sub: 'agent-1', exp: NOON / 1000 }))
    const foreign = await issuer.signText(claims({ sub: 'agent-1', iss: 'https://other.example' }))
    const unsigned = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`
    const names = ['jwt', 'introspection']
    for (const jwt of [false, true]) {
      expect(await told(names, expired, { jwt })).toBe('expired')
      expect(await told(names, `${header}.${payload}.${signature.slice(0, -4)}AAAA`, { jwt })).toBe('signature_invalid')
      expect(await told(names, unsigned, { jwt })).toMatch(/algorithm_refused|malformed/)
      expect(await told(names, foreign, { jwt })).toBe('issuer_unknown')
      expect(await told(['introspection'], foreign, { jwt })).toBe('issuer_unknown')
      expect(await told(names, await issuer.signText(claims({ iss: undefined, sub: 'x' })), { jwt })).toBe('malformed')
      expect(await told(names, await issuer.signText(`{"iss":"${ISSUER}","iss":"${ISSUER}"}`), { jwt })).toBe('malformed')
    }
    expect(service.asked).toEqual([])
  })

  test('[SES15, SES16] what is no JWT goes to the one who can ask, also with two dots in it', async () => {
    for (const text of ['opaque-token', 'aa.bb.cc', 'e30', 'W10.e30.e30', '-.-.-']) expect(await told(['jwt', 'kubernetes', 'introspection'], text)).toBe('introspection opaque-1')
    expect(service.asked).toHaveLength(5)
  })

  test('[SES15, SES16] with `jwt: true` the issuer’s own JWTs are asked about, unless one before it verifies them', async () => {
    const token = await tokenOf('jwt')
    expect(await told(['introspection'], token, { jwt: true })).toBe('introspection opaque-1')
    expect(await told(['introspection', 'jwt'], token, { jwt: true })).toBe('introspection opaque-1')
    expect(await told(['jwt', 'introspection'], token, { jwt: true })).toBe('jwt agent-1')
    expect(await told(['jwt', 'introspection'], 'opaque-token', { jwt: true })).toBe('introspection opaque-1')
    expect(service.asked).toHaveLength(3)
  })

  test('[SES15, SES17] an SVID without an issuer is known by its trust domain', async () => {
    const plain = new JwtSvidProvider(jwtSvidSettings({ name: 'mesh' }), keys(), clock, '')
    const all = new Identifier(new Map<string, Provider>([['mesh', plain], ['jwt', new JwtProvider(jwtSettings({ name: 'jwt', issuer: ISSUER }), keys(), clock, '')]]), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })
    const of = async (more: object): Promise<string> => {
      const answer = await all.identify(['jwt', 'mesh'], bearer(await issuer.signText(claims({ iss: undefined, ...more }), { typ: undefined })))
      return answer.is === 'verified' ? `${answer.verified.provider} ${answer.verified.workload}` : answer.detail
    }
    expect(await of({ sub: SVID })).toBe(`mesh ${SVID}`)
    expect(await of({ sub: 'spiffe://other.org/a' })).toBe('issuer_unknown')
    expect(await of({ sub: 'spiffe://example.org/a/../b' })).toBe('malformed')
    expect(await of({ sub: 'agent-1' })).toBe('malformed')
    expect(await of({ sub: SVID, iss: ISSUER })).toBe('type_refused')
    for (const iss of [7, null, ['spiffe://example.org'], '']) expect(await of({ sub: SVID, iss })).toBe('malformed')
  })
})
