// Is what a credential was obtained for over? By the record, and by whatever else takes it away where the session is in memory. What is only held may come
// back, and keeps its credential. SPEC: CRD7
import type { ElevationId } from '../../core/elevation.ts'
import { lockOnElevation, type LockIndex, locksOnSession } from '../../core/locks.ts'
import type { Reason } from '../../core/reason.ts'
import type { Session } from '../../core/session.ts'
import type { Instant } from '../../core/time.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import type { Mirror } from '../../sessions/mirror.ts'

/** What carries nothing for now, and may again. */
const HELD: ReadonlySet<Reason> = new Set<Reason>(['narrowed', 'frozen', 'ticket_unheard', 'signals_silent'])

/** Since when it is over by its record; null where it is not. */
export function overSince({ state, endsAt, frozen, elevations }: Session, elevation: ElevationId | null, now: Instant): Instant | null {
  if (state.is !== 'live') return state.at
  if (endsAt <= now) return endsAt
  if (frozen?.until != null && frozen.until <= now) return frozen.until
  if (elevation === null) return null
  const held = elevations.find(({ id }) => id === elevation)?.state
  if (held === undefined) return now // so long ago that its record holds it no more
  if (held.is === 'active' || held.is === 'suspended') return held.until !== null && held.until <= now ? held.until : null
  return 'at' in held ? held.at : null
}

/** Where the session is not in memory: by its record, and by locks, which every gateway has. */
export function isOverByRecord(session: Session, elevation: ElevationId | null, locks: LockIndex, now: Instant): boolean {
  if (overSince(session, elevation, now) !== null || locksOnSession(locks, session, now)?.lock.effect === 'deny') return true
  const held = session.elevations.find(({ id }) => id === elevation)
  const lock = held === undefined ? null : lockOnElevation(locks, held, now)
  return lock !== null && lock.lock.effect !== 'freeze'
}

/** Likewise by everything that is known here: locks, risk, and the session it was delegated from. */
export function isOver(live: LiveSession, elevation: ElevationId | null, mirror: Pick<Mirror, 'effective' | 'above'>, now: Instant): boolean {
  if (overSince(live.record, elevation, now) !== null) return true
  if (live.record.brokered?.parent != null && mirror.above(live) === null) return false // its parent made way in memory: nothing is known of that
  const standing = mirror.effective(live, now)
  if (standing.state === 'refused') return true
  const lost = elevation === null ? undefined : standing.lost.get(elevation)
  return standing.state === 'live' && lost !== undefined && !HELD.has(lost)
}
