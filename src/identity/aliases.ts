// What others call the session of a credential, and its user: claims that news from outside may name. Kept as keyed digests, told apart by who vouches for
// them, so that a stored session gives no address away. SPEC: OUT2
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { ALIAS_KINDS, ALIASES_MAX, type AliasKind } from '../core/outside.ts'
import type { Claims } from '../core/principal.ts'
import { claimOf } from './claims.ts'

/** Claims by what they say; none is read for a kind that is not there. */
export type AliasNames = { readonly [K in AliasKind]?: string }

const LENGTH = 22
const VALUE_MAX = 512

/** Of an address only its domain is written in any case. */
function spelled(kind: AliasKind, value: string): string {
  const at = value.lastIndexOf('@')
  return kind === 'email' && at > 0 ? value.slice(0, at) + value.slice(at).toLowerCase() : value
}

const isValue = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= VALUE_MAX && value.isWellFormed()

/** `<kind>:<digest>`, the same on every gateway of a data set. */
export const aliasOf = (key: KeyObject, kind: AliasKind, issuer: string, value: string): string =>
  `${kind}:${createHmac('sha256', key).update(JSON.stringify([issuer, kind, spelled(kind, value)])).digest('base64url').slice(0, LENGTH)}`

export type Aliasing = (kind: AliasKind, issuer: string, value: string) => string

/** The same by the key of a data set. */
export function aliasing(digestKey: Uint8Array): Aliasing {
  const key = createSecretKey(digestKey)
  return (kind, issuer, value) => aliasOf(key, kind, issuer, value)
}

/** Those of one credential; a claim of another shape names nothing. */
export function aliasesOf(key: KeyObject, names: AliasNames, issuer: string, claims: Claims): readonly string[] {
  const found: string[] = []
  for (const kind of ALIAS_KINDS) {
    const name = names[kind]
    const value = name === undefined ? null : claimOf(claims, name)
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    for (const each of values) if (isValue(each) && found.length < ALIASES_MAX) found.push(aliasOf(key, kind, issuer, each))
  }
  return found
}
