// The simulation of risk, small: the example policy finds whoever is loud, and lets the honest be.
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { simulated } from './risk.ts'
import { type Findings, tableOf } from './risk-table.ts'

/** Those who stay below what the policy counts: how far they come is in the table. */
const QUIET = ['imitation, elsewhere', 'tenant sweep, slow', 'low and slow']

describe('honest callers and attackers under config/risk.yaml', () => {
  let found: Findings
  beforeAll(async () => {
    found = await simulated(3, 2, 5)
  }, 120_000)

  const loud = () => found.attackers.filter(({ name }) => !QUIET.includes(name))

  test('[RSK2, RSK3] every attacker who does anything unusual is at a level in every run, on one gateway and on two, soon', () => {
    expect(loud().map(({ name, runs, detected }) => ({ name, runs, detected }))).toEqual(loud().map(({ name }) => ({ name, runs: 2, detected: 2 })))
    expect(loud()).toHaveLength(7)
    expect(loud().filter(({ seconds: [, p95] }) => p95 === null || p95 > 600).map(({ name }) => name)).toEqual([])
  })

  test('[RSK1] an attacker who keeps to what its victim does is not found: that is what the page says', () => {
    expect(found.attackers.find(({ name }) => name === 'low and slow')).toMatchObject({ runs: 2, detected: 0, highest: '–' })
  })

  test('[RSK3] no honest caller is narrowed, frozen or ended, with its bursts, retries and refusals', () => {
    expect(found.honest.filter(({ cuts }) => cuts > 0).map(({ name }) => name)).toEqual([])
    expect(found.honest.every(({ requests }) => requests > 100)).toBe(true)
  })

  test('[RSK1] the same seed gives the same table, another one another', async () => {
    const table = async (seed: number) => tableOf(await simulated(seed, 1, 1))
    const first = await table(5)
    expect(await table(5)).toBe(first)
    expect(await table(6)).not.toBe(first)
  }, 120_000)

  test('[RSK3] docs/risk.md has a row for everybody of the simulation, and nobody else', () => {
    const page = readFileSync(new URL('../../docs/risk.md', import.meta.url), 'utf8')
    const rows = page.slice(page.indexOf('| attacker |')).split('\n').filter(line => /^\| [a-z]/.test(line)).map(line => line.split('|')[1]?.trim())
    expect(rows).toEqual(['attacker', ...found.attackers.map(({ name }) => name), 'honest', ...found.honest.map(({ name }) => name)])
  })
})
