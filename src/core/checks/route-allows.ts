// SPEC: DEC2 — the first rule whose selector matches decides; no match is a refusal; a path an upstream may read as another is one too.
import { refuse } from '../decision.ts'
import { isAmbiguous } from '../route.ts'
import type { Check } from './check.ts'

export const routeAllows: Check = ({ place, policy, evaluation }) => {
  if (isAmbiguous(policy.table, place, evaluation.action, evaluation.resource)) return refuse('path_ambiguous')
  if (place.rule === null) return refuse(evaluation.action.call?.kind === 'unknown' ? 'method_unknown' : 'no_rule')
  return place.rule.effect === 'deny' ? refuse('denied') : null
}
