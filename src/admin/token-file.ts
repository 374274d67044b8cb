// The file of operators: who each token is and what it may do, kept as the digest of the token. Read whole or refused whole.
// SPEC: ADM11
import { type Instant, instant } from '../core/time.ts'
import { type Role, ROLES } from './roles.ts'

export type TokenEntry = {
  readonly name: string
  /** Base64url SHA-256 of the token's text. */
  readonly sha256: string
  readonly roles: readonly Role[]
  /** `issuer|subject`. */
  readonly identity: string
  readonly expires: Instant | null
}

/** `nga_` and 256 bits in base64url. */
export const TOKEN = /^nga_[A-Za-z0-9_-]{43}$/
/** Entries a file may have. */
export const TOKENS_MAX = 1_000

const MEMBERS: ReadonlySet<string> = new Set(['name', 'sha256', 'roles', 'identity', 'expires'])
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/
const IDENTITY = /^[^|\p{Cc}]{1,256}\|[^\p{Cc}]{1,256}$/u
const TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

type Members = { readonly [name: string]: unknown }
const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value)
const isRole = (value: unknown): value is Role => ROLES.some(role => role === value)

function digestOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  if (/^[0-9a-f]{64}$/i.test(value)) return Buffer.from(value, 'hex').toString('base64url')
  return /^[\w-]{43}$/.test(value) && Buffer.from(value, 'base64url').toString('base64url') === value ? value : null
}

function expiryOf(value: unknown): Instant | null | 'wrong' {
  if (value === undefined) return null
  const ms = typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? 'wrong' : instant(ms)
}

function entryOf(value: unknown, fail: (problem: string) => never): TokenEntry {
  if (!isMembers(value)) return fail('must be a mapping')
  const unknown = Object.keys(value).find(member => !MEMBERS.has(member))
  if (unknown !== undefined) return fail(`${JSON.stringify(unknown)} is not known here`)
  const { name, roles, identity } = value
  if (typeof name !== 'string' || !NAME.test(name)) return fail('name must have 1 to 64 letters, digits, dots, dashes, underscores and @')
  const sha256 = digestOf(value['sha256'])
  if (sha256 === null) return fail('sha256 must be the SHA-256 of the token, as 64 hex or 43 base64url characters')
  if (!Array.isArray(roles) || roles.length === 0 || !roles.every(isRole)) return fail(`roles must be a list of ${ROLES.join(', ')}`)
  if (typeof identity !== 'string' || !IDENTITY.test(identity)) return fail('identity must be issuer|subject')
  const expires = expiryOf(value['expires'])
  if (expires === 'wrong') return fail('expires must be a time such as 2027-01-31T00:00:00Z')
  return { name, sha256, roles: [...new Set(roles)], identity, expires }
}

function listIn(text: string): readonly unknown[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('is not JSON')
  }
  const list = isMembers(value) && Object.keys(value).length === 1 ? value['tokens'] : null
  if (!Array.isArray(list)) throw new Error('must be {"tokens": [...]}')
  if (list.length > TOKENS_MAX) throw new Error(`has more than ${TOKENS_MAX} tokens`)
  return list
}

/** Entries by digest. @throws Error naming the entry, counted from 0; never the content */
export function tokensOf(text: string): ReadonlyMap<string, TokenEntry> {
  const tokens = new Map<string, TokenEntry>()
  const names = new Set<string>()
  for (const [position, value] of listIn(text).entries()) {
    const fail = (problem: string): never => {
      throw new Error(`tokens[${position}]: ${problem}`)
    }
    const entry = entryOf(value, fail)
    if (names.has(entry.name)) fail(`name ${JSON.stringify(entry.name)} is used twice`)
    if (tokens.has(entry.sha256)) fail('sha256 is used twice')
    names.add(entry.name)
    tokens.set(entry.sha256, entry)
  }
  return tokens
}
