// What a session may do now: the only reader of a session, its anchors and its locks, for judge, admin, CLI and metrics alike.
// SPEC: ENF3, ENF8, SCP3, ELV6
import type { Anchor, AnchorRef } from './anchor.ts'
import type { Elevation, ElevationId } from './elevation.ts'
import { lockOnElevation, type LockIndex, locksOnSession } from './locks.ts'
import type { Policy } from './policy.ts'
import type { EndReason, Reason } from './reason.ts'
import { intersection, NO_SCOPE, type Scope, scopeOf } from './scope.ts'
import { cappedTo, type Parent, type Session } from './session.ts'
import { earlier, FOREVER, type Instant } from './time.ts'
import { nextElevationChange } from './transitions/elevations.ts'

export type AnchorView = { readonly find: (ref: AnchorRef) => Anchor | null }

/** An elevation that carries requests now, what it carries, and until when. */
export type Carrier = { readonly elevation: Elevation; readonly carries: Scope; readonly until: Instant }

/** What is known of the life a session was delegated from. `unasked`: nobody looked, and it is taken as the record has it; never for the judge. */
export type ParentView = { readonly is: 'there'; readonly standing: Effective; /** Its newest credential was seen here. */ readonly baselineKnown: boolean } | { readonly is: 'gone' | 'unasked' }

export type Effective = {
  readonly session: Session
  readonly state: 'live' | 'frozen' | 'refused'
  /** Why it is not live; null when it is. */
  readonly reason: Reason | null
  /** What a broker and a parent leave it at most; null where it has neither. */
  readonly ceiling: Scope | null
  /** Baseline Scope after the session's cap. */
  readonly baseline: Scope
  /** In the order in which they are tried: earliest end first, then id. */
  readonly carriers: readonly Carrier[]
  /** Those that would carry, but for a lock that freezes their profile. */
  readonly frozen: readonly Carrier[]
  /** Elevations of the session that carry nothing, and why. */
  readonly lost: ReadonlyMap<ElevationId, Reason>
  /** The next instant at which time alone may change this answer. */
  readonly until: Instant
}

/** The end of a shared condition, as seen by an elevation requested before it. */
export function tieBroken(elevation: Elevation, anchors: AnchorView): EndReason | null {
  for (const { anchor, generation, reason } of elevation.ties) {
    const found = anchors.find(anchor)
    if (found !== null && (found.state === 'ended' || found.generation !== generation)) return reason
  }
  return null
}

/** Where its newest credential was not seen here, what its baseline was when it delegated stands for it. */
function scopeOfParent({ baseline: delegated }: Parent, { standing, baselineKnown }: Extract<ParentView, { is: 'there' }>): Scope {
  const limit = cappedTo(standing.session.cap)
  const baseline = baselineKnown ? intersection(standing.baseline, delegated) : limit === null ? delegated : intersection(delegated, limit)
  return scopeOf([...baseline, ...standing.carriers.flatMap(({ carries }) => carries)])
}

/** The most a session may do, by the word of its broker and by what its parent may do now. */
function ceilingOf({ brokered }: Session, parent: ParentView): Scope | null {
  if (brokered?.parent == null || parent.is !== 'there') return brokered?.scopes ?? null
  const delegated = scopeOfParent(brokered.parent, parent)
  return brokered.scopes === null ? delegated : intersection(brokered.scopes, delegated)
}

const isOrphan = ({ brokered }: Session, parent: ParentView): boolean => brokered?.parent != null && (parent.is === 'gone' || (parent.is === 'there' && parent.standing.state === 'refused'))
const ofParent = (parent: ParentView): Instant => (parent.is === 'there' ? parent.standing.until : FOREVER)

