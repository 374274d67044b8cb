// The load generator: runs wrk and reads its report. Anything but clean 2xx answers is an error, never a figure.
import { LOAD_CORE, type Workbench } from './workbench.ts'

/** What makes each request, and what it is told. */
export type Script = { readonly file: string; readonly args: readonly string[] }
export type Load = { readonly url: string; readonly headers: { readonly [name: string]: string }; readonly script: Script | null; readonly connections: number; readonly seconds: number }

export type LoadReport = {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Everything read from the sockets, heads included. */
  readonly bytes: number
}

const MILLISECONDS = { us: 0.001, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
const BYTES = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 } as const

function quantity(report: string, pattern: RegExp, units: { readonly [unit: string]: number }): number {
  const [, number, unit = ''] = pattern.exec(report) ?? []
  const factor = units[unit]
  if (number === undefined || factor === undefined) throw new Error(`the report of wrk has no ${pattern.source}\n${report}`)
  return Number(number) * factor
}

/** Reads what `wrk --latency` prints; throws where answers or sockets failed. */
export function parseReport(report: string): LoadReport {
  const failure = /^\s*(?:Non-2xx or 3xx responses|Socket errors):.*$/m.exec(report)
  if (failure !== null) throw new Error(`wrk counted failures: ${failure[0].trim()}`)
  return {
    requests: quantity(report, /(\d+)() requests in /, { '': 1 }),
    seconds: quantity(report, /requests in ([\d.]+)(us|ms|s|m|h),/, MILLISECONDS) / 1_000,
    p50Ms: quantity(report, /^\s*50%\s+([\d.]+)(us|ms|s|m|h)\s*$/m, MILLISECONDS),
    p99Ms: quantity(report, /^\s*99%\s+([\d.]+)(us|ms|s|m|h)\s*$/m, MILLISECONDS),
    bytes: quantity(report, /, ([\d.]+)(B|KB|MB|GB|TB) read/, BYTES),
  }
}

export async function putLoad(bench: Workbench, { url, headers, script, connections, seconds }: Load): Promise<LoadReport> {
  const named = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '10s', '--latency', ...named, ...(script === null ? [url] : ['-s', script.file, url, '--', ...script.args])]
  return parseReport(await bench.run(LOAD_CORE, bench.programs.wrk, args, (seconds + 30) * 1_000))
}
