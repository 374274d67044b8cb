// Shared conditions that sessions and elevations point at: tickets, tasks, runs and the like, windows, what a principal may not do yet, and locks.
// SPEC: SIG4, ENF8
import type { ElevationId } from './elevation.ts'
import type { OutsideEvent, OutsideOutcome } from './outside.ts'
import { type Position, PURPOSE_KINDS } from './purpose.ts'
import type { RefusalReason } from './reason.ts'
import { NO_STANDING, type Standing } from './risk.ts'
import { type Instant, instant } from './time.ts'
import type { Override } from './window.ts'

/** `window` is named as configured, `principal` by a digest, `resource` by what is held, `review` by its elevation, `event` by source and digest of what names it, `stream` as configured, `tools` by their route. */
export const ANCHOR_KINDS = [...PURPOSE_KINDS, 'window', 'principal', 'resource', 'review', 'event', 'stream', 'tools'] as const
export type AnchorKind = (typeof ANCHOR_KINDS)[number]
/** Of a purpose, `name` is `<connector>/<tenant>/<id as the connector returns it>`. */
export type AnchorRef = { readonly kind: AnchorKind; readonly name: string }

/** Where the word of a source on a purpose is kept: `manual`, or a connector's; the tenant is empty where the source knows none. */
export const anchorOf = (source: string, kind: AnchorKind, tenant: string, id: string): AnchorRef => ({ kind, name: `${source}/${encodeURIComponent(tenant)}/${id}` })

/** The same read again; null where it is none. */
export function partsOf({ name }: AnchorRef): { readonly source: string; readonly tenant: string; readonly id: string } | null {
  const [, source, tenant = '', id] = /^([^/]+)\/([^/]*)\/(.+)$/s.exec(name) ?? []
  return source === undefined || id === undefined ? null : { source, tenant: decodeURIComponent(tenant), id }
}

/** What a connector says of a ticket, flat. */
export type TicketFacts = { readonly [name: string]: string | number | boolean }

/** `seenAt`: when it was said last. */
export type SaidBefore = { readonly facts: TicketFacts; readonly seenAt: Instant }

/** `session`: the key under which the elevation lies. `since`: when it was said last. */
type Holding = { readonly elevation: ElevationId; readonly session: string; readonly since: Instant; readonly until: Instant }

/** As SSF 1.0 §8.1.2 has them. */
export const STREAM_STATUSES = ['enabled', 'paused', 'disabled'] as const
export type StreamStatus = (typeof STREAM_STATUSES)[number]

/** Digests of a tool's definition: the one that counts, and the other one that was seen since; null where none was. `since`: when that was so, by whom. */
export type ToolPin = { readonly tool: string; readonly accepted: string; readonly changed: string | null; readonly since: Instant; readonly by: string }

/** What is known of an anchor beyond that it is open or has ended. */
export type Matter =
  /** How far an ordered purpose has come: it only goes forward. */
  | { readonly is: 'progress'; readonly position: number; readonly value: string }
  /** `seenAt`: when the connector last spoke of it. `was`: what it said before, the newest first: what an elevation has lost by that does not come back. */
  | { readonly is: 'ticket'; readonly facts: TicketFacts; readonly source: string; readonly seenAt: Instant; readonly was: readonly SaidBefore[] }
  /** An operator's word on a window; null takes it back. `reopened`: when a word last opened it again, 0 before the first: nothing that ran before runs on. */
  | { readonly is: 'window'; readonly override: Override | null; readonly reopened: Instant }
  /** What belongs to a principal and to none of its sessions. `cooling`: profiles it may not ask for before an instant. */
  | ({ readonly is: 'principal'; readonly cooling: { readonly [profile: string]: Instant } } & Standing)
  /** Whoever holds a resource alone, until then at the latest; null for nobody. */
  | { readonly is: 'resource'; readonly holder: Holding | null }
  /** An elevation that was taken without asking, to be looked at before an instant. */
  | { readonly is: 'review'; readonly elevation: ElevationId; readonly session: string; readonly profile: string; readonly subject: string; readonly barred: readonly string[]; readonly dueAt: Instant; readonly verdict: 'pending' | 'accepted' | 'rejected' | 'missed'; readonly by: string }
  /** News from outside: open until somebody has acted on it. `met`: sessions that it meant. */
  | { readonly is: 'event'; readonly event: OutsideEvent; readonly outcome: OutsideOutcome | null; readonly met: number }
  /** Of one order and subject: when what was heard last had happened. */
  | { readonly is: 'order'; readonly at: Instant }
  /** Who tells of changes in trust. `heardAt`: when it last proved that it does. `statusAt`: since when the status is what it is. */
  | { readonly is: 'stream'; readonly heardAt: Instant; readonly status: StreamStatus; readonly statusAt: Instant }
  /** Of the tools of a route. */
  | { readonly is: 'tools'; readonly pins: readonly ToolPin[] }

/** Pauses alone. */
export const pausing = (cooling: { readonly [profile: string]: Instant }): Matter => ({ is: 'principal', cooling, ...NO_STANDING })

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
  /** null where it is open or ended and nothing more. */
  readonly matter: Matter | null
}

const SIGNED = 'signed/'
/** Where it is kept how far an ordered purpose has come. */
export const progressAnchor = ({ kind, line }: Pick<Position, 'kind' | 'line'>): AnchorRef => ({ kind, name: SIGNED + line })
/** The line whose progress an anchor keeps; null where it keeps none. */
export const lineKept = ({ name }: AnchorRef): string | null => (name.startsWith(SIGNED) ? name.slice(SIGNED.length) : null)

export const LOCK_EFFECTS = ['deny', 'freeze', 'baseline'] as const
export type LockEffect = (typeof LOCK_EFFECTS)[number]

export const SELECTOR_KINDS = ['subject', 'session', 'elevation', 'tenant', 'credential', 'keyId', 'issuer', 'device', 'workload', 'alias', 'parent', 'route', 'tool', 'definition', 'profile', 'issuedBefore', 'all'] as const
export type SelectorKind = (typeof SELECTOR_KINDS)[number]
/**
 * `tool` and `definition` take `route/tool`: an operator's word on a tool, and the gateway's own on one that is not what was accepted. `subject` takes `issuer|subject` or a bare subject (any issuer); `keyId` likewise `issuer|kid` or a bare kid; `parent` the id of a session, and means those
 * delegated from it; `alias` what others call it, as `<kind>:<digest>`; `issuedBefore` milliseconds since the epoch and, behind one space, the subject it is for (nothing is for everybody); `all` nothing.
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
