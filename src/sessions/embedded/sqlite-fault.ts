// Names what SQLite and the file system report, so that an operator reads what to do and not a number. Reports only, never retries.
// SPEC: STO11
import { StoreFault, type StoreFaultCode } from '../store-fault.ts'

/** Primary result codes, https://sqlite.org/rescode.html */
const BY_RESULT: ReadonlyMap<number, readonly [StoreFaultCode, string]> = new Map([
  [5, ['in_use', 'the store file is in use by another process']],
  [6, ['in_use', 'the store file is in use']],
  [8, ['unwritable', 'the store file cannot be written']],
  [11, ['corrupt', 'the store file is damaged']],
  [13, ['disk_full', 'the disk of the store file is full']],
  [14, ['unwritable', 'the store file cannot be opened or created']],
  [26, ['corrupt', 'the store file is not a database']],
])

const numberOf = (error: object, field: string): number | null => {
  const value: unknown = Reflect.get(error, field)
  return typeof value === 'number' ? value : null
}

/** @param doing what was tried, for the message: `opening /var/lib/narrowgate.db` */
export function faultOf(error: unknown, doing: string): Error {
  if (error instanceof StoreFault) return error
  if (!(error instanceof Error)) return new StoreFault('failed', `${doing} failed`, error)
  const result = numberOf(error, 'errcode')
  if (result !== null) {
    const [code, says] = BY_RESULT.get(result & 0xff) ?? ['failed', 'the store failed'] as const // the low byte is the primary code
    return new StoreFault(code, `${says} (${doing}: ${error.message})`, error)
  }
  if (numberOf(error, 'errno') !== null) return new StoreFault('unwritable', `the store file cannot be used (${doing}: ${error.message})`, error)
  return error
}
