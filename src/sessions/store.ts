// The SessionStore port: what a store must promise, whichever it is. It knows versions, epochs, positions and idempotency, never what a freeze is.
// One contract suite (test/contract/) holds every implementation to it. SPEC: STO1-STO9
import type { Selector } from '../core/anchor.ts'
import type { Fact } from '../core/fact.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import type { Instant } from '../core/time.ts'

/** A place in the store's one ordered log, comparable within an epoch. */
export type Position = { readonly epoch: string; readonly sequence: number }

export type Commit = {
  /** `<signal>:<record>`; the same one twice is done once. Remembered for 15 minutes at least. */
  readonly operation: string
  readonly ref: RecordRef
  /** Version the record must have now, 0 for absent; `any` overwrites whatever is there. */
  readonly expectedVersion: number | 'any'
  /** Epoch in which the decision was made, or the word `any` for restrictive news. */
  readonly expectedEpoch: string
  /** Version of `record` is the next one. */
  readonly record: StoredRecord
  readonly facts: readonly Fact[]
  /** Under what the record is found from now on; replaces what it was found under. */
  readonly index: readonly Selector[]
  /** Anchors the record is found by, likewise. */
  readonly ties: readonly RecordRef[]
  /** When the record may be forgotten; null keeps it. */
  readonly forgetAt: Instant | null
  /** The instant whose passing is the cause; refused with EARLY while the store's own time is before it. */
  readonly due: Instant | null
}

export type CommitAnswer =
  | { readonly is: 'OK'; readonly position: Position }
  /** The record as it is now; null when absent. */
  | { readonly is: 'CONFLICT'; readonly record: StoredRecord | null }
  /** This operation was done before, at that position. */
  | { readonly is: 'DUP'; readonly position: Position }
  | { readonly is: 'EPOCH'; readonly epoch: string }
  | { readonly is: 'EARLY'; readonly now: Instant }

/** What every gateway hears of each commit, in order and without gaps. */
export type Announcement = {
  readonly position: Position
  readonly ref: RecordRef
  readonly record: StoredRecord
  readonly facts: readonly Fact[]
}

/** What a change did to the exchanges that were open. */
export type Tally = { readonly continued: number; readonly regranted: number; readonly narrowed: number; readonly frozen: number; readonly cut: number }

/** Applies one announcement. The promise settles when it is enforced here; it never rejects. */
export type Watcher = (announcement: Announcement) => Promise<Tally>

export type Enforcement = {
  readonly gateways: { readonly total: number; readonly acknowledged: number; readonly expired: number }
  readonly exchanges: Tally
  /** Gateways that could not say what they cut. */
  readonly exchangesUnknown: number
}

/** Facts on their way to the trail file, in the order of their commits. */
export type Outgoing = { readonly position: Position; readonly ref: RecordRef; readonly fact: Fact; /** Index of the fact within its commit. */ readonly part: number }

export interface SessionStore {
  /** Changes whenever the store may have forgotten something. */
  readonly epoch: string
  load(ref: RecordRef): Promise<StoredRecord | null>
  commit(commit: Commit): Promise<CommitAnswer>
  /** Like `commit`, for news that only takes away: works when memory is full, and is on stable storage before it resolves. */
  commitRestrictive(commit: Commit): Promise<CommitAnswer>
  /** The mirror's ear. One watcher; announcements reach it in the same turn in which the commit was made where the store is local. */
  subscribe(watcher: Watcher): void
  /** On the clock's `elapsed` scale: until when everything announced is provably known here. Infinity for a local store. */
  confirmedUntil(): number
  /** Settles when every gateway has enforced the position, or can no longer act on anything older. */
  enforced(position: Position): Promise<Enforcement>
  /** References of live sessions under a selector, at most `limit`. */
  find(selector: Selector, limit: number): Promise<readonly RecordRef[]>
  /** References of sessions tied to an anchor, at most `limit`. */
  tiedTo(anchor: RecordRef, limit: number): Promise<readonly RecordRef[]>
  /** All records of a kind: locks at start, sessions and anchors for lists. At most `limit`, after the given name. */
  list(kind: RecordRef['kind'], after: string, limit: number): Promise<readonly StoredRecord[]>
  /** Facts not yet in a trail file, oldest first. */
  drain(limit: number): Promise<readonly Outgoing[]>
  /** Forgets outgoing facts up to and including the position. */
  drained(position: Position): Promise<void>
  /** Last-seen instants of sessions: merged, unversioned, lost without harm. */
  touch(seen: ReadonlyMap<string, Instant>): Promise<void>
  lastSeen(sessionKey: string): Promise<Instant | null>
  /** Forgets what is due to be forgotten, a bounded piece at a time; tells how much it was. */
  prune(now: Instant): Promise<number>
  /** Small named values that live with the data set: the digest key, the trail's head. */
  keep(name: string, value: string): Promise<void>
  kept(name: string): Promise<string | null>
  close(): Promise<void>
}
