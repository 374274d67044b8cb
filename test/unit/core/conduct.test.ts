// What gateways know of conduct, as pure questions: parts become one in any order and however often, sequences are those of their times, counts slide, and no part
// that anybody could write makes a score anything but a number from nothing to the highest.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bucketOf, chainOf, type Conduct, type Count, type Counted, type Firing, joinFirings, joinMaps, joinTimes, joinTold, NAMES_MAX, reachedAt, type Strike, struckAgain, STRIKES_MAX, tally, thinned } from '../../../src/core/conduct.ts'
import { conductOf, isOf, textOf } from '../../../src/core/conduct-text.ts'
import { decayed, SCORE_MAX } from '../../../src/core/risk.ts'
import { duration, type Instant, instant, later } from '../../../src/core/time.ts'
import { NOW } from './world.ts'

const HALF_LIFE = duration(900_000)
const times = (span = 3_000) => fc.array(fc.nat(span).map(ms => instant(NOW + ms)), { maxLength: 12 })
const firing: fc.Arbitrary<Firing> = fc.record({ points: fc.double({ min: 0, max: SCORE_MAX, noNaN: true }), at: fc.nat(1_000_000).map(ms => instant(NOW + ms)), from: fc.nat(1_000_000).map(ms => instant(NOW + ms)) })
const names = <V>(value: fc.Arbitrary<V>) => fc.array(fc.tuple(fc.string({ maxLength: 40 }), value), { maxLength: NAMES_MAX }).map(entries => new Map(entries))
const when = fc.nat(10_000_000).map(ms => instant(NOW - ms))
const sum = fc.record({ points: fc.double({ min: 0, max: SCORE_MAX, noNaN: true }).map(points => Math.round(points * 1_000) / 1_000), at: when })
const strikes: fc.Arbitrary<readonly Strike[]> = fc.array(fc.tuple(when, fc.integer({ min: 1, max: 9 })), { maxLength: STRIKES_MAX })
const conduct: fc.Arbitrary<Conduct> = fc.record({
  by: fc.stringMatching(/^[0-9a-f]{12}$/), since: when, counts: fc.array(fc.tuple(fc.nat(bucketOf(NOW)), fc.nat(), fc.nat(), fc.nat()), { maxLength: 61 }),
  seen: fc.record({ tenant: names(when), path: names(when), tool: names(when), source: names(when) }), steps: names(times().map(thinned).map(all => all.map(at => instant(at - 3_000)))),
  fired: names(fc.record({ points: fc.integer({ min: 0, max: SCORE_MAX }), at: when, from: when })), added: names(sum), told: names(sum), strikes: names(strikes), struck: names(when), used: names(fc.nat()),
})

const close = (a: Firing, b: Firing): boolean => Math.abs(a.points - b.points) < 1e-6 && a.at === b.at && a.from === b.from

describe('parts', () => {
  test('[RSK6] firings join in any order, in any grouping, and however often they are told', () => {
    fc.assert(fc.property(firing, firing, firing, (a, b, c) => {
      const join = (x: Firing, y: Firing): Firing => joinFirings(x, y, HALF_LIFE)
      expect(close(join(a, b), join(b, a))).toBe(true)
      expect(close(join(join(a, b), c), join(a, join(b, c)))).toBe(true)
      expect(join(a, a)).toEqual(a)
      expect(join(join(a, b), b).points).toBeCloseTo(join(a, b).points, 6)
    }))
  })

  test('[RSK6] two gateways that saw one firing count it once, and none of them makes the other less', () => {
    const known = { points: 30, at: NOW, from: NOW }
    const fired = (at: number): Firing => ({ points: decayed(30, NOW, instant(at), HALF_LIFE) + 10, at: instant(at), from: instant(at) })
    const joined = joinFirings(fired(NOW + 1_000), fired(NOW + 1_050), HALF_LIFE)
    expect(joined.points).toBeCloseTo(decayed(30, NOW, joined.at, HALF_LIFE) + 10, 1)
    expect(joinFirings(known, joined, HALF_LIFE)).toEqual(joined)
  })

  test('[RSK6] what was said last from outside stands, whoever hears it first', () => {
    fc.assert(fc.property(sum, sum, sum, (a, b, c) => {
      expect(joinTold(a, b)).toEqual(joinTold(b, a))
      expect(joinTold(joinTold(a, b), c)).toEqual(joinTold(a, joinTold(b, c)))
      expect(joinTold(a, a)).toBe(a)
    }))
  })

  test('[RSK6] maps keep the most that counts, in any order, and stay as they are where nothing is new', () => {
    fc.assert(fc.property(names(when), names(when), (a, b) => {
      const join = (x: Map<string, Instant>, y: Map<string, Instant>) => joinMaps(x, y, later, Number)
      expect(join(a, b)).toEqual(join(b, a)) // whatever the order of their names
      expect(join(a, b).size).toBeLessThanOrEqual(NAMES_MAX)
      const joined = join(a, b)
      if (a.size + b.size <= NAMES_MAX) expect(join(joined, b)).toBe(joined)
    }))
  })

  test('[RSK6] a part reads as it was written, and always fits', () => {
    fc.assert(fc.property(conduct, written => {
      const text = textOf(written)
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(16_384)
      expect(text.startsWith(isOf(written.by))).toBe(true)
      const read = conductOf(text, NOW)
      expect(read).not.toBe(null)
      if (written.seen.path.size <= 8 && written.strikes.size === 0 && written.steps.size <= 8) expect(read?.seen.path).toEqual(written.seen.path)
    }), { numRuns: 100 })
  })

  test('[RSK7] nothing that is no part is read as one', () => {
    const good = textOf({ by: 'b', since: NOW, counts: [], seen: { tenant: new Map(), path: new Map(), tool: new Map(), source: new Map() }, steps: new Map(), fired: new Map([['r', { points: 5, at: NOW, from: NOW }]]), added: new Map(), told: new Map(), strikes: new Map(), struck: new Map(), used: new Map() })
    expect(conductOf(good, NOW)?.fired.get('r')?.points).toBe(5)
    for (const [from, to] of [['[5,', '[-5,'], ['[5,', '[1e999,'], ['[5,', '[1001,'], ['[5,', '["5",'], ['[5,', '[null,'], [String(NOW), String(NOW + 400_000)], ['[1,', '[2,'], [']]', ']'], ['"r"', '7']] as const) expect(conductOf(good.replaceAll(from, to), NOW)).toBe(null)
    const counted = (ahead: number): string => good.replace('[],', `[[${bucketOf(instant(NOW + ahead))},9000,0,0]],`)
    expect(conductOf(counted(0), NOW)?.counts).toHaveLength(1)
    expect(conductOf(counted(3_600_000), NOW)).toBe(null) // it would count for ever
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), text => { expect(conductOf(text, NOW)).toBe(null) }))
  })
})

