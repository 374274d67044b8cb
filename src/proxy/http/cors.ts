// Pages of other origins, on routes that name them (`cors:`): preflights are answered here from route and rules, never forwarded, and need no
// credential; answers and refusals say who may read them. Opens no way around a rule: the request itself is judged like any other. SPEC: WIRE19
import type { Target } from '../../core/evaluation.ts'
import { methodFault } from '../../core/method.ts'
import type { Reason } from '../../core/reason.ts'
import { type Cors, firstRule, type Route } from '../../core/route.ts'
import type { Head } from './head.ts'

type Asking = Pick<Head, 'origin' | 'asksForMethod'>
type Preflight = { readonly is: 'allowed'; /** Of a 204, names and values in turn. */ readonly headers: readonly string[] } | { readonly is: 'refused'; readonly reason: Extract<Reason, 'origin_refused' | 'no_rule' | 'denied'> }

export const isPreflight = (method: string, { origin, asksForMethod }: Asking): boolean => method === 'OPTIONS' && origin !== null && asksForMethod !== null

const NOBODY: readonly string[] = ['vary', 'origin']

const readers = ({ origins, credentials }: Cors, origin: string | null): readonly string[] =>
  origin === null || !origins.includes(origin) ? [] : ['access-control-allow-origin', origin, ...(credentials ? ['access-control-allow-credentials', 'true'] : [])]

/** What every answer and refusal on the route says, names and values in turn. */
export function corsHeaders(cors: Cors, origin: string | null): readonly string[] {
  const read = readers(cors, origin)
  return read.length === 0 ? NOBODY : [...read, 'access-control-expose-headers', cors.exposed.join(', '), ...NOBODY]
}

/** Which rule a message of MCP has shows in its body; every one comes by these. */
const MCP_METHODS: ReadonlySet<string> = new Set(['POST', 'GET', 'DELETE'])
const NO_RULE: Preflight = { is: 'refused', reason: 'no_rule' }

function objection(route: Route, method: string, segments: readonly string[]): Preflight | null {
  if (route.mcp !== null) return MCP_METHODS.has(method) ? null : NO_RULE
  const rule = methodFault(method) === null ? firstRule(route, { method, upgrade: null, call: null }, segments) : null
  return rule?.effect === 'allow' ? null : rule === null ? NO_RULE : { is: 'refused', reason: 'denied' }
}

/** Answers for the method that is asked for, where a rule would match it at this path; whether the caller holds the right is not asked here. */
export function preflight(route: Route, cors: Cors, { segments }: Target, { origin, asksForMethod }: Asking): Preflight {
  const method = asksForMethod ?? ''
  if (origin === null || !cors.origins.includes(origin)) return { is: 'refused', reason: 'origin_refused' }
  const refused = objection(route, method, segments)
  if (refused !== null) return refused
  const headers = cors.headers.length === 0 ? [] : ['access-control-allow-headers', cors.headers.join(', ')]
  return { is: 'allowed', headers: [...readers(cors, origin), ...NOBODY, 'access-control-allow-methods', method, ...headers, 'access-control-max-age', String(Math.floor(cors.maxAge / 1_000))] }
}
