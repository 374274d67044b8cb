// Keys that lie with the data set: several gateways, each looking when it comes to it, and no token that any of them could not vouch for.
import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { LEAD, SIGNED_LIFE_MAX } from '../../../src/upstream/key-ring.ts'
import { newKeyPem, signingKeyOf } from '../../../src/upstream/signing-key.ts'
import { type KeptValues, StoredKeys } from '../../../src/upstream/stored-keys.ts'

const START = 1_800_000_000_000
const DAY = duration(86_400_000)
const HOUR = duration(3_600_000)
let now = START
const clock = { now: (): Instant => instant(now), elapsed: () => now }
const log = openLog('silent')
const opened: StoredKeys[] = []

/** What every gateway of an installation sees. */
class SharedValues implements KeptValues {
  values = new Map<string, string>()
  failing = false
  async keep(name: string, value: string): Promise<void> { this.#reached(); this.values.set(name, value) }
  async keepFirst(name: string, value: string): Promise<string> {
    this.#reached()
    if (!this.values.has(name)) this.values.set(name, value)
    return this.values.get(name) ?? ''
  }
  async kept(name: string): Promise<string | null> { this.#reached(); return this.values.get(name) ?? null }
  #reached(): void { if (this.failing) throw new Error('the store is away') }
}

async function open(store: KeptValues, rotate = DAY): Promise<StoredKeys> {
  const keys = await StoredKeys.open({ store, clock, log }, rotate)
  opened.push(keys)
  return keys
}

const kids = (keys: StoredKeys): readonly string[] => keys.published.map(({ kid }) => kid)

afterEach(() => {
  now = START
  for (const keys of opened.splice(0)) keys.stop()
})

describe('one gateway', () => {
  test('[CTX5] a key that is due makes way: the new one is published at once, signs five minutes later, and the old one stays until nothing stands on it', async () => {
    const store = new SharedValues()
    const keys = await open(store)
    const first = keys.signing.id
    now += DAY
    await keys.look()
    expect([kids(keys).length, keys.signing.id]).toEqual([2, first])
    now += LEAD - 1
    expect(keys.signing.id).toBe(first)
    now += 1
    const second = keys.signing.id
    expect([second === first, kids(keys)]).toEqual([false, [first, second]])
    now += SIGNED_LIFE_MAX + LEAD - 1
    expect(kids(keys)).toEqual([first, second])
    now += 1
    expect(kids(keys)).toEqual([second])
  })

  test('[CTX5] the private half of a key that is over is wiped, and a gateway that starts later begins behind it', async () => {
    const store = new SharedValues()
    const keys = await open(store)
    for (let i = 0; i < 3; i++) {
      now += DAY
      await keys.look()
      now += LEAD + SIGNED_LIFE_MAX + LEAD
      await keys.look()
    }
    expect([...store.values].filter(([, value]) => value.includes('PRIVATE KEY')).map(([name]) => name)).toEqual(['context.key.3'])
    const later = await open(store)
    expect([later.signing.id, kids(later)]).toEqual([keys.signing.id, kids(keys)])
    store.values.delete('context.key.oldest')
    expect((await open(store)).signing.id).toBe(keys.signing.id)
  })

  test('[CTX5] without an age nothing makes way', async () => {
    const keys = await StoredKeys.open({ store: new SharedValues(), clock, log }, null)
    opened.push(keys)
    now += 1_000 * DAY
    await keys.look()
    expect(kids(keys)).toHaveLength(1)
  })

  test('[CTX5] the key of an installation from before is taken over, and its age counts from then', async () => {
    const store = new SharedValues()
    const pem = newKeyPem()
    store.values.set('context.key', pem)
    const keys = await open(store)
    expect(kids(keys)).toEqual([signingKeyOf(pem).id])
    now += DAY - 1
    await keys.look()
    expect(kids(keys)).toHaveLength(1)
  })

  test('[CTX5] something else under the name of a key is no key: no start, and what runs goes on with what it has', async () => {
    const store = new SharedValues()
    const keys = await open(store)
    for (const junk of ['{}', 'junk', '{"pem":1,"at":2}', '{"pem":"x","at":1}']) {
      store.values.set('context.key.1', junk)
      await expect(keys.look(), junk).rejects.toThrow()
      await expect(open(store), junk).rejects.toThrow()
    }
    expect(kids(keys)).toHaveLength(1)
    await keys.fresh() // does not reject
  })
})

describe('several', () => {
  test('[CTX5] all that start at a time have one key, and one that is due at a time is made once', async () => {
    const store = new SharedValues()
    const all = await Promise.all(Array.from({ length: 5 }, () => open(store)))
    expect(new Set(all.map(({ signing }) => signing.id)).size).toBe(1)
    now += DAY
    await Promise.all(all.map(keys => keys.look()))
    await Promise.all(all.map(keys => keys.look()))
    expect(new Set(all.map(keys => kids(keys).join())).size).toBe(1)
    expect(kids(all[0] as StoredKeys)).toHaveLength(2) // five were opened
  })

  test('[CTX5] behind the loss of a data set they agree again, and what each had signed still verifies', async () => {
    const store = new SharedValues()
    const [a, b] = [await open(store), await open(store)]
    now += DAY
    await a.look()
    await b.look()
    now += LEAD
    const used = a.signing.id
    store.values = new Map()
    const stranger = await open(store)
    await a.named()
    await b.named()
    for (const keys of [stranger, a, b]) await keys.look()
    expect([a, b].map(keys => kids(keys).includes(used) && kids(keys).includes(stranger.signing.id))).toEqual([true, true])
    expect(kids(stranger)).toContain(used)
  })

  type Step = { readonly who: number; readonly does: 'look' | 'sign' | 'restart' | 'fail' | 'day'; readonly seconds: number }
  const step: fc.Arbitrary<Step> = fc.record({ who: fc.nat(2), does: fc.constantFrom<Step['does'][]>('look', 'look', 'sign', 'sign', 'sign', 'restart', 'fail', 'day'), seconds: fc.nat(40) })

  test('[CTX5] at any moment every token that counts, whoever minted it, verifies with the key set of every gateway', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async steps => {
      now = START
      const store = new SharedValues()
      const gateways = [await open(store, HOUR), await open(store, HOUR), await open(store, HOUR)]
      const looked = [now, now, now]
      let tokens: { readonly kid: string; readonly exp: number }[] = []
      const check = (): void => {
        tokens = tokens.filter(({ exp }) => exp > now)
        for (const { kid } of tokens) for (const keys of gateways) expect(kids(keys)).toContain(kid)
      }
      const look = async (i: number): Promise<void> => {
        await gateways[i]?.look().then(() => { looked[i] = now }, () => undefined)
      }
      for (const { who, does, seconds } of steps) {
        now += does === 'day' ? 50 * 60_000 : seconds * 1_000
        store.failing = does === 'fail'
        for (const i of [0, 1, 2]) if (now - (looked[i] ?? 0) > 120_000) await look(i) // the longest that one may have heard nothing
        store.failing = false
        if (does === 'look' || does === 'fail') await look(who)
        if (does === 'restart') {
          gateways[who]?.stop()
          gateways[who] = await open(store, HOUR)
        }
        check()
        const signs = gateways[who]
        if (does === 'sign' && signs !== undefined) tokens.push({ kid: signs.signing.id, exp: now + SIGNED_LIFE_MAX })
        check()
      }
    }), { numRuns: 150 })
  })
})
