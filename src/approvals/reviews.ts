// Emergencies that wait for their review: known from the store and from announcements, and missed when nobody spoke in time. Missing one is told once, by the
// gateway that wrote it; a lock that follows is set before it. Forgets none: where more wait than it can keep, no further one is given. SPEC: APR7
import type { Anchor, AnchorRef, Lock, Selector } from '../core/anchor.ts'
import type { Policy } from '../core/policy.ts'
import type { AnchorNews, LockNews, SignalId } from '../core/signal.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Clock } from '../runtime/clock.ts'
import { newLockId } from '../runtime/id.ts'
import type { Log } from '../runtime/log.ts'
import type { Applied } from '../sessions/doing.ts'
import type { SessionStore } from '../sessions/store.ts'
import { type Review, reviewAnchor, type Unreviewed } from './review.ts'

type Word = { readonly by: string; readonly note: string; readonly id: SignalId | null }

/** Where news is brought. */
interface Desk {
  anchor(ref: AnchorRef, news: AnchorNews, word: Word): Promise<Applied<Anchor>>
  lock(selector: Selector, news: LockNews, word: Word): Promise<Applied<Lock>>
}

type Ports = {
  readonly store: Pick<SessionStore, 'list'>
  readonly desk: Desk
  readonly clock: Clock
  readonly log: Log
  readonly policy: () => Policy
  /** It was missed, and this gateway wrote it. */
  readonly missed: (review: Review, locked: boolean) => void
}

const WAITING_MAX = 10_000
const PAGE = 500
const LONGEST_TIMER = 60_000
/** Everything is read again so often: announcements may have been lost with the store. */
const READ_AGAIN = 10 * 60_000
const SOON = 5_000
const BY = 'reviews'

export class Reviews {
  readonly #ports: Ports
  /** By elevation. */
  readonly #waiting = new Map<string, Review>()
  #full = false
  #readAt = -Infinity
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Reads what waits; a store that fails is asked again. */
  async start(): Promise<void> {
    await this.#look()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#looking
  }

  heard(record: StoredRecord): void {
    if (record.record !== 'anchor' || record.kind !== 'review') return
    this.#take(record)
    this.#arm(LONGEST_TIMER)
  }

  /** Infinity where not all are known. */
  readonly unreviewed: Unreviewed = identity => {
    if (this.#full || this.#readAt === -Infinity) return Infinity
    let count = 0
    for (const { subject } of this.#waiting.values()) if (subject === identity) count++
    return count
  }

  #take({ matter, state }: Anchor): void {
    if (matter?.is !== 'review') return
    const waits = state === 'open' && (matter.verdict === 'pending' || matter.verdict === 'missed')
    if (!waits) this.#waiting.delete(matter.elevation)
    else if (this.#waiting.has(matter.elevation) || this.#waiting.size < WAITING_MAX) this.#waiting.set(matter.elevation, matter)
    else this.#overflow()
  }

  #overflow(): void {
    if (!this.#full) this.#ports.log.error({ waiting: WAITING_MAX }, 'more emergencies wait for their review than can be kept; no further one is given')
    this.#full = true
  }

  /** The next look: when one is due, and no later than asked. */
  #arm(within: number): void {
    if (this.#stopped) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    let wait = within
    for (const { verdict, dueAt } of this.#waiting.values()) if (verdict === 'pending') wait = Math.min(wait, dueAt - this.#ports.clock.now())
    this.#timer = setTimeout(() => void this.#look(), Math.max(1, wait)).unref()
  }

  #look(): Promise<void> {
    this.#looking = this.#lookNow().then(() => this.#arm(LONGEST_TIMER), (error: unknown) => {
      this.#ports.log.warn({ cause: String(error) }, 'reviews could not be looked at; they are again soon')
      if (!this.#stopped) this.#timer = setTimeout(() => void this.#look(), SOON).unref()
    })
    return this.#looking
  }

  async #lookNow(): Promise<void> {
    const { clock } = this.#ports
    if (clock.elapsed() - this.#readAt >= READ_AGAIN) await this.#read()
    for (const review of this.#waiting.values()) if (review.verdict === 'pending' && review.dueAt <= clock.now() && !this.#stopped) await this.#miss(review)
  }

  async #read(): Promise<void> {
    this.#full = false
    for (let cursor: string | null = ''; cursor !== null && !this.#stopped;) {
      const page: Awaited<ReturnType<SessionStore['list']>> = await this.#ports.store.list('review', cursor, PAGE)
      for (const record of page.records) if (record.record === 'anchor') this.#take(record)
      cursor = page.next
    }
    this.#readAt = this.#ports.clock.elapsed()
  }

  async #miss(review: Review): Promise<void> {
    const { desk, policy, missed } = this.#ports
    const isLocking = policy().profiles.get(review.profile)?.approval?.breakGlass?.onMissed === 'lock'
    const locked = isLocking && (await this.#lock(review))
    const { facts, record, rejected } = await desk.anchor(reviewAnchor(review.elevation), { kind: 'anchor.told', matter: { ...review, verdict: 'missed', by: BY } }, { by: BY, note: '', id: null })
    if (record !== null) this.#take(record)
    if (facts.length > 0) missed(review, isLocking)
    else if (rejected !== null && locked) await desk.lock({ kind: 'subject', value: review.subject }, { kind: 'lock.lifted' }, { by: BY, note: 'the review came after all', id: null })
  }

  /** @returns whether this set it */
  async #lock({ subject, elevation }: Review): Promise<boolean> {
    const selector = { kind: 'subject', value: subject } as const
    const { facts } = await this.#ports.desk.lock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect: 'deny', reason: 'locked', until: null }, { by: BY, note: `nobody reviewed ${elevation} in time`, id: null })
    return facts.length > 0
  }
}
