// How the issuer is asked about what is open under opaque tokens: before strangers, once for all of a token, early enough, again where it said nothing; and
// what its answers do. SPEC: SES16, SES12, BND5
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Exchange } from '../../src/enforcement/exchange.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { type Answerer, json, Service } from '../unit/identity/service.ts'
import { opaquePlan } from './opaque-plan.ts'
import { TapUpstream, until } from './support.ts'

let upstream: TapUpstream
let service: Service
let gate: TestGateway
let clients: RawClient[]
/** Where the issuer has something else to say of a token. */
let verdicts: Map<string, Answerer>
let asked: string[]

beforeEach(async () => {
  ;[upstream, service] = await Promise.all([TapUpstream.start(), Service.start()])
  clients = []
  verdicts = new Map()
  asked = []
  service.answer = (response, one) => {
    const token = new URLSearchParams(one.body).get('token') ?? ''
    asked.push(token)
    const say = verdicts.get(token.replace(/-\d+$/, '')) ?? active(token)
    say(response, one)
  }
})
afterEach(async () => {
  for (const client of clients) client.close()
  await gate.stop()
  await Promise.all([upstream.close(), service.close()])
})

const active = (token: string, more = {}): Answerer => json({ active: true, sub: 'agent', aud: 'narrowgate', sid: token, exp: Math.floor(Date.now() / 1000) + 3_600, ...more })
const silent: Answerer = () => undefined

const start = async (freshness: number): Promise<void> => { gate = await TestGateway.start(opaquePlan(freshness, service, upstream)) }

const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` })
let turn = 0

/** A download that has begun. */
async function open(token: string): Promise<Exchange> {
  const path = `/open${++turn}`
  const client = await RawClient.connect(gate.target)
  clients.push(client)
  client.push(request('GET', path, bearer(token)))
  ;(await upstream.tap(path)).begin(null)
  await client.head()
  const exchange = gate.parts.inflight.all().find(({ evaluation }) => evaluation.resource.path === path)
  if (exchange === undefined) throw new Error('it is not open')
  return exchange
}

const askedOf = (token: string): number => asked.filter(one => one === token).length

test('[SES16] strangers whose tokens the issuer takes its time about keep no answer from what is open', async () => {
  await start(1_000)
  const exchange = await open('known')
  verdicts.set('stranger', silent)
  const strangers = Array.from({ length: 60 }, (_, i) => gate.ask('GET', '/x', bearer(`stranger-${i}`)).catch(() => null))
  await until(() => asked.filter(token => token.startsWith('stranger')).length >= 32, 'every connection for new requests waits')
  await until(() => askedOf('known') >= 5, 'asked about what is open', 8_000)
  expect(exchange.state).toBe('open')
  await Promise.all(strangers)
})

test('[SES16] failures that strangers bring about close nothing for what is open', async () => {
  await start(1_500)
  const exchange = await open('known')
  verdicts.set('stranger', json({}, 429))
  const from = askedOf('known')
  for (let i = 0; askedOf('known') < from + 4 && exchange.state !== 'ended'; i++) await gate.ask('GET', '/x', bearer(`stranger-${i}`))
  expect(exchange.state).toBe('open')
})

test('[SES16] an issuer that says nothing for a moment is asked again, and what is open goes on', async () => {
  await start(2_000)
  const exchange = await open('known')
  verdicts.set('known', json({}, 503))
  const from = askedOf('known')
  await until(() => askedOf('known') >= from + 4, 'asked again and again')
  verdicts.delete('known')
  await until(() => askedOf('known') >= from + 6, 'asked about anew')
  expect(exchange.state).toBe('open')
})

test('[SES16] one question answers everything open under its token, and its silence takes the turn of no other token', async () => {
  await start(2_000)
  const many = await Promise.all(Array.from({ length: 260 }, () => open('crowd')))
  const other = await open('other')
  const before = askedOf('crowd')
  await until(() => askedOf('other') >= 2, 'asked about the other')
  await until(() => askedOf('crowd') > before, 'asked about the crowd')
  expect(many.filter(({ state }) => state === 'open')).toHaveLength(260)
  verdicts.set('crowd', silent)
  await until(() => many.every(({ state }) => state === 'ended'), 'the crowd ends', 8_000)
  expect(new Set(many.map(({ reason }) => reason))).toEqual(new Set(['credential_invalid']))
  await until(() => askedOf('other') >= 4, 'the other is asked about as ever', 8_000)
  expect(other.state).toBe('open')
}, 60_000)

test('[SES16, BND5] where the issuer names another device now, what is open ends and nothing is learnt', async () => {
  await start(1_000)
  verdicts.set('known', active('known', { device_id: 'laptop' }))
  const exchange = await open('known')
  verdicts.set('known', active('known', { device_id: 'another' }))
  await until(() => exchange.state === 'ended', 'it ends')
  expect([exchange.reason, exchange.live?.claims]).toMatchObject(['binding_broken', { device_id: 'laptop' }])
})

test('[SES16, SES12] once the issuer said no, nothing goes by what it said before', async () => {
  await start(4_000)
  const [first, second] = [await open('known'), await open('known')]
  verdicts.set('known', json({ active: false }))
  await until(() => first.state === 'ended', 'asked ahead: it ends')
  const ahead = first.vouchedUntil - Date.now()
  const { status } = await gate.ask('GET', '/x', bearer('known'))
  expect([second.state, status, upstream.taps.has('/x')]).toEqual(['ended', 401, false])
  expect(ahead, 'the answer before would have counted still').toBeGreaterThan(500)
})

test('[SES16] a no that a new request hears ends what is open under that token at once', async () => {
  await start(60_000)
  const exchange = await open('known')
  verdicts.set('known', json({ active: false }))
  gate.parts.identifier.drop(exchange.evaluation.evidence?.credential ?? '')
  expect([(await gate.ask('GET', '/x', bearer('known'))).status, exchange.state, exchange.reason]).toEqual([401, 'ended', 'credential_invalid'])
})

test('[SES16] it is asked so early that an issuer which takes its whole time holds up nothing', async () => {
  await start(8_000)
  const { vouchedUntil } = await open('known')
  await until(() => askedOf('known') === 2, 'asked again', 10_000)
  expect(vouchedUntil - Date.now()).toBeGreaterThan(2_500)
})

test('[SES16] what is opened by an answer that is known goes no longer by it than that counts', async () => {
  await start(1_200)
  const first = await open('known')
  await until(() => first.vouchedUntil - Date.now() < 900, 'it is known for a while')
  const later = await open('known')
  expect([askedOf('known'), later.vouchedUntil]).toEqual([1, first.vouchedUntil])
})
