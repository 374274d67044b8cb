// What the simulation of risk found, as a Markdown table: how soon each attacker was at the first level, how high it came, and what honest callers had to bear.
import { kindOf } from './risk-actors.ts'
import type { Day } from './risk-world.ts'

/** Share of them at or below it, by the nearest rank; null of nothing. */
function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null
}

const grouped = <T>(all: readonly T[], nameOf: (each: T) => string): readonly (readonly [string, readonly T[]])[] => {
  const groups = new Map<string, T[]>()
  for (const each of all) groups.set(nameOf(each), [...(groups.get(nameOf(each)) ?? []), each])
  return [...groups]
}

export type AttackerRow = { readonly name: string; readonly runs: number; readonly detected: number; readonly requests: readonly [median: number | null, p95: number | null]; readonly seconds: readonly [median: number | null, p95: number | null]; readonly highest: string; readonly held: number }
/** Of sessions, per 1,000 hours: asked to step up, and narrowed, frozen or ended. */
export type HonestRow = { readonly name: string; readonly hours: number; readonly requests: number; readonly stepUps: number; readonly cuts: number; /** Score of any of them. */ readonly highest: number }
export type Findings = { readonly attackers: readonly AttackerRow[]; readonly honest: readonly HonestRow[] }

const PER_HOURS = 1_000

export function findingsOf(days: readonly Day[]): Findings {
  const attackers = grouped(days.flatMap(day => day.attacks), ({ name }) => name).map(([name, runs]): AttackerRow => {
    const found = runs.flatMap(({ detected }) => detected ?? [])
    const requests = found.map(each => each.requests)
    const seconds = found.map(each => each.seconds)
    const highest = runs.reduce((most, { height }) => (height.at > most.at ? height : most), { name: '–', at: 0 })
    return { name, runs: runs.length, detected: found.length, requests: [quantile(requests, 0.5), quantile(requests, 0.95)], seconds: [quantile(seconds, 0.5), quantile(seconds, 0.95)], highest: highest.name, held: runs.filter(({ held }) => held).length }
  })
  const honest = grouped(days.flatMap(day => day.honest), ({ caller }) => kindOf(caller)).map(([name, runs]): HonestRow => {
    const sum = (of: (run: Day['honest'][number]) => number): number => runs.reduce((all, run) => all + of(run), 0)
    const hours = sum(run => run.hours)
    const rate = (count: number): number => (hours === 0 ? 0 : (count / hours) * PER_HOURS)
    return { name, hours, requests: sum(run => run.requests), stepUps: rate(sum(run => run.stepUps)), cuts: rate(sum(run => run.cuts)), highest: Math.max(...runs.map(run => run.highest)) }
  })
  return { attackers, honest }
}

const shown = (value: number | null, digits = 0): string => (value === null ? '–' : value.toFixed(digits))
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`
const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const headed = (titles: readonly string[], rows: readonly (readonly string[])[]): string => [line(titles), line(titles.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')

export function tableOf({ attackers, honest }: Findings): string {
  const found = attackers.map(({ name, runs, detected, requests, seconds, highest, held }) =>
    [name, `${runs}`, percent(detected, runs), `${shown(requests[0])} (${shown(requests[1])})`, `${shown(seconds[0], 1)} (${shown(seconds[1], 1)})`, highest, percent(held, runs)])
  const borne = honest.map(({ name, hours, requests, highest, stepUps, cuts }) => [name, shown(hours), `${requests}`, shown(highest), shown(stepUps, 2), shown(cuts, 2)])
  return `${headed(['attacker', 'runs', 'detected', 'requests until then', 'seconds', 'highest level', 'frozen or ended'], found)}\n\n${headed(['honest', 'hours', 'requests', 'highest score', 'asked to step up per 1,000 h', 'narrowed, frozen or ended per 1,000 h'], borne)}`
}
