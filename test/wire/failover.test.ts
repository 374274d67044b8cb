// What callers meet while the store is gone, deaf or replaced: nothing passes on knowledge nobody confirms, streams pause and run on at the very byte,
// and what was ended meanwhile stays ended on every gateway. RULES 26; figures are printed. SPEC: DEC8, ENF9, STO15-STO17, STO19
import { afterEach, expect, test } from 'vitest'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { RedisSentinels } from '../support/redis-sentinel.ts'
import { RedisServer } from '../support/redis-server.ts'
import type { Commit, SessionStore } from '../../src/sessions/store.ts'
import { type Flight, KINDS, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

const LEASE = 600
const MARGIN = 100
/** For a busy machine, where a bound is no promise. */
const ROOM = 2_000
const QUIET = 300
const PATIENCE = 500
const DURABLE = { config: ['appendonly yes', 'appendfsync always'] } as const

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  slow = 0
  for (const end of ends.splice(0).toReversed()) await end()
})
const owned = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
  ends.push(() => end(part))
  return part
}

type Stage = { readonly server: RedisServer; readonly proxy: ByteProxy; readonly upstream: TapUpstream; readonly pair: GatewayPair }

/** How long an end takes on its way to the store. */
let slow = 0
const slowly = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'commitRestrictive') return async (commit: Commit) => pause(slow).then(() => target.commitRestrictive(commit))
    return typeof member === 'function' ? member.bind(target) : member
  },
})

/** Two gateways; the second one reaches the store through the proxy. */
async function stage({ hold = `{ requests: ${PATIENCE}ms, streams: 30s }`, lease = LEASE } = {}): Promise<Stage> {
  const upstream = owned(await TapUpstream.start(), its => its.close())
  const server = owned(await RedisServer.start(DURABLE), its => its.dispose())
  const proxy = owned(await ByteProxy.start(server.port), its => its.close())
  const pair = owned(await TestGateway.pair(server, planFor(upstream, { wrapStore: slowly, store: `lease: ${lease}ms, hold: ${hold}` }), proxy), its => its.stop())
  return { server, proxy, upstream, pair }
}

const isLapsed = ({ parts: { store, clock } }: TestGateway): boolean => store.confirmedUntil() <= clock.elapsed()
const lapse = (...gates: readonly TestGateway[]): Promise<void> => until(() => gates.every(isLapsed), 'the end of every lease')
const arrivals = (flights: readonly Flight[]): readonly number[] => flights.map(flight => flight.arrived())
const push = (flights: readonly Flight[]): void => { for (const flight of flights) flight.push() }
const told = ({ status, json, headers }: Answer): unknown => [status, json['reason'], headers['retry-after']]
const STALE = [503, 'stale', '1']

async function fly({ upstream }: Stage, gates: readonly TestGateway[], token: string): Promise<readonly Flight[]> {
  const flights: Flight[] = []
  for (const gate of gates) for (const kind of KINDS) flights.push(await takeOff(gate, upstream, kind, 'base', token))
  return flights
}

/** What waited comes through, then the rest, to the byte. */
async function runOn(flights: readonly Flight[]): Promise<void> {
  for (const flight of flights) {
    await until(() => flight.arrived() === flight.handed(), `what waited in a ${flight.kind}`, 20_000)
    await flight.finish()
    flight.client.close()
  }
}

/** Ended, and nothing came through since. */
async function isCut(flights: readonly Flight[], marks: readonly number[]): Promise<void> {
  for (const { tap, kind, client } of flights) {
    await until(() => tap.abortedAt > 0, `the end of a ${kind}`, 20_000)
    client.close()
  }
  expect(arrivals(flights)).toEqual(marks)
}

let asked = 0
const newPath = (): string => `/n${++asked}/base`
const ask = (gate: TestGateway, token: string, path = newPath()): Promise<Answer> => gate.ask('GET', path, { authorization: `Bearer ${token}` })

async function isHeldThenStale({ upstream }: Stage, gate: TestGateway, token: string): Promise<void> {
  const path = newPath()
  const since = performance.now()
  expect(told(await ask(gate, token, path))).toEqual(STALE)
  expect(performance.now() - since).toBeGreaterThanOrEqual(PATIENCE - 5)
  expect(upstream.taps.has(path)).toBe(false)
}

async function isRevoked({ upstream, pair: { a, b } }: Stage, token: string): Promise<void> {
  for (const gate of [a, b]) {
    const path = newPath()
    expect([(await ask(gate, token, path)).json['reason'], upstream.taps.has(path)]).toEqual(['credential_revoked', false])
  }
}

