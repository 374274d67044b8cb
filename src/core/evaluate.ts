// The first door and the one judge: asked for every request, and again for every open exchange when anything behind it changes.
// SPEC: DEC1-DEC8
import type { Case } from './checks/check.ts'
import { CHECKS } from './checks/order.ts'
import { deadline } from './deadline.ts'
import { type Decision, permit, refuse } from './decision.ts'
import { ANONYMOUS, chooseGrant } from './grant.ts'
import type { Reason } from './reason.ts'
import { FOREVER } from './time.ts'

/** What a route in observe mode lets pass: scope, condition and purpose. Everything else always holds. */
const SOFT: ReadonlySet<Reason> = new Set(['elevation_required', 'purpose_missing', 'purpose_mismatch', 'condition_false', 'condition_error', 'narrowed'])

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
  if (!('effect' in choice)) return permit(choice.grant, deadline(c, choice.until), null)
  if (route.mode === 'observe' && SOFT.has(choice.reason)) return permit({ is: 'observed' }, deadline(c, FOREVER), choice.reason)
  return choice
}
