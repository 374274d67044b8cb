// Every kind of news. Nothing else ever changes a record; configuration and new ids reach the core only through these fields.
// SPEC: SIG1-SIG4
import type { LockEffect, LockId, Selector } from './anchor.ts'
import type { Bindings, Drift } from './binding.ts'
import type { Elevation, ElevationId } from './elevation.ts'
import type { Principal } from './principal.ts'
import type { EndReason, RefusalReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { Brokered, Credential, SessionId, SessionKey } from './session.ts'
import type { Duration, Instant } from './time.ts'

export type SignalId = string & { readonly signal: unique symbol }

type News = {
  /** The operation id: a second signal of the same id changes nothing. */
  readonly id: SignalId
  /** Who brought it: `issuer|subject`, an operator's name, or a part of the gateway such as `timekeeper`. */
  readonly by: string
  /** A person's reason, or empty. */
  readonly note: string
  /** The life it is meant for: another one under the same key is left alone. Absent for whichever lives. */
  readonly life?: SessionId
}

export type SessionNews =
  | { readonly kind: 'session.opened'; readonly key: SessionKey; readonly session: SessionId; readonly epoch: string; readonly principal: Principal; readonly credential: Credential; readonly endsAt: Instant; readonly bindings: Bindings; readonly brokered: Brokered | null }
  | { readonly kind: 'binding.drifted'; readonly drift: Drift }
  | { readonly kind: 'credential.renewed'; readonly credential: Credential }
  | { readonly kind: 'session.narrowed'; readonly to: 'baseline' | Scope | null; readonly elevations: readonly ElevationId[] }
  | { readonly kind: 'session.widened' }
  | { readonly kind: 'session.frozen'; readonly until: Instant | null }
  | { readonly kind: 'session.resumed' }
  | { readonly kind: 'session.shortened'; readonly endsAt: Instant }
  | { readonly kind: 'session.terminated'; readonly reason: EndReason }
  | { readonly kind: 'session.lapsed'; readonly reason: EndReason }
  | { readonly kind: 'mark.cleared' }
  | { readonly kind: 'elevation.requested'; readonly elevation: Elevation; readonly askedUntil: Instant | null }
  | { readonly kind: 'elevation.approved'; readonly elevation: ElevationId; readonly adds: Scope | null; readonly for: Duration | null; readonly barred: readonly string[] }
  | { readonly kind: 'elevation.denied'; readonly elevation: ElevationId }
  | { readonly kind: 'elevation.withdrawn'; readonly elevation: ElevationId }
  | { readonly kind: 'elevation.extended'; readonly elevation: ElevationId; readonly more: Duration }
  | { readonly kind: 'elevation.ended'; readonly elevation: ElevationId; readonly reason: EndReason; readonly because: string }
  | { readonly kind: 'time.passed' }

export type AnchorNews =
  | { readonly kind: 'anchor.opened' }
  | { readonly kind: 'anchor.ended' }

export type LockNews =
  | { readonly kind: 'lock.set'; readonly lock: LockId; readonly selector: Selector; readonly effect: LockEffect; readonly reason: RefusalReason; readonly until: Instant | null }
  | { readonly kind: 'lock.lifted' }

export type SessionSignal = News & SessionNews
export type AnchorSignal = News & AnchorNews
export type LockSignal = News & LockNews
export type Signal = SessionSignal | AnchorSignal | LockSignal
export type SignalKind = Signal['kind']
export type SignalOf<K extends SignalKind> = Extract<Signal, { kind: K }>

/** News that only takes away: committed without a version check, durable before it is acknowledged, never refused. */
const RESTRICTIVE: ReadonlySet<SignalKind> = new Set<SignalKind>([
  'session.narrowed', 'session.frozen', 'session.shortened', 'session.terminated', 'session.lapsed',
  'elevation.denied', 'elevation.withdrawn', 'elevation.ended', 'anchor.ended', 'lock.set', 'time.passed',
])
export const isRestrictive = (kind: SignalKind): boolean => RESTRICTIVE.has(kind)
