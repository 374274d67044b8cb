// The SessionStore port: what a store must promise, whichever it is. It knows versions, epochs, positions and idempotency, never what a freeze is.
// One contract suite (test/contract/) holds every implementation to it. SPEC: STO1-STO9
import type { Selector } from '../core/anchor.ts'
import type { Fact } from '../core/fact.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import type { Signal } from '../core/signal.ts'
import type { Duration, Instant } from '../core/time.ts'

/** A place in the store's one ordered log, comparable within an epoch. */
export type Position = { readonly epoch: string; readonly sequence: number }

export type Commit = {
  /** `<signal>:<record>`; the same one twice is done once. Remembered for 15 minutes at least. */
  readonly operation: string
  readonly ref: RecordRef
  /** Version the record must have now, 0 for absent; `any` overwrites whatever is there. */
  readonly expectedVersion: number | 'any'
  /** Epoch in which the record was read, as `epochOf` gave it then; or the word `any`. */
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
  /** What caused it, where it only takes away: gateways say it again to a store that lost it. null for everything else. */
  readonly news: Signal | null
  /** Somebody will wait for `enforced`: gateways acknowledge it at once rather than with their next sign of life. */
  readonly awaited: boolean
  /** What is written in this one's place when the record is at another version: a lock, so that an end lands however busy its record is. */
  readonly ahead: Ahead | null
}

/** A record that is announced and enforced like any other; the one it stands for settles behind it. */
export type Ahead = Pick<Commit, 'ref' | 'record' | 'facts' | 'forgetAt' | 'news'> & { readonly expectedVersion: number }

export type CommitAnswer =
  | { readonly is: 'OK'; readonly position: Position }
  /** The record as it is now; null when absent. `ahead`: where what was to stand in its place was written, null when it was not now. */
  | { readonly is: 'CONFLICT'; readonly record: StoredRecord | null; readonly ahead: Position | null }
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

/** Restrictive news that was enforced here and that the store does not have any more, with the record it had made. */
export type Lost = { readonly ref: RecordRef; readonly news: Signal; readonly record: StoredRecord }

/** What would be touched by a selector: live sessions and open exchanges. */
export type Reach = { readonly sessions: number; readonly exchanges: number }

/** A gateway, as the store knows it. `lost` and `doubted` may reject where the store fails them: they are called again before anything is confirmed. */
export interface Watcher {
  /** Applies one announcement, stamps in the same turn. The promise settles when it is enforced here. */
  heard(announcement: Announcement): Promise<Tally>
  /** The store lost these; they are said again under their own operations, after what is owed; also called with none, at each new connection. `replaced`: it is another data set altogether. Nothing is confirmed before it settles. */
  lost(news: readonly Lost[], replaced: boolean): Promise<void>
  /** What is known of these records may be wrong, or merely old (`missed`: announcements were missed, versions still compare). Nothing is confirmed before it settles. */
  doubted(refs: readonly RecordRef[] | 'all' | 'missed'): Promise<void>
  /** `confirmedUntil` came back from the past, or fell into it. */
  confirmed(): void
  reach(selector: Selector): Reach
}

export type Enforcement = {
  /** `expired` did not answer and can no longer act on anything older: its lease has run out. */
  readonly gateways: { readonly total: number; readonly acknowledged: number; readonly expired: number }
  readonly exchanges: Tally
  /** Gateways that could not say what they cut. */
  readonly exchangesUnknown: number
}

/** Facts on their way to the trail file, in the order of their commits. */
export type Outgoing = { readonly position: Position; readonly ref: RecordRef; readonly fact: Fact; /** Index of the fact within its commit. */ readonly part: number }

export type Survey = Reach & { readonly gateways: { readonly total: number; readonly answered: number } }

/** So much of a counter, under a request id: the same request gets the same answer, less what it gave back, and one that got nothing asks anew; what may be forgotten already gives nothing. The request is known for an hour, or until `forgetAt`. */
export type Taking = { readonly counter: string; readonly request: string; readonly amount: number; /** Of the counter, ever. */ readonly limit: number; readonly forgetAt: Instant }
/** A share of a rate per gateway: the sum of the shares that hold never exceeds the limit. */
export type Sharing = { readonly bucket: string; readonly wanted: number; readonly limit: number; readonly for: Duration }

