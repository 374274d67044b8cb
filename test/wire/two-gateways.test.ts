// A change through one gateway, seen through the other one by the same callers, over a real Redis: what stood on it is cut there before it is answered here,
// whatever happens to announcements, replies and timers on the way. Figures are printed. SPEC: ENF2-ENF9, STO6, STO14-STO16
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { Sweeper } from '../../src/enforcement/sweeper.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { Timekeeper } from '../../src/sessions/timekeeper.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { type Flight, KINDS, outcomeOf, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

const LEASE = 1_000
/** What is published: the lease and 100 ms. */
const BOUND = LEASE + 100
const QUIET = 100
/** The length of the elevation `short`. */
const SHORT = 1_000

/** How long reading a ticket takes. */
let slow = 0
const slowly = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'load') return async (ref: Parameters<SessionStore['load']>[0]) => (ref.kind === 'ticket' ? pause(slow).then(() => target.load(ref)) : target.load(ref))
    return typeof member === 'function' ? member.bind(target) : member
  },
})

let server: RedisServer
let proxy: ByteProxy
let upstream: TapUpstream
let pair: GatewayPair
let a: TestGateway
let b: TestGateway
beforeAll(async () => {
  ;[server, upstream] = await Promise.all([RedisServer.start(), TapUpstream.start()])
  proxy = await ByteProxy.start(server.port)
  pair = await TestGateway.pair(server, planFor(upstream, {
    wrapStore: slowly, store: `lease: ${LEASE}ms, hold: { requests: 5s, streams: 30s }`,
    elevations: `
short: { adds: [extra:use], for: 1s }
fix: { adds: [extra:use], for: 10m, purpose: [ticket], endWhen: [ticket.closed] }`,
    more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/extra"] }, scope: extra:use }`,
  }), proxy)
  ;({ a, b } = pair)
})
afterEach(() => {
  slow = 0
  proxy.dropMessages(null)
  vi.restoreAllMocks()
})
afterAll(async () => {
  await pair.stop()
  await Promise.all([proxy.close(), upstream.close(), server.dispose()])
})

let turn = 0
const outcome = (gate: TestGateway, place: 'base' | 'extra', token: string): Promise<unknown> => outcomeOf(gate, upstream, `/t${++turn}/${place}`, token)
const onBoth = async (place: 'base' | 'extra', token: string): Promise<readonly unknown[]> => [await outcome(a, place, token), await outcome(b, place, token)]
const terminate = (gate: TestGateway, id: string): Promise<Answer> => gate.admin('POST', `/v1/sessions/${id}/terminate`)
const arrivals = (flights: readonly Flight[]): readonly number[] => flights.map(flight => flight.arrived())
const push = (flights: readonly Flight[]): void => { for (const flight of flights) flight.push() }

async function fly(gate: TestGateway, place: 'base' | 'extra', token: string): Promise<readonly Flight[]> {
  const flights: Flight[] = []
  for (const kind of KINDS) flights.push(await takeOff(gate, upstream, kind, place, token))
  return flights
}

/** Ended in the protocol's own way or by a reset, the upstream aborted, nothing through since. @returns the latest abort */
async function isCut(flights: readonly Flight[], marks: readonly number[]): Promise<number> {
  for (const { tap, kind } of flights) await until(() => tap.abortedAt > 0, `the end of a ${kind}`)
  const through = await Promise.all(flights.map(async ({ client, kind, ended, arrived }) => {
    if (kind === 'sse') return (await client.response()).body.length // ended between two events, on a connection that stays
    expect(await ended, kind).toBe('reset')
    return arrived()
  }))
  expect(through).toEqual(marks)
  for (const { client } of flights) client.close()
  return Math.max(...flights.map(({ tap }) => tap.abortedAt))
}

const withTicket = (token: string, ticket: string) => ({ authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket })

test('[ELV6, STO6] what is given through one gateway carries on both when it is answered, also where its condition is still being read', async () => {
  const token = await a.token()
  await Promise.all([a.session(token), b.session(token)])
  slow = 200
  await a.elevate(token, 'fix', 'T-slow')
  for (const gate of [a, b]) {
    const path = `/t${++turn}/extra`
    const answer = gate.ask('GET', path, withTicket(token, 'T-slow'))
    void upstream.tap(path).then(({ answer: its }) => its.end('ok'), () => undefined)
    expect((await answer).status).toBe(200)
  }
})

