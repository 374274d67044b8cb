// The tables of records and what belongs to them, and rows read back as what they hold. Knows tables, never what a commit means.
// SPEC: STO1, STO3, STO8, STO9, STO10
import type { Selector } from '../../core/anchor.ts'
import type { Fact } from '../../core/fact.ts'
import type { RecordRef, StoredRecord } from '../../core/record.ts'
import { type Instant, instant } from '../../core/time.ts'
import type { Commit, Outgoing, Page, Position } from '../store.ts'
import { StoreFull } from '../store-fault.ts'
import type { Columns } from './row.ts'
import type { Statements } from './statements.ts'
import { inPresentForm } from '../present-form.ts'

/** Rows taken along by one commit when operations and records are forgotten. */
export const FORGOTTEN_PER_COMMIT = 16

/** What is written of a commit. */
export type Writing = Pick<Commit, 'operation' | 'ref' | 'record' | 'facts' | 'index' | 'ties' | 'forgetAt'>

type Written = {
  readonly ref: RecordRef
  readonly operation: string
  readonly version: number
  readonly body: string
  readonly facts: string
  readonly parts: number
  readonly index: readonly Selector[]
  readonly found: string
  readonly tied: readonly RecordRef[]
  readonly ties: string
  readonly forgetAt: Instant | null
}

/** Made before anything is touched: what cannot be written as JSON fails here. */
export const textOf = ({ ref, operation, record, facts, index, ties, forgetAt }: Writing): Written => ({
  ref, operation, version: record.version, body: JSON.stringify(record), facts: JSON.stringify(facts), parts: facts.length,
  index, found: JSON.stringify(index), tied: ties, ties: JSON.stringify(ties), forgetAt,
})

// Each cast names what `write` put into that column, and nothing else writes it.
const refOf = (row: Columns): RecordRef => ({ kind: row.text('kind') as RecordRef['kind'], name: row.text('name') })
const recordIn = (row: Columns): StoredRecord => inPresentForm(row.json('body') as StoredRecord)
const factsIn = (row: Columns): readonly Fact[] => row.json('facts') as readonly Fact[]

export class Tables {
  readonly #statements: Statements

  constructor(statements: Statements) {
    this.#statements = statements
  }

  record({ kind, name }: RecordRef): StoredRecord | null {
    const row = this.#statements.get('SELECT body FROM records WHERE kind = ? AND name = ?', kind, name)
    return row && recordIn(row)
  }

  /** 0 for absent. */
  version({ kind, name }: RecordRef): number {
    return this.#statements.get('SELECT version FROM records WHERE kind = ? AND name = ?', kind, name)?.integer('version') ?? 0
  }

  operation(operation: string): Position | null {
    const row = this.#statements.get('SELECT epoch, sequence FROM operations WHERE operation = ?', operation)
    return row && { epoch: row.text('epoch'), sequence: row.integer('sequence') }
  }

  write(written: Written, { epoch, sequence }: Position, now: Instant): void {
    this.#writeRecord(written)
    const { operation, ref, parts, facts } = written
    this.#statements.run('INSERT INTO operations VALUES (?, ?, ?, ?)', sequence, operation, epoch, now)
    if (parts > 0) this.#statements.run('INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)', sequence, epoch, ref.kind, ref.name, parts, facts)
    this.#statements.run('UPDATE dataset SET sequence = ?', sequence)
  }

