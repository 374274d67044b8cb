// The emergency path while the store fails: in force from memory at once, written as soon as the store answers, and nothing is given before that.
// SPEC: ENF9, STO1, ADM3
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { SessionKey } from '../../src/core/session.ts'
import type { Commit, SessionStore } from '../../src/sessions/store.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { exchangesOf, outcomeOf, pause, planFor, takeOff, TapUpstream, until } from './support.ts'

let upstream: TapUpstream
let gate: TestGateway
let down = false
/** Before a restrictive commit, while the store is not down. */
let beforeEnd: (commit: Commit) => Promise<void> | void = () => {}

/** The gateway's own store with reads and writes that fail while `down`. */
const failing = (store: SessionStore): SessionStore => new Proxy(store, {
  get(target, name) {
    const value: unknown = Reflect.get(target, name, target)
    if (typeof value !== 'function') return value
    return async (...parameters: unknown[]) => {
      if (down && (name === 'commit' || name === 'commitRestrictive' || name === 'load')) throw new Error('the store is down')
      if (name === 'commitRestrictive') await beforeEnd(parameters[0] as Commit) // the port's own call
      return Reflect.apply(value, target, parameters) as unknown
    }
  },
})
const SYNC: ReadonlySet<string | symbol> = new Set(['subscribe', 'confirmedUntil', 'epochOf'])
const wrapped = (store: SessionStore): SessionStore => {
  const asynchronous = failing(store)
  return new Proxy(store, { get: (target, name) => (SYNC.has(name) ? (...given: unknown[]): unknown => Reflect.apply(Reflect.get(target, name) as () => unknown, target, given) : Reflect.get(asynchronous, name)) as unknown }) // members of the port
}

