// The unit of control: one life of a principal's work, kept under the digest of its key.
// What a record holds is Authority: changed only by Signals, versioned, folded from facts. SPEC: SES2-SES8
import type { Elevation } from './elevation.ts'
import type { Principal } from './principal.ts'
import type { EndReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { Instant } from './time.ts'

/** Digest of issuer, tenant, subject, client and what tells this life's credentials apart. */
export type SessionKey = string & { readonly sessionKey: unique symbol }
export type SessionId = string & { readonly session: unique symbol }

export type Credential = {
  readonly id: string
  readonly keyId: string | null
  readonly issuedAt: Instant | null
  readonly expiresAt: Instant | null
}

/** `baseline`: no elevation carries anything. `scopes`, with or without it: what the whole session is limited to. */
export type Cap = { readonly is: 'none' } | { readonly is: 'baseline'; readonly scopes: Scope | null } | { readonly is: 'scopes'; readonly scopes: Scope }

type Frozen = { readonly since: Instant; readonly note: string; readonly until: Instant | null }

type SessionState =
  | { readonly is: 'live' }
  | { readonly is: 'lapsed'; readonly at: Instant; readonly reason: EndReason }
  | { readonly is: 'revoked'; readonly at: Instant; readonly reason: EndReason }

export type Session = {
  readonly record: 'session'
  readonly key: SessionKey
  readonly id: SessionId
  readonly epoch: string
  readonly version: number
  readonly principal: Principal
  readonly openedAt: Instant
  /** The newest credential seen; its end bounds everything open. */
  readonly credential: Credential
  /** The life's own end (`max`, or earlier after `shorten`). */
  readonly endsAt: Instant
  readonly cap: Cap
  /** Profiles suspended by `narrow {elevations}` until `widen`. */
  readonly barred: readonly string[]
  readonly frozen: Frozen | null
  readonly elevations: readonly Elevation[]
  readonly state: SessionState
  /** Credentials of this key issued at or before this instant are refused, in this life and every later one. */
  readonly notBefore: Instant | null
}

/** Was a credential issued at or before a revocation of its key? One without an issue time always was. */
export const isMarked = ({ notBefore }: Session, issuedAt: Instant | null): boolean => notBefore !== null && (issuedAt === null || issuedAt <= notBefore)

/** Versions grow through all lives of a key, but begin anew when its record was forgotten. */
export const isNewerSession = (record: Session, known: Session): boolean => record.version > known.version || (record.id !== known.id && record.openedAt > known.openedAt)

export const NO_CAP: Cap = { is: 'none' }
/** The scopes a cap leaves; null leaves all. */
export const cappedTo = (cap: Cap): Scope | null => (cap.is === 'none' ? null : cap.scopes)
export const LIVE: SessionState = { is: 'live' }

/** Elevations one session may hold that are not over. */
export const OPEN_ELEVATIONS_MAX = 32
/** Elevations kept in the record after their end. */
export const ENDED_ELEVATIONS_KEPT = 16
