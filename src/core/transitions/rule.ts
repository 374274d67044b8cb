// What one row of a transition table is: a pure rule from record and news to facts, or to a refusal of the news itself.
import type { Fact, SessionFact, SessionHappening } from '../fact.ts'
import type { RefusalReason } from '../reason.ts'
import type { Session } from '../session.ts'
import type { Instant } from '../time.ts'

/** News that cannot be taken: `conflict` when the record's state forbids it, otherwise a reason callers know. */
export type Rejected = { readonly rejected: 'conflict' | 'not_found' | RefusalReason; readonly says: string }

/** What happened, without what every fact carries (see `tell`). */
export type Outcome<H> = readonly H[] | Rejected

export const NOTHING: readonly never[] = []
export const reject = (rejected: Rejected['rejected'], says: string): Rejected => ({ rejected, says })
export const isRejected = (outcome: readonly unknown[] | Rejected): outcome is Rejected => 'rejected' in outcome

export type SessionRule<S> = (session: Session, signal: S, now: Instant) => Outcome<SessionHappening>

export type Transition<R, F extends Fact> = { readonly record: R | null; readonly facts: readonly F[]; readonly rejected: Rejected | null }
export type SessionTransition = Transition<Session, SessionFact>
