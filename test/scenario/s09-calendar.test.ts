// S9 by the calendar, with the example as it stands, on clocks that show the night of 2026-11-21 in Berlin and the two nights on which its clocks change. 40 calls are in
// flight when the window closes. Each story is played once; the clauses are asserted on what was seen of it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { until } from '../wire/support.ts'
import { timesIn } from './brokers.ts'
import { bearer, factsIn, type Headers, type Line, outcome, raise } from './stage.ts'

const OPENS = '2026-11-21T01:00:00Z' // 02:00 in Berlin
const CLOSES = '2026-11-21T01:30:00Z'
const NEXT = '2026-11-22T01:00:00.000Z'
const HOST = { host: 'payments.internal' }
const PAY = '/payments'
const BATCH = '/payments/batches'
const IN_FLIGHT = 40
/** As the rule has it: so long may finish what is whole. */
const FINISH = 10_000
const BOUND = 1_000
const CLOCKS = 5
const DAYS = 86_400

const payment = JSON.stringify({ to: 'DE75512108001245126199', amount: '200.00', currency: 'EUR' })
const head = (method: string, path: string, headers: Headers, length = payment.length): string => request(method, path, { ...headers, 'content-type': 'application/json', 'content-length': String(length) })

const nights: Night[] = []

/** A gateway on which it is night. */
class Night {
  readonly gate: TestGateway
  readonly clock: ShiftedClock

  private constructor(gate: TestGateway, clock: ShiftedClock) {
    this.gate = gate
    this.clock = clock
  }

  static async at(at: number): Promise<Night> {
    const clock = new ShiftedClock(new Date(at).toISOString())
    const night = new Night(await raise('s09.yaml', { clock }), clock)
    nights.push(night)
    return night
  }

  /** A session of its own, by a token of now. */
  async partner(sid: string, lifetime = 3_600): Promise<Headers> {
    const token = await this.gate.issuer.sign({ sub: 'acme-pay', org: 'acme', sid, jti: crypto.randomUUID(), act: { sub: 'scheduler', act: { sub: 'olga' } } }, { now: this.clock.now(), lifetime })
    return bearer(token, HOST)
  }

  async pays(headers: Headers): Promise<string> {
    return outcome(await this.gate.ask('POST', PAY, { ...headers, 'content-type': 'application/json' }, payment))
  }

  /** `active`, or when it will start. */
  async asks(headers: Headers): Promise<string> {
    const { status, json } = await this.gate.ask('POST', '/.narrowgate/elevations', { ...headers, 'content-type': 'application/json' }, '{"profile":"pay"}')
    if (status !== 201) throw new Error(`not given: ${status} ${JSON.stringify(json)}`)
    return typeof json['startsAt'] === 'string' ? json['startsAt'] : String(json['state'])
  }

  /** `performance.now()` at that time; whatever comes between the two readings makes it earlier. */
  instantOf(at: number): number { return Math.max(...Array.from({ length: 5 }, () => performance.now() + at - this.clock.now())) }

  moveTo(at: number): void { this.clock.moveTo(new Date(at).toISOString()) }

  async reached(at: number): Promise<void> {
    await until(() => this.clock.now() >= at, `it to be ${new Date(at).toISOString()}`)
  }
}

/** A caller that asks just before an instant: what it is told then, before and behind it. */
async function across(night: Night, at: number, sid: string): Promise<readonly [asked: string, before: string, behind: string]> {
  night.moveTo(at - 1_500)
  const headers = await night.partner(sid)
  const [asked, before] = [await night.asks(headers), await night.pays(headers)]
  await night.reached(at + 20)
  const starts = asked === new Date(at).toISOString()
  const deadline = performance.now() + BOUND
  let behind = await night.pays(headers)
  while (starts && behind !== '200' && performance.now() < deadline) behind = await night.pays(headers) // its start is written meanwhile
  return [asked, before, behind]
}

const seen = {
  flights: [] as string[], laggard: '', laggardAfter: 0, coming: [] as string[], dispatched: 0, batch: { cutAfter: 0, late: 0 }, begun: [] as string[], fresh: [] as string[], opened: [] as readonly string[],
  evening: [] as string[], nextNight: [] as string[], autumn: [] as (readonly string[])[], spring: [] as (readonly string[])[], session: '',
}
let lines: readonly Line[] = []

const statusOf = async (client: RawClient): Promise<string> => {
  const { status, body } = await client.response()
  return outcome({ status, json: body.at(0) === 0x7b ? (JSON.parse(body.toString()) as Line) : {} })
}

