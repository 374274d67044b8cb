// S9: a third party pays once for each schedule, 500 calls and 100 000 EUR at most. Here an operator's word opens the payment run, on one gateway and on two that count
// together. The story is played once on each setting; each clause is asserted on what was seen of it. By the calendar it is played in s09-calendar.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RawClient } from '../support/raw-client.ts'
import { asked, both, type Caller, connect, elevatedAt, on, SETTINGS, type Setting, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { bearer, factsIn, type Line, loadsAsItStands, outcome, tokenFor, word } from './stage.ts'

const OVERRIDE = '/v1/windows/payment-run/override'
const HOUR = 3_600_000
const CALLS = 500
const MORE = 20
const LANES = 8
const PAY = '/payments'
const BATCH = '/payments/batches'
const SPENT = both('403 limit_reached')

const payment = (amount: string): object => ({ to: 'DE75512108001245126199', amount, currency: 'EUR' })
const time = (fromNow: number): string => new Date(Date.now() + fromNow).toISOString()

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s09.yaml'))

describe.each(SETTINGS)('S9 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    calls: { told: [] as string[], dispatched: 0, elevation: '', again: [] as readonly string[], anew: [] as readonly string[], elsewhere: [] as readonly string[], counter: '', uses: 0, sum: 0 },
    sum: { told: [] as (readonly string[])[], dispatched: [] as string[], elevation: '', uses: 0, sum: 0 }, odd: [] as string[], stranger: 0, closed: {} as Line,
  }

  const partner = async (sid: string, sub = 'acme-pay'): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, sub, { sid }), { host: 'payments.internal' }) })
  const pays = (caller: Caller, amount: string): Promise<readonly string[]> => through(setting, caller, 'POST', PAY, payment(amount))
  /** Opens the run now: another one than before. */
  const opens = async (): Promise<unknown> => word(setting.a, OVERRIDE, { from: time(-1_000), until: time(HOUR) })
  const closes = async (): Promise<Line> => (await word(setting.a, OVERRIDE, { until: 'now' })).json
  const asksFor = (caller: Caller): Promise<string> => elevatedAt(setting.a, caller, { profile: 'pay' })
  const dispatched = (): readonly string[] => setting.a.upstream.requests.filter(({ path }) => path === PAY).map(recorded => recorded.body().toString())

  /** How much is counted in the store, by all gateways. */
  async function counted(elevation: string): Promise<readonly [counter: string, uses: number, sum: number]> {
    const { parts: { mirror, store } } = setting.a
    const counter = [...mirror.all()].flatMap(({ record }) => record.elevations).find(({ id }) => id === elevation)?.budget?.counter
    if (counter === undefined) throw new Error('nothing of it is counted')
    return [counter, await store.taken(`${counter}/uses`), await store.taken(`${counter}/sum`)]
  }

  /** 520 at once over connections that stay, half of them to either gateway. */
  async function tooManyCalls(): Promise<void> {
    await opens()
    const caller = await partner('calls')
    const { calls } = seen
    calls.elevation = await asksFor(caller)
    const before = dispatched().length
    const lanes = await Promise.all(Array.from({ length: LANES }, (_lane, i) => connect(i % 2 === 0 ? setting.a : setting.b, caller)))
    let left = CALLS + MORE
    const lane = async (client: RawClient): Promise<void> => {
      while (left-- > 0) calls.told.push(outcome(await on(client, caller, 'POST', PAY, payment('0.10'))))
    }
    await Promise.all(lanes.map(lane))
    for (const client of lanes) client.close()
    calls.dispatched = dispatched().length - before
    ;[calls.counter, calls.uses, calls.sum] = await counted(calls.elevation)
    calls.again = await pays(caller, '0.10')
    await asksFor(caller)
    calls.anew = await pays(caller, '0.10')
    const another = await partner('another-session')
    await asksFor(another)
    calls.elsewhere = await pays(another, '0.10')
    await closes()
  }

  /** To the cent, by decimals that no binary number has. */
  async function tooMuch(): Promise<void> {
    await opens()
    const caller = await partner('sum')
    const { sum } = seen
    sum.elevation = await asksFor(caller)
    const before = dispatched().length
    for (const amount of ['49999.80', '0.10', '0.20', '0.01']) sum.told.push(await pays(caller, amount))
    sum.dispatched = dispatched().slice(before).map(body => String((JSON.parse(body) as { readonly amount: string }).amount)) // a payment
    ;[, sum.uses, sum.sum] = await counted(sum.elevation)
    await closes()
    await opens()
    const next = await partner('odd')
    await asksFor(next)
    for (const amount of ['100000.01', '1e3', '-1.00', '0.001', ' 1.00', '']) seen.odd.push(await told(setting.b, next, 'POST', PAY, payment(amount)))
    seen.odd.push(await told(setting.b, next, 'POST', PAY, {}), await told(setting.b, next, 'POST', PAY, payment('100000.00')))
    await closes()
  }

  const duties = new Duties({
    carried: { method: 'POST', path: PAY, body: payment('10.00') }, stream: BATCH, streamed: { method: 'POST', body: payment('20.00') }, rest: '/rates', before: '403 elevation_required', after: '403 window_closed', reason: 'window_closed',
    caller: (_setting, name) => partner(name),
    other: async () => ({ caller: await partner('reads', 'acme-desk'), path: '/rates/live' }),
    give: async (_setting, caller) => {
      await opens()
      return asksFor(caller)
    },
    end: async () => { seen.closed = await closes() },
    revive: () => opens(),
  })

  beforeAll(async () => {
    setting = await raise('s09.yaml', {})
    seen.stranger = (await asked(setting.b, await partner('stranger', 'acme-desk'), 'POST', '/.narrowgate/elevations', { profile: 'pay' })).status
    await tooManyCalls()
    await tooMuch()
    await duties.play(setting)
  }, 60_000)
  afterAll(() => setting.stop())

  const closedOf = (elevation: string): readonly Line[] => duties.lines.filter(({ kind, grant, status }) => kind === 'exchange.closed' && grant === elevation && status === 200)
  const requestOf = (elevation: string): Line | undefined => factsIn(duties.lines, 'elevation.requested').map(fact => fact['elevation'] as Line).find(({ id }) => id === elevation) // what was asked

  test('[S9.b] 500 calls pass in one run, over both gateways together, and the upstream got no other', () => {
    const { told: outcomes, dispatched: reached, uses } = seen.calls
    expect(outcomes).toHaveLength(CALLS + MORE)
    expect([outcomes.filter(each => each === '200').length, reached, uses]).toEqual([CALLS, CALLS, CALLS])
    expect([seen.stranger, duties.before]).toEqual([403, both('403 elevation_required')])
  })

  test('[S9.h] call 501 is refused, also by an elevation asked anew in that run and in another session', () => {
    const { told: outcomes, again, anew, elsewhere } = seen.calls
    expect(outcomes.filter(each => each !== '200')).toEqual(Array.from({ length: MORE }, () => '403 limit_reached'))
    expect([again, anew, elsewhere]).toEqual([SPENT, SPENT, SPENT])
  })

  test('[S9.c, S9.i] 100 000.00 EUR pass to the cent; the amount over that is refused, and nothing of it is counted', () => {
    const { told: outcomes, dispatched: reached, uses, sum } = seen.sum
    expect(outcomes).toEqual([both('200'), both('200'), both('200').with(1, '403 limit_reached'), SPENT])
    expect(reached).toEqual(['49999.80', '49999.80', '0.10', '0.10', '0.20'])
    expect([uses, sum]).toEqual([5, 10_000_000])
    expect(seen.odd).toEqual(['403 limit_reached', ...Array.from({ length: 6 }, () => '400 body_malformed'), '200'])
  })

  test('[S9.j] the run is closed: what is open is cut before that is answered, and everything is refused until the next', () => {
    expect(seen.closed).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect([duties.after, duties.rest]).toEqual([both('403 window_closed'), both('200')])
    expect(duties.cutAfter).toBeLessThan(BOUND)
  })

  test('[S9.l] the counters are on record: the limits and the count with what was asked, with each call what it took, and that nothing is left', () => {
    const { elevation, counter } = seen.calls
    expect(requestOf(elevation)).toMatchObject({ budget: { counter }, limits: { uses: CALLS, sum: { field: '/amount', max: 10_000_000, scale: 2 } } })
    const calls = closedOf(elevation)
    expect(calls.map(({ counted: took }) => took)).toEqual(Array.from({ length: CALLS }, () => ({ uses: 1, sum: 10 })))
    expect(closedOf(seen.sum.elevation).map(({ counted: took }) => (took as { readonly sum: number }).sum).toSorted((x, y) => x - y)).toEqual([10, 10, 20, 4_999_980, 4_999_980]) // of the limit
    expect(factsIn(duties.lines, 'elevation.spent').map(({ elevation: of }) => of)).toContain(elevation)
    expect(duties.lines.filter(({ kind, reason, path }) => kind === 'request.refused' && reason === 'limit_reached' && path === PAY).length).toBeGreaterThanOrEqual(MORE)
  })

  test('[S9.m, S9.n] each call names the schedule that it was judged by, its version, its time zone and the word that moved it', () => {
    const calls = duties.lines.filter(({ kind, grant }) => kind === 'exchange.opened' && grant === duties.elevation)
    expect(calls.length).toBeGreaterThanOrEqual(4)
    expect(new Set(calls.filter(({ path }) => path === '/payments').map(({ label }) => label))).toEqual(new Set(['payment'])) // what the example's rule calls them
    for (const { elevation } of calls) expect((elevation as { readonly schedules: readonly string[] }).schedules).toEqual([expect.stringMatching(/^payment-run@[\w-]{16}\[Europe\/Berlin\]\+\d+$/)]) // an elevated exchange's
    expect(requestOf(duties.elevation)).toMatchObject({ within: ['payment-run'], schedules: [expect.stringContaining('[Europe/Berlin]')] })
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S9.o', risk: 'S9.p', digest: 'S9.q', life: 'S9.r', exchanges: 'S9.s', verify: 'S9.t', replay: 'S9.u', reconnect: 'S9.v', revive: 'S9.w', across: 'S9.x', upstream: 'S9.z', shared: 'S9.aa',
  })) test(`[${id}] ${says}`, prove)

  test('[S9.y] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
