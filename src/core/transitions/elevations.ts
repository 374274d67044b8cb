// The life of an elevation inside its session: request, approval, activation, suspension, end. SPEC: ELV1-ELV9, APR1-APR3, APR5
import { type Elevation, type ElevationId, endOfUse, followed, isOver, stageOf } from '../elevation.ts'
import type { SessionHappening } from '../fact.ts'
import type { EndReason } from '../reason.ts'
import { intersection } from '../scope.ts'
import { OPEN_ELEVATIONS_MAX, type Session } from '../session.ts'
import type { Shrinking, SignalOf } from '../signal.ts'
import { after, duration, type Duration, earlier, type Instant } from '../time.ts'
import { NOTHING, type Outcome, reject, type SessionRule } from './rule.ts'

type Happenings = Outcome<SessionHappening>
type Approving = SignalOf<'elevation.approved'>

/** Does the session's cap or a barred profile keep this elevation from carrying anything? */
export const heldBack = (session: Session, profile: string): boolean => session.cap.is === 'baseline' || session.barred.includes(profile)

const found = (session: Session, id: ElevationId): Elevation | undefined => session.elevations.find(elevation => elevation.id === id)

const isReplacedBy = (elevation: Elevation, other: Elevation): boolean =>
  other.id !== elevation.id && other.profile === elevation.profile && !isOver(other) && other.state.is !== 'requested' && JSON.stringify(other.purposes) === JSON.stringify(elevation.purposes)

/** What it takes the place of. */
const superseded = (session: Session, elevation: Elevation): readonly SessionHappening[] =>
  elevation.alone ? session.elevations.filter(other => isReplacedBy(elevation, other)).map(other => over(other, 'superseded', elevation.id)) : []

/** What follows once nothing more is needed: it starts, waits for its start, or waits for `widen`. */
function start(session: Session, elevation: Elevation, span: Duration, startsAt: Instant | null, now: Instant): SessionHappening[] {
  if (elevation.endsBy !== null && elevation.endsBy <= now) return [over(elevation, 'purpose_over', 'time')]
  if (startsAt !== null && startsAt > now) return [{ what: 'elevation.scheduled', elevation: elevation.id, startsAt }]
  const replaced = superseded(session, elevation)
  if (heldBack(session, elevation.profile)) return [...replaced, { what: 'elevation.suspended', elevation: elevation.id }]
  return [...replaced, { what: 'elevation.activated', elevation: elevation.id, until: endOfUse(elevation, after(now, span)) }]
}

export const request: SessionRule<SignalOf<'elevation.requested'>> = (session, { elevation, startsAt }, now) => {
  const there = found(session, elevation.id)
  if (there !== undefined) return there.asked === elevation.asked ? NOTHING : reject('repeat_differs', 'something else was asked for under this key')
  if (session.frozen) return reject('frozen', 'a frozen session gets no elevation')
  if (session.elevations.filter(e => !isOver(e)).length >= OPEN_ELEVATIONS_MAX) return reject('limit_reached', `a session holds at most ${OPEN_ELEVATIONS_MAX} elevations`)
  const asked: SessionHappening = { what: 'elevation.requested', elevation }
  return stageOf(elevation) !== null ? [asked] : [asked, ...start(session, elevation, elevation.for, startsAt, now)]
}

function barredApprover(elevation: Elevation, session: Session, by: string, barred: readonly string[]): boolean {
  const { principal } = session
  return by === elevation.requestedBy || by === `${principal.issuer}|${principal.subject}` || elevation.barred.includes(by) || barred.includes(by)
}

/** A list loses entries, a number gets smaller; everything else stays as it was asked or is taken away. */
const isLess = (given: unknown, asked: unknown): boolean =>
  JSON.stringify(given) === JSON.stringify(asked) || (Array.isArray(given) && Array.isArray(asked) && given.every(item => asked.includes(item))) || (typeof given === 'number' && typeof asked === 'number' && given >= 0 && given <= asked)

function paramsFault({ params }: Elevation, given: Elevation['params'] | null): string | null {
  const more = Object.keys(given ?? {}).find(name => !(name in params) || !isLess(given?.[name], params[name]))
  return more === undefined ? null : `the parameter ${more} is not what was asked, or less`
}

