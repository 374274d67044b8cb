// Shared conditions that sessions and elevations point at: tickets, tasks, runs and the like, and locks.
// SPEC: SIG4, ENF8
import type { PurposeKind } from './purpose.ts'
import type { RefusalReason } from './reason.ts'
import { type Instant, instant } from './time.ts'

export const ANCHOR_KINDS = ['ticket', 'run', 'step', 'conversation', 'turn', 'task'] as const satisfies readonly PurposeKind[]
export type AnchorKind = (typeof ANCHOR_KINDS)[number]
/** `name` is `<connector>/<tenant>/<id as the connector returns it>`. */
export type AnchorRef = { readonly kind: AnchorKind; readonly name: string }

export type Anchor = {
  readonly record: 'anchor'
  readonly kind: AnchorKind
  readonly name: string
  readonly version: number
  readonly state: 'open' | 'ended'
  /** The instant of its last end, 0 before the first. */
  readonly generation: Instant
  readonly since: Instant
  readonly note: string
}

export const LOCK_EFFECTS = ['deny', 'freeze', 'baseline'] as const
export type LockEffect = (typeof LOCK_EFFECTS)[number]

export const SELECTOR_KINDS = ['subject', 'session', 'elevation', 'tenant', 'credential', 'keyId', 'issuer', 'device', 'workload', 'parent', 'route', 'profile', 'issuedBefore', 'all'] as const
export type SelectorKind = (typeof SELECTOR_KINDS)[number]
/**
 * `subject` takes `issuer|subject` or a bare subject (any issuer); `keyId` likewise `issuer|kid` or a bare kid; `parent` the id of a session, and means those
 * delegated from it; `issuedBefore` milliseconds since the epoch and, behind one space, the subject it is for (nothing is for everybody); `all` nothing.
 */
export type Selector = { readonly kind: SelectorKind; readonly value: string }

/** Credentials issued at or before it; null is everybody's. */
export type CutOff = { readonly before: Instant; readonly subject: string | null }

export const cutOffFor = ({ before, subject }: CutOff): Selector => ({ kind: 'issuedBefore', value: subject === null ? String(before) : `${before} ${subject}` })

export function cutOffOf({ value }: Selector): CutOff {
  const at = value.indexOf(' ')
  return at < 0 ? { before: instant(Number(value)), subject: null } : { before: instant(Number(value.slice(0, at))), subject: value.slice(at + 1) }
}

export type LockId = string & { readonly lock: unique symbol }

export type Lock = {
  readonly record: 'lock'
  readonly id: LockId
  readonly selector: Selector
  readonly version: number
  readonly state: 'set' | 'lifted'
  readonly effect: LockEffect
  /** The reason callers are told. */
  readonly reason: RefusalReason
  readonly note: string
  readonly by: string
  readonly since: Instant
  /** Lifts by itself at this instant; null stays until an operator lifts it. */
  readonly until: Instant | null
}

export const selectorName = (selector: Selector): string => `${selector.kind}:${selector.value}`

const STRENGTH: { readonly [E in LockEffect]: number } = { baseline: 1, freeze: 2, deny: 3 }
export const stronger = (a: LockEffect, b: LockEffect): LockEffect => (STRENGTH[a] >= STRENGTH[b] ? a : b)
