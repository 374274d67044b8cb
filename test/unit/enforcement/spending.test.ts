// What requests take of limits, over a real store: two gateways that know nothing of each other never take more than there is, whatever comes between
// taking and using, and what was not used is there again. SPEC: LIM1, LIM2
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Elevation, Limits } from '../../../src/core/elevation.ts'
import { NO_LIMITS } from '../../../src/core/elevation.ts'
import type { Permit } from '../../../src/core/decision.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { NOT_RISKED } from '../../../src/core/risk.ts'
import type { Reason } from '../../../src/core/reason.ts'
import { placeOf, type Route } from '../../../src/core/route.ts'
import { duration, FOREVER, instant } from '../../../src/core/time.ts'
import { Budget } from '../../../src/enforcement/budget.ts'
import { type Channel, caseOf, Exchange, type GateKeeper, type Inquiry } from '../../../src/enforcement/exchange.ts'
import { abandon, gather, type Gathering } from '../../../src/enforcement/gather.ts'
import { Inflight } from '../../../src/enforcement/inflight.ts'
import { Reassessor } from '../../../src/enforcement/reassess.ts'
import { Metrics } from '../../../src/runtime/metrics.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import type { SessionStore } from '../../../src/sessions/store.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { elevation } from '../core/world.ts'
import { evidence, POLICY, World } from '../sessions/world.ts'

const nothing = (): void => undefined
const ROUTE: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
}
const policy: Policy = { ...POLICY, routes: [ROUTE] }
const RELAY = { upstream: { name: 'api', settings: { transaction: null } }, inspect: async () => null, bearer: () => null }

let world: World
let live: LiveSession
/** What stands between the gateways and the store. */
let store: SessionStore
let taking: () => Promise<void>
beforeEach(async () => {
  world = await World.start(policy)
  live = await world.opened()
  taking = () => Promise.resolve()
  store = slowed(() => world.store)
})
afterEach(() => world.close())

/** A store as it is at each call, whose takings wait for what the test says. */
const slowed = (current: () => SessionStore): SessionStore => new Proxy(world.store, {
  get: (_, name): unknown => {
    const target = current()
    if (name === 'take') return async (...args: Parameters<SessionStore['take']>) => taking().then(() => target.take(...args))
    const member: unknown = Reflect.get(target, name, target)
    return typeof member === 'function' ? member.bind(target) : member
  },
})

/** One of several gateways. */
class Desk {
  readonly metrics = new Metrics()
  readonly ended: Reason[] = []
  readonly keeper: GateKeeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
  readonly inflight = new Inflight()
  readonly reassessor = new Reassessor(this.keeper, this.inflight, { regranted: nothing, frozen: nothing, resumed: nothing, finishing: nothing, cut: ({ reason }) => void this.ended.push(reason) })
  readonly budget = new Budget({ store, clock: world.clock, metrics: this.metrics, ledger: world.ledger, reassessor: this.reassessor })
  readonly #step = this.budget.step