test('[REV-003, ENF3, STO16] an approval that is taken back cuts what is open on both gateways, on connections that stay, and leaves the rest', async () => {
  const token = await a.token()
  const others = [...(await fly(a, 'base', token)), ...(await fly(b, 'base', token))]
  const kept = await Promise.all([a, b].map(gate => RawClient.connect(gate.target)))
  const elevation = await a.elevate(token, 'short', null, { for: '1s' })
  await a.admin('POST', `/v1/elevations/${elevation}/extend`, { for: '10m', reason: 'test' })
  const flights = [...(await fly(a, 'extra', token)), ...(await fly(b, 'extra', token))]
  const marks = arrivals(flights)
  expect((await b.admin('POST', `/v1/elevations/${elevation}/revoke`)).json).toMatchObject({ enforced: true, gateways: { total: 2, acknowledged: 2 }, exchanges: { cut: 8, continued: 8 }, exchangesUnknown: 0 })
  push(flights)
  await isCut(flights, marks)
  for (const client of kept) {
    await client.send(request('GET', `/t${++turn}/extra`, { authorization: `Bearer ${token}` }))
    expect((await client.response()).status).toBe(403)
    client.close()
  }
  for (const flight of others) await flight.finish().then(() => flight.client.close())
})

test('[REV-003, REV-013, CFG10] a policy file that takes a scope away is in force on a gateway when its reload answers, and its age is told', async () => {
  const token = await a.token()
  for (const gate of [a, b]) {
    const [text, flights] = [readFileSync(gate.configFile, 'utf8'), await fly(gate, 'base', token)]
    const marks = arrivals(flights)
    const loadedAt = async (): Promise<number> => Number(/^narrowgate_config_last_success_timestamp_seconds (\S+)$/m.exec((await gate.ops('/metrics')).text)?.[1])
    const before = await loadedAt()
    writeFileSync(gate.configFile, text.replace('[{ scopes: [base:use] }]', '[]'))
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
    push(flights)
    await isCut(flights, marks)
    expect([await outcome(gate, 'base', token), (await loadedAt()) > before]).toEqual(['elevation_required', true])
    writeFileSync(gate.configFile, text)
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
  }
})

test('[REV-013, ENF9, STO16] an end through one gateway reaches what is open on the other one inside the published bound, whoever measures', async () => {
  const took: number[] = []
  for (let i = 0; i < 20; i++) {
    const token = await a.token()
    const [from, to] = i % 2 === 0 ? [a, b] : [b, a]
    const { id } = await from.session(token)
    const flights = [await takeOff(to, upstream, 'sse', 'base', token), await takeOff(to, upstream, 'chunked download', 'base', token)]
    const [marks, calledAt] = [arrivals(flights), performance.now()]
    const { status, json } = await terminate(from, id)
    expect([status, json['enforced']]).toEqual([200, true])
    took.push((await isCut(flights, marks)) - calledAt)
  }
  const sorted = took.toSorted((x, y) => x - y)
  console.log(`an end through one gateway, cut on the other one: median ${sorted[10]?.toFixed(1)} ms, most ${sorted.at(-1)?.toFixed(1)} ms of ${took.length}`)
  expect(Math.max(...took)).toBeLessThan(BOUND)
})

