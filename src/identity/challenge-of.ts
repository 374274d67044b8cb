// What a caller is told to do about a credential that was not enough because of its key: the DPoP scheme's own challenges (RFC 9449 §7.1).
// Whatever else was wrong is told by the reason of the refusal. SPEC: BND2
import type { CredentialFault } from './credential.ts'
import { PROOF_ALGORITHMS } from './dpop/algorithms.ts'
import { type DpopError, dpopChallenge } from './dpop/challenge.ts'

const ERRORS: { readonly [fault in CredentialFault]?: DpopError } = {
  scheme_refused: 'invalid_token', dpop_missing: 'invalid_dpop_proof', dpop_invalid: 'invalid_dpop_proof', dpop_replayed: 'invalid_dpop_proof', dpop_nonce: 'use_dpop_nonce',
}
const algorithms = [...PROOF_ALGORITHMS.keys()]

/** The text of `WWW-Authenticate`; null where the usual one tells. */
export function challengeOf(fault: CredentialFault): string | null {
  const error = ERRORS[fault]
  return error === undefined ? null : dpopChallenge({ error, algorithms, scope: null, acrValues: null, maxAge: null })
}
