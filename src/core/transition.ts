// The second door: news is applied. Pure: facts are decided here, the new record is their fold and nothing else.
// SPEC: SIG1-SIG4, AUD1
import type { Anchor, AnchorRef, Lock } from './anchor.ts'
import type { AnchorFact, LockFact, SessionFact } from './fact.ts'
import { applyToAnchor, applyToLock, applyToSession } from './replay.ts'
import type { Session } from './session.ts'
import type { AnchorSignal, LockSignal, SessionSignal, Signal } from './signal.ts'
import type { Instant } from './time.ts'
import { ANCHOR_TABLE, LOCK_TABLE, setLock } from './transitions/anchors.ts'
import { isRejected, NOTHING, type Outcome, reject, type SessionRule, type Transition } from './transitions/rule.ts'
import { openFirst } from './transitions/session-life.ts'
import { SESSION_TABLE } from './transitions/table.ts'

type Common = { readonly at: Instant; readonly because: Signal['id']; readonly by: string; readonly note: string; readonly version: number }

function settled<R extends { readonly version: number }, H extends object, F extends H & Common>(
  record: R | null, signal: Signal, now: Instant, outcome: Outcome<H>, apply: (record: R | null, fact: F) => R,
): { readonly record: R | null; readonly facts: readonly F[]; readonly rejected: Transition<never, never>['rejected'] } {
  if (isRejected(outcome)) return { record, facts: [], rejected: outcome }
  const common: Common = { at: now, because: signal.id, by: signal.by, note: signal.note, version: (record?.version ?? 0) + 1 }
  const facts = outcome.map(happening => ({ ...common, ...happening }) as F) // a happening and what every fact carries make a fact
  return { record: facts.reduce<R | null>(apply, record), facts, rejected: null }
}

/** Restrictive news about a session nobody has seen names no record to change; the ledger writes a lock for it instead. */
const onAbsent = (signal: SessionSignal): Parameters<typeof isRejected>[0] =>
  signal.kind === 'session.opened' ? (openFirst(signal) as readonly unknown[]) : reject('not_found', 'no such session')

/** Applies news to a session record. `rejected` tells why nothing happened; an empty list of facts without it means "already so". */
export function transition(session: Session | null, signal: SessionSignal, now: Instant): Transition<Session, SessionFact> {
  if (session === null) return settled(null, signal, now, onAbsent(signal) as Outcome<never>, applyToSession)
  if (signal.life !== undefined && signal.life !== session.id) return settled(session, signal, now, reject('session_ended', 'that life of the session is over') as Outcome<never>, applyToSession)
  const rule = SESSION_TABLE[session.state.is][signal.kind] as SessionRule<SessionSignal> // the row's key is the signal's kind
  return settled(session, signal, now, rule(session, signal, now), applyToSession)
}

export function transitionAnchor(ref: AnchorRef, anchor: Anchor | null, signal: AnchorSignal, now: Instant): Transition<Anchor, AnchorFact> {
  if (signal.of !== undefined && signal.of !== (anchor?.version ?? 0)) return { record: anchor, facts: [], rejected: null }
  const rule = ANCHOR_TABLE[anchor?.state ?? 'absent'][signal.kind] as (ref: AnchorRef, anchor: Anchor | null, signal: AnchorSignal, now: Instant) => ReturnType<(typeof ANCHOR_TABLE)['open']['anchor.told']> // keyed by the signal's kind
  return settled(anchor, signal, now, rule(ref, anchor, signal, now), applyToAnchor)
}

export function transitionLock(lock: Lock | null, signal: LockSignal, now: Instant): Transition<Lock, LockFact> {
  if (lock === null) return settled(null, signal, now, signal.kind === 'lock.set' ? setLock(signal) : NOTHING, applyToLock)
  const rule = LOCK_TABLE[lock.state][signal.kind] as (lock: Lock, signal: LockSignal, now: Instant) => ReturnType<typeof setLock> // keyed by the signal's kind
  return settled(lock, signal, now, rule(lock, signal, now), applyToLock)
}
