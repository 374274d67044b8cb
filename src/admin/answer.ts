// What a route hands back, and how times and lengths are written in it: RFC 3339 and `15m`. SPEC: ADM12
import type { ServerResponse } from 'node:http'

export type Json = { readonly [member: string]: unknown }

export type Answer =
  | { readonly is: 'json'; readonly status: number; readonly body: Json; /** What the change changed, for the trail; null when nothing was. */ readonly changed: string | null }
  | { readonly is: 'text'; readonly status: number; readonly type: string; readonly text: string }
  /** Takes the response over. `allowed` asks again whether the caller's token still counts. */
  | { readonly is: 'stream'; readonly open: (response: ServerResponse, allowed: () => Promise<boolean>) => void }

export const told = (body: Json, status = 200): Answer => ({ is: 'json', status, body, changed: null })
export const done = (body: Json, changed: string, status = 200): Answer => ({ is: 'json', status, body, changed })

export { timeText } from '../runtime/time-text.ts'

const UNITS = [[86_400_000, 'd'], [3_600_000, 'h'], [60_000, 'm'], [1_000, 's']] as const

/** As the configuration writes it; exact. */
export function spanText(ms: number): string {
  const [size, unit] = UNITS.find(([length]) => ms >= length && ms % length === 0) ?? [1, 'ms']
  return `${ms / size}${unit}`
}
