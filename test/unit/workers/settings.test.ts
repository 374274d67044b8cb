// Which files a worker writes, and when one that died is started again.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import { processEnvironment } from '../../../src/config/source.ts'
import { afterDeath, recent } from '../../../src/workers/restarts.ts'
import { fileOfSeat, settingsOfWorker } from '../../../src/workers/worker-settings.ts'

test('[ADM20] a worker\'s files carry its seat before their extension', () => {
  const seat = { index: 3 }
  expect(['/s/trail.jsonl', '/s.d/trail', '/s/.hidden', 'gateway.id', '/s/a.b.c'].map(file => fileOfSeat(file, seat)))
    .toEqual(['/s/trail.w3.jsonl', '/s.d/trail.w3', '/s/.hidden.w3', 'gateway.w3.id', '/s/a.b.w3.c'])
  expect(fileOfSeat('/s/trail.jsonl', null)).toBe('/s/trail.jsonl')
})

test('[ADM20] the settings of a worker are those of all but for the files it writes', () => {
  const file = join(import.meta.dirname, '../../../config/demo.yaml')
  const loaded = load(readFileSync(file, 'utf8'), file, processEnvironment())
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  const { settings } = loaded
  const { audit, ...rest } = settingsOfWorker(settings, { index: 2 })
  const { audit: before, ...same } = settings
  expect(rest).toEqual(same)
  expect([audit.trail.file, audit.noise.file]).toEqual([before.trail.file.replace(/\.jsonl$/, '.w2.jsonl'), before.noise.file.replace(/\.jsonl$/, '.w2.jsonl')])
  expect([audit.trail.maxBytes, audit.trail.fsync, audit.noise.maxBytes]).toEqual([before.trail.maxBytes, before.trail.fsync, before.noise.maxBytes])
})

test('[ADM20] deaths of the last minute put the next start off, ten seconds at most', () => {
  const waits = [1, 2, 3, 4, 5, 8, 12, 20].map(deaths => afterDeath(Array.from({ length: deaths }, () => 0), true))
  expect(waits).toEqual([100, 200, 400, 800, 1_600, 10_000, 10_000, 10_000].map(afterMs => ({ is: 'again', afterMs })))
})

test('[ADM20] one that was never ready is given up at its fifth death within a minute, one that was never', () => {
  const deaths = [0, 10_000, 20_000, 30_000, 59_999]
  expect(afterDeath(recent(deaths, 59_999), false)).toEqual({ is: 'over' })
  expect(afterDeath(recent(deaths, 60_000), false)).toEqual({ is: 'again', afterMs: 800 })
  expect(afterDeath(recent(deaths, 59_999), true).is).toBe('again')
  expect(recent(Array.from({ length: 1_000 }, () => 0), 1).length).toBe(20)
})
