// A request as the judge and whoever watches conduct read it. SPEC: DEC1, CND1
import type { Evaluation } from '../../core/evaluation.ts'
import type { Claims } from '../../core/principal.ts'
import type { Shown } from '../../core/purpose.ts'
import type { Place } from '../../core/route.ts'
import { NO_CLAIMS } from '../../enforcement/exchange.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import type { Attempt } from '../../signals/risk/watch.ts'
import type { Ask } from '../ask.ts'
import { inboundOf } from '../forwarder.ts'
import { actionOf } from './action.ts'
import { Seen } from './seen.ts'

export function evaluationOf(ask: Ask, shown: Shown): Evaluation {
  const { source: { address: source }, arrival: { secure }, verified } = ask
  return { evidence: verified?.evidence ?? null, action: actionOf(ask), resource: ask.target, context: new Seen(inboundOf(ask), ask, { source, secure, workload: ask.workload, shown }) }
}

/** The newest that are known of its caller. */
export const claimsOf = ({ verified }: Ask, live: LiveSession | null): Claims => live?.knownClaims ?? verified?.claims ?? NO_CLAIMS

/** @param id its own, unless it was tried before */
export const attemptOf = (ask: Ask, live: LiveSession, place: Place, { id, evaluation }: { readonly id: string; readonly evaluation: Evaluation }): Attempt => ({ id: ask.attempt?.id ?? id, live, claims: claimsOf(ask, live), evaluation, place })
