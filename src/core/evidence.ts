// What one request proved about its caller.
// SPEC: SES1, BND1
import type { Purposes } from './purpose.ts'
import type { Instant } from './time.ts'

export type Evidence = {
  /** Name of the provider that proved it. */
  readonly provider: string
  /** What it was proved by: the provider's settings and the one key or entry. Another fingerprint is another proof. */
  readonly fingerprint: string
  /** Digest that names the credential, the same for every spelling of it. */
  readonly credential: string
  /** Who vouches for it: the issuer of its principal. */
  readonly issuer: string
  /** Id of the key that signed or names the credential; null where there is none. */
  readonly keyId: string | null
  /** When it was issued; null for kinds without an issue time (API keys). */
  readonly issuedAt: Instant | null
  /** When it ends; null for kinds without an end. */
  readonly expiresAt: Instant | null
  /** Thumbprint of a key or certificate the caller proved to hold. */
  readonly keyThumbprint: string | null
  /** The device it was issued to, where a claim says so. */
  readonly device: string | null
  /** Purpose values the credential itself claims. */
  readonly claimed: Purposes
}

/** Is `a` the newer credential: greatest issue time, then latest end. */
export function isNewer(a: Evidence, b: { readonly issuedAt: Instant | null; readonly expiresAt: Instant | null }): boolean {
  const issued = (a.issuedAt ?? 0) - (b.issuedAt ?? 0)
  if (issued !== 0) return issued > 0
  return (a.expiresAt ?? Infinity) > (b.expiresAt ?? Infinity)
}
