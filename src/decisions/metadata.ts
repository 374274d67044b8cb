// What the decision point says of itself (AuthZEN 1.0 §9): where it is asked. What is not served is not named. SPEC: PDP1
import type { PdpServed } from '../config/compile/decisions.ts'
import { type Json, OBLIGATIONS } from './answer.ts'
import { SEARCHED } from './search.ts'

export const ENDPOINTS = { evaluation: '/access/v1/evaluation', evaluations: '/access/v1/evaluations', subject: '/access/v1/search/subject', resource: '/access/v1/search/resource', action: '/access/v1/search/action' } as const
export type Endpoint = keyof typeof ENDPOINTS

const WELL_KNOWN = '/.well-known/authzen-configuration'

/** Of the identifier, without a slash at its end. */
const pathOf = (identifier: string): string => /^https?:\/\/[^/]*(.*)$/i.exec(identifier)?.[1] ?? ''

export const isSearch = (endpoint: Endpoint): endpoint is Extract<Endpoint, (typeof SEARCHED)[number]> => SEARCHED.some(what => what === endpoint)

/** What this path is, by the identifier; null for nothing. */
export function servedAt({ identifier }: PdpServed, path: string): Endpoint | 'metadata' | null {
  const below = pathOf(identifier)
  if (path === WELL_KNOWN + below) return 'metadata'
  if (!path.startsWith(below)) return null
  const rest = path.slice(below.length)
  return (['evaluation', 'evaluations', ...SEARCHED] as const).find(endpoint => ENDPOINTS[endpoint] === rest) ?? null
}

export function metadata({ identifier, peps }: PdpServed): Json {
  const searches = peps.some(({ may }) => may.has('search')) ? SEARCHED.map(what => [`search_${what}_endpoint`, identifier + ENDPOINTS[what]] as const) : []
  return {
    policy_decision_point: identifier, access_evaluation_endpoint: identifier + ENDPOINTS.evaluation, access_evaluations_endpoint: identifier + ENDPOINTS.evaluations,
    ...Object.fromEntries(searches), capabilities: [], supported_obligations: OBLIGATIONS,
  }
}
