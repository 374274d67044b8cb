// One count per request, with its label children kept: building and hashing label objects costs more than the judge. SPEC: ADM8
import type { Grant } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Route } from '../core/route.ts'
import type { Metrics } from '../runtime/metrics.ts'

type Child = { inc(): void }
const KNOWN_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'])
const CHILDREN_MAX = 20_000
const children = new WeakMap<Metrics, Map<string, Child>>()

/** @param grant null for a refusal, which then has its reason */
export function countRequest(metrics: Metrics, route: Route | null, method: string, protocol: string, code: number, reason: Reason | null, grant: Grant | null): void {
  if (reason !== null) metrics.limited(reason)
  const name = route?.name ?? ''
  const known = KNOWN_METHODS.has(method) ? method : 'other'
  const carried = grant?.is ?? 'none'
  const key = `${name} ${known} ${protocol} ${code} ${reason ?? ''} ${carried}`
  let map = children.get(metrics)
  if (map === undefined) children.set(metrics, (map = new Map()))
  let child = map.get(key)
  if (child === undefined) {
    if (map.size >= CHILDREN_MAX) map.clear()
    const decision = reason !== null ? 'refuse' : grant?.is === 'observed' ? 'would_refuse' : 'permit'
    child = metrics.requests.labels({ route: name, method: known, code: String(code), protocol, decision, reason: reason ?? '', elevated: String(carried === 'elevation') })
    map.set(key, child)
  }
  child.inc()
}
