// The value of `WWW-Authenticate` that asks for a DPoP-bound token and its proof (RFC 9449 §7.1, §9; RFC 9470 §3): one line for one scheme.
// Always printable ASCII, quoted as RFC 9110 §5.6.4 says; a text that cannot be said so is left out, never written otherwise.
// SPEC: BND2, WIRE9
import type { ProofFault } from './proof.ts'

const SAYS = {
  invalid_dpop_proof: 'the DPoP proof is missing, wrong, or made for another request',
  invalid_token: 'the token does not count, or is bound to another key',
  use_dpop_nonce: 'the DPoP proof has to hold the nonce of the DPoP-Nonce header',
  insufficient_scope: 'more scope is needed',
  insufficient_user_authentication: 'a stronger or more recent authentication is needed',
} as const

export type DpopError = keyof typeof SAYS

export type DpopChallenge = {
  /** null where the request showed no credential at all (RFC 6750 §3). */
  readonly error: DpopError | null
  /** JOSE names of what a proof may be signed with. */
  readonly algorithms: readonly string[]
  /** Space-separated names. */
  readonly scope: string | null
  /** Space-separated, the preferred first. */
  readonly acrValues: string | null
  /** Seconds. */
  readonly maxAge: number | null
}

export const errorOf = (fault: ProofFault): DpopError => (fault === 'nonce_missing' || fault === 'nonce_stale' ? 'use_dpop_nonce' : 'invalid_dpop_proof')

const parameter = (name: string, value: string | null): string => (value === null || !/^[\x20-\x7e]+$/.test(value) ? '' : `, ${name}="${value.replace(/["\\]/g, '\\$&')}"`)

export function dpopChallenge({ error, algorithms, scope, acrValues, maxAge }: DpopChallenge): string {
  return [
    'DPoP realm="narrowgate"',
    parameter('error', error),
    parameter('error_description', error === null ? null : SAYS[error]),
    parameter('scope', scope),
    parameter('acr_values', acrValues),
    parameter('max_age', maxAge === null ? null : String(maxAge)),
    parameter('algs', algorithms.join(' ')),
  ].join('')
}
