// What a request shows that it is for: what its session was opened for, what its token claims, what its headers and, on routes of MCP, `_meta` of its message
// state. Each holds exactly one value, is read and then kept here. SPEC: PUR1, MCP17
import type { Policy, PurposeSource } from '../../core/policy.ts'
import type { Claims } from '../../core/principal.ts'
import { NO_PURPOSES, type PurposeKind, type Purposes, type Shown, shownPlainly } from '../../core/purpose.ts'
import { purposesClaimed } from '../../identity/purposes.ts'
import { onlyValue } from '../http/head.ts'

/** `_meta` of a message; empty where there is none. */
export type Meta = ReadonlyMap<string, unknown>
export const NO_META: Meta = new Map()

const VALUE = /^[\x21-\x7e]{1,200}$/

/** null where it is not there; false where it is no name. A whole number counts as its decimal form. */
export function valueIn(meta: Meta, key: string): string | null | false {
  const value = meta.get(key)
  if (value === undefined) return null
  return typeof value === 'string' ? value : typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : false
}

/** Of what is said in two places, in either or both alike; false where they differ. */
export const saidOnce = (one: string | null | false, other: string | null | false): string | null | false => (one === other || other === null ? one : one === null ? other : false)

/** null when one is malformed, stands twice, or is shown as two. */
function statedPurposes(sources: ReadonlyMap<PurposeKind, PurposeSource>, headers: readonly string[], meta: Meta): Purposes | null {
  let shown: { [K in PurposeKind]?: string } | null = null
  for (const { kind, from } of sources.values()) {
    if (from.is !== 'header' && from.is !== 'meta') continue
    const inHeader = from.header === null ? null : onlyValue(headers, from.header)
    const value = from.is === 'meta' ? saidOnce(inHeader, valueIn(meta, from.key)) : inHeader
    if (value === null) continue
    if (value === false || !VALUE.test(value)) return null
    shown ??= {}
    shown[kind] = value
  }
  return shown ?? NO_PURPOSES
}

const NOTHING: Shown = shownPlainly(NO_PURPOSES)

/** @param own what its session was opened for @param claims null where nobody is known @returns null when a header or a member of `_meta` is malformed, stands twice, or contradicts the other */
export function purposesShown({ purposes }: Policy, headers: readonly string[], own: Purposes, claims: Claims | null, meta: Meta = NO_META): Shown | null {
  if (purposes.size === 0) return own === NO_PURPOSES ? NOTHING : shownPlainly(own)
  const stated = statedPurposes(purposes, headers, meta)
  if (stated === null) return null
  return shownPlainly(claims === null ? stated : { ...purposesClaimed(purposes, claims), ...own, ...stated })
}
