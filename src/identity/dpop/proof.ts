// Reads a DPoP proof (RFC 9449 §4.3): one JWT, signed by the key it carries, made for this method, this URI, this access token and about now.
// Which key a token asks for and whether the proof was seen before is the caller's to ask. Never throws and never tells the proof's text.
// SPEC: BND2
import { isUtf8 } from 'node:buffer'
import type { Claims } from '../../core/principal.ts'
import { type Duration, type Instant, instant } from '../../core/time.ts'
import { sha256 } from '../../runtime/id.ts'
import { claimOf } from '../claims.ts'
import { isCompact, readPart } from '../jwt-shape.ts'
import { isSignedBy, PROOF_ALGORITHMS } from './algorithms.ts'
import { canonicalBytes, type KeyFault, readKey } from './proof-key.ts'
import { comparableUri } from './target-uri.ts'

/** Longest proof looked at, and longest `jti`, in characters. */
const PROOF_MAX = 8 * 1024
const JTI_MAX = 512
/** The last second a JavaScript date can name. */
const LAST_SECOND = 8_640_000_000_000

type ClaimFault =
  | 'claim_malformed'
  | 'htm_missing' | 'htm_differs'
  | 'htu_missing' | 'htu_malformed' | 'htu_differs'
  | 'nonce_missing' | 'nonce_stale'
  | 'iat_missing' | 'too_old' | 'from_the_future'
  | 'ath_missing' | 'ath_differs'
  | 'jti_missing' | 'jti_too_long'

/** What exactly was wrong: for the log and the operator. Only `nonce_…` makes a difference to the caller. */
export type ProofFault = 'too_long' | 'malformed' | 'duplicate_member' | 'type_refused' | 'extension_refused' | 'algorithm_refused' | KeyFault | 'signature_invalid' | ClaimFault

/** The caller holds the private key of `thumbprint`. */
export type DpopShown = {
  readonly is: 'shown'
  /** Base64url SHA-256 of the key (RFC 7638). */
  readonly thumbprint: string
  /** Digest of `jti`, key and URI: what may be seen once. */
  readonly jti: string
  readonly nonce: string | null
  readonly issuedAt: Instant
}

export type ProofReading = DpopShown | { readonly is: 'refused'; readonly fault: ProofFault }

/** The request a proof has to be made for. */
export type ProofExpected = {
  readonly method: string
  /** The public URI, absolute; query and fragment are not looked at. */
  readonly uri: string
  /** Base64url SHA-256 of the access token's text. */
  readonly tokenDigest: string
  readonly now: Instant
  /** How old a proof may be, and how far ahead its clock. */
  readonly tolerance: { readonly past: Duration; readonly future: Duration }
  /** JOSE names; of others than PROOF_ALGORITHMS none is ever accepted. */
  readonly algorithms: readonly string[]
  /** null where no nonce is asked for. */
  readonly nonceOk: ((nonce: string, now: Instant) => boolean) | null
}

const refused = (fault: ProofFault): ProofReading => ({ is: 'refused', fault })

type PartRead = { readonly is: 'part'; readonly members: Claims } | { readonly is: 'fault'; readonly fault: 'malformed' | 'duplicate_member' }

function membersOf(text: string): PartRead {
  const bytes = canonicalBytes(text)
  const part = bytes !== null && isUtf8(bytes) ? readPart(bytes) : null
  if (part?.is === 'object') return { is: 'part', members: part.value }
  return { is: 'fault', fault: part?.is === 'ambiguous' ? 'duplicate_member' : 'malformed' }
}

type Signed = { readonly is: 'signed'; readonly thumbprint: string; readonly claims: Claims } | { readonly is: 'fault'; readonly fault: ProofFault }

const unsigned = (fault: ProofFault): Signed => ({ is: 'fault', fault })

