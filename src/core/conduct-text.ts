// A part of a principal's conduct as a text, no longer than a store takes, and the same read again: whole or not at all. Pure. SPEC: RSK6, RSK7
import { bucketOf, type Conduct, type Count, COUNTS_MAX, type Firing, NAMES_MAX, SEEN_KINDS, type Strike, STRIKES_MAX, type Sum } from './conduct.ts'
import { SCORE_MAX } from './risk.ts'
import { type Instant, instant } from './time.ts'

const VERSION = 1
/** Characters; names are ASCII or cost up to three bytes each, and the store takes 16 KiB. */
const TEXT_MAX = 15_000
const NAME_MAX = 256
const STEP_TIMES_MAX = 8
/** What clocks of gateways may be apart. */
const AHEAD_MAX = 300_000

// ---- written

/** Those of the highest rank, in the order of their names. */
function most<V, W>(map: ReadonlyMap<string, V>, count: number, rank: (value: V) => number, write: (value: V) => W): readonly (readonly [string, W])[] {
  const entries = map.size <= count ? [...map] : [...map].sort(([, a], [, b]) => rank(b) - rank(a)).slice(0, count)
  return entries.map(([name, value]) => [name, write(value)] as const)
}

const at = ({ at: when }: Sum): number => when
const rounded = (points: number): number => Math.round(points * 1_000) / 1_000

function written(conduct: Conduct, count: number): string {
  const { by, since, counts, seen, steps, fired, added, told, strikes, struck, used } = conduct
  const sums = (map: ReadonlyMap<string, Sum>) => most(map, count, at, sum => [rounded(sum.points), sum.at])
  return JSON.stringify([
    VERSION, by, since, counts, SEEN_KINDS.map(kind => most(seen[kind], count, Number, Number)), most(steps, count, times => times.at(-1) ?? 0, times => times),
    most(fired, count, at, firing => [rounded(firing.points), firing.at, firing.from]), sums(added), sums(told),
    most(strikes, count, ([last]) => last?.[0] ?? 0, times => times), most(struck, count, Number, Number), most(used, count, Number, Number),
  ])
}

/** How the texts of one gateway's parts begin. */
export const isOf = (by: string): string => `[${VERSION},${JSON.stringify(by)},`

/** What does not fit is left out, the oldest first. */
export function textOf(conduct: Conduct): string {
  for (let count = NAMES_MAX; ; count /= 2) {
    const text = written(conduct, count)
    if (count < 2 || bytesIn(text) <= TEXT_MAX) return text
  }
}

/** Bytes at most: no character takes more than three for each of its units. */
function bytesIn(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) bytes += 2
  return bytes
}

// ---- read

class Malformed extends Error {}

function list(value: unknown, longest: number, length: number | null = null): readonly unknown[] {
  if (!Array.isArray(value) || value.length > longest || (length !== null && value.length !== length)) throw new Malformed()
  return value
}

function number(value: unknown, highest = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= highest)) throw new Malformed()
  return value
}

function map<V>(value: unknown, read: (value: unknown) => V): ReadonlyMap<string, V> {
  const found = new Map<string, V>()
  for (const entry of list(value, NAMES_MAX)) {
    const [name, held] = list(entry, 2, 2)
    if (typeof name !== 'string' || name.length > NAME_MAX || found.has(name)) throw new Malformed()
    found.set(name, read(held))
  }
  return found
}

/** @throws Malformed */
function read(text: string, now: Instant): Conduct {
  const [version, by, since, counts, seen, steps, fired, added, told, strikes, struck, used] = list(JSON.parse(text), 12, 12)
  if (version !== VERSION || typeof by !== 'string' || by.length > NAME_MAX) throw new Malformed()
  const when = (value: unknown): Instant => instant(number(value, now + AHEAD_MAX))
  const sum = (value: unknown): Sum => {
    const [points, last] = list(value, 2, 2)
    return { points: number(points, SCORE_MAX), at: when(last) }
  }
  const firing = (value: unknown): Firing => {
    const [points, last, from] = list(value, 3, 3)
    return { points: number(points, SCORE_MAX), at: when(last), from: when(from) }
  }
  const strike = (value: unknown): Strike => {
    const [last, times] = list(value, 2, 2)
    return [when(last), number(times)]
  }
  const count = (value: unknown): Count => {
    const [bucket, requests, refusals, bytes] = list(value, 4, 4)
    return [number(bucket, bucketOf(instant(now + AHEAD_MAX))), number(requests), number(refusals), number(bytes)]
  }
  const [tenant, path, tool, source] = list(seen, SEEN_KINDS.length, SEEN_KINDS.length).map(kind => map(kind, when))
  if (tenant === undefined || path === undefined || tool === undefined || source === undefined) throw new Malformed()
  return {
    by, since: when(since), counts: list(counts, COUNTS_MAX).map(count), seen: { tenant, path, tool, source }, steps: map(steps, times => list(times, STEP_TIMES_MAX).map(when)),
    fired: map(fired, firing), added: map(added, sum), told: map(told, sum), strikes: map(strikes, times => list(times, STRIKES_MAX).map(strike)), struck: map(struck, when), used: map(used, value => number(value)),
  }
}

/** null for what is none: whatever it says, nothing of it counts. */
export function conductOf(text: string, now: Instant): Conduct | null {
  try {
    return read(text, now)
  } catch {
    return null
  }
}
