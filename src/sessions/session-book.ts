// The sessions in memory, by key and by the id of their life, up to a limit: the least recently used ones that nothing holds make way.
// SPEC: ENF1, SES8
import type { SessionKey } from '../core/session.ts'
import type { LiveSession } from './live-session.ts'

/** Sessions looked at for each newcomer. */
const LOOKS = 64

export class SessionBook {
  readonly #limit: number
  readonly #isHeld: (live: LiveSession) => boolean
  readonly #letGo: (live: LiveSession) => void
  readonly #keys = new Map<SessionKey, LiveSession>()
  readonly #ids = new Map<string, LiveSession>()
  evicted = 0

  /** @param isHeld it must not make way; @param letGo hears which one did */
  constructor(limit: number, isHeld: (live: LiveSession) => boolean, letGo: (live: LiveSession) => void) {
    this.#limit = limit
    this.#isHeld = isHeld
    this.#letGo = letGo
  }

  get size(): number { return this.#keys.size }
  all(): Iterable<LiveSession> { return this.#keys.values() }
  get(key: SessionKey): LiveSession | undefined { return this.#keys.get(key) }
  byId(id: string): LiveSession | null { return this.#ids.get(id) ?? null }

  put(live: LiveSession): void {
    this.#keys.set(live.record.key, live)
    this.#ids.set(live.record.id, live)
  }

  /** A new life under the same key. Called while the record is still the old one. */
  rename(live: LiveSession, id: string): void {
    this.#ids.delete(live.record.id)
    this.#ids.set(id, live)
  }

  drop(live: LiveSession): void {
    this.#keys.delete(live.record.key)
    this.#ids.delete(live.record.id)
    this.#letGo(live)
  }

  /** Keeps to the limit, a few looks per newcomer. */
  evict(): void {
    let looks = LOOKS
    for (const [key, live] of this.#keys) {
      if (this.#keys.size <= this.#limit || looks-- === 0) return
      if (live.recent || this.#isHeld(live)) {
        live.recent = false
        this.#keys.delete(key)
        this.#keys.set(key, live)
        continue
      }
      this.drop(live)
      this.evicted++
    }
  }
}
