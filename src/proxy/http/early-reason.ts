// Why a request is refused before anybody asks where it goes. SPEC: WIRE3, WIRE22
import type { Reason } from '../../core/reason.ts'
import { isTooEarly } from './early-data.ts'
import type { Head } from './head.ts'
import { forwardsLeft } from './max-forwards.ts'
import { loops, type Via } from './via.ts'

export function earlyReason(via: Via, { via: passed, earlyData, maxForwards, upgrade, contentLength }: Head, method: string): Reason | null {
  if (loops(via, passed)) return 'loop_detected'
  if (isTooEarly(earlyData, method, upgrade !== null)) return 'too_early'
  return forwardsLeft(method, maxForwards) === 'malformed' || (upgrade !== null && contentLength !== 0 && contentLength !== null) ? 'bad_request' : null
}
