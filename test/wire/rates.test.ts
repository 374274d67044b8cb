// Rates as callers meet them: what they are told, what is counted, and over two gateways and one Redis that both together keep to the rate. SPEC: RAT1-RAT3
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'

const auth = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` })
const valueOf = async (gate: TestGateway, metric: string): Promise<number> => Number(new RegExp(`^narrowgate_${metric} (\\d+)`, 'm').exec((await gate.ops('/metrics')).text)?.[1] ?? 0)

describe('on one gateway', () => {
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({
      routes: `
- name: few
  match: { host: api.test, path: "/few/**" }
  upstream: api
  rates: [{ requests: 3, per: 1m, burst: 60 }]
  rules: [{ allow: {}, scope: base:read }, { deny: {} }]
- name: bytes
  match: { host: api.test, path: "/bytes/**" }
  upstream: api
  rules: [{ allow: {}, scope: base:read, rates: [{ bytes: 64KiB, per: 1m, burst: 60, by: session }] }]
- name: fast
  match: { host: api.test, path: "/fast/**" }
  upstream: api
  rules: [{ allow: {}, scope: base:read, rates: [{ requests: 20, per: 1s }] }]
- name: open
  match: { host: api.test, path: "/open/**" }
  upstream: api
  rules: [{ allow: {}, anonymous: true, rates: [{ requests: 2, per: 1m, burst: 60, by: everyone }] }]`,
    })
  })
  afterAll(() => gate.stop())

  test('[RAT3, DEC6] over the rate is 429 with when to come again and of which rate nothing is left; within it nothing is said', async () => {
    const token = await gate.token({ sub: 'three' })
    const answers: Answer[] = []
    for (let i = 0; i < 4; i++) answers.push(await gate.ask('GET', '/few/ok', auth(token)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429])
    expect(answers.slice(0, 3).some(({ headers }) => 'ratelimit' in headers || 'retry-after' in headers)).toBe(false)
    const { headers, json } = answers[3] as Answer // four were sent
    expect(json).toMatchObject({ type: 'urn:narrowgate:reason:rate_limited', status: 429, reason: 'rate_limited', session: (await gate.session(token)).id })
    const wait = Number(headers['retry-after'])
    expect(wait).toBeGreaterThanOrEqual(18)
    expect(wait).toBeLessThanOrEqual(20)
    expect(headers['ratelimit']).toBe(`"default";r=0;t=${wait}`)
    expect(headers['ratelimit-policy']).toBe('"default";q=3;w=60')
  })

  test('[RAT1, RAT3] it is for each principal, on record, counted, and never reaches the upstream', async () => {
    const [before, token, other] = [gate.upstream.requests.length, await gate.token({ sub: 'recorded' }), await gate.token({ sub: 'another' })]
    for (let i = 0; i < 5; i++) await gate.ask('GET', '/few/ok', auth(token))
    expect((await gate.ask('GET', '/few/ok', auth(other))).status).toBe(200)
    expect(gate.upstream.requests.length - before).toBe(4)
    const { id } = await gate.session(token)
    expect((await gate.trail()).filter(line => line['session'] === id && line['reason'] === 'rate_limited')).toHaveLength(2)
    expect(await valueOf(gate, 'rate_limited_total{route="few"}')).toBeGreaterThanOrEqual(2)
  })

  test('[RAT1] a new credential of the same principal is no new rate', async () => {
    const answers: Answer[] = []
    for (let i = 0; i < 5; i++) answers.push(await gate.ask('GET', '/few/ok', auth(await gate.token({ sub: 'renewing' }))))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429])
  })

  test('[RAT1] what waited as long as it was told gets through', async () => {
    const token = await gate.token({ sub: 'patient' })
    let last = await gate.ask('GET', '/fast/ok', auth(token))
    for (let i = 0; i < 200 && last.status === 200; i++) last = (await Promise.all(Array.from({ length: 10 }, () => gate.ask('GET', '/fast/ok', auth(token))))).find(({ status }) => status === 429) ?? last
    expect(last.status).toBe(429)
    await new Promise(resolve => setTimeout(resolve, Number(last.headers['retry-after']) * 1_000))
    expect((await gate.ask('GET', '/fast/ok', auth(token))).status).toBe(200)
  })

  test('[RAT1] bytes are counted both ways as they pass: what is under way goes on, and the next one is refused', async () => {
    const token = await gate.token({ sub: 'heavy' })
    const body = 'x'.repeat(48 * 1_024)
    const [up, again, over] = [await gate.ask('POST', '/bytes/ok', auth(token), body), await gate.ask('POST', '/bytes/ok', auth(token), body), await gate.ask('GET', '/bytes/ok', auth(token))]
    expect([up.status, again.status, over.status]).toEqual([200, 200, 429])
    expect(over.headers['ratelimit-policy']).toBe('"default";q=65536;w=60;qu="content-bytes"')
  })

  test('[RAT1] callers without a session share what is for everyone', async () => {
    const answers = [await gate.ask('GET', '/open/ok'), await gate.ask('GET', '/open/ok'), await gate.ask('GET', '/open/ok')]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429])
  })

  test('[RAT1] a request that its rule refuses counts as well', async () => {
    const token = await gate.token({ sub: 'denied' })
    await gate.parts.intake.session((await gate.session(token)).key, { kind: 'session.frozen', until: null }, { by: 'test', note: '', id: null })
    const answers: Answer[] = []
    for (let i = 0; i < 5; i++) answers.push(await gate.ask('GET', '/few/ok', auth(token)))
    expect(answers.map(({ json }) => json['reason'])).toEqual(['frozen', 'frozen', 'frozen', 'rate_limited', 'rate_limited'])
  })
})

describe('over Redis', () => {
  const PER_SECOND = 20
  let server: RedisServer
  let pair: GatewayPair
  beforeAll(async () => {
    server = await RedisServer.start()
    pair = await TestGateway.pair(server, { routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {}, scope: base:read, rates: [{ requests: ${PER_SECOND * 10}, per: 10s }] }]` })
  })
  afterAll(async () => {
    await pair.stop()
    await server.dispose()
  })

  test('[RAT2] both gateways together let pass no more than the rate and a fifth, and not much less', async () => {
    const token = await pair.a.token()
    await Promise.all([pair.a.session(token), pair.b.session(token)])
    const started = performance.now()
    let passed = 0
    const flood = async (gate: TestGateway): Promise<void> => {
      while (performance.now() - started < 5_000) {
        const answers = await Promise.all(Array.from({ length: 6 }, () => gate.ask('GET', '/ok', auth(token))))
        passed += answers.filter(({ status }) => status === 200).length
        await new Promise(resolve => setTimeout(resolve, 30))
      }
    }
    await Promise.all([flood(pair.a), flood(pair.b)])
    const rate = ((performance.now() - started) / 1_000) * PER_SECOND
    console.log(`${passed} passed of ${Math.round(rate)} and a burst of ${PER_SECOND}`)
    expect(passed).toBeLessThanOrEqual((rate + PER_SECOND) * 1.2)
    expect(passed).toBeGreaterThanOrEqual(rate * 0.8)
  })

  test('[RAT2] where one gateway alone is asked, it has all of the rate', async () => {
    const token = await pair.b.token({ sub: 'alone' })
    await pair.b.session(token)
    const started = performance.now()
    let passed = 0
    while (performance.now() - started < 3_000) {
      const answers = await Promise.all(Array.from({ length: 6 }, () => pair.b.ask('GET', '/ok', auth(token))))
      passed += answers.filter(({ status }) => status === 200).length
    }
    expect(passed).toBeGreaterThanOrEqual(3 * PER_SECOND)
  })
})

