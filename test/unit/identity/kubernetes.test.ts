import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { KubernetesSettings } from '../../../src/config/settings.ts'
import { duration } from '../../../src/core/time.ts'
import type { Identification, Provider } from '../../../src/identity/credential.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { buildProviders } from '../../../src/identity/provider.ts'
import { HttpClient } from '../../../src/runtime/http-client.ts'
import { testAuthority } from '../../support/tls.ts'
import { type TokenClaims, TokenIssuer } from '../../support/token-issuer.ts'
import { bearer, DIGEST_KEY, HandClock, kubernetesSettings, NO_STORE, NOON, proven, refused } from './fixtures.ts'
import { type Answerer, json, raw, Service } from './service.ts'

let cluster: TokenIssuer
let service: Service
let http: HttpClient
let clock: HandClock
let dir: string
beforeAll(async () => {
  cluster = await TokenIssuer.create({ algorithm: 'ES256', issuer: 'https://cluster.example' })
  const { ca, server } = await testAuthority()
  service = await Service.start(server)
  http = new HttpClient()
  dir = await mkdtemp(join(tmpdir(), 'kubernetes-'))
  await cluster.writeJwks(join(dir, 'jwks'))
  await writeFile(join(dir, 'ca'), ca)
})
afterAll(async () => {
  await http.close()
  await service.close()
  await rm(dir, { recursive: true })
})
beforeEach(async () => {
  clock = new HandClock()
  service.asked.length = 0
  await writeFile(join(dir, 'own'), 'own-token-1\n')
})

const POD = { namespace: 'prod', serviceaccount: { name: 'deploy', uid: 'u-sa' }, pod: { name: 'deploy-0', uid: 'u-pod' }, node: { name: 'n1', uid: 'u-node' }, warnafter: NOON / 1000 + 3000 }
const SUB = 'system:serviceaccount:prod:deploy'
const sign = (claims: TokenClaims = {}, header: TokenClaims = {}): Promise<string> =>
  cluster.sign({ aud: ['narrowgate'], client_id: undefined, sub: SUB, jti: 'j-1', 'kubernetes.io': POD, ...claims }, { now: clock.now(), lifetime: 3600, header: { typ: undefined, ...header } })

async function provider(reviewed: boolean, changes: Partial<KubernetesSettings> = {}): Promise<Provider> {
  const review = reviewed ? { url: service.url, tokenFile: join(dir, 'own'), caFile: join(dir, 'ca'), freshness: duration(10_000) } : null
  const settings = kubernetesSettings({ keys: { is: 'file', file: join(dir, 'jwks') }, review, ...changes })
  const built = (await buildProviders(new Map([['cluster', settings]]), { clock, http, findSession: () => Promise.reject(), parseYaml: () => null, notice: () => {} })).get('cluster')
  if (built === undefined || built.header === null) throw new Error('nothing was built')
  return built
}
const detail = async (claims: TokenClaims, header: TokenClaims = {}): Promise<string> => (await refused(await provider(false), await sign(claims, header))).detail
const identifier = async (one: Provider): Promise<Identifier> => new Identifier(new Map([['cluster', one]]), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })
const keyOf = (answer: Identification): string => (answer.is === 'verified' ? answer.verified.key : answer.detail)

