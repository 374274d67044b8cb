// The first door and the one judge: asked for every request, and again for every open exchange when anything behind it changes.
// SPEC: DEC1-DEC8
import type { Case } from './checks/check.ts'
import { CHECKS } from './checks/order.ts'
import { deadline } from './deadline.ts'
import { type Decision, permit, refuse, type Refusal } from './decision.ts'
import { ANONYMOUS, chooseGrant } from './grant.ts'
import { type Reason, REASONS } from './reason.ts'
import { FOREVER } from './time.ts'

/** What a route in observe mode lets pass: scope, condition and purpose. Everything else always holds. */
const SOFT: ReadonlySet<Reason> = new Set(['elevation_required', 'purpose_missing', 'purpose_mismatch', 'purpose_over', 'window_closed', 'ticket_closed', 'ticket_changed', 'ticket_stale', 'condition_false', 'condition_error'])

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

/** What ends the right of something open for good, looking past whatever only holds it for now; null when nothing does. */
export function endOf(c: Case): Refusal | null {
  const ends = CHECKS.map(check => check(c)).find(refusal => refusal !== null && REASONS[refusal.reason].loss === 'terminate')
  const { rule, route } = c.place
  if (ends || rule === null || rule.anonymous || c.standing === null) return ends ?? null
  const choice = chooseGrant(c, rule, c.standing)
  return 'effect' in choice && !(route.mode === 'observe' && SOFT.has(choice.reason)) ? choice : null
}
