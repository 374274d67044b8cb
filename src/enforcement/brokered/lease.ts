// Credentials from whoever gives leases, such as Vault, as requests and answers: what is read of an answer is named by JSON pointers (RFC 6901). SPEC: CRD3, CRD4
import type { LeaseSettings } from '../../config/compile/credential.ts'
import type { Instant } from '../../core/time.ts'
import { readPart } from '../../identity/jwt-shape.ts'
import { endOf, isToken, type Obtained, TOKEN_MAX } from './oauth.ts'

/** Of one lease, in characters. */
const LEASE = /^[\x21-\x7e]{1,1024}$/
const PLACE = '{lease}'

const step = (value: unknown, name: string): unknown => {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as { readonly [name: string]: unknown })[name] // it has it, by the line above
}

/** What stands there; undefined where nothing does. */
export const valueAt = (value: unknown, pointer: string): unknown =>
  pointer.split('/').slice(1).map(part => part.replaceAll('~1', '/').replaceAll('~0', '~')).reduce(step, value)

/** What was given; a text where that is nothing to use, which says why. */
export function leaseIn(text: string, { token: atToken, lease: atLease, ttl }: LeaseSettings, now: Instant): Obtained | string {
  const part = readPart(Buffer.from(text))
  if (part.is !== 'object') return 'the answer is not one JSON object with one reading'
  const [token, lease, seconds] = [valueAt(part.value, atToken), valueAt(part.value, atLease), ttl === null ? null : valueAt(part.value, ttl)]
  if (!isToken(token)) return `the answer has no credential of at most ${TOKEN_MAX} visible characters at ${atToken}`
  if (typeof lease !== 'string' || !LEASE.test(lease)) return `the answer has no lease at ${atLease}`
  if (lease.includes(token)) return 'the lease is the credential itself'
  const expiresAt = endOf(seconds, now)
  return ttl !== null && expiresAt === null ? `the answer has no life in seconds at ${ttl}` : { token, expiresAt, lease }
}

const filled = (value: unknown, lease: string): unknown => {
  if (typeof value === 'string') return value.replaceAll(PLACE, () => lease)
  if (Array.isArray(value)) return value.map(entry => filled(entry, lease))
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, filled(entry, lease)])) : value
}

/** @param body JSON, as configured */
export const revocationBody = (body: string, lease: string): string => JSON.stringify(filled(JSON.parse(body), lease))
