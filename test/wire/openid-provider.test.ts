// Tokens of a real identity provider (oidc-provider), shown by a real client (openid-client): JWTs whose keys are discovered, tokens bound to a DPoP key or a
// client certificate, opaque ones until they are revoked. What is shown otherwise is refused with the standard's challenge. SPEC: SES10, SES13, SES16, BND2, BND3
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { ClientWire, FORMS, FRESHNESS, IdentityProvider, originOf, outcomeOf, planFor } from '../support/identity-provider.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { type Authority, ClientAuthority, testAuthority } from '../support/tls.ts'
import { pause } from './support.ts'

let site: Authority
let authority: ClientAuthority
let idp: IdentityProvider
let upstream: RecordingUpstream
let gate: TestGateway
/** Asks for a nonce in every proof. */
let asking: TestGateway
beforeAll(async () => {
  ;[site, authority, upstream] = await Promise.all([testAuthority(), ClientAuthority.create('Runners'), RecordingUpstream.start()])
  idp = await IdentityProvider.start(site, authority)
  gate = await TestGateway.start({ ...planFor(idp.issuer, site, authority), upstream })
  asking = await TestGateway.start({ ...planFor(idp.issuer, site, authority, true), upstream })
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
})
afterAll(async () => {
  await Promise.all([gate.stop(), asking.stop()])
  await Promise.all([idp.close(), upstream.close()])
})

let turn = 0
const shows = (at: TestGateway, client: openid.Configuration, token: string, proof: openid.DPoPOptions = {}): Promise<string> =>
  outcomeOf(openid.fetchProtectedResource(client, token, new URL(`/base/${++turn}`, originOf(at)), 'GET', null, new Headers(), proof))

/** Refused so, and not an octet upstream. */
async function isRefused(asked: () => Promise<string>, told: string): Promise<void> {
  const before = upstream.receivedBytes
  expect(await asked()).toBe(told)
  expect(upstream.receivedBytes).toBe(before)
}

describe('a token that is bound to nothing', () => {
  test('[SES10, SES13] as a JWT counts by the keys that the issuer publishes, and goes no further than the gateway', async () => {
    const client = await idp.client('batch')
    const token = await idp.ownToken(client, 'jwt')
    expect(token.split('.')).toHaveLength(3)
    expect(await shows(gate, client, token)).toBe('200')
    expect(upstream.requests.find(({ url }) => url === `/base/${turn}`)?.rawHead).not.toContain(token)
    const [head = '', claims = '', signature = ''] = token.split('.')
    const richer = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url').toString()), sub: 'somebody' })).toString('base64url')
    await isRefused(() => shows(gate, client, [head, richer, signature].join('.')), '401 credential_invalid bearer invalid_token')
  })

  test.each(FORMS)('[SES10, SES16, TOK-016] of the form %s is refused where it was issued for another audience', async form => {
    const client = await idp.client('batch')
    expect(await shows(gate, client, await idp.ownToken(client, form))).toBe('200')
    const elsewhere = await idp.ownToken(client, form, {}, 'elsewhere')
    await isRefused(() => shows(gate, client, elsewhere), '401 credential_invalid bearer invalid_token')
  })

  test('[SES10, SES16] counts as an access token alone: neither an ID token nor a refresh token does', async () => {
    const client = await idp.client('console')
    for (const form of FORMS) {
      const { access, refresh, id } = await idp.signIn(client, 'ada', form)
      expect(await shows(gate, client, access)).toBe('200')
      for (const token of [refresh, id]) await isRefused(() => shows(gate, client, token), '401 credential_invalid bearer invalid_token')
    }
  })
})

