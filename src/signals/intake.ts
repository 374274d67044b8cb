// Where news enters: gives it an id, has the ledger commit it, and answers when every gateway has enforced it.
// The emergency path (restrictive news) is never rate-limited and waits for nothing but the commit and its enforcement. SPEC: SIG5, ENF9, ADM3
import type { AnchorRef, Selector } from '../core/anchor.ts'
import type { Policy } from '../core/policy.ts'
import type { AnchorNews, LockNews, SessionNews, SignalId, SignalKind } from '../core/signal.ts'
import type { Session, SessionId, SessionKey } from '../core/session.ts'
import { after, type Duration, duration, type Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import type { Applied } from '../sessions/doing.ts'
import type { Ledger } from '../sessions/ledger.ts'
import type { Enforcement, SessionStore, Tally } from '../sessions/store.ts'

/** Who brings the news, and why. */
export type Word = {
  readonly by: string
  readonly note: string
  /** Makes a repeated call the same news; null takes a new id. */
  readonly id: SignalId | null
  /** The life of a session it is meant for. */
  readonly life?: SessionId
  /** The version of an anchor that it tells of. */
  readonly of?: number
}

/** A store that gateways share: how long each of them may believe what it knows, and the policy that says where longer. */
type Leased = { readonly lease: Duration; readonly policy: () => Policy }

/** A route on which an old decision may stand longer than elsewhere: until so long after the change. */
type Later = { readonly route: string; readonly within: Duration }

export type Enforced<R> = Applied<R> & {
  /** null when nothing had to change. */
  readonly enforcement: Enforcement | null
  readonly laterOn: readonly Later[]
  /** When gateways that this store does not answer act on nothing older than this news; null where the store has it or is in this process. */
  readonly othersFailClosedAt: Instant | null
  /** In force on this gateway alone: a store that gateways share has not taken it. */
  readonly onlyHere: boolean
  /** From the call to the last exchange judged, in milliseconds. */
  readonly tookMs: number
}

/** What clocks of two machines and a timer may be off by. */
const MARGIN = duration(100)

type Outcome = 'taken' | 'unchanged' | 'rejected'

export class Intake {
  readonly #ledger: Ledger
  readonly #store: SessionStore
  readonly #clock: Clock
  readonly #count: (kind: SignalKind, outcome: Outcome) => void
  readonly #leased: Leased | null

  /** @param leased null: the store is in this process, nothing here is ever stale */
  constructor(ledger: Ledger, store: SessionStore, clock: Clock, count: (kind: SignalKind, outcome: Outcome) => void, leased: Leased | null = null) {
    this.#leased = leased
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

  #signed({ id, by, note, life, of }: Word) {
    return { id: id ?? newSignalId(), by, note, ...(life === undefined ? {} : { life }), ...(of === undefined ? {} : { of }) }
  }

  async #enforced<R>(kind: SignalKind, applying: Promise<Applied<R>>): Promise<Enforced<R>> {
    const started = this.#clock.elapsed()
    const applied = await applying
    this.#count(kind, applied.rejected !== null ? 'rejected' : applied.facts.length > 0 ? 'taken' : 'unchanged')
    const enforcement = applied.assumed !== null ? assumed(applied.assumed) : applied.position === null ? null : await this.#store.enforced(applied.position)
    return { ...applied, enforcement, laterOn: this.#laterOn(), othersFailClosedAt: applied.cutOff ? this.#othersFailClosedAt() : null, onlyHere: applied.assumed !== null && this.#leased !== null, tookMs: this.#clock.elapsed() - started }
  }

  #laterOn(): readonly Later[] {
    const leased = this.#leased
    if (leased === null) return []
    return leased.policy().routes.filter(({ staleness }) => staleness > 0).map(({ name, staleness }) => ({ route: name, within: duration(leased.lease + staleness) }))
  }

  /** What a gateway believes runs out a lease after the store last answered it. One that it still answers, and not us, learns of this when we are heard again. */
  #othersFailClosedAt(): Instant | null {
    return this.#leased === null ? null : after(after(this.#clock.now(), this.#leased.lease), MARGIN)
  }
}

/** In force on this gateway; what the others do is unknown while the store does not answer. */
const assumed = (exchanges: Tally): Enforcement => ({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges, exchangesUnknown: 0 })
