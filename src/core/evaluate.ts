// The first door and the one judge: asked for every request, and again for every open exchange when anything behind it changes.
// SPEC: DEC1-DEC8
import type { Case } from './checks/check.ts'
import { CHECKS } from './checks/order.ts'
import { deadline } from './deadline.ts'
import { type Decision, type Grant, permit, type Permit, refuse, type Refusal } from './decision.ts'
import type { Effective } from './effective.ts'
import { needOfExternal, steppedUpUntil } from './external.ts'
import { ANONYMOUS, chooseGrant } from './grant.ts'
import { type Reason, REASONS } from './reason.ts'
import { coverage, coverageUntil, needOfDemand, type StepUpNeed, stepUpNeeded } from './step-up.ts'
import { earlier, FOREVER } from './time.ts'

/** What a route in observe mode lets pass: scope, condition and purpose. Everything else always holds. */
const SOFT: ReadonlySet<Reason> = new Set(['elevation_required', 'purpose_missing', 'purpose_mismatch', 'purpose_over', 'window_closed', 'ticket_closed', 'ticket_changed', 'ticket_stale', 'condition_false', 'condition_error', 'step_up_required', 'risk'])

/** What the caller has to show anew before it goes on, if anything. */
function steppedUp(c: Case, standing: Effective, grant: Grant, until: Permit['until']): Permit | Refusal {
  const needed = stepUpNeeded(c, grant, standing)
  if (needed === null) return permit(grant, until, null)
  const covering = coverage(standing.session.stepUps, c, needed.rules)
  return covering === null ? refuse('step_up_required') : permit(grant, earlier(until, coverageUntil(covering)), null, covering)
}

/** What this request would have to be stepped up for, were nothing shown; null for nothing. */
export function needOf(c: Case): StepUpNeed | null {
  const { standing, place: { rule } } = c
  if (standing === null || rule === null || rule.anonymous) return null
  const { demand } = standing.session
  if (demand !== null) return needOfDemand(demand, c.policy.risk.stepUp)
  const outside = c.external === null ? null : needOfExternal(c)
  if (outside !== null && steppedUpUntil(c) === null) return outside
  const choice = chooseGrant(c, rule, standing)
  return 'effect' in choice ? null : stepUpNeeded(c, choice.grant, standing)
}

export function evaluate(c: Case): Decision {
  for (const check of CHECKS) {
    const refusal = check(c)
    if (refusal !== null) return refusal
  }
  const { rule, route } = c.place
  if (rule === null) return refuse('no_rule')
  if (rule.anonymous) return permit(ANONYMOUS.grant, FOREVER, null)
  if (c.standing === null) return refuse('no_credential')
  const choice = chooseGrant(c, rule, c.standing)
  const answer = 'effect' in choice ? choice : steppedUp(c, c.standing, choice.grant, deadline(c, choice.until))
  if (answer.effect === 'permit') return answer
  if (route.mode === 'observe' && SOFT.has(answer.reason)) return permit({ is: 'observed' }, deadline(c, FOREVER), answer.reason)
  return answer
}

/** What ends the right of something open for good, looking past whatever only holds it for now; null when nothing does. */
export function endOf(c: Case): Refusal | null {
  const ends = CHECKS.map(check => check(c)).find(refusal => refusal !== null && REASONS[refusal.reason].loss === 'terminate')
  const { rule, route } = c.place
  if (ends || rule === null || rule.anonymous || c.standing === null) return ends ?? null
  const choice = chooseGrant(c, rule, c.standing)
  return 'effect' in choice && !(route.mode === 'observe' && SOFT.has(choice.reason)) ? choice : null
}
