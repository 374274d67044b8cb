// Open exchanges while the proof of freshness lapses and comes back: frozen, judged again, held so long and no longer.
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Permit } from '../../../src/core/decision.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { NOT_RISKED } from '../../../src/core/risk.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Reason } from '../../../src/core/reason.ts'
import { placeOf, type Route, routeTable } from '../../../src/core/route.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { type Channel, caseOf, Exchange, type GateKeeper, type Inquiry } from '../../../src/enforcement/exchange.ts'
import { Inflight } from '../../../src/enforcement/inflight.ts'
import { Reassessor, type Witness } from '../../../src/enforcement/reassess.ts'
import { Sweeper } from '../../../src/enforcement/sweeper.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { evidence, POLICY, World } from '../sessions/world.ts'

const HELD = 1_000
const STALENESS = 5_000
const routeAt = (name: string, staleness: number): Route => ({
  name, host: { is: 'any' }, path: pathPattern(`/${name}/**`), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(staleness), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: `${name}#1`, effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
})
const ROUTES = { strict: routeAt('strict', 0), lenient: routeAt('lenient', STALENESS) }
const routes = Object.values(ROUTES)
const policy: Policy = { ...POLICY, routes, table: routeTable(routes) }

let world: World
let live: LiveSession
let keeper: GateKeeper
let inflight: Inflight
let reassessor: Reassessor
let sweeper: Sweeper
/** What channels and witness were told, in order. */
let told: string[]
const lease = { until: Infinity }
let onCut: (exchange: string) => void
let share = Infinity
let untellable = ''

beforeEach(async () => {
  world = await World.start(policy)
  live = await world.opened()
  told = []
  onCut = () => undefined
  lease.until = Infinity
  share = Infinity
  untellable = ''
  keeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => lease.until, vouchesFor: () => true }
  inflight = new Inflight()
  const witness: Witness = {
    regranted: ({ id }) => void told.push(`${id} regranted`), frozen: ({ id }, reason) => void told.push(`${id} frozen: ${reason}`),
    resumed: ({ id }) => void told.push(`${id} resumed`), finishing: ({ id }, reason) => void told.push(`${id} finishing: ${reason}`),
    cut({ exchange: { id }, reason }) {
      if (id === untellable) throw new Error('cannot be told')
      told.push(`${id} cut: ${reason}`)
    },
  }
  reassessor = new Reassessor(keeper, inflight, witness)
  sweeper = new Sweeper(keeper, inflight, reassessor, { streams: () => duration(HELD), frozen: () => share })
  world.mirror.onChange = change => reassessor.changed(change)
})
afterEach(() => world.close())

