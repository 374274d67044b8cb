// What counts as activity of a session: its requests and their bytes, and nothing that only asks how things stand.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Permit } from '../../../src/core/decision.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { NOT_RISKED } from '../../../src/core/risk.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import { placeOf, type Route } from '../../../src/core/route.ts'
import { duration, FOREVER } from '../../../src/core/time.ts'
import { type Channel, caseOf, Exchange, type GateKeeper, type Inquiry } from '../../../src/enforcement/exchange.ts'
import { Inflight } from '../../../src/enforcement/inflight.ts'
import { Reassessor } from '../../../src/enforcement/reassess.ts'
import { Sweeper } from '../../../src/enforcement/sweeper.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { evidence, POLICY, World } from '../sessions/world.ts'

const nothing = (): void => undefined
const CHANNEL: Channel = { status: 0, freeze: nothing, resume: nothing, cut: nothing, tick: nothing }
const ROUTE: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
}
const policy: Policy = { ...POLICY, routes: [ROUTE] }

let world: World
let live: LiveSession
let keeper: GateKeeper
beforeEach(async () => {
  world = await World.start(policy)
  live = await world.opened()
  keeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
})
afterEach(() => world.close())

function admitted(channel: Channel = CHANNEL): Exchange {
  const now = world.clock.now()
  const resource = { host: 'api.test', path: '/x', segments: ['x'], query: '' }
  const evaluation = { evidence: evidence('cred_1', now, null), action: { method: 'GET', upgrade: null, call: null }, resource, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
  const inquiry: Inquiry = { id: 'exc_1', policy, place: placeOf(ROUTE, evaluation.action, resource), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
  const decision = evaluate(caseOf(inquiry, keeper, now, null))
  if (decision.effect !== 'permit') throw new Error(decision.reason)
  return new Exchange(inquiry, decision satisfies Permit, channel, keeper, now)
}

test('[SES5] a request is activity, and so is every byte of it, up and down, and the head of its answer', () => {
  world.clock.pass(60_000)
  const exchange = admitted()
  const seen: number[] = [live.lastSeen]
  for (const move of [() => exchange.handedUp(1), () => exchange.handedDown(0), () => exchange.handedDown(1)]) {
    world.clock.pass(1_000)
    move()
    seen.push(live.lastSeen)
  }
  expect(seen.map(at => at - live.record.openedAt)).toEqual([60_000, 61_000, 62_000, 63_000])
  expect([exchange.bytesUp, exchange.bytesDown]).toEqual([1, 1])
})

test('[SES5] asking the gate, being judged again and being swept is none', async () => {
  const exchange = admitted()
  const inflight = new Inflight()
  inflight.add(exchange)
  const reassessor = new Reassessor(keeper, inflight, { regranted: nothing, frozen: nothing, resumed: nothing, finishing: nothing, cut: nothing })
  world.mirror.onChange = change => reassessor.changed(change)
  const sweeper = new Sweeper(keeper, inflight, reassessor, { streams: () => duration(1_000), frozen: () => Infinity })
  const before = live.lastSeen
  for (let i = 0; i < 5; i++) {
    world.clock.pass(1_000)
    await world.lock(`other-${i}`)
    expect(exchange.open).toBe(true)
    await world.mirror.touched([live])
    reassessor.doubt(exchange)
    sweeper.sweep()
    expect([exchange.state, exchange.open, live.lastSeen]).toEqual(['open', true, before])
  }
})

test('[ENF3, REC1] a verdict that cannot be carried out, as what it has to record cannot be, ends that exchange and reaches nobody who asked', () => {
  const cut: string[] = []
  const exchange = admitted({ ...CHANNEL, cut: reason => { cut.push(reason) } })
  const inflight = new Inflight()
  inflight.add(exchange)
  const full = (): never => { throw new Error('no space left on device') }
  const reassessor = new Reassessor(keeper, inflight, { regranted: full, frozen: nothing, resumed: full, finishing: nothing, cut: nothing })
  exchange.state = 'frozen'
  expect(() => reassessor.doubt(exchange)).not.toThrow()
  expect([exchange.state, cut, inflight.size]).toEqual(['ended', ['internal_error'], 0])
})