describe('a token of a pod', () => {
  test('[SES18] proves the service account, and names the pod as the workload', async () => {
    const { principal, workload, mark, claims, evidence, knownUntil } = await proven(await provider(false, { claims: { tenant: 'namespace', owner: null, client: 'serviceaccount', device: null, subjectCase: 'exact' } }), await sign())
    expect(principal).toEqual({ kind: 'service', issuer: 'https://cluster.example', tenant: 'prod', subject: SUB, client: 'deploy', owner: null, actor: null })
    expect([workload, mark, claims['namespace'], claims['serviceaccount'], knownUntil]).toEqual(['pod/u-pod', { is: 'pod', value: 'u-pod' }, 'prod', 'deploy', null])
    expect([evidence.issuedAt, evidence.expiresAt, evidence.keyThumbprint]).toEqual([NOON, NOON + 3_600_000, null])
  })

  test('[SES2, SES18] a rotated token keeps the session; another pod of the account has another', async () => {
    const all = await identifier(await provider(false))
    const of = async (claims: TokenClaims): Promise<string> => keyOf(await all.identify(['cluster'], bearer(await sign(claims))))
    const first = await of({})
    clock.advance(2_880_000)
    expect(await of({ jti: 'j-2' })).toBe(first)
    expect(await of({ jti: undefined })).toBe(first)
    expect(await of({ 'kubernetes.io': { ...POD, pod: { name: 'deploy-1', uid: 'u-pod-1' } } })).not.toBe(first)
    expect(await of({ 'kubernetes.io': { ...POD, pod: { name: 'deploy-0', uid: 'u-pod-2' } } })).not.toBe(first)
  })

  test('[SES18] every audience must be ours: none that is good for the API server too', async () => {
    for (const aud of ['https://cluster.example', ['https://kubernetes.default.svc'], ['narrowgate', 'https://kubernetes.default.svc'], ['narrowgate', 7], []]) expect(await detail({ aud })).toBe('audience_refused')
    expect((await proven(await provider(false, { audience: ['narrowgate', 'vault'] }), await sign({ aud: ['vault', 'narrowgate'] }))).workload).toBe('pod/u-pod')
  })

  test.each<[TokenClaims, string]>([
    [{ namespace: undefined }, 'claim_missing'],
    [{ namespace: 'prod:x' }, 'claim_malformed'],
    [{ namespace: ['prod'] }, 'claim_malformed'],
    [{ namespace: 'dev' }, 'subject_refused'],
    [{ serviceaccount: undefined }, 'claim_missing'],
    [{ serviceaccount: { name: 'admin', uid: 'u' } }, 'subject_refused'],
    [{ serviceaccount: { name: 'deploy' } }, 'claim_missing'],
    [{ pod: undefined }, 'claim_missing'],
    [{ pod: 'deploy-0' }, 'claim_malformed'],
    [{ pod: { name: 'deploy-0' } }, 'claim_missing'],
    [{ pod: { name: 'deploy-0', uid: '' } }, 'claim_malformed'],
    [{ pod: { name: 'Deploy', uid: 'u' } }, 'claim_malformed'],
  ])('[SES18] of `kubernetes.io` %o is refused: %s', async (changes, fault) => {
    expect(await detail({ 'kubernetes.io': { ...POD, ...changes } })).toBe(fault)
  })

  test.each<[TokenClaims, string]>([
    [{ 'kubernetes.io': undefined }, 'claim_missing'],
    [{ 'kubernetes.io': [] }, 'claim_malformed'],
    [{ 'kubernetes.io': 'prod' }, 'claim_malformed'],
    [{ sub: 'system:serviceaccount:prod:admin' }, 'subject_refused'],
    [{ sub: 'system:serviceaccount:prod:deploy ' }, 'subject_refused'],
    [{ sub: undefined }, 'claim_missing'],
    [{ exp: undefined }, 'claim_missing'],
    [{ cnf: { jkt: 'A'.repeat(43) } }, 'proof_missing'],
  ])('[SES18] %o is refused: %s', async (claims, fault) => {
    expect(await detail(claims)).toBe(fault)
  })

  test('[SES18] an access token of the same issuer and key is none', async () => {
    for (const typ of ['at+jwt', 'JOSE', 'dpop+jwt', 'secevent+jwt', 'logout+jwt', 'txntoken+jwt', 'wit+jwt', 7]) expect(await detail({}, { typ })).toBe('type_refused')
  })
})

