// The store of a single gateway: one SQLite file, or memory. One transaction is record, index, ties, facts and operation together; it is announced in the
// turn in which it was made. Knows versions, epochs, positions and idempotency, never what a freeze is. SPEC: STO1-STO11
import { closeSync, fdatasync } from 'node:fs'
import { promisify } from 'node:util'
import type { DatabaseSync } from 'node:sqlite'
import type { Selector } from '../core/anchor.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import { duration, type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { Announcer } from './embedded/announcer.ts'
import { MEMORY, type OpenedFile, openFile } from './embedded/schema.ts'
import { SharedSync } from './embedded/shared-sync.ts'
import { faultOf } from './embedded/sqlite-fault.ts'
import { FORGOTTEN_PER_COMMIT, Tables, type Written } from './embedded/tables.ts'
import type { Commit, CommitAnswer, Enforcement, Outgoing, Position, SessionStore, Watcher } from './store.ts'
import { StoreFault, StoreFull } from './store-fault.ts'

/** `file` is a path or `:memory:`; memory forgets everything and needs `ephemeral`. */
type EmbeddedOptions = { readonly file: string; readonly clock: Clock; readonly ephemeral: boolean }
/** `outbox` counts facts not yet drained, `operations` those remembered, `kept` named values. */
type EmbeddedLimits = { readonly outbox: number; readonly operations: number; readonly kept: number }

export const EMBEDDED_LIMITS: EmbeddedLimits = { outbox: 1_000_000, operations: 2_000_000, kept: 1_000 }
/** How long an operation is known to have been done. */
export const OPERATION_MEMORY = duration(15 * 60_000)
/** Records forgotten by one call of `prune`. */
const PRUNED_AT_ONCE = 500

const written = ({ ref, operation, record, facts, index, ties, forgetAt }: Commit): Written => ({
  ref, operation, version: record.version, body: JSON.stringify(record), facts: JSON.stringify(facts), parts: facts.length,
  index, found: JSON.stringify(index), tied: ties, ties: JSON.stringify(ties), forgetAt,
})

function assertLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`a limit is a whole number from 1, not ${limit}`)
}

export class EmbeddedStore implements SessionStore {
  readonly epoch: string
  /** When this data set came to be; losing the file makes a new one. */
  readonly born: Instant
  /** Was it this opening that created it? */
  readonly isNew: boolean
  readonly #db: DatabaseSync
  readonly #wal: number | null
  readonly #dataSet: string
  readonly #tables: Tables
  readonly #clock: Clock
  readonly #limits: EmbeddedLimits
  readonly #announcer: Announcer
  readonly #sync: SharedSync
  #sequence: number
  #durable: number
  #outgoing: number
  #operations: number
  #closing: Promise<void> | null = null

  constructor(opened: OpenedFile, clock: Clock, limits: EmbeddedLimits) {
    this.epoch = opened.epoch
    this.born = opened.born
    this.isNew = opened.isNew
    this.#db = opened.db
    this.#wal = opened.wal
    this.#dataSet = opened.dataSet
    this.#tables = new Tables(opened.db)
    this.#clock = clock
    this.#limits = limits
    this.#announcer = new Announcer(opened.epoch)
    this.#sync = new SharedSync(() => this.#flush())
    this.#sequence = opened.sequence
    this.#durable = opened.sequence
    this.#outgoing = this.#tables.count('outbox')
    this.#operations = this.#tables.count('operations')
  }

  /** Facts not yet drained, for the metric beside its limit. */
  get undrained(): number {
    return this.#outgoing
  }

  async load(ref: RecordRef): Promise<StoredRecord | null> {
    return this.#ask('loading a record', tables => tables.record(ref))
  }

  /** @throws StoreFull, StoreFault; TypeError for what is not JSON */
  async commit(commit: Commit): Promise<CommitAnswer> {
    return this.#commit(commit, false)
  }

  /** Enforced by its announcement at once; resolves when the disk has it. @throws StoreFault `not_durable` when it does not confirm, others when nothing was done */
  async commitRestrictive(commit: Commit): Promise<CommitAnswer> {
    const answer = this.#commit(commit, true)
    if (answer.is === 'OK' || answer.is === 'DUP') await this.#settled(answer.position.sequence)
    return answer
  }

  subscribe(watcher: Watcher): void {
    this.#announcer.subscribe(watcher)
  }

  confirmedUntil(): number {
    return Infinity
  }

  async enforced(position: Position): Promise<Enforcement> {
    this.#assertOpen()
    return this.#announcer.enforced(position)
  }

  async find(selector: Selector, limit: number): Promise<readonly RecordRef[]> {
    assertLimit(limit)
    return this.#ask('finding records', tables => tables.find(selector, limit))
  }

  async tiedTo(anchor: RecordRef, limit: number): Promise<readonly RecordRef[]> {
    assertLimit(limit)
    return this.#ask('finding what is tied', tables => tables.tiedTo(anchor, limit))
  }

  async list(kind: RecordRef['kind'], from: string, limit: number): Promise<readonly StoredRecord[]> {
    assertLimit(limit)
    return this.#ask('listing records', tables => tables.list(kind, from, limit))
  }

  async drain(limit: number): Promise<readonly Outgoing[]> {
    assertLimit(limit)
    return this.#ask('draining', tables => tables.outgoing(limit))
  }

  async drained({ epoch, sequence }: Position): Promise<void> {
    if (!epoch.startsWith(`${this.#dataSet}.`)) throw new StoreFault('failed', `position ${epoch}:${sequence} is not of this data set`)
    this.#outgoing -= this.#change('trimming the outbox', tables => tables.forgetOutgoing(sequence))
  }