/** What this gateway knows of something that all gateways add to. `text` empty only asks. At most 16 KiB of text, kept until `forgetAt`. */
export type Part = { readonly name: string; readonly text: string; readonly forgetAt: Instant }

export type Page = { readonly records: readonly StoredRecord[]; /** Where to go on; null at the end. */ readonly next: string | null }

/** Something that somebody waits for, until it is acknowledged. At most 64 KiB of text. */
export type Item = { readonly id: string; readonly text: string; readonly forgetAt: Instant }
/** The oldest of a queue, in their order; `length` is of all of it. */
export type Waiting = { readonly items: readonly Item[]; readonly length: number }

export interface SessionStore {
  /** Changes whenever the store may have forgotten something of the part this record lies in. */
  epochOf(ref: RecordRef): string
  load(ref: RecordRef): Promise<StoredRecord | null>
  commit(commit: Commit): Promise<CommitAnswer>
  /** Like `commit`, for news that only takes away: works when memory is full, and is on stable storage before it resolves. */
  commitRestrictive(commit: Commit): Promise<CommitAnswer>
  /** The mirror's ear. One watcher; announcements reach it in the same turn in which the commit was made where the store is local. */
  subscribe(watcher: Watcher): void
  /** On the clock's `elapsed` scale: until when everything announced is provably known here. Infinity for a local store, -Infinity where nothing was ever proven. */
  confirmedUntil(): number
  /** Settles when every gateway has enforced the position, or can no longer act on anything older. */
  enforced(position: Position): Promise<Enforcement>
  /** References of live sessions under a selector, at most `limit`. */
  find(selector: Selector, limit: number): Promise<readonly RecordRef[]>
  /** References of sessions tied to an anchor, at most `limit`. */
  tiedTo(anchor: RecordRef, limit: number): Promise<readonly RecordRef[]>
  /** Records of a kind in no promised order, about `limit` at a time; those there all along come at least once. `cursor` is empty at first, then what the page said. */
  list(kind: RecordRef['kind'], cursor: string, limit: number): Promise<Page>
  /** Those of these records that are not at that version any more. Versions compare within an epoch only. */
  changed(known: readonly { readonly ref: RecordRef; readonly version: number }[]): Promise<readonly RecordRef[]>
  /** What a selector would touch now, on every gateway that answers within half a second. */
  survey(selector: Selector): Promise<Survey>
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
  /** Keeps it unless something is kept under the name already; returns what is kept then. */
  keepFirst(name: string, value: string): Promise<string>
  kept(name: string): Promise<string | null>
  /** How much of what was asked for was given, 0 to `amount`; the sum of everything given never exceeds `limit`. */
  take(taking: Taking): Promise<number>
  /** Gives back what was taken under a request and not used, at most what it got; once per request. */
  give(counter: string, request: string, amount: number): Promise<void>
  /** Says again what was taken under its request id, to a store that may have lost it. */
  takeAgain(taking: Taking): Promise<void>
  /** How much of a counter is taken now. Decides nothing: only `take` does. */
  taken(counter: string): Promise<number>
  /** This gateway's share until `for` from now, 0 to `wanted`. */
  share(sharing: Sharing): Promise<number>
  /** Marks something that may be seen once, until `forgetAt`. What was issued before the store may have lost marks, or may be forgotten already, counts as seen. */
  mark(digest: string, issuedAt: Instant, forgetAt: Instant): Promise<'first' | 'again'>
  /** Puts this gateway's part in the place of its earlier one and gives every part kept under the name, its own among them, in no promised order; for each of `parts` (≤ 64), in their order. Lost without harm: each says its own again. At most 64 are kept under a name; those that run out first make way. @throws RangeError */
  pool(parts: readonly Part[]): Promise<readonly (readonly string[])[]>
  /** Puts it behind what is queued under the name; one of an id that is queued, or was within a day, is not put again. `full`: `limit` wait already, and it was not taken. Decides nothing. @throws RangeError */
  enqueue(name: string, item: Item, limit: number): Promise<'queued' | 'again' | 'full'>
  /** At most `limit` (≤ 1,000) behind the first `skip` (0 unless told otherwise), and no more than 1 MiB of text but for the first; they stay. What is past its time is given to nobody. @throws RangeError */
  waiting(name: string, limit: number, skip?: number): Promise<Waiting>
  /** They are done with. At most 1,000. @throws RangeError */
  dequeue(name: string, ids: readonly string[]): Promise<void>
  close(): Promise<void>
}
