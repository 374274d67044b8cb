// The methods there are, and which of them a rule must name. What is not in the registry is not forwarded, whatever a rule says. SPEC: WIRE19
import type { Reason } from './reason.ts'

/** A rule that names no method covers these and no others. */
const COMMON: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** The rest of IANA's registry of HTTP methods, without PRI, which is no request. */
const REGISTERED: ReadonlySet<string> = new Set([
  'QUERY', 'ACL', 'BASELINE-CONTROL', 'BIND', 'CHECKIN', 'CHECKOUT', 'COPY', 'LABEL', 'LINK', 'LOCK', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MKREDIRECTREF', 'MKWORKSPACE', 'MOVE', 'ORDERPATCH',
  'PROPFIND', 'PROPPATCH', 'REBIND', 'REPORT', 'SEARCH', 'UNBIND', 'UNCHECKOUT', 'UNLINK', 'UNLOCK', 'UPDATE', 'UPDATEREDIRECTREF', 'VERSION-CONTROL',
])

export const isCommonMethod = (method: string): boolean => COMMON.has(method)

/** Why no rule is even asked about this method; null where one is. Methods differ by case. */
export function methodFault(method: string): Extract<Reason, 'method_refused' | 'unsupported_method'> | null {
  if (COMMON.has(method) || REGISTERED.has(method)) return null
  return method === 'TRACE' || method === 'CONNECT' ? 'method_refused' : 'unsupported_method'
}
