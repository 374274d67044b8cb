// Purpose values a verified credential claims. Computed from the policy in force at each request, because a reload may name other claims while
// the verified credential stays. SPEC: PUR1
import type { PurposeSource } from '../core/policy.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES, type PurposeKind, type Purposes } from '../core/purpose.ts'
import { isCanonicalName } from './canonical-name.ts'
import { claimOf } from './claims.ts'

/** Values as strings; a whole number counts as its decimal form, a claim of any other shape as not made. */
export function purposesClaimed(sources: ReadonlyMap<PurposeKind, PurposeSource>, claims: Claims): Purposes {
  let found: { [K in PurposeKind]?: string } | null = null
  for (const { kind, from } of sources.values()) {
    if (from.is !== 'claim') continue
    const claim = claimOf(claims, from.claim)
    const value = Number.isSafeInteger(claim) ? String(claim) : claim
    if (!isCanonicalName(value)) continue
    found ??= {}
    found[kind] = value
  }
  return found ?? NO_PURPOSES
}