test('[RAT3, CND1] who is turned away for what everyone does has done nothing by that; who is for what it does itself has', async () => {
  const gate = await TestGateway.start({
    routes: ['everyone', 'principal'].map(by => `
- name: ${by}
  match: { host: api.test, path: "/${by}/**" }
  upstream: api
  rates: [{ requests: 1, per: 1m, burst: 60, by: ${by} }]
  rules: [{ allow: {}, scope: base:read }, { deny: {} }]`).join(''),
    more: "risk: { rules: [{ name: streak, when: 'stats.refusals5m >= 2.0', add: 50 }], levels: [{ name: out, at: 40, do: [freeze] }] }",
  })
  try {
    const token = await gate.token({ sub: 'honest' })
    const statuses = async (path: string): Promise<readonly number[]> => {
      const found: number[] = []
      for (let i = 0; i < 5; i++) found.push((await gate.ask('GET', path, auth(token))).status)
      return found
    }
    expect((await gate.ask('GET', '/everyone/x', auth(await gate.token({ sub: 'flood' })))).status).toBe(200)
    expect(await statuses('/everyone/x')).toEqual([429, 429, 429, 429, 429])
    expect((await gate.ask('GET', '/principal/x', auth(token))).status).toBe(200)
    await statuses('/principal/x')
    expect((await gate.trail()).filter(({ kind, risk }) => kind === 'request.refused' && (risk as { readonly after: number } | undefined)?.after === 50).length).toBeGreaterThan(0) // as records have it
  } finally {
    await gate.stop()
  }
})
