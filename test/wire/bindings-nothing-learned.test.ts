// A request that is refused because its session is bound to something else changes nothing of that session: neither what it may do nor how long.
// SPEC: BND5, BND6, SES6, SES7
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import type { TokenClaims } from '../support/token-issuer.ts'

let gate: TestGateway
beforeAll(async () => {
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, claims: { device: device } }
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: "${upstream.origin}"
    rules:
      - { allow: { paths: ["/mfa"] }, scope: base:read, requireAuth: { acr: [strong], maxAge: 5m } }
      - { allow: { paths: ["/boss"] }, scope: base:read, if: subject.claims.role == "boss" }
      - { allow: {}, scope: base:read }
`,
  })
})
afterAll(() => gate.stop())

const token = (claims: TokenClaims, issuedAgo: number, lifetime: number): Promise<string> => gate.issuer.sign({ sub: 'eve', sid: 's', ...claims }, { now: Date.now() - issuedAgo, lifetime })
async function asks(path: string, credential: string): Promise<string> {
  const { status, json } = await gate.ask('GET', path, { authorization: `Bearer ${credential}` })
  return status === 200 ? '200' : `${status} ${String(json['reason'])}`
}

test('[BND5, BND6, SES6, SES7] another device teaches the session neither claims nor a sign-in nor a later end, by whatever it asks for', async () => {
  const laptop = await token({ device: 'laptop', role: 'clerk' }, 60_000, 600)
  const phone = await token({ device: 'phone', role: 'boss', acr: 'strong', auth_time: Math.floor(Date.now() / 1_000) }, 0, 7_200)
  expect(await asks('/plain', laptop)).toBe('200')
  const [before] = [...gate.parts.mirror.all()].map(({ record: { credential }, claims }) => ({ credential, claims }))
  for (const path of ['/plain', '/mfa', '/boss', '/.narrowgate/session', '/.narrowgate/profiles']) expect(await asks(path, phone), path).toBe('403 binding_broken')
  expect((await gate.ask('POST', '/.narrowgate/session/renew', { authorization: `Bearer ${phone}` })).status).toBe(403)
  expect([...gate.parts.mirror.all()].map(({ record: { credential }, claims }) => ({ credential, claims }))).toEqual([before])
  expect(await asks('/mfa', laptop)).toBe('401 authentication_insufficient')
  expect(await asks('/boss', laptop)).toBe('403 condition_false')
  expect(await asks('/plain', laptop)).toBe('200')
})

test('[BND5] what it shows is kept to a size, however long it is', async () => {
  const long = await token({ device: `${'x'.repeat(500)}`, sid: 'other' }, 0, 600)
  expect(await asks('/plain', await token({ device: 'laptop', sid: 'other' }, 60_000, 600))).toBe('200')
  expect(await asks('/plain', long)).toBe('403 binding_broken')
  const drifts = async () => [...gate.parts.mirror.all()].flatMap(({ record }) => record.drifts).filter(({ shown }) => shown.startsWith('xxx'))
  await expect.poll(drifts).toEqual([{ binding: 'device', shown: 'x'.repeat(256) }])
})
