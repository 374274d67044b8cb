// A refusal as JSON-RPC tells it: an error with HTTP's status beside it, or a result of the tool that its model reads. Says no more than problem+json
// does, for what it says is read by a model. SPEC: MCP7, WIRE9
import type { AccessRequest } from '../../approvals/offering.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import type { RefusalText } from '../refusal.ts'
import type { Era, MessageId } from './message.ts'

export type RpcForm = {
  readonly id: MessageId | null
  readonly era: Era
  /** For what the policy refuses. */
  readonly denialCode: number
  /** In place of the code of its reason; null leaves that. */
  readonly code: number | null
  readonly data: object | null
  /** The gateway's own tool by which it can be asked for more; null where that is not offered. */
  readonly asks: string | null
  /** The result of a tool, where the policy refuses it. */
  readonly asResult: boolean
  /** The result that asks somebody instead; null for nobody. */
  readonly elicited: object | null
}

/** Codes that JSON-RPC and MCP have for what is wrong with a message itself. */
const CODES: { readonly [R in Reason]?: number } = {
  message_malformed: -32_600, bad_request: -32_600, body_malformed: -32_700, body_too_large: -32_600, header_mismatch: -32_020, version_unsupported: -32_022, method_unknown: -32_601, arguments_refused: -32_602,
  task_unknown: -32_602, internal_error: -32_603,
}

/** Of COAZ-MCP: a denial, and that nobody could decide. */
const COAZ = { denied: -32_001, undecided: -32_603 }

function codeOf(reason: Reason, { code, denialCode }: RpcForm): number {
  const status = REASONS[reason].status
  if (denialCode === COAZ.denied && reason === 'external_unavailable') return COAZ.undecided
  return code ?? CODES[reason] ?? (status === 403 ? denialCode : status * 100)
}

/** An offer of ours, by its own members: what others offer has only texts. */
const isOurs = (access: NonNullable<RefusalText['access']>): access is AccessRequest => Array.isArray(access['offers'])

/** Where to ask. */
function accessTold({ access, rpc }: RefusalText): object {
  if (access === null) return {}
  return { access_request: rpc === null || rpc.asks === null || !isOurs(access) ? access : { ...access, tool: rpc.asks } }
}

function told(text: RefusalText): { readonly [member: string]: unknown } {
  return {
    type: `urn:narrowgate:reason:${text.reason}`, reason: text.reason, evaluation_id: text.evaluation,
    ...(text.session === null ? {} : { session: text.session }),
    ...accessTold(text),
    ...(text.stepUp === null ? {} : { step_up: text.stepUp }),
    ...text.rpc?.data,
  }
}

const sentence = (text: RefusalText): string => text.detail ?? REASONS[text.reason].says

/** The error of a message, as an answer to it. */
export const rpcError = (text: RefusalText, form: RpcForm): object => ({ jsonrpc: '2.0', id: form.id, error: { code: codeOf(text.reason, form), message: sentence(text), data: told(text) } })

const WORDS: { readonly [W in AccessRequest['offers'][number]['approval']]: string } = {
  none: 'it is given at once', required: 'somebody has to approve it', break_glass: 'it is given at once and reviewed afterwards', conditional: 'it is given at once or has to be approved',
}

/** How to ask, for a model: only what its caller may be told anyway. */
function asking({ access, rpc }: RefusalText): string {
  if (access === null) return ''
  if (!isOurs(access)) return `It can be asked for at ${access.endpoint}.`
  const way = rpc === null || rpc.asks === null ? `by POST to ${access.endpoint}` : `with the tool ${rpc.asks}`
  const offers = access.offers.map(({ profile, purpose, approval }) => `profile ${profile}${purpose.length === 0 ? '' : ` for a ${purpose.join(' and a ')}`} (${WORDS[approval]})`)
  return `It can be asked for ${way}: ${offers.join(', or ')}. Then call the tool again.`
}

/** Where the result of a tool has what programs read; its structured content is of the tool's own schema. */
const REFUSAL = 'narrowgate/refusal'

function rpcResult(text: RefusalText, { id, era }: RpcForm): object {
  const says = [`Refused by the gateway: ${sentence(text)}`, asking(text), `(${text.reason}, ${text.evaluation})`].filter(part => part !== '').join(' ')
  return { jsonrpc: '2.0', id, result: { ...(era === 'modern' ? { resultType: 'complete' } : {}), isError: true, content: [{ type: 'text', text: says }], _meta: { [REFUSAL]: told(text) } } }
}

/** Status and body. */
export function rpcBody(text: RefusalText, form: RpcForm): { readonly status: number; readonly body: Buffer } {
  if (form.elicited !== null) return { status: 200, body: Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: form.id, result: form.elicited })) }
  const { status } = REASONS[text.reason]
  const isResult = form.asResult && form.id !== null && (status === 403 || text.reason === 'arguments_refused')
  return { status: isResult ? 200 : status, body: Buffer.from(JSON.stringify(isResult ? rpcResult(text, form) : rpcError(text, form))) }
}
