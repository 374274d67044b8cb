// `WWW-Authenticate` of a refusal: one line for the scheme that was shown (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3); where no credential was, one for each
// scheme that the resource takes, without an error. Each says where to read what the resource asks (RFC 9728 §5.1). SPEC: WIRE9, WIRE25
import type { RequiredAuthentication } from '../core/authentication.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import { challengeOf } from '../identity/challenge-of.ts'
import type { CredentialFault } from '../identity/credential.ts'
import { PROOF_ALGORITHMS } from '../identity/dpop/algorithms.ts'
import { type DpopError, dpopChallenge } from '../identity/dpop/challenge.ts'

export type Scheme = 'Bearer' | 'DPoP'

export type Challenged = {
  /** What the resource takes; none counts as Bearer, for a 401 has to name one (RFC 9110 §11.6.1). */
  readonly schemes: readonly Scheme[]
  /** Of the credential in `Authorization`; null where there is none of ours. */
  readonly shown: Scheme | null
  readonly fault: CredentialFault | null
  readonly scope: string | null
  readonly requireAuth: RequiredAuthentication | null
  /** An absolute URL; null leaves it out. */
  readonly metadata: string | null
}

export const NOTHING_ASKED: Challenged = { schemes: [], shown: null, fault: null, scope: null, requireAuth: null, metadata: null }

const ALGORITHMS = [...PROOF_ALGORITHMS.keys()]
const NONE: readonly string[] = []

type Line = { readonly error: DpopError | null; readonly says: string | null; readonly scope: string | null; readonly acrValues: string | null; readonly maxAge: number | null }

const parameter = (name: string, value: string | null): string => (value === null ? '' : `, ${name}="${value}"`)

/** Its values come from the configuration, which takes none that would need to be quoted. */
const bearer = ({ error, says, scope, acrValues, maxAge }: Line): string => [
  'Bearer realm="narrowgate"', parameter('error', error), parameter('error_description', says), parameter('scope', scope),
  parameter('acr_values', acrValues), parameter('max_age', maxAge === null ? null : String(maxAge)),
].join('')

const lineOf = (scheme: Scheme, line: Line): string => (scheme === 'Bearer' ? bearer(line) : dpopChallenge({ ...line, algorithms: ALGORITHMS }))

const NO_ERROR: Line = { error: null, says: null, scope: null, acrValues: null, maxAge: null }

const signIn = (requireAuth: RequiredAuthentication | null): Pick<Line, 'acrValues' | 'maxAge'> => ({
  acrValues: requireAuth === null || requireAuth.acr.length === 0 ? null : requireAuth.acr.join(' '),
  maxAge: requireAuth === null || requireAuth.maxAge === null ? null : Math.floor(requireAuth.maxAge / 1_000),
})

function linesOf(reason: Reason, { schemes: taken, shown, fault, scope, requireAuth }: Challenged): readonly string[] {
  const { challenge, says } = REASONS[reason]
  const schemes: readonly Scheme[] = taken.length === 0 ? ['Bearer'] : taken
  const scheme = shown !== null && schemes.includes(shown) ? shown : (schemes[0] ?? 'Bearer')
  switch (challenge) {
    case 'none': return NONE
    case 'bearer': return schemes.map(each => lineOf(each, NO_ERROR))
    case 'invalid_token': {
      const ofKey = fault === null || !schemes.includes('DPoP') ? null : challengeOf(fault)
      return [ofKey ?? lineOf(scheme, { ...NO_ERROR, error: challenge, says })]
    }
    case 'insufficient_scope': return [lineOf(scheme, { ...NO_ERROR, error: challenge, scope })]
    case 'insufficient_user_authentication': return [lineOf(scheme, { ...NO_ERROR, error: challenge, says, ...signIn(requireAuth) })]
  }
}

/** Values of `WWW-Authenticate`, a line each; none where the reason asks for no credential. */
export function challengesOf(reason: Reason, challenged: Challenged = NOTHING_ASKED): readonly string[] {
  return linesOf(reason, challenged).map(line => `${line}${parameter('resource_metadata', challenged.metadata)}`)
}

/** The header that tells the nonce of the next proof (RFC 9449 §8), where one is asked for and a proof was not enough. */
export const nonceLines = (fault: CredentialFault | null, nonce: string | null): readonly string[] => (nonce !== null && fault?.startsWith('dpop_') === true ? ['dpop-nonce', nonce] : NONE)

/** The scheme of a request's credential. @param headers names and values in turn */
export function schemeShown(headers: readonly string[]): Scheme | null {
  const value = headers.find((_, i) => i % 2 === 1 && (headers[i - 1] ?? '').toLowerCase() === 'authorization') ?? ''
  const [, scheme] = /^(bearer|dpop)(?: |$)/i.exec(value) ?? []
  return scheme === undefined ? null : scheme.length === 4 ? 'DPoP' : 'Bearer'
}
