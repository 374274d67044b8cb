// What is open under an opaque token, on two gateways over one Redis: it lasts as long as the issuer says that the token is active, not until its end.
// SPEC: SES16, SES6
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { json, Service } from '../unit/identity/service.ts'
import { TapUpstream, until } from './support.ts'

const FRESHNESS = 1_000
let server: RedisServer
let upstream: TapUpstream
let service: Service
let pair: GatewayPair
let turn = 0

beforeAll(async () => {
  ;[server, upstream, service] = await Promise.all([RedisServer.start(), TapUpstream.start(), Service.start()])
  pair = await TestGateway.pair(server, {
    routes: '',
    config: ({ directory, issuer }) => {
      writeFileSync(join(directory, 'secret'), 'a secret', { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } }
  opaque: { introspection: { url: "${service.url}", clientId: gate, clientSecretFile: ${directory}/secret, audience: narrowgate, freshness: ${FRESHNESS}ms } }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules: [{ allow: { paths: [/**] }, scope: base:use }]
`
    },
  })
})
afterAll(async () => {
  await pair.stop()
  await Promise.all([upstream.close(), service.close(), server.dispose()])
})

const active = (more = {}) => json({ active: true, sub: 'agent', aud: 'narrowgate', sid: `s${turn}`, exp: Math.floor(Date.now() / 1000) + 3_600, ...more })
beforeEach(() => {
  turn++
  service.answer = active()
})

/** A download that has begun. */
async function open(gate: TestGateway) {
  const path = `/open${++turn}`
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', path, { authorization: `Bearer opaque-${turn}` }))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  return { tap }
}

const askedSince = (from: number): number => service.asked.length - from

test.each([
  ['says that it is not active', json({ active: false })],
  ['speaks of another session', active({ sid: 'another' })],
  ['answers with an error', json({}, 500)],
] as const)('[SES16] a download ends on both gateways when the issuer %s, long before its token does', async (_what, answer) => {
  const [here, there] = [await open(pair.a), await open(pair.b)]
  const from = service.asked.length
  await until(() => askedSince(from) >= 4, 'asked again, and once more', 6 * FRESHNESS)
  expect([here.tap.abortedAt, there.tap.abortedAt], 'active: it goes on').toEqual([0, 0])
  service.answer = answer
  await until(() => here.tap.abortedAt !== 0 && there.tap.abortedAt !== 0, 'both are cut', 4 * FRESHNESS)
})

test('[SES16] nobody is asked about what is over', async () => {
  const { tap } = await open(pair.a)
  tap.answer.end()
  await until(() => pair.a.parts.inflight.size === 0, 'nothing is open')
  const from = service.asked.length
  await new Promise(resolve => { setTimeout(resolve, 2.5 * FRESHNESS) })
  expect(askedSince(from)).toBe(0)
})
