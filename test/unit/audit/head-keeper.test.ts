import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { HeadKeeper, keptHead } from '../../../src/audit/head-keeper.ts'
import type { Head } from '../../../src/audit/record.ts'

class Kept {
  readonly values = new Map<string, string>()
  writes = 0
  failing = false

  async keep(name: string, value: string): Promise<void> {
    this.writes++
    if (this.failing) throw new Error('away')
    this.values.set(name, value)
  }

  async kept(name: string): Promise<string | null> {
    return this.values.get(name) ?? null
  }
}

const head = (seq: number): Head => ({ file: 'trail.jsonl', seq, hash: `h${seq}` })

describe('head keeper', () => {
  test('[AUD6] the head is kept each second when it moved, tried again when the store fails, and kept at the stop', async () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const [store, trail, failed] = [new Kept(), { head: head(1) }, vi.fn()]
    const keeper = new HeadKeeper({ store, trail, failed })
    expect(await keptHead(store)).toBeNull()
    await vi.advanceTimersByTimeAsync(1000)
    expect(await keptHead(store)).toEqual(head(1))
    await vi.advanceTimersByTimeAsync(5000)
    expect(store.writes).toBe(1)
    trail.head = head(2)
    store.failing = true
    await vi.advanceTimersByTimeAsync(1000)
    expect(failed).toHaveBeenCalledOnce()
    store.failing = false
    await vi.advanceTimersByTimeAsync(1000)
    expect(await keptHead(store)).toEqual(head(2))
    trail.head = head(3)
    await keeper.stop()
    expect(await keptHead(store)).toEqual(head(3))
    trail.head = head(4)
    await vi.advanceTimersByTimeAsync(5000)
    expect(await keptHead(store)).toEqual(head(3))
  })

  test('[AUD6] what is kept and is no head is not believed', async () => {
    const store = new Kept()
    await store.keep('trail.head', '{"file":"trail.jsonl","seq":"1","hash":"x"}')
    await expect(keptHead(store)).rejects.toThrow(TypeError)
  })
})
