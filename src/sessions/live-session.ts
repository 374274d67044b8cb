// A gateway's view of one session: the record, the claims its newest credential showed here, and a stamp that moves whenever
// anything behind its decisions does. SPEC: ENF1, ENF2, SES7
import type { Effective } from '../core/effective.ts'
import type { Evidence } from '../core/evidence.ts'
import { overlaid } from '../core/overlay.ts'
import type { Claims } from '../core/principal.ts'
import type { Scope } from '../core/scope.ts'
import type { AnchorRef } from '../core/anchor.ts'
import type { Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { principalAnchor } from './principal-anchor.ts'
import type { Tally } from './store.ts'

/** What an open exchange compares its stamp with: a session, or the world for exchanges without one. */
export class Holder {
  /** Moves at every change; equal stamps mean nothing changed since. */
  stamp = 0
}

export class LiveSession extends Holder {
  /** As it is in force here: what the store has, with news it has not taken yet. */
  record: Session
  /** As the store has it: what versions are compared with. */
  stored: Session
  /** null until a credential of this session was verified on this gateway: its baseline is unknown here. */
  claims: Claims | null
  /** The credential they are from: an older one teaches nothing. */
  newest: Evidence | null = null
  /** Those of its newest credential, or what its broker said it has, with what changed behind it; null where its baseline is unknown here. */
  get knownClaims(): Claims | null {
    const shown = this.claims ?? this.record.brokered?.claims ?? null
    return shown === null || this.record.overlay.length === 0 ? shown : this.#overlaid(shown)
  }

  /** Where what belongs to its principal is kept: the same for every life under its key. */
  readonly principal: AnchorRef
  /** Exchanges that keep it in the mirror. */
  pins = 0
  lastSeen: Instant
  /** Read before it was announced: what its judgement did, for the announcement to tell. */
  early: { readonly version: number; readonly judged: Promise<Tally> } | null = null
  /** When the store was last asked for news of it, on the elapsed scale. */
  askedAt = -Infinity
  /** Used since the last look of the eviction. */
  recent = true
  view: { readonly world: number; readonly baseline: Scope; readonly effective: Effective } | null = null

  #counted: { readonly shown: Claims; readonly overlay: Session['overlay']; readonly claims: Claims } | null = null

  #overlaid(shown: Claims): Claims {
    const { overlay, credential } = this.record
    if (this.#counted?.shown !== shown || this.#counted.overlay !== overlay) this.#counted = { shown, overlay, claims: overlaid(shown, overlay, this.newest?.issuedAt ?? credential.issuedAt) }
    return this.#counted.claims
  }

  constructor(record: Session, claims: Claims | null, lastSeen: Instant) {
    super()
    this.record = record
    this.stored = record
    this.principal = principalAnchor(record.principal)
    this.claims = claims
    this.lastSeen = lastSeen
  }
}
