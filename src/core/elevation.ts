// One use of a Profile by one Session, from the request to its end. No way back from a terminal state.
// SPEC: ELV1-ELV9
import type { AnchorRef, TicketFacts } from './anchor.ts'
import type { EndReason } from './reason.ts'
import type { Claims } from './principal.ts'
import type { Proof, PurposeKind, Purposes } from './purpose.ts'
import type { Scope } from './scope.ts'
import { after, type Duration, duration, earlier, type Instant } from './time.ts'

export type ElevationId = string & { readonly elevation: unique symbol }

/** A shared condition an elevation stands on, with the generation seen when it was requested. */
export type Tie = {
  readonly anchor: AnchorRef
  readonly generation: Instant
  readonly reason: EndReason
  /** Of an ordered purpose: broken as soon as its line is further. */
  readonly position: number | null
  /** Of a principal: broken as soon as its risk reaches so much. */
  readonly level: number | null
}

/** So many people of a role. */
export type Stage = { readonly role: string; readonly count: number }

export type Approval = {
  /** `issuer|subject` of the approver. */
  readonly by: string
  readonly at: Instant
  /** Index of the stage it counts for. */
  readonly stage: number
  /** Digest of what the approver was shown. */
  readonly shown: string
  /** What the approver's credential said: today's roles are asked of it again when the elevation starts. */
  readonly claims: Claims
}

/** A field of an inspected body whose sum is bounded, in units of 10^-scale. */
export type SumLimit = { readonly field: string; readonly scale: number; readonly max: number }

export type Limits = { readonly uses: number | null; readonly perMinute: number | null; readonly bytes: number | null; readonly sum: SumLimit | null }
export const NO_LIMITS: Limits = { uses: null, perMinute: null, bytes: null, sum: null }

/** Where the uses of an elevation are counted, until when the count is kept. */
export type Budget = { readonly counter: string; readonly forgetAt: Instant }

export type ElevationState =
  | { readonly is: 'requested'; readonly expiresAt: Instant | null }
  | { readonly is: 'scheduled'; readonly startsAt: Instant }
  | { readonly is: 'active'; readonly since: Instant; readonly until: Instant }
  /** `until` is null when it has never been active: its clock starts at `widen`. */
  | { readonly is: 'suspended'; readonly since: Instant | null; readonly until: Instant | null }
  | { readonly is: 'ended'; readonly at: Instant; readonly reason: EndReason }
  | { readonly is: 'denied' | 'withdrawn' | 'expired'; readonly at: Instant }

/** A short elevation for the same purposes, prepared when the one before was asked for. */
export type Then = { readonly id: ElevationId; readonly profile: string; readonly adds: Scope; readonly uses: number; readonly for: Duration; readonly recording: boolean }

export type Checked = { readonly facts: TicketFacts; readonly source: string; readonly seenAt: Instant }

export type Elevation = {
  readonly id: ElevationId
  readonly profile: string
  /** What was asked for; with approvers it may only shrink. */
  readonly adds: Scope
  readonly purposes: Purposes
  /** How each purpose was shown when it was asked for. */
  readonly proofs: { readonly [K in PurposeKind]?: Proof }
  readonly ties: readonly Tie[]
  /** The ticket whose facts its profile's `require` reads; null where it reads none. */
  readonly ticket: AnchorRef | null
  /** What was said of that ticket when it was asked for; null where nothing was. */
  readonly checked: Checked | null
  /** Windows all of which must be open, and their versions when it was asked for. */
  readonly within: readonly string[]
  readonly schedules: readonly string[]
  /** Values the request fixed; approvers may only take away from them. */
  readonly params: { readonly [name: string]: unknown }
  readonly limits: Limits
  readonly budget: Budget | null
  /** Its uses are spent: it carries nothing new. */
  readonly spent: boolean
  /** Length of one use, counted from activation. */
  readonly for: Duration
  /** Longest total length, extensions included, counted from activation. */
  readonly max: Duration
  readonly startsAt: Instant | null
  /** When it ends at the latest, whatever its length: a signed purpose says how long it goes on. */
  readonly endsBy: Instant | null
  readonly requestedAt: Instant
  /** `issuer|subject` of who filed it. */
  readonly requestedBy: string
  /** `issuer|subject` of everyone the asker's own credential named: itself, whom it acts for, its owner. None of them approves. */
  readonly barred: readonly string[]
  readonly because: string
  /** Whose word it needs, stage by stage; empty for nobody's. */
  readonly stages: readonly Stage[]
  readonly approvals: readonly Approval[]
  /** Grows whenever what was asked shrinks: an approval is for the revision that was shown. */
  readonly revision: number
  /** Why it needs nobody's word although its profile asks for one: a condition held, or it was taken in an emergency. */
  readonly unasked: 'condition' | 'break_glass' | null
  /** Extended once without a new approval. */
  readonly extended: boolean
  /** Everything it carries is recorded, or nothing is carried. */
  readonly recording: boolean
  /** A later one of the same profile and purposes takes its place. */
  readonly alone: boolean
  /** The resource it holds alone; null for none. */
  readonly resource: string | null
  /** What it leaves behind where it ends unasked, to put things in order; null for nothing. */
  readonly afterEnd: Then | null
  /** The elevation whose end gave it; null where it was asked for. */
  readonly follows: ElevationId | null
  /** The key the asker proved to hold; the elevation carries only requests that prove the same one. */
  readonly keyThumbprint: string | null
  /** The workload the asker proved to be, likewise. */
  readonly workload: string | null
  /** Somebody holds a stream open for it, or it ends. */
  readonly held: boolean
  /** Digest of what was asked, where asking again under the same key is the same ask; null where nobody may repeat it. */
  readonly asked: string | null
  readonly state: ElevationState
}

