// The store of a single gateway: one SQLite file, or memory. One transaction is record, index, ties, facts and operation together; it is announced in the
// turn in which it was made. Knows versions, epochs, positions and idempotency, never what a freeze is. SPEC: STO1-STO13
import type { Selector } from '../core/anchor.ts'
import type { RecordRef, StoredRecord } from '../core/record.ts'
import { duration, type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { Announcer } from './embedded/announcer.ts'
import { type BudgetLimits, Budgets, wholeShare } from './embedded/budgets.ts'
import { DurableLog } from './embedded/durable-log.ts'
import { closeFile, MEMORY, type OpenedFile, openFile } from './embedded/schema.ts'
import { faultOf } from './embedded/sqlite-fault.ts'
import { Pooled } from './embedded/pooled.ts'
import { Queues } from './embedded/queues.ts'
import { Statements } from './embedded/statements.ts'
import { FORGOTTEN_PER_COMMIT, Tables, textOf, type Writing } from './embedded/tables.ts'
import type { Ahead, Commit, CommitAnswer, Enforcement, Item, Outgoing, Page, Part, Position, SessionStore, Sharing, Survey, Taking, Waiting, Watcher } from './store.ts'
import { assertParts } from './parts.ts'
import { StoreFault, StoreFull } from './store-fault.ts'

/** `file` is a path or `:memory:`; memory forgets everything and needs `ephemeral`. */
type EmbeddedOptions = { readonly file: string; readonly clock: Clock; readonly ephemeral: boolean }
/** `outbox` counts facts not yet drained, `operations` those remembered, `kept` named values, `parts` those of all names that are pooled. */
type EmbeddedLimits = BudgetLimits & { readonly outbox: number; readonly operations: number; readonly kept: number; readonly parts: number }

export const EMBEDDED_LIMITS: EmbeddedLimits = { outbox: 1_000_000, operations: 2_000_000, kept: 1_000, takings: 1_000_000, marks: 1_000_000, parts: 100_000 }
/** How long an operation is known to have been done. */
export const OPERATION_MEMORY = duration(15 * 60_000)
/** Records, and of each kind of budget and parts, forgotten by one call of `prune`. */
const PRUNED_AT_ONCE = 500

function assertLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`a limit is a whole number from 1, not ${limit}`)
}

export class EmbeddedStore implements SessionStore {
  /** When this data set came to be; losing the file makes a new one. */
  readonly born: Instant
  /** Was it this opening that created it? */
  readonly isNew: boolean
  readonly #opened: OpenedFile
  readonly #statements: Statements
  readonly #tables: Tables
  readonly #budgets: Budgets
  readonly #pooled: Pooled
  readonly #queues: Queues
  readonly #clock: Clock
  readonly #limits: EmbeddedLimits
  readonly #announcer: Announcer
  readonly #log: DurableLog
  #outgoing: number
  #operations: number
  #closing: Promise<void> | null = null

  constructor(opened: OpenedFile, clock: Clock, limits: EmbeddedLimits) {
    this.born = opened.born
    this.isNew = opened.isNew
    this.#opened = opened
    this.#statements = new Statements(opened.db)
    this.#tables = new Tables(this.#statements)
    this.#budgets = new Budgets(this.#statements, limits)
    this.#pooled = new Pooled(this.#statements, opened.epoch, limits.parts)
    this.#queues = new Queues(this.#statements)
    this.#clock = clock
    this.#limits = limits
    this.#announcer = new Announcer(opened.epoch)
    this.#log = new DurableLog(opened.wal, opened.sequence)
    this.#outgoing = this.#tables.count('outbox')
    this.#operations = this.#tables.count('operations')
  }

  readonly gauges = null

