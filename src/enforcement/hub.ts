// Who wants to hear what happens, as it happens: event streams of callers and operators, waiting calls. Never waits for a listener, and a
// listener that throws is dropped: whoever tells has work left to do. One session's callers have few places, operators have some of their own.
// SPEC: ADM6
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { Announcement } from '../sessions/store.ts'

export type Heard =
  | { readonly is: 'announced'; readonly announcement: Announcement; readonly session: string | null }
  | { readonly is: 'exchange'; readonly what: 'cut' | 'frozen' | 'resumed' | 'regranted' | 'finishing'; readonly exchange: string; readonly session: string | null; readonly route: string; readonly grant: string; readonly reason: Reason | null; readonly because: string | null; readonly at: Instant }

type HubListener = (heard: Heard) => void
/** The limit that was met, as metrics name it. */
export type Full = 'event_listeners' | 'session_event_listeners'

export const LISTENERS_MAX = 4_096
/** Of these, places that no session's caller takes. */
export const OPERATORS_RESERVED = 256
export const SESSION_LISTENERS_MAX = 8

export class Hub {
  /** By the session they follow; null is everything. */
  readonly #listeners = new Map<string | null, Set<HubListener>>()
  readonly #dropped: (cause: unknown) => void
  #size = 0

  /** @param dropped told what a listener threw */
  constructor(dropped: (cause: unknown) => void) {
    this.#dropped = dropped
  }

  get size(): number { return this.#size }

  /**
   * Hears everything: for operators.
   * @returns how to stop listening, or null when too many listen already
   */
  subscribe(listener: HubListener): (() => void) | null {
    return this.#size < LISTENERS_MAX ? this.#join(null, listener) : null
  }

  /**
   * Hears what happens to one session, and to records that are no session's (a lock): for the session's own caller.
   * @returns how to stop listening, or the limit that is met
   */
  follow(session: string, listener: HubListener): (() => void) | Full {
    if (this.#size >= LISTENERS_MAX - OPERATORS_RESERVED) return 'event_listeners'
    if ((this.#listeners.get(session)?.size ?? 0) >= SESSION_LISTENERS_MAX) return 'session_event_listeners'
    return this.#join(session, listener)
  }

  /** Announcements are told before the mirror has them. Never throws. */
  tell(heard: Heard): void {
    const everyone = heard.is === 'announced' && heard.session === null
    for (const followed of everyone ? this.#listeners.keys() : new Set([null, heard.session])) {
      for (const listener of this.#listeners.get(followed) ?? []) this.#hand(heard, followed, listener)
    }
  }

  #hand(heard: Heard, followed: string | null, listener: HubListener): void {
    try {
      listener(heard)
    } catch (error) {
      this.#leave(followed, listener)
      this.#dropped(error)
    }
  }

  #join(followed: string | null, listener: HubListener): () => void {
    const listeners = this.#listeners.get(followed) ?? new Set<HubListener>()
    this.#listeners.set(followed, listeners.add(listener))
    this.#size++
    return () => this.#leave(followed, listener)
  }

  #leave(followed: string | null, listener: HubListener): void {
    const listeners = this.#listeners.get(followed)
    if (listeners?.delete(listener) !== true) return
    this.#size--
    if (listeners.size === 0) this.#listeners.delete(followed)
  }
}
