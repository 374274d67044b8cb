import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HeadKeeper, keptHead } from '../../../src/audit/head-keeper.ts'
import { gatewayName, keptGatewayName } from '../../../src/audit/open-trail.ts'
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
    const keeper = new HeadKeeper({ gateway: 'gw_a', store, trail, failed })
    expect(await keptHead(store, 'gw_a')).toBeNull()
    await vi.advanceTimersByTimeAsync(1000)
    expect(await keptHead(store, 'gw_a')).toEqual(head(1))
    await vi.advanceTimersByTimeAsync(5000)
    expect(store.writes).toBe(1)
    trail.head = head(2)
    store.failing = true
    await vi.advanceTimersByTimeAsync(1000)
    expect(failed).toHaveBeenCalledOnce()
    store.failing = false
    await vi.advanceTimersByTimeAsync(1000)
    expect(await keptHead(store, 'gw_a')).toEqual(head(2))
    trail.head = head(3)
    await keeper.stop()
    expect(await keptHead(store, 'gw_a')).toEqual(head(3))
    trail.head = head(4)
    await vi.advanceTimersByTimeAsync(5000)
    expect(await keptHead(store, 'gw_a')).toEqual(head(3))
  })

  test('[AUD6] what is kept and is no head is not believed', async () => {
    const store = new Kept()
    await store.keep('trail.head', '{"file":"trail.jsonl","seq":"1","hash":"x"}')
    await expect(keptHead(store, 'gw_a')).rejects.toThrow(TypeError)
  })

  test('[AUD6, AUD11] of several gateways at one store each finds its own head, and one that had no name before finds the old one once', async () => {
    const store = new Kept()
    await store.keep('trail.head', JSON.stringify(head(7)))
    expect([await keptHead(store, 'gw_a'), await keptHead(store, 'gw_b'), await keptHead(store, null)]).toEqual([head(7), head(7), head(7)])
    await Promise.all([['gw_a', 8], ['gw_b', 3]].map(([gateway, seq]) => new HeadKeeper({ gateway: String(gateway), store, trail: { head: head(Number(seq)) }, failed: () => undefined }).stop()))
    expect([await keptHead(store, 'gw_a'), await keptHead(store, 'gw_b'), await keptHead(store, null)]).toEqual([head(8), head(3), head(7)])
  })
})

describe('name of a gateway', () => {
  const folder = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'ng-name-'))
    onTestFinished(() => rmSync(made, { recursive: true, force: true }))
    return made
  }

  test('[AUD11] it is made at the first start, for its owner only, and stays', async () => {
    const file = join(folder(), 'state', 'gateway.w1.id')
    expect(await keptGatewayName(file)).toBeNull()
    const name = await gatewayName(file)
    expect(name).toMatch(/^gw_[a-z2-7]{26}$/)
    expect([statSync(file).mode & 0o777, await gatewayName(file), await keptGatewayName(file)]).toEqual([0o600, name, name])
  })

  test('[AUD11] a damaged one is told with its file and never replaced', async () => {
    const file = join(folder(), 'gateway.id')
    for (const text of ['gw_short\n', '\n', 'x'.repeat(2_000)]) {
      writeFileSync(file, text)
      await expect(gatewayName(file)).rejects.toThrow(file)
      expect(readFileSync(file, 'utf8')).toBe(text)
    }
  })
})
