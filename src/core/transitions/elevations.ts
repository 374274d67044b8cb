// The life of an elevation inside its session: request, approval, activation, suspension, end. SPEC: ELV1-ELV9, APR1-APR3
import { type Elevation, type ElevationId, isOver } from '../elevation.ts'
import type { SessionHappening } from '../fact.ts'
import type { EndReason } from '../reason.ts'
import { intersection } from '../scope.ts'
import { OPEN_ELEVATIONS_MAX, type Session } from '../session.ts'
import type { SignalOf } from '../signal.ts'
import { after, type Duration, earlier, type Instant } from '../time.ts'
import { NOTHING, type Outcome, reject, type SessionRule } from './rule.ts'

type Happenings = Outcome<SessionHappening>

/** Does the session's cap or a barred profile keep this elevation from carrying anything? */
export const heldBack = (session: Session, profile: string): boolean => session.cap.is === 'baseline' || session.barred.includes(profile)

const found = (session: Session, id: ElevationId): Elevation | undefined => session.elevations.find(elevation => elevation.id === id)

/** What follows once nothing more is needed: it starts, waits for its start, or waits for `widen`. */
function start(session: Session, elevation: Elevation, span: Duration, now: Instant): SessionHappening[] {
  if (elevation.startsAt !== null && elevation.startsAt > now) return [{ what: 'elevation.scheduled', elevation: elevation.id, startsAt: elevation.startsAt }]
  if (heldBack(session, elevation.profile)) return [{ what: 'elevation.suspended', elevation: elevation.id }]
  return [{ what: 'elevation.activated', elevation: elevation.id, until: after(now, span) }]
}

export const request: SessionRule<SignalOf<'elevation.requested'>> = (session, { elevation }, now) => {
  if (found(session, elevation.id)) return NOTHING
  if (session.frozen) return reject('frozen', 'a frozen session gets no elevation')
  if (session.elevations.filter(e => !isOver(e)).length >= OPEN_ELEVATIONS_MAX) return reject('limit_reached', `a session holds at most ${OPEN_ELEVATIONS_MAX} elevations`)
  const asked: SessionHappening = { what: 'elevation.requested', elevation }
  return elevation.approvalsNeeded > 0 ? [asked] : [asked, ...start(session, elevation, elevation.for, now)]
}

function barredApprover(elevation: Elevation, session: Session, by: string, barred: readonly string[]): boolean {
  const { principal } = session
  return by === elevation.requestedBy || by === `${principal.issuer}|${principal.subject}` || elevation.barred.includes(by) || barred.includes(by)
}

export const approve: SessionRule<SignalOf<'elevation.approved'>> = (session, signal, now) => {
  const elevation = found(session, signal.elevation)
  if (!elevation) return reject('not_found', 'no such elevation')
  if (elevation.state.is !== 'requested') return reject('conflict', `the elevation is ${elevation.state.is}`)
  if (elevation.state.expiresAt !== null && elevation.state.expiresAt <= now) return reject('conflict', 'the time to approve is over')
  if (barredApprover(elevation, session, signal.by, signal.barred)) return reject('denied', 'nobody approves its own request')
  if (elevation.approvals.some(({ by }) => by === signal.by)) return reject('conflict', 'already approved by this approver')
  const adds = signal.adds === null ? elevation.adds : intersection(elevation.adds, signal.adds)
  const span = signal.for === null || signal.for > elevation.for ? elevation.for : signal.for
  const approved: SessionHappening = { what: 'elevation.approved', elevation: elevation.id, approver: signal.by, adds, for: span }
  return elevation.approvals.length + 1 < elevation.approvalsNeeded ? [approved] : [approved, ...start(session, elevation, span, now)]
}

const fromRequested = (session: Session, id: ElevationId, what: 'elevation.denied' | 'elevation.withdrawn'): Happenings => {
  const elevation = found(session, id)
  if (!elevation) return reject('not_found', 'no such elevation')
  return elevation.state.is === 'requested' ? [{ what, elevation: id }] : reject('conflict', `the elevation is ${elevation.state.is}`)
}
export const deny: SessionRule<SignalOf<'elevation.denied'>> = (session, { elevation }) => fromRequested(session, elevation, 'elevation.denied')
export const withdraw: SessionRule<SignalOf<'elevation.withdrawn'>> = (session, { elevation }) => fromRequested(session, elevation, 'elevation.withdrawn')

export const extend: SessionRule<SignalOf<'elevation.extended'>> = (session, signal, now) => {
  const elevation = found(session, signal.elevation)
  if (!elevation) return reject('not_found', 'no such elevation')
  if (elevation.state.is !== 'active' || elevation.state.until <= now) return reject('conflict', `the elevation is ${elevation.state.is === 'active' ? 'over' : elevation.state.is}`)
  const limit = after(elevation.state.since, elevation.max)
  const until = after(elevation.state.until, signal.more)
  if (until > limit) return reject('limit_reached', 'the extension goes beyond the longest time of the profile')
  return [{ what: 'elevation.extended', elevation: elevation.id, until }]
}

export const end: SessionRule<SignalOf<'elevation.ended'>> = (session, signal) => {
  const elevation = found(session, signal.elevation)
  if (!elevation) return reject('not_found', 'no such elevation')
  return isOver(elevation) ? NOTHING : [over(elevation, signal.reason, signal.because)]
}

const over = (elevation: Elevation, reason: EndReason, cause: string): SessionHappening => ({ what: 'elevation.ended', elevation: elevation.id, reason, cause })

/** A session's end takes its elevations along. */
export const endAll = (session: Session, cause: string): readonly SessionHappening[] =>
  session.elevations.filter(elevation => !isOver(elevation)).map(elevation => over(elevation, 'session_ended', cause))

/** What the cap lets run again, and what it must hold back. */
export function suspendFor(session: Session, holds: (elevation: Elevation) => boolean): readonly SessionHappening[] {
  return session.elevations.filter(e => e.state.is === 'active' && holds(e)).map(e => ({ what: 'elevation.suspended', elevation: e.id }))
}

export function resumeAll(session: Session, now: Instant): readonly SessionHappening[] {
  return session.elevations.flatMap((elevation): SessionHappening[] => {
    const { state } = elevation
    if (state.is !== 'suspended') return []
    if (state.until === null) return [{ what: 'elevation.activated', elevation: elevation.id, until: after(now, elevation.for) }]
    return state.until > now ? [{ what: 'elevation.resumed', elevation: elevation.id }] : [over(elevation, 'time_up', 'time')]
  })
}

/** Everything of this session's elevations that time alone has decided by `now`. */
export function elevationsOverdue(session: Session, now: Instant): readonly SessionHappening[] {
  return session.elevations.flatMap((elevation): SessionHappening[] => {
    const { state } = elevation
    if ((state.is === 'active' || state.is === 'suspended') && state.until !== null && state.until <= now) return [over(elevation, 'time_up', 'time')]
    if (state.is === 'requested' && state.expiresAt !== null && state.expiresAt <= now) return [{ what: 'elevation.expired', elevation: elevation.id }]
    if (state.is === 'scheduled' && state.startsAt <= now) return start(session, elevation, elevation.for, now)
    return []
  })
}

/** The next instant at which time alone changes one of them. */
export function nextElevationChange(session: Session): Instant | null {
  let next: Instant | null = null
  for (const { state } of session.elevations) {
    const at = state.is === 'active' || state.is === 'suspended' ? state.until : state.is === 'requested' ? state.expiresAt : state.is === 'scheduled' ? state.startsAt : null
    if (at !== null) next = next === null ? at : earlier(next, at)
  }
  return next
}