function standing(session: Session, locks: LockIndex, now: Instant, parent: ParentView): { readonly state: Effective['state']; readonly reason: Reason | null; readonly baselineOnly: boolean; readonly until: Instant } {
  const until = earlier(earlier(session.endsAt, session.frozen?.until ?? FOREVER), ofParent(parent))
  const refused = (reason: Reason) => ({ state: 'refused', reason, baselineOnly: false, until: FOREVER }) as const
  if (session.state.is !== 'live') return refused(session.state.reason)
  if (session.endsAt <= now) return refused('max_reached')
  if (session.frozen?.until != null && session.frozen.until <= now) return refused('frozen_too_long')
  if (isOrphan(session, parent)) return { ...refused('parent_ended'), until: ofParent(parent) } // a lock on the parent may lift
  const hit = locksOnSession(locks, session, now)
  const bound = hit === null ? until : earlier(until, hit.until)
  if (hit?.lock.effect === 'deny') return { state: 'refused', reason: hit.lock.reason, baselineOnly: false, until: bound }
  const baselineOnly = hit !== null && hit.toBaseline
  if (session.frozen !== null || hit?.lock.effect === 'freeze' || (parent.is === 'there' && parent.standing.state === 'frozen')) return { state: 'frozen', reason: 'frozen', baselineOnly, until: bound }
  return { state: 'live', reason: null, baselineOnly, until: bound }
}

function lossOf(elevation: Elevation, session: Session, anchors: AnchorView, locks: LockIndex, policy: Policy, now: Instant, baselineOnly: boolean): Reason | null {
  const { state, profile } = elevation
  if (state.is === 'ended') return state.reason
  if (state.is !== 'active' && state.is !== 'suspended') return 'elevation_required'
  if (state.until !== null && state.until <= now) return 'time_up'
  const broken = tieBroken(elevation, anchors)
  if (broken !== null) return broken
  if (!policy.profiles.has(profile)) return 'profile_removed'
  const lock = lockOnElevation(locks, elevation, now)?.lock ?? null
  if (lock !== null && lock.effect !== 'freeze') return 'locked'
  if (state.is === 'suspended' || session.cap.is === 'baseline' || session.barred.includes(profile)) return 'narrowed'
  return baselineOnly ? 'narrowed' : lock === null ? null : 'frozen'
}

/** The first instant at which a lock on an elevation or its profile lifts by itself. */
const profilesUntil = (session: Session, locks: LockIndex, now: Instant): Instant =>
  locks.size === 0 ? FOREVER : session.elevations.reduce((until, elevation) => earlier(until, lockOnElevation(locks, elevation, now)?.until ?? FOREVER), FOREVER)

const order = (a: Carrier, b: Carrier): number => a.until - b.until || (a.elevation.id < b.elevation.id ? -1 : 1)

/**
 * @param baseline the compiled Baseline Scope of this principal (policy `baselineOf`)
 * @param parent of a session that a broker opened under another; `gone` where nobody knows it
 * @param anchors every anchor the session's elevations are tied to; one that is not found has never been ended
 */
export function effective(session: Session, baseline: Scope, anchors: AnchorView, locks: LockIndex, policy: Policy, now: Instant, parent: ParentView = { is: 'gone' }): Effective {
  const own = standing(session, locks, now, parent)
  if (own.state === 'refused') return { session, state: own.state, reason: own.reason, ceiling: NO_SCOPE, baseline: NO_SCOPE, carriers: [], frozen: [], lost: new Map(), until: own.until }
  const [limit, ceiling] = [cappedTo(session.cap), ceilingOf(session, parent)]
  const within = (scope: Scope, most: Scope | null): Scope => (most === null ? scope : intersection(scope, most))
  const capped = (scope: Scope): Scope => within(within(scope, limit), ceiling)
  const carriers: Carrier[] = []
  const frozen: Carrier[] = []
  const lost = new Map<ElevationId, Reason>()
  for (const elevation of session.elevations) {
    const loss = lossOf(elevation, session, anchors, locks, policy, now, own.baselineOnly)
    if (loss !== null) lost.set(elevation.id, loss)
    if ((loss !== null && loss !== 'frozen') || elevation.state.is !== 'active') continue
    const carries = capped(intersection(elevation.adds, policy.profiles.get(elevation.profile)?.adds ?? NO_SCOPE))
    const kind = loss === null ? carriers : frozen
    kind.push({ elevation, carries, until: elevation.state.until })
  }
  return {
    session, state: own.state, reason: own.reason, ceiling, baseline: capped(baseline), carriers: carriers.sort(order), frozen, lost,
    until: earlier(own.until, earlier(nextElevationChange(session) ?? FOREVER, profilesUntil(session, locks, now))),
  }
}
