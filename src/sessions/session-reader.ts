// Takes sessions into memory from the store, each together with what it was delegated from and the anchors it is tied to, however many ask at once.
// What came into doubt on the way is read again. SPEC: STO6, STO16, SES21
import { sessionRef } from '../core/record.ts'
import { DELEGATIONS_MAX, isNewerSession, type Session, type SessionKey } from '../core/session.ts'
import { type AnchorBook, anchorsOf } from './anchor-book.ts'
import type { Arrivals } from './arrivals.ts'
import { type KinBook, parentOf } from './kin-book.ts'
import { LiveSession } from './live-session.ts'
import type { SessionBook } from './session-book.ts'
import type { SessionStore } from './store.ts'

type Ports = {
  readonly store: SessionStore
  readonly sessions: SessionBook
  readonly kin: KinBook
  readonly anchors: AnchorBook
  readonly arrivals: Arrivals
  /** How often something came into doubt. */
  readonly doubts: () => number
  /** The session of a key when it is known, and so is what it was delegated from. */
  readonly peek: (key: SessionKey) => LiveSession | null
  /** The record as it is in force here. */
  readonly amend: (record: Session) => Session
  readonly onRead: () => void
  readonly onTaken: (live: LiveSession) => void
  /** Rejects where it cannot be told what the session still has. */
  readonly beforeTaken: (record: Session) => Promise<void>
}

export class SessionReader {
  readonly #ports: Ports
  readonly #loading = new Map<SessionKey, Promise<LiveSession | null>>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Reads it once, however many ask; null when the key was never seen. */
  load(key: SessionKey): Promise<LiveSession | null> {
    const running = this.#loading.get(key)
    if (running !== undefined) return running
    const loading = this.#load(key, DELEGATIONS_MAX).finally(() => this.#loading.delete(key))
    this.#loading.set(key, loading)
    return loading
  }

  /** Its record as the store has it, with what that is tied to; null where it is not newer than is known. */
  async newer({ record: { key }, stored }: LiveSession): Promise<Session | null> {
    const { store, anchors } = this.#ports
    const found = await store.load(sessionRef(key))
    if (found?.record !== 'session' || !isNewerSession(found, stored)) return null
    await anchors.knowAll(anchorsOf(found))
    return found
  }

  /** @param above so many lives above it are looked for @returns null when what was known came into doubt meanwhile */
  async adopt(record: Session, stillTrue: () => boolean, above = DELEGATIONS_MAX): Promise<LiveSession | null> {
    const { arrivals, peek } = this.#ports
    const parent = parentOf(record)
    if (parent === null) return this.#take(record, stillTrue)
    arrivals.begin(parent.key) // it stays while its child is on the way
    try {
      if (above > 0 && peek(parent.key) === null) await this.#load(parent.key, above - 1)
      return await this.#take(record, stillTrue)
    } finally {
      arrivals.end(parent.key)
    }
  }

  /** Waits for nobody else's reading: lives that name each other as parents would wait for ever. */
  async #load(key: SessionKey, above: number): Promise<LiveSession | null> {
    const { store, arrivals, doubts, onRead } = this.#ports
    arrivals.begin(key)
    try {
      onRead()
      const before = doubts()
      const record = await store.load(sessionRef(key))
      if (record?.record !== 'session') return null
      return (await this.adopt(record, () => doubts() === before, above)) ?? (await this.#load(key, above))
    } finally {
      arrivals.end(key)
    }
  }

  async #take(record: Session, stillTrue: () => boolean): Promise<LiveSession | null> {
    const { store, sessions, anchors, arrivals, amend, beforeTaken } = this.#ports
    await beforeTaken(record)
    const seen = await store.lastSeen(record.key)
    const known = sessions.get(record.key)
    if (known !== undefined) return known
    await anchors.knowAll(anchorsOf(record))
    const raced = sessions.get(record.key)
    if (raced !== undefined) {
      anchors.forgetUntied(anchorsOf(record))
      return raced
    }
    if (!stillTrue()) return null
    const newest = arrivals.newest(record)
    const live = new LiveSession(newest, null, seen ?? newest.openedAt)
    live.record = amend(newest)
    this.#put(live, newest)
    return live
  }

  #put(live: LiveSession, record: Session): void {
    const { sessions, kin, anchors, onTaken } = this.#ports
    sessions.put(live)
    kin.join(live, record)
    void anchors.tie(live, record)
    sessions.evict()
    onTaken(live)
  }
}
