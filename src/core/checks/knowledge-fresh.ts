// SPEC: DEC8 — nothing is decided on knowledge older than the lease; a route's staleness stretches it only for rules without scope.
import { refuse } from '../decision.ts'
import type { Check } from './check.ts'

export const knowledgeFresh: Check = ({ now, confirmedUntil, place }) => {
  const slack = place.rule?.scope === null ? place.route.staleness : 0
  return now < confirmedUntil + slack ? null : refuse('stale')
}