describe('sequences', () => {
  test('[RSK3] times are thinned the same in whatever order they come', () => {
    fc.assert(fc.property(times(), times(), (a, b) => {
      const both = thinned([...a, ...b])
      expect(joinTimes(thinned(a), thinned(b))).toEqual(both)
      expect(joinTimes(thinned(b), thinned(a))).toEqual(both)
      expect(thinned(both)).toEqual(both)
    }))
  })

  test('[RSK3] a chain is found where there is one, in its order, in its time, and nowhere else', () => {
    fc.assert(fc.property(fc.array(times(), { minLength: 2, maxLength: 3 }), fc.integer({ min: 1, max: 2_000 }), (steps, within) => {
      const sorted = steps.map(step => step.toSorted((a, b) => a - b))
      const [first = [], second = [], third] = sorted
      const chains = first.flatMap(a => second.filter(b => b > a).flatMap(b => (third === undefined ? [[a, b]] : third.filter(c => c > b).map(c => [a, c]))))
      const holds = chains.some(([from = 0, at = 0]) => at - from <= within)
      const found = chainOf(sorted, duration(within), instant(0))
      expect(found !== null).toBe(holds)
      if (found !== null) expect(found.at - found.from).toBeLessThanOrEqual(within)
    }))
  })
})

describe('counts', () => {
  const at = (counts: readonly Count[], ms: number): Counted => {
    const counted: Counted = { requestsPerMinute: 0, requests5m: 0, refusalsPerMinute: 0, refusals5m: 0, bytesPerMinute: 0, bytes5m: 0 }
    tally(counts, instant(NOW + ms), counted)
    return counted
  }

  test('[RSK2] count wholly for a minute, then fall within a bucket, and never below nothing', () => {
    const counts: readonly Count[] = [[NOW / 5_000, 100, 10, 1_000]]
    expect(at(counts, 60_000)).toMatchObject({ requestsPerMinute: 100, refusals5m: 10, bytesPerMinute: 1_000 })
    expect(at(counts, 62_500).requestsPerMinute).toBeCloseTo(50)
    expect(at(counts, 65_000)).toMatchObject({ requestsPerMinute: 0, requests5m: 100 })
    expect(at(counts, 306_000).requests5m).toBe(0)
    fc.assert(fc.property(fc.nat(400_000), fc.nat(10_000), (ms, more) => { expect(at(counts, ms + more).requests5m).toBeLessThanOrEqual(at(counts, ms).requests5m) }))
  })
})

describe('strikes', () => {
  test('[CND1] are as many as they were, and what is beyond the bound is counted rather too long than not', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), count => {
      let kept: readonly Strike[] = []
      for (let i = 0; i < count; i++) kept = struckAgain(kept, instant(NOW + i), duration(1_000_000))
      expect(kept.length).toBeLessThanOrEqual(STRIKES_MAX)
      expect(reachedAt(kept, count, instant(0))?.last).toBe(NOW + count - 1)
      expect(reachedAt(kept, count + 1, instant(0))).toBe(null)
    }))
  })

  test('[CND1] reach their number at the same strike in whatever order they are told', () => {
    fc.assert(fc.property(strikes, fc.integer({ min: 1, max: 20 }), (all, most) => {
      expect(reachedAt(all, most, instant(0))).toEqual(reachedAt(all.toReversed(), most, instant(0)))
    }))
  })
})
