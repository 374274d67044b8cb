// What a session may do now: the only reader of a session, its anchors and its locks, for judge, admin, CLI and metrics alike.
// SPEC: ENF3, ENF8, SCP3, ELV6
import { type Elevation, type ElevationId, isOver } from './elevation.ts'
import type { Bindings } from './binding.ts'
import { type AnchorView, endedBy, type Footing, footingOf, type Holder } from './footing.ts'
import { keptToBaseline, lockOnElevation, type LockIndex, locksOnRequest, locksOnSession, NO_CALL, type ShownToLocks } from './locks.ts'
import type { Policy } from './policy.ts'
import { NO_PURPOSES, purposeFit, type Purposes } from './purpose.ts'
import type { Claims } from './principal.ts'
import { type Reason, REASONS } from './reason.ts'
import { levelAt, type LevelActs, NO_ACTS, NO_STANDING, type RiskLevel, type Standing as Trust } from './risk.ts'
import { type Silence, silenceOn } from './silence.ts'
import { nextStepUpChange } from './step-up.ts'
import { isInForce, type Taint } from './taint.ts'
import { intersection, NO_SCOPE, type Scope, type ScopeName, scopeOf } from './scope.ts'
import { type Brokered, cappedTo, type Parent, type Session } from './session.ts'
import { earlier, FOREVER, type Instant } from './time.ts'
import { nextElevationChange } from './transitions/elevations.ts'

/** An elevation that carries requests now, what it carries, until when, and by which versions of its windows. */
export type Carrier = { readonly elevation: Elevation; readonly carries: Scope; readonly until: Instant; readonly schedules: readonly string[] }

/** What is known of the life a session was delegated from. `unasked`: nobody looked, and it is taken as the record has it; never for the judge. */
export type ParentView = { readonly is: 'there'; readonly standing: Effective; /** Its newest credential was seen here. */ readonly baselineKnown: boolean } | { readonly is: 'gone' | 'unasked' }

/** What is known of its principal; `unknown` until that was asked for. */
export type Trusted = Trust | 'unknown'

export type Effective = {
  readonly session: Session
  readonly state: 'live' | 'frozen' | 'refused'
  /** Why it is not live; null when it is. */
  readonly reason: Reason | null
  /** It is not live because of its principal's risk: routes that only observe look past that. */
  readonly byRisk: boolean
  /** Where its principal's risk stands; null at none. */
  readonly level: RiskLevel | null
  /** Where that of those it was delegated from stands, the highest. */
  readonly levelAbove: RiskLevel | null
  /** What it or its principal has touched. */
  readonly taints: readonly Taint[]
  /** What a broker and a parent leave it at most; null where it has neither. */
  readonly ceiling: Scope | null
  /** Scopes beyond that which its parent would leave it, but for what holds the parent's elevations for now. */
  readonly held: Scope
  /** Baseline Scope after the session's cap. */
  readonly baseline: Scope
  /** In the order in which they are tried: earliest end first, then id. */
  readonly carriers: readonly Carrier[]
  /** Those that would carry, but for a lock that freezes their profile. */
  readonly frozen: readonly Carrier[]
  /** Elevations of the session that carry nothing, and why. */
  readonly lost: ReadonlyMap<ElevationId, Reason>
  /** Until when who tells of changes in its trust was heard, where everything is held from then on. */
  readonly heardUntil: Instant
  /** The next instant at which time alone may change this answer. */
  readonly until: Instant
}

/** What a broker and a parent leave of a session. `most`: null sets no bound. `held`: what it would have, but for what holds its parent's elevations. */
type Leave = { readonly state: 'live' | 'frozen' | 'refused'; readonly reason: Reason | null; readonly most: Scope | null; readonly held: Scope; readonly until: Instant }
type Known = Extract<ParentView, { is: 'there' }>

const left = (most: Scope | null, held: Scope = NO_SCOPE, until: Instant = FOREVER): Leave => ({ state: 'live', reason: null, most, held, until })
const over = (reason: Reason, until: Instant): Leave => ({ state: 'refused', reason, most: NO_SCOPE, held: NO_SCOPE, until })

