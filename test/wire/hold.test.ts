// What a caller meets while the store does not answer: requests wait for its return and no longer than `hold.requests`, streams pause and run on at the
// very byte, and nothing reaches the upstream on knowledge nobody confirms.
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { Hold } from '../../src/enforcement/hold.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { type Flight, KINDS, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

const REQUESTS = 1_000
const STREAMS = 1_500
const STALENESS = 700
/** Less than the patience of anything. */
const SHORT = 400
const BIG = 24 * 1024 * 1024

const clock = new SystemClock()
/** What the store says of its freshness, and whether it answers. */
const store = { until: Infinity, down: false }
const ASKED: ReadonlySet<string | symbol> = new Set(['load', 'commit', 'commitRestrictive', 'lastSeen'])

const driven = (real: SessionStore): SessionStore => new Proxy(real, {
  get: (target, name): unknown => {
    if (name === 'confirmedUntil') return () => store.until
    const member: unknown = Reflect.get(target, name, target)
    if (typeof member !== 'function') return member
    if (!ASKED.has(name)) return member.bind(target)
    return (...given: unknown[]): unknown => (store.down ? Promise.reject(new StoreFault('failed', 'nobody answers')) : Reflect.apply(member, target, given))
  },
})

let upstream: TapUpstream
let gate: TestGateway
beforeAll(async () => {
  upstream = await TapUpstream.start()
  const plan = planFor(upstream, { clock, wrapStore: driven, more: `store: { hold: { requests: ${REQUESTS}ms, streams: ${STREAMS}ms } }` })
  gate = await TestGateway.start({ ...plan, routes: `${plan.routes}
- name: lenient
  match: { host: api.test, path: "/lenient/**" }
  staleness: ${STALENESS}ms
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/lenient/**"] } }` })
})
afterEach(() => {
  back()
  vi.restoreAllMocks()
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** The lease has run out; with `down` the store does not answer either. */
function lapse(down = true): void {
  store.until = clock.elapsed()
  store.down = down
}
function back(): void {
  store.until = Infinity
  store.down = false
}

type Going = { readonly path: string; readonly since: number; readonly answer: Promise<Answer>; state: 'open' | 'answered'; tookMs: number }
let asked = 0
function go(method: string, path: string, token: string, body = ''): Going {
  const going: Going = { path, since: performance.now(), state: 'open', tookMs: 0, answer: gate.ask(method, path, { authorization: `Bearer ${token}`, ...(body === '' ? {} : { 'content-type': 'application/json' }) }, body).finally(() => {
    going.state = 'answered'
    going.tookMs = performance.now() - going.since
  }) }
  return going
}
const goBase = (token: string): Going => go('GET', `/h${++asked}/base`, token)
/** The upstream answers it, once it is there. */
async function served({ path, answer }: Going): Promise<number> {
  const tap = await upstream.tap(path)
  tap.answer.end('ok')
  return (await answer).status
}
const known = async (): Promise<string> => {
  const token = await gate.token()
  await gate.session(token)
  return token
}
const told = ({ status, json, headers }: Answer): unknown => [status, json['reason'], headers['retry-after']]
const STALE = [503, 'stale', '1']

test('[DEC8] a request waits for the lease and is then answered; nothing of it goes upstream before', async () => {
  const [token, stranger] = [await known(), await gate.token()]
  lapse()
  const held = [goBase(token), goBase(stranger)]
  await pause(SHORT)
  expect(held.map(({ path, state }) => [state, upstream.taps.has(path)])).toEqual([['open', false], ['open', false]])
  back()
  expect([await served(held[0] as Going), await served(held[1] as Going)]).toEqual([200, 200]) // both are there
  for (const { tookMs } of held) {
    expect(tookMs).toBeGreaterThanOrEqual(SHORT - 5)
    expect(tookMs).toBeLessThan(REQUESTS)
  }
})

test('[DEC8, WIRE8] when its patience is over it is refused as stale, with a time to try again, and never goes upstream', async () => {
  const [token, stranger] = [await known(), await gate.token()]
  lapse()
  const held = [goBase(token), goBase(stranger)]
  const answers = await Promise.all(held.map(({ answer }) => answer))
  expect(answers.map(told)).toEqual([STALE, STALE])
  for (const { tookMs } of held) {
    expect(tookMs).toBeGreaterThanOrEqual(REQUESTS - 5)
    expect(tookMs).toBeLessThan(REQUESTS + 1_000)
  }
  back()
  expect(await served(goBase(token))).toBe(200)
  expect(held.some(({ path }) => upstream.taps.has(path))).toBe(false)
})

test('[DEC8] a second lapse is waited for as well, in what is left of the same patience', async () => {
  const token = await gate.token()
  lapse()
  const held = goBase(token)
  await pause(SHORT)
  const waits = vi.spyOn(Hold.prototype, 'wait')
  store.until = clock.elapsed() + 150 // back for a moment, but the store does not answer
  const fault = vi.spyOn(gate.parts.mirror, 'load').mockImplementation(async () => {
    lapse()
    throw new StoreFault('failed', 'gone again')
  })
  await until(() => waits.mock.calls.length > 0, 'the second wait')
  fault.mockRestore()
  expect([held.state, upstream.taps.has(held.path)]).toEqual(['open', false])
  expect(told(await held.answer)).toEqual(STALE)
  expect(held.tookMs).toBeLessThan(REQUESTS + 300)
})

test('[DEC8, STO9] a store that fails while knowledge is fresh is waited for by nobody: 503 store_failed', async () => {
  const [token, stranger] = [await known(), await gate.token()]
  store.down = true
  const failed = goBase(stranger)
  expect(told(await failed.answer)).toEqual([503, 'store_failed', '1'])
  expect(failed.tookMs).toBeLessThan(REQUESTS / 2)
  const own = go('GET', '/.narrowgate/session', await gate.token())
  expect(told(await own.answer)).toEqual([503, 'store_failed', '1'])
  expect(await served(goBase(token))).toBe(200) // needs no store
})

test('[DEC8] the body of a held request is not read before it is let go, and arrives whole', async () => {
  const token = await known()
  const client = await RawClient.connect(gate.target)
  const path = `/h${++asked}/base`
  lapse()
  await client.send(request('POST', path, { authorization: `Bearer ${token}`, 'content-length': String(BIG) }))
  const sent = { whole: false }
  void client.send(patternAt(0, BIG)).then(() => (sent.whole = true))
  await pause(SHORT)
  expect([sent.whole, upstream.taps.has(path)]).toEqual([false, false])
  back()
  const tap = await upstream.tap(path)
  await until(() => tap.bodyEnded, 'the end of the upload')
  expect([tap.received, tap.wrongAt]).toEqual([BIG, null])
  tap.answer.end('ok')
  expect((await client.response('POST')).status).toBe(200)
  client.close()
})

test('[DEC8] a caller that hangs up while it is held is forgotten: nothing goes upstream for it, then or later', async () => {
  const token = await known()
  const waits = vi.spyOn(Hold.prototype, 'wait')
  const paths = [`/h${++asked}/base`, `/h${++asked}/base`]
  lapse()
  for (const [i, path] of paths.entries()) {
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', path, { authorization: `Bearer ${token}` }))
    await until(() => waits.mock.results.length === i + 1, 'the wait')
    const since = performance.now()
    client.close(i === 0 ? 'reset' : 'close')
    const { value: waited } = waits.mock.results[i] ?? {}
    expect(await waited).toBe(false)
    expect(performance.now() - since).toBeLessThan(REQUESTS / 2)
  }
  back()
  expect(await served(goBase(token))).toBe(200)
  expect(paths.some(path => upstream.taps.has(path))).toBe(false)
  expect((await gate.trail()).filter(line => paths.includes(String(line['path'])))).toEqual([])
})

test('[DEC8] a reload while a request is held: it is placed anew under what runs then', async () => {
  const token = await known()
  lapse(false)
  const held = goBase(token)
  await pause(SHORT / 2)
  expect((await gate.gateway.reload('test')).ok).toBe(true)
  back()
  expect(await served(held)).toBe(200)
})

test('[DEC8] an end that comes with the lease is met by what was held', async () => {
  const token = await known()
  const { id } = await gate.session(token)
  lapse(false)
  const held = goBase(token)
  await pause(SHORT / 2)
  await gate.admin('POST', `/v1/sessions/${id}/terminate`)
  expect(held.state).toBe('open')
  back()
  expect([told(await held.answer), upstream.taps.has(held.path)]).toEqual([[401, 'credential_revoked', undefined], false])
})

test('[DEC8] a rule without scope on a route with `staleness` serves so much longer, and then holds like any other', async () => {
  const token = await known()
  const path = (): string => `/lenient/${++asked}`
  lapse()
  expect(await served(go('GET', path(), token))).toBe(200)
  await until(() => clock.elapsed() > store.until + STALENESS, 'the end of its staleness')
  const held = go('GET', path(), token)
  expect(told(await held.answer)).toEqual(STALE)
  expect([held.tookMs >= REQUESTS - 5, upstream.taps.has(held.path)]).toEqual([true, false])
})

test('[DEC8, ADM1] the caller\'s own side waits the same way, and refuses the same way', async () => {
  const [token, stranger] = [await known(), await gate.token()]
  lapse()
  const held = [go('GET', '/.narrowgate/session', token), go('GET', '/.narrowgate/session', stranger), go('POST', '/.narrowgate/elevations', token, JSON.stringify({ profile: 'long' }))]
  await pause(SHORT)
  expect(held.map(({ state }) => state)).toEqual(['open', 'open', 'open'])
  back()
  expect(await Promise.all(held.map(async ({ answer }) => (await answer).status))).toEqual([200, 200, 201])
  lapse()
  const refused = go('GET', '/.narrowgate/session', token)
  expect(told(await refused.answer)).toEqual(STALE)
  expect(refused.tookMs).toBeGreaterThanOrEqual(REQUESTS - 5)
})

test('[DEC8, ADM1] its lapse in the middle of a body is waited for as well', async () => {
  const token = await known()
  const client = await RawClient.connect(gate.target)
  const body = JSON.stringify({ profile: 'long' })
  const identify = vi.spyOn(gate.parts.identifier, 'identify')
  await client.send(`${request('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': String(body.length) })}${body.slice(0, 5)}`)
  await until(() => identify.mock.settledResults.some(({ type }) => type === 'fulfilled'), 'its first look at the caller')
  lapse()
  await client.send(body.slice(5))
  const waits = vi.spyOn(Hold.prototype, 'wait')
  await until(() => waits.mock.calls.length > 0, 'the wait')
  expect(client.received).toBe(0)
  back()
  expect((await client.response('POST')).status).toBe(201)
  client.close()
})

const octets = (flights: readonly Flight[]): readonly number[] => flights.map(flight => flight.arrived())

test('[DEC8, ENF6] streams pause while the lease is gone and run on at the very byte when it is back', async () => {
  const token = await known()
  const flights: Flight[] = []
  for (const kind of KINDS) flights.push(await takeOff(gate, upstream, kind, 'base', token))
  lapse()
  const marks = octets(flights)
  for (const flight of flights) flight.push()
  await pause(SHORT)
  expect(octets(flights)).toEqual(marks)
  back()
  for (const flight of flights) {
    await until(() => flight.arrived() === flight.handed(), `what waited in a ${flight.kind}`)
    await flight.finish()
    flight.client.close()
  }
})

test('[DEC8, ENF6] past `hold.streams` they are cut, on a route with `staleness` so much later', async () => {
  const token = await known()
  const strict = await takeOff(gate, upstream, 'chunked download', 'base', token)
  const client = await RawClient.connect(gate.target)
  const path = `/lenient/${++asked}`
  await client.send(request('GET', path, { authorization: `Bearer ${token}` }))
  const lenient = await upstream.tap(path)
  lenient.begin(null)
  expect((await client.head()).status).toBe(200)
  const lapsedAt = performance.now()
  lapse()
  await pause(SHORT)
  lenient.send(100)
  await until(() => client.bodyBytes === 100, 'what staleness lets through')
  for (const [tap, least] of [[strict.tap, STREAMS], [lenient, STREAMS + STALENESS]] as const) {
    await until(() => tap.abortedAt > 0, 'the cut')
    expect(tap.abortedAt - lapsedAt).toBeGreaterThanOrEqual(least)
    expect(tap.abortedAt - lapsedAt).toBeLessThan(least + 1_000)
  }
  expect([await strict.ended, await client.ended]).toEqual(['reset', 'reset'])
  back()
  const { id } = await gate.session(token)
  const cut = (await gate.trail()).filter(line => line['kind'] === 'exchange.cut' && line['reason'] === 'stale' && line['session'] === id)
  expect(cut).toHaveLength(2)
  strict.client.close()
  client.close()
})