test('[DEC8, ENF9, STO19] the store is gone for longer than the lease: nothing passes, streams pause and run on to the byte, and an end that was journaled meanwhile is in force on both gateways first', async () => {
  const lease = 1_500 // as long as a gateway that is back waits for one that is not
  const all = await stage({ lease })
  const { server, pair: { a, b } } = all
  const [kept, ended, stranger] = [await a.token(), await a.token(), await a.token()]
  const flights = await fly(all, [a, b], kept)
  const [here, there] = [await fly(all, [a], ended), await fly(all, [b], ended)]
  const { id } = await a.session(ended)
  await server.kill()
  await lapse(a, b)
  const marks = [flights, here, there].map(arrivals)
  push([...flights, ...here, ...there])
  await Promise.all([a, b].flatMap(gate => [isHeldThenStale(all, gate, kept), isHeldThenStale(all, gate, stranger)]))
  const calledAt = Date.now()
  const answer = await a.admin('POST', `/v1/sessions/${id}/terminate`)
  expect([answer.status, answer.json['enforced'], answer.json['durable'], answer.json['journaled']], answer.text).toEqual([202, false, false, true])
  const closedAt = Date.parse(String(answer.json['othersFailClosedAt']))
  expect(closedAt - calledAt).toBeGreaterThan(lease)
  expect(closedAt - Date.now()).toBeLessThanOrEqual(lease + MARGIN)
  await isCut(here, marks[1] ?? [])
  await pause(QUIET)
  expect([flights, here, there].map(arrivals)).toEqual(marks)
  slow = QUIET
  const backAt = performance.now()
  await server.restart()
  await runOn(flights)
  console.log(`a crashed store of two gateways: streams run on ${(performance.now() - backAt).toFixed(0)} ms after its restart was begun`)
  await isCut(there, marks[2] ?? [])
  await isRevoked(all, ended)
})

test('[DEC8, ENF6] a store that stays away: what is paused beyond `hold.streams` is cut on both gateways, not before', async () => {
  const held = 1_000
  const all = await stage({ hold: `{ requests: 0s, streams: ${held}ms }` })
  const { server, pair: { a, b } } = all
  const flights = await fly(all, [a, b], await a.token())
  await server.kill()
  await lapse(a, b)
  const [lapsedAt, marks] = [performance.now(), arrivals(flights)]
  push(flights)
  await isCut(flights, marks)
  for (const { tap } of flights) {
    expect(tap.abortedAt - lapsedAt).toBeGreaterThan(held - QUIET) // it may have been seen a look of the sweeper later
    expect(tap.abortedAt - lapsedAt).toBeLessThan(held + ROOM)
  }
})

test('[STORE-15, STO15, DEC8] a black hole longer than the lease: that gateway forwards nothing behind it, its streams pause and run on, the other one goes on', async () => {
  const all = await stage()
  const { proxy, upstream, pair: { a, b } } = all
  const token = await a.token()
  const [here, there] = [await fly(all, [a], token), await fly(all, [b], token)]
  const paths: string[] = []
  const pace = setInterval(() => {
    paths.push(newPath())
    ask(b, token, paths.at(-1)).catch(() => undefined)
    for (const path of paths) if (upstream.taps.get(path)?.answer.writableEnded === false) upstream.taps.get(path)?.answer.end('ok')
  }, 10)
  await until(() => paths.filter(path => upstream.taps.has(path)).length > 10, 'requests that pass')
  proxy.blackhole(true)
  const leaseEnd = b.parts.clock.elapsed() + LEASE
  await lapse(b)
  expect(b.parts.clock.elapsed()).toBeLessThanOrEqual(leaseEnd + ROOM)
  await pause(5) // what was dispatched before is there
  const [passed, mark] = [paths.filter(path => upstream.taps.has(path)).length, arrivals(there)]
  push([...here, ...there])
  await isHeldThenStale(all, b, token)
  await pause(QUIET)
  expect([arrivals(there), paths.filter(path => upstream.taps.has(path)).length]).toEqual([mark, passed])
  await until(() => here.every(flight => flight.arrived() === flight.handed()), 'what the other gateway lets through')
  clearInterval(pace)
  expect(a.parts.store.confirmedUntil()).toBeGreaterThan(a.parts.clock.elapsed())
  proxy.blackhole(false)
  await runOn([...here, ...there])
})

test('[STORE-16, STO16, ENF9] an end with a deaf gateway is acknowledged when that one\'s lease has run out, and it refuses from then on', async () => {
  const all = await stage()
  const { proxy, pair: { a, b } } = all
  const [kept, ended] = [await a.token(), await a.token()]
  const [others, doomed] = [await fly(all, [b], kept), await fly(all, [b], ended)]
  const { id } = await a.session(ended)
  proxy.blackhole(true)
  const since = performance.now()
  const { status, json } = await a.admin('POST', `/v1/sessions/${id}/terminate`)
  const took = performance.now() - since
  expect([status, json['enforced'], json['gateways'], json['exchangesUnknown']]).toEqual([200, true, { total: 2, acknowledged: 1, expired: 1 }, 1])
  expect(took).toBeLessThan(LEASE + MARGIN + ROOM)
  console.log(`an end with a deaf gateway: acknowledged after ${took.toFixed(0)} ms with a lease of ${LEASE} ms`)
  expect(isLapsed(b)).toBe(true)
  const marks = [arrivals(others), arrivals(doomed)]
  push([...others, ...doomed])
  await Promise.all([isHeldThenStale(all, b, ended), isHeldThenStale(all, b, kept)])
  expect([arrivals(others), arrivals(doomed)]).toEqual(marks)
  proxy.blackhole(false)
  await runOn(others)
  await isCut(doomed, marks[1] ?? [])
  await isRevoked(all, ended)
})

