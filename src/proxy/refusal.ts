// From a Reason to what a caller reads: problem+json with its challenges. How it goes out is the protocol's own affair. SPEC: WIRE8, WIRE9, DEC6
import type { AccessRequest } from '../approvals/offering.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import type { RelayedRequest } from '../enforcement/external/relayed-request.ts'
import { newEvaluationId } from '../runtime/id.ts'
import { challengesOf } from './challenge.ts'
import { rpcBody, type RpcForm } from './mcp/rpc-refusal.ts'
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
  /** Told as JSON-RPC has it; null elsewhere. */
  readonly rpc: RpcForm | null
}

const NO_HEADERS: readonly string[] = []

export const refusalText = (reason: Reason, more: Partial<RefusalText> = {}): RefusalText =>
  ({ reason, evaluation: newEvaluationId(), detail: null, session: null, access: null, stepUp: null, challenges: more.challenges ?? challengesOf(reason), retryAfter: REASONS[reason].status === 503 ? 1 : null, headers: NO_HEADERS, rpc: null, ...more })

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

function rpcProblem(text: RefusalText, form: RpcForm): { readonly status: number; readonly bytes: Buffer; readonly type: string } {
  const { status, body: bytes } = rpcBody(text, form)
  return { status, bytes, type: 'application/json' }
}

/** Status, headers (names and values in turn) and body of a refusal. */
export function problem(text: RefusalText): { readonly status: number; readonly headers: string[]; readonly body: Buffer } {
  const { status, bytes, type } = text.rpc === null ? { status: REASONS[text.reason].status, bytes: body(text), type: 'application/problem+json' } : rpcProblem(text, text.rpc)
  const headers = ['content-type', type, 'content-length', String(bytes.length), 'cache-control', 'no-store', ...text.headers]
  if (status >= 400) for (const challenge of text.challenges) headers.push('www-authenticate', challenge)
  if (text.retryAfter !== null) headers.push('retry-after', String(text.retryAfter))
  return { status, headers, body: bytes }
}
