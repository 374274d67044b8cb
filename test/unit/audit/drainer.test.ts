import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Drainer, type FactSource } from '../../../src/audit/drainer.ts'
import type { Outgoing } from '../../../src/audit/record.ts'
import { birth, folder, frozen, linesOfKind, openTrail, outgoing, systemError, troubledDisk } from './samples.ts'

class Store implements FactSource {
  facts: Outgoing[] = []
  failing: Error | null = null
  forgotten: string[] = []
  reads = 0

  async drain(limit: number): Promise<readonly Outgoing[]> {
    this.reads++
    if (this.failing !== null) throw this.failing
    return this.facts.slice(0, limit)
  }

  async drained({ epoch, sequence }: Outgoing['position']): Promise<void> {
    this.forgotten.push(`${epoch}.${sequence}`)
    this.facts = this.facts.filter(({ position: p }) => p.epoch !== epoch || p.sequence > sequence)
  }
}

async function drainer(fsync = false, also: (page: readonly Outgoing[]) => Promise<void> = async () => {}) {
  const file = join(folder(), 'trail.jsonl')
  const { disk, trouble } = troubledDisk()
  const store = new Store()
  const trail = await openTrail(file, {}, { disk })
  const failed = vi.fn<(cause: unknown, wait: number) => void>()
  return { file, trouble, store, trail, failed, drainer: new Drainer({ source: store, trail, fsync, also, failed }) }
}

const positions = (file: string): readonly string[] => linesOfKind(file, 'fact').map(({ position: p }) => `${p.epoch}.${p.sequence}.${p.part}`)

describe('drainer', () => {
  test('[AUD8] everything reaches the trail once and in order, whatever the sizes of commits and epochs', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1200 }), { maxLength: 6 }), fc.nat({ max: 6 }), async (commits, turn) => {
      const d = await drainer()
      d.store.facts = commits.flatMap((parts, i) => Array.from({ length: parts }, (_, part) => outgoing(frozen(i + 1), i, part, i < turn ? 'e1' : 'e2')))
      const all = d.store.facts.map(({ position: p, part }) => `${p.epoch}.${p.sequence}.${part}`)
      expect(await d.drainer.drainNow()).toBe(true)
      expect(positions(d.file)).toEqual(all)
      expect(d.store.facts).toEqual([])
      await d.trail.close()
    }), { numRuns: 30 })
  })

  test('[AUD8, TRM2] whoever else has to have them gets them when the trail has them, and before the store forgets them', async () => {
    const order: string[] = []
    const d = await drainer(false, async page => { order.push(`${page.length} of ${positions(d.file).length} told, ${d.store.forgotten.length} forgotten`) })
    d.store.facts = [outgoing(birth(), 1), outgoing(frozen(2), 2)]
    expect(await d.drainer.drainNow()).toBe(true)
    expect([order, d.store.forgotten]).toEqual([['2 of 2 told, 0 forgotten'], ['e1.2']])
  })

  test('[AUD8] the store forgets nothing before the trail has it', async () => {
    const d = await drainer()
    d.store.facts = [outgoing(birth(), 1), outgoing(frozen(2), 2)]
    d.trouble.write = systemError('EIO')
    expect(await d.drainer.drainNow()).toBe(false)
    expect(d.store.forgotten).toEqual([])
    expect(d.failed).toHaveBeenCalledOnce()
    d.trouble.write = null
    expect(await d.drainer.drainNow()).toBe(true)
    expect(d.store.forgotten).toEqual(['e1.2'])
    expect(positions(d.file)).toEqual(['e1.1.0', 'e1.2.0'])
    expect(d.trail.counts.duplicates).toBe(2)
  })

  test('[AUD8] where fsync is on the store forgets nothing before it is on stable storage', async () => {
    const d = await drainer(true)
    d.store.facts = [outgoing(birth(), 1)]
    d.trouble.sync = systemError('EIO')
    expect(await d.drainer.drainNow()).toBe(false)
    expect(d.store.forgotten).toEqual([])
    d.trouble.sync = null
    expect(await d.drainer.drainNow()).toBe(true)
    expect(d.store.forgotten).toEqual(['e1.1'])
    await d.drainer.stop()
  })

  test('[AUD8] one loop at a time, and what is committed while it runs is not left behind', async () => {
    const d = await drainer()
    d.store.facts = [outgoing(birth(), 1)]
    const first = d.drainer.drainNow()
    d.store.facts.push(outgoing(frozen(2), 2))
    const second = d.drainer.drainNow()
    expect(second).toBe(first)
    await second
    expect(positions(d.file)).toEqual(['e1.1.0', 'e1.2.0'])
  })

  test('[AUD8] a commit made while the last page is being forgotten is drained by the same loop', async () => {
    const d = await drainer()
    d.store.facts = [outgoing(birth(), 1)]
    const forget = d.store.drained.bind(d.store)
    let calls = 0
    d.store.drained = async position => {
      await forget(position)
      if (calls++ > 0) return
      d.store.facts.push(outgoing(frozen(2), 2))
      void d.drainer.drainNow()
    }
    await d.drainer.drainNow()
    expect(positions(d.file)).toEqual(['e1.1.0', 'e1.2.0'])
  })

  test('[AUD8] a failing store is tried again by itself, ever more slowly, and not after the stop', async () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const d = await drainer()
    d.store.failing = new Error('away')
    await d.drainer.drainNow()
    await vi.advanceTimersByTimeAsync(100)
    await vi.advanceTimersByTimeAsync(199)
    expect(d.store.reads).toBe(2)
    await vi.advanceTimersByTimeAsync(1)
    expect(d.store.reads).toBe(3)
    for (let i = 0; i < 10; i++) await vi.advanceTimersByTimeAsync(10_000)
    expect(d.failed.mock.calls.map(([, wait]) => wait).slice(0, 9)).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
    d.store.failing = null
    d.store.facts = [outgoing(birth(), 1)]
    await vi.advanceTimersByTimeAsync(10_000)
    expect(d.store.facts).toEqual([])
    d.store.failing = new Error('away')
    expect(await d.drainer.stop()).toBe(false)
    const { reads } = d.store
    await vi.advanceTimersByTimeAsync(60_000)
    expect(d.store.reads).toBe(reads)
  })
})
