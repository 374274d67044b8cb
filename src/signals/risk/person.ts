// One principal as this gateway knows its conduct: what it did here, and what other gateways said it did there. Keeps and adds up; decides nothing.
// SPEC: RSK2, RSK3, RSK6
import type { AnchorRef } from '../../core/anchor.ts'
import { chainOf, type Conduct, joinMaps, joinTimes, NAMES_MAX, SEEN_KINDS, type SeenKind, thinned } from '../../core/conduct.ts'
import { textOf } from '../../core/conduct-text.ts'
import type { Evaluation } from '../../core/evaluation.ts'
import type { LevelMark, RiskPolicy } from '../../core/risk.ts'
import { type Duration, type Instant, instant } from '../../core/time.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { Counts } from './counts.ts'
import { NONE, put } from './names.ts'
import { Points } from './points.ts'
import type { Rules, SequenceRule } from './rules.ts'
import { Seen } from './seen.ts'
import { Strikes } from './strikes.ts'

const TENANTS_MAX = 16
const TENANT_LENGTH = 64
/** From so many permitted uses on it is what it normally does. */
const USUAL = 3
/** A stranger is remembered for so many times as long as it was around, and for an hour at least. */
const REMEMBERED = 16
const HOUR = 3_600_000
const HALF_LIVES_KEPT = 12

/** With what its principal was never seen before; `of` the request, null where it is none. */
export type First = { readonly of: Evaluation | null; readonly tenant: boolean; readonly tool: boolean; readonly source: boolean }
export const NOT_FIRST: First = { of: null, tenant: false, tool: false, source: false }

export class Person {
  readonly ref: AnchorRef
  /** `issuer|subject`. */
  readonly who: string
  /** Of its sessions the one that was used last. */
  live: LiveSession | null
  /** The store was asked what others know of it. */
  known = false
  /** Something was added here: there is a part to tell. */
  hasPart = false
  /** In which line it waits to be shared, and since when. */
  waiting: 'no' | 'quiet' | 'urgent' = 'no'
  waitsSince = 0
  /** Digest of what others said last. */
  heard: string | null = null
  /** As it was last known to stand. */
  held: LevelMark | null = null
  /** A rise that the store has not taken yet, and a fall that was not answered yet. */
  rising: { readonly mark: LevelMark; readonly version: number; readonly failed: boolean } | null = null
  falling = false
  /** It would fall by what is known here: whether others know better is to be asked, was asked, or was just answered (until then, on the elapsed scale). */
  doubt: 'none' | 'open' | 'asked' = 'none'
  freshUntil = -Infinity
  readonly points = new Points()
  readonly strikes = new Strikes()
  readonly counts = new Counts()
  readonly seen: { readonly [K in SeenKind]: Seen } = { tenant: new Seen(), path: new Seen(), tool: new Seen(), source: new Seen() }
  /** What its last request that was the first of its kind was the first with. */
  first: First = NOT_FIRST
  /** Names of the tenants it touched here of late. */
  tenants: readonly string[] = []
  #since: Instant
  #steps: Map<string, readonly Instant[]> = NONE
  #step = instant(0)
  #used: Map<string, number> = NONE
  #uses = 0

  constructor(ref: AnchorRef, who: string, live: LiveSession | null, now: Instant) {
    this.ref = ref
    this.who = who
    this.live = live
    this.#since = now
  }

  tenant(name: string): void {
    const shown = name.slice(0, TENANT_LENGTH)
    if (!this.tenants.includes(shown)) this.tenants = [shown, ...this.tenants].slice(0, TENANTS_MAX)
  }

  /** An operator's word: what it takes back is not told to others any more either, who may not have heard it. */
  clear(at: Instant, rules: Rules, now: Instant): void {
    this.points.clear(at, rules, now)
    this.strikes.clear(at)
  }

  // ---- sequences

  /** Each later than all before it, whatever the clock says. */
  stepped(steps: readonly string[], now: Instant): void {
    this.#step = instant(now > this.#step ? now : this.#step + 0.001)
    for (const step of steps) this.#steps = put(this.#steps, step, thinned([...(this.#steps.get(step) ?? []), this.#step]))
  }

  /** What is complete now and was not told yet. */
  completed({ name, steps, within }: SequenceRule): { readonly from: Instant; readonly at: Instant } | null {
    const times: (readonly Instant[])[] = []
    for (const step of steps) {
      const seen = this.#steps.get(step)
      if (seen === undefined) return null
      times.push(seen)
    }
    return chainOf(times, within, instant(this.points.firedAt(name)))
  }

  // ---- what it normally does

  uses(rule: string): void {
    this.#uses++
    this.#used = put(this.#used, rule, (this.#used.get(rule) ?? 0) + 1)
  }

  isUnusual(rule: string, { requests, for: span }: RiskPolicy['learn'], now: Instant): boolean {
    return this.#uses >= requests && this.#used.size < NAMES_MAX && now - this.#since >= span && (this.#used.get(rule) ?? 0) < USUAL // who uses more than are kept has no usual ones
  }

  // ---- shared

  text(by: string, now: Instant): string {
    const { points: { fired, added, told }, strikes: { own, answered }, seen: { tenant, path, tool, source } } = this
    return textOf({
      by, since: this.#since, counts: this.counts.own(now), seen: { tenant: tenant.kept, path: path.kept, tool: tool.kept, source: source.kept }, steps: this.#steps,
      fired, added, told, strikes: own, struck: answered, used: this.#used,
    })
  }

  /** Strangers are forgotten soon: so that millions of them leave nothing behind. @param strikes how long those count at most */
  forgetAt(now: Instant, { halfLife, remember }: RiskPolicy, strikes: Duration): Instant {
    const familiar = Math.min(remember, Math.max(HOUR, REMEMBERED * (now - this.#since)))
    const points = this.points.none ? 0 : HALF_LIVES_KEPT * halfLife
    return instant(Math.ceil(now + Math.max(familiar, points, this.strikes.own.size > 0 ? strikes : 0)))
  }

  /**
   * What others say takes the place of what they said before.
   * @param own what this gateway said before it forgot the principal
   * @returns of what kinds it was seen with something that nobody knew, should they be asked for the first time
   */
  join(own: Conduct | null, parts: readonly Conduct[], rules: Rules, now: Instant): First {
    const all = own === null ? parts : [own, ...parts]
    const isNew = (kind: SeenKind): boolean => !this.known && this.seen[kind].exceeds(all.map(part => part.seen[kind]))
    const first = { of: null, tenant: isNew('tenant'), tool: isNew('tool'), source: isNew('source') }
    for (const kind of SEEN_KINDS) for (const part of all) this.seen[kind].join(part.seen[kind])
    if (own !== null) this.#recall(own, rules)
    this.counts.others = parts.flatMap(({ counts }) => counts)
    for (const { since, steps, used } of all) {
      this.#since = instant(Math.min(this.#since, since))
      this.#steps = joinMaps(this.#steps, steps, joinTimes, times => times.at(-1) ?? 0)
      this.#used = joinMaps(this.#used, used, (a, b) => Math.max(a, b), Number)
    }
    this.#uses = [...this.#used.values()].reduce((sum, uses) => sum + uses, 0)
    this.points.join(all, rules)
    this.points.others(parts)
    this.points.recount(rules, now)
    this.strikes.join(all)
    this.strikes.others(parts)
    this.known = true
    return first
  }

  #recall({ counts, added, strikes }: Conduct, rules: Rules): void {
    this.counts.recall(counts)
    this.points.recall(added, rules)
    this.strikes.recall(strikes)
    this.hasPart = true
  }
}
