// Rounds of load, interleaved over all rows so that a slow minute of the machine meets every row alike.
// Processor time is read right before and right after each load and divided by the requests answered.
import { cpuTicks } from './cpu.ts'
import { clockTicks } from './programs.ts'
import type { Proxy } from './rows/row.ts'
import { type Spread, spreadOf } from './statistics.ts'
import type { Workbench } from './workbench.ts'
import { putLoad } from './wrk.ts'

export type Station = { readonly name: string; readonly proxy: Proxy }
export type Loading = { readonly path: string; readonly connections: number; readonly seconds: number; readonly warmupSeconds: number; readonly rounds: number }

export type Sample = {
  readonly cpuMicrosPerRequest: number
  readonly cpuMicrosPerMebibyte: number
  readonly rps: number
  readonly mebibytesPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Share of the proxy's core that its processes used. */
  readonly busy: number
}

export type Measured = { readonly name: string; readonly samples: readonly Sample[] }

const MEBIBYTE = 2 ** 20

async function sample(bench: Workbench, { name, proxy }: Station, { path, connections, seconds }: Loading, ticksPerSecond: number): Promise<Sample> {
  const script = proxy.script === null ? null : proxy.script(connections, seconds)
  const before = cpuTicks(proxy.pids)
  const report = await putLoad(bench, { url: proxy.origin + path, headers: proxy.headers, script, connections, seconds }).catch((error: unknown) => {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  })
  const cpuMicros = ((cpuTicks(proxy.pids) - before) / ticksPerSecond) * 1_000_000
  const mebibytes = report.bytes / MEBIBYTE
  return {
    cpuMicrosPerRequest: cpuMicros / report.requests,
    cpuMicrosPerMebibyte: cpuMicros / mebibytes,
    rps: report.requests / report.seconds,
    mebibytesPerSecond: mebibytes / report.seconds,
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    busy: cpuMicros / 1_000_000 / report.seconds,
  }
}

/** Warms every station, then measures all of them once per round. */
export async function measure(bench: Workbench, stations: readonly Station[], loading: Loading, say: (line: string) => void): Promise<readonly Measured[]> {
  const ticks = clockTicks()
  const taken = stations.map((): Sample[] => [])
  for (const station of stations) await sample(bench, station, { ...loading, seconds: loading.warmupSeconds }, ticks)
  for (let round = 1; round <= loading.rounds; round++) {
    for (const [i, station] of stations.entries()) taken[i]?.push(await sample(bench, station, loading, ticks))
    say(`${stations.map(({ name }) => name).join(', ')}: ${loading.path} round ${round} of ${loading.rounds}`)
  }
  return stations.map(({ name }, i) => ({ name, samples: taken[i] ?? [] }))
}

export const spread = ({ samples }: Measured, figure: keyof Sample): Spread => spreadOf(samples.map(taken => taken[figure]))

/** The ratio of a figure to another row's, taken round by round. */
export const ratio = (row: Measured, to: Measured, figure: keyof Sample): Spread =>
  spreadOf(row.samples.map((taken, round) => taken[figure] / (to.samples[round]?.[figure] ?? NaN)))
