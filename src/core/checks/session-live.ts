// SPEC: SES4, ENF6, RSK4 — an ended session carries nothing, a frozen one nothing for now; an anonymous rule needs none.
import { refuse } from '../decision.ts'
import type { Check } from './check.ts'

export const sessionLive: Check = ({ standing, place }) => {
  if (place.rule?.anonymous === true) return null
  if (standing === null) return refuse('no_credential')
  if (standing.byRisk && place.route.mode === 'observe') return null
  return standing.state === 'live' ? null : refuse(standing.reason ?? 'session_ended')
}