/** A session's newest credential, as locks ask about it. */
export function shownBy({ principal, credential: { id, ...credential }, bindings: { key, device, workload } }: Session): ShownToLocks {
  return { evidence: { ...credential, provider: '', fingerprint: '', credential: id, issuer: principal.issuer, keyThumbprint: key, device, claimed: NO_PURPOSES }, action: NO_CALL, context: { workload, certified: null } }
}

/** An elevation of the parent carries its child only for its own purpose, and only where the child is bound to what it is bound to. One with limits is the asker's alone: a child's requests are not counted by it. */
function lends({ elevation: { purposes, keyThumbprint, workload, budget, recording } }: Carrier, bindings: Bindings, own: Purposes): boolean {
  return budget === null && !recording && purposeFit(purposes, own) === 'shown' && (keyThumbprint === null || keyThumbprint === bindings.key) && (workload === null || workload === bindings.workload)
}

/** Where its newest credential was not seen here, what its baseline was when it delegated stands for it. */
function baselineOfParent({ baseline: delegated }: Parent, { standing: { session, level, baseline }, baselineKnown }: Known): Scope {
  const limit = limitOf(session, level?.acts ?? null)
  return baselineKnown ? intersection(baseline, delegated) : limit === null ? delegated : intersection(delegated, limit)
}

/** What a session may do by its parent: as long as that one and its credential count, and what locks on that leave. */
function leftByParent(brokered: Brokered, above: Parent, bindings: Bindings, known: Known, locks: LockIndex, policy: Policy, now: Instant): Leave {
  const { standing: parent } = known
  const { principal, credential: { expiresAt } } = parent.session
  const ends = policy.sessions.credentialEnd === 'cut' ? (expiresAt ?? FOREVER) : FOREVER
  const shown = locks.size === 0 ? null : shownBy(parent.session)
  const lock = shown === null ? null : locksOnRequest(locks, '', shown, principal, now)
  const until = earlier(earlier(parent.until, ends), lock?.until ?? FOREVER)
  if (parent.state === 'refused' || ends <= now || lock?.effect === 'deny') return over('parent_ended', lock?.until ?? parent.until)
  const scopesOf = (carriers: readonly Carrier[]): readonly ScopeName[] => carriers.filter(carrier => lends(carrier, bindings, brokered.purposes)).flatMap(({ carries }) => carries)
  const toBaseline = shown !== null && keptToBaseline(locks, '', shown, principal, now)
  const all = scopeOf([...baselineOfParent(above, known), ...(toBaseline ? [] : scopesOf(parent.carriers))])
  const within = (scope: Scope): Scope => (brokered.scopes === null ? scope : intersection(brokered.scopes, scope))
  const leave = left(within(all), toBaseline ? NO_SCOPE : within(scopeOf(scopesOf(parent.frozen))), until)
  const isHeld = parent.state === 'frozen' || parent.session.demand !== null || lock?.effect === 'freeze' // what has to be shown anew, its parent has to show
  return isHeld ? { ...leave, state: 'frozen', reason: 'frozen' } : leave
}

function leaveOf({ brokered, bindings }: Session, parent: ParentView, locks: LockIndex, policy: Policy, now: Instant): Leave {
  if (brokered === null) return left(null)
  if (!policy.brokers.has(brokered.broker)) return over('session_ended', FOREVER) // whoever took its broker away took what it had opened
  if (brokered.parent === null || parent.is === 'unasked') return left(brokered.scopes)
  return parent.is === 'there' ? leftByParent(brokered, brokered.parent, bindings, parent, locks, policy, now) : over('parent_ended', FOREVER)
}

type Own = { readonly state: Effective['state']; readonly reason: Reason | null; readonly byRisk: boolean; readonly baselineOnly: boolean; readonly until: Instant }
const refusedFor = (reason: Reason, until: Instant, byRisk = false): Own => ({ state: 'refused', reason, byRisk, baselineOnly: false, until })

/** Nobody answered in time what ends its session then. */
const wasUnanswered = ({ stepUps }: Session, now: Instant): boolean =>
  stepUps.some(({ state, expiresAt, onTimeout }) => state.is === 'pending' && onTimeout === 'terminate' && expiresAt <= now)