/** What an elevation of a plain profile has, and those from before there was anything else. */
export const PLAIN: Pick<Elevation, 'proofs' | 'ticket' | 'checked' | 'within' | 'schedules' | 'limits' | 'budget' | 'spent' | 'endsBy' | 'stages' | 'approvals' | 'revision' | 'unasked' | 'extended' | 'recording' | 'alone' | 'resource' | 'afterEnd' | 'follows' | 'keyThumbprint' | 'workload' | 'held' | 'asked'> = {
  proofs: {}, ticket: null, checked: null, within: [], schedules: [], limits: NO_LIMITS, budget: null, spent: false, endsBy: null, stages: [], approvals: [], revision: 0, unasked: null, extended: false, recording: false,
  alone: false, resource: null, afterEnd: null, follows: null, keyThumbprint: null, workload: null, held: false, asked: null,
}

/** How long a count outlives what was counted. */
export const KEPT_BEHIND = duration(7 * 86_400_000)
/** Longest that something approved waits for its start. */
const LONGEST_WAIT = duration(90 * 86_400_000)

/** Of its own, where only its approver limits its uses. */
export const ownBudget = ({ id, max }: Pick<Elevation, 'id' | 'max'>, now: Instant): Budget => ({ counter: `elevation/${id}`, forgetAt: after(after(after(now, LONGEST_WAIT), max), KEPT_BEHIND) })

type ElevationStatus = ElevationState['is']

const TERMINAL: ReadonlySet<ElevationStatus> = new Set(['ended', 'denied', 'withdrawn', 'expired'])
export const isOver = (elevation: Elevation): boolean => TERMINAL.has(elevation.state.is)

/** The stage whose word is still missing; null when none is. */
export function stageOf({ stages, approvals }: Pick<Elevation, 'stages' | 'approvals'>): number | null {
  const at = stages.findIndex(({ count }, stage) => approvals.filter(approval => approval.stage === stage).length < count)
  return at < 0 ? null : at
}

export const approvalsNeeded = ({ stages }: Pick<Elevation, 'stages'>): number => stages.reduce((sum, { count }) => sum + count, 0)

/** The end of something that begins now and lasts so long. */
export const endOfUse = ({ endsBy }: Pick<Elevation, 'endsBy'>, until: Instant): Instant => (endsBy === null ? until : earlier(until, endsBy))

/** Ends that nobody of the caller's side or of ours decided on: things may be half done. */
const UNASKED: ReadonlySet<EndReason> = new Set<EndReason>(['time_up', 'window_closed', 'purpose_over', 'ticket_closed', 'ticket_changed', 'ticket_stale', 'limit_reached'])

/** What follows this end; null where nothing does. It stands on nothing but its own clock. */
export function followed(elevation: Elevation, reason: EndReason, now: Instant): Elevation | null {
  const { id, afterEnd: then, state, purposes, proofs, params, requestedBy, barred, keyThumbprint, workload } = elevation
  if (then === null || !UNASKED.has(reason) || (state.is !== 'active' && state.is !== 'suspended')) return null
  return {
    ...PLAIN, id: then.id, profile: then.profile, adds: then.adds, purposes, proofs, params, requestedBy, barred, keyThumbprint, workload, recording: then.recording, follows: id,
    ties: [], limits: { ...NO_LIMITS, uses: then.uses }, budget: { counter: `after/${then.id}`, forgetAt: after(after(now, then.for), KEPT_BEHIND) }, for: then.for, max: then.for, startsAt: null, requestedAt: now, because: `behind ${id}`,
    state: { is: 'requested', expiresAt: null },
  }
}
