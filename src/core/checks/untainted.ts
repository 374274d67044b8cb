// SPEC: CND3 — who has touched one thing is kept from another: neither what its session touched nor what its principal did may get here.
import { refuse } from '../decision.ts'
import { isInForce } from '../taint.ts'
import type { Check } from './check.ts'

export const untainted: Check = ({ standing, place: { route, rule }, now }) => {
  if (standing === null || standing.taints.length === 0 || (route.notAfter.length === 0 && (rule?.notAfter.length ?? 0) === 0)) return null
  const touched = standing.taints.some(taint => isInForce(taint, now) && (route.notAfter.includes(taint.name) || rule?.notAfter.includes(taint.name) === true))
  return touched ? refuse('tainted') : null
}
