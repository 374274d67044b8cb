// News applied to whatever record it is about: one step for sessions, anchors and locks, the same when it is said again. Pure. SPEC: SIG1, STO16
import { ANCHOR_KINDS, type AnchorKind } from '../core/anchor.ts'
import type { Fact } from '../core/fact.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import type { AnchorSignal, LockSignal, SessionSignal, Signal, SignalKind } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import { transition, transitionAnchor, transitionLock } from '../core/transition.ts'
import type { Rejected } from '../core/transitions/rule.ts'

export type Stepped = { readonly record: StoredRecord | null; readonly facts: readonly Fact[]; readonly rejected: Rejected | null }
export type Step = (record: StoredRecord | null, now: Instant) => Stepped

const isAnchorKind = (kind: string): kind is AnchorKind => ANCHOR_KINDS.some(known => known === kind)

/** @param news must be about that kind of record */
export function stepOf({ kind, name }: RecordRef, news: Signal): Step {
  if (isAnchorKind(kind)) return (record, now) => transitionAnchor({ kind, name }, record?.record === 'anchor' ? record : null, news as AnchorSignal, now) // its ref says so
  if (kind === 'lock') return (record, now) => transitionLock(record?.record === 'lock' ? record : null, news as LockSignal, now) // likewise
  return (record, now) => transition(record?.record === 'session' ? record : null, news as SessionSignal, now) // likewise
}

/** What nobody waits for: it comes with requests, or with time. */
const QUIET: ReadonlySet<SignalKind> = new Set<SignalKind>(['session.opened', 'binding.drifted', 'credential.renewed', 'session.lapsed', 'tools.seen', 'time.passed'])
export const isAwaited = ({ kind }: Signal): boolean => !QUIET.has(kind)
