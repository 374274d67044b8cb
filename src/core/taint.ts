// What a session or its principal has touched, and for how long that keeps it from elsewhere. SPEC: CND3
import type { Instant } from './time.ts'

export type TaintName = string

export type Taint = {
  readonly name: TaintName
  readonly since: Instant
  /** null lasts as long as whoever has it. */
  readonly until: Instant | null
  /** The rule that gave it, and the exchange it was given to. */
  readonly rule: string
  readonly exchange: string
}

/** Names that a configuration gives: whoever is tainted has at most so many. */
export const TAINTS_MAX = 32

export const isInForce = ({ until }: Taint, now: Instant): boolean => until === null || until > now

/** Would this one add anything to those? */
export const isNewTaint = (taints: readonly Taint[], { name, until }: Taint, now: Instant): boolean =>
  (until === null || until > now) && !taints.some(held => held.name === name && isInForce(held, now) && (held.until === null || (until !== null && held.until >= until)))

/** With one more: it takes the place of another of its name, and of those that are over. */
export const withTaint = (taints: readonly Taint[], taint: Taint, now: Instant): readonly Taint[] => [...taints.filter(held => held.name !== taint.name && isInForce(held, now)), taint]
