// bench:cut runs from end to end in every protocol, cuts what it opened and says every figure. How fast is not asked here.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'

const CUT = join(import.meta.dirname, '..', 'bench', 'cut.ts')
const run = (...args: readonly string[]) => promisify(execFile)(process.execPath, [CUT, ...args], { timeout: 110_000 })

type Figures = { readonly [figure: string]: number | null | Figures }

/** Each figure with the way to it. */
const leaves = (figures: Figures): readonly (readonly [string, number | null])[] =>
  Object.entries(figures).flatMap(([name, value]) => (typeof value !== 'object' || value === null ? [[name, value] as const] : leaves(value).map(([way, leaf]) => [`${name}.${way}`, leaf] as const)))

const quantiles = (name: string): readonly string[] => ['p50Ms', 'p99Ms', 'maxMs'].map(figure => `${name}.${figure}`)
const crowd = (name: string): readonly string[] => ['allCutMs', 'maxStallMs'].map(figure => `${name}.${figure}`)
const cutsOf = (protocol: string): readonly string[] => [...quantiles('oneChange'), ...quantiles('strictAck'), ...crowd('twoThousand')].map(figure => `${protocol}.${figure}`)

describe.skipIf(inject('redisServer') === null)('the bench of cuts (needs redis-server)', () => {
  test('[ENF9, STO16] ends with one line of JSON that has every figure of every protocol', async () => {
    const { stdout } = await run('--quick', '--rounds', '3', '--json')
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    const figures = leaves(JSON.parse(stdout) as Figures) // what the bench prints
    expect(figures.map(([way]) => way)).toEqual([
      ...quantiles('oneChange'), ...quantiles('strictAck'), ...crowd('tenThousand'), ...cutsOf('websocket'), ...cutsOf('http2'), ...quantiles('event.sse'), ...quantiles('event.websocket'), 'resync100kMs', 'bytesPerSessionRedis', 'bytesPerSessionMirror',
    ])
    expect(figures.filter(([way, value]) => value === null || (!way.startsWith('event.') && !(value > 0)))).toEqual([])
  }, 120_000)

  test('[ENF9, WIRE16, WIRE18] the table has a row of its own for each protocol, and a line for its crowd', async () => {
    const { stdout } = await run('--quick', '--rounds', '3', '--only', 'one,crowd', '--protocols', 'http2,websocket')
    expect(stdout.match(/^\| 1 .*? at the caller/gm)).toEqual(['| 1 WebSocket: Close frame at the caller', '| 1 HTTP/2 stream: RST_STREAM at the caller'])
    expect(stdout.match(/^\d+ .*? in one process/gm)).toEqual(['100 WebSockets of one session in one process', '100 HTTP/2 streams of one session over 20 connections in one process'])
  }, 120_000)

  test('[ENF9] what it does not know it does not run', async () => {
    await expect(run('--only', 'everything')).rejects.toThrow(/--only knows no everything/)
    await expect(run('--protocols', 'http3')).rejects.toThrow(/--protocols knows no http3/)
    await expect(run('--rounds', '0')).rejects.toThrow(/--rounds takes a whole number/)
  })
})
