// The bench runs from end to end and says a figure for every row. How fast is not asked here.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'

const missing = (['nginx', 'redisServer', 'wrk'] as const).some(program => inject(program) === null)

type Row = { readonly name: string } & { readonly [figure: string]: unknown }
type Line = { readonly rows: readonly Row[]; readonly proved: readonly Row[]; readonly called: readonly Row[] } & { readonly [figure: string]: unknown }

const FIGURES = ['name', 'cpuMicrosPerRequest', 'rps', 'p50Ms', 'p99Ms']
const figuresOf = ({ name, ...own }: Row): readonly (readonly [string, unknown])[] => Object.entries(own).map(([figure, value]) => [`${name} ${figure}`, value])

describe.skipIf(missing)('the bench (needs nginx, redis-server and wrk)', () => {
  test('[ADM10] ends with one line of JSON that has every figure of every row', async () => {
    const main = join(import.meta.dirname, '..', 'bench', 'main.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [main, '--rounds', '1', '--seconds', '1', '--warmup', '1', '--json'], { timeout: 145_000 })
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    const { rows, proved, called, ...whole } = JSON.parse(stdout) as Line // what the bench prints
    expect(rows.map(({ name }) => name)).toEqual(['nginx', 'nginx-auth-request', 'http-proxy', 'narrowgate'])
    expect(proved.map(({ name }) => name)).toEqual(['nginx', 'narrowgate-dpop', 'nginx-mtls', 'narrowgate-mtls'])
    expect(called.map(({ name }) => name)).toEqual(['nginx-mcp', 'narrowgate-mcp'])
    const figures = [...rows.flatMap(figuresOf), ...proved.flatMap(figuresOf), ...called.flatMap(figuresOf), ...Object.entries(whole)]
    expect(figures.filter(([, value]) => typeof value !== 'number' || !(value > 0))).toEqual([])
    expect(Object.keys(rows[0] ?? {})).toEqual(FIGURES)
    expect(Object.keys(proved[0] ?? {})).toEqual([...FIGURES, 'ratioToNginx'])
    expect(Object.keys(called[0] ?? {})).toEqual([...FIGURES, 'ratioToNginx', 'aloneP50Ms', 'aloneToDirect'])
    expect(Object.keys(whole)).toEqual(['ratioToNginx', 'evaluateMicros', 'admitMicros', 'riskMicros', 'gateMicros'])
  }, 150_000)
})
