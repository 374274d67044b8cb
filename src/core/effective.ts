// What a session may do now: the only reader of a session, its anchors and its locks, for judge, admin, CLI and metrics alike.
// SPEC: ENF3, ENF8, SCP3, ELV6
import { type Elevation, type ElevationId, isOver } from './elevation.ts'
import type { Bindings } from './binding.ts'
import { type AnchorView, endedBy, type Footing, footingOf } from './footing.ts'
import { keptToBaseline, lockOnElevation, type LockIndex, locksOnRequest, locksOnSession, type ShownToLocks } from './locks.ts'
import type { Policy } from './policy.ts'
import { NO_PURPOSES, purposeFit, type Purposes } from './purpose.ts'
import type { Claims } from './principal.ts'
import { type Reason, REASONS } from './reason.ts'
import { intersection, NO_SCOPE, type Scope, type ScopeName, scopeOf } from './scope.ts'
import { type Brokered, cappedTo, type Parent, type Session } from './session.ts'
import { earlier, FOREVER, type Instant } from './time.ts'
import { nextElevationChange } from './transitions/elevations.ts'

/** An elevation that carries requests now, what it carries, until when, and by which versions of its windows. */
export type Carrier = { readonly elevation: Elevation; readonly carries: Scope; readonly until: Instant; readonly schedules: readonly string[] }

/** What is known of the life a session was delegated from. `unasked`: nobody looked, and it is taken as the record has it; never for the judge. */
export type ParentView = { readonly is: 'there'; readonly standing: Effective; /** Its newest credential was seen here. */ readonly baselineKnown: boolean } | { readonly is: 'gone' | 'unasked' }

export type Effective = {
  readonly session: Session
  readonly state: 'live' | 'frozen' | 'refused'
  /** Why it is not live; null when it is. */
  readonly reason: Reason | null
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
  /** The next instant at which time alone may change this answer. */
  readonly until: Instant
}

/** What a broker and a parent leave of a session. `most`: null sets no bound. `held`: what it would have, but for what holds its parent's elevations. */
type Leave = { readonly state: 'live' | 'frozen' | 'refused'; readonly reason: Reason | null; readonly most: Scope | null; readonly held: Scope; readonly until: Instant }
type Known = Extract<ParentView, { is: 'there' }>

const left = (most: Scope | null, held: Scope = NO_SCOPE, until: Instant = FOREVER): Leave => ({ state: 'live', reason: null, most, held, until })
const over = (reason: Reason, until: Instant): Leave => ({ state: 'refused', reason, most: NO_SCOPE, held: NO_SCOPE, until })

/** The parent's newest credential, as locks ask about it. */
function shownBy({ principal, credential: { id, ...credential }, bindings: { key, device, workload } }: Session): ShownToLocks {
  return { evidence: { ...credential, provider: '', fingerprint: '', credential: id, issuer: principal.issuer, keyThumbprint: key, device, claimed: NO_PURPOSES }, context: { workload, certified: null } }
}

/** An elevation of the parent carries its child only for its own purpose, and only where the child is bound to what it is bound to. One with limits is the asker's alone: a child's requests are not counted by it. */
function lends({ elevation: { purposes, keyThumbprint, workload, budget, recording } }: Carrier, bindings: Bindings, own: Purposes): boolean {
  return budget === null && !recording && purposeFit(purposes, own) === 'shown' && (keyThumbprint === null || keyThumbprint === bindings.key) && (workload === null || workload === bindings.workload)
}

/** Where its newest credential was not seen here, what its baseline was when it delegated stands for it. */
function baselineOfParent({ baseline: delegated }: Parent, { standing: { session: { cap }, baseline }, baselineKnown }: Known): Scope {
  const limit = cappedTo(cap)
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
  return parent.state === 'frozen' || lock?.effect === 'freeze' ? { ...leave, state: 'frozen', reason: 'frozen' } : leave
}

function leaveOf({ brokered, bindings }: Session, parent: ParentView, locks: LockIndex, policy: Policy, now: Instant): Leave {
  if (brokered === null) return left(null)
  if (!policy.brokers.has(brokered.broker)) return over('session_ended', FOREVER) // whoever took its broker away took what it had opened
  if (brokered.parent === null || parent.is === 'unasked') return left(brokered.scopes)
  return parent.is === 'there' ? leftByParent(brokered, brokered.parent, bindings, parent, locks, policy, now) : over('parent_ended', FOREVER)
}

