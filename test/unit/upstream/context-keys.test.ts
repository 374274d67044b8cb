// How keys are looked for: every so often, once at a time, and told once where that fails.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { Looking } from '../../../src/upstream/context-keys.ts'

let looks = 0
let failing = false
let failures: string[] = []
let held: PromiseWithResolvers<void> | null = null
let looking: Looking

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  ;[looks, failing, failures, held] = [0, false, [], null]
  looking = new Looking(duration(10_000), async () => {
    looks++
    await held?.promise
    if (failing) throw new Error('away')
  }, error => failures.push(String(error)))
})
afterEach(() => {
  looking.stop()
  vi.useRealTimers()
})

test('[CTX5] every ten seconds, one look at a time', async () => {
  await vi.advanceTimersByTimeAsync(30_000)
  expect(looks).toBe(3)
  held = Promise.withResolvers()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(looks).toBe(4)
  held.resolve()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(looks).toBe(5)
  looking.stop()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(looks).toBe(5)
})

test('[CTX5] failing is told once, until it went well again, and rejects nothing', async () => {
  failing = true
  await vi.advanceTimersByTimeAsync(30_000)
  expect(failures).toEqual(['Error: away'])
  failing = false
  await vi.advanceTimersByTimeAsync(10_000)
  failing = true
  await looking.now()
  expect(failures).toHaveLength(2)
})

test('[CTX5] what was looked at within two minutes is fresh; behind that it is looked at before anything is signed', async () => {
  failing = true
  await vi.advanceTimersByTimeAsync(119_000)
  const before = looks
  await looking.fresh()
  expect(looks).toBe(before)
  await vi.advanceTimersByTimeAsync(2_000)
  const later = looks
  await looking.fresh()
  expect(looks).toBe(later + 1)
})
