// What an elevation may be used for in all, over two gateways and one Redis: uses, rates and bytes are never exceeded however requests meet, and what was
// taken for a request that was not dispatched is there for the next one. SPEC: LIM1, LIM2
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Elevation } from '../../src/core/elevation.ts'
import { instant } from '../../src/core/time.ts'
import type { GatherStep, Gathering } from '../../src/enforcement/gather.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { StoreTap } from '../support/tapped-store.ts'
import { CallerStream, connectHttp2 } from './http2-flights.ts'
import { PIECE, type Tap, TapUpstream, until } from './support.ts'
import { upgrade, WebSocketCaller } from './websocket-callers.ts'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'

const KIB = 1_024
const BYTES = 512 * KIB

const planOf = (origin: string, more: Partial<Parameters<typeof TestGateway.start>[0]> = {}): Parameters<typeof TestGateway.start>[0] => ({
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { methods: [GET, OPTIONS, POST], paths: [/seven/**] }, scope: seven:use }
    - { allow: { paths: [/once/**] }, scope: once:use }
    - { allow: { paths: [/minute/**] }, scope: minute:use }
    - { allow: { paths: [/sum/**] }, scope: sum:use }
    - { allow: { paths: [/read-sum/**] }, scope: sum:use, inspect: json }
    - { allow: { methods: [POST], paths: [/pay/**] }, scope: pay:use, inspect: json }
- name: bytes
  match: { host: api.test, path: /bytes/** }
  upstream: { url: "${origin}" }
  rules: [{ allow: { paths: [/bytes/**] }, scope: bytes:use }, { allow: { upgrade: websocket, paths: [/bytes/**] }, scope: bytes:use }]`,
  elevations: `
seven: { adds: [seven:use], for: 10m, limits: { uses: 7 } }
once: { adds: [once:use], for: 10m, limits: { uses: 1 } }
twice: { adds: [once:use], for: 10m, limits: { uses: 2 } }
minute: { adds: [minute:use], for: 10m, limits: { perMinute: 5 } }
sum: { adds: [sum:use], for: 10m, limits: { sum: { field: /amount, max: "1.00" } } }
pay: { adds: [pay:use], for: 10m, limits: { uses: 50, sum: { field: /amount, max: "1000.00" } } }
bytes: { adds: [bytes:use], for: 10m, limits: { bytes: ${BYTES} } }
cramped: { adds: [bytes:use], for: 10m, limits: { bytes: 40 } }`,
  ...more,
})

const reasonOf = ({ status, json }: Answer): unknown => (status === 200 ? 200 : json['reason'])
const counts = (outcomes: readonly unknown[]): Record<string, number> => Object.fromEntries([...new Set(outcomes.map(String))].toSorted().map(each => [each, outcomes.filter(other => String(other) === each).length]))
const auth = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` })

async function elevationOf(gate: TestGateway, token: string, id: string): Promise<Elevation> {
  const { key } = await gate.session(token)
  const found = [...gate.parts.mirror.all()].find(({ record }) => record.key === key)?.record.elevations.find(elevation => elevation.id === id)
  if (found === undefined) throw new Error('no such elevation')
  return found
}

const counterOf = async (gate: TestGateway, token: string, id: string, what: string): Promise<string> => `${(await elevationOf(gate, token, id)).budget?.counter ?? 'none'}/${what}`

/** Polled: given back behind the answer. */
async function taken(gate: TestGateway, counter: string, wanted: number): Promise<void> {
  await expect.poll(() => gate.parts.store.taken(counter), { interval: 10, timeout: 5_000 }).toBe(wanted)
}

let server: RedisServer
let upstream: TapUpstream
let pair: GatewayPair
let a: TestGateway
let b: TestGateway
beforeAll(async () => {
  ;[server, upstream] = await Promise.all([RedisServer.start(), TapUpstream.start()])
  pair = await TestGateway.pair(server, planOf(upstream.origin))
  ;({ a, b } = pair)
})
afterAll(async () => {
  await pair.stop()
  await Promise.all([upstream.close(), server.dispose()])
})

let turn = 0

describe('uses', () => {
  test('[LIM1] thirty requests at once at both gateways for seven uses: exactly seven reach the upstream, and everybody is told that nothing is left', async () => {
    const token = await a.token({ sub: 'seven' })
    const id = await a.elevate(token, 'seven')
    await b.session(token)
    const before = a.upstream.requests.length
    const methods = ['GET', 'OPTIONS', 'POST', 'HEAD']
    const outcomes = await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? a : b).ask(methods[i % 4] ?? 'GET', `/seven/${i}`, auth(token)).then(answer => answer.status)))
    expect(counts(outcomes)).toEqual({ 200: 7, 403: 23 })
    expect(a.upstream.requests.length - before).toBe(7)
    for (const gate of [a, b]) await expect.poll(async () => (await elevationOf(gate, token, id)).spent, { timeout: 5_000 }).toBe(true)
    expect(reasonOf(await b.ask('GET', '/seven/late', auth(token)))).toBe('limit_reached')
    await taken(a, await counterOf(a, token, id, 'uses'), 7)
  })

  test('[LIM1] a single use is gone with the request that had it: it is told as spent before anybody asks again, and what it carries goes on', async () => {
    const token = await a.token({ sub: 'once' })
    const id = await a.elevate(token, 'once')
    const answer = a.ask('GET', '/once/held', auth(token))
    a.upstream.plays.set('/once/held', '/gate/held')
    await a.upstream.request('/once/held')
    await expect.poll(async () => (await elevationOf(b, token, id)).spent, { timeout: 5_000 }).toBe(true)
    expect(reasonOf(await b.ask('GET', '/once/second', auth(token)))).toBe('limit_reached')
    a.upstream.release('held')
    expect((await answer).status).toBe(200)
  })

  test('[LIM1] what was dispatched is used, whatever the upstream makes of it', async () => {
    const token = await a.token({ sub: 'broken' })
    const id = await a.elevate(token, 'once')
    a.upstream.plays.set('/once/broken', '/reset/1000')
    const client = await RawClient.connect(a.target)
    client.push(request('GET', '/once/broken', auth(token)))
    await a.upstream.request('/once/broken')
    await client.ended
    await taken(a, await counterOf(a, token, id, 'uses'), 1)
    expect(reasonOf(await b.ask('GET', '/once/again', auth(token)))).toBe('limit_reached')
  })

  /** One more step behind the others, run once for each request of this path. */
  function meanwhile(gate: TestGateway, path: string, happens: () => Promise<unknown>): void {
    const steps = gate.parts.steps as GatherStep[] // the list is made once and given to whoever asks
    const mine = ({ inquiry, done }: Gathering): boolean => inquiry.evaluation.resource.path === path && !done.has('test')
    steps.push({ name: 'test', failure: 'internal_error', needed: mine, run: () => happens().then(() => null), undo: () => undefined })
  }

  test('[LIM1, ENF2] what was taken for a request that is refused at its last look is given back: the next one has it, and only that', async () => {
    const token = await a.token({ sub: 'given-back' })
    const id = await a.elevate(token, 'once')
    const { id: session } = await a.session(token)
    meanwhile(a, '/once/first', async () => {
      expect(await a.parts.store.taken(await counterOf(a, token, id, 'uses'))).toBe(1)
      expect((await a.admin('POST', `/v1/sessions/${session}/freeze`)).status).toBe(200)
    })
    expect(reasonOf(await a.ask('GET', '/once/first', auth(token)))).toBe('frozen')
    expect((await a.admin('POST', `/v1/sessions/${session}/resume`, { reason: 'test' })).status).toBe(200)
    await taken(a, await counterOf(a, token, id, 'uses'), 0)
    expect(reasonOf(await b.ask('GET', '/once/second', auth(token)))).toBe(200)
    expect(reasonOf(await a.ask('GET', '/once/third', auth(token)))).toBe('limit_reached')
    expect(a.upstream.requests.filter(({ path }) => path.startsWith('/once/') && /first|second|third/.test(path)).map(({ path }) => path)).toEqual(['/once/second'])
  })

  test('[LIM1] a request that has the last use and waits for something else is let, though everybody knows by then that nothing is left', async () => {
    const token = await a.token({ sub: 'patient' })
    const id = await a.elevate(token, 'twice')
    meanwhile(a, '/once/patient', async () => {
      expect(reasonOf(await b.ask('GET', '/once/quick', auth(token)))).toBe(200)
      await expect.poll(async () => (await elevationOf(a, token, id)).spent, { timeout: 5_000 }).toBe(true)
    })
    expect(reasonOf(await a.ask('GET', '/once/patient', auth(token)))).toBe(200)
    expect(reasonOf(await a.ask('GET', '/once/none', auth(token)))).toBe('limit_reached')
  })

  test('[LIM1] a request whose elevation ends while it waits goes over to another one of the same scope, which pays for it; the first one is paid back', async () => {
    const token = await a.token({ sub: 'two' })
    const first = await a.elevate(token, 'once', null, { for: '5m' })
    const second = await a.elevate(token, 'once')
    const counters = [await counterOf(a, token, first, 'uses'), await counterOf(a, token, second, 'uses')] as const
    const before = a.upstream.requests.length
    meanwhile(a, '/once/moving', () => a.admin('POST', `/v1/elevations/${first}/revoke`))
    expect(reasonOf(await a.ask('GET', '/once/moving', auth(token)))).toBe(200)
    await taken(a, counters[0], 0)
    await taken(a, counters[1], 1)
    expect(a.upstream.requests.length - before).toBe(1)
  })
})

test('[LIM1, LIM2] sixty payments at once at both gateways, of which thirty fit: thirty reach the upstream, and the rest of the sum is there to the cent', async () => {
  const token = await a.token({ sub: 'payer' })
  const id = await a.elevate(token, 'pay')
  await b.session(token)
  const pay = (gate: TestGateway, amount: string): Promise<unknown> => gate.ask('POST', '/pay/out', { ...auth(token), 'content-type': 'application/json' }, `{"amount":${amount}}`).then(reasonOf)
  const outcomes = await Promise.all(Array.from({ length: 60 }, (_, i) => pay(i % 2 === 0 ? a : b, i % 3 === 0 ? '"33.33"' : '33.33')))
  expect(counts(outcomes)).toEqual({ 200: 30, limit_reached: 30 })
  await taken(a, await counterOf(a, token, id, 'sum'), 99_990)
  await taken(a, await counterOf(a, token, id, 'uses'), 30)
  const rest: unknown[] = []
  for (const amount of ['0.11', '0.1', '0.01', '0.00', '-1', '0.001', '{}']) rest.push(await pay(rest.length % 2 === 0 ? a : b, amount))
  expect(rest).toEqual(['limit_reached', 200, 'limit_reached', 200, 'body_malformed', 'body_malformed', 'body_malformed'])
  expect(a.upstream.requests.filter(({ path }) => path === '/pay/out')).toHaveLength(32)
})

test('[LIM1, STO16] a server that comes back without the last uses is told them before it gives any: seven stay seven', async () => {
  const forgetful = await RedisServer.start()
  const two = await TestGateway.pair(forgetful, planOf(upstream.origin, { store: 'lease: 1s, hold: { requests: 8s, streams: 30s }' }))
  const token = await two.a.token({ sub: 'lost' })
  const id = await two.a.elevate(token, 'seven')
  await two.b.session(token)
  const ask = (i: number): Promise<unknown> => (i % 2 === 0 ? two.a : two.b).ask('GET', `/seven/lost-${i}`, auth(token)).then(reasonOf)
  await forgetful.command('SAVE')
  for (let i = 0; i < 3; i++) expect(await ask(i)).toBe(200)
  await forgetful.kill()
  await forgetful.restart()
  expect(counts(await Promise.all(Array.from({ length: 20 }, (_, i) => ask(100 + i))))).toEqual({ 200: 4, limit_reached: 16 })
  expect(two.a.upstream.requests.filter(({ path }) => path.startsWith('/seven/lost-'))).toHaveLength(7)
  await taken(two.a, await counterOf(two.a, token, id, 'uses'), 7)
  await two.stop()
  await forgetful.dispose()
})

describe('bytes of bodies', () => {
  type Held = { readonly token: string; readonly id: string; readonly counter: string }
  async function elevated(profile = 'bytes'): Promise<Held> {
    const token = await a.token({ sub: `bytes-${++turn}` })
    const id = await a.elevate(token, profile)
    await b.session(token)
    return { token, id, counter: await counterOf(a, token, id, 'bytes') }
  }

  async function opened(gate: TestGateway, { token }: Held, method = 'GET', headers: Record<string, string> = {}): Promise<{ readonly client: RawClient; readonly tap: Tap }> {
    const client = await RawClient.connect(gate.target)
    const path = `/bytes/${++turn}`
    client.push(request(method, path, { ...auth(token), ...headers }))
    return { client, tap: await upstream.tap(path) }
  }

  test('[LIM1] a download of exactly as many comes whole; not a byte of another passes', async () => {
    const held = await elevated()
    const { client, tap } = await opened(a, held)
    tap.begin(BYTES)
    tap.send(BYTES)
    tap.answer.end()
    expect((await client.response()).body.length).toBe(BYTES)
    await taken(b, held.counter, BYTES)
    for (const gate of [a, b]) await expect.poll(async () => (await elevationOf(gate, held.token, held.id)).spent, { timeout: 5_000 }).toBe(true)
    expect(reasonOf(await b.ask('GET', '/bytes/more', auth(held.token)))).toBe('limit_reached')
  })

  test('[LIM1] a longer one is cut before it has had more, and the trail says why', async () => {
    const held = await elevated()
    const { client, tap } = await opened(a, held)
    tap.begin(null)
    tap.pump()
    expect((await client.head()).status).toBe(200)
    await client.ended
    await until(() => tap.abortedAt > 0, 'the upstream is aborted')
    expect(client.bodyBytes).toBeLessThanOrEqual(BYTES)
    expect(client.bodyBytes).toBeGreaterThan(BYTES - 128 * KIB)
    const cut = (await a.trail()).findLast(line => line['kind'] === 'exchange.cut' && line['grant'] === held.id)
    expect(cut).toMatchObject({ reason: 'limit_reached', because: 'limit' })
    expect(await a.parts.store.taken(held.counter)).toBeLessThanOrEqual(BYTES)
  })

  test('[LIM1] many at once on both gateways never have more together, and what none of them used is there for the next', async () => {
    const held = await elevated()
    const flights = await Promise.all(Array.from({ length: 8 }, (_, i) => opened(i % 2 === 0 ? a : b, held)))
    for (const { tap } of flights) {
      tap.begin(null)
      tap.pump()
    }
    await Promise.all(flights.map(({ client }) => client.head().then(() => client.ended)))
    const had = flights.reduce((sum, { client }) => sum + client.bodyBytes, 0)
    expect(had).toBeLessThanOrEqual(BYTES)
    expect(had).toBeGreaterThan(0)
    await expect.poll(() => a.parts.store.taken(held.counter), { timeout: 5_000 }).toBeLessThanOrEqual(BYTES)
  })

  test('[LIM1] both directions count together: what an upload used is missing in the download', async () => {
    const held = await elevated()
    const up = await opened(a, held, 'POST', { 'content-length': String(BYTES - PIECE) })
    for (let sent = 0; sent < BYTES - PIECE; sent += PIECE) up.client.push(patternAt(sent, PIECE))
    await until(() => up.tap.bodyEnded, 'the upload is there')
    up.tap.answer.writeHead(200, { 'content-length': 0 }).end()
    expect((await up.client.response('POST')).status).toBe(200)
    await taken(b, held.counter, BYTES - PIECE)
    const down = await opened(b, held)
    down.tap.begin(null)
    down.tap.pump()
    await down.client.head()
    await down.client.ended
    expect(down.client.bodyBytes).toBeLessThanOrEqual(PIECE)
  })

  test('[LIM1] an upload that is longer stops short of it', async () => {
    const held = await elevated()
    const { client, tap } = await opened(a, held, 'POST', { 'content-length': String(4 * BYTES) })
    for (let sent = 0; sent < 4 * BYTES; sent += PIECE) client.push(patternAt(sent, PIECE))
    await client.ended
    await until(() => tap.abortedAt > 0 || tap.answer.destroyed, 'the upstream is aborted')
    expect(tap.received).toBeLessThanOrEqual(BYTES)
    expect(tap.received).toBeGreaterThan(BYTES - 128 * KIB)
    expect(tap.wrongAt).toBeNull()
    expect(tap.bodyEnded).toBe(false)
  })

  test('[LIM1] streams of one HTTP/2 connection have no more together; the one that is cut leaves the connection to the others', async () => {
    const gate = await TestGateway.start(planOf(upstream.origin, { listener: 'protocols: [http1, http2]' }))
    const token = await gate.token({ sub: 'streams' })
    await gate.elevate(token, 'bytes')
    const session = await connectHttp2(gate)
    const streams = await Promise.all([1, 2, 3].map(async () => {
      const path = `/bytes/${++turn}`
      const caller = new CallerStream(session, 'GET', path, auth(token))
      const tap = await upstream.tap(path)
      tap.begin(null)
      tap.pump()
      return caller
    }))
    expect(await Promise.all(streams.map(caller => caller.over()))).not.toContain('whole')
    const had = streams.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(had).toBeLessThanOrEqual(BYTES)
    expect(had).toBeGreaterThan(0)
    expect(streams.map(({ wrongAt }) => wrongAt)).toEqual([null, null, null])
    expect(session.destroyed).toBe(false)
    session.destroy()
    await gate.stop()
  })

  test('[LIM1] events stop at the limit, each of them whole; what a short answer did not use is given back', async () => {
    const held = await elevated('cramped')
    const small = await opened(a, held)
    small.tap.begin(10)
    small.tap.send(10)
    small.tap.answer.end()
    expect((await small.client.response()).body.length).toBe(10)
    await taken(b, held.counter, 10)
    const { client, tap } = await opened(b, held)
    tap.beginEvents()
    await client.head()
    tap.emit('data: 01234\n\n') // 13 bytes; the third does not fit into the 30 that are left
    await until(() => client.bodyBytes === 13, 'the first event')
    tap.emit('data: 01234\n\n')
    await until(() => client.bodyBytes === 26, 'the second event')
    tap.emit('data: 01234\n\n')
    expect((await client.response()).body.length).toBe(26)
    await taken(a, held.counter, 36)
  })

  test('[LIM1] messages of a WebSocket count both ways; the one that does not fit ends it and is not seen', async () => {
    const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    const peers: WebSocket[] = []
    const seen: Buffer[] = []
    sockets.on('connection', socket => {
      peers.push(socket)
      socket.on('error', () => undefined).on('message', (data: RawData) => seen.push(data as Buffer)) // nodebuffer is the default
    })
    await once(sockets, 'listening')
    const address = sockets.address()
    const gate = await TestGateway.start(planOf(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`))
    const token = await gate.token({ sub: 'socket' })
    await gate.elevate(token, 'cramped')
    const caller = await upgrade(gate, '/bytes/socket', auth(token))
    if (!(caller instanceof WebSocketCaller)) throw new Error(`refused: ${String(caller.reason)}`)
    caller.send('0123456789') // 16 bytes as a frame
    await until(() => seen.length === 1, 'the first message')
    peers[0]?.send('0123456789abc') // 15
    await until(() => caller.messages.length === 1, 'its answer')
    peers[0]?.send('0123456789') // 12, and 9 are left
    expect(await caller.over()).toMatchObject({ code: 1008 })
    expect([seen.length, caller.messages.length]).toEqual([1, 1])
    await gate.stop()
    for (const client of sockets.clients) client.terminate()
    await new Promise(resolve => { sockets.close(resolve) })
  })
})

describe('on the embedded store', () => {
  test('[ADM8, LIM1] what was used of it is told when it ends: two of seven uses, and none of the time of another', async () => {
    const token = await gate.token({ sub: 'thrifty' })
    const [seven, bytes] = [await gate.elevate(token, 'seven'), await gate.elevate(token, 'bytes')]
    for (const i of [1, 2]) expect(reasonOf(await gate.ask('GET', `/seven/${i}`, auth(token)))).toBe(200)
    for (const id of [seven, bytes]) expect((await gate.admin('POST', `/v1/elevations/${id}/revoke`, { reason: 'test' })).status).toBe(200)
    await expect.poll(async () => (await gate.ops('/metrics')).text, { timeout: 5_000 }).toMatch(/narrowgate_elevation_used_ratio_sum\{profile="seven"\} 0\.2857/)
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_elevation_used_ratio_bucket\{le="0\.1",profile="bytes"\} 1/)
  })

  const clock = new SystemClock()
  const tap = new StoreTap()
  let ahead = 0
  let down = false
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start(planOf(upstream.origin, {
      clock: { now: () => instant(clock.now() + ahead), elapsed: () => clock.elapsed() + ahead },
      wrapStore: store => new Proxy(tap.wrap(store), {
        get: (target, name): unknown => {
          if (name === 'take' && down) return () => Promise.reject(new Error('the store is down'))
          const member: unknown = Reflect.get(target, name, target)
          return typeof member === 'function' ? member.bind(target) : member
        },
      }),
    }))
  })
  afterAll(() => gate.stop())

  test('[LIM1] so many in a minute of the clock; the next minute begins anew', async () => {
    const token = await gate.token({ sub: 'minute' })
    await gate.elevate(token, 'minute')
    ahead = 60_000 - ((clock.now() + ahead) % 60_000) // the first instant of a minute
    const ask = async (): Promise<Record<string, number>> => counts(await Promise.all(Array.from({ length: 9 }, (_, i) => gate.ask('GET', `/minute/${i}`, auth(token)).then(reasonOf))))
    expect(await ask()).toEqual({ 200: 5, limit_reached: 4 })
    expect(reasonOf(await gate.ask('GET', '/minute/more', auth(token)))).toBe('limit_reached')
    ahead += 60_000
    expect(await ask()).toEqual({ 200: 5, limit_reached: 4 })
    const { text } = await gate.ops('/metrics')
    expect(text).toMatch(/narrowgate_limit_reached_total\{limit="elevation_per_minute"\} 9/)
  })

  test('[LIM1] a store that does not count lets nothing of it through, and nothing is used', async () => {
    const token = await gate.token({ sub: 'down' })
    const id = await gate.elevate(token, 'once')
    down = true
    const refused = await gate.ask('GET', '/once/down', auth(token))
    down = false
    expect([refused.status, refused.json['reason']]).toEqual([503, 'store_failed'])
    await taken(gate, await counterOf(gate, token, id, 'uses'), 0)
    expect(reasonOf(await gate.ask('GET', '/once/up', auth(token)))).toBe(200)
    expect(gate.upstream.requests.map(({ path }) => path).filter(path => path.startsWith('/once/'))).toEqual(['/once/up'])
  })

  test('[LIM1, LIM2] where a sum is limited and the body was not read, nothing passes', async () => {
    const token = await gate.token({ sub: 'unread' })
    await gate.elevate(token, 'sum')
    const answer = await gate.ask('POST', '/sum/pay', { ...auth(token), 'content-type': 'application/json' }, '{"amount":"0.10"}')
    expect(reasonOf(answer)).toBe('limit_reached')
    expect(gate.upstream.requests.some(({ path }) => path === '/sum/pay')).toBe(false)
  })
})
