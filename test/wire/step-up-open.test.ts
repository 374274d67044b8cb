// What is open when its caller's risk reaches a level that asks for a step-up: held, asked about, and resumed byte by byte, or cut; and what stands on an
// answer that lasts for a while, behind its end. On two gateways over one Redis and on the embedded store. SPEC: STU4, STU5, ENF3, ENF6
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { seconds } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { approve, asks, bearer, caller, freshPath, operate, person, riseTo, stepUpPlan, toldIn } from './step-up-stage.ts'
import { exchangesOf, type Flight, KINDS, takeOff, TapUpstream, until } from './support.ts'

let server: RedisServer
let upstream: TapUpstream
let pair: GatewayPair
let alone: TestGateway
/** Where a session has one exchange open at most. */
let narrow: TestGateway

beforeAll(async () => {
  ;[server, upstream] = await Promise.all([RedisServer.start(), TapUpstream.start()])
  pair = await TestGateway.pair(server, stepUpPlan(upstream))
  alone = await TestGateway.start({ ...stepUpPlan(upstream), issuer: pair.a.issuer })
  narrow = await TestGateway.start(stepUpPlan(upstream, { limits: 'exchangesPerSession: 1' }))
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop(), narrow.stop()])
  await Promise.all([upstream.close(), server.dispose()])
})

type Open = { readonly token: string; readonly session: string; readonly key: Awaited<ReturnType<TestGateway['session']>>['key'] }
let turn = 0
async function begin(gate: TestGateway, other = gate): Promise<Open> {
  const token = await caller(gate, { sub: `open-${++turn}` })()
  await asks(gate, upstream, freshPath('base'), bearer(token))
  const { id, key } = await gate.session(token)
  await other.session(token)
  return { token, session: id, key }
}

const statesOf = (gate: TestGateway, session: string) => exchangesOf(gate, session).map(({ state }) => state)
const pendingIn = (gate: TestGateway, key: Open['key']) => gate.parts.mirror.known(key)?.record.stepUps.filter(({ state }) => state.is === 'pending') ?? []
/** The one question that waits in the session, as soon as the gateway has asked it. */
async function asked(gate: TestGateway, key: Open['key']): Promise<string> {
  await until(() => pendingIn(gate, key).length > 0, 'a question')
  return pendingIn(gate, key)[0]?.id ?? ''
}
type Line = Record<string, unknown>
const factIn = ({ fact }: Line): string => (typeof fact === 'object' && fact !== null && 'what' in fact ? String(fact.what) : '')
const nameIn = ({ record }: Line): string => (typeof record === 'object' && record !== null && 'name' in record ? String(record.name) : '')
const whole = (flights: readonly Flight[]) => Promise.all(flights.map(flight => flight.finish()))

test.each(KINDS)('[STU5, ENF6] a %s is held at the level, somebody is asked without any request, and it comes through whole behind the answer', async kind => {
  const { token, session, key } = await begin(alone)
  const flight = await takeOff(alone, upstream, kind, 'extra', token)
  await riseTo(alone, key, 20)
  expect(statesOf(alone, session)).toEqual(['frozen'])
  const arrived = flight.arrived()
  flight.push()
  const id = await asked(alone, key)
  expect(flight.arrived()).toBe(arrived)
  expect((await approve(alone, id)).status).toBe(200)
  await until(() => statesOf(alone, session)[0] === 'open', 'the resumption')
  await flight.finish()
  expect((await alone.trail()).filter(line => factIn(line) === 'stepUp.used' && nameIn(line) === key)).toHaveLength(1)
})

test('[STU5] on two gateways: held on the one, answered on the other', async () => {
  const { token, session, key } = await begin(pair.a, pair.b)
  const flight = await takeOff(pair.a, upstream, 'download', 'extra', token)
  await riseTo(pair.b, key, 20)
  expect(statesOf(pair.a, session)).toEqual(['frozen'])
  expect((await approve(pair.b, await asked(pair.a, key))).status).toBe(200)
  await until(() => statesOf(pair.a, session)[0] === 'open', 'the resumption')
  await flight.finish()
})

test('[STU4, STU5] one answer with one use lets one of two go on that are open on two gateways; about the other somebody is asked anew', async () => {
  const { token, session, key } = await begin(pair.a, pair.b)
  const flights = [await takeOff(pair.a, upstream, 'download', 'extra', token), await takeOff(pair.b, upstream, 'download', 'extra', token)] as const
  await riseTo(pair.a, key, 20)
  await until(() => [pair.a, pair.b].every(gate => statesOf(gate, session)[0] === 'frozen'), 'both held')
  const first = await asked(pair.a, key)
  expect((await approve(pair.a, first)).status).toBe(200)
  const states = () => [pair.a, pair.b].flatMap(gate => statesOf(gate, session)).toSorted().join()
  await until(() => states() === 'frozen,open' && pendingIn(pair.a, key).some(({ id }) => id !== first), 'one of them, and a question for the other')
  expect((await approve(pair.b, await asked(pair.a, key))).status).toBe(200)
  await until(() => states() === 'open,open', 'the other')
  await whole(flights)
})