/** What is over, whatever else is known. */
function overBy(session: Session, now: Instant, leave: Leave): Own | null {
  if (session.state.is !== 'live') return refusedFor(session.state.reason, FOREVER)
  if (session.endsAt <= now) return refusedFor('max_reached', FOREVER)
  if (session.frozen?.until != null && session.frozen.until <= now) return refusedFor('frozen_too_long', FOREVER)
  if (session.stepUps.length > 0 && wasUnanswered(session, now)) return refusedFor('step_up_denied', FOREVER)
  return leave.state === 'refused' ? refusedFor(leave.reason ?? 'parent_ended', leave.until) : null // a lock on the parent may lift
}

function standing(session: Session, locks: LockIndex, now: Instant, leave: Leave, acts: LevelActs | 'unknown', silence: Silence): Own {
  const ended = overBy(session, now, leave)
  if (ended !== null) return ended
  const until = earlier(earlier(session.endsAt, session.frozen?.until ?? FOREVER), leave.until)
  const hit = locksOnSession(locks, session, now)
  const bound = hit === null ? until : earlier(until, hit.until)
  if (hit?.lock.effect === 'deny') return refusedFor(hit.lock.reason, bound)
  if (acts === 'unknown') return { state: 'frozen', reason: 'stale', byRisk: false, baselineOnly: true, until: bound }
  const baselineOnly = (hit !== null && hit.toBaseline) || (acts.narrow !== null && acts.narrow.to === null)
  const held = session.frozen !== null || hit?.lock.effect === 'freeze' || leave.state === 'frozen'
  if (acts.terminate) return refusedFor('risk', bound, !held)
  if (!held && silence.holds === 'everything') return { state: 'frozen', reason: 'signals_silent', byRisk: false, baselineOnly, until: earlier(bound, silence.until) }
  if (held || acts.freeze) return { state: 'frozen', reason: 'frozen', byRisk: !held, baselineOnly, until: bound }
  return { state: 'live', reason: null, byRisk: false, baselineOnly, until: earlier(bound, silence.until) }
}

function lossOf(elevation: Elevation, footing: Footing, session: Session, locks: LockIndex, policy: Policy, now: Instant, { baselineOnly, silence }: { readonly baselineOnly: boolean; readonly silence: Silence }): Reason | null {
  const { state, profile } = elevation
  if (state.is === 'ended') return state.reason
  if (state.is === 'scheduled' && footing.waits !== null) return 'window_closed'
  if (state.is !== 'active' && state.is !== 'suspended') return 'elevation_required'
  if (state.until !== null && state.until <= now) return 'time_up'
  const broken = endedBy(elevation, footing)
  if (broken !== null) return broken
  if (!policy.profiles.has(profile)) return 'profile_removed'
  const before = elevation.follows === null ? null : (session.elevations.find(({ id }) => id === elevation.follows) ?? null)
  const lock = lockOnElevation(locks, elevation, now, before)?.lock ?? null
  if (lock !== null && lock.effect !== 'freeze') return 'locked'
  if (state.is === 'suspended' || session.cap.is === 'baseline' || session.barred.includes(profile)) return 'narrowed'
  if (baselineOnly) return 'narrowed'
  if (lock !== null) return 'frozen'
  return footing.unheard ? 'ticket_unheard' : silence.holds === 'nothing' ? null : 'signals_silent'
}

/** The first instant at which a lock on an elevation or its profile lifts by itself. */
const profilesUntil = (session: Session, locks: LockIndex, now: Instant): Instant =>
  locks.size === 0 ? FOREVER : session.elevations.reduce((until, elevation) => earlier(until, lockOnElevation(locks, elevation, now)?.until ?? FOREVER), FOREVER)

const NO_FOOTING: Footing = { ended: null, unheard: false, waits: null, until: FOREVER, schedules: [] }

const order = (a: Carrier, b: Carrier): number => a.until - b.until || (a.elevation.id < b.elevation.id ? -1 : 1)

const NO_TAINTS: readonly Taint[] = []

/** What it may reach at most, by its cap and by its principal's risk. */
export function limitOf({ cap }: Session, acts: LevelActs | null): Scope | null {
  const narrow = acts?.narrow ?? null
  const limit = cappedTo(cap)
  if (narrow === null || narrow.to === null) return limit
  return limit === null ? narrow.to : intersection(limit, narrow.to)
}

