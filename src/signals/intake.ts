// Where news enters: gives it an id, has the ledger commit it, and answers when every gateway has enforced it.
// The emergency path (restrictive news) is never rate-limited and waits for nothing but the commit and its enforcement. SPEC: SIG5, ENF9, ADM3
import type { AnchorRef, Selector } from '../core/anchor.ts'
import type { AnchorNews, LockNews, SessionNews, SignalId, SignalKind } from '../core/signal.ts'
import type { Session, SessionId, SessionKey } from '../core/session.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import type { Applied, Ledger } from '../sessions/ledger.ts'
import type { Enforcement, SessionStore, Tally } from '../sessions/store.ts'

/** Who brings the news, and why. */
export type Word = {
  readonly by: string
  readonly note: string
  /** Makes a repeated call the same news; null takes a new id. */
  readonly id: SignalId | null
  /** The life of a session it is meant for. */
  readonly life?: SessionId
}

export type Enforced<R> = Applied<R> & {
  /** null when nothing had to change. */
  readonly enforcement: Enforcement | null
  /** From the call to the last exchange judged, in milliseconds. */
  readonly tookMs: number
}

export class Intake {
  readonly #ledger: Ledger
  readonly #store: SessionStore
  readonly #clock: Clock
  readonly #count: (kind: SignalKind, outcome: 'taken' | 'unchanged' | 'rejected') => void

  constructor(ledger: Ledger, store: SessionStore, clock: Clock, count: (kind: SignalKind, outcome: 'taken' | 'unchanged' | 'rejected') => void) {
    this.#ledger = ledger
    this.#store = store
    this.#clock = clock
    this.#count = count
  }

  session(key: SessionKey, news: SessionNews, word: Word): Promise<Enforced<Session>> {
    return this.#enforced(news.kind, this.#ledger.applyToSession(key, { ...news, ...this.#signed(word) }))
  }

  anchor(ref: AnchorRef, news: AnchorNews, word: Word) {
    return this.#enforced(news.kind, this.#ledger.applyToAnchor(ref, { ...news, ...this.#signed(word) }))
  }

  lock(selector: Selector, news: LockNews, word: Word) {
    return this.#enforced(news.kind, this.#ledger.applyToLock(selector, { ...news, ...this.#signed(word) }))
  }

  #signed({ id, by, note, life }: Word) {
    return { id: id ?? newSignalId(), by, note, ...(life === undefined ? {} : { life }) }
  }

  async #enforced<R>(kind: SignalKind, applying: Promise<Applied<R>>): Promise<Enforced<R>> {
    const started = this.#clock.elapsed()
    const applied = await applying
    this.#count(kind, applied.rejected !== null ? 'rejected' : applied.facts.length > 0 ? 'taken' : 'unchanged')
    const enforcement = applied.assumed !== null ? assumed(applied.assumed) : applied.position === null ? null : await this.#store.enforced(applied.position)
    return { ...applied, enforcement, tookMs: this.#clock.elapsed() - started }
  }
}

/** In force on this gateway; what the others do is unknown while the store does not answer. */
const assumed = (exchanges: Tally): Enforcement => ({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges, exchangesUnknown: 0 })
