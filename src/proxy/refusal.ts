// From a Reason to what a caller reads: problem+json with its challenges. How it goes out is the protocol's own affair. SPEC: WIRE8, WIRE9, DEC6
import type { AccessRequest } from '../approvals/offering.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import type { RelayedRequest } from '../enforcement/external/relayed-request.ts'
import { newEvaluationId } from '../runtime/id.ts'
import { challengesOf } from './challenge.ts'
import type { StepUpTold } from './step-up-text.ts'

export type RefusalText = {
  readonly reason: Reason
  readonly evaluation: string
  /** One more sentence for people; nothing of the policy's inside. */
  readonly detail: string | null
  /** Told only to the session's own credential. */
  readonly session: string | null
  /** What the caller may ask for to lift it. */
  readonly access: AccessRequest | RelayedRequest | null
  /** What it has to show anew, and where. */
  readonly stepUp: StepUpTold | null
  /** Lines of `WWW-Authenticate`. */
  readonly challenges: readonly string[]
  /** Seconds; null leaves the header out. */
  readonly retryAfter: number | null
  /** Further headers, names and values in turn. */
  readonly headers: readonly string[]
}

const NO_HEADERS: readonly string[] = []

export const refusalText = (reason: Reason, more: Partial<RefusalText> = {}): RefusalText =>
  ({ reason, evaluation: newEvaluationId(), detail: null, session: null, access: null, stepUp: null, challenges: more.challenges ?? challengesOf(reason), retryAfter: REASONS[reason].status === 503 ? 1 : null, headers: NO_HEADERS, ...more })

function body(text: RefusalText): Buffer {
  const { says, status } = REASONS[text.reason]
  return Buffer.from(JSON.stringify({
    type: `urn:narrowgate:reason:${text.reason}`, title: text.reason.replaceAll('_', ' '), status, detail: text.detail ?? says,
    reason: text.reason, evaluation_id: text.evaluation,
    ...(text.session === null ? {} : { session: text.session }),
    ...(text.access === null ? {} : { access_request: text.access }),
    ...(text.stepUp === null ? {} : { step_up: text.stepUp }),
  }))
}

/** Status, headers (names and values in turn) and body of a refusal. */
export function problem(text: RefusalText): { readonly status: number; readonly headers: string[]; readonly body: Buffer } {
  const bytes = body(text)
  const headers = ['content-type', 'application/problem+json', 'content-length', String(bytes.length), 'cache-control', 'no-store', ...text.headers]
  for (const challenge of text.challenges) headers.push('www-authenticate', challenge)
  if (text.retryAfter !== null) headers.push('retry-after', String(text.retryAfter))
  return { status: REASONS[text.reason].status, headers, body: bytes }
}
