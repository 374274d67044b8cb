// How far a principal is trusted now: a score that falls with time, and levels it crosses. The score is Activity, kept and shared by gateways; the level is
// Authority, told as news of the principal, and alone what the judge reads. Pure. SPEC: RSK1-RSK5
import type { RiskCondition } from './condition.ts'
import type { Scope } from './scope.ts'
import type { StepUpRules } from './step-up.ts'
import { after, type Duration, duration, FOREVER, type Instant, instant } from './time.ts'
import type { Taint } from './taint.ts'

/** What a level does. `notify`, `shorten`, `terminate` and `lock` act when it is reached; the others, and `terminate` on new sessions, as long as it stands, and at every level above it. */
export type LevelActs = {
  /** Channels; null tells nobody. */
  readonly notify: readonly string[] | null
  /** All but reading on the baseline needs a step-up. */
  readonly stepUp: boolean
  readonly narrow: { /** null leaves the baseline. */ readonly to: Scope | null; /** Whatever `sessions.bind.tenant` says, no other tenant's things. */ readonly ownTenant: boolean } | null
  readonly freeze: boolean
  readonly terminate: boolean
  /** null sets none; FOREVER stays until an operator lifts it. */
  readonly lock: Duration | null
  readonly shorten: Duration | null
}

export type RiskLevel = { readonly name: string; readonly at: number; readonly acts: LevelActs }

/** Steps are scopes, `label:<label>` or `route:<route>`: what a request asked for, let through or not. */
export type RiskRule = { readonly name: string; readonly add: number } & (
  | { readonly is: 'when'; readonly condition: RiskCondition; /** While it holds it adds once in so long. */ readonly every: Duration }
  | { readonly is: 'sequence'; readonly steps: readonly string[]; readonly within: Duration }
)

export type RiskPolicy = {
  readonly halfLife: Duration
  /** Points below a level before it is left, and how long it stands at least. */
  readonly hysteresis: number
  readonly holdFor: Duration
  /** How long what a principal was seen to do is remembered. */
  readonly remember: Duration
  /** After so many requests, and so long, the routes it uses are what it normally uses. */
  readonly learn: { readonly requests: number; readonly for: Duration }
  readonly rules: readonly RiskRule[]
  /** Lowest first. */
  readonly levels: readonly RiskLevel[]
  readonly stepUp: StepUpRules
  /** An automatic lock that would reach more sessions is not set. */
  readonly lockReach: number
}

export const NO_ACTS: LevelActs = { notify: null, stepUp: false, narrow: null, freeze: false, terminate: false, lock: null, shorten: null }

export type Contribution = { readonly rule: string; readonly points: number; readonly at: Instant }

/** What made it rise. */
export type Reasoning = {
  readonly contributions: readonly Contribution[]
  /** Distinct tenants it touched of late. */
  readonly tenants: readonly string[]
  /** The request that crossed it; null where none did. */
  readonly request: { readonly evaluation: string; readonly route: string; readonly rule: string; readonly method: string; readonly path: string } | null
}

/** A level that was reached. `at` is its threshold, so that it stands also where the configuration calls it otherwise. */
export type LevelMark = {
  readonly name: string
  readonly at: number
  readonly score: number
  readonly since: Instant
  /** `issuer|subject`: its anchor is named by a digest. */
  readonly who: string
  readonly why: Reasoning
}
/** When a threshold was last reached: what ended by that stays ended. */
export type Reached = { readonly at: number; readonly when: Instant }

/** What is kept of a principal, in none of its sessions. */
export type Standing = {
  readonly level: LevelMark | null
  readonly reached: readonly Reached[]
  /** What was added up to here counts no more: an operator's word. 0 before the first. */
  readonly clearedAt: Instant
  readonly taints: readonly Taint[]
}
export const NO_STANDING: Standing = { level: null, reached: [], clearedAt: instant(0), taints: [] }
export const REACHED_MAX = 16

/** The score before a request counted, and after; the level that stands then. */
export type Risked = { readonly before: number; readonly after: number; readonly level: string | null }
export const NOT_RISKED: Risked = { before: 0, after: 0, level: null }

/** Highest score there is: beyond it nothing more is told apart, and falling takes no longer. */
export const SCORE_MAX = 1_000

/** What is left of points by now. */
export const decayed = (points: number, at: Instant, now: Instant, halfLife: Duration): number => (now <= at ? points : points * 2 ** (-(now - at) / halfLife))

/** When so many points are down to that; FOREVER where they never are. */
export const fallsTo = (points: number, to: number, now: Instant, halfLife: Duration): Instant =>
  points <= to ? now : to <= 0 ? FOREVER : after(now, duration(Math.ceil(halfLife * Math.log2(points / to))))

/** What the configuration makes of a level that was reached: the highest at or below it. */
export function levelAt({ levels }: Pick<RiskPolicy, 'levels'>, at: number): RiskLevel | null {
  let found: RiskLevel | null = null
  for (const level of levels) if (level.at <= at) found = level
  return found
}

/** The level a score stands for, coming from another: upwards at once, downwards only with a margin and after a while. */
export function levelOf(policy: RiskPolicy, score: number, held: LevelMark | null, now: Instant): RiskLevel | null {
  const reached = levelAt(policy, score)
  const from = held === null ? null : levelAt(policy, held.at)
  if (held === null || from === null || (reached !== null && reached.at >= from.at)) return reached
  if (now < after(held.since, policy.holdFor)) return from
  return levelAt(policy, score + policy.hysteresis)
}

/** When it falls at the earliest if nothing is added; FOREVER where it stands at none. */
export function nextFall(policy: RiskPolicy, score: number, held: LevelMark | null, now: Instant): Instant {
  const from = held === null ? null : levelAt(policy, held.at)
  if (held === null || from === null) return FOREVER
  const by = fallsTo(score, from.at - policy.hysteresis, now, policy.halfLife)
  const least = after(held.since, policy.holdFor)
  return by > least ? by : least
}