  #writeRecord({ ref: { kind, name }, version, body, index, found, tied, ties, forgetAt }: Written): void {
    const before = this.#statements.get('SELECT id, found, ties FROM records WHERE kind = ? AND name = ?', kind, name)
    const row = this.#statements.get(
      'INSERT INTO records (kind, name, version, body, found, ties, forget_at) VALUES (?, ?, ?, ?, ?, ?, ?) ' +
      'ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body, found = excluded.found, ties = excluded.ties, forget_at = excluded.forget_at RETURNING id',
      kind, name, version, body, found, ties, forgetAt,
    )
    const id = row?.integer('id') ?? 0 // an upsert always returns its row
    if (before?.text('found') !== found) {
      this.#statements.run('DELETE FROM found WHERE record = ?', id)
      for (const selector of index) this.#statements.run('INSERT OR IGNORE INTO found VALUES (?, ?, ?)', selector.kind, selector.value, id)
    }
    if (before?.text('ties') !== ties) {
      this.#statements.run('DELETE FROM ties WHERE record = ?', id)
      for (const anchor of tied) this.#statements.run('INSERT OR IGNORE INTO ties VALUES (?, ?, ?)', anchor.kind, anchor.name, id)
    }
  }

  /** Looks at the oldest `limit` only. @returns how many operations were forgotten */
  forgetOperations(before: Instant, limit: number): number {
    return this.#statements.run('DELETE FROM operations WHERE at < ? AND sequence < (SELECT min(sequence) FROM operations) + ?', before, limit)
  }

  /** Forgets at most `limit` records whose time has come, except the one just written. @returns how many */
  forgetRecords(now: Instant, limit: number, spared: RecordRef | null): number {
    const rows = this.#statements.all(
      'SELECT id FROM records WHERE forget_at IS NOT NULL AND forget_at <= ? AND NOT (kind = ? AND name = ?) ORDER BY forget_at LIMIT ?',
      now, spared?.kind ?? '', spared?.name ?? '', limit,
    )
    for (const row of rows) {
      const id = row.integer('id')
      for (const table of ['found', 'ties', 'seen']) this.#statements.run(`DELETE FROM ${table} WHERE record = ?`, id)
      this.#statements.run('DELETE FROM records WHERE id = ?', id)
    }
    return rows.length
  }

  find({ kind, value }: Selector, limit: number): readonly RecordRef[] {
    return this.#statements.all('SELECT r.kind, r.name FROM found f JOIN records r ON r.id = f.record WHERE f.kind = ? AND f.value = ? ORDER BY f.record LIMIT ?', kind, value, limit).map(refOf)
  }

  tiedTo({ kind, name }: RecordRef, limit: number): readonly RecordRef[] {
    return this.#statements.all('SELECT r.kind, r.name FROM ties t JOIN records r ON r.id = t.record WHERE t.kind = ? AND t.name = ? ORDER BY t.record LIMIT ?', kind, name, limit).map(refOf)
  }

  /** The cursor is the last name of the page before. */
  list(kind: RecordRef['kind'], cursor: string, limit: number): Page {
    const rows = this.#statements.all('SELECT name, body FROM records WHERE kind = ? AND name > ? ORDER BY name LIMIT ?', kind, cursor, limit)
    return { records: rows.map(recordIn), next: rows.length < limit ? null : (rows.at(-1)?.text('name') ?? null) }
  }

  /** Whole commits only, at least one: a position stands for all facts of its commit. */
  outgoing(limit: number): readonly Outgoing[] {
    const outgoing: Outgoing[] = []
    for (const row of this.#statements.all('SELECT * FROM outbox ORDER BY sequence LIMIT ?', limit)) {
      if (outgoing.length > 0 && outgoing.length + row.integer('parts') > limit) break
      const position = { epoch: row.text('epoch'), sequence: row.integer('sequence') }
      const ref = refOf(row)
      outgoing.push(...factsIn(row).map((fact, part) => ({ position, ref, fact, part })))
    }
    return outgoing
  }

  /** @returns how many facts were forgotten */
  forgetOutgoing(upTo: number): number {
    const parts = this.#statements.get('SELECT coalesce(sum(parts), 0) AS parts FROM outbox WHERE sequence <= ?', upTo)?.integer('parts') ?? 0
    this.#statements.run('DELETE FROM outbox WHERE sequence <= ?', upTo)
    return parts
  }

  /** Keeps the later of what is known and what is new; sessions without a record have nothing to be merged into. */
  see(sessionKey: string, at: Instant): void {
    this.#statements.run("INSERT INTO seen SELECT id, ? FROM records WHERE kind = 'session' AND name = ? ON CONFLICT DO UPDATE SET at = max(at, excluded.at)", at, sessionKey)
  }

  seen(sessionKey: string): Instant | null {
    const row = this.#statements.get("SELECT s.at FROM seen s JOIN records r ON r.id = s.record WHERE r.kind = 'session' AND r.name = ?", sessionKey)
    return row && instant(row.integer('at'))
  }

  /** @param most named values there may be. @throws StoreFull */
  keep(name: string, value: string, most: number): string {
    if (this.kept(name) === null && this.count('kept') >= most) throw new StoreFull(`the store keeps at most ${most} named values`)
    this.#statements.run('INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', name, value)
    return value
  }

  kept(name: string): string | null {
    return this.#statements.get('SELECT value FROM kept WHERE name = ?', name)?.text('value') ?? null
  }

  count(what: 'outbox' | 'operations' | 'kept'): number {
    const sql = what === 'outbox' ? 'SELECT coalesce(sum(parts), 0) AS n FROM outbox' : `SELECT count(*) AS n FROM ${what}`
    return this.#statements.get(sql)?.integer('n') ?? 0
  }
}
