// One use of a Profile by one Session, from the request to its end. No way back from a terminal state.
// SPEC: ELV1-ELV9
import type { AnchorRef } from './anchor.ts'
import type { EndReason } from './reason.ts'
import type { Purposes } from './purpose.ts'
import type { Scope } from './scope.ts'
import type { Duration, Instant } from './time.ts'

export type ElevationId = string & { readonly elevation: unique symbol }

/** A shared condition an elevation stands on, with the generation seen when it was requested. */
export type Tie = { readonly anchor: AnchorRef; readonly generation: Instant; readonly reason: EndReason }

type Approval = {
  /** `issuer|subject` of the approver. */
  readonly by: string
  readonly at: Instant
}

export type ElevationState =
  | { readonly is: 'requested'; readonly expiresAt: Instant | null }
  | { readonly is: 'scheduled'; readonly startsAt: Instant }
  | { readonly is: 'active'; readonly since: Instant; readonly until: Instant }
  /** `until` is null when it has never been active: its clock starts at `widen`. */
  | { readonly is: 'suspended'; readonly since: Instant | null; readonly until: Instant | null }
  | { readonly is: 'ended'; readonly at: Instant; readonly reason: EndReason }
  | { readonly is: 'denied' | 'withdrawn' | 'expired'; readonly at: Instant }

export type Elevation = {
  readonly id: ElevationId
  readonly profile: string
  /** What was asked for; with approvers it may only shrink. */
  readonly adds: Scope
  readonly purposes: Purposes
  /** Kinds whose value counts only with this much proof are checked where the value is read. */
  readonly ties: readonly Tie[]
  readonly params: { readonly [name: string]: unknown }
  /** Length of one use, counted from activation. */
  readonly for: Duration
  /** Longest total length, extensions included, counted from activation. */
  readonly max: Duration
  readonly startsAt: Instant | null
  readonly requestedAt: Instant
  /** `issuer|subject` of who filed it. */
  readonly requestedBy: string
  /** `issuer|subject` of everyone the asker's own credential named: itself, whom it acts for, its owner. None of them approves. */
  readonly barred: readonly string[]
  readonly because: string
  readonly approvalsNeeded: number
  readonly approvals: readonly Approval[]
  /** The key the asker proved to hold; the elevation carries only requests that prove the same one. */
  readonly keyThumbprint: string | null
  /** The workload the asker proved to be, likewise. */
  readonly workload: string | null
  readonly state: ElevationState
}

type ElevationStatus = ElevationState['is']

const TERMINAL: ReadonlySet<ElevationStatus> = new Set(['ended', 'denied', 'withdrawn', 'expired'])
export const isOver = (elevation: Elevation): boolean => TERMINAL.has(elevation.state.is)