/** 39 that the upstream answers soon behind the end, one that it never answers, five whose bodies are still coming, and a batch that tells how far it is. */
async function withCallsInFlight(night: Night): Promise<void> {
  const { gate, gate: { upstream } } = night
  const end = Date.parse(CLOSES)
  upstream.plays.set(PAY, '/gate/bank').set(BATCH, '/sse/batch').set('/rates', '/ok')
  night.moveTo(end - 4_000)
  const headers = await night.partner('night', 2 * DAYS)
  seen.session = String((await gate.ask('GET', '/.narrowgate/session', headers)).json['id'])
  await night.asks(headers)
  const arrived = (): number => upstream.requests.filter(({ path }) => path === PAY).length
  const begin = async (part: string): Promise<RawClient> => {
    const client = await RawClient.connect(gate.target)
    await client.send(part)
    return client
  }
  const flights = await Promise.all(Array.from({ length: IN_FLIGHT - 1 }, () => begin(`${head('POST', PAY, headers)}${payment}`)))
  await until(() => arrived() === IN_FLIGHT - 1, '39 to be in flight')
  upstream.plays.set(PAY, '/never')
  const laggard = await begin(`${head('POST', PAY, headers)}${payment}`)
  await until(() => arrived() === IN_FLIGHT, '40 to be in flight')
  const batch = await begin(`${head('POST', BATCH, headers)}${payment}`)
  const coming = await Promise.all(Array.from({ length: 5 }, () => begin(`${head('POST', PAY, headers)}${payment.slice(0, 40)}`)))
  const kept = await begin(request('GET', '/rates', headers))
  await kept.response()
  const pace = setInterval(() => upstream.feed('batch').emit(`at ${performance.now()} .`), 5)
  const closesAt = night.instantOf(end)
  expect(night.clock.now()).toBeLessThan(end) // all of it was begun in time
  await batch.response().catch(() => null) // by a reset, or at an event's end
  seen.batch = { cutAfter: performance.now() - closesAt, late: Math.max(...timesIn(batch.bytes().toString('latin1'))) - closesAt }
  clearInterval(pace)
  await night.reached(end)
  for (const client of coming) await client.send(payment.slice(40))
  seen.coming = await Promise.all(coming.map(statusOf))
  await kept.send(`${head('POST', PAY, headers)}${payment}`)
  seen.begun = [await statusOf(kept), await night.pays(headers), await night.pays(await night.partner('fresh'))]
  const fresh = await night.partner('fresh-asks')
  seen.fresh = [await night.asks(fresh), await night.pays(fresh)]
  upstream.release('bank')
  seen.flights = await Promise.all(flights.map(statusOf))
  await until(() => laggard.bytes().length > 0, 'the last of them to be told', FINISH + 2 * BOUND)
  seen.laggardAfter = performance.now() - closesAt
  seen.laggard = await statusOf(laggard)
  seen.dispatched = arrived()
  for (const client of [...flights, ...coming, laggard, batch, kept]) client.close()
  upstream.plays.set(PAY, '/ok')
  lines = await gate.trail()
}

/** Across the opening; then 23:00 on the next evening, and the next night: with last night's token, and with new ones. */
async function opensAndLater(night: Night): Promise<void> {
  seen.opened = await across(night, Date.parse(OPENS), 'opens')
  const [{ gate }, end] = [night, Date.parse(CLOSES)]
  night.moveTo(end - 60_000)
  const [hour, long] = [await night.partner('last-night'), await night.partner('last-night-long', 2 * DAYS)]
  for (const headers of [hour, long]) seen.evening.push(await night.asks(headers), await night.pays(headers))
  night.moveTo(Date.parse('2026-11-21T22:00:00Z'))
  const evening = await night.partner('evening')
  seen.evening.push(await night.pays(hour), await night.pays(long), await night.pays(evening), await night.asks(evening), await night.pays(evening))
  night.moveTo(Date.parse(NEXT) + 60_000)
  const before = gate.upstream.requests.length
  seen.nextNight.push(await night.pays(hour), await night.pays(long), String(gate.upstream.requests.length - before))
  const fresh = await night.partner('next-night')
  seen.nextNight.push(await night.pays(fresh), await night.asks(fresh), await night.pays(fresh))
}

/** The weekend on which 02:00 to 02:30 comes twice, and the one on which it does not come at all. */
const AUTUMN = ['2026-10-25T00:00:00Z', '2026-10-25T00:30:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:30:00Z', '2026-10-26T01:00:00Z']
const SPRING = ['2027-03-27T01:00:00Z', '2027-03-28T00:59:59Z', '2027-03-28T01:00:00Z', '2027-03-28T01:30:00Z', '2027-03-29T00:00:00Z', '2027-03-29T00:30:00Z']

