// What gateways know of a principal's conduct, each a part of its own, and how parts become one: the same in any order, and however often they are told.
// Counts, points for each hit and strikes are sums over parts; all the rest each gateway takes over from the others. Pure. SPEC: RSK2, RSK6, RSK7
import { decayed, SCORE_MAX } from './risk.ts'
import { type Duration, type Instant, instant, later } from './time.ts'

/** Of five seconds each, counted from the epoch. */
export type Count = readonly [bucket: number, requests: number, refusals: number, bytes: number]
export type Sum = { readonly points: number; readonly at: Instant }
/** Everything a rule has added, as of when it added last; of a sequence also when that began. */
export type Firing = Sum & { readonly from: Instant }
export type Strike = readonly [at: Instant, times: number]

export const SEEN_KINDS = ['tenant', 'path', 'tool', 'source'] as const
export type SeenKind = (typeof SEEN_KINDS)[number]

export type Conduct = {
  /** Whose part it is. */
  readonly by: string
  readonly since: Instant
  readonly counts: readonly Count[]
  /** When it was seen last, by digest. */
  readonly seen: { readonly [K in SeenKind]: ReadonlyMap<string, Instant> }
  readonly steps: ReadonlyMap<string, readonly Instant[]>
  readonly fired: ReadonlyMap<string, Firing>
  /** For each hit. */
  readonly added: ReadonlyMap<string, Sum>
  /** From outside, by name. */
  readonly told: ReadonlyMap<string, Sum>
  readonly strikes: ReadonlyMap<string, readonly Strike[]>
  /** Strikes up to here were answered. */
  readonly struck: ReadonlyMap<string, Instant>
  /** Permitted uses, by rule. */
  readonly used: ReadonlyMap<string, number>
}

export const BUCKET = 5_000
const MINUTE = 60_000
const FIVE_MINUTES = 300_000
export const COUNTS_MAX = FIVE_MINUTES / BUCKET + 1
/** Of tenants, paths, tools and sources each, and of names of every other kind. */
export const NAMES_MAX = 64
export const STRIKES_MAX = 32
/** Within so long of times of a step the first and the last are kept. */
const STEP_APART = 100
const STEP_TIMES = 8

// ---- counts

export const bucketOf = (now: Instant): number => Math.floor(now / BUCKET)

export type Counted = { requestsPerMinute: number; requests5m: number; refusalsPerMinute: number; refusals5m: number; bytesPerMinute: number; bytes5m: number }

/** Adds what lies within the last minute and five: of the bucket at the far edge its share, so that nothing is forgotten all at once. */
export function tally(counts: readonly Count[], now: Instant, into: Counted): void {
  for (const [bucket, requests, refusals, bytes] of counts) {
    const end = (bucket + 1) * BUCKET
    const five = Math.min(1, (end - now + FIVE_MINUTES) / BUCKET)
    if (five <= 0) continue
    into.requests5m += requests * five
    into.refusals5m += refusals * five
    into.bytes5m += bytes * five
    const one = Math.min(1, (end - now + MINUTE) / BUCKET)
    if (one <= 0) continue
    into.requestsPerMinute += requests * one
    into.refusalsPerMinute += refusals * one
    into.bytesPerMinute += bytes * one
  }
}

// ---- sequences

/** Of each interval the first and the last, and the newest intervals: the same whatever came when. */
export function thinned(times: readonly Instant[]): readonly Instant[] {
  const sorted = [...new Set(times)].sort((a, b) => a - b)
  const slot = (at: Instant | undefined): number => (at === undefined ? -1 : Math.floor(at / STEP_APART))
  return sorted.filter((at, i) => slot(sorted[i - 1]) !== slot(at) || slot(sorted[i + 1]) !== slot(at)).slice(-STEP_TIMES)
}

/** The last time before another; -1 for none. */
const lastBefore = (times: readonly Instant[], before: number): number => times.reduce((last, at) => (at < before && at > last ? at : last), -1)

/** A sequence that is complete, begun after an instant; null where there is none. Each step is later than the one before it. */
export function chainOf(steps: readonly (readonly Instant[])[], within: Duration, begun: Instant): { readonly from: Instant; readonly at: Instant } | null {
  const last = steps.at(-1) ?? []
  for (let i = last.length - 1; i >= 0; i--) {
    const end = last[i] ?? instant(0)
    let from: number = end
    for (let step = steps.length - 2; step >= 0 && from >= 0; step--) from = lastBefore(steps[step] ?? [], from)
    if (from > begun && end - from <= within) return { from: instant(from), at: end }
  }
  return null
}

// ---- points

/** With more points; what was there before an operator's word counts no more. */
export const plus = (sum: Sum | undefined, points: number, at: Instant, halfLife: Duration, clearedAt: Instant): number =>
  Math.min(SCORE_MAX, points + (sum === undefined || sum.at <= clearedAt ? 0 : decayed(sum.points, sum.at, at, halfLife)))

/** Points of it that count now. */
export const worth = ({ points, at }: Sum, now: Instant, halfLife: Duration, clearedAt: Instant): number => (at <= clearedAt ? 0 : decayed(points, at, now, halfLife))

/** Two gateways that saw it fire at once saw one firing. */
export function joinFirings(a: Firing, b: Firing, halfLife: Duration): Firing {
  const at = later(a.at, b.at)
  const points = Math.max(decayed(a.points, a.at, at, halfLife), decayed(b.points, b.at, at, halfLife))
  const from = later(a.from, b.from)
  return a.at === at && a.points === points && a.from === from ? a : { points, at, from }
}

/** What was said last. */
export const joinTold = (a: Sum, b: Sum): Sum => (b.at > a.at || (b.at === a.at && b.points > a.points) ? b : a)

export function joinTimes(a: readonly Instant[], b: readonly Instant[]): readonly Instant[] {
  return b.every(at => a.includes(at)) ? a : thinned([...a, ...b])
}

/** The map itself where the other has nothing new; beyond the bound the least make way. */
export function joinMaps<V>(own: Map<string, V>, other: ReadonlyMap<string, V>, join: (a: V, b: V) => V, rank: (value: V) => number): Map<string, V> {
  let joined: Map<string, V> | null = null
  for (const [name, value] of other) {
    const known = own.get(name)
    const next = known === undefined ? value : join(known, value)
    if (next !== known) (joined ??= new Map(own)).set(name, next)
  }
  if (joined === null) return own
  return joined.size <= NAMES_MAX ? joined : new Map([...joined].sort(([a, one], [b, two]) => rank(two) - rank(one) || (a < b ? -1 : 1)).slice(0, NAMES_MAX))
}

// ---- strikes

/** When the strike that made it so many was; null where there are not yet so many. */
export function reachedAt(strikes: readonly Strike[], most: number, since: Instant): { readonly at: Instant; readonly last: Instant } | null {
  const counted = strikes.filter(([at]) => at > since).sort(([a], [b]) => a - b)
  let times = 0
  for (const [at, more] of counted) {
    times += more
    if (times >= most) return { at, last: counted.at(-1)?.[0] ?? at }
  }
  return null
}

/** With one more. Beyond the bound the two oldest become one, as of the later: rather counted too long than not. */
export function struckAgain(strikes: readonly Strike[], at: Instant, within: Duration): readonly Strike[] {
  const kept: Strike[] = [...strikes.filter(([when]) => when > at - within), [at, 1]]
  const [first, second] = kept
  if (kept.length > STRIKES_MAX && first !== undefined && second !== undefined) kept.splice(0, 2, [second[0], first[1] + second[1]])
  return kept
}
