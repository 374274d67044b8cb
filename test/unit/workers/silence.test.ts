// What the primary does with workers that say nothing, on a clock of the test's own.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { PrimaryMetrics } from '../../../src/runtime/metrics.ts'
import { type Ears, Fleet } from '../../../src/workers/fleet.ts'
import type { Seat, ToWorker } from '../../../src/workers/messages.ts'

type Forked = { readonly seat: Seat; readonly ears: Ears; readonly said: ToWorker[]; killed: boolean }

const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
let forked: Forked[] = []
let refusal: string | null = null

const fleetOf = (size: number): Fleet => new Fleet(size, {
  log, metrics: new PrimaryMetrics(), refusal: () => refusal,
  fork: (seat, ears) => {
    const child: Forked = { seat, ears, said: [], killed: false }
    forked.push(child)
    return { pid: forked.length, say: message => void child.said.push(message), kill: () => { child.killed = true } }
  },
})

const up = ({ ears }: Forked): void => {
  ears.said({ is: 'here' })
  ears.said({ is: 'ready' })
}

const at = (index: number): Forked => {
  const child = forked[index]
  if (child === undefined) throw new RangeError(`${index} was not started`)
  return child
}

beforeEach(() => {
  vi.useFakeTimers()
  forked = []
  refusal = null
})
afterEach(() => void vi.useRealTimers())

test('[ADM20] a worker that says nothing for 30 seconds hangs and is killed; one that speaks is not', () => {
  const fleet = fleetOf(2)
  fleet.start()
  up(at(0))
  up(at(1))
  for (let second = 0; second < 29; second++) {
    vi.advanceTimersByTime(1_000)
    at(0).ears.said({ is: 'open', exchanges: 3 })
  }
  expect(forked.map(({ killed }) => killed)).toEqual([false, false])
  for (let second = 0; second < 6; second++) {
    vi.advanceTimersByTime(1_000)
    at(0).ears.said({ is: 'open', exchanges: 3 })
  }
  expect(forked.map(({ killed }) => killed)).toEqual([false, true])
})

test('[ADM20] nothing is concluded from the silence of others while the primary itself stood still', () => {
  const fleet = fleetOf(1)
  fleet.start()
  up(at(0))
  vi.advanceTimersByTime(5_000)
  const now = performance.now()
  vi.spyOn(performance, 'now').mockReturnValue(now + 3_600_000)
  vi.advanceTimersByTime(5_000)
  expect(at(0).killed).toBe(false)
})

test('[ADM20, CFG10] no worker is started on a configuration that the running ones would refuse; it is when that is mended', () => {
  const fleet = fleetOf(2)
  fleet.start()
  up(at(0))
  up(at(1))
  refusal = 'gateway.yaml:3 no such key'
  at(1).ears.ended(null, 'SIGKILL')
  vi.advanceTimersByTime(20_000)
  expect(forked.length).toBe(2)
  expect(log.error).toHaveBeenCalledWith({ worker: 2, cause: refusal }, expect.any(String))
  refusal = null
  vi.advanceTimersByTime(2_000)
  expect(at(2).seat).toEqual({ index: 2, alone: false })
})

test('[ADM20] a stop finds each worker, also one that does not listen yet, and ends what waits to be started again', async () => {
  const fleet = fleetOf(3)
  fleet.start()
  up(at(0))
  at(1).ears.said({ is: 'here' })
  at(1).ears.ended(1, null)
  fleet.stop('SIGTERM')
  expect([at(0).said, at(2).said]).toEqual([[{ is: 'stop', by: 'SIGTERM' }], []])
  at(2).ears.said({ is: 'here' })
  expect(at(2).said).toEqual([{ is: 'stop', by: 'SIGTERM' }])
  at(0).ears.ended(0, null)
  at(2).ears.ended(4, null)
  expect(await fleet.over).toBe(4)
  vi.advanceTimersByTime(60_000)
  expect(forked.length).toBe(3)
})

test('[ADM20] what a worker said before its end is not heard after it', () => {
  const fleet = fleetOf(1)
  fleet.start()
  up(at(0))
  at(0).ears.ended(null, 'SIGKILL')
  at(0).ears.said({ is: 'ready' })
  vi.advanceTimersByTime(100)
  expect(at(1).seat).toEqual({ index: 1, alone: true })
})