  async touch(seen: ReadonlyMap<string, Instant>): Promise<void> {
    this.#change('noting last-seen times', tables => {
      for (const [sessionKey, at] of seen) tables.see(sessionKey, at)
    })
  }

  async lastSeen(sessionKey: string): Promise<Instant | null> {
    return this.#ask('reading a last-seen time', tables => tables.seen(sessionKey))
  }

  /** On stable storage when it resolves. */
  async keep(name: string, value: string): Promise<void> {
    this.#change('keeping a value', tables => {
      if (tables.kept(name) === null && tables.count('kept') >= this.#limits.kept) throw new StoreFull(`the store keeps at most ${this.#limits.kept} named values`)
      tables.keep(name, value)
    })
    if (this.#wal !== null) await this.#sync.synced()
  }

  async kept(name: string): Promise<string | null> {
    return this.#ask('reading a kept value', tables => tables.kept(name))
  }

  /** Forgets a batch of records and operations whose time has come. @returns how many records; fewer than PRUNED_AT_ONCE means none is left */
  async prune(now: Instant): Promise<number> {
    const forgotten = this.#change('forgetting records', tables => ({
      records: tables.forgetRecords(now, PRUNED_AT_ONCE, null),
      operations: tables.forgetOperations(instant(now - OPERATION_MEMORY), PRUNED_AT_ONCE),
    }))
    this.#operations -= forgotten.operations
    return forgotten.records
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #commit(commit: Commit, restrictive: boolean): CommitAnswer {
    const now = this.#clock.now()
    const refusal = this.#ask('comparing a commit', tables => this.#refusal(tables, commit, now))
    if (refusal !== null) return refusal
    if (!restrictive) this.#assertRoom(commit)
    const position: Position = { epoch: this.epoch, sequence: this.#sequence + 1 }
    const text = written(commit)
    const forgotten = this.#change('committing', tables => {
      tables.write(text, position, now)
      tables.forgetRecords(now, FORGOTTEN_PER_COMMIT, commit.ref)
      return tables.forgetOperations(instant(now - OPERATION_MEMORY), FORGOTTEN_PER_COMMIT)
    })
    this.#sequence = position.sequence
    this.#outgoing += text.parts
    this.#operations += 1 - forgotten
    this.#announcer.announce({ position, ref: commit.ref, record: commit.record, facts: commit.facts })
    return { is: 'OK', position }
  }

  /** Nothing can come between this and the write: both are in one turn, and the file has one owner. */
  #refusal(tables: Tables, { operation, ref, expectedVersion, expectedEpoch, due }: Commit, now: Instant): CommitAnswer | null {
    const done = tables.operation(operation)
    if (done !== null) return { is: 'DUP', position: done }
    if (expectedEpoch !== 'any' && expectedEpoch !== this.epoch) return { is: 'EPOCH', epoch: this.epoch }
    if (due !== null && now < due) return { is: 'EARLY', now }
    if (expectedVersion === 'any') return null
    return tables.version(ref) === expectedVersion ? null : { is: 'CONFLICT', record: tables.record(ref) }
  }

  #assertRoom({ facts }: Commit): void {
    if (this.#sync.failure !== null) throw this.#sync.failure
    if (this.#outgoing + facts.length > this.#limits.outbox) throw new StoreFull(`${this.#outgoing} facts wait to be written to the trail; the limit is ${this.#limits.outbox}`)
    if (this.#operations >= this.#limits.operations) throw new StoreFull(`${this.#operations} operations are remembered; the limit is ${this.#limits.operations}`)
  }

  async #settled(sequence: number): Promise<void> {
    if (this.#wal !== null && sequence > this.#durable) await this.#sync.synced()
  }

  /**
   * Under `synchronous = NORMAL` a commit has written its frames to the log, in order, when it returns; recovery replays the log up to the first frame that
   * is missing. So once the log file is flushed, every commit made before the flush began survives. A checkpoint in between does no harm: SQLite flushes the
   * log, copies it into the database, flushes that, and only then starts the log anew, so that at each moment one of the two flushed files has the commit.
   * The descriptor stays right: the log is rewound or truncated while it is open, never replaced.
   */
  async #flush(): Promise<void> {
    if (this.#wal === null) return
    const upTo = this.#sequence
    await promisify(fdatasync)(this.#wal)
    this.#durable = Math.max(this.#durable, upTo)
  }

  async #close(): Promise<void> {
    await this.#sync.idle()
    try {
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      throw faultOf(error, 'closing the store')
    } finally {
      if (this.#wal !== null) closeSync(this.#wal)
      this.#db.close()
    }
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new StoreFault('closed', 'the store is closed')
  }

  #ask<T>(doing: string, question: (tables: Tables) => T): T {
    this.#assertOpen()
    try {
      return question(this.#tables)
    } catch (error) {
      throw faultOf(error, doing)
    }
  }

  #change<T>(doing: string, work: (tables: Tables) => T): T {
    return this.#ask(doing, tables => tables.transaction(() => work(tables)))
  }
}

/** @throws StoreFault when the file is in use, damaged, foreign, of a newer release or not writable */
export function openEmbeddedStore({ file, clock, ephemeral }: EmbeddedOptions, limits: EmbeddedLimits = EMBEDDED_LIMITS): EmbeddedStore {
  if (file === MEMORY && !ephemeral) throw new StoreFault('unwritable', 'a store in memory forgets every revocation at the next start; it needs ephemeral: true')
  const opened = openFile(file, clock.now())
  try {
    return new EmbeddedStore(opened, clock, limits)
  } catch (error) {
    if (opened.wal !== null) closeSync(opened.wal)
    opened.db.close()
    throw faultOf(error, `opening ${file}`)
  }
}
