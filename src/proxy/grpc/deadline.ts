// The deadline of a gRPC call: lowered where its right ends before it for good, so that the upstream gives up in time; else as the caller set it.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md (Timeout). SPEC: WIRE17, RULES 37
import { after, type Instant } from '../../core/time.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import type { Arrival } from '../arrival.ts'
import { onlyValue } from '../http/head.ts'
import { isGrpc } from './content-type.ts'

const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const MILLISECONDS: { readonly [unit: string]: number } = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 }
const LARGEST = 99_999_999

/** Only HTTP/2 carries one. */
export const isCall = ({ protocol, headers }: Pick<Arrival, 'protocol' | 'headers'>): boolean => protocol === 'http2' && isGrpc(onlyValue(headers, 'content-type') || '')

/** In milliseconds; null where it is none. */
function timeoutOf(value: string): number | null {
  const [, digits = '', unit = ''] = TIMEOUT.exec(value) ?? []
  return unit === '' ? null : Number(digits) * (MILLISECONDS[unit] ?? 0)
}

function timeoutText(milliseconds: number): string {
  const whole = Math.max(0, Math.ceil(milliseconds))
  return whole <= LARGEST ? `${whole}m` : `${Math.min(LARGEST, Math.ceil(whole / 1_000))}S`
}

/** The headers with the lower one of the caller's deadline and `left` milliseconds. Names and values in turn. */
export function withDeadline(headers: readonly string[], left: number): readonly string[] {
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'grpc-timeout')
  if (at === -1) return Number.isFinite(left) ? [...headers, 'grpc-timeout', timeoutText(left)] : headers
  const wanted = timeoutOf(headers[at + 1] ?? '')
  if (wanted !== null && wanted <= left) return headers
  return headers.with(at + 1, timeoutText(left))
}

/** Milliseconds until the right behind a call ends for good; Infinity where it may still be extended or renewed, and the gate will end it. */
export function finallyLeft({ permit: { grant, until }, live }: Exchange, now: Instant): number {
  const ofSession = live !== null && live.record.endsAt <= until
  const ofElevation = grant.is === 'elevation' && grant.elevation.state.is === 'active' && grant.elevation.state.until <= until && grant.elevation.state.until >= after(grant.elevation.state.since, grant.elevation.max)
  return ofSession || ofElevation ? Math.max(0, until - now) : Infinity
}