  request(carriedBy: Elevation, body: unknown = null): Gathering {
    const resource = { host: 'api.test', path: '/x', segments: ['x'], query: '' }
    const context = { protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [], body: body === null ? null : { value: body, digest: 'd' } } as const
    const evaluation = { evidence: evidence('cred_1', world.clock.now(), null), action: { method: 'GET', upgrade: null, call: null }, resource, context } as const
    const inquiry: Inquiry = { id: `exc_${++made}`, policy, place: placeOf(ROUTE, evaluation.action, resource), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
    return { inquiry, grant: { is: 'elevation', elevation: carriedBy, schedules: [] }, stepUp: null, until: FOREVER, relay: RELAY, done: new Map(), reserved: { spending: null, stepUp: null, attempts: 0 } }
  }

  async gathered(request: Gathering, deadline = 5_000): Promise<Reason | null> {
    const reason = await gather([this.#step], request, deadline)
    if (reason !== null) this.abandoned(request)
    return reason
  }

  abandoned(request: Gathering): void { abandon([this.#step], request, 'stale') }

  /** Admitted and dispatched, on a rule that asks for no scope. */
  admitted({ inquiry, reserved }: Gathering, channel: Partial<Channel> = {}): Exchange {
    const decision = evaluate(caseOf(inquiry, this.keeper, world.clock.now(), null))
    if (decision.effect !== 'permit') throw new Error(decision.reason)
    const exchange = new Exchange(inquiry, decision satisfies Permit, { status: 0, freeze: nothing, resume: nothing, cut: nothing, tick: nothing, ...channel }, this.keeper, world.clock.now())
    exchange.holds(reserved.spending)
    this.inflight.add(exchange)
    reserved.spending?.used()
    return exchange
  }

  over(exchange: Exchange): void {
    exchange.state = 'ended'
    this.inflight.remove(exchange)
  }
}

let made = 0
const limited = (limits: Partial<Limits>): Elevation => elevation(`elv_${++made}`, { limits: { ...NO_LIMITS, ...limits }, budget: { counter: `test/${made}`, forgetAt: instant(world.clock.now() + 3_600_000) } })
const takenOf = ({ budget }: Elevation, what: string): Promise<number> => world.store.taken(`${budget?.counter}/${what}`)
const becomes = (ask: () => Promise<number>, wanted: number): Promise<void> => expect.poll(ask, { interval: 2, timeout: 2_000 }).toBe(wanted)

describe('sums', () => {
  const amount = (limit: string, field = '/amount'): Partial<Limits> => ({ sum: { field, scale: 2, max: Math.round(Number(limit) * 100) } })

  test('[LIM2, LIM1] a dime and two are exactly thirty cents, and a cent more is refused', async () => {
    const [one, other] = [new Desk(), new Desk()]
    const paid = limited(amount('0.30'))
    expect(await one.gathered(one.request(paid, { amount: 0.1 }))).toBeNull()
    expect(await other.gathered(other.request(paid, { amount: '0.20' }))).toBeNull()
    expect(await takenOf(paid, 'sum')).toBe(30)
    expect(await one.gathered(one.request(paid, { amount: 0.01 }))).toBe('limit_reached')
    await becomes(() => takenOf(paid, 'sum'), 30)
  })

  test('[LIM1, LIM2] a hundred at once at two gateways, of which ten can be paid: ten are, and nothing is left over', async () => {
    const [one, other] = [new Desk(), new Desk()]
    const paid = limited({ ...amount('1.00'), uses: 1_000 })
    const reasons = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? one : other)).map(desk => desk.gathered(desk.request(paid, { amount: '0.10' }))))
    expect([reasons.filter(reason => reason === null).length, reasons.filter(reason => reason === 'limit_reached').length]).toEqual([10, 90])
    await becomes(() => takenOf(paid, 'uses'), 10) // those that could not pay gave their use back
    await becomes(() => takenOf(paid, 'sum'), 100)
  })

  test.each([[{ amount: 0.001 }], [{ amount: -1 }], [{ amount: 'ten' }], [{ other: 1 }], [{ amount: null }], [{ amount: { is: 1 } }]])('[LIM2] %j has no amount: it is refused, and takes nothing', async body => {
    const desk = new Desk()
    const paid = limited({ ...amount('1.00'), uses: 5 })
    expect(await desk.gathered(desk.request(paid, body))).toBe('body_malformed')
    expect([await takenOf(paid, 'uses'), await takenOf(paid, 'sum')]).toEqual([0, 0])
  })

  test('[LIM2] where the body was not read nothing can be paid', async () => {
    const desk = new Desk()
    expect(await desk.gathered(desk.request(limited(amount('1.00'))))).toBe('limit_reached')
  })
})

describe('the store', () => {
  test('[LIM1] that answers too late has taken nothing: what it gives then is given back', async () => {
    const desk = new Desk()
    const single = limited({ uses: 1, perMinute: 1 })
    const answer = Promise.withResolvers<void>()
    taking = () => answer.promise
    expect(await desk.gathered(desk.request(single), 10)).toBe('store_failed')
    taking = () => Promise.resolve()
    answer.resolve()
    await becomes(() => takenOf(single, 'uses'), 0)
    await new Promise(resolve => { setImmediate(resolve) })
    expect(await takenOf(single, `minute/${Math.floor(world.clock.now() / 60_000)}`)).toBe(0) // nothing more is asked for
    expect(await desk.gathered(desk.request(single))).toBeNull()
    expect(await desk.gathered(desk.request(single))).toBe('limit_reached')
  })

  test('[LIM1] that fails refuses, and what was taken before it failed is given back', async () => {
    const desk = new Desk()
    const both = limited({ uses: 1, perMinute: 5 })
    let calls = 0
    taking = () => (calls++ === 0 ? Promise.resolve() : Promise.reject(new Error('gone')))
    expect(await desk.gathered(desk.request(both))).toBe('store_failed')
    await becomes(() => takenOf(both, 'uses'), 0)
  })

  test('[LIM1, STO16] that lost what it counted is told again before anybody takes more: the limit holds on', async () => {
    let current: SessionStore = world.store
    store = slowed(() => current)
    const [one, other] = [new Desk(), new Desk()]
    const seven = limited({ uses: 7 })
    for (let i = 0; i < 3; i++) expect(await one.gathered(one.request(seven))).toBeNull()
    for (let i = 0; i < 2; i++) expect(await other.gathered(other.request(seven))).toBeNull()
    const unused = one.request(seven)
    expect(await one.gathered(unused)).toBeNull()
    one.abandoned(unused)
    await becomes(() => takenOf(seven, 'uses'), 5)
    const anew: EmbeddedStore = openEmbeddedStore({ file: ':memory:', clock: world.clock, ephemeral: true })
    current = anew
    await Promise.all([one, other, one].map(desk => desk.budget.sayAgain()))
    expect(await anew.taken(`${seven.budget?.counter}/uses`)).toBe(5)
    const more = await Promise.all(Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? one : other)).map(desk => desk.gathered(desk.request(seven))))
    expect(more.filter(reason => reason === null)).toHaveLength(2)
    await anew.close()
  })
})

describe('bytes', () => {
  /** An exchange that hands on what it may, as relays do. */
  function flowing(desk: Desk, request: Gathering, chunks: number[]): { readonly exchange: Exchange; readonly had: () => number; readonly go: () => void } {
    let had = 0
    const go = (): void => {
      for (let next = chunks[0]; next !== undefined && exchange.state === 'open' && exchange.pays(next); next = chunks[0]) {
        had += next
        chunks.shift()
      }
    }
    const exchange = desk.admitted(request, { resume: () => go() })
    return { exchange, had: () => had, go }
  }

  test('[LIM1] come a piece at a time: it stands still for each, and what is left of them is given back at its end', async () => {
    const desk = new Desk()
    const carrier = limited({ bytes: 16_000 }) // pieces of 1,000
    const request = desk.request(carrier)
    expect(await desk.gathered(request)).toBeNull()
    expect(await takenOf(carrier, 'bytes')).toBe(1_000)
    const flow = flowing(desk, request, Array.from({ length: 25 }, () => 100))
    flow.go()
    expect(flow.had()).toBe(1_000)
    await becomes(async () => flow.had(), 2_500)
    expect(await takenOf(carrier, 'bytes')).toBe(3_000)
    desk.over(flow.exchange)
    await becomes(() => takenOf(carrier, 'bytes'), 2_500)
    expect(flow.exchange.pays(1)).toBe(false)
  })

  test('[LIM1] one hand-off may be longer than a piece; where it does not fit nothing of it passes, and the exchange is cut', async () => {
    const desk = new Desk()
    const carrier = limited({ bytes: 16_000 })
    const request = desk.request(carrier)
    expect(await desk.gathered(request)).toBeNull()
    const flow = flowing(desk, request, [12_000, 5_000])
    flow.go()
    await becomes(async () => flow.had(), 12_000)
    await expect.poll(() => desk.ended).toEqual(['limit_reached'])
    expect(flow.had()).toBe(12_000)
    await becomes(() => takenOf(carrier, 'bytes'), 12_000)
  })

  test('[LIM1, ENF3] a piece that comes while the exchange is frozen moves nothing before it is resumed', async () => {
    const desk = new Desk()
    const carrier = limited({ bytes: 16_000 })
    const request = desk.request(carrier)
    expect(await desk.gathered(request)).toBeNull()
    const flow = flowing(desk, request, [2_000])
    flow.go()
    flow.exchange.state = 'frozen'
    await becomes(() => takenOf(carrier, 'bytes'), 2_000)
    await new Promise(resolve => { setImmediate(resolve) })
    expect(flow.had()).toBe(0)
    flow.exchange.state = 'open'
    flow.go()
    expect(flow.had()).toBe(2_000)
  })

  test('[LIM1] a piece that comes behind the end is given back', async () => {
    const desk = new Desk()
    const carrier = limited({ bytes: 16_000 })
    const request = desk.request(carrier)
    expect(await desk.gathered(request)).toBeNull()
    const answer = Promise.withResolvers<void>()
    taking = () => answer.promise
    const flow = flowing(desk, request, [2_000])
    flow.go()
    desk.over(flow.exchange)
    answer.resolve()
    await becomes(() => takenOf(carrier, 'bytes'), 0)
    expect(flow.had()).toBe(0)
  })

  test('[LIM1] a store that fails for a moment holds it up and no more', async () => {
    const desk = new Desk()
    const carrier = limited({ bytes: 16_000 })
    const request = desk.request(carrier)
    expect(await desk.gathered(request)).toBeNull()
    let failures = 2
    taking = () => (failures-- > 0 ? Promise.reject(new Error('gone')) : Promise.resolve())
    const flow = flowing(desk, request, [2_000])
    flow.go()
    await becomes(async () => flow.had(), 2_000)
    expect(desk.ended).toEqual([])
    desk.over(flow.exchange)
    await becomes(() => takenOf(carrier, 'bytes'), 2_000)
  })
})

/** What comes between: a request gathers and is given up, or is admitted, moves bytes and ends. */
type Step = { readonly at: 0 | 1; readonly amount: number; readonly bytes: readonly number[]; readonly admitted: boolean; readonly wait: boolean }

test('[LIM1, LIM2] no interleaving of two gateways takes more than there is, and in the end exactly what was used is taken', async () => {
  const step = fc.record<Step>({ at: fc.constantFrom(0, 1), amount: fc.integer({ min: 0, max: 40 }), bytes: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 6 }), admitted: fc.boolean(), wait: fc.boolean() })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 24 }), fc.record({ uses: fc.integer({ min: 1, max: 10 }), sum: fc.integer({ min: 0, max: 200 }), bytes: fc.integer({ min: 1, max: 2_000 }) }), async (steps, { uses, sum, bytes }) => {
    const desks = [new Desk(), new Desk()] as const
    const carrier = limited({ uses, bytes, sum: { field: '/amount', scale: 2, max: sum } })
    const used = { uses: 0, sum: 0, bytes: 0 }
    const flights = steps.map(async ({ at, amount, bytes: chunks, admitted, wait }) => {
      const desk = desks[at]
      const request = desk.request(carrier, { amount: (amount / 100).toFixed(2) })
      if (wait) await Promise.resolve()
      if ((await desk.gathered(request)) !== null) return
      if (!admitted) return desk.abandoned(request)
      used.uses++
      used.sum += amount
      const exchange = desk.admitted(request)
      for (const chunk of chunks) {
        for (let i = 0; i < 50 && exchange.state === 'open' && !exchange.pays(chunk); i++) {
          if (i === 49) throw new Error('it waits for bytes for good')
          await new Promise(resolve => { setImmediate(resolve) })
          if (exchange.state === 'open' && exchange.pays(chunk)) break
        }
        if (exchange.state !== 'open') return
        used.bytes += chunk
      }
      desk.over(exchange)
    })
    await Promise.all(flights)
    expect(used.uses).toBeLessThanOrEqual(uses)
    expect(used.sum).toBeLessThanOrEqual(sum)
    expect(used.bytes).toBeLessThanOrEqual(bytes)
    await becomes(() => takenOf(carrier, 'uses'), used.uses)
    await becomes(() => takenOf(carrier, 'sum'), used.sum)
    await becomes(() => takenOf(carrier, 'bytes'), used.bytes)
  }), { numRuns: 60 })
})
