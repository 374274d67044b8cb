// Proofs with a nonce of the gateway's (RFC 9449 §8): who has none is told it, each gateway takes what the other told, and an old one is told anew.
// SPEC: BND2, WIRE9
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { AheadClock, DpopKey, possessionPlan } from '../support/possession.ts'
import { RedisServer } from '../support/redis-server.ts'
import { pause } from './support.ts'

let server: RedisServer
let pair: GatewayPair
let plan: GatewayPlan

beforeAll(async () => {
  const made = await possessionPlan()
  plan = { ...made, config: of => (made.config?.(of) ?? '').replace('\nauthn:', '\n  dpopNonces: true\nauthn:') }
  server = await RedisServer.start()
  pair = await TestGateway.pair(server, plan)
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
})
afterAll(async () => {
  await pair.stop()
  await server.dispose()
})

type Told = { readonly status: number; readonly challenge: string; readonly nonce: string | null }

async function shows(gate: TestGateway, key: DpopKey, token: string, path: string, nonce: string | null): Promise<Told> {
  const proof = await key.proof('GET', `https://api.test${path}`, token, { claims: { nonce: nonce ?? undefined, iat: Math.floor(gate.parts.clock.now() / 1000) } })
  const { status, headers } = await gate.ask('GET', path, { authorization: `DPoP ${token}`, dpop: proof })
  return { status, challenge: String(headers['www-authenticate'] ?? ''), nonce: typeof headers['dpop-nonce'] === 'string' ? headers['dpop-nonce'] : null }
}

test('[BND2, WIRE9] a proof without a nonce, or with one of another making, is told the present one, which both gateways take, once a proof', async () => {
  const key = await DpopKey.make()
  const token = await pair.a.token({ cnf: { jkt: key.thumbprint } })
  const first = await shows(pair.a, key, token, '/n1', null)
  expect(first).toMatchObject({ status: 401, challenge: expect.stringMatching(/^DPoP realm="narrowgate", error="use_dpop_nonce"/) })
  expect(first.nonce).toMatch(/^[\w-]{43}$/)
  expect(await shows(pair.b, key, token, '/n2', 'x'.repeat(43))).toEqual({ ...first, challenge: expect.stringContaining('use_dpop_nonce') })
  expect(pair.a.upstream.requests.map(({ path }) => path)).toEqual([])
  expect((await shows(pair.b, key, token, '/n3', first.nonce)).status).toBe(200)
  expect((await shows(pair.a, key, token, '/n4', first.nonce)).status).toBe(200)
})

test('[BND2] on the caller\'s own side likewise', async () => {
  const key = await DpopKey.make()
  const token = await pair.a.token({ cnf: { jkt: key.thumbprint } })
  const told = await shows(pair.a, key, token, '/.narrowgate/session', null)
  expect([told.status, told.challenge.includes('use_dpop_nonce')]).toEqual([401, true])
  expect((await shows(pair.a, key, token, '/.narrowgate/session', told.nonce)).status).toBe(200)
})

test('[BND2] a nonce counts in its slot and the next one, and is useless behind them', async () => {
  const clock = new AheadClock()
  const gate = await TestGateway.start({ ...plan, clock })
  try {
    await pause(1_020 - (Date.now() % 1_000))
    const key = await DpopKey.make()
    const token = await gate.token({ cnf: { jkt: key.thumbprint } })
    const { nonce } = await shows(gate, key, token, '/o1', null)
    clock.ahead = 299_000
    expect((await shows(gate, key, token, '/o2', nonce)).status).toBe(200)
    clock.ahead = 601_000
    const later = await shows(gate, key, await gate.token({ cnf: { jkt: key.thumbprint }, exp: Math.floor(Date.now() / 1000) + 7_200 }), '/o3', nonce)
    expect([later.status, later.challenge.includes('use_dpop_nonce'), later.nonce === nonce]).toEqual([401, true, false])
  } finally {
    await gate.stop()
  }
})
