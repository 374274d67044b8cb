// Which sessions in memory were delegated from which: what moves a parent moves all below it in the same turn, and a parent stays as long as a child
// does. One that is not here, or lives another life, is gone: its children are refused. Reads no store. SPEC: SES21
import { DELEGATIONS_MAX, type Parent, type Session, type SessionKey } from '../core/session.ts'
import type { LiveSession } from './live-session.ts'
import type { SessionBook } from './session-book.ts'

export const parentOf = ({ brokered }: Session): Parent | null => brokered?.parent ?? null

/** Delegations above the life it was delegated from; -1 where it was from none. */
export const depthOf = (record: Session): number => parentOf(record)?.depth ?? -1

export class KinBook {
  readonly #sessions: Pick<SessionBook, 'get'>
  readonly #children = new Map<SessionKey, Set<LiveSession>>()

  constructor(sessions: Pick<SessionBook, 'get'>) {
    this.#sessions = sessions
  }

  join(live: LiveSession, record: Session): void {
    const parent = parentOf(record)
    if (parent === null) return
    const children = this.#children.get(parent.key)
    if (children === undefined) this.#children.set(parent.key, new Set([live]))
    else children.add(live)
  }

  leave(live: LiveSession, record: Session): void {
    const parent = parentOf(record)
    const children = parent === null ? undefined : this.#children.get(parent.key)
    if (parent === null || children === undefined) return
    children.delete(live)
    if (children.size === 0) this.#children.delete(parent.key)
  }

  hasChildren(key: SessionKey): boolean { return this.#children.has(key) }

  /** These and all below them, each once. */
  withBelow(lives: readonly LiveSession[]): readonly LiveSession[] {
    if (this.#children.size === 0) return lives
    const all = new Set(lives)
    for (const { record } of all) for (const child of this.#children.get(record.key) ?? []) all.add(child) // those added are come to as well
    return [...all]
  }

  /** The life it was delegated from; null where it was from none, or that one is gone. Each is less deep than the one before, so that asking on comes to an end. */
  above(record: Session): LiveSession | null {
    const parent = parentOf(record)
    const live = parent === null ? undefined : this.#sessions.get(parent.key)
    if (parent === null || live === undefined || live.record.id !== parent.id) return null
    return depthOf(live.record) < parent.depth && parent.depth <= DELEGATIONS_MAX ? live : null
  }

  /** One of those above it is not known here. */
  lacksParent(record: Session): boolean {
    let parent = parentOf(record)
    for (let left = DELEGATIONS_MAX; parent !== null && left >= 0; left--) {
      const live = this.#sessions.get(parent.key)
      if (live === undefined) return true
      parent = parentOf(live.record)
    }
    return false
  }
}
