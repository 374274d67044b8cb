// `npm run soak -- --minutes 5`: the model check of shared state with ever new seeds, for as long as it is given. Prints the seed and the shortest schedule
// that fails, and ends with 1.
import { parseArgs } from 'node:util'
import * as fc from 'fast-check'
import { play, schedules, told } from './shared-state-deeds.ts'

const RUNS = 100
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } })
const until = performance.now() + Number(values.minutes) * 60_000
let [runs, seed] = [0, values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)]

do {
  const found = await fc.check(fc.asyncProperty(schedules, async schedule => { await play(schedule) }), { seed, numRuns: RUNS })
  runs += found.numRuns
  const [schedule] = found.counterexample ?? []
  if (found.failed) {
    console.error(`seed ${seed}: ${String(found.errorInstance)}\n${schedule === undefined ? '' : told(schedule)}`)
    process.exit(1)
  }
  seed++
} while (performance.now() < until && values.seed === undefined)
console.log(`${runs} schedules, none failed; the last seed was ${seed - 1}`)
process.exit(0)
