// The model check: real gateways (store, mirror, ledger) against a reference server, under schedules of everything that goes wrong. Each run asserts, after
// every step, that nothing is decided on what ended longer ago than the lease, that no acknowledged end is outrun, and that no end is lost with a server.
// The seeds are the same at each run of the suite; `npm run soak` takes ever new ones.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { play, schedules, told } from './shared-state-deeds.ts'

const RUNS = 100
/** What a run has to have seen often enough to mean something. */
const SEEN = ['settled', 'acknowledged', 'terminate', 'elevation', 'ticket', 'lock', 'promoted', 'restarted', 'member crashed', 'expired']

test.each([1, 2, 3])('[STORE-41, STO16, STO15, ENF9] schedules of seed %i: staleness is bounded, acknowledged ends are not outrun, nothing ended comes back', async seed => {
  const seen = new Map<string, number>()
  const found = await fc.check(fc.asyncProperty(schedules, async schedule => {
    for (const [what, times] of await play(schedule)) seen.set(what, (seen.get(what) ?? 0) + times)
  }), { seed, numRuns: RUNS })
  const [schedule] = found.counterexample ?? []
  expect(found.failed, schedule === undefined ? '' : `seed ${seed}: ${String(found.errorInstance)}\n${told(schedule)}`).toBe(false)
  expect(SEEN.filter(what => (seen.get(what) ?? 0) < RUNS / 20)).toEqual([])
}, 120_000)
