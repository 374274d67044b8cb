// What every kind of JWT is asked (RFC 8725): listed algorithms and types, exact issuer and audience, an end, one reading. Each kind has its own
// rules and its own provider; none takes what another refused. Ids are made from what was signed, never from the token's text. SPEC: SES10, SES11
import { errors, type JWTHeaderParameters, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import type { Possession, ProviderSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import type { Duration } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { sha256 } from '../runtime/id.ts'
import { claimOf, deviceOf } from './claims.ts'
import { bindingOf } from './confirmation.ts'
import { type CredentialFault, EXPIRED, invalid, type Mark, type Refused, type TokenBinding } from './credential.ts'
import { headerBytes, isCompact, payloadBytes, readPart } from './jwt-shape.ts'
import { type Keys, KeysUnavailable } from './keys.ts'
import { isTokenId, type Times, timesOf } from './token-times.ts'

/** Keys tried for a token without `kid` when several fit. */
const KEYS_TRIED = 4

/** What one kind of token must be. */
export type TokenRules = {
  /** Null leaves `iss` to the kind's own rules. */
  readonly issuer: string | null
  /** Whose word it is: tells token ids of different issuers apart. */
  readonly authority: string
  readonly audience: readonly string[]
  readonly algorithms: readonly string[]
  /** Lower case, without `application/`; a header without `typ` counts as `jwt`. */
  readonly types: readonly string[]
  readonly clockTolerance: Duration
  readonly possession: Possession
}

type Signed = { readonly is: 'signed'; readonly header: JWTHeaderParameters; readonly claims: JWTPayload }

export type SignedToken = {
  readonly is: 'token'
  readonly claims: Claims
  readonly keyId: string | null
  readonly times: Times
  /** The same for every spelling of it: from its `jti`, else from what was signed. */
  readonly credential: string
  readonly mark: Mark
  readonly binding: TokenBinding | null
}

/** `application/at+jwt` and `AT+JWT` are `at+jwt`; a header without `typ` counts as `jwt` (RFC 7519 §5.1, RFC 7515 §4.1.9). */
function typeOf(header: { readonly [name: string]: unknown }): string | null {
  const typ = Object.hasOwn(header, 'typ') ? header['typ'] : 'jwt'
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : null
}

/** What the protected header alone refuses, before a key is looked for. */
export function headerFault(text: string, types: readonly string[]): CredentialFault | null {
  if (!isCompact(text)) return 'malformed'
  const header = readPart(headerBytes(text))
  if (header.is !== 'object') return header.is === 'ambiguous' ? 'duplicate_member' : 'malformed'
  if (Object.hasOwn(header.value, 'crit')) return 'extension_refused'
  const type = typeOf(header.value)
  return type !== null && types.includes(type) ? null : 'type_refused'
}

const CLAIM_FAULTS: { readonly [claim: string]: CredentialFault } = { iss: 'issuer_unknown', aud: 'audience_refused', nbf: 'not_yet_valid' }

/** What a failed verification says about the token; errors that are not jose's speak of the key. */
export function refusalOf(error: unknown): Refused {
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
export async function signedBy(text: string, keys: Keys, options: JWTVerifyOptions): Promise<Signed> {
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

/** Its `jti`, else the digest of what was signed. */
export function identify(text: string, authority: string, jti: string | null): { readonly credential: string; readonly mark: Mark } {
  if (jti !== null) return { credential: sha256(JSON.stringify([authority, 'jti', jti])), mark: { is: 'jti', value: jti } }
  const digest = sha256(payloadBytes(text))
  return { credential: digest, mark: { is: 'payload', value: digest } }
}

/** A logout token or a security event is signed by the same keys and is no credential (RFC 8725 §3.12; OIDC Back-Channel Logout 1.0 §2.4). */
const isEvent = (events: unknown): boolean => typeof events === 'object' && events !== null && Object.keys(events).some(name => /^https?:\/\/schemas\.openid\.net\/(?:event|secevent)\//.test(name))

/** The tokens of one kind and issuer. */
export class SignedTokens {
  readonly #settings: ProviderSettings
  readonly #rules: TokenRules
  readonly #keys: Keys
  readonly #clock: Clock

  constructor(settings: ProviderSettings, rules: TokenRules, keys: Keys, clock: Clock) {
    this.#settings = settings
    this.#rules = rules
    this.#keys = keys
    this.#clock = clock
  }

  async read(text: string): Promise<SignedToken | Refused> {
    const fault = headerFault(text, this.#rules.types)
    if (fault !== null) return invalid(fault)
    let signed: Signed
    try {
      signed = await signedBy(text, this.#keys, this.#options())
    } catch (error) {
      return refusalOf(error)
    }
    return this.#accept(text, signed)
  }

  /** @param issuer of its principal */
  evidenceOf({ keyId, claims, times, credential, binding }: SignedToken, issuer: string): Evidence {
    const { issuedAt, expiresAt } = times
    const { name: provider, claims: names } = this.#settings
    return {
      provider, fingerprint: this.#fingerprintOf(keyId), credential, issuer, keyId, issuedAt, expiresAt, keyThumbprint: binding?.thumbprint ?? null, device: deviceOf(names, claims), claimed: NO_PURPOSES,
    }
  }

  vouchesFor({ keyId, fingerprint }: Evidence): boolean {
    return this.#fingerprintOf(keyId) === fingerprint
  }

  /** Of the settings and one key: a key that comes or goes beside it changes nothing. */
  #fingerprintOf(keyId: string | null): string {
    return sha256(JSON.stringify([this.#settings, this.#keys.fingerprintOf(keyId)]))
  }

  #options(): JWTVerifyOptions {
    const { issuer, audience, algorithms, clockTolerance } = this.#rules
    return {
      ...(issuer === null ? {} : { issuer }),
      audience: [...audience],
      algorithms: [...algorithms] as NonNullable<JWTVerifyOptions['algorithms']>, // jose refuses names it does not know
      requiredClaims: [...(issuer === null ? [] : ['iss']), 'aud', 'exp', 'sub'],
      clockTolerance: Math.ceil(clockTolerance / 1000),
      currentDate: new Date(this.#clock.now()),
    }
  }

  /** What is asked of a token whose signature, issuer and audience are right. */
  #accept(text: string, { header, claims }: Signed): SignedToken | Refused {
    const { authority, possession, clockTolerance } = this.#rules
    if (readPart(payloadBytes(text)).is !== 'object') return invalid('duplicate_member')
    const bound = bindingOf(claimOf(claims, 'cnf'), possession)
    if (bound.is === 'fault') return invalid(bound.fault)
    const times = timesOf(claims, this.#clock.now(), clockTolerance)
    if (times.is === 'refused') return times
    if (isEvent(claimOf(claims, 'events'))) return invalid('type_refused')
    const jti = claimOf(claims, 'jti')
    if (!isTokenId(jti)) return invalid('claim_malformed')
    return { is: 'token', claims, keyId: header.kid ?? null, times, ...identify(text, authority, jti), binding: bound.binding }
  }
}
