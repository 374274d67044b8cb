// What comes into doubt, because announcements were missed or a server lost some: sessions that nothing holds are let go, the others, their anchors
// and every lock are read again. What the store does not have any more ends here. Until all of it is read nothing is confirmed. SPEC: STO16
import { type RecordRef, refName, sessionRef } from '../core/record.ts'
import { isNewerSession, type Session, type SessionKey } from '../core/session.ts'
import { type AnchorBook, anchorsOf } from './anchor-book.ts'
import type { LiveSession } from './live-session.ts'
import type { LockBook } from './lock-book.ts'
import type { SessionBook } from './session-book.ts'
import type { SessionStore } from './store.ts'
import { isForged } from './store-fault.ts'

type Known = {
  readonly store: SessionStore
  readonly sessions: SessionBook
  readonly anchors: AnchorBook
  readonly locks: LockBook
  /** It must stay in memory. */
  readonly isHeld: (live: LiveSession) => boolean
  readonly replace: (live: LiveSession, record: Session) => void
  readonly onRead: () => void
}

/** Sessions read again at once. */
const READ_AT_ONCE = 100

const isLost = ({ state }: Session): boolean => state.is === 'revoked' && state.reason === 'state_lost'
const lost = (record: Session): Session => ({ ...record, state: { is: 'revoked', at: record.openedAt, reason: 'state_lost' } })

export class Doubts {
  readonly #known: Known
  /** How often something came into doubt. */
  count = 0

  constructor(known: Known) {
    this.#known = known
  }

  /** @param refs `missed`: nothing was undone, so what is still at its version is right. @throws StoreFault where the store fails meanwhile */
  async read(refs: readonly RecordRef[] | 'all' | 'missed'): Promise<void> {
    this.count++
    if (refs === 'all' || refs === 'missed') return this.#readAll(refs)
    const { sessions, anchors, locks } = this.#known
    await this.#readSessions(refs.flatMap(({ kind, name }) => (kind === 'session' ? (sessions.get(name as SessionKey) ?? []) : []))) // a session's name is its key
    await anchors.readAgain(refs)
    if (refs.some(({ kind }) => kind === 'lock')) await locks.read()
  }

  /** One record as the store has it now, whatever is held by it here. */
  async readOne(ref: RecordRef): Promise<void> {
    const { sessions, anchors, locks } = this.#known
    const live = ref.kind === 'session' ? sessions.get(ref.name as SessionKey) : undefined // a session's name is its key
    if (live !== undefined) return this.#readAgain(live)
    if (ref.kind === 'lock') return locks.read()
    await anchors.readAgain([ref])
  }

  /** What was found to be lost and has nothing open any more leaves the memory. */
  dropLost(): void {
    for (const live of this.#known.sessions.all()) if (live.pins === 0 && isLost(live.record)) this.#known.sessions.drop(live)
  }

  async #readAll(how: 'all' | 'missed'): Promise<void> {
    const { store, sessions, anchors, locks } = this.#known
    const all = [...sessions.all()]
    if (how === 'all') {
      await anchors.readAgain(anchors.all().map(({ ref }) => ref))
      await this.#readSessions(all)
    } else {
      await anchors.readAgain(await store.changed(anchors.all()))
      const changed = new Set((await store.changed(all.map(({ stored }) => ({ ref: sessionRef(stored.key), version: stored.version })))).map(refName))
      await this.#readSessions(all.filter(({ stored }) => changed.has(refName(sessionRef(stored.key)))))
    }
    await locks.read()
  }

  async #readSessions(doubtful: readonly LiveSession[]): Promise<void> {
    const held = doubtful.filter(live => this.#known.isHeld(live))
    const kept = new Set(held)
    for (const live of doubtful) if (!kept.has(live)) this.#known.sessions.drop(live)
    for (let i = 0; i < held.length; i += READ_AT_ONCE) await Promise.all(held.slice(i, i + READ_AT_ONCE).map(live => this.#readAgain(live)))
  }

  /** Of a record that nobody of ours wrote, nobody knows what it may do. */
  async #readAgain(live: LiveSession): Promise<void> {
    const { store, anchors, replace, onRead } = this.#known
    const known = live.stored
    onRead()
    const found = await store.load(sessionRef(live.record.key)).catch((error: unknown) => { if (isForged(error)) return null; throw error })
    const record = found?.record === 'session' ? found : lost(live.stored)
    await anchors.knowAll(anchorsOf(record))
    if (live.stored === known || isNewerSession(record, live.stored)) replace(live, record) // else an announcement has overtaken the reading
  }
}
