// The gate is certain where timers are only prompt: across a passed instant and a lapsed lease nothing is relayed in either direction, although
// both sockets hold data and the event loop stood still. Each once as it is and once with the timers taken away. SPEC: ENF2, ENF4, DEC8
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { Sweeper } from '../../src/enforcement/sweeper.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { Timekeeper } from '../../src/sessions/timekeeper.ts'
import { TestGateway } from '../support/gateway.ts'
import { exchangesOf, type Flight, KINDS, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

const BLOCKED = 2_000
const QUIET = 350
const HELD = 1_000

const clock = new SystemClock()
/** What the store says of its freshness, on the clock's `elapsed` scale. */
const lease = { until: Infinity }

/** The real store behind a port whose proof of freshness the test drives. */
const leased = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    if (name === 'confirmedUntil') return () => lease.until
    const member: unknown = Reflect.get(target, name, target)
    return typeof member === 'function' ? member.bind(target) : member
  },
})

let upstream: TapUpstream
let gate: TestGateway
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, { clock, wrapStore: leased, more: `store: { hold: { requests: 0s, streams: ${HELD}ms } }` }))
})
afterEach(() => {
  lease.until = Infinity
  vi.restoreAllMocks()
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** Nothing else of this process runs meanwhile: no timer, no socket. */
function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end) continue
}

const fly = async (place: 'base' | 'extra', token: string): Promise<readonly Flight[]> => {
  const flights: Flight[] = []
  for (const kind of KINDS) flights.push(await takeOff(gate, upstream, kind, place, token))
  return flights
}
const arrivals = (flights: readonly Flight[]): readonly number[] => flights.map(flight => flight.arrived())
const push = (flights: readonly Flight[]): void => { for (const flight of flights) flight.push() }
const whole = async (flights: readonly Flight[]): Promise<void> => {
  for (const flight of flights) {
    await until(() => flight.arrived() === flight.handed(), `what waited in a ${flight.kind}`)
    await flight.finish()
    flight.client.close()
  }
}

describe.each([['with timers', false], ['the gate alone', true]] as const)('%s', (_, alone) => {
  test('[ENF2][ENF4] the event loop stands still across the end of a time: what waits in the sockets is not relayed, that of others is', async () => {
    if (alone) {
      vi.spyOn(Timekeeper.prototype, 'watchAt').mockImplementation(() => undefined)
      vi.spyOn(Sweeper.prototype, 'sweep').mockImplementation(() => undefined)
    }
    const token = await gate.token()
    const others = await fly('base', await gate.token())
    await gate.elevate(token, 'short')
    const flights = await fly('extra', token)
    const over = exchangesOf(gate, (await gate.session(token)).id)[0]?.until ?? 0
    const marks = arrivals(flights)
    expect(Date.now()).toBeLessThan(over)
    push([...flights, ...others])
    block(BLOCKED)
    expect(Date.now()).toBeGreaterThan(over)
    for (const flight of flights) await until(() => flight.tap.abortedAt > 0, `the end of a ${flight.kind}`)
    await whole(others)
    expect(arrivals(flights)).toEqual(marks)
    for (const { client } of flights) client.close()
  })

  test('[ENF2][DEC8] the event loop stands still across the lease: nothing passes while it has lapsed, and every byte when it is back', async () => {
    if (alone) vi.spyOn(Sweeper.prototype, 'sweep').mockImplementation(() => undefined)
    const token = await gate.token()
    await gate.elevate(token, 'long')
    const flights = [...(await fly('base', token)), ...(await fly('extra', token))]
    const marks = arrivals(flights)
    lease.until = clock.elapsed() + BLOCKED / 2
    push(flights)
    block(BLOCKED)
    await pause(QUIET)
    const refused = await gate.ask('GET', '/new/base', { authorization: `Bearer ${token}` })
    expect([refused.status, refused.json['reason'], refused.headers['retry-after']]).toEqual([503, 'stale', '1'])
    expect(arrivals(flights)).toEqual(marks)
    expect(flights.map(({ tap }) => tap.abortedAt)).toEqual(flights.map(() => 0))
    vi.restoreAllMocks()
    lease.until = Infinity
    await whole(flights)
  })
})

test('[ENF2][DEC8] what the lease leaves paused beyond `hold.streams` is cut, not before and not later', async () => {
  const token = await gate.token()
  const flights = await fly('base', token)
  const [marks, octets] = [arrivals(flights), flights.map(({ client }) => client.mark())]
  const lapsedAt = performance.now()
  lease.until = clock.elapsed()
  push(flights)
  for (const flight of flights) {
    await until(() => flight.tap.abortedAt > 0, `the end of a ${flight.kind}`)
    expect(flight.tap.abortedAt - lapsedAt).toBeGreaterThanOrEqual(HELD)
    expect(flight.tap.abortedAt - lapsedAt).toBeLessThan(HELD + 2_000)
    if (flight.kind !== 'sse') expect(await flight.ended).toBe('reset')
  }
  lease.until = Infinity
  await pause(QUIET)
  expect(arrivals(flights)).toEqual(marks)
  expect(flights.flatMap(({ kind, client }, i) => (kind === 'sse' ? [] : [client.receivedSince(octets[i] ?? 0)]))).toEqual([0, 0, 0])
  const cut = (await gate.trail()).filter(line => line['kind'] === 'exchange.cut' && line['reason'] === 'stale')
  expect(cut).toHaveLength(KINDS.length)
  for (const { client } of flights) client.close()
})
