// Buckets of a rate on a clock that a test moves: alone, and several that divide one rate among them as the store's port promises.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RateLimit } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { RateBucket, SHARED_FOR } from '../../../src/enforcement/rate-bucket.ts'

const PER = 10_000
const rateOf = (requests: number, burst = 1): RateLimit => ({ requests, bytes: null, per: duration(PER), burst, by: 'principal' })
const bytesOf = (bytes: number): RateLimit => ({ requests: null, bytes, per: duration(PER), burst: 1, by: 'principal' })
const burstOf = ({ requests, burst }: RateLimit): number => Math.max(1, ((requests ?? 0) * burst * 1_000) / PER)

/** One more, where there is room. */
function passes(bucket: RateBucket, now: number): boolean {
  if (bucket.wait(now) > 0) {
    bucket.refused()
    return false
  }
  bucket.take()
  return true
}

/** The most that passed in any span beyond what the speed brings in it. */
function most(passed: readonly number[], perMs: number): number {
  let worst = 0
  for (let i = 0; i < passed.length; i++) for (let j = i; j < passed.length; j++) worst = Math.max(worst, j - i + 1 - ((passed[j] ?? 0) - (passed[i] ?? 0)) * perMs)
  return worst
}

const walk = fc.array(fc.record({ wait: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1_000, max: 12_000 })), tries: fc.integer({ min: 1, max: 12 }), at: fc.integer({ min: 0, max: 2 }) }), { minLength: 1, maxLength: 60 })

test('[RAT1] in no span does more than its burst and what the rate brings in that span pass', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 20 }), walk, (requests, burst, steps) => {
    const rate = rateOf(requests, burst)
    const bucket = new RateBucket('', rate, true, 0)
    const passed: number[] = []
    let now = 0
    for (const { wait, tries } of steps) {
      now += wait
      for (let i = 0; i < tries; i++) if (passes(bucket, now)) passed.push(now)
    }
    expect(most(passed, requests / PER)).toBeLessThanOrEqual(burstOf(rate) + 1e-3)
  }))
})

test('[RAT1] who asks again when it was told to gets through', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 5 }), (requests, burst) => {
    const bucket = new RateBucket('', rateOf(requests, burst), true, 0)
    while (passes(bucket, 0));
    const wait = bucket.wait(0)
    expect(wait).toBeGreaterThan(0)
    expect(bucket.wait(wait / 2)).toBeGreaterThan(0)
    expect(passes(bucket, wait)).toBe(true)
  }))
})

test('[RAT1] bytes are counted as they pass, also below nothing, and nothing new passes until that is made up for', () => {
  const bucket = new RateBucket('', bytesOf(10_000), true, 0)
  expect(passes(bucket, 0)).toBe(true)
  bucket.passed(6_000)
  expect(bucket.wait(0)).toBe(5_000)
  expect(passes(bucket, 4_999)).toBe(false)
  expect(passes(bucket, 5_000)).toBe(true)
})

/** The port's promise: the sum of the shares that hold never exceeds the limit. */
class Division {
  readonly #held = new Map<number, { readonly share: number; readonly until: number }>()

  share(member: number, wanted: number, limit: number, now: number): number {
    let others = 0
    for (const [other, { share, until }] of this.#held) if (other !== member && until > now) others += share
    const share = Math.max(0, Math.min(wanted, limit - others))
    this.#held.set(member, { share, until: now + SHARED_FOR })
    return share
  }
}

test('[RAT2] over three gateways no more passes in any span than the rate, a tenth of it for each further one, and a burst for each, however requests move among them', () => {
  fc.assert(fc.property(fc.integer({ min: 10, max: 200 }), fc.integer({ min: 1, max: 5 }), walk, (requests, burst, steps) => {
    const rate = rateOf(requests, burst)
    const division = new Division()
    const buckets = [0, 1, 2].map(i => new RateBucket(String(i), rate, false, 0))
    const passed: number[] = []
    let now = 0
    for (const { wait, tries, at } of steps) {
      now += wait
      const bucket = buckets[at]
      for (let i = 0; bucket !== undefined && i < tries; i++) {
        if (passes(bucket, now)) passed.push(now)
        const wanted = bucket.asks(now)
        if (wanted !== null) bucket.given(division.share(at, wanted, requests, now), now)
      }
    }
    expect(most(passed, (requests * 1.2) / PER)).toBeLessThanOrEqual(3 * burstOf(rate) + 1e-3)
  }))
})

test('[RAT2] what a gateway gathered before its first share is no second burst', () => {
  const rate = rateOf(69)
  const bucket = new RateBucket('', rate, false, 0)
  const passed: number[] = []
  for (let i = 0; i < 12; i++) {
    if (passes(bucket, 7_247)) passed.push(7_247)
    const wanted = bucket.asks(7_247)
    if (wanted !== null) bucket.given(wanted, 7_247)
  }
  expect(passed).toHaveLength(6)
})

/** Tries all the time from one instant to another. @returns how many passed */
function flood(bucket: RateBucket, from: number, to: number): number {
  let passed = 0
  for (let now = from; now < to; now += 10) if (passes(bucket, now)) passed++
  return passed
}

test('[RAT2] without a share a tenth of the rate passes; with all of it, all', () => {
  const rate = rateOf(1_000)
  const alone = new RateBucket('', rate, false, 0)
  expect(flood(alone, 0, PER)).toBeLessThanOrEqual(100 + 10)
  const shared = new RateBucket('', rate, false, 0)
  let passed = 0
  for (let now = 0; now < PER; now += 10) {
    if (passes(shared, now)) passed++
    const wanted = shared.asks(now)
    if (wanted !== null) shared.given(wanted, now)
  }
  expect(passed).toBeGreaterThan(950)
})

test('[RAT2] while the store does not answer it goes on with its last share for ten seconds, and then with a tenth', () => {
  const bucket = new RateBucket('', rateOf(1_000), false, 0)
  while (passes(bucket, 0));
  expect(bucket.asks(0)).toBe(1_000)
  bucket.given(1_000, 0)
  while (passes(bucket, 1_000));
  expect(bucket.asks(1_000)).not.toBeNull()
  bucket.unanswered(1_000)
  expect(flood(bucket, 1_000, 10_000)).toBeGreaterThan(850)
  expect(flood(bucket, 10_000, 20_000)).toBeLessThanOrEqual(101)
})

test('[RAT2] one that holds a share asks again ahead of its end, for what was wanted of late and no more', () => {
  const bucket = new RateBucket('', rateOf(1_000), false, 0)
  while (passes(bucket, 0));
  bucket.asks(0)
  bucket.given(1_000, 0)
  expect(bucket.asks(999)).toBeNull()
  for (let now = 0; now < 1_000; now += 50) passes(bucket, now)
  expect(bucket.asks(1_000)).toBe(300) // twenty in a second, and half as much ahead
})

test('[RAT2] one that was not needed for long asks for nothing before its first part is half gone', () => {
  const bucket = new RateBucket('', rateOf(1_000), false, 0)
  for (let i = 0; i < 5; i++) passes(bucket, 0)
  expect(bucket.asks(0)).toBeNull()
  passes(bucket, 0)
  expect(bucket.asks(0)).toBe(1_000)
})