test('[STU5] no: what is held is cut on both gateways, and the session has ended', async () => {
  const { token, session, key } = await begin(pair.a, pair.b)
  const flights = [await takeOff(pair.a, upstream, 'sse', 'extra', token), await takeOff(pair.b, upstream, 'upload', 'extra', token)]
  await riseTo(pair.a, key, 20)
  expect((await operate(pair.b, 'ann', 'POST', `/v1/step-ups/${await asked(pair.b, key)}/deny`)).status).toBe(200)
  await until(() => [pair.a, pair.b].every(gate => exchangesOf(gate, session).length === 0), 'their end')
  for (const { tap } of flights) await until(() => tap.abortedAt > 0, 'the upstream to see it')
  const cut = (await pair.trail()).filter(line => line['session'] === session && line['kind'] === 'exchange.closed' && line['complete'] === false)
  expect(cut).toHaveLength(2)
})

test('[STU2, STU5] of more than may be asked about at once the rest is cut; of those that wait each goes on by its own answer', async () => {
  const { token, session, key } = await begin(alone)
  const flights: Flight[] = []
  for (let i = 0; i < 9; i++) flights.push(await takeOff(alone, upstream, 'sse', 'also', token))
  await riseTo(alone, key, 20)
  await until(() => exchangesOf(alone, session).length === 8 && pendingIn(alone, key).length === 8, 'eight of them')
  expect((await alone.trail()).findLast(({ kind }) => kind === 'exchange.cut')).toMatchObject({ session, reason: 'limit_reached' })
  expect((await approve(alone, await asked(alone, key))).status).toBe(200)
  await until(() => statesOf(alone, session).filter(state => state === 'open').length === 1, 'the resumption of one')
  expect(statesOf(alone, session).filter(state => state === 'frozen')).toHaveLength(7)
  for (const { client } of flights) client.close()
})

test('[STU5] a person that signs in again anywhere lets go on what is held', async () => {
  const sign = person(alone)
  const first = await sign({ sub: 'streaming' })
  await asks(alone, upstream, freshPath('base'), bearer(first))
  const { id: session, key } = await alone.session(first)
  const flight = await takeOff(alone, upstream, 'download', 'extra', first)
  await riseTo(alone, key, 20)
  await asked(alone, key)
  const now = seconds()
  await until(() => seconds() > now, 'the next second')
  const again = await sign({ sub: 'streaming', auth_time: seconds() })
  expect((await asks(alone, upstream, freshPath('base'), bearer(again))).status).toBe(200)
  await until(() => statesOf(alone, session)[0] === 'open', 'the resumption')
  await flight.finish()
})

test('[STU4] what stands on an answer for a while is cut at its end to the moment, and a new request is asked anew', async () => {
  const token = await caller(alone)()
  const path = freshPath('mild')
  const { id } = toldIn(await alone.ask('GET', path, bearer(token)))
  expect((await approve(alone, id)).status).toBe(200)
  const answeredAt = Date.now()
  const client = await RawClient.connect(alone.target)
  client.push(request('GET', path, bearer(token)))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  expect((await asks(alone, upstream, freshPath('mild'), bearer(token))).status).toBe(200)
  expect(await client.ended).toBe('reset')
  expect(Date.now() - answeredAt).toBeGreaterThan(1_500)
  const lines = await alone.trail()
  expect(lines.findLast(({ kind }) => kind === 'exchange.cut')).toMatchObject({ reason: 'step_up_over' })
  const anew = await alone.ask('GET', freshPath('mild'), bearer(token))
  expect([anew.status, toldIn(anew).id === id]).toEqual([401, false])
})

test('[STU4] a request that is not let through behind all that gives its use back', async () => {
  const [token, path] = [await caller(narrow)(), freshPath('once')]
  const { id } = toldIn(await narrow.ask('GET', path, bearer(token)))
  expect((await approve(narrow, id)).status).toBe(200)
  const { key } = await narrow.session(token)
  const flight = await takeOff(narrow, upstream, 'download', 'base', token)
  expect((await narrow.ask('GET', path, bearer(token))).json['reason']).toBe('limit_reached')
  await until(() => narrow.parts.mirror.known(key)?.record.stepUps.find(each => each.id === id)?.used.length === 0, 'the use to be back')
  expect((await narrow.trail()).flatMap(line => (factIn(line).startsWith('stepUp.') ? [factIn(line)] : []))).toEqual(['stepUp.asked', 'stepUp.answered', 'stepUp.satisfied', 'stepUp.used', 'stepUp.returned'])
  await flight.finish()
  expect((await asks(narrow, upstream, path, bearer(token))).status).toBe(200)
})