/** What is left of it, and whether that is less than what was asked. */
function shrunk(elevation: Elevation, { adds, for: span, uses, params }: Shrinking) {
  const asked = { adds: elevation.adds, for: elevation.for, uses: elevation.limits.uses, params: elevation.params }
  const left: typeof asked = {
    adds: adds === null ? asked.adds : intersection(asked.adds, adds), for: duration(Math.min(span ?? asked.for, asked.for)),
    uses: uses === null ? asked.uses : Math.min(uses, asked.uses ?? uses), params: params === null ? asked.params : { ...asked.params, ...params },
  }
  return { left, changed: JSON.stringify(left) !== JSON.stringify(asked) }
}

function approvalFault(session: Session, elevation: Elevation, signal: Approving, now: Instant): ReturnType<typeof reject> | null {
  if (elevation.state.is !== 'requested') return reject('conflict', `the elevation is ${elevation.state.is}`)
  if (elevation.state.expiresAt !== null && elevation.state.expiresAt <= now) return reject('conflict', 'the time to approve is over')
  if (barredApprover(elevation, session, signal.by, signal.barred)) return reject('denied', 'nobody approves its own request')
  if (elevation.approvals.some(({ by }) => by === signal.by || signal.names?.includes(by) === true)) return reject('conflict', 'already approved by this approver')
  if (elevation.revision !== signal.revision) return reject('conflict', 'the request changed since it was shown')
  if (stageOf(elevation) !== signal.stage) return reject('conflict', 'another stage is asked for its word')
  const fault = paramsFault(elevation, signal.params)
  return fault === null ? null : reject('bad_request', fault)
}

export const approve: SessionRule<Approving> = (session, signal, now) => {
  const elevation = found(session, signal.elevation)
  if (!elevation) return reject('not_found', 'no such elevation')
  const fault = approvalFault(session, elevation, signal, now)
  if (fault !== null) return fault
  const { by: approver, stage, shown, claims } = signal
  const { left, changed } = shrunk(elevation, signal)
  const approved: SessionHappening = { what: 'elevation.approved', elevation: elevation.id, approver, stage, shown, claims, revision: elevation.revision + (changed ? 1 : 0), ...left }
  const approvals = [...elevation.approvals, { by: approver, at: now, stage, shown, claims }]
  return stageOf({ stages: elevation.stages, approvals }) === null ? [approved, ...start(session, elevation, left.for, signal.startsAt, now)] : [approved]
}

/** What was scheduled starts, for whoever looked at everything it needs again. */
export const begin: SessionRule<SignalOf<'elevation.started'>> = (session, signal, now) => {
  const elevation = found(session, signal.elevation)
  if (!elevation) return reject('not_found', 'no such elevation')
  if (elevation.state.is !== 'scheduled') return NOTHING
  return elevation.state.startsAt > now ? reject('conflict', 'it does not start yet') : start(session, elevation, elevation.for, null, now)
}

export const defer: SessionRule<SignalOf<'elevation.deferred'>> = (session, { elevation: id, startsAt }, now) => {
  const elevation = found(session, id)
  if (!elevation) return reject('not_found', 'no such elevation')
  const { state } = elevation
  return state.is !== 'scheduled' || state.startsAt === startsAt ? NOTHING : startsAt <= now ? start(session, elevation, elevation.for, null, now) : [{ what: 'elevation.scheduled', elevation: id, startsAt }]
}

export const spend: SessionRule<SignalOf<'elevation.spent'>> = (session, { elevation: id }) => {
  const elevation = found(session, id)
  return elevation === undefined || isOver(elevation) || elevation.spent ? NOTHING : [{ what: 'elevation.spent', elevation: id }]
}

const fromRequested = (session: Session, id: ElevationId, what: 'elevation.denied' | 'elevation.withdrawn'): Happenings => {
  const elevation = found(session, id)
  if (!elevation) return reject('not_found', 'no such elevation')
  return elevation.state.is === 'requested' ? [{ what, elevation: id }] : reject('conflict', `the elevation is ${elevation.state.is}`)
}
export const deny: SessionRule<SignalOf<'elevation.denied'>> = (session, { elevation }) => fromRequested(session, elevation, 'elevation.denied')
export const withdraw: SessionRule<SignalOf<'elevation.withdrawn'>> = (session, { elevation }) => fromRequested(session, elevation, 'elevation.withdrawn')

