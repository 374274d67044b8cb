// What enforcing would have refused, out of a trail: requests that observed routes let through, by route, rule, reason and subject. SPEC: RPT2
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import { type Extent, readRecent } from './recent.ts'

type Group = { readonly route: string; readonly rule: string; readonly reason: Reason; readonly subject: string | null; requests: number; readonly first: Instant; last: Instant; readonly methods: Set<string> }
export type Observed = Extent & {
  /** Most requests first. */
  readonly groups: readonly Group[]
  /** Requests of groups beyond the limit. */
  readonly others: number
  /** All requests that were let through, by route. */
  readonly requests: ReadonlyMap<string, number>
}

const GROUPS_MAX = 10_000
const ROUTES_MAX = 10_000
const METHODS_MAX = 16

export async function readObserved(files: readonly string[], since: Instant): Promise<Observed> {
  const groups = new Map<string, Group>()
  const requests = new Map<string, number>()
  let others = 0
  const { isAll } = await readRecent(files, ['exchange.opened'], since, ({ route, rule, would, subject, method, at }) => {
    if (requests.has(route) || requests.size < ROUTES_MAX) requests.set(route, (requests.get(route) ?? 0) + 1)
    if (would === null) return
    const name = JSON.stringify([route, rule, would, subject])
    const known = groups.get(name)
    if (known === undefined && groups.size >= GROUPS_MAX) {
      others++
      return
    }
    const group = known ?? { route, rule, reason: would, subject, requests: 0, first: at, last: at, methods: new Set<string>() }
    group.requests++
    group.last = at
    if (group.methods.size < METHODS_MAX) group.methods.add(method)
    groups.set(name, group)
  })
  return { groups: [...groups.values()].sort((a, b) => b.requests - a.requests), others, requests, isAll }
}
