// Times a small piece of work: warm first, then the median over batches.
import { spreadOf } from './statistics.ts'

const WARM_UP = 200_000
const BATCHES = 31
const PER_BATCH = 20_000

/**
 * Median µs per call.
 * @param work answers whether it came out as expected, so that nothing is optimised away; a call that does not is an error
 */
export function medianMicros(name: string, work: (turn: number) => boolean): number {
  const batch = (calls: number): number => {
    let held = 0
    const from = performance.now()
    for (let turn = 0; turn < calls; turn++) if (work(turn)) held++
    const took = performance.now() - from
    if (held !== calls) throw new Error(`${name}: ${calls - held} of ${calls} calls came out otherwise`)
    return (took * 1_000) / calls
  }
  batch(WARM_UP)
  return spreadOf(Array.from({ length: BATCHES }, () => batch(PER_BATCH))).median
}