test('[REV-016, ENF5, ENF10] a ticket that is closed through one gateway aborts the long transfers of the other one on both sides', async () => {
  const token = await a.token()
  await a.elevate(token, 'fix', 'T-long')
  const path = (): string => `/t${++turn}/extra`
  const [down, up] = [path(), path()]
  const [reader, writer] = await Promise.all([RawClient.connect(b.target), RawClient.connect(b.target)])
  await reader.send(request('GET', down, withTicket(token, 'T-long')))
  await writer.send(request('POST', up, { ...withTicket(token, 'T-long'), 'transfer-encoding': 'chunked' }))
  const piece = Buffer.alloc(64 * 1024, 'x')
  const pace = setInterval(() => writer.push(Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')])), 2)
  const [downTap, upTap] = [await upstream.tap(down), await upstream.tap(up)]
  downTap.begin(1024 ** 3)
  downTap.pump()
  await until(() => reader.received > 10 * 1024 ** 2 && upTap.received > 1024 ** 2, 'ten megabytes')
  expect((await a.admin('POST', '/v1/anchors/ticket/T-long', { state: 'ended' })).json).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
  const mark = reader.mark()
  const [readerEnd, writerEnd, response] = [await reader.ended, await writer.ended, await reader.response()]
  clearInterval(pace)
  await until(() => downTap.abortedAt > 0 && upTap.abortedAt > 0, 'both aborts')
  expect([readerEnd, writerEnd, response.complete, upTap.bodyEnded]).toEqual(['reset', 'reset', false, false])
  expect(reader.receivedSince(mark)).toBeLessThanOrEqual(256 * 1024)
})

test('[REV-021, STO14, STO15] announcements that are lost while their subscriber reconnects: the gap is closed by what is read again, and what is open is cut inside the bound', async () => {
  const kill = (): Promise<unknown> => server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  for (const lose of [kill, async () => proxy.dropMessages(() => true)]) {
    const token = await a.token()
    const { id } = await a.session(token)
    const flights = await fly(b, 'base', token)
    const [marks, calledAt] = [arrivals(flights), performance.now()]
    await lose()
    const { status, json } = await terminate(a, id)
    expect([status, json['enforced'], json['gateways']]).toEqual([200, true, { total: 2, acknowledged: 2, expired: 0 }])
    push(flights)
    expect((await isCut(flights, marks)) - calledAt).toBeLessThan(BOUND)
    proxy.dropMessages(null)
    expect(await onBoth('base', token)).toEqual(['credential_revoked', 'credential_revoked'])
  }
})

test('[REV-011, ENF4] a time that has passed is seen at each use on both gateways, with every timer and sweep taken away', async () => {
  vi.spyOn(Timekeeper.prototype, 'watchAt').mockImplementation(() => undefined)
  vi.spyOn(Sweeper.prototype, 'sweep').mockImplementation(() => undefined)
  const token = await a.token()
  await a.elevate(token, 'short')
  const endsAt = performance.now() + SHORT
  const flights = [...(await fly(a, 'extra', token)), ...(await fly(b, 'extra', token))]
  const marks = arrivals(flights)
  await pause(endsAt - performance.now() + QUIET)
  push(flights)
  expect(await onBoth('extra', token)).toEqual(['elevation_required', 'elevation_required'])
  await isCut(flights, marks)
})

/** Never a success without its effect. */
async function isHonest(answer: Answer, id: string, key: Parameters<typeof sessionRef>[0], token: string): Promise<void> {
  const { status, json } = answer
  expect([json['enforced'], json['durable']], answer.text).toEqual(status === 200 ? [true, true] : [false, false])
  if (status !== 200) return
  expect(await a.parts.store.load(sessionRef(key))).toMatchObject({ id, state: { is: 'revoked' } })
  expect(await onBoth('base', token)).toEqual(['credential_revoked', 'credential_revoked'])
}

const FAULTS: readonly { readonly what: string; readonly status: number; readonly make: () => Promise<unknown>; readonly mend: () => Promise<unknown> }[] = [
  { what: 'a reply that is lost behind the write', status: 200, make: async () => void proxy.killAfterRequest(frame => frame.includes('ng1_commit_restrictive')), mend: async () => undefined },
  { what: 'a server out of memory', status: 200, make: () => server.configSet('maxmemory', 1), mend: () => server.configSet('maxmemory', 0) },
  { what: 'a server that is a replica now', status: 202, make: () => server.command('REPLICAOF', '127.0.0.1', 1), mend: () => server.command('REPLICAOF', 'NO', 'ONE') },
]

test.each(FAULTS)('[REV-008, ENF9, STO19] $what: an end is answered as done only with its effect, else as what it is, and done when the store takes it', async ({ status, make, mend }) => {
  const token = await b.token()
  const { id, key } = await b.session(token)
  await a.session(token)
  await make()
  const answer = await terminate(b, id)
  expect(answer.status, answer.text).toBe(status)
  await isHonest(answer, id, key, token)
  await mend()
  await until(() => b.parts.ledger.owed === 0, 'the store to have everything', 20_000)
  await eventually('both to have it from the store', 10_000, async () => {
    const told = await onBoth('base', token)
    for (const each of told) expect(['revoked', 'credential_revoked']).toContain(each) // refused all the while, by what is in force here until then
    return told.every(each => each === 'credential_revoked') ? told : null
  })
  expect(await a.parts.store.load(sessionRef(key))).toMatchObject({ id, state: { is: 'revoked' } })
})
