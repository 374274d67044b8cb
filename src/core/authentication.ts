// What a rule asks of the sign-in behind a credential (RFC 9470), and until when the claims of the newest one show it. SPEC: BND6
import type { Claims } from './principal.ts'
import { after, duration, type Duration, FOREVER, instant, type Instant } from './time.ts'

export type RequiredAuthentication = {
  /** Any of these, the preferred first; empty takes every one. */
  readonly acr: readonly string[]
  /** Since the caller signed in (`auth_time`); null sets no bound. */
  readonly maxAge: Duration | null
}

/** How far ahead an issuer's clock may be. */
const AHEAD = duration(60_000)
const NEVER = instant(0)

/** What is not there, or no time, shows nothing. */
export function authenticatedUntil({ acr, maxAge }: RequiredAuthentication, claims: Claims, now: Instant): Instant {
  const { acr: shown, auth_time: seconds } = claims
  if (acr.length > 0 && !acr.some(wanted => wanted === shown)) return NEVER
  if (maxAge === null) return FOREVER
  if (typeof seconds !== 'number' || !(seconds >= 0 && seconds * 1_000 <= after(now, AHEAD))) return NEVER
  return after(instant(Math.floor(seconds * 1_000)), maxAge)
}

export const isSameAuthentication = (a: Claims, b: Claims): boolean => a['acr'] === b['acr'] && a['auth_time'] === b['auth_time']
