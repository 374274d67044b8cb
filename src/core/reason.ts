// The one closed list of why something was refused or ended. Status codes, challenges, labels, audit words and docs are made from it.
// `loss`: what losing a right for this reason does to an open exchange. SPEC: DEC6, WIRE9
type Challenge = 'none' | 'bearer' | 'invalid_token' | 'insufficient_scope' | 'insufficient_user_authentication'

type Row = {
  readonly use: 'refusal' | 'end' | 'both'
  readonly status: number
  readonly challenge: Challenge
  readonly loss: 'terminate' | 'freeze'
  readonly says: string
}

export const REASONS = {
  no_credential: { use: 'refusal', status: 401, challenge: 'bearer', loss: 'terminate', says: 'The request carries no credential.' },
  credential_invalid: { use: 'refusal', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The credential is not valid here.' },
  credential_expired: { use: 'refusal', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The credential has expired.' },
  credential_revoked: { use: 'refusal', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The credential was revoked; a newer one is needed.' },
  state_lost: { use: 'both', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The gateway lost its state; credentials from before must be renewed.' },
  authentication_insufficient: { use: 'refusal', status: 401, challenge: 'insufficient_user_authentication', loss: 'terminate', says: 'The rule asks for a stronger or more recent sign-in than the credential shows.' },
  step_up_required: { use: 'refusal', status: 401, challenge: 'insufficient_user_authentication', loss: 'freeze', says: 'The caller has to show anew that it may go on.' },
  step_up_denied: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'Nobody confirmed that the caller may go on.' },
  step_up_over: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'What the caller showed anew counted for a while, which is over.' },
  tainted: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The session has touched what must not get here.' },
  no_route: { use: 'refusal', status: 404, challenge: 'none', loss: 'terminate', says: 'Nothing is configured at this path.' },
  wrong_host: { use: 'refusal', status: 421, challenge: 'none', loss: 'terminate', says: 'This host is not served here.' },
  bad_request: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'The request is malformed.' },
  method_refused: { use: 'refusal', status: 405, challenge: 'none', loss: 'terminate', says: 'This method is never forwarded.' },
  unsupported_method: { use: 'refusal', status: 501, challenge: 'none', loss: 'terminate', says: 'This method is not known here.' },
  headers_too_large: { use: 'refusal', status: 431, challenge: 'none', loss: 'terminate', says: 'The request head is larger than the limit.' },
  body_too_large: { use: 'refusal', status: 413, challenge: 'none', loss: 'terminate', says: 'The request body is larger than the limit.' },
  request_timeout: { use: 'refusal', status: 408, challenge: 'none', loss: 'terminate', says: 'The request did not arrive in time.' },
  expectation_failed: { use: 'refusal', status: 417, challenge: 'none', loss: 'terminate', says: 'Only the expectation 100-continue is known.' },
  loop_detected: { use: 'refusal', status: 508, challenge: 'none', loss: 'terminate', says: 'The request came through this gateway too often already.' },
  too_early: { use: 'refusal', status: 425, challenge: 'none', loss: 'terminate', says: 'The request came as early data, which can be replayed; it is to be sent again behind the handshake.' },
  origin_refused: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The route does not serve pages of this origin.' },
  message_malformed: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'The message is not one of MCP that has one reading.' },
  header_mismatch: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'The headers say something else than the message.' },
  version_unsupported: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'This version of the protocol is not served here.' },
  method_unknown: { use: 'refusal', status: 404, challenge: 'none', loss: 'terminate', says: 'Nothing here has this method.' },
  arguments_refused: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'The tool is not called with what it takes.' },
  stream_unknown: { use: 'refusal', status: 404, challenge: 'none', loss: 'terminate', says: 'This session of the protocol is not one of the caller, or is over.' },
  task_unknown: { use: 'refusal', status: 404, challenge: 'none', loss: 'terminate', says: 'This task is none of the session.' },
  tool_changed: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The tool is not what it was when it was accepted.' },
  no_rule: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'No rule of the route allows this request.' },
  denied: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'A rule of the route denies this request.' },
  elevation_required: { use: 'refusal', status: 403, challenge: 'insufficient_scope', loss: 'terminate', says: 'The session lacks the scope; an elevation can add it.' },
  purpose_missing: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The request does not show the purpose of the elevation.' },
  purpose_mismatch: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The request shows another purpose than the elevation.' },
  condition_false: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The condition of the rule does not hold.' },
  condition_error: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The condition of the rule could not be evaluated.' },
  locked: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'A lock stands in the way.' },
  frozen: { use: 'refusal', status: 403, challenge: 'none', loss: 'freeze', says: 'The session is frozen until it is resumed.' },
  narrowed: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The session was narrowed; this right is suspended.' },
  binding_broken: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The caller does not match what the right is bound to.' },
  path_ambiguous: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The upstream may read this path or name as another one.' },
  limit_reached: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'A limit is reached.' },
  rate_limited: { use: 'refusal', status: 429, challenge: 'none', loss: 'terminate', says: 'Too many requests for now.' },
  ticket_unknown: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'No source has confirmed this ticket.' },
  repeat_differs: { use: 'refusal', status: 409, challenge: 'none', loss: 'terminate', says: 'Something else was asked for under this Idempotency-Key.' },
  not_eligible: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'This caller may not ask for this profile.' },
  stale: { use: 'refusal', status: 503, challenge: 'none', loss: 'freeze', says: 'The gateway cannot prove that its knowledge is fresh.' },
  record_failed: { use: 'refusal', status: 503, challenge: 'none', loss: 'terminate', says: 'The request could not be put on record.' },
  store_forged: { use: 'refusal', status: 503, challenge: 'none', loss: 'terminate', says: 'What the session store holds about this session was not written by a gateway.' },
  store_failed: { use: 'refusal', status: 503, challenge: 'none', loss: 'terminate', says: 'The session store did not answer.' },
  internal_error: { use: 'refusal', status: 500, challenge: 'none', loss: 'terminate', says: 'The gateway failed; the request was not let through.' },
  draining: { use: 'both', status: 503, challenge: 'none', loss: 'terminate', says: 'The gateway is shutting down.' },
  upstream_unavailable: { use: 'refusal', status: 502, challenge: 'none', loss: 'terminate', says: 'The upstream could not be reached.' },
  upstream_reset: { use: 'both', status: 502, challenge: 'none', loss: 'terminate', says: 'The upstream closed the connection.' },
  upstream_malformed: { use: 'both', status: 502, challenge: 'none', loss: 'terminate', says: 'The upstream answered with broken framing.' },
  upstream_busy: { use: 'refusal', status: 503, challenge: 'none', loss: 'terminate', says: 'All connections to the upstream are in use.' },
  upstream_timeout: { use: 'both', status: 504, challenge: 'none', loss: 'terminate', says: 'The upstream did not answer in time.' },
  time_up: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The time of the elevation is over.' },
  window_closed: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The window has closed.' },
  ticket_closed: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The ticket was closed.' },
  ticket_changed: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The ticket does not say, or no longer says, what the profile requires.' },
  ticket_stale: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The source of the ticket was not heard of for too long.' },
  signals_silent: { use: 'refusal', status: 403, challenge: 'none', loss: 'freeze', says: 'Who tells of changes in trust is not heard of; the right is held until it is.' },
  trust_changed: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'Whoever vouches for the caller vouches for less.' },
  revoked_outside: { use: 'both', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'Whoever vouches for the caller has revoked it.' },
  external_denied: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The policy decision point of the route refuses it.' },
  external_unavailable: { use: 'both', status: 503, challenge: 'none', loss: 'freeze', says: 'The policy decision point of the route gave no answer that counts.' },
  obligation_unmet: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The policy decision point asks for something that cannot be done here.' },
  credential_unavailable: { use: 'both', status: 503, challenge: 'none', loss: 'terminate', says: 'The credential for the upstream could not be obtained.' },
  ticket_unheard: { use: 'refusal', status: 403, challenge: 'none', loss: 'freeze', says: 'The source of the ticket is not heard of; the right is held until it is.' },
  resource_held: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'Another elevation holds the resource.' },
  cooling_down: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The profile may be asked for again after a pause.' },
  recording_failed: { use: 'end', status: 503, challenge: 'none', loss: 'terminate', says: 'What had to be recorded could not be.' },
  body_malformed: { use: 'refusal', status: 400, challenge: 'none', loss: 'terminate', says: 'The body is not what the rule has to read: strict JSON, in UTF-8, not encoded.' },
  not_shown: { use: 'refusal', status: 403, challenge: 'none', loss: 'terminate', says: 'The rule has to see more of the request than the proxy that asks about it can show.' },
  purpose_over: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The purpose of the elevation is over.' },
  approval_withdrawn: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The approval was withdrawn.' },
  released: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The caller gave it back.' },
  revoked: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'An operator revoked it.' },
  risk: { use: 'both', status: 403, challenge: 'none', loss: 'terminate', says: 'The risk level does not allow it.' },
  credential_ended: { use: 'end', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The newest credential of the session has ended.' },
  idle: { use: 'end', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The session was idle for too long.' },
  max_reached: { use: 'both', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The session reached its longest life; a newer credential opens the next.' },
  superseded: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'Another elevation took its place.' },
  profile_removed: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The profile behind the elevation no longer exists.' },
  session_ended: { use: 'both', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The session has ended.' },
  parent_ended: { use: 'both', status: 401, challenge: 'invalid_token', loss: 'terminate', says: 'The session this one was delegated from has ended.' },
  frozen_too_long: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The session stayed frozen for too long.' },
  frozen_peer_closed: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'A peer closed while the exchange was frozen.' },
  protocol_error: { use: 'end', status: 400, challenge: 'none', loss: 'terminate', says: 'The caller broke the framing of its protocol.' },
  caller_closed: { use: 'end', status: 403, challenge: 'none', loss: 'terminate', says: 'The caller closed the connection.' },
  drained: { use: 'end', status: 503, challenge: 'none', loss: 'terminate', says: 'The gateway was drained.' },
} as const satisfies Record<string, Row>

export type Reason = keyof typeof REASONS
type WithUse<U extends Row['use']> = { [R in Reason]: (typeof REASONS)[R]['use'] extends U ? R : never }[Reason]
/** Why a request was refused. */
export type RefusalReason = WithUse<'refusal' | 'both'>
/** Why something open or running ended. */
export type EndReason = WithUse<'end' | 'both'>

export const REASON_WORDS = Object.keys(REASONS) as Reason[] // keys of the literal above
