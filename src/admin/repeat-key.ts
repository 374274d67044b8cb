// The `Idempotency-Key` of a request: one line, or none. SPEC: ADM23, ELV17
import { REPEAT_KEY } from '../approvals/repeat.ts'
import { AdminFault } from './fault.ts'

/** @param lines of the header. @throws AdminFault */
export function repeatKeyOf(lines: readonly string[]): string | null {
  const [key, second] = lines
  if (key === undefined) return null
  if (second !== undefined || !REPEAT_KEY.test(key)) throw new AdminFault('bad_request', '`Idempotency-Key` is one line of at most 255 visible characters')
  return key
}
