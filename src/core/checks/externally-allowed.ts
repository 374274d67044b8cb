// SPEC: PEP2 — where a rule asks somebody outside, nothing goes on without an answer to this very question that lets it; the preview alone comes before.
import { refuse } from '../decision.ts'
import { askedOf, steppedUpUntil } from '../external.ts'
import type { Check } from './check.ts'

export const externallyAllowed: Check = c => {
  const { external, now, place: { rule } } = c
  if (rule === null || rule.decision === null || external === 'ahead') return null
  if (external === null || external.until <= now || external.asked !== askedOf(c)) return refuse('external_unavailable')
  if (steppedUpUntil(c) === null) return refuse('step_up_required')
  return external.refusal === null ? null : refuse(external.refusal, external.requestable)
}
