// Every kind of news. Nothing else ever changes a record; configuration and new ids reach the core only through these fields.
// SPEC: SIG1-SIG4
import type { LockEffect, LockId, Matter, Selector } from './anchor.ts'
import type { Bindings, Drift } from './binding.ts'
import type { Elevation, ElevationId } from './elevation.ts'
import type { ClaimChange, Demand } from './outside.ts'
import type { Claims, Principal } from './principal.ts'
import type { EndReason, RefusalReason } from './reason.ts'
import type { LevelMark } from './risk.ts'
import type { Scope } from './scope.ts'
import type { Brokered, Credential, SessionId, SessionKey } from './session.ts'
import type { Given, StepUp, StepUpId } from './step-up.ts'
import type { Taint, TaintName } from './taint.ts'
import type { Duration, Instant } from './time.ts'
import type { Definition } from './tools.ts'

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
  /** The version of the anchor that it tells of: at another one it is no news. Absent for whichever is there. */
  readonly of?: number
}

/** What an approver takes away from what was asked. */
export type Shrinking = { readonly adds: Scope | null; readonly for: Duration | null; readonly uses: number | null; readonly params: Elevation['params'] | null }

export type SessionNews =
  | { readonly kind: 'session.opened'; readonly key: SessionKey; readonly session: SessionId; readonly epoch: string; readonly principal: Principal; readonly credential: Credential; readonly endsAt: Instant; readonly bindings: Bindings; readonly aliases: readonly string[]; readonly brokered: Brokered | null }
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
  | { readonly kind: 'elevation.requested'; readonly elevation: Elevation; /** When it starts, should nobody's word be missing: its windows may open later. Null is now. */ readonly startsAt: Instant | null }
  /** `revision` and `shown`: what the approver saw. `names`: what else the approver is called. Whatever is null is given as asked. `startsAt`: when it starts should nothing more be missing; null is now. */
  | { readonly kind: 'elevation.approved'; readonly elevation: ElevationId; readonly revision: number; readonly shown: string; readonly stage: number; readonly claims: Claims; readonly barred: readonly string[]; readonly names?: readonly string[]; readonly startsAt: Instant | null } & Shrinking
  /** It was scheduled, and everything it needs was looked at again. */
  | { readonly kind: 'elevation.started'; readonly elevation: ElevationId }
  /** What it waits for comes at another instant. */
  | { readonly kind: 'elevation.deferred'; readonly elevation: ElevationId; readonly startsAt: Instant }
  /** All its uses are taken. */
  | { readonly kind: 'elevation.spent'; readonly elevation: ElevationId }
  | { readonly kind: 'elevation.denied'; readonly elevation: ElevationId }
  | { readonly kind: 'elevation.withdrawn'; readonly elevation: ElevationId }
  /** `once`: without a new approval, which is given one time. */
  | { readonly kind: 'elevation.extended'; readonly elevation: ElevationId; readonly more: Duration; readonly once: boolean }
  | { readonly kind: 'elevation.ended'; readonly elevation: ElevationId; readonly reason: EndReason; readonly because: string }
  | { readonly kind: 'session.tainted'; readonly taint: Taint }
  /** An operator's word; null takes all of them away. */
  | { readonly kind: 'taints.cleared'; readonly names: readonly TaintName[] | null }
  | { readonly kind: 'stepUp.asked'; readonly stepUp: StepUp }
  /** `barred`: who else must not have given it. */
  | { readonly kind: 'stepUp.answered'; readonly stepUp: StepUpId; readonly given: Given; readonly barred: readonly string[] }
  | { readonly kind: 'stepUp.denied'; readonly stepUp: StepUpId; readonly barred: readonly string[] }
  /** One use, for an exchange. */
  | { readonly kind: 'stepUp.used'; readonly stepUp: StepUpId; readonly exchange: string }
  /** It was not dispatched after all. */
  | { readonly kind: 'stepUp.returned'; readonly stepUp: StepUpId; readonly exchange: string }
  /** Somebody who vouches for them says that they are others now. */
  | { readonly kind: 'claims.changed'; readonly changes: readonly ClaimChange[] }
  /** It has to show anew who it is. */
  | { readonly kind: 'proof.demanded'; readonly demand: Demand }
  | { readonly kind: 'time.passed' }

export type AnchorNews =
  | { readonly kind: 'anchor.opened'; readonly matter: Matter | null }
  | { readonly kind: 'anchor.ended'; readonly matter: Matter | null }
  /** News from outside that somebody is answered for: it must not be lost any more. */
  | { readonly kind: 'event.taken'; readonly matter: Extract<Matter, { is: 'event' }> }
  /** An ordered purpose went on. */
  | { readonly kind: 'anchor.advanced'; readonly position: number; readonly value: string }
  /** A principal is trusted less: its score crossed a level. */
  | { readonly kind: 'risk.rose'; readonly level: LevelMark }
  /** It came down, as time passed: null stands at none. */
  | { readonly kind: 'risk.fell'; readonly level: LevelMark | null }
  | { readonly kind: 'principal.tainted'; readonly taint: Taint }
  /** An operator's word: `risk` takes the score back to 0, `taints` null keeps them. */
  | { readonly kind: 'principal.cleared'; readonly risk: boolean; readonly taints: readonly TaintName[] | 'all' | null }
  /** Definitions of tools, as their server tells them now. */
  | { readonly kind: 'tools.seen'; readonly definitions: readonly Definition[] }
  /** An operator's word: this definition counts from now on. */
  | { readonly kind: 'tool.accepted'; readonly tool: string; readonly digest: string }
  /** What is known of it, whether open or ended. */
  | { readonly kind: 'anchor.told'; readonly matter: Matter }

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
  'elevation.denied', 'elevation.withdrawn', 'elevation.ended', 'elevation.spent', 'session.tainted', 'stepUp.denied', 'stepUp.used', 'claims.changed', 'proof.demanded',
  'anchor.ended', 'anchor.advanced', 'event.taken', 'risk.rose', 'principal.tainted', 'lock.set', 'time.passed',
])
export const isRestrictive = (kind: SignalKind): boolean => RESTRICTIVE.has(kind)
