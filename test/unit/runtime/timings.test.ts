// What is counted in plain numbers reads like what the metrics library counts itself.
import fc from 'fast-check'
import { Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { lasting, textOf } from '../../../src/runtime/metrics.ts'
import { RequestCounts } from '../../../src/runtime/request-counts.ts'
import { Timings } from '../../../src/runtime/timings.ts'

const BOUNDS = [0.001, 0.01, 0.1, 1]
const seconds = fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), fc.constantFrom(...BOUNDS, 0))

test('[ADM8] a histogram of plain numbers tells what the library tells, line by line, here and out of many processes', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b"\n', ''), seconds), { maxLength: 60 }), async observed => {
    const [ours, theirs] = [new Registry(), new Registry()]
    const timings = new Timings('t_seconds', 'Times', 'route', BOUNDS, ours)
    const histogram = new Histogram({ name: 't_seconds', help: 'Times', labelNames: ['route'], buckets: BOUNDS, registers: [theirs] })
    for (const [route, value] of observed) {
      timings.of(route).observe(value)
      histogram.observe({ route }, value)
    }
    const sorted = (text: string): readonly string[] => text.split('\n').toSorted()
    expect(sorted(await ours.metrics())).toEqual(sorted(await theirs.metrics()))
    const [a, b] = [await ours.getMetricsAsJSON(), await theirs.getMetricsAsJSON()].map(snapshot => structuredClone(snapshot))
    if (a === undefined || b === undefined) throw new Error('no snapshot')
    expect(sorted(await textOf([a, a]))).toEqual(sorted(await textOf([b, b])))
    expect(sorted(await textOf([await lasting([a])]))).toEqual(sorted(await textOf([await lasting([b])])))
  }))
})

test('[ADM8] what is no number is not observed', async () => {
  const registry = new Registry()
  const timings = new Timings('t_seconds', 'Times', 'route', BOUNDS, registry)
  timings.of('a').observe(NaN)
  timings.of('a').observe(Infinity)
  expect(await registry.metrics()).toContain('t_seconds_count{route="a"} 0')
})

test('[ADM8] requests are counted by closed labels; past the limit of rows by the first digit of the status, and none is lost', () => {
  const counts = new RequestCounts()
  counts.count('api', 'BREW', 'http1', 200, null, 'observed')
  counts.count('api', 'GET', 'http1', 200, null, 'elevation')
  counts.count('api', 'GET', 'http1', 403, 'credential_expired', null)
  expect(counts.rows().map(({ labels: { method, decision, elevated, reason } }) => [method, decision, elevated, reason])).toEqual([['other', 'would_refuse', 'false', ''], ['GET', 'permit', 'true', ''], ['GET', 'refuse', 'false', 'credential_expired']])
  for (let i = 0; i < 50_000; i++) counts.count(`route${Math.floor(i / 500)}`, 'GET', 'http1', 100 + (i % 500), null, 'baseline')
  const rows = counts.rows()
  expect(rows.length).toBeLessThan(20_000 + 100 * 5)
  expect(rows.reduce((sum, { value }) => sum + value, 0)).toBe(50_003)
  expect(rows.filter(({ labels: { code } }) => code === '2xx').length).toBeGreaterThan(0)
})
