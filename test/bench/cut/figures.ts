// What bench:cut prints: a table that is readable as it stands, or one line of JSON. Percentiles are of nearest rank.
import type { Change } from './change.ts'
import type { Crowd } from './crowd.ts'
import type { Pushed } from './event.ts'
import type { CutOptions } from './options.ts'
import type { Protocol } from './protocols.ts'
import type { Sessions } from './sessions.ts'

/** null: that part was not run. */
export type Cuts = { readonly one: readonly Change[] | null; readonly hundred: readonly Change[] | null; readonly crowd: Crowd | null }
export type Figures = { readonly cuts: ReadonlyMap<Protocol, Cuts>; readonly sessions: Sessions | null; readonly events: readonly Pushed[] | null }

type Words = { readonly one: string; readonly many: string; readonly end: string }
const WORDS: Readonly<Record<Protocol, Words>> = {
  http1: { one: 'exchange', many: 'exchanges', end: 'last byte' },
  websocket: { one: 'WebSocket', many: 'WebSockets', end: 'Close frame' },
  http2: { one: 'HTTP/2 stream', many: 'HTTP/2 streams', end: 'RST_STREAM' },
}

type Quantiles = { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }

/** So many digits as were measured. */
const rounded = (value: number): number => Math.round(value * 100) / 100

function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = (share: number): number => rounded(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN)
  return { p50Ms: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) }
}

const NOT_RUN: Cuts = { one: null, hundred: null, crowd: null }

const changeFigures = ({ one }: Cuts): { readonly oneChange: Quantiles | null; readonly strictAck: Quantiles | null } => ({
  oneChange: one === null ? null : quantilesOf(one.map(({ lastByte }) => lastByte)),
  strictAck: one === null ? null : quantilesOf(one.map(({ acknowledged }) => acknowledged)),
})

const crowdFigures = ({ crowd }: Cuts): { readonly allCutMs: number; readonly maxStallMs: number } | null =>
  (crowd === null ? null : { allCutMs: rounded(crowd.allCutMs), maxStallMs: rounded(crowd.maxStallMs) })

/** One line. A part that was not run is null. */
export function jsonLine({ cuts, sessions, events }: Figures): string {
  const of = (protocol: Protocol): Cuts => cuts.get(protocol) ?? NOT_RUN
  return JSON.stringify({
    ...changeFigures(of('http1')), tenThousand: crowdFigures(of('http1')),
    websocket: { ...changeFigures(of('websocket')), twoThousand: crowdFigures(of('websocket')) },
    http2: { ...changeFigures(of('http2')), twoThousand: crowdFigures(of('http2')) },
    event: { sse: events === null ? null : quantilesOf(events.map(({ sse }) => sse)), websocket: events === null ? null : quantilesOf(events.map(({ websocket }) => websocket)) },
    resync100kMs: sessions === null ? null : rounded(sessions.missedMs),
    bytesPerSessionRedis: sessions === null ? null : Math.round(sessions.bytesInRedis),
    bytesPerSessionMirror: sessions === null ? null : Math.round(sessions.bytesServed),
  })
}

const row = (what: string, values: readonly number[]): string => {
  const { p50Ms, p99Ms, maxMs } = quantilesOf(values)
  return `| ${what} | ${p50Ms} | ${p99Ms} | ${maxMs} |`
}

const HEAD = ['| one change at a gateway, open at the other | p50 ms | p99 ms | max ms |', '| --- | ---: | ---: | ---: |']

function rowsOf(open: string, end: string, all: readonly Change[] | null): readonly string[] {
  if (all === null) return []
  return [
    row(`${open}: ${end} at the caller`, all.map(({ lastByte }) => lastByte)),
    row(`${open}: acknowledged, at the operator`, all.map(({ acknowledged }) => acknowledged)),
    row(`${open}: acknowledged, as the gateway says (tookMs)`, all.map(({ took }) => took)),
  ]
}

function changes(cuts: Figures['cuts'], many: number): readonly string[] {
  const rows = [...cuts].flatMap(([protocol, { one, hundred }]) => {
    const words = WORDS[protocol]
    return [...rowsOf(`1 ${words.one}`, words.end, one), ...rowsOf(`${many} ${words.many}`, protocol === 'http2' ? 'last end' : words.end, hundred)]
  })
  const short = [...cuts.values()].flatMap(({ one, hundred }) => [...(one ?? []), ...(hundred ?? [])]).filter(({ counted }) => !counted).length
  return rows.length === 0 ? [] : [...(short === 0 ? [] : [`in ${short} rounds the acknowledgement told of fewer cuts than exchanges that ended`, '']), ...HEAD, ...rows]
}

function crowdLine(protocol: Protocol, { exchanges, connections, emptyMs, acknowledgedMs, saidSo, allCutMs, maxStallMs, processorMs }: Crowd): string {
  const { many, end } = WORDS[protocol]
  const over = connections === exchanges ? '' : ` over ${connections} connections`
  const acknowledged = `acknowledged after ${rounded(acknowledgedMs)} ms${saidSo ? '' : ' (its lease ran out first)'}`
  return `${exchanges} ${many} of one session${over} in one process: none open after ${rounded(emptyMs)} ms, ${acknowledged}, ${end} at the last caller after ${rounded(allCutMs)} ms; longest stall of its event loop ${rounded(maxStallMs)} ms, its processor time ${rounded(processorMs)} ms`
}

const sessionLines = ({ count, bytesInRedis, bytesHeld, bytesServed, missedMs, pinnedMs }: Sessions): readonly string[] => [
  `${count} sessions: ${Math.round(bytesInRedis)} bytes each in Redis (log, outbox and remembered operations left out), ${Math.round(bytesHeld)} in the mirror as read, ${Math.round(bytesServed)} when served`,
  `${count} sessions after announcements were missed: compared in ${rounded(missedMs)} ms; each read again, all with something open, in ${rounded(pinnedMs)} ms`,
]

const eventRows = (events: readonly Pushed[] | null): readonly string[] =>
  (events === null ? [] : ['| one `session-revoked` pushed to a gateway, open at the other; from its 202 | p50 ms | p99 ms | max ms |', '| --- | ---: | ---: | ---: |', row('event stream: last byte', events.map(({ sse }) => sse)), row('WebSocket: Close frame', events.map(({ websocket }) => websocket))])

export function text({ cuts, sessions, events }: Figures, { many }: CutOptions): string {
  const crowds = [...cuts].flatMap(([protocol, { crowd }]) => (crowd === null ? [] : [crowdLine(protocol, crowd)]))
  return [changes(cuts, many), eventRows(events), crowds, sessions === null ? [] : sessionLines(sessions)].filter(lines => lines.length > 0).map(lines => lines.join('\n')).join('\n\n')
}
