// What the admin API answers when it does not do what was asked: a closed list of codes, each with its status. SPEC: ADM13
import { type Reason, REASONS } from '../core/reason.ts'
import type { Rejected } from '../core/transitions/rule.ts'

const STATUS = {
  bad_request: 400, unauthenticated: 401, forbidden: 403, cross_origin: 403, not_found: 404, method_not_allowed: 405, request_timeout: 408, conflict: 409,
  too_large: 413, unsupported_media_type: 415, wrong_host: 421, invalid_configuration: 422, internal_error: 500, store_failed: 503, limit_reached: 503,
} as const
type FaultCode = keyof typeof STATUS

/** Thrown inside, answered as problem+json. `says` is read by people and never holds anything of the gateway's inside. */
export class AdminFault extends Error {
  readonly code: FaultCode
  readonly status: number
  /** The core's word where the news itself was not taken. */
  readonly reason: Reason | null
  readonly more: { readonly [member: string]: unknown }
  readonly headers: { readonly [name: string]: string }

  constructor(code: FaultCode, says: string, rest: { readonly reason?: Reason; readonly more?: AdminFault['more']; readonly headers?: AdminFault['headers'] } = {}) {
    super(says)
    this.code = code
    this.status = STATUS[code]
    this.reason = rest.reason ?? null
    this.more = rest.more ?? {}
    this.headers = rest.headers ?? {}
  }

  get body(): { readonly [member: string]: unknown } {
    const reason = this.reason === null ? {} : { reason: this.reason }
    return { type: `urn:narrowgate:admin:${this.code}`, title: this.code.replaceAll('_', ' '), status: this.status, detail: this.message, ...reason, ...this.more }
  }
}

/** The state of things forbids it, as opposed to the person who asks. */
const STATE: ReadonlySet<Rejected['rejected']> = new Set<Rejected['rejected']>(['conflict', 'session_ended', 'frozen', 'max_reached', 'limit_reached', 'credential_revoked', 'state_lost', 'repeat_differs'])

export function faultOf({ rejected, says }: Rejected): AdminFault {
  if (rejected === 'not_found') return new AdminFault('not_found', says)
  if (rejected === 'conflict') return new AdminFault('conflict', says)
  const rest = { reason: rejected }
  if (STATE.has(rejected)) return new AdminFault('conflict', says, rest)
  return new AdminFault(REASONS[rejected].status === 400 ? 'bad_request' : 'forbidden', says, rest)
}
