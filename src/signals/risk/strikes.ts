// Strikes of one principal, here and elsewhere, and which of them were answered. SPEC: CND1, RSK6
import { type Conduct, joinMaps, reachedAt, type Strike, STRIKES_MAX, struckAgain } from '../../core/conduct.ts'
import type { OnHit } from '../../core/route.ts'
import type { SessionId, SessionKey } from '../../core/session.ts'
import { type Instant, instant, later } from '../../core/time.ts'
import { grouped, NONE, put } from './names.ts'

/** In which session, and what follows. */
export type Struck = { readonly hit: OnHit; readonly key: SessionKey; readonly life: SessionId }

export class Strikes {
  own: Map<string, readonly Strike[]> = NONE
  /** Up to when they were answered. */
  answered: Map<string, Instant> = NONE
  #others: ReadonlyMap<string, readonly Strike[]> = NONE
  #last: Map<string, Struck> = NONE

  strike(rule: string, struck: Struck, at: Instant): void {
    this.#last = put(this.#last, rule, struck)
    this.own = put(this.own, rule, struckAgain(this.own.get(rule) ?? [], at, struck.hit.within))
  }

  /** Rules on which it was struck here. */
  get rules(): readonly string[] { return [...this.#last.keys()] }

  /** The strike that made it as many as the rule says, on all gateways together, and where it was struck last here; from then on they count anew. */
  out(rule: string, clearedAt: Instant, now: Instant): (Struck & { readonly at: Instant }) | null {
    const struck = this.#last.get(rule)
    if (struck === undefined) return null
    const since = Math.max(this.answered.get(rule) ?? 0, clearedAt, now - struck.hit.within)
    const found = reachedAt(this.#of(rule), struck.hit.strikes, instant(since))
    if (found === null) return null
    this.answered = put(this.answered, rule, found.last)
    return { ...struck, at: found.at }
  }

  /** Those that count still. */
  open(clearedAt: Instant): readonly { readonly rule: string; readonly at: Instant; readonly times: number }[] {
    const rules = new Set([...this.own.keys(), ...this.#others.keys()])
    return [...rules].flatMap(rule => this.#of(rule).filter(([at]) => at > Math.max(this.answered.get(rule) ?? 0, clearedAt)).map(([at, times]) => ({ rule, at, times })))
  }

  /** Strikes are every gateway's own; that they were answered is one for all. */
  join(parts: readonly Conduct[]): void {
    for (const { struck } of parts) this.answered = joinMaps(this.answered, struck, later, Number)
  }

  others(parts: readonly Conduct[]): void {
    this.#others = new Map([...grouped(parts.map(({ strikes }) => strikes))].map(([rule, lists]) => [rule, lists.flat()]))
  }

  clear(at: Instant): void {
    if (this.own.size > 0) this.own = new Map([...this.own].map(([rule, strikes]) => [rule, strikes.filter(([when]) => when > at)] as const).filter(([, strikes]) => strikes.length > 0))
  }

  recall(strikes: ReadonlyMap<string, readonly Strike[]>): void {
    for (const [rule, times] of strikes) this.own = put(this.own, rule, [...times, ...(this.own.get(rule) ?? [])].slice(-STRIKES_MAX))
  }

  #of(rule: string): readonly Strike[] { return [...(this.own.get(rule) ?? []), ...(this.#others.get(rule) ?? [])] }
}
