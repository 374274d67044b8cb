// When a token was issued and ends, as its claims say, and what names it. SPEC: SES10
import type { Claims } from '../core/principal.ts'
import { type Duration, type Instant, instant } from '../core/time.ts'
import { claimOf } from './claims.ts'
import { EXPIRED, invalid, type Refused } from './credential.ts'

/** The last second a JavaScript date can name. */
const LAST_SECOND = 8_640_000_000_000
const TOKEN_ID_MAX = 512

export type Times = { readonly is: 'times'; readonly issuedAt: Instant | null; readonly expiresAt: Instant }

const isSecond = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= LAST_SECOND

/** The token's own times to the millisecond, where jose compares whole seconds and takes numbers no date has. An end must be there. */
export function timesOf(claims: Claims, now: Instant, tolerance: Duration): Times | Refused {
  const exp = claimOf(claims, 'exp')
  const iat = claimOf(claims, 'iat')
  const nbf = claimOf(claims, 'nbf')
  if (!isSecond(exp) || (iat !== null && !isSecond(iat)) || (nbf !== null && !isSecond(nbf))) return invalid('claim_malformed')
  const expiresAt = instant(Math.floor(exp * 1000) + tolerance)
  if (now >= expiresAt) return EXPIRED
  if (Math.max(iat ?? 0, nbf ?? 0) * 1000 > now + tolerance) return invalid('not_yet_valid')
  return { is: 'times', issuedAt: iat === null ? null : instant(Math.floor(iat * 1000)), expiresAt }
}

/** Null where there is none. */
export const isTokenId = (jti: unknown): jti is string | null => jti === null || (typeof jti === 'string' && jti !== '' && jti.length <= TOKEN_ID_MAX)
