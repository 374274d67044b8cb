// What of a kind (tenants, paths, tools, sources) one principal was seen with, and how many of late. At most so many are kept: the oldest make way. SPEC: RSK2
import { joinMaps, NAMES_MAX } from '../../core/conduct.ts'
import { duration, type Instant, instant, later } from '../../core/time.ts'
import { sha256 } from '../../runtime/id.ts'
import { NONE } from './names.ts'

const OF_LATE = duration(600_000)

/** Digests of what is asked for again and again. */
const DIGESTS_MAX = 16_384
const LONGEST_KEPT = 512
const digests = new Map<string, string>()

function digestOf(text: string): string {
  const known = digests.get(text)
  if (known !== undefined) return known
  if (digests.size >= DIGESTS_MAX) digests.clear()
  const made = sha256(text).slice(0, 12)
  if (text.length <= LONGEST_KEPT) digests.set(text, made)
  return made
}

export class Seen {
  kept: Map<string, Instant> = NONE
  /** Counted up to when one of them is no longer of late; before that only more can come. */
  #count = 0
  #countedUntil = instant(0)

  /** @returns whether it is the first of its kind among others */
  saw(text: string, now: Instant): boolean {
    const digest = digestOf(text)
    const before = this.kept.get(digest)
    if (before === undefined || before <= now - OF_LATE) this.#countedUntil = instant(0)
    const isFirst = before === undefined && this.kept.size > 0
    if (this.kept.size === 0) this.kept = new Map()
    this.kept.set(digest, now)
    if (this.kept.size > NAMES_MAX) this.#makeWay()
    return isFirst
  }

  ofLate(now: Instant): number {
    if (now >= this.#countedUntil) this.#countAt(now)
    return this.#count
  }

  /** Is any of these none of those? */
  exceeds(others: readonly ReadonlyMap<string, Instant>[]): boolean {
    return this.kept.size > 0 && others.some(({ size }) => size > 0) && [...this.kept.keys()].some(digest => !others.some(other => other.has(digest)))
  }

  join(others: ReadonlyMap<string, Instant>): void {
    const joined = joinMaps(this.kept, others, later, Number)
    if (joined !== this.kept) this.#countedUntil = instant(0)
    this.kept = joined
  }

  #countAt(now: Instant): void {
    this.#count = 0
    let until = now + OF_LATE
    for (const at of this.kept.values()) {
      if (at <= now - OF_LATE) continue
      this.#count++
      until = Math.min(until, at + OF_LATE)
    }
    this.#countedUntil = instant(until)
  }

  #makeWay(): void {
    let oldest: string | null = null
    let least = Infinity
    for (const [digest, at] of this.kept) {
      if (at >= least) continue
      least = at
      oldest = digest
    }
    if (oldest !== null) this.kept.delete(oldest)
  }
}