/** Its own, its principal's, and those of the session it was delegated from. */
function taintsOn({ taints, brokered }: Session, trusted: Trust, parent: ParentView, now: Instant): readonly Taint[] {
  const above = brokered?.parent == null || parent.is !== 'there' ? NO_TAINTS : parent.standing.taints
  if (taints.length === 0 && trusted.taints.length === 0 && above.length === 0) return NO_TAINTS
  return [...taints, ...trusted.taints, ...above].filter(taint => isInForce(taint, now))
}

function levelOn({ brokered }: Session, parent: ParentView): RiskLevel | null {
  if (brokered?.parent == null || parent.is !== 'there') return null
  const { level, levelAbove } = parent.standing
  return level === null || (levelAbove !== null && levelAbove.at > level.at) ? levelAbove : level
}

/** When one of them passes, or a step-up does. */
const nextOf = (session: Session, taints: readonly Taint[], now: Instant): Instant => taints.reduce((next, { until }) => earlier(next, until ?? FOREVER), nextStepUpChange(session.stepUps, now))

/**
 * @param baseline the compiled Baseline Scope of this principal (policy `baselineOf`)
 * @param parent of a session that a broker opened under another; `gone` where nobody knows it
 * @param anchors every anchor the session's elevations are tied to; one that is not found has never been ended
 * @param claims of its newest credential; null where none was seen here
 * @param trusted what is kept of its principal
 */
export function effective(session: Session, baseline: Scope, anchors: AnchorView, locks: LockIndex, policy: Policy, now: Instant, parent: ParentView = { is: 'gone' }, claims: Claims | null = null, trusted: Trusted = NO_STANDING): Effective {
  const trust = trusted === 'unknown' ? NO_STANDING : trusted
  const level = trust.level === null ? null : levelAt(policy.risk, trust.level.at)
  const acts = level?.acts ?? NO_ACTS
  const levelAbove = levelOn(session, parent)
  const leave = leaveOf(session, parent, locks, policy, now)
  const silence = silenceOn(session.principal, policy.streams, anchors, now)
  const own = standing(session, locks, now, leave, trusted === 'unknown' ? 'unknown' : acts, silence)
  const taints = taintsOn(session, trust, parent, now)
  if (own.state === 'refused') return { session, state: own.state, reason: own.reason, byRisk: own.byRisk, level, levelAbove, taints, ceiling: NO_SCOPE, held: NO_SCOPE, baseline: NO_SCOPE, carriers: [], frozen: [], lost: new Map(), heardUntil: FOREVER, until: own.until }
  const [limit, ceiling] = [limitOf(session, acts), leave.most]
  const within = (scope: Scope, most: Scope | null): Scope => (most === null ? scope : intersection(scope, most))
  const capped = (scope: Scope): Scope => within(within(scope, limit), ceiling)
  const carriers: Carrier[] = []
  const frozen: Carrier[] = []
  const lost = new Map<ElevationId, Reason>()
  const holder: Holder = { principal: session.principal, claims, changed: session.overlay.length > 0 }
  let boundary = FOREVER
  for (const elevation of session.elevations) {
    const footing = isOver(elevation) ? NO_FOOTING : footingOf(elevation, policy, anchors, holder, now)
    boundary = earlier(boundary, footing.until)
    const loss = lossOf(elevation, footing, session, locks, policy, now, { baselineOnly: own.baselineOnly, silence })
    if (loss !== null) lost.set(elevation.id, loss)
    if ((loss !== null && REASONS[loss].loss !== 'freeze') || elevation.state.is !== 'active') continue
    const carries = capped(intersection(elevation.adds, policy.profiles.get(elevation.profile)?.adds ?? NO_SCOPE))
    const kind = loss === null ? carriers : frozen
    kind.push({ elevation, carries, until: earlier(earlier(elevation.state.until, footing.until), silence.until), schedules: footing.schedules })
  }
  return {
    session, state: own.state, reason: own.reason, byRisk: own.byRisk, level, levelAbove, taints, ceiling, held: leave.held, baseline: capped(baseline), carriers: carriers.sort(order), frozen, lost, heardUntil: silence.freezesAt,
    until: earlier(earlier(earlier(own.until, boundary), nextOf(session, taints, now)), earlier(nextElevationChange(session) ?? FOREVER, profilesUntil(session, locks, now))),
  }
}

/** All that it may do now, on whatever grant. */
export const scopesNow = ({ baseline, carriers }: Effective): Scope => scopeOf([...baseline, ...carriers.flatMap(({ carries }) => carries)])
