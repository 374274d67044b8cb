// What a changed world does to an exchange that is already open: the judge asked again, and its answer as one of the verdicts.
// `narrow` is for exchanges that carry many actions; HTTP exchanges carry one, so they are continued, regranted, frozen or ended. SPEC: ENF3
import type { Case } from './checks/check.ts'
import { type Grant, grantName, type Permit } from './decision.ts'
import type { Effective } from './effective.ts'
import { endOf, evaluate } from './evaluate.ts'
import { REASONS, type Reason } from './reason.ts'

export type Verdict =
  | { readonly kind: 'continue' | 'regrant'; readonly permit: Permit }
  | { readonly kind: 'freeze'; readonly reason: Reason }
  | { readonly kind: 'terminate'; readonly reason: Reason }

/** The end of the grant it stood on tells more than what a newcomer would be told. */
function whyLost(held: Grant, standing: Effective | null, refused: Reason): Reason {
  if (held.is !== 'elevation' || standing === null || refused !== 'elevation_required') return refused
  const lost = standing.lost.get(held.elevation.id)
  return lost === undefined || REASONS[lost].loss === 'freeze' ? refused : lost // a frozen profile that adds the scope no more holds nothing
}

/** @param held the Permit's grant under which the exchange was admitted or last confirmed */
export function reassess(held: Grant, c: Case): Verdict {
  const decision = evaluate(c)
  if (decision.effect === 'permit') return { kind: grantName(decision.grant) === grantName(held) ? 'continue' : 'regrant', permit: decision }
  const refusal = REASONS[decision.reason].loss === 'freeze' ? (endOf(c) ?? decision) : decision // what is held for now ends all the same when its right does
  const reason = whyLost(held, c.standing, refusal.reason)
  return { kind: REASONS[reason].loss, reason }
}