function admitted(id: string, route: Route = ROUTES.strict): Exchange {
  const now = world.clock.now()
  const resource = { host: 'api.test', path: `/${route.name}/x`, segments: [route.name, 'x'], query: '' }
  const evaluation = { evidence: evidence('cred_1', now, null), action: { method: 'GET', upgrade: null, call: null }, resource, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
  const inquiry: Inquiry = { id, policy, place: placeOf(route, evaluation.action, resource), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
  const decision = evaluate(caseOf(inquiry, keeper, now, null))
  if (decision.effect !== 'permit') throw new Error(decision.reason)
  const channel: Channel = { status: 200, freeze: () => void told.push(`${id} pause`), resume: () => undefined, cut: () => onCut(id), tick: () => undefined }
  const exchange = new Exchange(inquiry, decision satisfies Permit, channel, keeper, now)
  inflight.add(exchange)
  return exchange
}

const lapse = (): void => void (lease.until = world.clock.elapsed())
/** So much time passes, with a look at its end. */
function after(ms: number): void {
  world.clock.pass(ms)
  sweeper.sweep()
}
const standing = ({ state, reason }: Exchange): readonly [Exchange['state'], Reason | null] => [state, reason]

test('[DEC8, ENF9] a lapse pauses everything open, and its end lets it run on, each at the look that sees it', () => {
  const exchange = admitted('e')
  sweeper.sweep()
  expect([standing(exchange), told]).toEqual([['open', null], []])
  lapse()
  expect(exchange.open).toBe(false)
  sweeper.sweep()
  expect(standing(exchange)).toEqual(['frozen', 'stale'])
  lease.until = Infinity
  expect(exchange.open).toBe(false)
  sweeper.sweep()
  expect([standing(exchange), exchange.open, told]).toEqual([['open', null], true, ['e pause', 'e frozen: stale', 'e resumed']])
})

test('[DEC8] what came and went between two looks, and was met at the gate, runs on at the next', () => {
  const exchange = admitted('e')
  lapse()
  reassessor.doubt(exchange)
  expect(standing(exchange)).toEqual(['frozen', 'stale'])
  lease.until = Infinity
  sweeper.sweep()
  expect(standing(exchange)).toEqual(['open', null])
})

test('[DEC8] what is stale is held for `hold.streams`, not cut before and cut after', () => {
  const exchange = admitted('e')
  lapse()
  sweeper.sweep()
  after(HELD)
  expect(standing(exchange)).toEqual(['frozen', 'stale'])
  after(1)
  expect([standing(exchange), inflight.size, told.at(-1)]).toEqual([['ended', 'stale'], 0, 'e cut: stale'])
})

test('[DEC8, ENF6] a session frozen while the lease is gone is held as frozen when it is back, for as long as the freeze lasts', async () => {
  const exchange = admitted('e')
  lapse()
  sweeper.sweep()
  after(HELD / 2)
  await world.tell('a', { kind: 'session.frozen', until: null })
  expect(standing(exchange)).toEqual(['frozen', 'stale'])
  lease.until = Infinity
  sweeper.sweep()
  expect([standing(exchange), exchange.frozenAt]).toEqual([['frozen', 'frozen'], world.clock.now()])
  after(10 * HELD)
  expect(standing(exchange)).toEqual(['frozen', 'frozen'])
  await world.tell('a', { kind: 'session.resumed' })
  expect([standing(exchange), told]).toEqual([['open', null], ['e pause', 'e frozen: stale', 'e frozen: frozen', 'e resumed']])
})

test('[DEC8, ENF6] a frozen exchange is held as stale from the lapse on, not from its freeze', async () => {
  const exchange = admitted('e')
  await world.tell('a', { kind: 'session.frozen', until: null })
  after(10 * HELD)
  lapse()
  sweeper.sweep()
  expect([standing(exchange), exchange.frozenAt]).toEqual([['frozen', 'stale'], world.clock.now()])
  after(HELD)
  expect(standing(exchange)).toEqual(['frozen', 'stale'])
  after(1)
  expect([standing(exchange), told]).toEqual([['ended', 'stale'], ['e pause', 'e frozen: frozen', 'e frozen: stale', 'e cut: stale']])
})

test('[DEC8] on a route with `staleness` an exchange goes on so much longer, moves a byte or not, and then the same', () => {
  const [strict, lenient] = [admitted('s'), admitted('l', ROUTES.lenient)]
  lapse()
  sweeper.sweep()
  after(STALENESS - 1)
  expect([standing(strict), standing(lenient), lenient.open]).toEqual([['ended', 'stale'], ['open', null], true])
  after(1)
  expect([standing(lenient), lenient.frozenAt]).toEqual([['frozen', 'stale'], world.clock.now()])
  after(HELD)
  expect(standing(lenient)).toEqual(['frozen', 'stale'])
  after(1)
  expect(standing(lenient)).toEqual(['ended', 'stale'])
})

test('[DEC8, ENF4] an end by time is an end also while nothing is fresh', () => {
  const exchange = admitted('e')
  exchange.until = world.clock.now() + HELD / 2
  lapse()
  sweeper.sweep()
  world.clock.pass(POLICY.sessions.max)
  sweeper.sweep()
  expect(exchange.state).toBe('ended')
  expect(told.at(-1)).not.toBe('e cut: stale')
})

test('[DEC8] the lease comes back while thousands are being ended: those still waiting run on', async () => {
  const exchanges = Array.from({ length: 500 }, (_, i) => admitted(`e${i}`))
  onCut = () => {
    for (const end = performance.now() + 1; performance.now() < end;) continue
  }
  lapse()
  sweeper.sweep()
  after(HELD + 1)
  const ended = new Set(exchanges.filter(({ state }) => state === 'ended'))
  expect(ended.size).toBeGreaterThan(0)
  expect(ended.size).toBeLessThan(exchanges.length)
  lease.until = Infinity
  for (let turn = 0; turn < 100; turn++) await setImmediate() // nobody told the sweeper yet
  sweeper.sweep()
  for (let turn = 0; turn < 100; turn++) await setImmediate() // it judges in slices
  expect(exchanges.map(({ state }) => state)).toEqual(exchanges.map(exchange => (ended.has(exchange) ? 'ended' : 'open')))
})

test('[ENF3] a fault while one is judged ends that one, closed, and no other', () => {
  const [broken, whole] = [admitted('b'), admitted('w')]
  Object.defineProperty(broken, 'permit', { get: () => { throw new Error('a defect') } })
  lapse()
  sweeper.sweep()
  expect([broken.state, standing(whole), inflight.size]).toEqual(['ended', ['frozen', 'stale'], 1])
})

test('[ENF3, AUD3] where many are cut at once, the last is cut before the first is recorded, and a gateway that closes meanwhile records the rest', async () => {
  for (const id of ['e', 'f', 'g']) admitted(id)
  onCut = id => void told.push(`${id} ends`)
  world.mirror.onChange = async () => ({ continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 })
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  const judged = reassessor.changed({ sessions: [live], anonymous: false, announcement: null })
  expect(told).toEqual(['e ends', 'f ends', 'g ends'])
  reassessor.close()
  expect(told.slice(3)).toEqual(['e cut: revoked', 'f cut: revoked', 'g cut: revoked'])
  expect(await judged).toMatchObject({ cut: 3 })
  expect(told).toHaveLength(6) // each once
})

test('[ENF11] frozen exchanges hold their share of the connections and no more: those frozen first end, and what goes on does not count', async () => {
  share = 2
  const running = admitted('r')
  const [first, second, third] = [admitted('e'), admitted('f'), admitted('g')]
  for (const exchange of [first, second, third]) {
    exchange.state = 'frozen'
    exchange.reason = 'frozen'
    exchange.frozenAt = world.clock.now()
    world.clock.pass(10)
  }
  live.stamp = first.stamp // nothing of the session changed
  after(0)
  expect([standing(first), standing(second), standing(third), standing(running)]).toEqual([['ended', 'limit_reached'], ['frozen', 'frozen'], ['frozen', 'frozen'], ['open', null]])
})

test('[ENF11, MCP11] a task holds no connection, and takes none of the share of those that are frozen', () => {
  share = 1
  const all = [admitted('e'), admitted('f'), admitted('g')]
  for (const exchange of all) {
    exchange.state = 'frozen'
    exchange.reason = 'frozen'
  }
  for (const exchange of all.slice(1)) exchange.kind = 'task'
  sweeper.sweep()
  expect(all.map(({ state }) => state)).toEqual(['frozen', 'frozen', 'frozen'])
})

test('[ENF11, SES16] what is held for an answer takes none of the share of those that are frozen', () => {
  share = 1
  const [frozen, ...held] = [admitted('e'), admitted('f'), admitted('g')]
  for (const exchange of [frozen, ...held]) exchange.state = 'frozen'
  frozen.reason = 'frozen'
  for (const exchange of held) {
    exchange.reason = 'stale'
    exchange.vouchedUntil = world.clock.now()
  }
  sweeper.sweep()
  expect([frozen, ...held].map(({ state, reason }) => [state, reason])).toEqual([['frozen', 'frozen'], ['frozen', 'stale'], ['frozen', 'stale']])
})

test('[ENF3] a gate that is asked while the records of many cuts wait tells its own end alone', async () => {
  for (const id of ['e', 'f']) admitted(id)
  const ending = live
  live = await world.opened('b')
  const asked = admitted('h')
  world.mirror.onChange = async () => ({ continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 })
  for (const name of ['a', 'b']) await world.tell(name, { kind: 'session.terminated', reason: 'revoked' })
  const judged = reassessor.changed({ sessions: [ending], anonymous: false, announcement: null })
  reassessor.doubt(asked)
  expect(told).toEqual(['h cut: revoked'])
  await judged
  expect(told).toEqual(['h cut: revoked', 'e cut: revoked', 'f cut: revoked'])
})

test('[ENF3, AUD3] an end that cannot be told keeps none of the others from being told', async () => {
  for (const id of ['e', 'f', 'g']) admitted(id)
  untellable = 'f'
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  expect([told, inflight.size]).toEqual([['e cut: revoked', 'g cut: revoked'], 0])
})
