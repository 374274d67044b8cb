// Everything there is to say of how far a principal is trusted here. Reads; changes nothing. SPEC: RSK5
import { type Contribution, type LevelMark, levelAt, nextFall } from '../../core/risk.ts'
import type { Stats } from '../../core/stats.ts'
import { FOREVER, type Instant } from '../../core/time.ts'
import type { Person } from './person.ts'
import type { Rules } from './rules.ts'

export type RiskView = {
  readonly score: number
  readonly level: string | null
  /** When that was reached. */
  readonly since: Instant | null
  readonly contributions: readonly Contribution[]
  /** When it falls at the earliest, if nothing is added; FOREVER where it stands at none. */
  readonly fallsAt: Instant
  /** null falls to none. */
  readonly fallsTo: string | null
  readonly strikes: readonly { readonly rule: string; readonly at: Instant; readonly times: number }[]
  readonly stats: Stats
}

/** @param sessions of it that are live here */
export function viewOf(person: Person, held: LevelMark | null, rules: Rules, sessions: number, now: Instant): RiskView {
  const { policy } = rules
  const { points, strikes, counts, seen } = person
  const score = points.score(now, policy.halfLife)
  const level = held === null ? null : levelAt(policy, held.at)
  const below = level === null ? null : (policy.levels.findLast(({ at }) => at < level.at) ?? null)
  return {
    score: Math.round(score * 10) / 10, level: level?.name ?? null, since: held?.since ?? null, contributions: points.contributions(rules, now), strikes: strikes.open(points.clearedAt),
    fallsAt: level === null ? FOREVER : nextFall(policy, score, held, now), fallsTo: below?.name ?? null,
    stats: {
      ...counts.at(now), tenantsSeen: seen.tenant.ofLate(now), pathsSeen: seen.path.ofLate(now), toolsSeen: seen.tool.ofLate(now), sourcesSeen: seen.source.ofLate(now),
      firstTenant: false, firstTool: false, firstSource: false, unusualRoute: false, sessions,
    },
  }
}
