// Which answers come on another stream than their call's, by a session and a judge that are real.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { evaluate } from '../../../../../src/core/evaluate.ts'
import { pathPattern } from '../../../../../src/core/path-pattern.ts'
import type { Policy } from '../../../../../src/core/policy.ts'
import { NOT_RISKED } from '../../../../../src/core/risk.ts'
import { placeOf, type Route } from '../../../../../src/core/route.ts'
import { duration, FOREVER } from '../../../../../src/core/time.ts'
import { caseOf, Exchange, type GateKeeper, type Inquiry } from '../../../../../src/enforcement/exchange.ts'
import { BrokenCalls, type Room } from '../../../../../src/proxy/mcp/lasting/broken-calls.ts'
import { serverMessageOf } from '../../../../../src/proxy/mcp/relay/server-message.ts'
import type { Sieve } from '../../../../../src/proxy/mcp/sieve.ts'
import type { LiveSession } from '../../../../../src/sessions/live-session.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../../../support/plain.ts'
import { evidence, POLICY, World } from '../../../sessions/world.ts'

const nothing = (): void => undefined
const ROUTE: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
}
const policy: Policy = { ...POLICY, routes: [ROUTE] }
const ANSWER = serverMessageOf({ jsonrpc: '2.0', id: 1, result: {} }, Buffer.alloc(0)) ?? expect.fail('no message')
const CHANGED = { ...ANSWER, bytes: null }
const SIEVE: Sieve = { pass: () => CHANGED, changed: () => [] }

/** What is held of the room there is. */
let held = 0
const roomOf = (has = true): Room => ({
  take: () => {
    if (has) held++
    return has
  },
  give: () => void held--,
})

let world: World
let live: LiveSession
let full = 0
let exchange: Exchange
let calls: BrokenCalls
beforeEach(async () => {
  world = await World.start(policy)
  live = await world.opened()
  const keeper: GateKeeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
  const now = world.clock.now()
  const resource = { host: 'api.test', path: '/x', segments: ['x'], query: '' }
  const evaluation = { evidence: evidence('cred_1', now, null), action: { method: 'POST', upgrade: null, call: null }, resource, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
  const inquiry: Inquiry = { id: 'exc_1', policy, place: placeOf(ROUTE, evaluation.action, resource), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
  const decision = evaluate(caseOf(inquiry, keeper, now, null))
  if (decision.effect !== 'permit') throw new Error(decision.reason)
  exchange = new Exchange(inquiry, decision, { status: 0, freeze: nothing, resume: nothing, cut: nothing, tick: nothing }, keeper, now)
  held = full = 0
  calls = new BrokenCalls(keeper, () => full++)
})
afterEach(async () => {
  vi.useRealTimers()
  await world.close()
})

const passed = (name: string) => calls.pass(live, name, exchange, ANSWER)

test('[MCP10] an answer passes by the sieves of its call, as often as it is asked about; one of no broken call goes nowhere', () => {
  expect([passed('a'), calls.may(live, 'a', exchange)]).toEqual([null, false])
  calls.broke(live, 'a', exchange, [SIEVE], roomOf())
  expect([passed('a'), passed('a'), passed('b'), calls.may(live, 'b', exchange)]).toEqual([CHANGED, CHANGED, null, false])
  calls.forget(live, 'a')
  expect([passed('a'), held]).toEqual([null, 0])
})

test('[MCP10] of a session 64 calls are kept; the oldest make way, which is counted, and their room is free', () => {
  for (let call = 0; call < 66; call++) calls.broke(live, `call ${call}`, exchange, [SIEVE], roomOf())
  expect([passed('call 1'), passed('call 2'), full, held]).toEqual([null, CHANGED, 2, 64])
  calls.broke(live, 'too much', exchange, [SIEVE], roomOf(false))
  expect([passed('too much'), held]).toEqual([null, 64])
})

test('[MCP10] a call is kept for five minutes, and then its room is free', () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  calls.broke(live, 'a', exchange, [SIEVE], roomOf())
  vi.advanceTimersByTime(299_999)
  expect([passed('a'), held]).toEqual([CHANGED, 1])
  vi.advanceTimersByTime(1)
  expect([passed('a'), held]).toEqual([null, 0])
})

test('[MCP10] nothing keeps a call that made way, or whose name is another request’s now', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  for (let call = 0; call < 500; call++) calls.broke(live, `call ${call}`, exchange, [SIEVE], roomOf())
  expect([vi.getTimerCount(), held]).toEqual([64, 64])
  for (let call = 0; call < 500; call++) calls.forget(live, `call ${call}`)
  expect([vi.getTimerCount(), held]).toEqual([0, 0])
})

test('[MCP10] a call whose right is over is answered nowhere', async () => {
  calls.broke(live, 'a', exchange, [SIEVE], roomOf())
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  expect(passed('a')).toBeNull()
})