beforeAll(async () => {
  upstream = await TapUpstream.start()
  const plan = planFor(upstream, { wrapStore: wrapped, elevations: `
long: { adds: [extra:use], for: 10m, max: 1h }
other: { adds: [also:use], for: 10m, max: 1h }` })
  gate = await TestGateway.start({ ...plan, routes: `${plan.routes}\n    - { allow: { paths: ["/*/also"] }, scope: also:use }` })
})
afterEach(async () => {
  down = false
  beforeEnd = () => {}
  await paid()
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

let turn = 0
const paid = (): Promise<void> => until(() => gate.parts.ledger.owed === 0, 'the store to have everything', 20_000)
const outcome = (place: string, token: string): Promise<unknown> => outcomeOf(gate, upstream, `/try${++turn}/${place}`, token)
const stored = (key: SessionKey): Promise<unknown> => gate.parts.store.load({ kind: 'session', name: key })
const verb = (session: string, what: string, body: object = {}): Promise<Answer> => gate.admin('POST', `/v1/sessions/${session}/${what}`, body)
const told = ({ status, json }: Answer): unknown => [status, json['enforced'], json['durable']]

test('[ENF9, ADM3] a terminate is enforced from memory while the store is down, and stored when it is back', async () => {
  const token = await gate.token()
  const { id, key } = await gate.session(token)
  const stream = await takeOff(gate, upstream, 'sse', 'base', token)
  down = true
  const done = await verb(id, 'terminate')
  expect([told(done), done.json['exchanges']]).toEqual([[202, true, false], expect.objectContaining({ cut: 1 })])
  expect((await stream.client.response()).complete).toBe(true) // ended at an event boundary, not left open
  expect(await outcome('base', token)).toBe('credential_revoked')
  const locked = await gate.admin('POST', '/v1/locks', { selector: { all: true } })
  expect(told(locked)).toEqual([202, true, false])
  expect(gate.parts.ledger.owed).toBe(2)

  down = false
  await paid()
  expect(await stored(key)).toMatchObject({ id, state: { is: 'revoked' } })
  expect(await gate.parts.store.load({ kind: 'lock', name: 'all:' })).toMatchObject({ state: 'set' })
  const { id: lock } = locked.json['lock'] as { id: string } // the answer of a lock that was set
  expect((await gate.admin('DELETE', `/v1/locks/${lock}?reason=test`)).status).toBe(200)
})

test('[ENF9] a revoke behind a change in force from memory cuts before its acknowledgement', async () => {
  const token = await gate.token()
  const { id, key } = await gate.session(token)
  const [first, second] = [await gate.elevate(token, 'long'), await gate.elevate(token, 'other')]
  const flights = [await takeOff(gate, upstream, 'chunked download', 'extra', token), await takeOff(gate, upstream, 'chunked download', 'also', token), await takeOff(gate, upstream, 'chunked download', 'base', token)]
  down = true
  expect(told(await verb(id, 'narrow', { elevations: [first] }))).toEqual([202, true, false])
  expect(exchangesOf(gate, id)).toHaveLength(2)
  down = false
  const revoked = await gate.admin('POST', `/v1/elevations/${second}/revoke`)
  expect([told(revoked), revoked.json['exchanges'], exchangesOf(gate, id).length, gate.parts.ledger.owed]).toEqual([[200, true, true], expect.objectContaining({ cut: 1 }), 1, 0])
  const [, cut, base] = flights
  const mark = cut?.client.mark() ?? 0
  for (const { tap } of flights) tap.send()
  expect([await cut?.ended, cut?.client.receivedSince(mark)]).toEqual(['reset', 0])
  await base?.move()
  expect(await stored(key)).toMatchObject({ elevations: [{ state: { is: 'suspended' } }, { state: { is: 'ended', reason: 'revoked' } }] })
  for (const { client } of flights) client.close()
})

test('[ENF9] several emergencies while the store fails, then is slow and fails once more: all are stored, by one at a time', async () => {
  const sessions = await Promise.all(['a', 'b', 'c'].map(async sid => gate.session(await gate.token({ sid }))))
  down = true
  for (const { id } of sessions) expect(told(await verb(id, 'terminate'))).toEqual([202, true, false])
  let [now, most, trouble] = [0, 0, 1]
  beforeEnd = async ({ ref }) => {
    most = Math.max(most, ++now)
    await pause(1_200)
    now--
    if (ref.name !== sessions[1]?.key || trouble === 0) return
    trouble--
    throw new Error('the store fails once more')
  }
  down = false
  await paid()
  expect([most, trouble]).toEqual([1, 0])
  for (const { key } of sessions) expect(await stored(key)).toMatchObject({ state: { is: 'revoked' } })
})

test('[ENF9, ADM3] what would give is refused while something is owed and the store still fails, and never answered as done', async () => {
  const [frozen, narrowed, free] = [await gate.token(), await gate.token(), await gate.token()]
  const [a, b, c] = [await gate.session(frozen), await gate.session(narrowed), await gate.session(free)]
  await gate.elevate(narrowed, 'long')
  const flight = await takeOff(gate, upstream, 'chunked download', 'base', frozen)
  down = true
  const lock = await gate.admin('POST', '/v1/locks', { selector: { subject: 'mallory' } })
  expect([told(await verb(a.id, 'freeze')), told(await verb(b.id, 'narrow')), told(lock)]).toEqual([[202, true, false], [202, true, false], [202, true, false]])
  const { id: locked } = lock.json['lock'] as { id: string } // the answer of a lock that was set
  const giving: readonly (() => Promise<Answer>)[] = [
    () => verb(a.id, 'resume', { reason: 'test' }), () => verb(b.id, 'widen', { reason: 'test' }), () => gate.admin('DELETE', `/v1/locks/${locked}?reason=test`),
    () => verb(c.id, 'resume', { reason: 'test' }), () => verb(c.id, 'widen', { reason: 'test' }), // where nothing would have to change
  ]
  for (const give of giving) expect((await give()).status).toBe(503)
  flight.push()
  expect([await outcome('base', frozen), await outcome('extra', narrowed), gate.parts.mirror.locks.size]).toEqual(['frozen', 'narrowed', 1])
  expect(flight.arrived()).toBeLessThan(flight.handed())
  expect([told(await verb(a.id, 'freeze')), gate.parts.ledger.owed]).toEqual([[202, true, false], 3])

  down = false
  for (const give of giving) expect((await give()).status).toBe(200)
  await until(() => flight.arrived() === flight.handed(), 'what waited')
  expect([await outcome('base', frozen), await outcome('extra', narrowed), gate.parts.mirror.locks.size]).toEqual([200, 200, 0])
  flight.client.close()
})
