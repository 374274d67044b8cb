// A tool's definition in one form, so that its digest is the same however its server orders and spaces it. Everything of it counts but `icons`: what a model reads,
// what it is called with, what it answers, and what a client does with it. Pure. SPEC: MCP14
import { sha256 } from '../../../runtime/id.ts'
import type { JsonObject } from '../sieve.ts'

/** As deep as what is read of callers. */
const DEPTH_MAX = 64
const NOT_SEEN = 'icons'

export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

/** null: deeper than anybody needs. */
function written(value: unknown, depth: number): string | null {
  if (depth > DEPTH_MAX) return null
  if (Array.isArray(value)) return joined('[', value.map(item => written(item, depth + 1)), ']')
  if (!isObject(value)) return JSON.stringify(value)
  return joined('{', Object.keys(value).sort().map(name => member(name, written(value[name], depth + 1))), '}')
}

const member = (name: string, value: string | null): string | null => (value === null ? null : `${JSON.stringify(name)}:${value}`)
const joined = (open: string, parts: readonly (string | null)[], close: string): string | null => (parts.includes(null) ? null : open + parts.join() + close)

/** Base64url SHA-256; null of what is too deep to be read. */
export function definitionDigest(tool: JsonObject): string | null {
  const { [NOT_SEEN]: _, ...rest } = tool
  const text = written(rest, 0)
  return text === null ? null : sha256(text)
}
