// What happened to a record, as the log tells it. Folding a record's facts gives the stored record: see replay.ts.
// SPEC: AUD1
import type { AnchorKind, LockEffect, LockId, Selector } from './anchor.ts'
import type { Bindings, Drift } from './binding.ts'
import type { Elevation, ElevationId } from './elevation.ts'
import type { Principal } from './principal.ts'
import type { EndReason, RefusalReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { Brokered, Cap, Credential, SessionId, SessionKey } from './session.ts'
import type { SignalId } from './signal.ts'
import type { Duration, Instant } from './time.ts'

type Told = {
  readonly at: Instant
  /** The signal that caused it. */
  readonly because: SignalId
  readonly by: string
  readonly note: string
  /** The record's version after the commit that wrote this fact. */
  readonly version: number
}

export type SessionHappening =
  | { readonly what: 'session.opened'; readonly session: SessionId; readonly key: SessionKey; readonly epoch: string; readonly principal: Principal; readonly credential: Credential; readonly endsAt: Instant; readonly notBefore: Instant | null; readonly bindings: Bindings; readonly brokered: Brokered | null }
  | { readonly what: 'binding.drifted'; readonly drift: Drift }
  | { readonly what: 'credential.renewed'; readonly credential: Credential }
  | { readonly what: 'session.narrowed'; readonly cap: Cap; readonly barred: readonly string[] }
  | { readonly what: 'session.widened' }
  | { readonly what: 'session.frozen'; readonly until: Instant | null }
  | { readonly what: 'session.resumed' }
  | { readonly what: 'session.shortened'; readonly endsAt: Instant }
  | { readonly what: 'session.lapsed'; readonly reason: EndReason }
  | { readonly what: 'session.revoked'; readonly reason: EndReason }
  | { readonly what: 'mark.cleared' }
  | { readonly what: 'elevation.requested'; readonly elevation: Elevation }
  | { readonly what: 'elevation.approved'; readonly elevation: ElevationId; readonly approver: string; readonly adds: Scope; readonly for: Duration }
  | { readonly what: 'elevation.scheduled'; readonly elevation: ElevationId; readonly startsAt: Instant }
  | { readonly what: 'elevation.activated'; readonly elevation: ElevationId; readonly until: Instant }
  | { readonly what: 'elevation.suspended'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.resumed'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.extended'; readonly elevation: ElevationId; readonly until: Instant }
  | { readonly what: 'elevation.denied' | 'elevation.withdrawn' | 'elevation.expired'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.ended'; readonly elevation: ElevationId; readonly reason: EndReason; readonly cause: string }

export type AnchorHappening =
  | { readonly what: 'anchor.opened' | 'anchor.ended'; readonly kind: AnchorKind; readonly name: string }

export type LockHappening =
  | { readonly what: 'lock.set'; readonly lock: LockId; readonly selector: Selector; readonly effect: LockEffect; readonly reason: RefusalReason; readonly until: Instant | null }
  | { readonly what: 'lock.lifted' }

export type SessionFact = Told & SessionHappening
export type AnchorFact = Told & AnchorHappening
export type LockFact = Told & LockHappening
export type Fact = SessionFact | AnchorFact | LockFact
