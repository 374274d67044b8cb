// The points of one principal: what rules added, what each hit did, what was told from outside, and what other gateways say of theirs. All fall alike, so that
// the score is one sum. SPEC: RSK1, RSK3, RSK6
import { type Conduct, type Firing, joinFirings, joinMaps, joinTold, plus, type Sum, worth } from '../../core/conduct.ts'
import { type Contribution, decayed, type RiskPolicy, SCORE_MAX } from '../../core/risk.ts'
import { type Duration, type Instant, instant, later } from '../../core/time.ts'
import { grouped, NONE, put } from './names.ts'
import type { Rules } from './rules.ts'

/** Of names that are told with a level. */
const CONTRIBUTIONS_MAX = 16
/** Points that are nothing any more. */
const NOTHING_LEFT = 0.01

export class Points {
  fired: Map<string, Firing> = NONE
  added: Map<string, Sum> = NONE
  told: Map<string, Sum> = NONE
  #others: ReadonlyMap<string, readonly Sum[]> = NONE
  #clearedAt = instant(0)
  #total = 0
  #totalAt = instant(0)

  score(now: Instant, halfLife: Duration): number { return this.#total === 0 ? 0 : Math.min(SCORE_MAX, decayed(this.#total, this.#totalAt, now, halfLife)) }

  get none(): boolean { return this.#total === 0 }

  /** What was added up to here counts no more. */
  get clearedAt(): Instant { return this.#clearedAt }

  /** When the rule added last; 0 where it never did. */
  firedAt(rule: string): number { return this.fired.get(rule)?.at ?? 0 }

  fire(rule: string, add: number, from: Instant, at: Instant, { halfLife }: RiskPolicy): void {
    this.#more(at, halfLife, add)
    this.fired = put(this.fired, rule, { points: plus(this.fired.get(rule), add, at, halfLife, this.#clearedAt), at, from })
  }

  add(name: string, points: number, at: Instant, { halfLife }: RiskPolicy): void {
    this.#more(at, halfLife, points)
    this.added = put(this.added, name, { points: plus(this.added.get(name), points, at, halfLife, this.#clearedAt), at })
  }

  tell(name: string, points: number, at: Instant, rules: Rules): void {
    this.told = put(this.told, name, { points: Math.min(SCORE_MAX, points), at })
    this.recount(rules, at)
  }

  contributions(rules: Rules, now: Instant): readonly Contribution[] {
    const found = new Map<string, Contribution>()
    this.#each(rules, (rule, sum) => {
      const points = worth(sum, now, rules.policy.halfLife, this.#clearedAt) + (found.get(rule)?.points ?? 0)
      if (points > NOTHING_LEFT) found.set(rule, { rule, points, at: later(sum.at, found.get(rule)?.at ?? sum.at) })
    })
    const all = [...found.values()].sort((a, b) => b.points - a.points).slice(0, CONTRIBUTIONS_MAX)
    return all.map(({ rule, points, at }) => ({ rule, points: Math.round(points * 10) / 10, at }))
  }

  /** All of it anew: others said more, an operator spoke, or other rules hold. */
  recount(rules: Rules, now: Instant): void {
    let total = 0
    this.#each(rules, (_, sum) => { total += worth(sum, now, rules.policy.halfLife, this.#clearedAt) })
    this.#total = total < NOTHING_LEFT ? 0 : total
    this.#totalAt = now
  }

  /** When rules fired last is kept: what they saw may hold still, and is not to add again before its time. */
  clear(at: Instant, rules: Rules, now: Instant): void {
    this.#clearedAt = at
    if (this.fired.size > 0) this.fired = new Map([...this.fired].map(([name, firing]) => [name, firing.at > at ? firing : { ...firing, points: 0 }]))
    const kept = (sums: Map<string, Sum>): Map<string, Sum> => (sums.size === 0 ? sums : new Map([...sums].filter(([, sum]) => sum.at > at)))
    this.added = kept(this.added)
    this.told = kept(this.told)
    this.recount(rules, now)
  }

  /** Points for each hit are every gateway's own; the rest is one for all. */
  join(parts: readonly Conduct[], { policy: { halfLife } }: Rules): void {
    for (const { fired, told } of parts) {
      this.fired = joinMaps(this.fired, fired, (a, b) => joinFirings(a, b, halfLife), ({ at }) => at)
      this.told = joinMaps(this.told, told, joinTold, ({ at }) => at)
    }
  }

  others(parts: readonly Conduct[]): void { this.#others = grouped(parts.map(({ added }) => added)) }

  recall(added: ReadonlyMap<string, Sum>, { policy: { halfLife } }: Rules): void {
    for (const [name, { points, at }] of added) {
      const known = this.added.get(name)
      const last = later(at, known?.at ?? at)
      this.added = put(this.added, name, { points: plus(known, decayed(points, at, last, halfLife), last, halfLife, this.#clearedAt), at: last })
    }
  }

  #more(at: Instant, halfLife: Duration, points: number): void {
    this.#total = this.score(at, halfLife) + points
    this.#totalAt = at
  }

  /** What a rule added that is not configured any more counts no more. */
  #each(rules: Rules, each: (name: string, sum: Sum) => void): void {
    for (const [name, sum] of this.fired) if (rules.names.has(name)) each(name, sum)
    for (const [name, sum] of this.added) each(name, sum)
    for (const [name, sums] of this.#others) for (const sum of sums) each(name, sum)
    for (const [name, sum] of this.told) each(name, sum)
  }
}
