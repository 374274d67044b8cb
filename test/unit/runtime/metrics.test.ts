// Metrics of several processes as one answer, and what a shared store tells.
import { expect, test } from 'vitest'
import { lasting, Metrics, PrimaryMetrics, type Snapshot, textOf } from '../../../src/runtime/metrics.ts'

const NOTHING = { sessions: () => [], elevations: () => [], exchanges: () => [], upstreams: () => [], addresses: () => [], stepUpsPending: () => 0, approvalsPending: () => 0, mirrored: () => 0, locks: () => 0, viewAge: () => 0, owed: () => 0, records: () => [], trailFailures: () => 0, trailDropped: () => 0, noiseDropped: () => 0 }

/** As it arrives from another process. */
const sent = async (metrics: { snapshot(): Promise<Snapshot> }): Promise<Snapshot> => structuredClone(await metrics.snapshot())
const valueOf = (text: string, name: string): number | null => {
  const line = text.split('\n').find(each => each.startsWith(`narrowgate_${name} `))
  return line === undefined ? null : Number(line.split(' ').at(-1))
}

function worker(n: number): Metrics {
  const metrics = new Metrics()
  metrics.observe({ ...NOTHING, mirrored: () => n, locks: () => 4, viewAge: () => n / 10, exchanges: () => [{ labels: { route: 'api', kind: 'stream' }, value: n }] })
  metrics.store.observe({ leaseRemaining: () => n, clockSkew: () => n / 100, members: () => [{ labels: { state: 'live' }, value: 3 }] })
  metrics.store.lapses.inc({ cause: 'silence' }, n)
  metrics.store.strict.observe({ outcome: 'acked' }, 0.002)
  metrics.configOk.set(n === 2 ? 0 : 1)
  return metrics
}

test('[ADM21] sums are sums; ages are the greatest, leases the shortest, what all see alike is told once', async () => {
  const text = await textOf(await Promise.all([worker(1), worker(2), worker(3)].map(sent)))
  const told = (name: string): number | null => valueOf(text, name)
  expect(['sessions_mirrored', 'exchanges_active{route="api",kind="stream"}', 'store_lapses_total{cause="silence"}', 'store_strict_seconds_count{outcome="acked"}'].map(told)).toEqual([6, 6, 6, 3])
  expect(['store_view_age_seconds', 'store_clock_skew_seconds', 'store_lease_remaining_seconds', 'locks_active', 'store_members{state="live"}', 'config_last_reload_success'].map(told)).toEqual([0.3, 0.03, 1, 4, 3, 0])
  expect(told('store_strict_seconds_bucket{le="0.0025",outcome="acked"}')).toBe(3)
})

test('[ADM21] of a process that is gone stays what only grows', async () => {
  const gone = await lasting([await sent(worker(1)), await sent(worker(3))])
  const again = await lasting([gone])
  const text = await textOf([again, await sent(worker(2))])
  expect(['store_lapses_total{cause="silence"}', 'store_strict_seconds_count{outcome="acked"}', 'sessions_mirrored', 'store_lease_remaining_seconds'].map(name => valueOf(text, name))).toEqual([6, 3, 2, 2])
})

test('[ADM8] the store\'s gauges are told by a store that has them, and by no other', async () => {
  const text = await new Metrics().text()
  expect(['store_lease_remaining_seconds', 'store_clock_skew_seconds'].map(name => valueOf(text, name))).toEqual([null, null])
  expect(valueOf(text, 'store_data_set_changes_total')).toBe(0)
})

test('[ADM21] a scrape is answered by whoever knows of all, and says what went wrong there', async () => {
  const metrics = new Metrics()
  metrics.gatheredBy(async () => 'all of them')
  expect(await metrics.text()).toBe('all of them')
  metrics.gatheredBy(() => Promise.reject(new Error('no answer')))
  await expect(metrics.text()).rejects.toThrow('no answer')
  expect(valueOf(await textOf([await sent(new PrimaryMetrics())]), 'workers_ready')).toBe(0)
})
