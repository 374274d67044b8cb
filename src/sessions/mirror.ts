// Session state as this gateway knows it, in memory: sessions, the anchors they are tied to, every lock, the policy. It never writes.
// Announcements reach it in order; each moves stamps first and then asks enforcement to judge again. SPEC: STO6, ENF1, ENF8
import { type Anchor, type AnchorRef, type Lock, type Selector, selectorName } from '../core/anchor.ts'
import { effective, type Effective } from '../core/effective.ts'
import { type LockIndex, NO_LOCKS } from '../core/locks.ts'
import { baselineOf, type Policy } from '../core/policy.ts'
import { type Evidence, isNewer } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import type { Fact } from '../core/fact.ts'
import { lockRef, type RecordRef, sessionRef, type StoredRecord, tiesOf } from '../core/record.ts'
import type { Session, SessionKey } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { AnchorBook } from './anchor-book.ts'
import { Holder, LiveSession } from './live-session.ts'
import type { Announcement, SessionStore, Tally } from './store.ts'

export const NO_TALLY: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }

/** What changed: these sessions, or everything (a lock, the policy). */
export type Change = { readonly sessions: readonly LiveSession[] | 'all'; readonly announcement: Announcement | null }
type ChangeListener = (change: Change) => Promise<Tally>

export class Mirror {
  readonly anonymous = new Holder()
  onChange: ChangeListener = async () => NO_TALLY
  /** Hears which session made way. */
  onEvicted: (live: LiveSession) => void = () => {}
  /** Hears every announcement, also of records that are not here. Must not throw. */
  onAnnounced: (announcement: Announcement) => void = () => {}
  readonly #store: SessionStore
  readonly #limit: number
  readonly #sessions = new Map<SessionKey, LiveSession>()
  readonly #ids = new Map<string, LiveSession>()
  readonly #loading = new Map<SessionKey, Promise<LiveSession | null>>()
  /** Announced while a load of the same record was on its way. */
  readonly #overtaken = new Map<SessionKey, Session>()
  readonly #anchors: AnchorBook
  readonly #lockRecords = new Map<string, Lock>()
  readonly #cutOffs = new Map<string, Lock>()
  #locks: LockIndex = NO_LOCKS
  #policy: Policy
  #world = 0
  evicted = 0

  constructor(store: SessionStore, policy: Policy, limit: number) {
    this.#store = store
    this.#anchors = new AnchorBook(store, sessions => void this.touched(sessions))
    this.#policy = policy
    this.#limit = limit
  }

