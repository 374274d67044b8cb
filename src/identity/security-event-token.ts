// Security Event Tokens (RFC 8417, as SSF 1.0 narrows them) and logout tokens (OpenID Connect Back-Channel Logout 1.0): one issuer's, each kind by its own
// rules, none taken for the other or for a credential. What is read of one is what was signed. SPEC: SSF2, LGO2
import type { JWTVerifyOptions } from 'jose'
import type { Claims } from '../core/principal.ts'
import { type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { claimOf } from './claims.ts'
import { payloadBytes, readPart } from './jwt-shape.ts'
import type { Keys } from './keys.ts'
import { headerFault, refusalOf, signedBy } from './signed-token.ts'
import { isTokenId } from './token-times.ts'

/** Longest token looked at, in characters. */
export const EVENT_TOKEN_MAX = 64 * 1024
/** What the clock of an issuer may be ahead. */
const AHEAD = 60_000
/** Older ones could be replayed: who sent them before is not remembered for longer. */
const AGE_MAX = 7 * 24 * 3_600_000
const TEXT_MAX = 512
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'

/** Why one does not count: `keys_unavailable` and `audience_unknown` are no word on the token, which may come again. */
export type EventTokenFault =
  | 'too_long' | 'malformed' | 'duplicate_member' | 'extension_refused' | 'type_refused' | 'algorithm_refused' | 'key_unknown' | 'key_unusable' | 'keys_unavailable' | 'signature_invalid' | 'issuer_unknown'
  | 'audience_refused' | 'audience_unknown' | 'claim_missing' | 'claim_malformed' | 'claim_prohibited' | 'future_dated' | 'too_old' | 'expired' | 'not_yet_valid' | 'events_malformed' | 'subject_missing'

type TokenRefused = { readonly is: 'refused'; readonly fault: EventTokenFault }

/** What both kinds say. */
type Told = { readonly jti: string; readonly at: Instant }
export type EventToken = Told & { readonly is: 'event'; readonly type: string; readonly claims: Claims; readonly subject: Claims }
/** At least one of them is there. */
export type LogoutToken = Told & { readonly is: 'logout'; readonly sub: string | null; readonly sid: string | null }

type TokenSource = { readonly issuer: string; readonly algorithms: readonly string[]; /** null where it is not known yet. */ readonly audience: () => readonly string[] | null }

const refused = (fault: EventTokenFault): TokenRefused => ({ is: 'refused', fault })

const isObject = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= TEXT_MAX && value.isWellFormed()
const isTextOrNone = (value: unknown): value is string | null => value === null || isText(value)

const FAULTS: { readonly [detail: string]: EventTokenFault } = {
  malformed: 'malformed', duplicate_member: 'duplicate_member', extension_refused: 'extension_refused', type_refused: 'type_refused', algorithm_refused: 'algorithm_refused', key_unknown: 'key_unknown',
  keys_unavailable: 'keys_unavailable', signature_invalid: 'signature_invalid', issuer_unknown: 'issuer_unknown', audience_refused: 'audience_refused', claim_missing: 'claim_missing', claim_malformed: 'claim_malformed',
  expired: 'expired', not_yet_valid: 'not_yet_valid',
}

type Payload = { readonly is: 'claims'; readonly claims: Claims }

/** What was signed, by whom it should be and for us. Its issuer is looked at before any key is: nobody fetches keys for another one's tokens. */
async function signedClaims(text: string, types: readonly string[], required: readonly string[], { issuer, algorithms, audience }: TokenSource, keys: Keys, now: Instant): Promise<Payload | TokenRefused> {
  if (text.length > EVENT_TOKEN_MAX) return refused('too_long')
  const shape = headerFault(text, types)
  if (shape !== null) return refused(FAULTS[shape] ?? 'malformed')
  const read = readPart(payloadBytes(text))
  if (read.is !== 'object') return refused(read.is === 'ambiguous' ? 'duplicate_member' : 'malformed')
  if (claimOf(read.value, 'iss') !== issuer) return refused('issuer_unknown')
  const ours = audience()
  if (ours === null) return refused('audience_unknown')
  const options: JWTVerifyOptions = {
    issuer, audience: [...ours], requiredClaims: [...required], clockTolerance: AHEAD / 1000, currentDate: new Date(now),
    algorithms: [...algorithms] as NonNullable<JWTVerifyOptions['algorithms']>, // jose refuses names it does not know
  }
  try {
    await signedBy(text, keys, options)
  } catch (error) {
    return refused(FAULTS[refusalOf(error).detail] ?? 'key_unusable')
  }
  return { is: 'claims', claims: read.value }
}

function toldIn(claims: Claims, now: Instant): (Told & { readonly is: 'told' }) | TokenRefused {
  const [jti, iat] = [claimOf(claims, 'jti'), claimOf(claims, 'iat')]
  if (jti === null || !isTokenId(jti) || !jti.isWellFormed()) return refused('claim_malformed')
  if (typeof iat !== 'number' || !Number.isFinite(iat) || iat < 0) return refused('claim_malformed')
  const at = Math.floor(iat * 1000)
  if (at > now + AHEAD) return refused('future_dated')
  return at < now - AGE_MAX ? refused('too_old') : { is: 'told', jti, at: instant(at) }
}

/** Those of one transmitter. */
export class EventTokens {
  readonly #source: TokenSource
  readonly #keys: Keys
  readonly #clock: Clock

  constructor(source: TokenSource, keys: Keys, clock: Clock) {
    this.#source = source
    this.#keys = keys
    this.#clock = clock
  }

  /** Never rejects. */
  async read(text: string): Promise<EventToken | TokenRefused> {
    const payload = await signedClaims(text, ['secevent+jwt'], ['iss', 'aud', 'iat', 'jti', 'events'], this.#source, this.#keys, this.#clock.now())
    return payload.is === 'refused' ? payload : this.#accept(payload.claims)
  }

  /** The examples of SSF 1.0 have numbers as `txn`, which nothing here reads. */
  #accept(claims: Claims): EventToken | TokenRefused {
    if (Object.hasOwn(claims, 'exp') || Object.hasOwn(claims, 'sub')) return refused('claim_prohibited')
    const told = toldIn(claims, this.#clock.now())
    if (told.is === 'refused') return told
    const [txn, subject, events] = [claimOf(claims, 'txn'), claimOf(claims, 'sub_id'), claimOf(claims, 'events')]
    if (!isTextOrNone(txn) && !Number.isSafeInteger(txn)) return refused('claim_malformed')
    if (!isObject(subject)) return refused('subject_missing')
    const [event, other] = isObject(events) ? Object.entries(events) : []
    if (event === undefined || other !== undefined || !isObject(event[1])) return refused('events_malformed')
    return { ...told, is: 'event', type: event[0], claims: event[1], subject }
  }
}

/** Those of one identity provider. */
export class LogoutTokens {
  readonly #source: TokenSource
  readonly #keys: Keys
  readonly #clock: Clock

  constructor(source: TokenSource, keys: Keys, clock: Clock) {
    this.#source = source
    this.#keys = keys
    this.#clock = clock
  }

  /** Never rejects. */
  async read(text: string): Promise<LogoutToken | TokenRefused> {
    const payload = await signedClaims(text, ['logout+jwt', 'jwt'], ['iss', 'aud', 'iat', 'exp', 'jti', 'events'], this.#source, this.#keys, this.#clock.now())
    return payload.is === 'refused' ? payload : this.#accept(payload.claims)
  }

  /** An ID token has a nonce and no event: none is a logout. */
  #accept(claims: Claims): LogoutToken | TokenRefused {
    if (Object.hasOwn(claims, 'nonce')) return refused('claim_prohibited')
    const told = toldIn(claims, this.#clock.now())
    if (told.is === 'refused') return told
    const events = claimOf(claims, 'events')
    if (!isObject(events) || !isObject(claimOf(events, LOGOUT))) return refused('events_malformed')
    const [sub, sid] = [claimOf(claims, 'sub'), claimOf(claims, 'sid')]
    if (!isTextOrNone(sub) || !isTextOrNone(sid)) return refused('claim_malformed')
    return sub === null && sid === null ? refused('subject_missing') : { ...told, is: 'logout', sub, sid }
  }
}
