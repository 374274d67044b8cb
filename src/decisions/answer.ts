// A decision as AuthZEN 1.0 §5.5 writes it. Its context says why, on which right it stands and until when, what may be asked for instead (the access-request
// profile's names), and what has to be shown first (the obligations profile's). SPEC: PDP4
import { accessRequest } from '../approvals/offering.ts'
import { type DecisionGiven, queryDigest } from '../audit/record.ts'
import type { Case } from '../core/checks/check.ts'
import { type Decision, grantName } from '../core/decision.ts'
import { needOf } from '../core/evaluate.ts'
import { explain } from '../core/explain.ts'
import { identityOf } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import { REASONS } from '../core/reason.ts'
import { FOREVER } from '../core/time.ts'
import { explanation } from '../enforcement/supposed.ts'
import { timeText } from '../runtime/time-text.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Judged } from './judge.ts'

export type Json = { readonly [member: string]: unknown }
export type Told = { readonly decision: boolean; readonly context: Json }

/** What somebody else may be asked to see to; all of them come with a denial. */
export const OBLIGATIONS = ['step-up', 'custom'] as const

const away: Json = {}

function permitted(decision: Extract<Decision, { effect: 'permit' }>): Json {
  const { grant, until, would } = decision
  return {
    grant: grantName(grant), ...(grant.is === 'elevation' ? { elevation_id: grant.elevation.id } : away), ...(until === FOREVER ? away : { expires_at: timeText(until) }), ...(would === null ? away : { would }),
  }
}

function requestable(asked: Case, live: LiveSession): Json {
  const { place: { rule }, policy, claims, evaluation: { context, evidence } } = asked
  const access = rule === null || rule.scope === null ? null : accessRequest(policy, rule.scope, live.record, claims, context.purposes, evidence?.expiresAt ?? null)
  return access === null ? away : { access_request: access }
}

/** A sign-in of a certain kind has a name that others know; everything else is ours. */
function stepUp(asked: Case): Json {
  const need = needOf(asked)
  if (need === null) return away
  const { because, rules: { by, all, acr } } = need
  const [first] = acr
  const isSignIn = first !== undefined && by.includes('signIn')
  return { obligations: [{ id: 'step-up', ...(isSignIn ? { type: 'step-up', properties: { acr_value: first, by, all, because } } : { type: 'custom', properties: { vendor: 'narrowgate', action: 'step-up', by, all, because } }) }] }
}

function denied({ reason, requestable: isRequestable }: Extract<Decision, { effect: 'refuse' }>, { asked, live }: Judged): Json {
  const instead = asked !== null && live !== null && isRequestable ? requestable(asked, live) : away
  return { reason, says: REASONS[reason].says, ...instead, ...(asked !== null && reason === 'step_up_required' ? stepUp(asked) : away) }
}

export function toldOf(judged: Judged): Told {
  const { evaluation, at, question, decision, live, asked } = judged
  const session = live === null ? away : { session: live.record.id, version: live.record.version }
  const why = question.explain && asked !== null ? { explain: explanation(explain(asked)) } : away
  return {
    decision: decision.effect === 'permit',
    context: { evaluation_id: evaluation, evaluated_at: timeText(at), ...session, ...(decision.effect === 'permit' ? permitted(decision) : denied(decision, judged)), ...why },
  }
}

/** For the trail; null where no session is meant. */
export function givenOf(pep: string, { evaluation, decision, live, asked, meant }: Judged): DecisionGiven | null {
  if (live === null) return null
  const { id: session, principal } = live.record
  const permit = decision.effect === 'permit' ? decision : null
  return {
    evaluation, pep, session, subject: identityOf(principal), route: asked?.place.route.name ?? null, rule: asked?.place.rule?.name ?? null, method: meant?.method ?? '', host: meant?.target.host ?? '', path: meant?.target.path ?? '',
    queryDigest: queryDigest(meant?.target.query ?? ''), decision: decision.effect, grant: permit === null ? null : grantName(permit.grant), reason: decision.effect === 'permit' ? null : decision.reason, would: permit?.would ?? null,
    purposes: asked?.evaluation.context.purposes ?? NO_PURPOSES, until: permit === null ? null : permit.until,
  }
}
