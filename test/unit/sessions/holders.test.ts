// Who holds an elevation, by the shares of a store that several gateways ask: the first that is given everything ends it, and nobody who holds is ever
// taken for gone. The store is one small table with the port's promise; time is the test's own.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionSignal } from '../../../src/core/signal.ts'
import { instant } from '../../../src/core/time.ts'
import { HELD_FOR, Holders } from '../../../src/sessions/holders.ts'
import type { Sharing } from '../../../src/sessions/store.ts'
import { elevation, SESSION } from '../core/world.ts'

const ID = 'elv_held' as ElevationId // the ids of this file's table

/** `share` as the port promises it: what all have together never exceeds the limit. */
class Shares {
  readonly #given = new Map<string, Map<string, { size: number; ends: number }>>()
  reachable = true

  member(name: string) {
    return {
      share: async ({ bucket, wanted, limit, for: span }: Sharing): Promise<number> => {
        if (!this.reachable) throw new Error('nobody answers')
        const now = performance.now()
        const all = this.#given.get(bucket) ?? new Map<string, { size: number; ends: number }>()
        const others = [...all].reduce((sum, [member, { size, ends }]) => sum + (member === name || ends <= now ? 0 : size), 0)
        const size = Math.max(0, Math.min(wanted, limit - others))
        this.#given.set(bucket, all.set(name, { size, ends: now + span }))
        return size
      },
    }
  }
}

class Gateway {
  readonly ended: SessionSignal[] = []
  readonly failures: unknown[] = []
  full = 0
  readonly holders: Holders

  constructor(shares: Shares, name: string) {
    this.holders = new Holders({
      store: shares.member(name), clock: { now: () => instant(Date.now()), elapsed: () => performance.now() }, apply: async (_key, signal) => { this.ended.push(signal) },
      full: () => { this.full++ }, failed: cause => { this.failures.push(cause) },
    })
  }
}

const holding = (id = ID, held = true): Session => ({ ...SESSION, elevations: [elevation(id, { held, state: { is: 'active', since: instant(0), until: instant(1e15) } })] })
const over = (): Session => ({ ...SESSION, elevations: [elevation(ID, { held: true, state: { is: 'ended', at: instant(1), reason: 'released' } })] })

let shares: Shares
let a: Gateway
let b: Gateway

beforeEach(() => {
  vi.useFakeTimers()
  shares = new Shares()
  a = new Gateway(shares, 'a')
  b = new Gateway(shares, 'b')
})
afterEach(() => {
  a.holders.stop()
  b.holders.stop()
  vi.useRealTimers()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const ends = ({ ended }: Gateway): readonly string[] => ended.map(signal => ('reason' in signal ? String(signal.reason) : ''))

describe('who holds', () => {
  test('[ELV15] what one gateway holds no other one ends, for as long as it does', async () => {
    await a.holders.hold(ID, holding())
    b.holders.heard(holding())
    await pass(60_000)
    expect([a.ended, b.ended]).toEqual([[], []])
  })

  test('[ELV15] behind the last holder it ends after five seconds, by one signal with one id wherever it is noticed', async () => {
    const letGo = await a.holders.hold(ID, holding())
    const other = await a.holders.hold(ID, holding())
    b.holders.heard(holding())
    letGo?.()
    await pass(20_500)
    expect(ends(a)).toEqual([])
    other?.()
    await pass(HELD_FOR - 10)
    expect([...ends(a), ...ends(b)]).toEqual([])
    await pass(2_100)
    expect(new Set([...ends(a), ...ends(b)])).toEqual(new Set(['released']))
    expect(new Set([...a.ended, ...b.ended].map(({ id }) => id)).size).toBe(1)
  })

  test('[ELV15] what was not given after all takes no place of those that are held, and a stream of it does', async () => {
    await a.holders.expect(ID, holding())
    a.holders.unexpect(ID)
    expect(a.holders.size).toBe(0)
    await a.holders.hold(ID, holding())
    a.holders.unexpect(ID)
    expect(a.holders.size).toBe(1)
  })

  test('[ELV15] taken up at another gateway in time, it goes on', async () => {
    const letGo = await a.holders.hold(ID, holding())
    b.holders.heard(holding())
    letGo?.()
    await pass(4_000)
    await b.holders.hold(ID, holding())
    await pass(30_000)
    expect([...a.ended, ...b.ended]).toEqual([])
  })

  test('[ELV15] a gateway that says nothing more holds nothing more', async () => {
    await a.holders.hold(ID, holding())
    b.holders.heard(holding())
    await pass(3_000)
    a.holders.stop()
    await pass(3_000)
    expect(ends(b)).toEqual([])
    await pass(4_000)
    expect(ends(b)).toEqual(['released'])
  })

  test('[ELV15] whoever asked has thirty seconds to take hold of it, and no more', async () => {
    expect(await a.holders.expect(ID, holding())).toBe(true)
    a.holders.heard(holding())
    b.holders.heard(holding())
    await pass(29_000)
    expect([...a.ended, ...b.ended]).toEqual([])
    await pass(3_000)
    expect(new Set([...ends(a), ...ends(b)])).toEqual(new Set(['released']))
  })

  test('[ELV15] a store that does not answer ends nothing; when it does, who holds is found holding', async () => {
    await a.holders.hold(ID, holding())
    b.holders.heard(holding())
    shares.reachable = false
    await pass(4_000)
    shares.reachable = true
    await pass(30_000)
    expect([...a.ended, ...b.ended]).toEqual([])
    expect(b.failures.length).toBeGreaterThan(0)
  })
})

describe('a session that is taken in', () => {
  test('[ELV15] is asked about first: what nobody holds ends before anything is carried, what somebody holds stays', async () => {
    await b.holders.asked(holding())
    expect(ends(b)).toEqual(['released'])
    await a.holders.hold(ID, holding())
    const third = new Gateway(shares, 'c')
    await third.holders.asked(holding())
    expect(third.ended).toEqual([])
    third.holders.stop()
  })

  test('[ELV15] where nobody can tell it is not taken in', async () => {
    shares.reachable = false
    await expect(b.holders.asked(holding())).rejects.toThrow('nobody answers')
  })

  test('[ELV15] what is not held is none of its business, and what is over is not watched any more', async () => {
    await b.holders.asked(holding(ID, false))
    b.holders.heard(holding())
    expect(b.holders.size).toBe(1)
    b.holders.heard(over())
    expect([b.holders.size, b.ended.length]).toEqual([0, 0])
  })

  test('[ELV15] of too many none is expected, and that is told', async () => {
    for (let i = 0; i < 4_096; i++) b.holders.heard(holding(`elv_${i}` as ElevationId)) // ids of this file
    expect([await b.holders.expect(ID, holding()), await b.holders.hold(ID, holding()), b.full]).toEqual([false, null, 2])
  })
})
