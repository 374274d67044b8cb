// soak:wire runs from end to end, cuts what it opened, says what the gateway holds and finds that it gives everything back. Whether that stays flat is not asked here.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const SOAK = join(import.meta.dirname, '..', 'bench', 'soak-wire.ts')
const HELD = ['rss', 'heap', 'external', 'handles', 'sockets', 'exchanges', 'sessions']
const SAMPLES = 6
/** A session opens ten exchanges on what it always has and nine on its elevation; each is asked for once more in two protocols when it is over. */
const OF_A_LIFE = { opened: 19, refused: 2 }

const run = (...args: readonly string[]) => promisify(execFile)(process.execPath, [SOAK, ...args], { timeout: 110_000 })

type Tally = { readonly lives: number; readonly opened: number; readonly cut: number; readonly frozen: number; readonly left: number; readonly refused: number }

test('[ENF7, ENF9, ENF10] a short soak over all protocols ends sound, with nothing left at rest', async () => {
  const { stdout } = await run('--quick')
  const lines = stdout.trimEnd().split('\n')
  const held = lines.filter(line => /^ *\d+ s {2}/.test(line))
  expect(held.map(line => HELD.filter(name => new RegExp(`\\b${name} [\\d.]+`).test(line)))).toEqual(Array.from({ length: SAMPLES + 1 }, () => HELD))
  expect(lines.filter(line => /^(flat |GROWS) /.test(line)).map(line => line.split(/\s+/)[1])).toEqual(HELD)
  expect(lines.at(-2)).toMatch(/^given back at rest: 0 exchanges, \d+ sockets$/)
  const [verdict = '', tally = '{}'] = lines.at(-1)?.split(/: (.*)/, 2) ?? []
  const { lives, opened, cut, frozen, left, refused } = JSON.parse(tally) as Tally // what the soak prints
  expect(verdict).toBe('sound')
  expect(lives).toBeGreaterThanOrEqual(2)
  expect({ opened, cut, refused }).toEqual({ opened: lives * OF_A_LIFE.opened, cut: lives * OF_A_LIFE.opened, refused: lives * OF_A_LIFE.refused })
  expect(Math.min(frozen, left)).toBeGreaterThan(0)
}, 120_000)

test('[ENF9] what is too short for a verdict does not run', async () => {
  await expect(run('--minutes', '0.5')).rejects.toThrow(/--minutes takes a number from 1 on/)
})
