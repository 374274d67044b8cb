// What a request shows, what a provider proved of it, and the answer to "who is this". Text of a credential appears in none of the answers.
// SPEC: SES1, SES10
import type { Evidence } from '../core/evidence.ts'
import type { Claims, Principal } from '../core/principal.ts'
import type { SessionKey } from '../core/session.ts'

/** One header line a provider may read. */
export type Presented = {
  /** Lower case. */
  readonly header: string
  readonly value: string
}

/** Longest credential looked at, in characters. */
export const CREDENTIAL_MAX = 16 * 1024

const CREDENTIAL_FAULTS = [
  'none',
  'other_scheme',
  'several_credentials',
  'too_long',
  'malformed',
  'duplicate_member',
  'type_refused',
  'algorithm_refused',
  'extension_refused',
  'issuer_unknown',
  'audience_refused',
  'claim_missing',
  'claim_malformed',
  'actor_malformed',
  'not_yet_valid',
  'expired',
  'key_unknown',
  'key_unusable',
  'keys_unavailable',
  'signature_invalid',
  'proof_missing',
  'api_key_unknown',
  'busy',
] as const
/** What exactly was wrong: for the log and the operator, not for the caller. */
export type CredentialFault = (typeof CREDENTIAL_FAULTS)[number]

export type Refused = {
  readonly is: 'refused'
  readonly reason: 'no_credential' | 'credential_invalid' | 'credential_expired' | 'credential_revoked'
  readonly detail: CredentialFault
}

/** What tells this credential's life apart when neither a claim nor a key does. */
export type Mark = { readonly is: 'jti' | 'payload' | 'entry'; readonly value: string }

/** What one provider found true of a credential. `evidence.claimed` is empty: see purposes.ts. */
export type Proven = { readonly principal: Principal; readonly claims: Claims; readonly evidence: Evidence; readonly mark: Mark }

export type Proof = { readonly is: 'proven'; readonly proven: Proven } | Refused

export type Verified = {
  /** Name of the provider. */
  readonly provider: string
  readonly principal: Principal
  readonly claims: Claims
  readonly evidence: Evidence
  readonly key: SessionKey
}

export type VerifiedAnswer = { readonly is: 'verified'; readonly verified: Verified }
export type Identification = VerifiedAnswer | Refused

/** Verifies one kind of credential of one issuer. */
export interface Provider {
  readonly name: string
  /** Where it looks, lower case; `authorization` means a Bearer value. */
  readonly header: string
  /** The `iss` of its tokens; null for credentials that name no issuer. */
  readonly issuer: string | null
  /** Changes with anything that could change an answer: settings and the content of files. */
  readonly fingerprint: string
  /** `digest` is the base64url SHA-256 of `text`. Never throws for what the credential is. */
  prove(text: string, digest: string): Promise<Proof>
  /** Would it prove this credential by the same settings and the same key or entry still? Time is not asked. */
  vouchesFor(evidence: Evidence): boolean
}

export const invalid = (detail: CredentialFault): Refused => ({ is: 'refused', reason: 'credential_invalid', detail })
export const missing = (detail: 'none' | 'other_scheme'): Refused => ({ is: 'refused', reason: 'no_credential', detail })
export const EXPIRED: Refused = { is: 'refused', reason: 'credential_expired', detail: 'expired' }
