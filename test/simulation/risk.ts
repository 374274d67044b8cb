// Honest callers and attackers under the example policy, and what became of each, as a table: `npm run simulate:risk -- --runs 20 --seed 11`.
// Half of the runs are on two gateways. The same seed prints the same table.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { load } from '../../src/config/load.ts'
import type { Policy } from '../../src/core/policy.ts'
import { findingsOf, type Findings, tableOf } from './risk-table.ts'
import { type Day, dayOf } from './risk-world.ts'

const EXAMPLE = new URL('../../config/risk.yaml', import.meta.url)

export function examplePolicy(): Policy {
  const result = load(readFileSync(EXAMPLE, 'utf8'), 'risk.yaml', { directory: import.meta.dirname, variable: () => undefined, read: () => null, exists: () => true, cores: 1 })
  if (!result.ok) throw new Error('config/risk.yaml does not load')
  return result.settings.policy
}

export async function simulated(seed: number, runs: number, hours: number): Promise<Findings> {
  const policy = examplePolicy()
  const days: Day[] = []
  for (let run = 0; run < runs; run++) days.push(await dayOf(policy, { seed: seed * 1_000 + run, gateways: run % 2 === 0 ? 1 : 2, hours }))
  return findingsOf(days)
}

if (import.meta.main) {
  const { values: { seed, runs } } = parseArgs({ options: { seed: { type: 'string', default: '11' }, runs: { type: 'string', default: '20' } } })
  if (!Number.isSafeInteger(Number(seed)) || !(Number(runs) >= 1 && Number(runs) <= 1_000)) throw new RangeError('--seed and --runs take a whole number')
  process.stdout.write(`${tableOf(await simulated(Number(seed), Number(runs), 24))}\n`)
}
