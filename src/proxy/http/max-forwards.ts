// `Max-Forwards` (RFC 9110 §7.6.2): OPTIONS with none left is answered here and tells what a gateway forwards at all, nothing of any rule.
// On other methods it means nothing and stays here. SPEC: WIRE19, WIRE22

/** Forwards left for this request; null where nobody counts, 'malformed' where nobody can. */
export function forwardsLeft(method: string, value: string | null): number | null | 'malformed' {
  if (method !== 'OPTIONS' || value === null) return null
  return /^\d{1,9}$/.test(value) ? Number(value) : 'malformed'
}

/** Of the 204 that the gateway gives itself: names and values in turn. */
export const LAST_FORWARD: readonly string[] = ['allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY', 'cache-control', 'no-store']
