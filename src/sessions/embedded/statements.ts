// The statements of one database, prepared at their first use, and transactions. Knows no table. SPEC: STO1
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { columnsOf, type Columns, type Row } from './row.ts'

type Value = string | number | null

export class Statements {
  readonly #db: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** All of `work` or nothing of it. */
  transaction<T>(work: () => T): T {
    this.run('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.run('COMMIT')
      return result
    } catch (error) {
      if (this.#db.isTransaction) this.run('ROLLBACK')
      throw error
    }
  }

  /** @returns how many rows it changed */
  run(sql: string, ...values: readonly Value[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  get(sql: string, ...values: readonly Value[]): Columns | null {
    const row: Row | undefined = this.#statement(sql).get(...values)
    return row === undefined ? null : columnsOf(row)
  }

  all(sql: string, ...values: readonly Value[]): readonly Columns[] {
    return this.#statement(sql).all(...values).map(columnsOf)
  }

  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    this.#prepared.set(sql, statement) // one per text in this folder
    return statement
  }
}