export const extend: SessionRule<SignalOf<'elevation.extended'>> = (session, { elevation: id, more, once }, now) => {
  const elevation = found(session, id)
  if (!elevation) return reject('not_found', 'no such elevation')
  if (elevation.state.is !== 'active' || elevation.state.until <= now) return reject('conflict', `the elevation is ${elevation.state.is === 'active' ? 'over' : elevation.state.is}`)
  if (once && elevation.extended) return reject('limit_reached', 'it was extended once without an approval; another time needs one')
  const until = after(elevation.state.until, more)
  if (until > endOfUse(elevation, after(elevation.state.since, elevation.max))) return reject('limit_reached', 'the extension goes beyond the longest time of the profile')
  return [{ what: 'elevation.extended', elevation: id, until, once }]
}

export const end: SessionRule<SignalOf<'elevation.ended'>> = (session, { elevation: id, reason, because }, now) => {
  const elevation = found(session, id)
  if (!elevation) return reject('not_found', 'no such elevation')
  return isOver(elevation) ? NOTHING : ending(session, elevation, reason, because, now)
}

const over = (elevation: Elevation, reason: EndReason, cause: string): SessionHappening => ({ what: 'elevation.ended', elevation: elevation.id, reason, cause, unfinished: false })

/** An end, and what its profile gives behind it. */
function ending(session: Session, elevation: Elevation, reason: EndReason, cause: string, now: Instant): SessionHappening[] {
  const then = followed(elevation, reason, now)
  const ended: SessionHappening = { what: 'elevation.ended', elevation: elevation.id, reason, cause, unfinished: then !== null }
  if (then === null) return [ended]
  const asked: SessionHappening = { what: 'elevation.requested', elevation: then }
  return heldBack(session, elevation.profile) ? [ended, asked, { what: 'elevation.suspended', elevation: then.id }] : [ended, asked, ...start(session, then, then.for, null, now)] // a narrowing is not gone round by an end
}

/** A session's end takes its elevations along. */
export const endAll = (session: Session, cause: string): readonly SessionHappening[] =>
  session.elevations.filter(elevation => !isOver(elevation)).map(elevation => over(elevation, 'session_ended', cause))

/** What the cap lets run again, and what it must hold back. */
export function suspendFor(session: Session, holds: (elevation: Elevation) => boolean): readonly SessionHappening[] {
  return session.elevations.filter(e => e.state.is === 'active' && holds(e)).map(e => ({ what: 'elevation.suspended', elevation: e.id }))
}

/** @param session as it is once nothing holds it back */
export function resumeAll(session: Session, now: Instant): readonly SessionHappening[] {
  return session.elevations.flatMap((elevation): SessionHappening[] => {
    const { state } = elevation
    if (state.is !== 'suspended') return []
    const late = lateBy(session, elevation, now)
    if (late !== null) return late
    return [state.until === null ? { what: 'elevation.activated', elevation: elevation.id, until: endOfUse(elevation, after(now, elevation.for)) } : { what: 'elevation.resumed', elevation: elevation.id }]
  })
}

/** When time alone changes it: an end, or where nobody decided. What waits for its start needs more than time. */
function timeOf({ state, endsBy }: Elevation): Instant | null {
  if (state.is === 'active') return state.until
  if (state.is !== 'suspended' && state.is !== 'requested' && state.is !== 'scheduled') return null
  const at = state.is === 'suspended' ? state.until : state.is === 'requested' ? state.expiresAt : null
  return at === null ? endsBy : endsBy === null ? at : earlier(at, endsBy)
}

/** What time alone has decided of it by `now`; null where nothing is. */
function lateBy(session: Session, elevation: Elevation, now: Instant): SessionHappening[] | null {
  const { state, endsBy } = elevation
  const at = timeOf(elevation)
  if (at === null || at > now) return null
  if (state.is === 'requested') return [{ what: 'elevation.expired', elevation: elevation.id }]
  return ending(session, elevation, endsBy !== null && endsBy <= now ? 'purpose_over' : 'time_up', 'time', now)
}

/** Everything of this session's elevations that time alone has decided by `now`. */
export const elevationsOverdue = (session: Session, now: Instant): readonly SessionHappening[] => session.elevations.flatMap(elevation => lateBy(session, elevation, now) ?? [])

/** The next instant at which time alone changes one of them, or one that waits has to be looked at. */
export function nextElevationChange(session: Session): Instant | null {
  let next: Instant | null = null
  for (const elevation of session.elevations) {
    const at = elevation.state.is === 'scheduled' ? earlier(elevation.state.startsAt, timeOf(elevation) ?? elevation.state.startsAt) : timeOf(elevation)
    if (at !== null) next = next === null ? at : earlier(next, at)
  }
  return next
}
