// The end of a busy record: a lock that says the same, written in one round trip however often the record itself is being changed. Pure.
// SPEC: STO13, RULES 22
import type { Lock, LockEffect, LockId, Selector } from '../core/anchor.ts'
import { lockRef } from '../core/record.ts'
import type { RefusalReason } from '../core/reason.ts'
import type { Session } from '../core/session.ts'
import type { LockSignal, Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import { transitionLock } from '../core/transition.ts'
import type { Ahead } from './store.ts'

type Meant = { readonly selector: Selector; readonly effect: LockEffect; readonly reason: RefusalReason; readonly until: Instant }

/** What a lock would have to say to mean the same. A freeze ends in an end, not in going on: its lock does not lift by itself. */
function meantBy({ id, endsAt, elevations }: Session, news: Signal): Meant | null {
  const selector: Selector = { kind: 'session', value: id }
  if (news.kind === 'session.terminated') return { selector, effect: 'deny', reason: 'locked', until: endsAt }
  if (news.kind === 'session.frozen') return { selector, effect: 'freeze', reason: 'frozen', until: endsAt }
  if (news.kind !== 'elevation.ended' || !elevations.some(elevation => elevation.id === news.elevation)) return null
  return { selector: { kind: 'elevation', value: news.elevation }, effect: 'deny', reason: 'locked', until: endsAt }
}

/** null for news that no lock can say, and where a lock stands already: that one is somebody's word. @param standing the lock known here on a selector */
export function lockAhead(session: Session, news: Signal, now: Instant, standing: (selector: Selector) => Lock | null): Ahead | null {
  const meant = meantBy(session, news)
  if (meant === null || meant.until <= now) return null
  if (standing(meant.selector) !== null) return null
  const { id, by, note } = news
  const set: LockSignal = { kind: 'lock.set', lock: `lck_${id.slice(4)}` as LockId, ...meant, id, by, note } // as random as the signal it stands for
  const { record, facts } = transitionLock(null, set, now)
  return record === null || facts.length === 0 ? null : { ref: lockRef(meant.selector), record, facts, forgetAt: meant.until, news: set, expectedVersion: 0 }
}
