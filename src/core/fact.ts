// What happened to a record, as the log tells it. Folding a record's facts gives the stored record: see replay.ts.
// SPEC: AUD1
import type { AnchorKind, LockEffect, LockId, Matter, Selector } from './anchor.ts'
import type { Bindings, Drift } from './binding.ts'
import type { Elevation, ElevationId } from './elevation.ts'
import type { ClaimChange, Demand } from './outside.ts'
import type { Claims, Principal } from './principal.ts'
import type { EndReason, RefusalReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { Brokered, Cap, Credential, SessionId, SessionKey } from './session.ts'
import type { SignalId } from './signal.ts'
import type { Given, StepUp, StepUpId } from './step-up.ts'
import type { Taint, TaintName } from './taint.ts'
import type { Duration, Instant } from './time.ts'
import type { ToolWord } from './tools.ts'

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
  | { readonly what: 'session.opened'; readonly session: SessionId; readonly key: SessionKey; readonly epoch: string; readonly principal: Principal; readonly credential: Credential; readonly endsAt: Instant; readonly notBefore: Instant | null; readonly bindings: Bindings; readonly aliases: readonly string[]; readonly brokered: Brokered | null }
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
  /** What it comes to; `uses` null where they are not counted. */
  | { readonly what: 'elevation.approved'; readonly elevation: ElevationId; readonly approver: string; readonly stage: number; readonly shown: string; readonly claims: Claims; readonly revision: number; readonly adds: Scope; readonly for: Duration; readonly uses: number | null; readonly params: Elevation['params'] }
  | { readonly what: 'elevation.scheduled'; readonly elevation: ElevationId; readonly startsAt: Instant }
  | { readonly what: 'elevation.activated'; readonly elevation: ElevationId; readonly until: Instant }
  | { readonly what: 'elevation.spent'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.suspended'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.resumed'; readonly elevation: ElevationId }
  | { readonly what: 'elevation.extended'; readonly elevation: ElevationId; readonly until: Instant; readonly once: boolean }
  | { readonly what: 'elevation.denied' | 'elevation.withdrawn' | 'elevation.expired'; readonly elevation: ElevationId }
  /** `unfinished`: it did not end by itself, and its profile has something to put in order behind it. */
  | { readonly what: 'elevation.ended'; readonly elevation: ElevationId; readonly reason: EndReason; readonly cause: string; readonly unfinished: boolean }
  | { readonly what: 'session.tainted'; readonly taint: Taint }
  | { readonly what: 'taints.cleared'; readonly names: readonly TaintName[] | null }
  | { readonly what: 'stepUp.asked'; readonly stepUp: StepUp }
  | { readonly what: 'stepUp.answered'; readonly stepUp: StepUpId; readonly given: Given }
  /** With that answer nothing is missing. */
  | { readonly what: 'stepUp.satisfied'; readonly stepUp: StepUpId; readonly until: Instant | null }
  | { readonly what: 'stepUp.denied'; readonly stepUp: StepUpId; readonly denier: string }
  | { readonly what: 'stepUp.expired'; readonly stepUp: StepUpId }
  | { readonly what: 'claims.changed'; readonly changes: readonly ClaimChange[] }
  | { readonly what: 'proof.demanded'; readonly demand: Demand }
  | { readonly what: 'proof.given' }
  | { readonly what: 'stepUp.used' | 'stepUp.returned'; readonly stepUp: StepUpId; readonly exchange: string }

export type AnchorHappening =
  | { readonly what: 'anchor.opened' | 'anchor.ended' | 'anchor.told'; readonly kind: AnchorKind; readonly name: string; readonly matter: Matter | null }
  | { readonly what: ToolWord; readonly kind: AnchorKind; readonly name: string; readonly tool: string; readonly digest: string }

export type LockHappening =
  | { readonly what: 'lock.set'; readonly lock: LockId; readonly selector: Selector; readonly effect: LockEffect; readonly reason: RefusalReason; readonly until: Instant | null }
  | { readonly what: 'lock.lifted' }

export type SessionFact = Told & SessionHappening
export type AnchorFact = Told & AnchorHappening
/** One that tells all that is known of its anchor. */
export type MatterFact = Extract<AnchorFact, { readonly matter: Matter | null }>
export type LockFact = Told & LockHappening
export type Fact = SessionFact | AnchorFact | LockFact
