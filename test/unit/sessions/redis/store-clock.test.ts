// The one clock of a gateway on a shared store: never behind the store's time, ahead of it by less than one way to it, and never back. SPEC: STO5
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { instant } from '../../../../src/core/time.ts'
import { StoreClock } from '../../../../src/sessions/redis/store-clock.ts'

const STORE = 1_800_000_000_000

/** A machine whose own clock is wrong by so much. */
class Machine {
  passed = 0
  readonly #wrong: number
  constructor(wrong: number) {
    this.#wrong = wrong
  }
  now() { return instant(STORE + this.passed + this.#wrong) }
  elapsed(): number { return this.passed }
  /** Time of a store whose own is behind by so much. */
  store(behind = 0): number { return STORE + this.passed - behind }
}

test('[STO5] before anything was heard it is the machine’s own', () => {
  expect(new StoreClock(new Machine(5_000), () => 0).now()).toBe(STORE + 5_000)
})

test.each([3_600_000, 0, -3_600_000])('[STO5] a machine that is wrong by %i ms tells the store’s time all the same', wrong => {
  const machine = new Machine(wrong)
  const clock = new StoreClock(machine, () => machine.elapsed())
  machine.passed = 10
  clock.observe(0, machine.store(), 4)
  expect(clock.now() - machine.store()).toBe(6)
  expect(clock.skew).toBe(wrong - 6)
})

test('[STO5] whatever the delays of its heartbeats: never behind, ahead by the quickest way of late, never back', () => {
  const looks = fc.array(fc.record({ pause: fc.integer({ min: 1, max: 500 }), up: fc.nat(300), down: fc.nat(300) }), { minLength: 1, maxLength: 60 })
  fc.assert(fc.property(looks, fc.integer({ min: -1_000_000, max: 1_000_000 }), (all, wrong) => {
    const machine = new Machine(wrong)
    const clock = new StoreClock(machine, () => machine.elapsed())
    const ways: number[] = []
    let last = 0
    for (const { pause, up, down } of all) {
      machine.passed += pause
      const sentAt = machine.passed
      machine.passed += up
      const told = machine.store()
      machine.passed += down
      clock.observe(0, told, sentAt)
      ways.push(up)
      const ahead = clock.now() - machine.store()
      expect(ahead).toBeGreaterThanOrEqual(0)
      expect(ahead).toBeLessThanOrEqual(Math.max(Math.min(...ways.slice(-8)), last)) // what was told stays told until time has reached it
      last = Math.max(0, ahead)
    }
  }))
})

test('[STO5] of several shards the one that is ahead counts: nothing is late for any of them', () => {
  const machine = new Machine(0)
  const clock = new StoreClock(machine, () => machine.elapsed())
  machine.passed = 100
  clock.observe(0, machine.store(), 100)
  clock.observe(1, machine.store() + 40, 100)
  expect(clock.now() - machine.store()).toBe(40)
  clock.observe(0, machine.store(), 100)
  expect(clock.now() - machine.store()).toBe(40)
})

test('[STO5] a wall clock that is set an hour ahead, which elapsed time takes for sleep, moves nothing', () => {
  const machine = new Machine(0)
  let steady = 200
  const clock = new StoreClock(machine, () => steady)
  machine.passed = 200
  clock.observe(0, STORE + 200, 200)
  machine.passed += 3_600_000
  steady += 200
  expect(clock.now()).toBe(STORE + 400)
  clock.observe(0, STORE + 400, machine.passed)
  expect(clock.now()).toBe(STORE + 400)
})

test('[STO5] a new master whose clock is behind takes no time back: it goes on as it went', () => {
  const machine = new Machine(0)
  const clock = new StoreClock(machine, () => machine.elapsed())
  for (let i = 0; i < 5; i++) {
    machine.passed += 200
    clock.observe(0, machine.store(), machine.passed)
  }
  clock.turned(0)
  for (let i = 0; i < 12; i++) {
    machine.passed += 200
    clock.observe(0, machine.store(3_000), machine.passed)
    expect(clock.now()).toBe(machine.store())
  }
})
