// How an address is doing, on a clock of the test's own: out after so many faults or failed probes in a row, in again. SPEC: WIRE20
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { Wellness } from '../../../src/upstream/wellness.ts'

const EJECTION = { failures: 3, for: duration(1_000), atMost: 50 }
const CHECK = { path: '/health', every: duration(100), timeout: duration(50), healthyAfter: 2, unhealthyAfter: 3 }

const fails = (wellness: Wellness, times: number, now: number, mayEject = true): readonly boolean[] => Array.from({ length: times }, () => wellness.failed(now, mayEject))
const probes = (wellness: Wellness, ...answers: readonly boolean[]): void => answers.forEach(good => wellness.probed(good))

describe('faults of requests', () => {
  test('[WIRE20] so many in a row take it out for its time, to the millisecond', () => {
    const wellness = new Wellness(EJECTION, null)
    expect([fails(wellness, 3, 500), wellness.isWell(500), wellness.isEjected(1_499), wellness.isWell(1_499), wellness.isWell(1_500), wellness.isEjected(1_500)])
      .toEqual([[false, false, true], false, true, false, true, false])
  })

  test('[WIRE20] an answer in between begins the count anew', () => {
    const wellness = new Wellness(EJECTION, null)
    fails(wellness, 2, 0)
    wellness.succeeded()
    expect([fails(wellness, 2, 0), wellness.isWell(0), wellness.failed(0, true)]).toEqual([[false, false], true, true])
  })

  test('[WIRE20] what still fails while it is out neither counts nor lengthens it', () => {
    const wellness = new Wellness(EJECTION, null)
    fails(wellness, 3, 0)
    expect([fails(wellness, 20, 999).includes(true), wellness.isWell(1_000), fails(wellness, 2, 1_000), wellness.isWell(1_000)]).toEqual([false, true, [false, false], true])
  })

  test('[WIRE20] each time in a row it stays out longer, ten times its time at most, and an answer forgives all of it', () => {
    const wellness = new Wellness(EJECTION, null)
    const terms: number[] = []
    let now = 0
    for (let i = 0; i < 12; i++) {
      fails(wellness, 3, now)
      const from = now
      while (!wellness.isWell(now)) now += 500
      terms.push(now - from)
    }
    expect(terms).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10].map(times => times * 1_000))
    wellness.succeeded()
    fails(wellness, 3, now)
    expect([wellness.isWell(now + 999), wellness.isWell(now + 1_000)]).toEqual([false, true])
  })

  test('[WIRE20] it stays in while too many others are out, and goes with the next fault when they are back', () => {
    const wellness = new Wellness(EJECTION, null)
    expect([fails(wellness, 10, 0, false).includes(true), wellness.isWell(0), wellness.failed(0, true), wellness.isWell(0)]).toEqual([false, true, true, false])
  })

  test('[WIRE20] without ejection nothing takes it out', () => {
    const wellness = new Wellness(null, null)
    expect([fails(wellness, 1_000, 0).includes(true), wellness.isWell(0), wellness.isEjected(0)]).toEqual([false, true, false])
  })

  test('[WIRE20] it is out exactly when the last faults, unbroken, are as many as it takes, for any order of faults and answers', () => {
    fc.assert(fc.property(fc.array(fc.boolean(), { maxLength: 40 }), answers => {
      const wellness = new Wellness(EJECTION, null)
      let [row, out] = [0, false]
      for (const good of answers) {
        if (good) wellness.succeeded()
        else wellness.failed(0, true)
        row = good ? 0 : row + 1
        out ||= row === EJECTION.failures
        expect(wellness.isEjected(0)).toBe(out)
      }
    }))
  })
})

describe('probes', () => {
  test('[WIRE20] bad ones in a row take it out, good ones in a row take it in, and one that differs begins anew', () => {
    const wellness = new Wellness(null, CHECK)
    const seen: boolean[] = []
    for (const good of [false, false, true, false, false, false, true, false, true, true]) {
      wellness.probed(good)
      seen.push(wellness.isWell(0))
    }
    expect(seen).toEqual([true, true, true, true, true, false, false, false, false, true])
  })

  test('[WIRE20] what was never asked counts as well', () => expect(new Wellness(EJECTION, CHECK).isWell(0)).toBe(true))

  test('[WIRE20] good probes do not end an ejection, nor do answers to requests take in what fails its probes', () => {
    const ejected = new Wellness(EJECTION, CHECK)
    fails(ejected, 3, 0)
    probes(ejected, true, true, true)
    const unhealthy = new Wellness(EJECTION, CHECK)
    probes(unhealthy, false, false, false)
    unhealthy.succeeded()
    expect([ejected.isWell(999), ejected.isWell(1_000), unhealthy.isWell(0), unhealthy.isEjected(0)]).toEqual([false, true, false, false])
  })
})
