import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Noise } from '../../../src/audit/noise.ts'
import { trailFiles } from '../../../src/audit/tail.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { folder, kindsOf, linesOf, linesOfKind, openTrail, refused, StillClock } from './samples.ts'

function open(file: string, maxBytes = 1 << 24): { readonly noise: Noise; readonly clock: StillClock; readonly lost: readonly unknown[] } {
  const clock = new StillClock()
  const lost: unknown[] = []
  const noise = new Noise({ file, gateway: 'gw_1', maxBytes }, clock, cause => lost.push(cause))
  onTestFinished(() => noise.close())
  return { noise, clock, lost }
}

const address = (i: number): string => `${10 + ((i >> 16) & 63)}.${(i >> 8) & 255}.${i & 255}.1`

describe('noise', () => {
  test('[AUD9] the first ten of a prefix and reason in a minute are whole, the rest is one count at its end', async () => {
    const file = join(folder(), 'noise.jsonl')
    const { noise, clock } = open(file)
    for (let i = 0; i < 25; i++) noise.refused(refused({ source: `198.51.100.${i}` }))
    for (let i = 0; i < 3; i++) noise.refused(refused({ source: '198.51.100.1', reason: 'no_route' }))
    await noise.flush()
    expect(kindsOf(file)).toEqual(Array.from({ length: 13 }, () => 'request.refused'))
    clock.pass(60_000)
    noise.refused(refused())
    await noise.flush()
    expect(linesOf(file)).toHaveLength(15)
    expect(linesOfKind(file, 'refusals.counted')).toMatchObject([{ prefix: '198.51.100.0/24', reason: 'no_credential', count: 15, minute: 1_789_999_980_000 }])
  })

  test('[AUD9] at the end the counts of the running minute are written', async () => {
    const file = join(folder(), 'noise.jsonl')
    const { noise } = open(file)
    for (let i = 0; i < 12; i++) noise.refused(refused())
    await noise.close()
    expect(linesOf(file).at(-1)).toMatchObject({ kind: 'refusals.counted', count: 2 })
    expect((await verifyTrail([file], null)).ok).toBe(true)
  })

  test('[AUD9] a flood of 100,000 refusals makes a bounded file and never touches the trail', async () => {
    const dir = folder()
    const file = join(dir, 'noise.jsonl')
    const trail = await openTrail(join(dir, 'trail.jsonl'))
    const { noise } = open(file, 256 * 1024)
    for (let i = 0; i < 100_000; i++) {
      noise.refused(refused({ source: address(i), path: `/${'x'.repeat(4000)}` }))
      if (i % 5000 === 0) await noise.flush()
    }
    await noise.close()
    expect(noise.tracked).toBe(0)
    const files = trailFiles(file)
    expect(files.length).toBeLessThanOrEqual(2)
    for (const one of files) expect(statSync(one).size).toBeLessThan(256 * 1024 + 600 * 1024)
    expect((await verifyTrail(files, null)).ok).toBe(true)
    const others = files.flatMap(one => linesOfKind(one, 'refusals.counted')).find(({ prefix }) => prefix === 'others')
    expect(others?.count).toBe(90_000)
    expect([trail.counts.records, trail.bufferedBytes, statSync(join(dir, 'trail.jsonl')).size]).toEqual([0, 0, 0])
  })

  test('[AUD9] the table of prefixes is bounded, whatever the sources', async () => {
    const { noise } = open(join(folder(), 'noise.jsonl'))
    for (let i = 0; i < 30_000; i++) noise.refused(refused({ source: address(i), reason: i % 2 === 0 ? 'no_credential' : 'no_route' }))
    expect(noise.tracked).toBe(10_002)
    expect(noise.dropped).toBe(0)
    for (let i = 0; i < 200_000; i++) noise.refused(refused({ source: address(i % 9000) }))
    expect(noise.dropped).toBeGreaterThan(0)
  })

  test('[AUD9] when it can not write it drops, counts and goes on later', async () => {
    const dir = folder()
    const file = join(dir, 'noise.jsonl')
    mkdirSync(file)
    const { noise, lost } = open(file)
    for (let i = 0; i < 4; i++) {
      noise.refused(refused())
      await noise.flush()
    }
    expect([noise.dropped, lost.length]).toEqual([4, 1])
    rmSync(file, { recursive: true })
    noise.refused(refused())
    await noise.flush()
    expect([noise.written, noise.dropped]).toEqual([1, 4])
    expect(linesOf(file)).toMatchObject([{ seq: 1, prev: '' }])
  })

  test('[AUD9] one old file is kept and the chain goes on over restarts, torn ends and rotations', async () => {
    const file = join(folder(), 'noise.jsonl')
    for (let run = 0; run < 5; run++) {
      const { noise, clock } = open(file, 2000)
      for (let i = 0; i < 5; i++) {
        noise.refused(refused())
        clock.pass(60_000)
        await noise.flush()
      }
      await noise.close()
      if (run === 2) appendFileSync(file, '{"torn')
    }
    expect(existsSync(`${file}.2`)).toBe(false)
    expect(readFileSync(`${file}.torn`, 'utf8')).toBe('{"torn\n')
    expect((await verifyTrail(trailFiles(file), null)).problem).toBeNull()
    expect(linesOf(file)[0]?.kind).toBe('rotated')
  })
})
