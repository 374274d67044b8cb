// What became of elevations, out of a trail: when each was given and how long, and when, how often and where it was used. SPEC: RPT1
import type { ElevationId } from '../core/elevation.ts'
import type { Fact } from '../core/fact.ts'
import type { Instant } from '../core/time.ts'
import { type Extent, readRecent } from './recent.ts'

export type Use = {
  readonly profile: string
  /** When it was given; null where it was not, or before the time that is read. */
  since: Instant | null
  /** When it ended, or ends. */
  until: Instant | null
  uses: number
  firstUse: Instant | null
  lastUse: Instant | null
  /** Route and rule of what it carried. */
  readonly rules: Set<string>
}

export type Uses = Extent & { readonly elevations: ReadonlyMap<string, Use>; /** Elevations beyond the limit. */ readonly others: number }

const ELEVATIONS_MAX = 100_000
const RULES_MAX = 1_000

export const ruleName = (route: string, rule: string): string => JSON.stringify([route, rule])

class Book {
  readonly elevations = new Map<string, Use>()
  others = 0

  of(id: string, profile: string): Use | null {
    const known = this.elevations.get(id)
    if (known !== undefined) return known
    if (this.elevations.size >= ELEVATIONS_MAX) {
      this.others++
      return null
    }
    const use: Use = { profile, since: null, until: null, uses: 0, firstUse: null, lastUse: null, rules: new Set() }
    this.elevations.set(id, use)
    return use
  }

  /** A second telling of a fact changes nothing. */
  told(fact: Fact): void {
    if (fact.what === 'elevation.requested') this.of(fact.elevation.id, fact.elevation.profile)
    else if (fact.what === 'elevation.activated') this.#given(fact.elevation, fact.at, fact.until)
    else if (fact.what === 'elevation.extended') this.#lasts(fact.elevation, fact.until)
    else if (fact.what === 'elevation.ended') this.#lasts(fact.elevation, fact.at)
  }

  used(id: string, profile: string, at: Instant, rule: string): void {
    const use = this.of(id, profile)
    if (use === null) return
    use.uses++
    use.firstUse ??= at
    use.lastUse = at
    if (use.rules.size < RULES_MAX) use.rules.add(rule)
  }

  closed(grant: string, at: Instant): void {
    const use = this.elevations.get(grant)
    if (use !== undefined) use.lastUse = at
  }

  #given(id: ElevationId, at: Instant, until: Instant): void {
    const use = this.elevations.get(id)
    if (use !== undefined) use.since ??= at
    this.#lasts(id, until)
  }

  #lasts(id: ElevationId, until: Instant): void {
    const use = this.elevations.get(id)
    if (use !== undefined) use.until = until
  }
}

export async function readUses(files: readonly string[], since: Instant): Promise<Uses> {
  const book = new Book()
  const { isAll } = await readRecent(files, ['fact', 'exchange.opened', 'exchange.closed'], since, line => {
    if (line.kind === 'fact') book.told(line.fact)
    else if (line.kind === 'exchange.closed') book.closed(line.grant, line.at)
    else if (line.elevation !== null) book.used(line.elevation.id, line.elevation.profile, line.at, ruleName(line.route, line.rule))
  })
  return { elevations: book.elevations, others: book.others, isAll }
}
