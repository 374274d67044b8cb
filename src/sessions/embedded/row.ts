// Reads columns of a row as what the schema says they are. A column of another type means a damaged file, never a guess. SPEC: STO11
import type { SQLOutputValue } from 'node:sqlite'
import { StoreFault } from '../store-fault.ts'

export type Row = { readonly [column: string]: SQLOutputValue }
export type Columns = { readonly text: (column: string) => string; readonly integer: (column: string) => number; readonly json: (column: string) => unknown }

export function columnsOf(row: Row): Columns {
  const wrong = (column: string): StoreFault => new StoreFault('corrupt', `the store file is damaged: column ${column} is not what it should be`)
  return {
    text(column) {
      const value = row[column]
      if (typeof value !== 'string') throw wrong(column)
      return value
    },
    integer(column) {
      const value = row[column]
      if (typeof value !== 'number') throw wrong(column)
      return value
    },
    json(column) {
      try {
        return JSON.parse(this.text(column)) as unknown // whatever the type: the caller knows what was written there
      } catch {
        throw wrong(column)
      }
    },
  }
}
