// What a sender is told of a security event token that does not count (RFC 8935 §2.4, SSF 1.0 §8.1.4): a code and a fixed text, never what was in it.
// SPEC: SSF2
import type { EventTokenFault } from '../../identity/security-event-token.ts'

type SetError = 'invalid_request' | 'invalid_key' | 'invalid_issuer' | 'invalid_audience' | 'authentication_failed' | 'access_denied' | 'invalid_state'
export type Received = { readonly is: 'taken' | 'again' } | { readonly is: 'refused'; readonly err: SetError; readonly description: string }

/** No word on the token: it may come again. */
export type Untimely = Extract<EventTokenFault, 'keys_unavailable' | 'audience_unknown'>
/** Beside those of the token: of what it says, and of how it was sent. */
export type SetFault =
  | Exclude<EventTokenFault, Untimely>
  | 'event_malformed' | 'event_future_dated' | 'subject_malformed' | 'subject_ambiguous' | 'subject_foreign' | 'state_unknown'
  | 'unauthenticated' | 'content_type' | 'too_large' | 'timeout' | 'aborted'

const SAID: { readonly [F in SetFault]: readonly [SetError, string] } = {
  too_long: ['invalid_request', 'the token is longer than 64 KiB'],
  malformed: ['invalid_request', 'this is no signed security event token'],
  duplicate_member: ['invalid_request', 'a member is named twice'],
  extension_refused: ['invalid_request', 'critical extensions are not understood'],
  type_refused: ['invalid_request', 'the type is not secevent+jwt'],
  algorithm_refused: ['invalid_key', 'the token is not signed by an algorithm that is accepted'],
  key_unknown: ['invalid_key', 'the key is not one of the issuer'],
  key_unusable: ['invalid_key', 'the key is not accepted'],
  signature_invalid: ['invalid_key', 'the signature does not hold'],
  issuer_unknown: ['invalid_issuer', 'the issuer is not the one expected here'],
  audience_refused: ['invalid_audience', 'the token is for somebody else'],
  claim_missing: ['invalid_request', 'a claim is missing'],
  claim_malformed: ['invalid_request', 'a claim is not what it must be'],
  claim_prohibited: ['invalid_request', 'the token holds a claim that it must not'],
  future_dated: ['invalid_request', 'the token was issued in the future'],
  too_old: ['invalid_request', 'the token was issued more than seven days ago'],
  expired: ['invalid_request', 'the token has expired'],
  not_yet_valid: ['invalid_request', 'the token is not valid yet'],
  events_malformed: ['invalid_request', 'events does not hold exactly one event'],
  subject_missing: ['invalid_request', 'sub_id is missing'],
  event_malformed: ['invalid_request', 'the event is not as its type defines it'],
  event_future_dated: ['invalid_request', 'the event happened in the future'],
  subject_malformed: ['invalid_request', 'sub_id is not as its format defines it'],
  subject_ambiguous: ['invalid_request', 'the event names another subject than sub_id'],
  subject_foreign: ['access_denied', 'events of this subject are not accepted from this transmitter'],
  state_unknown: ['invalid_state', 'nobody asked to verify with this state'],
  unauthenticated: ['authentication_failed', 'the transmitter did not show who it is'],
  content_type: ['invalid_request', 'the content type is not application/secevent+jwt'],
  too_large: ['invalid_request', 'the token is longer than 64 KiB'],
  timeout: ['invalid_request', 'the token did not arrive in time'],
  aborted: ['invalid_request', 'the token did not arrive whole'],
}

export function refusal(fault: SetFault): Extract<Received, { is: 'refused' }> {
  const [err, description] = SAID[fault]
  return { is: 'refused', err, description }
}
