// Who wants to hear what happens, as it happens: event streams of callers and operators, waiting calls. Never waits for a listener. SPEC: ADM6
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { Announcement } from '../sessions/store.ts'

export type Heard =
  | { readonly is: 'announced'; readonly announcement: Announcement; readonly session: string | null }
  | { readonly is: 'exchange'; readonly what: 'cut' | 'frozen' | 'resumed' | 'regranted'; readonly exchange: string; readonly session: string | null; readonly route: string; readonly grant: string; readonly reason: Reason | null; readonly because: string | null; readonly at: Instant }

export type HubListener = (heard: Heard) => void
const LISTENERS_MAX = 4_096

export class Hub {
  readonly #listeners = new Set<HubListener>()

  get size(): number { return this.#listeners.size }

  /** @returns how to stop listening, or null when too many listen already */
  subscribe(listener: HubListener): (() => void) | null {
    if (this.#listeners.size >= LISTENERS_MAX) return null
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  tell(heard: Heard): void {
    for (const listener of this.#listeners) listener(heard)
  }
}
