// One check asks one thing of a case and either refuses or has nothing to say. All of them stand in order.ts.
import type { Effective } from '../effective.ts'
import type { Evaluation } from '../evaluation.ts'
import type { Refusal } from '../decision.ts'
import type { ElevationId } from '../elevation.ts'
import type { External } from '../external.ts'
import type { LockIndex } from '../locks.ts'
import type { Claims } from '../principal.ts'
import type { Policy } from '../policy.ts'
import type { Place } from '../route.ts'
import type { StepUpId } from '../step-up.ts'
import type { Instant } from '../time.ts'

/** Everything the judge may know. The same shape for a new request and for an exchange that is already open. */
export type Case = {
  readonly now: Instant
  /** The instant until which our knowledge of shared state is proven fresh. */
  readonly confirmedUntil: Instant
  /** Until when who vouches for the credential was heard; FOREVER where it needs nobody's word. */
  readonly vouchedUntil: Instant
  readonly policy: Policy
  readonly place: Place
  readonly evaluation: Evaluation
  readonly locks: LockIndex
  /** null on an anonymous rule. */
  readonly standing: Effective | null
  readonly claims: Claims
  /** The elevation that carries an open exchange: kept while it holds. */
  readonly held: ElevationId | null
  /** The exchange it is, or would be; null where none is meant. */
  readonly exchange: string | null
  /** The step-up of which a use was taken for it; null where none was. */
  readonly paid: StepUpId | null
  /** What was said of it outside, where its rule asks. */
  readonly external: External
}

export type Check = (c: Case) => Refusal | null
