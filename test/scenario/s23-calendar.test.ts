// S23 by the calendar, with the example as it stands, on a clock that shows the last minute of the contract: 2026-12-31T23:59 in Berlin. The story is played once; each
// clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { until } from '../wire/support.ts'
import { asBroker, opened, paced, raiseBrokered, timesIn } from './brokers.ts'
import { bearer, type Headers, type Line, OpenStream, outcome, tokenFor } from './stage.ts'

const END = '2026-12-31T22:59:00.000Z' // 23:59 in Berlin
const BOUND = 1_000
const CLOCKS = 5
const HOST = { host: 'cloud.internal' }
const READS = ['/subscriptions/S/resources', '/subscriptions', '/subscriptions/S/activity'] as const
const PERSON = { kind: 'person', subject: 'contractor', tenant: 'acme' }
const CONTRACT = { profile: 'contract', params: { subscription: 'S' } }

const clock = new ShiftedClock('2026-12-31T22:58:00Z')
let gate: TestGateway
let lines: readonly Line[] = []
const seen = { session: '', before: [] as readonly string[], late: 0, cutAfter: 0, beside: false, after: [] as readonly string[], again: [] as number[], empty: [] as readonly string[] }

const reads = async (headers: Headers, paths: readonly string[] = READS): Promise<readonly string[]> => {
  const told: string[] = []
  for (const path of paths) told.push(outcome(await gate.ask('GET', path, headers)))
  return told
}

beforeAll(async () => {
  gate = await raiseBrokered('s23.yaml', { clock })
  gate.upstream.plays.set('/subscriptions/S/activity', '/sse/own').set('/status/live', '/sse/beside')
  const beside = await OpenStream.open(gate, '/status/live', bearer(await tokenFor(gate.issuer, 'ulla', {}, clock.shift), HOST))
  clock.moveTo('2026-12-31T22:58:57Z')
  const { token, session } = await opened(gate, { subject: PERSON, profiles: [CONTRACT] })
  const headers = bearer(token, HOST)
  seen.session = session
  seen.before = await reads(headers, READS.slice(0, 2))
  const open = await OpenStream.open(gate, '/subscriptions/S/activity', headers)
  const stop = paced(gate, 'own', 'beside')
  const endsAt = Math.max(...Array.from({ length: 5 }, () => performance.now() + Date.parse(END) - clock.now())) // whatever comes between the two readings makes it earlier
  await open.cut().catch(() => null) // in an event, or between two
  const cutAt = performance.now()
  seen.cutAfter = cutAt - endsAt
  await until(() => timesIn(beside.text).some(time => time > cutAt + 50), 'what was written beside since')
  stop()
  seen.beside = true
  seen.late = Math.max(...timesIn(open.text)) - endsAt
  await until(() => gate.upstream.requests.some(({ path, abortedAt }) => path === '/subscriptions/S/activity' && abortedAt > 0), 'the upstream to see the end')
  seen.after = await reads(headers)
  seen.again = [(await asBroker(gate, '/v1/elevations', { session, ...CONTRACT })).status, (await asBroker(gate, '/v1/sessions', { subject: PERSON, profiles: [CONTRACT] })).status]
  const { token: bare } = await opened(gate, { subject: PERSON })
  seen.empty = await reads(bearer(bare, HOST))
  beside.client.close()
  lines = await gate.trail()
}, 60_000)
afterAll(() => gate.stop())

test('[S23.a] a brokered session may GET on its subscription until 2026-12-31T23:59 local time, and each of its requests says so', () => {
  expect(seen.before).toEqual(['200', '200'])
  const carried = lines.filter(({ kind, session }) => kind === 'exchange.opened' && session === seen.session)
  expect(carried.map(({ until: to }) => new Date(Number(to)).toISOString())).toEqual([END, END, END])
})

test('[S23.b, S23.g] at that instant what is open is cut, what it may do at rest is gone too, and everything is refused; nobody else feels it', () => {
  expect(seen.late).toBeLessThanOrEqual(CLOCKS)
  expect([seen.cutAfter >= -CLOCKS, seen.cutAfter < BOUND, seen.beside]).toEqual([true, true, true])
  expect(seen.after).toEqual(READS.map(() => '403 window_closed'))
})

test('[S23.g] behind the end no session, old or new, is given anything', () => {
  expect(seen.again).toEqual([403, 403])
  expect(seen.empty).toEqual(READS.map(() => '403 elevation_required'))
})
