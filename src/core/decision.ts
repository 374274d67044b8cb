// The judge's answer. A Permit is made here and nowhere else; only a Permit opens an upstream.
// SPEC: DEC1, DEC7
import type { Elevation } from './elevation.ts'
import type { Reason } from './reason.ts'
import type { StepUp } from './step-up.ts'
import type { Instant } from './time.ts'

declare const made: unique symbol

/** What carries a request. */
export type Grant =
  | { readonly is: 'baseline' | 'anonymous' | 'observed' }
  /** `schedules`: versions of the windows it was judged by. */
  | { readonly is: 'elevation'; readonly elevation: Elevation; readonly schedules: readonly string[] }

export type Permit = {
  readonly effect: 'permit'
  readonly grant: Grant
  /** The instant at which it ends without any message. */
  readonly until: Instant
  /** On an observed route: what enforcing would have answered. */
  readonly would: Reason | null
  /** What the caller showed anew that it stands on; null where it needs nothing of that kind. */
  readonly stepUp: StepUp | null
  readonly [made]: 'by the judge'
}

export type Refusal = {
  readonly effect: 'refuse'
  readonly reason: Reason
  /** An elevation exists that could lift this refusal. */
  readonly requestable: boolean
}

export type Decision = Permit | Refusal

/** @internal evaluate.ts is the only caller; the architecture test holds it to that. */
export const permit = (grant: Grant, until: Instant, would: Reason | null, stepUp: StepUp | null = null): Permit => ({ effect: 'permit', grant, until, would, stepUp }) as Permit // the brand exists in the type only

export const refuse = (reason: Reason, requestable = false): Refusal => ({ effect: 'refuse', reason, requestable })

export const grantName = (grant: Grant): string => (grant.is === 'elevation' ? grant.elevation.id : grant.is)
