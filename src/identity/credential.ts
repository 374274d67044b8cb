// What a request shows, what a provider proved of it, and the answer to "who is this". Text of a credential appears in none of the answers.
// SPEC: SES1, SES10
import type { Evidence } from '../core/evidence.ts'
import type { Claims, Principal } from '../core/principal.ts'
import type { SessionKey } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import type { Lane } from '../runtime/http-client.ts'
import type { ClientCertificate } from './certificate/client-certificate.ts'

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
  'scheme_refused',
  'dpop_missing',
  'dpop_invalid',
  'dpop_nonce',
  'dpop_replayed',
  'marks_unavailable',
  'certificate_missing',
  'certificate_refused',
  'certificate_expired',
  'certificate_revoked',
  'certificate_untrusted',
  'certificate_mismatch',
  'subject_refused',
  'client_refused',
  'inactive',
  'introspection_unavailable',
  'review_unavailable',
  'review_mismatch',
  'api_key_unknown',
  'token_unknown',
  'session_over',
  'busy',
] as const
/** What exactly was wrong: for the log and the operator, not for the caller. */
export type CredentialFault = (typeof CREDENTIAL_FAULTS)[number]

export type Refused = {
  readonly is: 'refused'
  readonly reason: 'no_credential' | 'credential_invalid' | 'credential_expired' | 'credential_revoked' | 'store_failed'
  readonly detail: CredentialFault
}

/** What tells this credential's life apart when neither a claim nor a key does; `session` is a session's own key, and says all. */
export type Mark = { readonly is: 'jti' | 'payload' | 'entry' | 'pod' | 'workload' | 'certificate' | 'session'; readonly value: string }

/** What a token's `cnf` asks for: the key of a DPoP proof (`jkt`) or a client certificate (`x5t#S256`), as base64url SHA-256, 43 characters. */
export type TokenBinding = { readonly is: 'dpop' | 'certificate'; readonly thumbprint: string }

/** What one provider found true of a credential. `evidence.claimed` is empty: see purposes.ts. */
export type Proven = {
  readonly principal: Principal
  readonly claims: Claims
  readonly evidence: Evidence
  readonly mark: Mark
  /** Whether its proof was shown is asked for each request, never here. `evidence.keyThumbprint` is its thumbprint. */
  readonly binding: TokenBinding | null
  /** What ran with it, where the credential says: a SPIFFE id, or `pod/<uid>`. */
  readonly workload: string | null
  /** After this the provider must be asked anew, though the credential lasts longer; null asks no sooner than for any other. */
  readonly knownUntil: Instant | null
}

export type Proof = { readonly is: 'proven'; readonly proven: Proven } | Refused

export type Verified = {
  /** Name of the provider. */
  readonly provider: string
  readonly principal: Principal
  readonly claims: Claims
  readonly evidence: Evidence
  readonly key: SessionKey
  /** What others call the session: see `aliases.ts`. */
  readonly aliases: readonly string[]
  readonly binding: TokenBinding | null
  readonly workload: string | null
  readonly knownUntil: Instant | null
  /** Whether it may open a session; the token of one that a broker opened only names that. */
  readonly opens: boolean
}

export type VerifiedAnswer = { readonly is: 'verified'; readonly verified: Verified }
export type Identification = VerifiedAnswer | Refused

/** Verifies one kind of credential of one issuer. */
export interface Provider {
  readonly name: string
  /** Where it looks, lower case; `authorization` means a Bearer value. */
  readonly header: string
  /** What its JWTs name as their issuer: `iss`, or of JWT-SVIDs without it the trust domain; null where it takes no JWT by issuer. */
  readonly issuer: string | null
  /** Which texts it takes that name no issuer of a provider: none, those that are no JWT, any, or tokens of sessions (`ngs_`) alone, which nobody else takes then. */
  readonly opaque: 'none' | 'tokens' | 'any' | 'session'
  /** Changes with anything that could change an answer: settings and the content of files. */
  readonly fingerprint: string
  /** `digest` is the base64url SHA-256 of `text`. Never throws for what the credential is. @param lane for whom others are asked, `new` where it is left out */
  prove(text: string, digest: string, lane?: Lane): Promise<Proof>
  /** Would it prove this credential by the same settings and the same key or entry still? Time is not asked. */
  vouchesFor(evidence: Evidence): boolean
}

/** Knows callers by the certificates that they prove to hold; nobody else is asked. */
export interface CertificateProvider {
  readonly name: string
  /** It looks in none. */
  readonly header: null
  readonly fingerprint: string
  /** Of a certificate that is believed and in force: who holds it; `subject_refused` where it is nobody of its own. Never throws. */
  prove(certificate: ClientCertificate): Proof
  vouchesFor(evidence: Evidence): boolean
}

export type AnyProvider = Provider | CertificateProvider

export const invalid = (detail: CredentialFault): Refused => ({ is: 'refused', reason: 'credential_invalid', detail })
export const missing = (detail: 'none' | 'other_scheme'): Refused => ({ is: 'refused', reason: 'no_credential', detail })
export const EXPIRED: Refused = { is: 'refused', reason: 'credential_expired', detail: 'expired' }
