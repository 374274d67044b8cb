// Where a record is found and how long it is kept: longer than anything it could still refuse. Pure. SPEC: STO8, STO10, SES6
import type { Anchor } from '../core/anchor.ts'
import { indexOf, type RecordRef, type StoredRecord, tiesOf } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import { isInForce } from '../core/taint.ts'
import { after, duration, type Instant, instant, later } from '../core/time.ts'
import type { Commit } from './store.ts'

const DAY = 86_400_000
/** A lifted lock keeps its versions growing for as long as an older word about it may still be on its way. */
const LIFTED_KEPT = duration(DAY)
/** How long an ended life keeps refusing what it ended, beyond the end of its newest credential. */
const TOMBSTONE_SLACK = duration(7 * DAY)
/** No elevation lives as long as these: what still points at a forgotten anchor has ended before. */
const OPEN_ANCHOR_KEPT = duration(90 * DAY)
/** The shortest that any anchor which sessions stand on is kept after its last change. */
export const ENDED_ANCHOR_KEPT = duration(30 * DAY)
/** News from outside is known again for as long as a source may say it: a week, and what clocks are off by. */
const ACTED_ON_KEPT = duration(8 * DAY)

/** Where news is found that nobody has acted on yet. */
export const OPEN_NEWS: RecordRef = { kind: 'event', name: 'open' }

/** Where a record is found and when it may be forgotten. */
export function placement(record: StoredRecord, now: Instant): Pick<Commit, 'index' | 'ties' | 'forgetAt'> {
  if (record.record === 'session') return { index: indexOf(record), ties: tiesOf(record), forgetAt: sessionForgetAt(record) }
  if (record.record === 'lock') return { index: [], ties: [], forgetAt: record.state === 'lifted' ? after(now, LIFTED_KEPT) : record.until }
  return { index: [], ties: record.matter?.is === 'event' && record.state === 'open' ? [OPEN_NEWS] : [], forgetAt: anchorForgetAt(record, now) }
}

/** A principal is kept as long as anything that it touched keeps it from elsewhere; what has no end, until an operator clears it. */
function anchorForgetAt({ state, matter }: Anchor, now: Instant): Instant | null {
  if (matter?.is === 'order') return after(now, ENDED_ANCHOR_KEPT)
  if (matter?.is === 'event' && state === 'ended') return after(now, ACTED_ON_KEPT)
  if (matter?.is === 'tools') return null // whatever was accepted of a route counts as long as somebody may configure it
  const taints = matter?.is === 'principal' ? matter.taints.filter(taint => isInForce(taint, now)) : []
  if (taints.some(({ until }) => until === null)) return null
  return taints.reduce((at, { until }) => later(at, until ?? at), after(now, state === 'open' ? OPEN_ANCHOR_KEPT : ENDED_ANCHOR_KEPT))
}

/** A tombstone outlives every credential it could refuse; where that is unknown it stays until an operator clears it. */
function sessionForgetAt({ state, credential, endsAt, notBefore }: Session): Instant | null {
  if (credential.expiresAt === null && notBefore !== null) return null
  const end = Math.max(credential.expiresAt ?? 0, endsAt, state.is === 'live' ? 0 : state.at)
  return instant(end + TOMBSTONE_SLACK)
}

