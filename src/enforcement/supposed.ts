// A request that nobody sent, as the judge would see it, and his answer taken apart: for whoever asks what would become of it. Nothing is sent, taken or
// counted. SPEC: EXP1, PDP2
import { queryDigest } from '../audit/record.ts'
import type { Case } from '../core/checks/check.ts'
import type { Explained, Remedy } from '../core/explain.ts'
import type { Evaluation } from '../core/evaluation.ts'
import type { Purposes } from '../core/purpose.ts'
import type { Claims } from '../core/principal.ts'
import type { Place } from '../core/route.ts'
import { FOREVER, type Instant } from '../core/time.ts'
import { timeText } from '../runtime/time-text.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { caseOf, type GateKeeper, type Inquiry } from './exchange.ts'

/** What it would show beside what it asks for. */
export type Showing = Pick<Evaluation['context'], 'source' | 'secure' | 'workload' | 'body' | 'headers'> & Pick<Evaluation, 'evidence'> & { readonly purposes: Purposes }

/** A message of MCP. `name` of a tool or a prompt, or a URI; without `args` what it is called with is left open. */
export type SupposedMessage = { readonly method: string; readonly name?: string | undefined; readonly args?: { readonly [name: string]: unknown } | undefined }

export function supposed(action: Evaluation['action'], resource: Evaluation['resource'], { evidence, source, secure, workload, body, headers, purposes }: Showing): Evaluation {
  return {
    evidence, action, resource,
    context: { protocol: 'http', source, secure, workload, certified: null, purposes, purposesUntil: FOREVER, positions: [], queryDigest: queryDigest(resource.query), body, headers },
  }
}

type Asked = { readonly place: Place; readonly evaluation: Evaluation; readonly live: LiveSession | null; readonly claims: Claims; readonly vouchedUntil: Instant }

/** @param live null where no session is meant */
export function supposedCase(keeper: GateKeeper, { live, place, ...asked }: Asked): Case {
  const inquiry: Omit<Inquiry, 'risk'> = { id: '', policy: keeper.mirror.policy, place, live: place.rule?.anonymous === true ? null : live, external: null, ...asked } // nobody outside is asked: where a rule wants that it is refused
  return { ...caseOf(inquiry, keeper, keeper.clock.now(), null), exchange: null }
}

type Json = { readonly [member: string]: unknown }

export const remedyView = (remedy: Remedy): Json => ({ ...remedy, ...('until' in remedy ? { until: timeText(remedy.until) } : {}) })

/** What each check says, what could carry it and does not, and what would turn it. */
export const explanation = ({ checks, candidates, stepUp, remedies }: Explained): Json => ({ checks, candidates, stepUp, remedies: remedies.map(remedyView) })
