// What bench:cut prints: a table that is readable as it stands, or one line of JSON. Percentiles are of nearest rank.
import type { Change } from './change.ts'
import type { Crowd } from './crowd.ts'
import type { CutOptions } from './options.ts'
import type { Sessions } from './sessions.ts'

/** null: that part was not run. */
export type Figures = { readonly one: readonly Change[] | null; readonly hundred: readonly Change[] | null; readonly crowd: Crowd | null; readonly sessions: Sessions | null }

type Quantiles = { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }

/** So many digits as were measured. */
const rounded = (value: number): number => Math.round(value * 100) / 100

function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = (share: number): number => rounded(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN)
  return { p50Ms: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) }
}

/** One line. A part that was not run is null. */
export function jsonLine({ one, crowd, sessions }: Figures): string {
  return JSON.stringify({
    oneChange: one === null ? null : quantilesOf(one.map(({ lastByte }) => lastByte)),
    strictAck: one === null ? null : quantilesOf(one.map(({ acknowledged }) => acknowledged)),
    tenThousand: crowd === null ? null : { allCutMs: rounded(crowd.allCutMs), maxStallMs: rounded(crowd.maxStallMs) },
    resync100kMs: sessions === null ? null : rounded(sessions.missedMs),
    bytesPerSessionRedis: sessions === null ? null : Math.round(sessions.bytesInRedis),
    bytesPerSessionMirror: sessions === null ? null : Math.round(sessions.bytesServed),
  })
}

const row = (what: string, values: readonly number[]): string => {
  const { p50Ms, p99Ms, maxMs } = quantilesOf(values)
  return `| ${what} | ${p50Ms} | ${p99Ms} | ${maxMs} |`
}

function changes(one: readonly Change[] | null, hundred: readonly Change[] | null, many: number): readonly string[] {
  const rows = (open: string, all: readonly Change[]): readonly string[] => [
    row(`${open}: last byte at the caller`, all.map(({ lastByte }) => lastByte)),
    row(`${open}: acknowledged, at the operator`, all.map(({ acknowledged }) => acknowledged)),
    row(`${open}: acknowledged, as the gateway says (tookMs)`, all.map(({ took }) => took)),
  ]
  const short = [...(one ?? []), ...(hundred ?? [])].filter(({ counted }) => !counted).length
  const table = [...(one === null ? [] : rows('1 exchange', one)), ...(hundred === null ? [] : rows(`${many} exchanges`, hundred))]
  return table.length === 0 ? [] : [...(short === 0 ? [] : [`in ${short} rounds the acknowledgement told of fewer cuts than exchanges that ended`, '']), '| one change at a gateway, open at the other | p50 ms | p99 ms | max ms |', '| --- | ---: | ---: | ---: |', ...table]
}

const crowdLines = ({ exchanges, emptyMs, acknowledgedMs, saidSo, allCutMs, maxStallMs, processorMs }: Crowd): readonly string[] => [
  `${exchanges} exchanges of one session in one process: none open after ${rounded(emptyMs)} ms, acknowledged after ${rounded(acknowledgedMs)} ms${saidSo ? '' : ' (its lease ran out first)'}, last byte at the last caller after ${rounded(allCutMs)} ms; longest stall of its event loop ${rounded(maxStallMs)} ms, its processor time ${rounded(processorMs)} ms`,
]

const sessionLines = ({ count, bytesInRedis, bytesHeld, bytesServed, missedMs, pinnedMs }: Sessions): readonly string[] => [
  `${count} sessions: ${Math.round(bytesInRedis)} bytes each in Redis (log, outbox and remembered operations left out), ${Math.round(bytesHeld)} in the mirror as read, ${Math.round(bytesServed)} when served`,
  `${count} sessions after announcements were missed: compared in ${rounded(missedMs)} ms; each read again, all with something open, in ${rounded(pinnedMs)} ms`,
]

export function text({ one, hundred, crowd, sessions }: Figures, { many }: CutOptions): string {
  return [changes(one, hundred, many), crowd === null ? [] : crowdLines(crowd), sessions === null ? [] : sessionLines(sessions)].filter(lines => lines.length > 0).map(lines => lines.join('\n')).join('\n\n')
}
