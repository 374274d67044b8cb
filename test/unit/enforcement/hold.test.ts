// Who waits for fresh knowledge, how long, and that nobody is forgotten or kept.
import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { HELD_MAX, Hold } from '../../../src/enforcement/hold.ts'

class Caller extends EventEmitter {
  gone = false
  leave(): void {
    this.gone = true
    this.emit('close')
  }
  onClose(listener: () => void): () => void {
    this.once('close', listener)
    return () => void this.off('close', listener)
  }
}

let elapsed = 1_000
const proof = { until: 0 }
const clock = { now: (): Instant => instant(elapsed), elapsed: () => elapsed }
let patience = 2_000
let full = 0
let hold: Hold

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate'] })
  proof.until = 0
  patience = 2_000
  full = 0
  hold = new Hold({ clock, confirmedUntil: () => proof.until }, () => duration(patience), () => full++)
})
afterEach(() => void vi.useRealTimers())

/** Time passes, a look at a time. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 5) {
    elapsed += Math.min(5, left)
    await vi.advanceTimersByTimeAsync(5)
  }
}

type Waited = { answer: boolean | null }
function waits(caller: Caller): Waited {
  const waited: Waited = { answer: null }
  void hold.wait(caller).then(answer => (waited.answer = answer))
  return waited
}

test('[DEC8] a request waits until knowledge is fresh, told so or not, and not a look longer', async () => {
  const [told, untold] = [waits(new Caller()), waits(new Caller())]
  await pass(500)
  expect([told.answer, untold.answer, hold.size]).toEqual([null, null, 2])
  proof.until = elapsed + 1_000
  hold.confirmed()
  await vi.advanceTimersByTimeAsync(0)
  expect([told.answer, untold.answer, hold.size, vi.getTimerCount()]).toEqual([true, true, 0, 0])
  proof.until = 0
  const again = waits(new Caller())
  await pass(500)
  proof.until = elapsed + 1_000
  await pass(30)
  expect([again.answer, hold.size, vi.getTimerCount()]).toEqual([true, 0, 0])
})

test('[DEC8] patience ends, and it is one for all waits of a request', async () => {
  const [patient, other] = [new Caller(), new Caller()]
  const first = waits(patient)
  await pass(1_500)
  proof.until = elapsed + 10
  hold.confirmed()
  await pass(20)
  expect([first.answer, hold.fresh]).toEqual([true, false])
  const [second, late] = [waits(patient), waits(other)]
  await pass(450)
  expect([second.answer, late.answer]).toEqual([null, null])
  await pass(60)
  expect([second.answer, late.answer, hold.size]).toEqual([false, null, 1])
  expect(await hold.wait(patient)).toBe(false)
  await pass(1_500)
  expect([late.answer, hold.size, vi.getTimerCount()]).toEqual([false, 0, 0])
  patience = 0
  expect(await hold.wait(new Caller())).toBe(false)
})

test('[DEC8] a lapse that is told lets nobody go', async () => {
  const waited = waits(new Caller())
  hold.confirmed()
  await pass(100)
  expect([waited.answer, hold.size]).toEqual([null, 1])
})

test('[DEC8] where knowledge is fresh a request found stale is judged once more, not again and again', async () => {
  proof.until = Infinity
  const caller = new Caller()
  expect([await hold.wait(caller), await hold.wait(caller), await hold.wait(new Caller())]).toEqual([true, false, true])
})

test('[DEC8] who goes away is forgotten at once, and who is gone does not wait', async () => {
  const [leaves, stays] = [new Caller(), new Caller()]
  const [left, stayed] = [waits(leaves), waits(stays)]
  leaves.leave()
  expect(hold.size).toBe(1)
  await pass(5)
  expect([left.answer, stayed.answer, leaves.listenerCount('close'), stays.listenerCount('close')]).toEqual([false, null, 0, 1])
  expect(await hold.wait(leaves)).toBe(false)
  stays.leave()
  expect([hold.size, stays.listenerCount('close'), vi.getTimerCount()]).toEqual([0, 0, 0])
})

test('[DEC8] more than so many do not wait; all who do are let go, some in each turn, and only while knowledge is fresh', async () => {
  let released = 0
  for (let i = 0; i < HELD_MAX; i++) void hold.wait(new Caller()).then(fresh => { if (fresh) released++ })
  expect([hold.size, full]).toEqual([HELD_MAX, 0])
  expect([await hold.wait(new Caller()), full, vi.getTimerCount()]).toEqual([false, 1, 1])
  proof.until = elapsed + 1_000
  hold.confirmed()
  await Promise.resolve()
  const inOneTurn = HELD_MAX - hold.size
  expect(inOneTurn).toBeGreaterThan(0)
  expect(inOneTurn).toBeLessThanOrEqual(100)
  proof.until = 0
  vi.advanceTimersToNextTimer()
  expect(hold.size).toBe(HELD_MAX - inOneTurn)
  proof.until = elapsed + 10_000
  await pass(1_000)
  expect([released, hold.size, vi.getTimerCount()]).toEqual([HELD_MAX, 0, 0])
})
