// Finds sessions, elevations and step-ups by id, in memory first and then in the store, and lists them page by page. It never writes. SPEC: ADM12
import { setImmediate } from 'node:timers/promises'
import { type Elevation, isOver } from '../core/elevation.ts'
import type { Claims } from '../core/principal.ts'
import type { Session, SessionKey } from '../core/session.ts'
import type { StepUp } from '../core/step-up.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Mirror } from '../sessions/mirror.ts'
import type { Page, SessionStore } from '../sessions/store.ts'
import { AdminFault } from './fault.ts'

type Listed<T> = { readonly items: readonly T[]; /** There are more, or more were not looked at. */ readonly more: boolean }
export type Owned = { readonly live: LiveSession; readonly elevation: Elevation }
export type OwnedStepUp = { readonly live: LiveSession; readonly stepUp: StepUp }

const PAGE = 500
/** Stored sessions one question looks at. */
const LOOKS_MAX = 100_000
const KNOWN_MAX = 100_000

const elevationOf = (session: Session, id: string): Elevation | undefined => session.elevations.find(elevation => elevation.id === id)
const stepUpOf = (session: Session, id: string): StepUp | undefined => session.stepUps.find(stepUp => stepUp.id === id)

export class Directory {
  readonly #mirror: Mirror
  readonly #store: SessionStore
  /** Under which key an elevation or a step-up was found. */
  readonly #homes = new BoundedMap<string, SessionKey>(KNOWN_MAX)

  constructor(mirror: Mirror, store: SessionStore) {
    this.#mirror = mirror
    this.#store = store
  }

  /** The session whose present life has this id. @throws AdminFault `not_found` */
  async session(id: string): Promise<LiveSession> {
    const known = this.#mirror.byId(id)
    if (known !== null) return known
    const [ref] = await this.#store.find({ kind: 'session', value: id }, 1)
    const live = ref === undefined ? null : await this.#mirror.load(ref.name as SessionKey) // a session lies under its key
    if (live === null || live.record.id !== id) throw new AdminFault('not_found', 'there is no such session')
    return live
  }

  /** @throws AdminFault `not_found` */
  async elevation(id: string): Promise<Owned> {
    const live = await this.#homeOf(id, session => elevationOf(session, id) !== undefined)
    const elevation = live === null ? undefined : elevationOf(live.record, id)
    if (live === null || elevation === undefined) throw new AdminFault('not_found', 'there is no such elevation')
    return { live, elevation }
  }

  /** @throws AdminFault `not_found` */
  async stepUp(id: string): Promise<OwnedStepUp> {
    const live = await this.#homeOf(id, session => stepUpOf(session, id) !== undefined)
    const stepUp = live === null ? undefined : stepUpOf(live.record, id)
    if (live === null || stepUp === undefined) throw new AdminFault('not_found', 'there is no such step-up')
    return { live, stepUp }
  }

  /** Remembers where an elevation is. */
  note(elevation: string, key: SessionKey): void {
    this.#homes.set(elevation, key)
  }

  sessions(wanted: (session: Session) => boolean, limit: number): Promise<Listed<Session>> {
    return this.#list(session => (wanted(session) ? [session] : []), limit)
  }

  stepUps(wanted: (stepUp: StepUp) => boolean, limit: number): Promise<Listed<{ readonly session: Session; readonly stepUp: StepUp }>> {
    return this.#list(session => session.stepUps.filter(wanted).map(stepUp => ({ session, stepUp })), limit)
  }

  elevations(wanted: (elevation: Elevation, session: Session) => boolean, limit: number): Promise<Listed<{ readonly session: Session; readonly elevation: Elevation }>> {
    return this.#list(session => session.elevations.filter(elevation => wanted(elevation, session)).map(elevation => ({ session, elevation })), limit)
  }

  async #homeOf(id: string, isHome: (session: Session) => boolean): Promise<LiveSession | null> {
    const key = this.#homes.get(id) ?? (await this.#home(id, isHome))
    return key === null ? null : this.#mirror.load(key)
  }

  async #home(id: string, isHome: (session: Session) => boolean): Promise<SessionKey | null> {
    for await (const batch of this.#batches()) {
      const session = batch.find(isHome)
      if (session === undefined) continue
      this.#homes.set(id, session.key)
      return session.key
    }
    return null
  }

  async #list<T>(pick: (session: Session) => readonly T[], limit: number): Promise<Listed<T>> {
    const items: T[] = []
    const looked = new Set<SessionKey>()
    for await (const batch of this.#batches()) {
      for (const session of batch) {
        if (!looked.has(session.key)) items.push(...pick(session))
        looked.add(session.key)
      }
      if (items.length > limit || looked.size >= LOOKS_MAX) return { items: items.slice(0, limit), more: true }
    }
    return { items, more: false }
  }

  /** Every session, as in memory where it is there, else as stored, and then perhaps more than once; other work gets its turn between batches. */
  async *#batches(): AsyncGenerator<readonly Session[]> {
    const inMemory = [...this.#mirror.all()].map(({ record }) => record)
    const told = new Set(inMemory.map(({ key }) => key))
    for (let start = 0; start < inMemory.length; start += PAGE) {
      yield inMemory.slice(start, start + PAGE)
      await setImmediate()
    }
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Page = await this.#store.list('session', cursor, PAGE)
      yield page.records.filter(record => record.record === 'session').filter(({ key }) => !told.has(key))
      cursor = page.next
      await setImmediate()
    }
  }
}

export const isRunning = (elevation: Elevation): boolean => !isOver(elevation)

/** What is known of the caller behind a session. @throws AdminFault `conflict` where that is nothing: its baseline is not known then either */
export function claimsOf({ knownClaims }: LiveSession): Claims {
  if (knownClaims !== null) return knownClaims
  throw new AdminFault('conflict', 'this gateway has not seen a credential of the session since its start, so it can not tell what the session is eligible for; let the session make one request')
}
