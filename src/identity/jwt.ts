// Verifies JWT access tokens of one issuer (RFC 9068, RFC 8725): exact issuer and audience, listed algorithms and types, an end, one spelling
// of the subject. Ids are made from what was signed, never from the token's text. SPEC: SES10, SES11
import { errors, type JWTHeaderParameters, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import type { JwtSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import { type Duration, type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { sha256 } from '../runtime/id.ts'
import { claimOf, principalOf } from './claims.ts'
import { type CredentialFault, EXPIRED, invalid, type Mark, type Proof, type Provider, type Refused } from './credential.ts'
import { headerBytes, isCompact, payloadBytes, readPart } from './jwt-shape.ts'
import { type Keys, KeysUnavailable } from './keys.ts'

/** Keys tried for a token without `kid` when several fit. */
const KEYS_TRIED = 4
/** The last second a JavaScript date can name. */
const LAST_SECOND = 8_640_000_000_000
const TOKEN_ID_MAX = 512

type Signed = { readonly is: 'signed'; readonly header: JWTHeaderParameters; readonly claims: JWTPayload }

/** `application/at+jwt` and `AT+JWT` are `at+jwt`; a header without `typ` counts as `jwt` (RFC 7519 §5.1, RFC 7515 §4.1.9). */
function typeOf(header: { readonly [name: string]: unknown }): string | null {
  const typ = Object.hasOwn(header, 'typ') ? header['typ'] : 'jwt'
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : null
}

/** What the protected header alone refuses, before a key is looked for. */
function headerFault(text: string, types: readonly string[]): CredentialFault | null {
  if (!isCompact(text)) return 'malformed'
  const header = readPart(headerBytes(text))
  if (header.is !== 'object') return header.is === 'ambiguous' ? 'duplicate_member' : 'malformed'
  if (Object.hasOwn(header.value, 'crit')) return 'extension_refused'
  const type = typeOf(header.value)
  return type !== null && types.includes(type) ? null : 'type_refused'
}

const CLAIM_FAULTS: { readonly [claim: string]: CredentialFault } = { iss: 'issuer_unknown', aud: 'audience_refused', nbf: 'not_yet_valid' }

/** What a failed verification says about the token; errors that are not jose's speak of the key. */
function refusalOf(error: unknown): Refused {
  if (error instanceof errors.JWTExpired) return EXPIRED
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return invalid('claim_missing')
    return invalid(error.reason === 'check_failed' ? (CLAIM_FAULTS[error.claim] ?? 'claim_malformed') : 'claim_malformed')
  }
  if (error instanceof KeysUnavailable) return invalid('keys_unavailable')
  if (error instanceof errors.JWKSNoMatchingKey) return invalid('key_unknown')
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSMultipleMatchingKeys) return invalid('signature_invalid')
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return invalid('algorithm_refused')
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return invalid('malformed')
  return invalid('key_unusable')
}

/** Verifies with the one key that fits, or for a token without key id with the first few that do. */
async function signedBy(text: string, keys: Keys, options: JWTVerifyOptions): Promise<Signed> {
  try {
    const { protectedHeader, payload } = await jwtVerify(text, keys.find, options)
    return { is: 'signed', header: protectedHeader, claims: payload }
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    let tried = 0
    for await (const key of error) {
      if (tried++ === KEYS_TRIED) break
      try {
        const { protectedHeader, payload } = await jwtVerify(text, key, options)
        return { is: 'signed', header: protectedHeader, claims: payload }
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw error
  }
}

type Times = { readonly is: 'times'; readonly issuedAt: Instant | null; readonly expiresAt: Instant }

const isSecond = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= LAST_SECOND

/** The token's own times to the millisecond, where jose compares whole seconds and takes numbers no date has. */
function timesOf(claims: Claims, now: Instant, tolerance: Duration): Times | Refused {
  const exp = claimOf(claims, 'exp')
  const iat = claimOf(claims, 'iat')
  const nbf = claimOf(claims, 'nbf')
  if (!isSecond(exp) || (iat !== null && !isSecond(iat)) || (nbf !== null && !isSecond(nbf))) return invalid('claim_malformed')
  const expiresAt = instant(Math.floor(exp * 1000) + tolerance)
  if (now >= expiresAt) return EXPIRED
  if (Math.max(iat ?? 0, nbf ?? 0) * 1000 > now + tolerance) return invalid('not_yet_valid')
  return { is: 'times', issuedAt: iat === null ? null : instant(Math.floor(iat * 1000)), expiresAt }
}

/** The same for every spelling of a token: its `jti`, else the digest of what was signed. */
function identify(text: string, issuer: string, jti: string | null): { readonly credential: string; readonly mark: Mark } {
  if (jti !== null) return { credential: sha256(JSON.stringify([issuer, 'jti', jti])), mark: { is: 'jti', value: jti } }
  const digest = sha256(payloadBytes(text))
  return { credential: digest, mark: { is: 'payload', value: digest } }
}

export class JwtProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer: string
  readonly fingerprint: string
  readonly #settings: JwtSettings
  readonly #keys: Keys
  readonly #clock: Clock

  constructor(settings: JwtSettings, keys: Keys, clock: Clock, fingerprint: string) {
    this.name = settings.name
    this.issuer = settings.issuer
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#keys = keys
    this.#clock = clock
  }

  async prove(text: string): Promise<Proof> {
    const fault = headerFault(text, this.#settings.types)
    if (fault !== null) return invalid(fault)
    let signed: Signed
    try {
      signed = await signedBy(text, this.#keys, this.#options())
    } catch (error) {
      return refusalOf(error)
    }
    return this.#accept(text, signed)
  }

  vouchesFor({ keyId, fingerprint }: Evidence): boolean {
    return this.#fingerprintOf(keyId) === fingerprint
  }

  /** Of the settings and one key: a key that comes or goes beside it changes nothing. */
  #fingerprintOf(keyId: string | null): string {
    return sha256(JSON.stringify([this.#settings, this.#keys.fingerprintOf(keyId)]))
  }

  #options(): JWTVerifyOptions {
    const { issuer, audience, algorithms, clockTolerance } = this.#settings
    return {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms] as NonNullable<JWTVerifyOptions['algorithms']>, // jose refuses names it does not know
      requiredClaims: ['iss', 'aud', 'exp', 'sub'],
      clockTolerance: Math.ceil(clockTolerance / 1000),
      currentDate: new Date(this.#clock.now()),
    }
  }

  /** What is asked of a token whose signature, issuer and audience are right. */
  #accept(text: string, { header, claims }: Signed): Proof {
    if (readPart(payloadBytes(text)).is !== 'object') return invalid('duplicate_member')
    if (claimOf(claims, 'cnf') !== null) return invalid('proof_missing') // bound to a key nobody has proved to hold
    const times = timesOf(claims, this.#clock.now(), this.#settings.clockTolerance)
    if (times.is === 'refused') return times
    const jti = claimOf(claims, 'jti')
    if (jti !== null && (typeof jti !== 'string' || jti === '' || jti.length > TOKEN_ID_MAX)) return invalid('claim_malformed')
    const read = principalOf(this.#settings, claims)
    if (read.is === 'fault') return invalid(read.fault)
    const { credential, mark } = identify(text, this.issuer, jti)
    const { issuedAt, expiresAt } = times
    const keyId = header.kid ?? null
    const evidence = { provider: this.name, fingerprint: this.#fingerprintOf(keyId), credential, keyId, issuedAt, expiresAt, keyThumbprint: null, claimed: NO_PURPOSES }
    return { is: 'proven', proven: { principal: read.principal, claims, evidence, mark } }
  }
}