  get policy(): Policy { return this.#policy }
  get locks(): LockIndex { return this.#locks }
  get size(): number { return this.#sessions.size }
  all(): Iterable<LiveSession> { return this.#sessions.values() }

  /** Reads every lock and begins to listen. Called once, before the first request. */
  async start(): Promise<void> {
    this.#store.subscribe(announcement => this.#heard(announcement))
    for (let after = ''; ;) {
      const page = await this.#store.list('lock', after, 500)
      for (const record of page) if (record.record === 'lock') this.#putLock(record)
      const last = page.at(-1)
      if (last === undefined || last.record !== 'lock' || page.length < 500) break
      after = selectorName(last.selector)
    }
  }

  /** The session of a key when it is known here, whatever its state. No I/O. */
  peek(key: SessionKey): LiveSession | null {
    const live = this.#sessions.get(key)
    if (live === undefined) return null
    live.recent = true
    return live
  }

  byId(id: string): LiveSession | null { return this.#ids.get(id) ?? null }

  /** Reads the session from the store once, however many ask; null when the key was never seen. */
  async load(key: SessionKey): Promise<LiveSession | null> {
    const known = this.peek(key)
    if (known !== null) return known
    const running = this.#loading.get(key)
    if (running !== undefined) return running
    const loading = this.#load(key).finally(() => {
      this.#loading.delete(key)
      this.#overtaken.delete(key)
    })
    this.#loading.set(key, loading)
    return loading
  }

  /** Takes over a record this gateway just committed or read. */
  async adopt(record: Session): Promise<LiveSession> {
    const seen = await this.#store.lastSeen(record.key)
    const known = this.#sessions.get(record.key)
    if (known !== undefined) return known
    await this.#anchors.knowAll(tiesOf(record))
    const raced = this.#sessions.get(record.key)
    if (raced !== undefined) {
      this.#anchors.forgetUntied(tiesOf(record))
      return raced
    }
    const overtaken = this.#overtaken.get(record.key)
    const newest = overtaken !== undefined && overtaken.version > record.version ? overtaken : record
    const live = new LiveSession(newest, null, seen ?? newest.openedAt)
    this.#sessions.set(newest.key, live)
    this.#ids.set(newest.id, live)
    this.#anchors.tie(live, newest)
    this.#evict()
    return live
  }

  async #load(key: SessionKey): Promise<LiveSession | null> {
    const record = await this.#store.load(sessionRef(key))
    return record !== null && record.record === 'session' ? this.adopt(record) : null
  }

  /**
   * The claims of a verified credential make the baseline when no newer one has been seen here. A change of the baseline is a change of the
   * session: everything open is judged again.
   */
  learn(live: LiveSession, claims: Claims, from: Evidence): void {
    const { newest } = live
    if (live.claims === claims || (newest !== null && newest.credential !== from.credential && !isNewer(from, newest))) return
    const before = live.claims === null ? null : baselineOf(this.#policy, live.record.principal, live.claims)
    live.claims = claims
    live.newest = from
    live.view = null
    if (before !== null && baselineOf(this.#policy, live.record.principal, claims).join() !== before.join()) void this.touched([live])
  }

  /** What the session may do now. The one reader of session, anchors and locks; cached until something moves or time decides. */
  effective(live: LiveSession, now: Instant): Effective {
    const { view } = live
    if (view !== null && view.world === this.#world && view.effective.session === live.record && now < view.effective.until) return view.effective
    const baseline = live.claims === null ? [] : baselineOf(this.#policy, live.record.principal, live.claims)
    const found = effective(live.record, baseline, this.#anchors, this.#locks, this.#policy, now)
    live.view = { world: this.#world, baseline, effective: found }
    return found
  }

  /** As it is, asked from the store where it is not known here; null when it was never opened or ended. */
  anchor(ref: AnchorRef): Promise<Anchor | null> { return this.#anchors.ask(ref) }

  /** The lock that stands on a selector, as known here. */
  lock(selector: Selector): Lock | null { return this.#lockRecords.get(selectorName(selector)) ?? null }

  /** Takes restrictive news over that no store has confirmed: heard here as if it had been announced. */
  assume(record: StoredRecord, facts: readonly Fact[]): Promise<Tally> {
    const ref: RecordRef = record.record === 'session' ? sessionRef(record.key) : record.record === 'lock' ? lockRef(record.selector) : { kind: record.kind, name: record.name }
    return this.#heard({ position: { epoch: this.#store.epoch, sequence: 0 }, ref, record, facts })
  }

  /** Swaps the policy: everything is judged again under the new one. */
  replacePolicy(policy: Policy): Promise<Tally> {
    this.#policy = policy
    return this.#worldChanged(null)
  }

  /** These sessions are judged again though no record changed: time passed, claims changed. */
  touched(sessions: readonly LiveSession[]): Promise<Tally> {
    for (const live of sessions) {
      live.stamp++
      live.view = null
    }
    return this.onChange({ sessions, announcement: null })
  }

  #heard(announcement: Announcement): Promise<Tally> {
    const { record } = announcement
    this.onAnnounced(announcement)
    if (record.record === 'session') return this.#heardSession(record, announcement)
    if (record.record === 'anchor') return this.#heardAnchor(record, announcement)
    this.#putLock(record)
    return this.#worldChanged(announcement)
  }

  #heardSession(record: Session, announcement: Announcement): Promise<Tally> {
    const live = this.#sessions.get(record.key)
    if (live === undefined) {
      if (this.#loading.has(record.key)) this.#overtaken.set(record.key, record)
      return Promise.resolve(NO_TALLY)
    }
    if (live.record.version >= record.version) return Promise.resolve(NO_TALLY)
    if (live.record.id !== record.id) this.#reborn(live, record)
    const before = live.record
    live.record = record
    live.stamp++
    live.view = null
    this.#anchors.tie(live, record)
    this.#anchors.untie(live, before, record)
    return this.onChange({ sessions: [live], announcement })
  }

  /** A new life under the same key: nothing of the old one's activity counts for it. */
  #reborn(live: LiveSession, record: Session): void {
    this.#ids.delete(live.record.id)
    this.#ids.set(record.id, live)
    live.lastSeen = record.openedAt
    live.claims = null
    live.newest = null
  }

  #heardAnchor(anchor: Anchor, announcement: Announcement): Promise<Tally> {
    const sessions = this.#anchors.take(anchor)
    for (const live of sessions) {
      live.stamp++
      live.view = null
    }
    return this.onChange({ sessions, announcement })
  }

  #worldChanged(announcement: Announcement | null): Promise<Tally> {
    this.#world++
    this.anonymous.stamp++
    for (const live of this.#sessions.values()) live.stamp++
    return this.onChange({ sessions: 'all', announcement })
  }

  /** The index is the records themselves; a new one tells that something changed. */
  #putLock(lock: Lock): void {
    const name = selectorName(lock.selector)
    const cutOff = lock.selector.kind === 'issuedBefore'
    if (lock.state === 'lifted') {
      this.#lockRecords.delete(name)
      this.#cutOffs.delete(name)
    } else {
      this.#lockRecords.set(name, lock)
      if (cutOff) this.#cutOffs.set(name, lock)
    }
    this.#locks = { size: this.#lockRecords.size, byName: this.#lockRecords, issuedBefore: cutOff ? [...this.#cutOffs.values()] : this.#locks.issuedBefore }
  }

  /** Keeps to the limit: the least recently used sessions without open exchanges make way, a few looks per newcomer. */
  #evict(): void {
    let looks = 64
    for (const [key, live] of this.#sessions) {
      if (this.#sessions.size <= this.#limit || looks-- === 0) return
      if (live.pins > 0 || live.recent) {
        live.recent = false
        this.#sessions.delete(key)
        this.#sessions.set(key, live)
        continue
      }
      this.#anchors.untie(live, live.record, null)
      this.#sessions.delete(key)
      this.#ids.delete(live.record.id)
      this.onEvicted(live)
      this.evicted++
    }
  }
}
