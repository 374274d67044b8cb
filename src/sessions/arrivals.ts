// Sessions that are being read for the first time, or whose child is, and what was announced of them meanwhile. SPEC: STO6, SES21
import { isNewerSession, type Session, type SessionKey } from '../core/session.ts'

type Arrival = { readers: number; overtaken: Session | null }

export class Arrivals {
  readonly #arrivals = new Map<SessionKey, Arrival>()

  has(key: SessionKey): boolean { return this.#arrivals.has(key) }

  /** Each is ended once. */
  begin(key: SessionKey): void {
    const arrival = this.#arrivals.get(key)
    if (arrival === undefined) this.#arrivals.set(key, { readers: 1, overtaken: null })
    else arrival.readers++
  }

  end(key: SessionKey): void {
    const arrival = this.#arrivals.get(key)
    if (arrival !== undefined && --arrival.readers === 0) this.#arrivals.delete(key)
  }

  heard(record: Session): void {
    const arrival = this.#arrivals.get(record.key)
    if (arrival !== undefined) arrival.overtaken = record
  }

  /** What was read, unless news has overtaken it. */
  newest(read: Session): Session {
    const overtaken = this.#arrivals.get(read.key)?.overtaken ?? null
    return overtaken !== null && isNewerSession(overtaken, read) ? overtaken : read
  }
}
