// What the upstream is told in place of host and path, behind the decision: the judge, the record and the conditions know the caller's own.
// SPEC: WIRE24
import type { Target } from '../core/evaluation.ts'
import type { Route } from '../core/route.ts'

/** Canonical path and query for the upstream. */
export function pathFor({ rewrite }: Route, { path, query }: Target): string {
  const way = rewrite?.path ?? null
  return (way === null ? path : `${way.to}${path.slice(way.from.length)}` || '/') + query
}

/** The `Host` for the upstream; null for the one the decision was made on. @param origin scheme, host and port of the upstream */
export function hostFor(route: Route | null, origin: string): string | null {
  const host = route?.rewrite?.host ?? null
  if (host === null || host.is === 'preserve') return null
  return host.is === 'name' ? host.host : origin.slice(origin.indexOf('//') + 2)
}
