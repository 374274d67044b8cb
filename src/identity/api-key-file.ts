// The file of API keys: who each key is, kept as the digest of the key. Read whole or refused whole, with the entry that is wrong.
// SPEC: SES14
import type { Claims } from '../core/principal.ts'
import { type Instant, instant } from '../core/time.ts'
import { isCanonicalName } from './canonical-name.ts'

export type ApiKey = {
  readonly id: string
  /** Base64url SHA-256 of the key. */
  readonly sha256: string
  readonly subject: string
  readonly tenant: string | null
  readonly claims: Claims
  readonly expires: Instant | null
}

/** Entries a file may have. */
const API_KEYS_MAX = 10_000

const MEMBERS = new Set(['id', 'sha256', 'subject', 'tenant', 'claims', 'expires'])
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

type Entry = { readonly [name: string]: unknown }

const isRecord = (value: unknown): value is Entry => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Hex or base64url in, base64url out; null for anything else. */
export function digestOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  if (/^[0-9a-f]{64}$/i.test(value)) return Buffer.from(value, 'hex').toString('base64url')
  const bytes = Buffer.from(value, 'base64url')
  return /^[\w-]{43}$/.test(value) && bytes.toString('base64url') === value ? value : null
}

function expiryOf(value: unknown, fail: (problem: string) => never): Instant | null {
  if (value === undefined) return null
  const ms = typeof value === 'string' && RFC3339.test(value) ? Date.parse(value) : NaN
  return Number.isNaN(ms) ? fail('expires must be a time such as 2027-01-31T00:00:00Z') : instant(ms)
}

function keyOf(entry: unknown, fail: (problem: string) => never): ApiKey {
  if (!isRecord(entry)) return fail('must be a mapping')
  const unknown = Object.keys(entry).find(name => !MEMBERS.has(name))
  if (unknown !== undefined) return fail(`${JSON.stringify(unknown)} is not known here`)
  const { id, subject, tenant = null, claims = {} } = entry
  const sha256 = digestOf(entry['sha256'])
  if (!isCanonicalName(id)) return fail('id must be a name')
  if (sha256 === null) return fail('sha256 must be the SHA-256 of the key, as 64 hex or 43 base64url characters')
  if (!isCanonicalName(subject)) return fail('subject must be a name')
  if (tenant !== null && !isCanonicalName(tenant)) return fail('tenant must be a name')
  if (!isRecord(claims)) return fail('claims must be a mapping')
  return { id, sha256, subject, tenant, claims, expires: expiryOf(entry['expires'], fail) }
}

/** Keys by their digest, from `{ keys: [...] }` or a list. Throws an Error that names the entry, counted from 0. */
export function apiKeysOf(value: unknown): ReadonlyMap<string, ApiKey> {
  const list = isRecord(value) && Object.keys(value).length === 1 ? value['keys'] : value
  if (!Array.isArray(list)) throw new Error('must be { keys: [...] }')
  if (list.length > API_KEYS_MAX) throw new Error(`has more than ${API_KEYS_MAX} keys`)
  const keys = new Map<string, ApiKey>()
  const ids = new Set<string>()
  for (const [position, entry] of list.entries()) {
    const fail = (problem: string): never => {
      throw new Error(`keys[${position}]: ${problem}`)
    }
    const key = keyOf(entry, fail)
    if (ids.has(key.id)) fail(`id ${JSON.stringify(key.id)} is used twice`)
    if (keys.has(key.sha256)) fail('sha256 is used twice')
    ids.add(key.id)
    keys.set(key.sha256, key)
  }
  return keys
}
