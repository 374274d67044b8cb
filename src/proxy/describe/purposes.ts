// Purpose values a request states in headers: exactly one value each, read and then kept here. SPEC: PUR1
import type { PurposeSource } from '../../core/policy.ts'
import { NO_PURPOSES, type PurposeKind, type Purposes } from '../../core/purpose.ts'
import { onlyValue } from '../http/head.ts'

const VALUE = /^[\x21-\x7e]{1,200}$/

/** null when one is malformed or stands twice. */
export function shownPurposes(sources: ReadonlyMap<PurposeKind, PurposeSource>, headers: readonly string[]): Purposes | null {
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
