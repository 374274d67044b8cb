// Parts of the decision by themselves, in a pinned process of their own with the gateway's heap.
import { join } from 'node:path'
import { PROXY_CORE, type Workbench } from './workbench.ts'

/** Median µs per call; null where it was not measured. */
export type Micros = { readonly evaluateMicros: number | null; readonly admitMicros: number | null; /** Admission with ten rules of risk that hit. */ readonly riskMicros: number | null; readonly gateMicros: number | null }

const PROGRAM = join(import.meta.dirname, 'micro-program.ts')

export async function runMicros(bench: Workbench): Promise<Micros> {
  const printed = await bench.run(PROXY_CORE, process.execPath, ['--max-semi-space-size=64', '--min-semi-space-size=64', '--no-allocation-site-pretenuring', PROGRAM], 120_000)
  return JSON.parse(printed) as Micros // printed by micro-program.ts
}
