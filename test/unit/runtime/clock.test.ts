// The clock of the process while the wall clock steps: nothing lives longer for it, and a lease never ends later.
import { beforeEach, expect, test, vi } from 'vitest'
import { SystemClock } from '../../../src/runtime/clock.ts'

const NOON = 1_800_000_000_000
let wall: number
let monotonic: number

beforeEach(() => {
  wall = NOON
  monotonic = 5_000.25
  vi.spyOn(Date, 'now').mockImplementation(() => wall)
  vi.spyOn(performance, 'now').mockImplementation(() => monotonic)
})

/** Both pass by so much. */
function pass(ms: number): void {
  wall += ms
  monotonic += ms
}
/** Time since noon, as the clock has it. */
const since = (clock: SystemClock): number => clock.now() - NOON

test('[SES9] the wall clock is followed, forwards too', () => {
  const clock = new SystemClock()
  pass(1_500)
  expect(since(clock)).toBe(1_500)
  wall += 3_600_000
  expect(since(clock)).toBe(3_601_500)
})

test('[SES9] a wall clock that steps back stops nothing: what ends in ten minutes ends in ten minutes', () => {
  const clock = new SystemClock()
  pass(1_000)
  expect(since(clock)).toBe(1_000)
  wall -= 3_600_000
  expect(since(clock)).toBe(1_000)
  for (let minute = 1; minute <= 30; minute++) {
    pass(60_000)
    expect(since(clock)).toBe(1_000 + minute * 60_000)
  }
})

test('[SES9] while it is behind `now` is a whole number, never goes back, and joins the wall when that has caught up', () => {
  const clock = new SystemClock()
  since(clock)
  wall -= 10_000
  let last = 0
  for (let i = 0; i < 200; i++) {
    wall += 100 // catches up: the wall passes at double the speed
    monotonic += 50.3
    const now = since(clock)
    expect([Number.isInteger(now), now >= last]).toEqual([true, true])
    last = now
  }
  expect(since(clock)).toBe(wall - NOON)
  pass(7)
  expect(since(clock)).toBe(wall - NOON)
})

test('[SES9] stepping back again and again gains nothing', () => {
  const clock = new SystemClock()
  for (let i = 1; i <= 50; i++) {
    pass(1_000)
    since(clock)
    wall -= 5_000
    expect(since(clock)).toBeGreaterThanOrEqual((i - 1) * 1_000)
  }
  pass(1_000)
  expect(since(clock)).toBeGreaterThanOrEqual(50_000)
  expect(since(clock)).toBeLessThanOrEqual(51_000)
})

test('[SES9, DEC8] `elapsed` counts what the machine slept through, and goes on through every step: a lease ends early rather than late', () => {
  const clock = new SystemClock()
  pass(1_000)
  expect(clock.elapsed()).toBe(1_000)
  wall += 60_000 // the machine slept
  expect(clock.elapsed()).toBe(61_000)
  wall -= 3_600_000
  expect(clock.elapsed()).toBe(61_000)
  monotonic += 70_000
  expect(clock.elapsed()).toBe(131_000)
})

test('[SES9, DEC8, STORE-34] a wall clock set an hour ahead and back again holds no lease open, and a sleep behind it still counts', () => {
  const clock = new SystemClock()
  wall += 3_600_000
  const ahead = clock.elapsed()
  wall -= 3_600_000
  const back = clock.elapsed()
  for (let second = 1; second <= 10; second++) {
    pass(1_000)
    expect(clock.elapsed() - back).toBe(1_000 * second)
  }
  wall += 1_800_000 // the machine slept
  expect(clock.elapsed() - back).toBe(1_810_000)
  expect(back).toBe(ahead)
})

test('[SES9] readings that are a little apart make no time: fifty thousand of them are as long as they took', () => {
  const clock = new SystemClock()
  const start = clock.elapsed()
  for (let i = 0; i < 50_000; i++) {
    monotonic += 0.01
    wall = NOON + Math.floor(i / 100) + (i % 7 === 0 ? 1 : 0)
    clock.elapsed()
  }
  expect(clock.elapsed() - start).toBeCloseTo(500, 0)
})