describe.each(FORMS)('a token of the form %s that is bound to a DPoP key', form => {
  const newCaller = async () => {
    const wire = new ClientWire(site.ca)
    const client = await idp.client('batch', wire)
    const [proof, others] = [{ DPoP: openid.getDPoPHandle(client, await openid.randomDPoPKeyPair()) }, { DPoP: openid.getDPoPHandle(client, await openid.randomDPoPKeyPair()) }]
    const toGate = () => wire.sent.filter(({ url }) => url.includes('/base/'))
    return { wire, client, proof, others, toGate, token: await idp.ownToken(client, form, proof) }
  }

  test('[BND2, TOK-018, TOK-023] passes with the client’s own proofs, each once; as a bearer token, or with another key, it is refused', async () => {
    const { wire, client, proof, others, token, toGate } = await newCaller()
    for (let i = 0; i < 3; i++) expect(await shows(gate, client, token, proof)).toBe('200')
    const recorded = toGate()
    expect(recorded).toHaveLength(3)
    for (const sent of recorded) await isRefused(() => outcomeOf(wire.again(sent)), '401 credential_invalid')
    const [first] = recorded
    const challenge = first === undefined ? null : (await wire.again(first)).headers.get('www-authenticate')
    expect(challenge).toMatch(/^DPoP realm="narrowgate", error="invalid_dpop_proof", /)
    await isRefused(() => shows(gate, client, token), '401 credential_invalid dpop invalid_token')
    await isRefused(() => shows(gate, client, token, others), '401 credential_invalid dpop invalid_dpop_proof')
  })

  test('[BND2, WIRE9] where the gateway asks for nonces, the client tries again with the one it is told, and keeps it', async () => {
    const { wire, client, proof, token, toGate } = await newCaller()
    expect(await shows(asking, client, token, proof)).toBe('200')
    expect(toGate()).toHaveLength(2)
    expect(await shows(asking, client, token, proof)).toBe('200')
    expect(toGate()).toHaveLength(3)
    for (const sent of toGate()) await isRefused(() => outcomeOf(wire.again(sent)), '401 credential_invalid')
    await isRefused(() => shows(asking, client, token), '401 credential_invalid dpop invalid_token')
  })
})

describe.each(FORMS)('a token of the form %s that is bound to a client certificate', form => {
  test('[BND3, TOK-028] passes over connections with that certificate; with another of the same name and authority, or none, it is refused', async () => {
    const mine = await authority.issue({ subject: '/CN=runner' })
    const others = await authority.issue({ subject: '/CN=runner' })
    const client = await idp.client('runner', new ClientWire(site.ca, mine))
    const token = await idp.ownToken(client, form)
    expect(await shows(gate, client, token)).toBe('200')
    for (const leaf of [others, null]) {
      const thief = await idp.client('runner', new ClientWire(site.ca, leaf))
      await isRefused(() => shows(gate, thief, token), '401 credential_invalid bearer invalid_token')
    }
    expect(await shows(gate, client, token)).toBe('200')
  })
})

describe('an opaque token', () => {
  /** Shown again and again until it is refused for good: how that is told, and how long after the call the last request began that was let through. While its issuer is asked it is `stale`, which lets nothing through. */
  async function refusedAfter(client: openid.Configuration, token: string): Promise<{ readonly told: string; readonly last: number }> {
    const from = performance.now()
    for (let last = 0; ;) {
      const at = performance.now() - from
      const told = await shows(gate, client, token)
      if (told !== '200' && told !== '503 stale') return { told, last }
      if (told === '200') last = at
      if (at > 10 * FRESHNESS) return { told, last }
      await pause(10)
    }
  }

  /** While its issuer is asked it is `stale`; what it is behind that. */
  async function answeredTo(client: openid.Configuration, token: string): Promise<string> {
    for (const until = performance.now() + 10 * FRESHNESS; ; await pause(10)) {
      const told = await shows(gate, client, token)
      if (told !== '503 stale' || performance.now() > until) return told
    }
  }

  async function isRefusedWithin(client: openid.Configuration, token: string): Promise<void> {
    const { told, last } = await refusedAfter(client, token)
    expect(told).toBe('401 credential_invalid bearer invalid_token')
    expect(last).toBeLessThan(FRESHNESS)
  }

  test('[SES16] counts until it is revoked where it was issued, and then for the configured freshness at most', async () => {
    const client = await idp.client('batch')
    const [token, another] = [await idp.ownToken(client, 'opaque'), await idp.ownToken(client, 'opaque')]
    for (const each of [token, another]) expect(await shows(gate, client, each)).toBe('200')
    await openid.tokenRevocation(client, token)
    await isRefusedWithin(client, token)
    expect(await answeredTo(client, another)).toBe('200')
  })

  test('[SES16] ends likewise with the grant that its refresh token stands for', async () => {
    const client = await idp.client('console')
    const { access, refresh } = await idp.signIn(client, 'grace', 'opaque')
    expect(await shows(gate, client, access)).toBe('200')
    await openid.tokenRevocation(client, refresh)
    await isRefusedWithin(client, access)
  })
})
