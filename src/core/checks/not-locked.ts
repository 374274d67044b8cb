// SPEC: ENF8 — locks by route, by what the request shows and by issue time; those by what the session is are part of its
// standing, and what keeps to the baseline is for the choice of the grant.
import { refuse } from '../decision.ts'
import { locksOnRequest } from '../locks.ts'
import type { Check } from './check.ts'

export const notLocked: Check = ({ locks, place, evaluation, standing, now }) => {
  if (locks.size === 0) return null
  const lock = locksOnRequest(locks, place.route.name, evaluation, standing?.session.principal ?? null, now)
  if (lock === null || lock.effect === 'baseline') return null
  return refuse(lock.effect === 'freeze' ? 'frozen' : lock.reason)
}