function standing(session: Session, locks: LockIndex, now: Instant, leave: Leave): { readonly state: Effective['state']; readonly reason: Reason | null; readonly baselineOnly: boolean; readonly until: Instant } {
  const until = earlier(earlier(session.endsAt, session.frozen?.until ?? FOREVER), leave.until)
  const refused = (reason: Reason) => ({ state: 'refused', reason, baselineOnly: false, until: FOREVER }) as const
  if (session.state.is !== 'live') return refused(session.state.reason)
  if (session.endsAt <= now) return refused('max_reached')
  if (session.frozen?.until != null && session.frozen.until <= now) return refused('frozen_too_long')
  if (leave.state === 'refused') return { ...refused(leave.reason ?? 'parent_ended'), until: leave.until } // a lock on the parent may lift
  const hit = locksOnSession(locks, session, now)
  const bound = hit === null ? until : earlier(until, hit.until)
  if (hit?.lock.effect === 'deny') return { state: 'refused', reason: hit.lock.reason, baselineOnly: false, until: bound }
  const baselineOnly = hit !== null && hit.toBaseline
  if (session.frozen !== null || hit?.lock.effect === 'freeze' || leave.state === 'frozen') return { state: 'frozen', reason: 'frozen', baselineOnly, until: bound }
  return { state: 'live', reason: null, baselineOnly, until: bound }
}

function lossOf(elevation: Elevation, footing: Footing, session: Session, locks: LockIndex, policy: Policy, now: Instant, baselineOnly: boolean): Reason | null {
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
  return lock !== null ? 'frozen' : footing.unheard ? 'ticket_unheard' : null
}

/** The first instant at which a lock on an elevation or its profile lifts by itself. */
const profilesUntil = (session: Session, locks: LockIndex, now: Instant): Instant =>
  locks.size === 0 ? FOREVER : session.elevations.reduce((until, elevation) => earlier(until, lockOnElevation(locks, elevation, now)?.until ?? FOREVER), FOREVER)

const NO_FOOTING: Footing = { ended: null, unheard: false, waits: null, until: FOREVER, schedules: [] }

const order = (a: Carrier, b: Carrier): number => a.until - b.until || (a.elevation.id < b.elevation.id ? -1 : 1)

/**
 * @param baseline the compiled Baseline Scope of this principal (policy `baselineOf`)
 * @param parent of a session that a broker opened under another; `gone` where nobody knows it
 * @param anchors every anchor the session's elevations are tied to; one that is not found has never been ended
 * @param claims of its newest credential; null where none was seen here
 */
export function effective(session: Session, baseline: Scope, anchors: AnchorView, locks: LockIndex, policy: Policy, now: Instant, parent: ParentView = { is: 'gone' }, claims: Claims | null = null): Effective {
  const leave = leaveOf(session, parent, locks, policy, now)
  const own = standing(session, locks, now, leave)
  if (own.state === 'refused') return { session, state: own.state, reason: own.reason, ceiling: NO_SCOPE, held: NO_SCOPE, baseline: NO_SCOPE, carriers: [], frozen: [], lost: new Map(), until: own.until }
  const [limit, ceiling] = [cappedTo(session.cap), leave.most]
  const within = (scope: Scope, most: Scope | null): Scope => (most === null ? scope : intersection(scope, most))
  const capped = (scope: Scope): Scope => within(within(scope, limit), ceiling)
  const carriers: Carrier[] = []
  const frozen: Carrier[] = []
  const lost = new Map<ElevationId, Reason>()
  const holder = { principal: session.principal, claims }
  let boundary = FOREVER
  for (const elevation of session.elevations) {
    const footing = isOver(elevation) ? NO_FOOTING : footingOf(elevation, policy, anchors, holder, now)
    boundary = earlier(boundary, footing.until)
    const loss = lossOf(elevation, footing, session, locks, policy, now, own.baselineOnly)
    if (loss !== null) lost.set(elevation.id, loss)
    if ((loss !== null && REASONS[loss].loss !== 'freeze') || elevation.state.is !== 'active') continue
    const carries = capped(intersection(elevation.adds, policy.profiles.get(elevation.profile)?.adds ?? NO_SCOPE))
    const kind = loss === null ? carriers : frozen
    kind.push({ elevation, carries, until: earlier(elevation.state.until, footing.until), schedules: footing.schedules })
  }
  return {
    session, state: own.state, reason: own.reason, ceiling, held: leave.held, baseline: capped(baseline), carriers: carriers.sort(order), frozen, lost,
    until: earlier(earlier(own.until, boundary), earlier(nextElevationChange(session) ?? FOREVER, profilesUntil(session, locks, now))),
  }
}
