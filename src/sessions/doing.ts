// News on its way into the store: what is known of the record it is about, and what became of it. SPEC: STO2, STO13, STO19
import type { Fact } from '../core/fact.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import type { Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import type { Rejected } from '../core/transitions/rule.ts'
import type { Position, Tally } from './store.ts'

/** The record as the store has it, and as it is in force here; null where this gateway does not know. */
export type Known = { readonly stored: () => StoredRecord | null; readonly now: () => StoredRecord | null }
export const UNKNOWN: Known = { stored: () => null, now: () => null }

export type Applied<R> = {
  readonly record: R | null
  readonly facts: readonly Fact[]
  /** Why the news was not taken; null when it was, also when it changed nothing. */
  readonly rejected: Rejected | null
  /** Where the store put it; null when nothing had to be written, or when the store did not answer. */
  readonly position: Position | null
  /** The store did not answer restrictive news: it is enforced here from memory, and owed to the store. What it did to open exchanges. */
  readonly assumed: Tally | null
  /** News that is only assumed is written down for the store. */
  readonly journaled: boolean
  /** It is only assumed because the store is out of reach: others then lose their lease as well. */
  readonly cutOff: boolean
}

/** News on its way into the store. */
export type Doing = {
  readonly ref: RecordRef
  readonly news: Signal
  readonly due: Instant | null
  /** When it took effect; null decides at each attempt. */
  readonly at: Instant | null
  /** What an end may be written as where its record is busy. */
  readonly mayGoAhead: boolean
  /** It is somebody's word, to be written down beside the store. */
  readonly noted: boolean
}

export const sessionIn = (record: StoredRecord | null): Session | null => (record?.record === 'session' ? record : null)
export const isSameLife = (a: StoredRecord | null, b: StoredRecord | null): boolean => a?.record === 'session' && b?.record === 'session' && a.id === b.id