/** The claims, where the key in the header signed them. */
function signedClaims(text: string, algorithms: readonly string[]): Signed {
  const [head = '', body = '', end = ''] = text.split('.')
  const header = membersOf(head)
  if (header.is === 'fault') return header
  const { members } = header
  const type = claimOf(members, 'typ')
  if (typeof type !== 'string' || type.toLowerCase() !== 'dpop+jwt') return unsigned('type_refused')
  if (Object.hasOwn(members, 'crit') || Object.hasOwn(members, 'b64')) return unsigned('extension_refused')
  const name = claimOf(members, 'alg')
  const algorithm = typeof name === 'string' && algorithms.includes(name) ? PROOF_ALGORITHMS.get(name) : undefined
  if (typeof name !== 'string' || algorithm === undefined) return unsigned('algorithm_refused')
  const read = readKey(claimOf(members, 'jwk'), name, algorithm)
  if (read.is === 'fault') return read
  const payload = membersOf(body)
  const signature = canonicalBytes(end)
  if (payload.is === 'fault') return payload
  if (signature === null) return unsigned('malformed')
  if (!isSignedBy(algorithm, read.key, Buffer.from(`${head}.${body}`, 'latin1'), signature)) return unsigned('signature_invalid')
  return { is: 'signed', thumbprint: read.thumbprint, claims: payload.members }
}

type Made = { readonly htm: string; readonly htu: string; readonly ath: string; readonly jti: string; readonly iat: number; readonly nonce: string | null }
type Missing = 'htm_missing' | 'htu_missing' | 'ath_missing' | 'jti_missing' | 'iat_missing'

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isSecond = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= LAST_SECOND
const lacking = (value: unknown, missing: Missing): ClaimFault => (value === null ? missing : 'claim_malformed')

/** The claims in their types; `exp` and `nbf` are none of a proof's, but mean what they always mean. */
function madeOf(claims: Claims): Made | ClaimFault {
  const [htm, htu, iat, ath, jti, nonce] = ['htm', 'htu', 'iat', 'ath', 'jti', 'nonce'].map(name => claimOf(claims, name))
  if (!isText(htm)) return lacking(htm, 'htm_missing')
  if (!isText(htu)) return lacking(htu, 'htu_missing')
  if (!isSecond(iat)) return lacking(iat, 'iat_missing')
  if (!isText(ath)) return lacking(ath, 'ath_missing')
  if (!isText(jti)) return lacking(jti, 'jti_missing')
  if (nonce !== null && !isText(nonce)) return 'claim_malformed'
  return { htm, htu, iat, ath, jti, nonce: nonce ?? null }
}

function timeFault(claims: Claims, iat: number, { now, tolerance: { past, future } }: ProofExpected): ClaimFault | null {
  const exp = claimOf(claims, 'exp')
  const nbf = claimOf(claims, 'nbf')
  if ((exp !== null && !isSecond(exp)) || (nbf !== null && !isSecond(nbf))) return 'claim_malformed'
  if (iat * 1000 < now - past || (exp !== null && exp * 1000 + future <= now)) return 'too_old'
  return Math.max(iat, nbf ?? 0) * 1000 > now + future ? 'from_the_future' : null
}

/** What makes it a proof for another request. */
function madeForOther(made: Made, uri: string | null, { method, tokenDigest, now, nonceOk }: ProofExpected): ClaimFault | null {
  if (made.htm !== method) return 'htm_differs'
  const htu = comparableUri(made.htu)
  if (htu === null) return 'htu_malformed'
  if (htu !== uri) return 'htu_differs'
  if (nonceOk !== null && made.nonce === null) return 'nonce_missing'
  if (nonceOk !== null && made.nonce !== null && !nonceOk(made.nonce, now)) return 'nonce_stale'
  return made.ath === tokenDigest ? null : 'ath_differs'
}

export function readProof(text: string, expected: ProofExpected): ProofReading {
  if (text.length > PROOF_MAX) return refused('too_long')
  if (!isCompact(text)) return refused('malformed')
  const signed = signedClaims(text, expected.algorithms)
  if (signed.is === 'fault') return refused(signed.fault)
  const { thumbprint, claims } = signed
  const made = madeOf(claims)
  if (typeof made === 'string') return refused(made)
  const uri = comparableUri(expected.uri)
  const fault = madeForOther(made, uri, expected) ?? timeFault(claims, made.iat, expected) ?? (made.jti.length > JTI_MAX ? 'jti_too_long' : null)
  if (fault !== null) return refused(fault)
  return { is: 'shown', thumbprint, jti: sha256(JSON.stringify([made.jti, thumbprint, uri])), nonce: made.nonce, issuedAt: instant(Math.floor(made.iat * 1000)) }
}