describe('a review', () => {
  const USER = { username: SUB, uid: 'u-sa', groups: ['system:serviceaccounts'], extra: { 'authentication.kubernetes.io/pod-name': ['deploy-0'], 'authentication.kubernetes.io/pod-uid': ['u-pod'] } }
  const STATUS = { authenticated: true, user: USER, audiences: ['narrowgate'] }
  const review = (status: unknown = STATUS, more: TokenClaims = {}): TokenClaims => ({ kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', metadata: {}, spec: {}, status, ...more })
  const told = async (answer: Answerer): Promise<string> => {
    service.answer = answer
    return (await refused(await provider(true), await sign())).detail
  }

  test('[SES18] asks with the gateway’s own token as it is now, over TLS to the cluster alone', async () => {
    service.answer = json(review(), 201)
    const one = await provider(true)
    const text = await sign()
    expect((await proven(one, text)).knownUntil).toBe(NOON + 10_000)
    await writeFile(join(dir, 'own'), 'own-token-2\n')
    await proven(one, text)
    expect(service.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer own-token-1', 'Bearer own-token-2'])
    expect(JSON.parse(service.asked[0]?.body ?? '')).toEqual({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: text, audiences: ['narrowgate'] } })
  })

  test('[SES18] is not asked about a token that its signature or claims refuse', async () => {
    const one = await provider(true)
    for (const claims of [{ aud: 'other' }, { exp: NOON / 1000 }, { 'kubernetes.io': {} }]) await refused(one, await sign(claims))
    await refused(one, `${(await sign()).slice(0, -8)}AAAAAAAA`)
    expect(service.asked).toEqual([])
  })

  test.each<[TokenClaims, string]>([
    [{ authenticated: false }, 'inactive'],
    [{ authenticated: undefined }, 'inactive'],
    [{ authenticated: 'true' }, 'review_mismatch'],
    [{ error: 'token expired' }, 'inactive'],
    [{ audiences: undefined }, 'audience_refused'],
    [{ audiences: [] }, 'audience_refused'],
    [{ audiences: 'narrowgate' }, 'audience_refused'],
    [{ audiences: ['https://kubernetes.default.svc'] }, 'audience_refused'],
    [{ user: undefined }, 'review_mismatch'],
    [{ user: { ...USER, username: 'system:serviceaccount:prod:admin' } }, 'review_mismatch'],
    [{ user: { ...USER, uid: 'u-other' } }, 'review_mismatch'],
    [{ user: { ...USER, uid: undefined } }, 'review_mismatch'],
    [{ user: { ...USER, extra: undefined } }, 'review_mismatch'],
    [{ user: { ...USER, extra: { ...USER.extra, 'authentication.kubernetes.io/pod-uid': ['u-other'] } } }, 'review_mismatch'],
    [{ user: { ...USER, extra: { ...USER.extra, 'authentication.kubernetes.io/pod-uid': ['u-pod', 'u-other'] } } }, 'review_mismatch'],
    [{ user: { ...USER, extra: { ...USER.extra, 'authentication.kubernetes.io/pod-uid': 'u-pod' } } }, 'review_mismatch'],
    [{ user: { ...USER, extra: { ...USER.extra, 'authentication.kubernetes.io/pod-name': undefined } } }, 'review_mismatch'],
  ])('[SES18] that says %o refuses: %s', async (changes, fault) => {
    expect(await told(json(review({ ...STATUS, ...changes })))).toBe(fault)
  })

  test('[SES18] that is none refuses', async () => {
    for (const status of [null, [STATUS], 'authenticated']) expect(await told(json(review(status)))).toBe('inactive')
    expect(await told(json(review(STATUS, { kind: 'Status' })))).toBe('review_mismatch')
    expect(await told(json(review(STATUS, { apiVersion: 'authentication.k8s.io/v1beta1' })))).toBe('review_mismatch')
    for (const answer of [json(review(), 401), json(review(), 403), json(review(), 500), raw('<html>'), raw('[]'), raw(`${JSON.stringify(review()).slice(0, -1)},"status":{}}`), raw('', 302, { location: '/' })]) expect(await told(answer)).toBe('review_unavailable')
  })

  test('[SES18] that cannot be had refuses: the place is gone, is another’s, or the gateway has no token', async () => {
    service.answer = json(review())
    const gone = { url: 'https://127.0.0.1:1/review', tokenFile: join(dir, 'own'), caFile: null, freshness: duration(0) }
    expect((await refused(await provider(true, { review: gone }), await sign())).detail).toBe('review_unavailable')
    const untrusted = { ...gone, url: service.url }
    expect((await refused(await provider(true, { review: untrusted }), await sign())).detail).toBe('review_unavailable')
    const one = await provider(true)
    await rm(join(dir, 'own'))
    expect((await refused(one, await sign())).detail).toBe('review_unavailable')
    expect(service.asked).toEqual([])
    await expect(provider(true)).rejects.toThrow('own: no such file')
  })

  test('[SES12, SES18] counts for its freshness: a deleted pod is out when the cluster is asked again', async () => {
    const all = await identifier(await provider(true))
    const text = bearer(await sign())
    service.answer = json(review())
    const first = keyOf(await all.identify(['cluster'], text))
    service.answer = json(review({ authenticated: false }))
    clock.advance(9_999)
    expect(keyOf(await all.identify(['cluster'], text))).toBe(first)
    clock.advance(1)
    expect(keyOf(await all.identify(['cluster'], text))).toBe('inactive')
  })
})
