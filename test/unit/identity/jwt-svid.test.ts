import { beforeAll, describe, expect, test } from 'vitest'
import type { JwtSvidSettings } from '../../../src/config/settings.ts'
import { JwtSvidProvider } from '../../../src/identity/jwt-svid.ts'
import { keysOfText, svidKeys } from '../../../src/identity/keys.ts'
import type { AnyProvider, Provider } from '../../../src/identity/credential.ts'
import { buildProviders } from '../../../src/identity/provider.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { type TokenClaims, TokenIssuer } from '../../support/token-issuer.ts'
import { HandClock, jwtSvidSettings, NOON, proven, refused } from './fixtures.ts'
import { json, Service } from './service.ts'

const isText = (built: AnyProvider | undefined): built is Provider => built !== undefined && built.header !== null

const ID = 'spiffe://example.org/ns/prod/sa/deploy'
let spire: TokenIssuer
beforeAll(async () => {
  spire = await TokenIssuer.create({ algorithm: 'ES256' })
})

/** The bundle as SPIFFE has it; `use` undefined leaves it out. */
const bundle = (use: string | undefined): string => JSON.stringify({ keys: spire.jwks().keys.map(key => ({ ...key, use, alg: undefined })) })
const provider = (changes: Partial<JwtSvidSettings> = {}, use: string | undefined = 'jwt-svid'): JwtSvidProvider => {
  const settings = jwtSvidSettings(changes)
  return new JwtSvidProvider(settings, keysOfText(bundle(use), svidKeys), new HandClock(), JSON.stringify(settings))
}
const svid = (claims: TokenClaims = {}, header: TokenClaims = {}): Promise<string> =>
  spire.sign({ iss: undefined, client_id: undefined, sub: ID, ...claims }, { now: NOON, lifetime: 300, header: { typ: undefined, ...header } })
const detail = async (text: string, changes: Partial<JwtSvidSettings> = {}): Promise<string> => (await refused(provider(changes), text)).detail