const STREAMS = 1_000
const SESSIONS = 20
const MASTER = 'mymaster'
const FENCED = ['min-replicas-to-write 1', 'min-replicas-max-lag 2', ...DURABLE.config]

/** Streams of events, half on each gateway. */
async function openStreams(gates: readonly TestGateway[], tokens: readonly string[]): Promise<readonly RawClient[]> {
  const clients: RawClient[] = []
  while (clients.length < STREAMS) {
    clients.push(...(await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const n = clients.length + i
      const client = await RawClient.connect((gates[n % gates.length] as TestGateway).target) // there is one
      await client.send(request('GET', '/sse/feed', { authorization: `Bearer ${tokens[n % tokens.length]}` }))
      expect((await client.head()).status).toBe(200)
      return client
    }))))
  }
  return clients
}

test('[STO17, STO16, DEC8, ADM19] sentinels replace a master under 1,000 open streams: every one of them runs on, to the byte, and the gateways stay ready', { timeout: 180_000 }, async () => {
  const upstream = owned(await RecordingUpstream.start(), its => its.close())
  const master = owned(await RedisServer.start({ config: FENCED }), its => its.dispose())
  for (let i = 0; i < 2; i++) owned(await RedisServer.start({ replicaOf: master, config: FENCED }), its => its.dispose())
  await master.waitForReplicas(2)
  const sentinels = owned(await RedisSentinels.start({ master, name: MASTER, downAfter: 1_000 }), its => its.dispose())
  const store = `{ redis: { mode: sentinel, master: ${MASTER}, nodes: [${sentinels.addresses.map(address => `"${address}"`).join(', ')}] } }`
  const routes = `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules: [{ allow: {}, scope: base:read }]`
  const a = owned(await TestGateway.start({ routes, store, upstream }), its => its.stop())
  const b = owned(await TestGateway.start({ routes, store, upstream, issuer: a.issuer }), its => its.stop())
  const clients = await openStreams([a, b], await Promise.all(Array.from({ length: SESSIONS }, (_, i) => a.token({ sub: `agent-${i}` }))))
  const sent: string[] = []
  const pace = setInterval(() => {
    sent.push(`event ${sent.length} of many`)
    upstream.feed('feed').emit(sent.at(-1) ?? '')
  }, 50)
  const readiness: Promise<Answer>[] = []
  const look = setInterval(() => readiness.push(a.ops('/readyz'), b.ops('/readyz')), 100)
  await Promise.all(clients.map(client => client.until(() => client.bodyBytes > 0)))
  const killedAt = performance.now()
  await master.kill()
  await lapse(a, b)
  const pausedAt = performance.now()
  await pause(20) // what was relayed before is there
  const marks = clients.map(client => client.mark())
  const back = Promise.all(clients.map(async (client, i) => {
    await client.until(() => client.receivedSince(marks[i] ?? 0) > 0, 60_000)
    return performance.now()
  }))
  await sentinels.failedOver(master)
  const replacedAt = performance.now()
  const backAt = await back
  const seconds = (at: number): string => ((at - killedAt) / 1000).toFixed(2)
  console.log(`a master replaced under ${clients.length} streams: paused after ${seconds(pausedAt)} s, another master after ${seconds(replacedAt)} s, first byte relayed again after ${seconds(Math.min(...backAt))} s, on every stream after ${seconds(Math.max(...backAt))} s`)
  clearInterval(pace)
  clearInterval(look)
  upstream.feed('feed').end()
  const bodies = await Promise.all(clients.map(async client => (await client.response()).body.toString()))
  expect(bodies.filter(body => !isGapless(body, sent))).toEqual([])
  expect((await Promise.all(readiness)).filter(({ status }) => status !== 200)).toEqual([])
  for (const client of clients) client.close()
})

/** From its first event on everything that was sent, each once; between two events a comment now and then. */
function isGapless(body: string, sent: readonly string[]): boolean {
  const first = Number(/^data: event (\d+) of many\n/.exec(body)?.[1] ?? sent.length)
  return first < sent.length && body.replaceAll(/^:\n\n/gm, '') === sent.slice(first).map(text => `data: ${text}\n\n`).join('')
}
