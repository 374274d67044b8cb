// The code of the Close frame a caller is told an end with (RFC 6455 §7.4.1 and IANA). What lost its right is 1008. SPEC: WIRE18
import type { Reason } from '../../core/reason.ts'

export const UNSUPPORTED = 1003
export const TOO_BIG = 1009

/** What the upstream's frames get when the gateway gives it up. */
export const closeCodeUp = (reason: Reason): number => (reason === 'upstream_malformed' ? 1002 : 1001)

const CODES: ReadonlyMap<Reason, number> = new Map<Reason, number>([
  ['drained', 1012], ['draining', 1012], ['protocol_error', 1002], ['request_timeout', 1001], ['stale', 1013],
  ['internal_error', 1011], ['record_failed', 1011], ['store_failed', 1011], ['store_forged', 1011],
])

export const closeCode = (reason: Reason): number => (reason.startsWith('upstream_') ? 1014 : (CODES.get(reason) ?? 1008))