describe('a JWT-SVID', () => {
  test('[SES17] proves the workload of its SPIFFE id, whose issuer is the trust domain', async () => {
    const { principal, workload, evidence, binding, knownUntil } = await proven(provider(), await svid())
    expect(principal).toEqual({ kind: 'service', issuer: 'spiffe://example.org', tenant: '', subject: ID, client: '', owner: null, actor: null })
    expect([workload, evidence.keyId, evidence.expiresAt, binding, knownUntil]).toEqual([ID, 'key-1', NOON + 300_000, null, null])
  })

  test('[SES17] typ is left out, JWT or JOSE', async () => {
    for (const typ of [undefined, 'JWT', 'JOSE', 'jose']) expect((await proven(provider(), await svid({}, { typ }))).workload).toBe(ID)
    for (const typ of ['at+jwt', 'application/at+jwt', 'dpop+jwt', 'secevent+jwt', 'logout+jwt', 'txntoken+jwt', 'wit+jwt', 'wpt+jwt', '', 7, null, ['JWT']]) expect(await detail(await svid({}, { typ }))).toBe('type_refused')
  })

  test('[SES17] an issuer only where one is configured, and then exactly it; the principal stays the same', async () => {
    const iss = 'https://oidc.example.org'
    expect((await proven(provider({ issuer: iss }), await svid({ iss }))).principal.issuer).toBe('spiffe://example.org')
    expect(await detail(await svid({ iss }))).toBe('issuer_unknown')
    expect(await detail(await svid(), { issuer: iss })).toBe('claim_missing')
    expect(await detail(await svid({ iss: `${iss}/` }), { issuer: iss })).toBe('issuer_unknown')
    expect((await proven(provider(), await svid({ iss: 'spiffe://example.org' }))).workload).toBe(ID)
  })

  test.each([
    'spiffe://example.org', 'spiffe://example.org/', 'spiffe://Example.org/a', 'spiffe://example.org/a/../b', 'spiffe://example.org/a//b', 'spiffe://example.org/a%2fb', 'SPIFFE://example.org/a',
    'spiffe://example.org:443/a', 'spiffe://u@example.org/a', 'spiffe://example.org/a?b', 'spiffe://example.org/a#b', 'https://example.org/a', 'system:serviceaccount:a:b', 'spiffe:///a', 7, '', ['spiffe://example.org/a'],
  ])('[SES17] %j is no subject of one', async sub => {
    expect(await detail(await svid({ sub }))).toBe('claim_malformed')
  })

  test('[SES17] ids of another trust domain are refused, though the keys would sign them', async () => {
    for (const sub of ['spiffe://example.com/ns/prod/sa/deploy', 'spiffe://sub.example.org/a', 'spiffe://example.org.evil/a']) expect(await detail(await svid({ sub }))).toBe('subject_refused')
  })

  test('[SES17] one of the patterns must fit, `*` for one whole segment', async () => {
    const ids = ['spiffe://example.org/ns/*/sa/deploy', 'spiffe://example.org/job']
    for (const sub of [ID, 'spiffe://example.org/job']) expect((await proven(provider({ ids }), await svid({ sub }))).workload).toBe(sub)
    for (const sub of [`${ID}/x`, 'spiffe://example.org/ns/prod/x/sa/deploy', 'spiffe://example.org/ns/prod/sa/deployer', 'spiffe://example.org/jobs']) expect(await detail(await svid({ sub }), { ids })).toBe('subject_refused')
    expect(() => provider({ ids: ['spiffe://example.org/ns/../x'] })).toThrow('is no pattern')
  })

  test('[SES17] audience, end and algorithm as of every token', async () => {
    expect(await detail(await svid({ aud: 'other' }))).toBe('audience_refused')
    for (const claim of ['aud', 'exp', 'sub']) expect(await detail(await svid({ [claim]: undefined }))).toBe('claim_missing')
    expect(await detail(await svid({ exp: NOON / 1000 }))).toBe('expired')
    expect(await detail(await svid(), { algorithms: ['RS256'] })).toBe('algorithm_refused')
    expect(await detail(await svid({ cnf: { jkt: 'A'.repeat(43) } }))).toBe('proof_missing')
  })
})

describe('its keys', () => {
  test('[SES17] count where `use` is left out or jwt-svid; a key for anything else does not', async () => {
    expect((await proven(provider({}, undefined), await svid())).workload).toBe(ID)
    for (const use of ['x509-svid', 'sig', 'enc', '']) {
      const other = await TokenIssuer.create({ algorithm: 'ES256' })
      const keys = JSON.stringify({ keys: [...other.jwks().keys.map(key => ({ ...key, kid: 'other', use: 'jwt-svid' })), ...spire.jwks().keys.map(key => ({ ...key, use }))] })
      const one = new JwtSvidProvider(jwtSvidSettings(), keysOfText(keys, svidKeys), new HandClock(), '')
      expect((await refused(one, await svid())).detail).toBe('key_unknown')
    }
    expect(() => keysOfText(bundle('x509-svid'), svidKeys)).toThrow('with at least one key')
  })

  test('[SES13, SES17] are fetched under the same rule', async () => {
    const service = await Service.start()
    const http = new HttpClient()
    try {
      const settings = jwtSvidSettings({ keys: { is: 'uri', uri: service.url } })
      const built = async () => (await buildProviders(new Map([['mesh', settings]]), { clock: new HandClock(), http, findSession: () => Promise.reject(), parseYaml: () => null, notice: () => {} })).get('mesh')
      service.answer = json(JSON.parse(bundle('jwt-svid')))
      const one = await built()
      expect(isText(one) && (await proven(one, await svid())).workload).toBe(ID)
      service.answer = json(JSON.parse(bundle('x509-svid')))
      const other = await built()
      expect(isText(other) && (await refused(other, await svid())).detail).toBe('key_unknown')
    } finally {
      await http.close()
      await service.close()
    }
  })
})
