// A gateway that stood still: stopped, stalled, asleep with its machine, or under a clock that jumped. What was ended meanwhile does not pass when it
// goes on, although both sockets hold data; and one that is killed leaves nothing open behind it. SPEC: ENF2, ENF4, DEC8, STO5, STO15, STO16
import { afterEach, expect, type MockInstance, test, vi } from 'vitest'
import { Sweeper } from '../../src/enforcement/sweeper.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { storeAt, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ChildGateway } from './child-gateway.ts'
import { type Flight, KINDS, outcomeOf, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

const LEASE = 600
const MARGIN = 100
const ROOM = 2_000
const HOUR = 3_600_000
const QUIET = 300
/** The length of the elevation `short`. */
const SHORT = 1_000

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const end of ends.splice(0).toReversed()) await end()
})
const owned = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
  ends.push(() => end(part))
  return part
}

type Stage = { readonly upstream: TapUpstream; readonly gate: TestGateway; readonly plan: Parameters<typeof ChildGateway.start>[0] }
const onOwnStore = async (): Promise<string> => '{ hold: { requests: 300ms, streams: 30s } }'
let server: RedisServer
async function onRedis(): Promise<string> {
  server = owned(await RedisServer.start(), its => its.dispose())
  return storeAt(server, `lease: ${LEASE}ms, hold: { requests: 300ms, streams: 30s }`)
}

async function stage(store: () => Promise<string>): Promise<Stage> {
  const upstream = owned(await TapUpstream.start(), its => its.close())
  const plan = planFor(upstream, { store: await store() })
  return { upstream, plan, gate: owned(await TestGateway.start(plan), its => its.stop()) }
}
const childOf = async ({ plan, gate }: Stage): Promise<ChildGateway> => owned(await ChildGateway.start(plan, gate.issuer), its => its.dispose())

async function fly({ upstream }: Stage, through: TestGateway | ChildGateway, place: 'base' | 'extra', token: string): Promise<readonly Flight[]> {
  const flights: Flight[] = []
  for (const kind of KINDS) flights.push(await takeOff(through as TestGateway, upstream, kind, place, token)) // which is asked for its target alone
  return flights
}
const arrivals = (flights: readonly Flight[]): readonly number[] => flights.map(flight => flight.arrived())
/** It is in the sockets when this resolves, in the same turn: nothing has read it. */
async function push(flights: readonly Flight[]): Promise<void> {
  for (const flight of flights) flight.push()
  await new Promise<void>(resolve => process.nextTick(resolve)) // a response keeps what is written until then
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
  for (const { tap, kind } of flights) await until(() => tap.abortedAt > 0, `the end of a ${kind}`, 20_000)
  await pause(QUIET)
  expect(arrivals(flights)).toEqual(marks)
  for (const { client } of flights) client.close()
}

/** The child's word on a request; its sockets are not the stage's. */
async function outcomeAt(child: ChildGateway, { upstream }: Stage, path: string, token: string): Promise<unknown> {
  const { status, body } = await requestOnce(child.target, request('GET', path, { authorization: `Bearer ${token}` }))
  expect(upstream.taps.has(path)).toBe(false)
  return status === 200 ? status : (JSON.parse(body.toString()) as { readonly reason: string }).reason // a problem has one
}

async function elevateAt(child: ChildGateway, token: string, profile: string): Promise<void> {
  const { status, body } = await requestOnce(child.target, request('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify({ profile })))
  expect(status, body.toString()).toBe(201)
}

/** Nothing but the gate keeps anything back: the sweep, which a timer calls before any socket is read, is taken away. */
const theGateAlone = (): MockInstance => vi.spyOn(Sweeper.prototype, 'sweep').mockImplementation(() => undefined)

test('[STORE-34, ENF2, STO15] an event loop that stands still while another gateway acknowledges an end: nothing of that session passes when it goes on, everything of the others does', async () => {
  const all = await stage(onRedis)
  const { gate, upstream } = all
  const child = await childOf(all)
  const [kept, doomed] = [await gate.token(), await gate.token()]
  const [others, flights] = [await fly(all, gate, 'base', kept), await fly(all, gate, 'base', doomed)]
  const { id } = await gate.session(doomed)
  const marks = arrivals(flights)
  const sweep = theGateAlone()
  await push([...others, ...flights])
  const since = performance.now()
  const said = child.verb('terminate', id, '--reason', 'test', '-o', 'json') // nothing of this process runs meanwhile
  expect(performance.now() - since).toBeGreaterThan(LEASE * 0.7) // the lease counts from a sign of life before
  expect([said.exit, JSON.parse(said.out)], said.err).toEqual([0, expect.objectContaining({ enforced: true })])
  await pause(QUIET)
  expect(arrivals(flights)).toEqual(marks)
  sweep.mockRestore()
  await runOn(others)
  await isCut(flights, marks)
  expect([await outcomeOf(gate, upstream, '/after-stall/base', doomed), await outcomeAt(child, all, '/after-stall-there/base', doomed)]).toEqual(['credential_revoked', 'credential_revoked'])
})

test('[STORE-34, STO16, STO15] a gateway that is stopped and goes on: an end meanwhile waits for no more than its lease, and it lets nothing of that session through', async () => {
  const all = await stage(onRedis)
  const { gate } = all
  const child = await childOf(all)
  const [kept, doomed] = [await gate.token(), await gate.token()]
  const [others, flights] = [await fly(all, child, 'base', kept), await fly(all, child, 'base', doomed)]
  const { id } = await gate.session(doomed)
  const marks = arrivals(flights)
  child.stand()
  const since = performance.now()
  const { status, json } = await gate.admin('POST', `/v1/sessions/${id}/terminate`)
  expect([status, json['enforced'], json['gateways']]).toEqual([200, true, { total: 2, acknowledged: 1, expired: 1 }])
  expect(performance.now() - since).toBeLessThan(LEASE + MARGIN + ROOM)
  await push([...others, ...flights])
  await pause(QUIET)
  child.goOn()
  await runOn(others)
  await isCut(flights, marks)
  expect(await outcomeAt(child, all, '/after-stop/base', doomed)).toBe('credential_revoked')
})

test.each([['its own store', onOwnStore], ['a shared one', onRedis]] as const)('[STORE-34, ENF4] a gateway with %s that is stopped across the end of a time lets nothing through behind it', async (_, store) => {
  const all = await stage(store)
  const child = await childOf(all)
  const [token, other] = [await all.gate.token(), await all.gate.token()]
  const others = await fly(all, child, 'base', other)
  await elevateAt(child, token, 'short')
  const endsAt = performance.now() + SHORT
  const flights = await fly(all, child, 'extra', token)
  const marks = arrivals(flights)
  child.stand()
  expect(performance.now()).toBeLessThan(endsAt)
  await push([...others, ...flights])
  await pause(endsAt - performance.now() + QUIET)
  child.goOn()
  await runOn(others)
  await isCut(flights, marks)
})

/** Time of this machine by which its monotonic clock stands back, as one that slept. */
function slept(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end) continue
  const monotonic = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => monotonic() - ms)
}

