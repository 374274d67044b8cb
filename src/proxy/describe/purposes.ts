// What a request shows that it is for: what its session was opened for, what its token claims, what its headers state. Headers hold exactly one value each,
// are read and then kept here. SPEC: PUR1
import type { Policy, PurposeSource } from '../../core/policy.ts'
import type { Claims } from '../../core/principal.ts'
import { NO_PURPOSES, type PurposeKind, type Purposes, type Shown, shownPlainly } from '../../core/purpose.ts'
import { purposesClaimed } from '../../identity/purposes.ts'
import { onlyValue } from '../http/head.ts'

const VALUE = /^[\x21-\x7e]{1,200}$/

/** null when one is malformed or stands twice. */
function statedPurposes(sources: ReadonlyMap<PurposeKind, PurposeSource>, headers: readonly string[]): Purposes | null {
  let shown: { [K in PurposeKind]?: string } | null = null
  for (const { kind, from } of sources.values()) {
    if (from.is !== 'header') continue
    const value = onlyValue(headers, from.header)
    if (value === null) continue
    if (value === false || !VALUE.test(value)) return null
    shown ??= {}
    shown[kind] = value
  }
  return shown ?? NO_PURPOSES
}

const NOTHING: Shown = shownPlainly(NO_PURPOSES)

/** @param own what its session was opened for @param claims null where nobody is known @returns null when a header is malformed or stands twice */
export function purposesShown({ purposes }: Policy, headers: readonly string[], own: Purposes, claims: Claims | null): Shown | null {
  if (purposes.size === 0) return own === NO_PURPOSES ? NOTHING : shownPlainly(own)
  const stated = statedPurposes(purposes, headers)
  if (stated === null) return null
  return shownPlainly(claims === null ? stated : { ...purposesClaimed(purposes, claims), ...own, ...stated })
}
