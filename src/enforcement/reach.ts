// What a lock would meet here, found as the judge finds locks and told before one is set: live sessions by who they are, what they are bound to, what
// their newest credential shows and what they come from; exchanges by what each of them showed itself. Sets nothing. SPEC: ENF8, ADM3
import type { Lock, LockId, Selector } from '../core/anchor.ts'
import { shownBy } from '../core/effective.ts'
import { isOver } from '../core/elevation.ts'
import { lockIndex, type LockIndex, lockOnElevation, locksOnRequest, locksOnSession } from '../core/locks.ts'
import { DELEGATIONS_MAX, type Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { Reach } from '../sessions/store.ts'
import type { Exchange } from './exchange.ts'
import type { Inflight } from './inflight.ts'

/** No route has it: a session is on none, its exchanges are. */
const NO_ROUTE = ''

/** As if it stood, alone. */
function onlyLock(selector: Selector, now: Instant): LockIndex {
  const lock: Lock = { record: 'lock', id: '' as LockId, selector, version: 1, state: 'set', effect: 'deny', reason: 'locked', note: '', by: '', since: now, until: null } // it is never kept, and needs no id
  return lockIndex([lock])
}

const meetsLife = (record: Session, index: LockIndex, now: Instant): boolean =>
  locksOnSession(index, record, now) !== null || locksOnRequest(index, NO_ROUTE, shownBy(record), record.principal, now) !== null

/** A life with a parent has no more than that one has. */
function meetsAbove({ record }: LiveSession, index: LockIndex, mirror: Mirror, now: Instant): boolean {
  let parent = record.brokered?.parent ?? null
  for (let depth = 0; parent !== null && depth < DELEGATIONS_MAX; depth++) {
    const above = mirror.known(parent.key)
    if (above === null) return false
    if (meetsLife(above.record, index, now)) return true
    parent = above.record.brokered?.parent ?? null
  }
  return false
}

const meetsSession = (live: LiveSession, index: LockIndex, mirror: Mirror, now: Instant): boolean =>
  meetsLife(live.record, index, now) || meetsAbove(live, index, mirror, now) || live.record.elevations.some(elevation => !isOver(elevation) && lockOnElevation(index, elevation, now) !== null)

function meetsExchange({ live, place, evaluation, permit: { grant } }: Exchange, index: LockIndex, mirror: Mirror, now: Instant): boolean {
  if (live !== null && (locksOnSession(index, live.record, now) !== null || meetsAbove(live, index, mirror, now))) return true
  if (locksOnRequest(index, place.route.name, evaluation, live?.record.principal ?? null, now) !== null) return true
  return grant.is === 'elevation' && lockOnElevation(index, grant.elevation, now) !== null
}

/** Exchanges that stand on nothing it meets go on. Elevations count with their session, whether they carry something or not. */
export function reachOf(selector: Selector, mirror: Mirror, inflight: Inflight, now: Instant): Reach {
  const index = onlyLock(selector, now)
  const met = new Set<LiveSession>()
  for (const live of mirror.all()) if (live.record.state.is === 'live' && meetsSession(live, index, mirror, now)) met.add(live)
  let exchanges = 0
  for (const exchange of inflight.all()) {
    if (!meetsExchange(exchange, index, mirror, now)) continue
    exchanges++
    if (exchange.live !== null) met.add(exchange.live)
  }
  return { sessions: met.size, exchanges }
}
