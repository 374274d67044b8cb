// News on its way into the store, and what is known of the record it is about. SPEC: STO2, STO13
import type { RecordRef, StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import type { Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'

/** The record as the store has it, and as it is in force here; null where this gateway does not know. */
export type Known = { readonly stored: () => StoredRecord | null; readonly now: () => StoredRecord | null }
export const UNKNOWN: Known = { stored: () => null, now: () => null }

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
