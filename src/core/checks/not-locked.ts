// SPEC: ENF8 — locks by route, credential and issue time; those by session, subject, tenant and issuer are part of the session's standing,
// and what keeps to the baseline is for the choice of the grant.
import { refuse } from '../decision.ts'
import { locksOnRequest } from '../locks.ts'
import type { Check } from './check.ts'

export const notLocked: Check = ({ locks, place, evaluation, now }) => {
  if (locks.size === 0) return null
  const lock = locksOnRequest(locks, place.route.name, evaluation.evidence, now)
  if (lock === null || lock.effect === 'baseline') return null
  return refuse(lock.effect === 'freeze' ? 'frozen' : lock.reason)
}