/** Each on a clock of its own: nothing waits for a time that was jumped over. */
async function clocksChange(): Promise<void> {
  for (const [instants, told] of [[AUTUMN, seen.autumn], [SPRING, seen.spring]] as const) {
    for (const at of instants) told.push(await across(await Night.at(Date.parse(at) - 60_000), Date.parse(at), at))
  }
}

beforeAll(async () => {
  const [night, next] = await Promise.all([Night.at(Date.parse(CLOSES) - 60_000), Night.at(Date.parse(OPENS) - 60_000)])
  await Promise.all([withCallsInFlight(night), opensAndLater(next), clocksChange()])
}, 60_000)
afterAll(async () => { for (const { gate } of nights) await gate.stop() })

const SHUT = '403 window_closed'

const NEVER = [SHUT, SHUT]

test('[S9.a] from 02:00 to 02:30 in Berlin payments pass: what was asked before waits for it, and starts by itself', () => {
  expect(seen.opened).toEqual([new Date(OPENS).toISOString(), SHUT, '200'])
  expect(seen.evening.slice(0, 4)).toEqual(['active', '200', 'active', '200'])
})

test('[S9.d] 40 calls are in flight when it closes: those that are whole finish by their rule, for its ten seconds; a batch, whose rule says nothing, is cut; the log tells either', () => {
  expect(seen.flights).toEqual(Array.from({ length: IN_FLIGHT - 1 }, () => '200'))
  expect(seen.laggard).toBe(SHUT)
  expect([seen.laggardAfter >= FINISH - CLOCKS, seen.laggardAfter < FINISH + BOUND]).toEqual([true, true])
  expect(seen.batch.late).toBeLessThanOrEqual(CLOCKS)
  expect([seen.batch.cutAfter >= -CLOCKS, seen.batch.cutAfter < BOUND]).toEqual([true, true])
  const own = lines.filter(({ session }) => session === seen.session)
  const pathOf = (line: Line): unknown => own.find(({ kind, exchange }) => kind === 'exchange.opened' && exchange === line['exchange'])?.['path']
  const told = (kind: string): readonly Line[] => own.filter(line => line['kind'] === kind)
  expect(told('exchange.finishing').map(line => [pathOf(line), line['reason']])).toEqual(Array.from({ length: IN_FLIGHT }, () => [PAY, 'window_closed']))
  expect(told('exchange.cut').map(line => [pathOf(line), line['reason']])).toEqual([[BATCH, 'window_closed'], [PAY, 'window_closed']])
  const ends = told('exchange.closed').filter(line => pathOf(line) === PAY).map(({ status, complete, reason }) => [status, complete, reason])
  expect(ends).toEqual([...Array.from({ length: IN_FLIGHT - 1 }, () => [200, true, null]), [null, false, 'window_closed']])
  expect(factsIn(lines, 'elevation.ended')).toMatchObject([{ reason: 'window_closed' }])
})

test('[S9.g] what is not dispatched at 02:30:00 is refused: bodies that are whole a moment later, a call on a connection that is open, and new ones', () => {
  expect(seen.coming).toEqual(Array.from({ length: 5 }, () => SHUT))
  expect(seen.begun).toEqual([SHUT, SHUT, '403 elevation_required'])
  expect(seen.dispatched).toBe(IN_FLIGHT)
})

test('[S9.j] until the next window everything is refused: who asks is told when that is', () => expect(seen.fresh).toEqual([NEXT, SHUT]))

test('[S9.e] at 23:00 on the next evening a call is refused, with a new token too, and what is asked then waits for the night', () => {
  expect(seen.evening.slice(4)).toEqual(['401 credential_expired', '401 max_reached', '403 elevation_required', NEXT, SHUT])
})

test('[S9.k] last night\'s token is refused in the next window: by its own time, or that of its session; a new one is given it anew', () => {
  expect(seen.nextNight).toEqual(['401 credential_expired', '401 max_reached', '0', '403 elevation_required', 'active', '200'])
})

test('[S9.f] where 02:00 comes twice it opens once, the first time; where it does not come it does not open; before and behind that it opens by the hour of that season', () => {
  const monday = '2026-10-26T01:00:00.000Z'
  expect(seen.autumn).toEqual([['2026-10-25T00:00:00.000Z', SHUT, '200'], ['active', '200', SHUT], [monday, ...NEVER], [monday, ...NEVER], [monday, SHUT, '200']])
  const summer = '2027-03-29T00:00:00.000Z'
  expect(seen.spring).toEqual([['2027-03-27T01:00:00.000Z', SHUT, '200'], [summer, ...NEVER], [summer, ...NEVER], [summer, ...NEVER], [summer, SHUT, '200'], ['active', '200', SHUT]])
})
