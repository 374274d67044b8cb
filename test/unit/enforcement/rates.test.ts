// Which bucket a request is taken from, how many of them there are, and what a store that does not answer costs.
import { expect, test } from 'vitest'
import type { Place, RateLimit, Route, Rule } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { Rates } from '../../../src/enforcement/rates.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import type { Sharing } from '../../../src/sessions/store.ts'
import { StoreFault } from '../../../src/sessions/store-fault.ts'
import { SetClock } from '../sessions/world.ts'

const rate = (requests: number, by: RateLimit['by'] = 'principal', per = 1_000): RateLimit => ({ requests, bytes: null, per: duration(per), burst: 1, by })
const placeOf = (ofRoute: readonly RateLimit[], ofRule: readonly RateLimit[] = []): Place =>
  ({ route: { name: 'api', rates: ofRoute } as unknown as Route, rule: { name: 'api#1', rates: ofRule } as unknown as Rule, params: {} }) // what rates ask of them
const liveOf = (principal: string, session = principal, tenant = ''): LiveSession =>
  ({ principal: { kind: 'principal', name: principal }, record: { id: session, principal: { tenant } } }) as unknown as LiveSession // likewise

function desk(most = 100, shared: ((sharing: Sharing) => Promise<number>) | null = null) {
  const counts = { limits: 0, refused: 0 }
  const clock = new SetClock()
  const metrics = { limitReached: { inc: () => void counts.limits++ }, rateLimited: { inc: () => void counts.refused++ } }
  const ports = { store: { confirmedUntil: () => (shared === null ? Infinity : 0), share: shared ?? (async () => 0) }, clock, metrics }
  return { counts, clock, rates: new Rates(ports as unknown as ConstructorParameters<typeof Rates>[0], most) } // the members that it asks
}

const passed = (rates: Rates, place: Place, live: LiveSession | null, tries: number): number => Array.from({ length: tries }, () => rates.take(place, live)).filter(short => short === null).length

test.each([
  { by: 'principal', same: liveOf('a', 'ses_2'), other: liveOf('b') },
  { by: 'session', same: liveOf('b', 'ses_1'), other: liveOf('a', 'ses_2') },
  { by: 'tenant', same: liveOf('b', 'ses_2', 't1'), other: liveOf('a', 'ses_1', 't2') },
] as const)('[RAT1] by $by its requests are counted together, and no others with them', ({ by, same, other }) => {
  const { rates, counts } = desk()
  const place = placeOf([rate(5, by)])
  expect(passed(rates, place, liveOf('a', 'ses_1', 't1'), 3)).toBe(3)
  expect(passed(rates, place, same, 10)).toBe(2)
  expect(passed(rates, place, other, 10)).toBe(5)
  expect(counts.refused).toBe(13)
})

test('[RAT1] callers without a session are counted together', () => {
  const { rates } = desk()
  const place = placeOf([rate(5)])
  expect(passed(rates, place, null, 9)).toBe(5)
  expect(passed(rates, place, liveOf('a'), 9)).toBe(5)
})

test('[RAT1] a request passes by every rate of its route and its rule, and is taken from none where one has nothing left', () => {
  const { rates, clock } = desk()
  const [wide, narrow] = [rate(10, 'everyone'), rate(2)]
  const both = placeOf([wide], [narrow])
  expect(passed(rates, both, liveOf('a'), 20)).toBe(2)
  expect(rates.take(both, liveOf('a'))).toMatchObject({ rate: narrow })
  expect(passed(rates, placeOf([wide]), liveOf('b'), 20)).toBe(8)
  expect(rates.take(both, liveOf('c'))).toMatchObject({ rate: wide })
  clock.pass(500)
  expect(passed(rates, both, liveOf('a'), 20)).toBe(1)
})

test('[RAT1] a reload that leaves a rate as it is leaves what was taken of it', () => {
  const { rates } = desk()
  expect(passed(rates, placeOf([rate(5)]), liveOf('a'), 9)).toBe(5)
  expect(passed(rates, placeOf([rate(5)]), liveOf('a'), 9)).toBe(0)
  expect(passed(rates, placeOf([rate(6)]), liveOf('a'), 9)).toBe(6)
})

test('[RAT1] buckets are bounded: the one idle for longest makes way, and it is counted', () => {
  const { rates, counts } = desk(3)
  const place = placeOf([rate(5, 'session')])
  for (let i = 0; i < 10_000; i++) rates.take(place, liveOf('a', `ses_${i}`))
  expect(rates.size).toBe(3)
  expect(counts.limits).toBe(9_997)
  passed(rates, place, liveOf('a', 'ses_9998'), 9)
  rates.take(place, liveOf('a', 'another'))
  expect(passed(rates, place, liveOf('a', 'ses_9998'), 9)).toBe(0)
})

test('[RAT2] what is asked of the store is asked behind the request, once for each that has to; and its name tells nobody who it is', async () => {
  const asked: Sharing[] = []
  const { rates } = desk(100, async sharing => (asked.push(sharing), sharing.wanted))
  const place = placeOf([rate(1_000, 'tenant')])
  const live = liveOf('a', 'ses_1', 'acme')
  const first = passed(rates, place, live, 200)
  expect(first).toBe(100)
  expect(asked).toMatchObject([{ wanted: 1_000, limit: 1_000, for: 2_000 }])
  expect(asked[0]?.bucket).not.toContain('acme')
  await Promise.resolve()
  expect(passed(rates, place, live, 2_000)).toBe(900)
})

test('[RAT2] a store that is away is waited for by nobody, and is asked again a second later', async () => {
  let asked = 0
  const { rates, clock } = desk(100, async () => {
    asked++
    throw new StoreFault('unreachable', 'gone')
  })
  const place = placeOf([rate(1_000)])
  expect(passed(rates, place, liveOf('a'), 200)).toBe(100)
  await new Promise(resolve => { setImmediate(resolve) })
  clock.pass(500)
  expect(passed(rates, place, liveOf('a'), 200)).toBe(50)
  expect(asked).toBe(1)
  clock.pass(500)
  expect(passed(rates, place, liveOf('a'), 200)).toBe(50)
  expect(asked).toBe(2)
})

test('[RAT1] bytes are counted where a rate counts bytes, and in each of several', () => {
  const { rates } = desk()
  const bytes = (amount: number): RateLimit => ({ requests: null, bytes: amount, per: duration(1_000), burst: 1, by: 'principal' })
  const place = placeOf([bytes(10_000)], [bytes(2_000)])
  expect(rates.meterOf(placeOf([rate(5)]), liveOf('a'))).toBeNull()
  expect(rates.meterOf(placeOf([]), liveOf('a'))).toBeNull()
  rates.meterOf(place, liveOf('a'))?.passed(4_000)
  expect(rates.take(place, liveOf('a'))).toMatchObject({ rate: { bytes: 2_000 }, wait: 1_000 })
  rates.meterOf(place, liveOf('a'))?.passed(7_000)
  expect(rates.take(placeOf([bytes(10_000)]), liveOf('a'))).toMatchObject({ wait: 100 })
})
