// What is open under an opaque token, on two gateways over one Redis: it lasts as long as the issuer says that the token is active, not until its end.
// SPEC: SES16, SES6
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Exchange } from '../../src/enforcement/exchange.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { json, Service } from '../unit/identity/service.ts'
import { opaquePlan } from './opaque-plan.ts'
import { TapUpstream, until } from './support.ts'

const FRESHNESS = 1_000
let server: RedisServer
let upstream: TapUpstream
let service: Service
let pair: GatewayPair
let turn = 0

beforeAll(async () => {
  ;[server, upstream, service] = await Promise.all([RedisServer.start(), TapUpstream.start(), Service.start()])
  pair = await TestGateway.pair(server, opaquePlan(FRESHNESS, service, upstream))
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

/** The issuer hears what it is asked and says nothing until it is let. */
function silent() {
  const held: (() => void)[] = []
  const { answer } = service
  service.answer = (response, asked) => void held.push(() => answer(response, asked))
  const speak = (): void => {
    service.answer = answer
    for (const late of held.splice(0)) late()
  }
  return { asked: () => until(() => held.length > 0, 'the issuer is asked', 4 * FRESHNESS), speak }
}

const opened = (gate: TestGateway): Exchange => {
  const [exchange] = gate.parts.inflight.all()
  if (exchange === undefined) throw new Error('nothing is open')
  return exchange
}

/** A download that has begun. */
async function open(gate: TestGateway) {
  const path = `/open${++turn}`
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', path, { authorization: `Bearer opaque-${turn}` }))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  return { tap, client }
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

describe('while the issuer is silent', () => {
  test('[SES16] a download is held from the moment to which it was known, no byte passes, and it ends half a second later', async () => {
    const { tap } = await open(pair.a)
    const exchange = opened(pair.a)
    const issuer = silent()
    await issuer.asked()
    expect(exchange.state, 'asked ahead: it goes on').toBe('open')
    const due = exchange.vouchedUntil
    await until(() => exchange.state !== 'open', 'it is held', 2 * FRESHNESS)
    expect(exchange).toMatchObject({ state: 'frozen', reason: 'stale' })
    const before = exchange.bytesDown
    tap.answer.write('x'.repeat(1_000))
    await until(() => tap.abortedAt !== 0, 'it ends', 4 * FRESHNESS)
    expect(exchange).toMatchObject({ bytesDown: before, state: 'ended', reason: 'credential_invalid' })
    expect(tap.abortedAt - due, 'from the moment to which it was known').toBeLessThan(500 + 1_000) // half a second, and a busy machine's slack
    issuer.speak()
  })

  test('[SES16] one that is answered in time goes on from the very byte at which it was held', async () => {
    const { tap, client } = await open(pair.a)
    const exchange = opened(pair.a)
    const issuer = silent()
    await until(() => exchange.state === 'frozen', 'it is held', 4 * FRESHNESS)
    tap.answer.write('held')
    issuer.speak()
    await until(() => client.bytes().toString('latin1').includes('held'), 'what came meanwhile', 2 * FRESHNESS)
    expect(exchange.state).toBe('open')
    tap.answer.end()
    await until(() => pair.a.parts.inflight.size === 0, 'nothing is open')
  })
})

test('[SES16] nobody is asked about what is over', async () => {
  const { tap } = await open(pair.a)
  tap.answer.end()
  await until(() => pair.a.parts.inflight.size === 0, 'nothing is open')
  const from = service.asked.length
  await new Promise(resolve => { setTimeout(resolve, 2.5 * FRESHNESS) })
  expect(askedSince(from)).toBe(0)
})
