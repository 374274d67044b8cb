// The unit of control: one life of a principal's work, kept under the digest of its key.
// What a record holds is Authority: changed only by Signals, versioned, folded from facts. SPEC: SES2-SES8
import type { Bindings, Drift } from './binding.ts'
import type { Elevation } from './elevation.ts'
import type { ClaimChange, Demand } from './outside.ts'
import type { Claims, Principal } from './principal.ts'
import type { Purposes } from './purpose.ts'
import type { EndReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { StepUp } from './step-up.ts'
import type { Taint } from './taint.ts'
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

/** What a session opened by a broker stands on; a credential of its own it has none but the token. */
export type Brokered = {
  /** Name of the configured broker, and `issuer|subject` of who asked. */
  readonly broker: string
  readonly by: string
  readonly claims: Claims
  /** How the holder of the token proves the key it is bound to; null where it is bound to none. */
  readonly possession: 'dpop' | 'certificate' | null
  /** The most it may ever do; null sets no bound. */
  readonly scopes: Scope | null
  /** Elevations it may hold. */
  readonly profiles: readonly string[]
  /** What each of its requests is for, whatever they show. */
  readonly purposes: Purposes
  /** `issuer|subject` of everyone named above it: none of them approves what it asks for. */
  readonly barred: readonly string[]
  readonly parent: Parent | null
}

/** The life a session was delegated from, and what that might do on its baseline then. */
export type Parent = { readonly key: SessionKey; readonly id: SessionId; readonly baseline: Scope; /** Delegations above it. */ readonly depth: number }

/** Longest chain of delegations. */
export const DELEGATIONS_MAX = 4

/** A broker's session holds what its broker lists; any other whatever its principal is eligible for. */
export const mayHold = ({ brokered }: Pick<Session, 'brokered'>, profile: string): boolean => brokered === null || brokered.profiles.includes(profile)

export type Session = {
  readonly record: 'session'
  readonly key: SessionKey
  readonly id: SessionId
  readonly epoch: string
  readonly version: number
  readonly principal: Principal
  readonly bindings: Bindings
  /** What others call it: see `ALIAS_KINDS`. */
  readonly aliases: readonly string[]
  /** Claims that changed behind its credential. */
  readonly overlay: readonly ClaimChange[]
  /** What it has to show anew before anything of it goes on; null for nothing. */
  readonly demand: Demand | null
  /** null where its own credential opened it. */
  readonly brokered: Brokered | null
  /** Told once each. */
  readonly drifts: readonly Drift[]
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
  readonly stepUps: readonly StepUp[]
  readonly taints: readonly Taint[]
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
