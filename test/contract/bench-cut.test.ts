// bench:cut runs from end to end, cuts what it opened and says every figure. How fast is not asked here.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'

const CUT = join(import.meta.dirname, '..', 'bench', 'cut.ts')
const run = (...args: readonly string[]) => promisify(execFile)(process.execPath, [CUT, ...args], { timeout: 55_000 })

type Figures = { readonly [figure: string]: number | { readonly [figure: string]: number } }

describe.skipIf(inject('redisServer') === null)('the bench of cuts (needs redis-server)', () => {
  test('[ENF9, STO16] ends with one line of JSON that has every figure', async () => {
    const { stdout } = await run('--quick', '--rounds', '3', '--json')
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    const figures = JSON.parse(stdout) as Figures // what the bench prints
    const shape = Object.entries(figures).map(([name, value]) => (typeof value === 'number' ? name : `${name}: ${Object.keys(value).join()}`))
    expect(shape).toEqual([
      'oneChange: p50Ms,p99Ms,maxMs', 'strictAck: p50Ms,p99Ms,maxMs', 'tenThousand: allCutMs,maxStallMs', 'resync100kMs', 'bytesPerSessionRedis', 'bytesPerSessionMirror',
    ])
    const all = Object.entries(figures).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value] as const] : Object.entries(value)))
    expect(all.filter(([, value]) => !(value > 0))).toEqual([])
  }, 60_000)

  test('[ENF9] what it does not know it does not run', async () => {
    await expect(run('--only', 'everything')).rejects.toThrow(/--only knows no everything/)
    await expect(run('--rounds', '0')).rejects.toThrow(/--rounds takes a whole number/)
  })
})
