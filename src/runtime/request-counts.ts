// Requests answered, by closed labels, in plain numbers until a scrape asks: taking label objects apart costs more than the judge. SPEC: ADM8
import type { Grant } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'

export const REQUEST_LABELS = ['route', 'method', 'code', 'protocol', 'decision', 'reason', 'elevated'] as const
type RequestRow = { readonly labels: Readonly<Record<(typeof REQUEST_LABELS)[number], string>>; value: number }

const KNOWN_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'])
/** Rows that tell the status apart; past them only its first digit does, which routes and reasons of the configuration bound. */
const ROWS_MAX = 20_000

export class RequestCounts {
  readonly #rows = new Map<string, RequestRow>()

  /** @param route '' where none was found @param reason of a refusal @param carried what a permit stood on */
  count(route: string, method: string, protocol: string, status: number, reason: Reason | null, carried: Grant['is'] | null): void {
    const known = KNOWN_METHODS.has(method) ? method : 'other'
    const key = `${route} ${known} ${protocol} ${status} ${reason ?? ''} ${carried ?? ''}`
    const row = this.#rows.get(key)
    if (row !== undefined) row.value++
    else if (this.#rows.size < ROWS_MAX) this.#begin(key, route, known, protocol, String(status), reason, carried)
    else this.#countRoughly(route, known, protocol, `${Math.floor(status / 100)}xx`, reason, carried)
  }

  rows(): readonly RequestRow[] { return [...this.#rows.values()] }

  #countRoughly(route: string, method: string, protocol: string, code: string, reason: Reason | null, carried: Grant['is'] | null): void {
    const key = `${route} ${method} ${protocol} ${code} ${reason ?? ''} ${carried ?? ''}`
    const row = this.#rows.get(key)
    if (row === undefined) this.#begin(key, route, method, protocol, code, reason, carried)
    else row.value++
  }

  #begin(key: string, route: string, method: string, protocol: string, code: string, reason: Reason | null, carried: Grant['is'] | null): void {
    const decision = reason !== null ? 'refuse' : carried === 'observed' ? 'would_refuse' : 'permit'
    this.#rows.set(key, { labels: { route, method, code, protocol, decision, reason: reason ?? '', elevated: String(carried === 'elevation') }, value: 1 })
  }
}
