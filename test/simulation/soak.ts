// The model check of the shared state for as long as one likes, always with new seeds: `npm run soak -- --minutes 60`. Prints what broke, the schedule it
// shrank to, and how to repeat it; ends with 1 then.
import { parseArgs } from 'node:util'
import * as fc from 'fast-check'
import { play, schedules, told } from './shared-state-deeds.ts'

const RUNS = 200
const { values: { minutes, seed } } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string', default: String(Date.now() & 0x7fff_ffff) } } })
const until = performance.now() + Number(minutes) * 60_000
if (!(until > 0) || !Number.isSafeInteger(Number(seed))) throw new RangeError('--minutes and --seed take a number')

const seen = new Map<string, number>()
let [runs, next] = [0, Number(seed)]

async function round(): Promise<boolean> {
  const found = await fc.check(fc.asyncProperty(schedules, async schedule => {
    for (const [what, times] of await play(schedule)) seen.set(what, (seen.get(what) ?? 0) + times)
  }), { seed: next, numRuns: RUNS })
  runs += found.numRuns
  if (!found.failed) return true
  const [schedule] = found.counterexample ?? []
  console.log(`\n${String(found.errorInstance)}\n\n${schedule === undefined ? '' : told(schedule)}\n\nafter ${runs} schedules; repeat it with SEED=${next} RUNS=${RUNS} npx vitest run --project unit test/simulation/shared-state.test.ts`)
  return false
}

let sound = true
for (; sound && performance.now() < until; next++) {
  sound = await round()
  if (sound) console.log(`seed ${next}: ${runs} schedules, ${[...seen].map(([what, times]) => `${times} ${what}`).join(', ')}`)
}
process.exit(sound ? 0 : 1)
