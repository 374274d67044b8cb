// What the bench prints: Markdown tables that are readable as they stand, or one line of JSON.
import { type Loading, type Measured, ratio, spread } from './measure.ts'
import type { Micros } from './micro.ts'
import type { Options } from './options.ts'
import type { Spread } from './statistics.ts'
import { LOAD_CORE, PROXY_CORE } from './workbench.ts'

export type Result = {
  readonly machine: string
  readonly small: readonly Measured[]
  /** Callers who prove a key at every request. */
  readonly proved: { readonly rows: readonly Measured[]; readonly loading: Loading }
  /** Calls of a tool; `alone` one at a time. */
  readonly called: { readonly rows: readonly Measured[]; readonly alone: readonly Measured[]; readonly loading: Loading }
  readonly large: readonly Measured[]
  readonly micros: Micros | null
}

const shown = ({ median, min, max }: Spread, digits: number): string => `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`
const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
const micros = (value: number | null): string => (value === null ? 'not measured' : `${value.toFixed(2)} µs`)

/** The first column is text, the others are numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(...[title, ...rows.map(row => row[column] ?? '')].map(cell => cell.length)))
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

const named = (rows: readonly Measured[], name: string): Measured | null => rows.find(row => row.name === name) ?? null

/** nginx that asks the same of its callers, or passes the same, where that is within nginx's reach. */
const peerOf = (rows: readonly Measured[], { name }: Measured): Measured | null => named(rows, ['nginx-mtls', 'nginx-mcp'].find(peer => name.endsWith(peer.slice('nginx'.length))) ?? 'nginx')

function timesPeer(rows: readonly Measured[], row: Measured): Spread | null {
  const peer = peerOf(rows, row)
  return peer === null ? null : ratio(row, peer, 'cpuMicrosPerRequest')
}

const times = (of: Spread | null): string => (of === null ? '–' : shown(of, 2))

function requestTable(title: string, rows: readonly Measured[]): string {
  return table(
    [title, 'CPU µs/request', '× nginx', 'requests/s', 'p50 ms', 'p99 ms', 'core busy'],
    rows.map(row => [
      row.name,
      shown(spread(row, 'cpuMicrosPerRequest'), 1),
      times(timesPeer(rows, row)),
      shown(spread(row, 'rps'), 0),
      shown(spread(row, 'p50Ms'), 2),
      shown(spread(row, 'p99Ms'), 2),
      percent(spread(row, 'busy').median),
    ]),
  )
}

function largeTable(rows: readonly Measured[]): string {
  const nginx = named(rows, 'nginx')
  return table(
    ['100 MiB bodies', 'MiB/s', 'of nginx', 'CPU µs/MiB', 'core busy'],
    rows.map(row => [
      row.name,
      shown(spread(row, 'mebibytesPerSecond'), 0),
      nginx === null ? '–' : shown(ratio(row, nginx, 'mebibytesPerSecond'), 2),
      shown(spread(row, 'cpuMicrosPerMebibyte'), 0),
      percent(spread(row, 'busy').median),
    ]),
  )
}

function microTable({ evaluateMicros, admitMicros, riskMicros, gateMicros }: Micros): string {
  return table(['in process', 'median'], [['evaluate', micros(evaluateMicros)], ['admit', micros(admitMicros)], ['admit + conduct + risk', micros(riskMicros)], ['gate', micros(gateMicros)]])
}

function provedPart({ rows, loading: { rounds, seconds } }: Result['proved']): string {
  const how = `Callers who prove a key: ${rounds} rounds of ${seconds} s. DPoP: an ES256 proof of its own for every request, made before the load. mTLS: kept connections, made by an nginx on core ${LOAD_CORE} that gives requests a client certificate; × nginx is × nginx-mtls.`
  return [how, requestTable('small GET, key proved', rows)].join('\n\n')
}

/** How much longer a call takes than without a proxy. */
function timesDirect(alone: readonly Measured[], row: Measured): Spread | null {
  const without = named(alone, 'direct')
  return without === null ? null : ratio(row, without, 'p50Ms')
}

function calledPart({ rows, alone, loading: { rounds, seconds } }: Result['called']): string {
  const how = `Calls of an MCP tool (2026-07-28, POST, JSON answer): ${rounds} rounds of ${seconds} s. The gateway reads each message, judges it by tool and argument and has it on record; nginx passes it.`
  const single = table(['one call at a time', 'p50 ms', 'p99 ms', '× direct'], alone.map(row => [row.name, shown(spread(row, 'p50Ms'), 3), shown(spread(row, 'p99Ms'), 3), times(timesDirect(alone, row))]))
  return [how, requestTable('tool call', rows), single].join('\n\n')
}

export function markdown({ machine, small, proved, called, large, micros: inProcess }: Result, { rounds, seconds, connections }: Options): string {
  const how = `Median (least–most) of ${rounds} interleaved rounds of ${seconds} s, ${connections} keep-alive connections. Proxies on core ${PROXY_CORE}; load generator and upstream on core ${LOAD_CORE}. CPU is user and system time of all processes of a row.`
  const tables = [small.length > 0 ? requestTable('small GET', small) : null, proved.rows.length > 0 ? provedPart(proved) : null, called.rows.length > 0 ? calledPart(called) : null, large.length > 0 ? largeTable(large) : null, inProcess === null ? null : microTable(inProcess)]
  return [machine, how, ...tables.filter(part => part !== null)].join('\n\n')
}

/** Rounded, so that no figure claims more than was measured; JSON has no NaN. */
const rounded = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? Math.round(value * 1_000) / 1_000 : null)

const NOT_MEASURED: Micros = { evaluateMicros: null, admitMicros: null, riskMicros: null, gateMicros: null }

const requestFigures = (row: Measured) => ({
  name: row.name,
  cpuMicrosPerRequest: rounded(spread(row, 'cpuMicrosPerRequest').median),
  rps: rounded(spread(row, 'rps').median),
  p50Ms: rounded(spread(row, 'p50Ms').median),
  p99Ms: rounded(spread(row, 'p99Ms').median),
})

/** What a proxy adds to a call. */
function callFigures({ rows, alone }: Result['called']): readonly object[] {
  return rows.filter(({ name }) => name !== 'direct').map(row => {
    const single = named(alone, row.name)
    return {
      ...requestFigures(row), ratioToNginx: rounded(timesPeer(rows, row)?.median ?? null),
      aloneP50Ms: rounded(single === null ? null : spread(single, 'p50Ms').median), aloneToDirect: rounded(single === null ? null : (timesDirect(alone, single)?.median ?? null)),
    }
  })
}

/** One line. `proved` has its nginx rows too, and each row's ratio to its own. `ratioToNginx` is the gateway's CPU per request over nginx's, the median of the rounds; null where one of them did not run. */
export function jsonLine({ small, proved, called, micros: inProcess }: Result): string {
  const narrowgate = named(small, 'narrowgate')
  const provedRows = proved.rows.map(row => ({ ...requestFigures(row), ratioToNginx: rounded(timesPeer(proved.rows, row)?.median ?? null) }))
  const ratioToNginx = narrowgate === null ? null : rounded(timesPeer(small, narrowgate)?.median ?? null)
  const { evaluateMicros, admitMicros, riskMicros, gateMicros } = inProcess ?? NOT_MEASURED
  return JSON.stringify({ rows: small.map(requestFigures), proved: provedRows, called: callFigures(called), ratioToNginx, evaluateMicros: rounded(evaluateMicros), admitMicros: rounded(admitMicros), riskMicros: rounded(riskMicros), gateMicros: rounded(gateMicros) })
}
