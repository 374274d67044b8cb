// The credentials this gateway holds for upstreams: one in use for each elevation, or session on its baseline, and upstream; and those it followed, until they
// are over. In memory alone. SPEC: CRD6
import { type Grant } from '../../core/decision.ts'
import type { ElevationId } from '../../core/elevation.ts'
import type { SessionId } from '../../core/session.ts'
import type { Instant } from '../../core/time.ts'
import type { Revocable, Source } from './source.ts'

/** What may be told of one. `lease`: what its giver calls it; null where that has no name for it. */
export type Told = {
  /** `cred_…` */
  readonly id: string
  readonly lease: string | null
  readonly upstream: string
  readonly session: SessionId
  /** null of the baseline. */
  readonly elevation: ElevationId | null
  /** Its own end; null where nobody said. */
  readonly expiresAt: Instant | null
}

export type Held = {
  readonly told: Told
  readonly source: Source
  readonly revocable: Revocable
  /** Name and value of the header it is shown in. */
  readonly header: string
  readonly value: string
  /** From then on another one is obtained; null: not before its end. */
  readonly renewAt: Instant | null
}

export const elevationOf = (grant: Grant): ElevationId | null => (grant.is === 'elevation' ? grant.elevation.id : null)

/** Whoever gave it counted from when it was given, which may be two answers later than when it was asked for: until then it is shown no more, and still taken back. */
export const isDead = ({ expiresAt }: Told, { settings: { timeout } }: Pick<Source, 'settings'>, now: Instant): boolean => expiresAt !== null && expiresAt + 2 * timeout <= now

/** What one credential is for. */
export const keyOf = (session: SessionId, elevation: ElevationId | null, upstream: string): string => `${elevation ?? session} ${upstream}`
const keyOfHeld = ({ told: { session, elevation, upstream } }: Held): string => keyOf(session, elevation, upstream)

export class HeldCredentials {
  readonly #inUse = new Map<string, Held>()
  readonly #all = new Map<string, Held>()
  readonly #ofSessions = new Map<SessionId, Set<Held>>()

  get size(): number { return this.#all.size }
  inUse(key: string): Held | null { return this.#inUse.get(key) ?? null }
  has(id: string): boolean { return this.#all.has(id) }
  all(): Iterable<Held> { return this.#all.values() }
  of(session: SessionId): Iterable<Held> { return this.#ofSessions.get(session) ?? [] }

  /** From now on it is the one in use. */
  add(held: Held): void {
    const { told: { id, session } } = held
    this.#inUse.set(keyOfHeld(held), held)
    this.#all.set(id, held)
    const own = this.#ofSessions.get(session) ?? new Set<Held>()
    this.#ofSessions.set(session, own.add(held))
  }

  remove(held: Held): void {
    const { told: { id, session } } = held
    const key = keyOfHeld(held)
    if (this.#inUse.get(key) === held) this.#inUse.delete(key)
    this.#all.delete(id)
    const own = this.#ofSessions.get(session)
    own?.delete(held)
    if (own?.size === 0) this.#ofSessions.delete(session)
  }
}