test('[STORE-34, STO15] a machine that slept for longer than the lease: the wall clock tells, nothing passes before the store was heard, and streams run on', async () => {
  const all = await stage(onRedis)
  const { gate } = all
  const { store, clock } = gate.parts
  const flights = await fly(all, gate, 'base', await gate.token())
  const marks = arrivals(flights)
  const sweep = theGateAlone()
  server.pause()
  await push(flights)
  slept(3 * LEASE)
  expect(store.confirmedUntil()).toBeLessThan(clock.elapsed())
  await pause(QUIET)
  expect(arrivals(flights)).toEqual(marks)
  sweep.mockRestore()
  server.resume()
  await runOn(flights)
})

test.each([['its own store', onOwnStore], ['a shared one', onRedis]] as const)('[STORE-34, STO5, ENF4] the wall clock jumps back under a gateway with %s: times end when they are due, and nothing lapses', async (_, store) => {
  const all = await stage(store)
  const { gate, upstream } = all
  const [token, other] = [await gate.token(), await gate.token()]
  const others = await fly(all, gate, 'base', other)
  await gate.elevate(token, 'short')
  const endsAt = performance.now() + SHORT
  const flights = await fly(all, gate, 'extra', token)
  const wall = Date.now.bind(Date)
  const [clock, at] = [gate.parts.clock, gate.parts.clock.now()]
  vi.spyOn(Date, 'now').mockImplementation(() => wall() - HOUR)
  expect(clock.now()).toBeGreaterThanOrEqual(at)
  for (const flight of others) await flight.move()
  for (const { tap, kind } of flights) {
    await until(() => tap.abortedAt > 0, `the end of a ${kind}`)
    expect(tap.abortedAt - endsAt).toBeLessThan(ROOM)
  }
  expect(gate.parts.store.confirmedUntil()).toBeGreaterThan(clock.elapsed())
  expect(await outcomeOf(gate, upstream, `/after-jump-${_.length}/extra`, token)).toBe('elevation_required')
  await runOn(others)
})

test('[FAIL-008, STO16, ENF7] a gateway is killed while it holds streams: they end, its caller\'s session is ended on the other one, and coming back is refused there with nothing left of its elevation', async () => {
  const all = await stage(onRedis)
  const { gate, upstream } = all
  const child = await childOf(all)
  const token = await gate.token()
  await elevateAt(child, token, 'long')
  const flights = await fly(all, child, 'extra', token)
  const { id } = await gate.session(token)
  await child.kill()
  for (const { tap, client } of flights) {
    await until(() => tap.abortedAt > 0, 'the end of what it held')
    await client.ended
    client.close()
  }
  const { status, json } = await gate.admin('POST', `/v1/sessions/${id}/terminate`)
  expect([status, json['enforced']]).toEqual([200, true])
  const client = await RawClient.connect(gate.target)
  await client.send(request('GET', '/back/extra', { authorization: `Bearer ${token}` }))
  expect([(await client.response()).status, upstream.taps.has('/back/extra')]).toEqual([401, false])
  client.close()
  const { json: listed } = await gate.admin('GET', '/v1/elevations')
  expect(listed['elevations']).toEqual([])
  const told = async (): Promise<readonly unknown[]> => (await gate.trail()).flatMap(({ kind, fact }) => (kind === 'fact' ? [(fact as { readonly what: string }).what] : [])) // a fact line has one
  await vi.waitFor(async () => expect(await told()).toContain('session.revoked'), { timeout: 10_000, interval: 100 })
})
test('[STO5, STO15] the wall is set an hour ahead under a gateway on a shared store: streams pause until the store was heard, and run on', async () => {
  const all = await stage(onRedis)
  const { gate } = all
  const flights = await fly(all, gate, 'base', await gate.token())
  const [wall, at] = [Date.now.bind(Date), gate.parts.clock.now()]
  vi.spyOn(Date, 'now').mockImplementation(() => wall() + HOUR)
  void push(flights)
  await runOn(flights)
  expect(gate.parts.clock.now() - at).toBeLessThan(HOUR / 2)
})