  /** Facts not yet drained, for the metric beside its limit. */
  get undrained(): number { return this.#outgoing }

  /** One file is one part: whatever the record, everything may be forgotten at once. */
  epochOf(_ref: RecordRef): string { return this.#opened.epoch }

  async load(ref: RecordRef): Promise<StoredRecord | null> { return this.#ask('loading a record', tables => tables.record(ref)) }

  /** @throws StoreFull, StoreFault; TypeError for what is not JSON */
  async commit(commit: Commit): Promise<CommitAnswer> { return this.#commit(commit, false) }

  /** Enforced by its announcement at once; resolves when the disk has it. @throws StoreFault `not_durable` when it does not confirm, others when nothing was done */
  async commitRestrictive(commit: Commit): Promise<CommitAnswer> {
    const answer = this.#commit(commit, true)
    const position = answer.is === 'OK' || answer.is === 'DUP' ? answer.position : answer.is === 'CONFLICT' ? answer.ahead : null
    if (position !== null) await this.#log.durable(position.sequence)
    return answer
  }

  subscribe(watcher: Watcher): void { this.#announcer.subscribe(watcher) }
  confirmedUntil(): number { return Infinity }

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

  async list(kind: RecordRef['kind'], cursor: string, limit: number): Promise<Page> {
    assertLimit(limit)
    return this.#ask('listing records', tables => tables.list(kind, cursor, limit))
  }

  async changed(known: readonly { readonly ref: RecordRef; readonly version: number }[]): Promise<readonly RecordRef[]> {
    return this.#ask('comparing versions', tables => known.filter(({ ref, version }) => tables.version(ref) !== version).map(({ ref }) => ref))
  }

  async survey(selector: Selector): Promise<Survey> {
    this.#assertOpen()
    return this.#announcer.survey(selector)
  }

  async drain(limit: number): Promise<readonly Outgoing[]> {
    assertLimit(limit)
    return this.#ask('draining', tables => tables.outgoing(limit))
  }

  async drained({ epoch, sequence }: Position): Promise<void> {
    if (!epoch.startsWith(`${this.#opened.dataSet}.`)) throw new StoreFault('failed', `position ${epoch}:${sequence} is not of this data set`)
    this.#outgoing -= this.#change('trimming the outbox', tables => tables.forgetOutgoing(sequence))
  }

  async touch(seen: ReadonlyMap<string, Instant>): Promise<void> {
    this.#change('noting last-seen times', tables => {
      for (const [sessionKey, at] of seen) tables.see(sessionKey, at)
    })
  }

  async lastSeen(sessionKey: string): Promise<Instant | null> { return this.#ask('reading a last-seen time', tables => tables.seen(sessionKey)) }

  /** On stable storage when it resolves. */
  async keep(name: string, value: string): Promise<void> {
    this.#change('keeping a value', tables => tables.keep(name, value, this.#limits.kept))
    await this.#log.synced()
  }

  /** What it returns is on stable storage. */
  async keepFirst(name: string, value: string): Promise<string> {
    const kept = this.#change('keeping a value', tables => tables.kept(name) ?? tables.keep(name, value, this.#limits.kept))
    await this.#log.synced()
    return kept
  }

  async kept(name: string): Promise<string | null> { return this.#ask('reading a kept value', tables => tables.kept(name)) }

  /** What was given is on stable storage. @throws RangeError, StoreFull, StoreFault */
  async take(taking: Taking): Promise<number> {
    this.#log.assertSound()
    const given = this.#ask('taking from a counter', () => this.#budgets.take(taking, this.#clock.now()))
    if (given > 0) await this.#log.synced()
    return given
  }

  /** Not waited for: what is lost of it stays taken. @throws RangeError, StoreFault */
  async give(counter: string, request: string, amount: number): Promise<void> {
    this.#ask('giving back to a counter', () => { this.#budgets.give(counter, request, amount, this.#clock.now()) })
  }

  async takeAgain(taking: Taking): Promise<void> { await this.take(taking) }

  async taken(counter: string): Promise<number> { return this.#ask('reading a counter', () => this.#budgets.taken(counter, this.#clock.now())) }

  async share({ wanted, limit }: Sharing): Promise<number> {
    this.#assertOpen()
    return wholeShare(wanted, limit)
  }

  /** A first one is on stable storage. @throws StoreFull, StoreFault */
  async mark(digest: string, issuedAt: Instant, forgetAt: Instant): Promise<'first' | 'again'> {
    this.#log.assertSound()
    const seen = this.#ask('marking', () => (issuedAt < this.born ? 'again' : this.#budgets.mark(digest, forgetAt, this.#clock.now())))
    if (seen === 'first') await this.#log.synced()
    return seen
  }

  /** Not waited for: parts that are lost are said again. @throws RangeError, StoreFault */
  async pool(parts: readonly Part[]): Promise<readonly (readonly string[])[]> {
    assertParts(parts)
    return this.#ask('pooling', () => this.#pooled.pool(parts, this.#clock.now()))
  }

  /** Not waited for: what goes to the disk behind it, such as that the trail has a fact, is not there without it. @throws RangeError, StoreFault */
  async enqueue(name: string, item: Item, limit: number): Promise<'queued' | 'again' | 'full'> { return this.#ask('queueing', () => this.#queues.enqueue(name, item, limit, this.#clock.now())) }
  async waiting(name: string, limit: number, skip = 0): Promise<Waiting> { return this.#ask('reading a queue', () => this.#queues.waiting(name, limit, skip, this.#clock.now())) }
  async dequeue(name: string, ids: readonly string[]): Promise<void> { this.#ask('taking from a queue', () => { this.#queues.dequeue(name, ids, this.#clock.now()) }) }

  /** Forgets a batch of records, operations and budgets whose time has come. @returns how many records; fewer than PRUNED_AT_ONCE means none is left */
  async prune(now: Instant): Promise<number> {
    const forgotten = this.#change('forgetting records', tables => ({
      records: tables.forgetRecords(now, PRUNED_AT_ONCE, null),
      operations: tables.forgetOperations(instant(now - OPERATION_MEMORY), PRUNED_AT_ONCE),
    }))
    this.#operations -= forgotten.operations
    this.#ask('forgetting budgets', () => { this.#budgets.prune(now, PRUNED_AT_ONCE) })
    this.#ask('forgetting parts', () => { this.#pooled.prune(now, PRUNED_AT_ONCE) })
    this.#ask('forgetting what waits', () => { this.#queues.prune(now, PRUNED_AT_ONCE) })
    return forgotten.records
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #commit(commit: Commit, restrictive: boolean): CommitAnswer {
    const now = this.#clock.now()
    const refusal = this.#ask('comparing a commit', tables => this.#refusal(tables, commit, now))
    if (refusal?.is === 'CONFLICT' && commit.ahead !== null) return { ...refusal, ahead: this.#goAhead(`${commit.operation}#ahead`, commit.ahead, restrictive, now) }
    return refusal ?? { is: 'OK', position: this.#write(commit, restrictive, now) }
  }

  /** Once, and only on the version it was made for. */
  #goAhead(operation: string, ahead: Ahead, restrictive: boolean, now: Instant): Position | null {
    const holds = this.#ask('comparing a commit', tables => tables.version(ahead.ref) === ahead.expectedVersion && tables.operation(operation) === null)
    return holds ? this.#write({ ...ahead, operation, index: [], ties: [] }, restrictive, now) : null
  }

  #write(writing: Writing, restrictive: boolean, now: Instant): Position {
    if (!restrictive) this.#assertRoom(writing)
    const position: Position = { epoch: this.#opened.epoch, sequence: this.#log.written + 1 }
    const text = textOf(writing)
    const forgotten = this.#change('committing', tables => {
      tables.write(text, position, now)
      tables.forgetRecords(now, FORGOTTEN_PER_COMMIT, writing.ref)
      return tables.forgetOperations(instant(now - OPERATION_MEMORY), FORGOTTEN_PER_COMMIT)
    })
    this.#log.wrote(position.sequence)
    this.#outgoing += text.parts
    this.#operations += 1 - forgotten
    this.#announcer.announce({ position, ref: writing.ref, record: writing.record, facts: writing.facts })
    return position
  }

  /** Nothing can come between this and the write: both are in one turn, and the file has one owner. */
  #refusal(tables: Tables, { operation, ref, expectedVersion, expectedEpoch, due }: Commit, now: Instant): CommitAnswer | null {
    const done = tables.operation(operation)
    if (done !== null) return { is: 'DUP', position: done }
    if (expectedEpoch !== 'any' && expectedEpoch !== this.#opened.epoch) return { is: 'EPOCH', epoch: this.#opened.epoch }
    if (due !== null && now < due) return { is: 'EARLY', now }
    if (expectedVersion === 'any') return null
    return tables.version(ref) === expectedVersion ? null : { is: 'CONFLICT', record: tables.record(ref), ahead: null }
  }

  #assertRoom({ facts }: Writing): void {
    this.#log.assertSound()
    if (this.#outgoing + facts.length > this.#limits.outbox) throw new StoreFull(`${this.#outgoing} facts wait to be written to the trail; the limit is ${this.#limits.outbox}`)
    if (this.#operations >= this.#limits.operations) throw new StoreFull(`${this.#operations} operations are remembered; the limit is ${this.#limits.operations}`)
  }

  async #close(): Promise<void> {
    await this.#log.idle()
    try {
      this.#opened.db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      throw faultOf(error, 'closing the store')
    } finally {
      closeFile(this.#opened)
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
    return this.#ask(doing, tables => this.#statements.transaction(() => work(tables)))
  }
}

/** @throws StoreFault when the file is in use, damaged, foreign, of a newer release or not writable */
export function openEmbeddedStore({ file, clock, ephemeral }: EmbeddedOptions, limits: EmbeddedLimits = EMBEDDED_LIMITS): EmbeddedStore {
  if (file === MEMORY && !ephemeral) throw new StoreFault('unwritable', 'a store in memory forgets every revocation at the next start; it needs ephemeral: true')
  const opened = openFile(file, clock.now())
  try {
    return new EmbeddedStore(opened, clock, limits)
  } catch (error) {
    closeFile(opened)
    throw faultOf(error, `opening ${file}`)
  }
}
