// Session state as this gateway knows it, in memory: sessions, the anchors they are tied to, every lock, the policy. It never writes.
// Announcements reach it in order; each moves stamps first and then asks enforcement to judge again. What comes into doubt is read again.
// SPEC: STO6, STO16, ENF1, ENF8, SES21
import type { Anchor, AnchorRef, Lock, Selector } from '../core/anchor.ts'
import { isSameAuthentication } from '../core/authentication.ts'
import { effective, type Effective, type ParentView, type Trusted } from '../core/effective.ts'
import type { LockIndex } from '../core/locks.ts'
import { baselineOf, type Policy } from '../core/policy.ts'
import { type Evidence, isNewer } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import type { Fact } from '../core/fact.ts'
import type { LevelMark } from '../core/risk.ts'
import { type RecordRef, refOfRecord, type StoredRecord } from '../core/record.ts'
import { isNewerSession, type Session, type SessionKey } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { AnchorBook } from './anchor-book.ts'
import { Arrivals } from './arrivals.ts'
import { type ChangeListener, NO_TALLY } from './change.ts'
import { Doubts } from './doubts.ts'
import { KinBook } from './kin-book.ts'
import { Holder, type LiveSession } from './live-session.ts'
import { concernedBy } from './lock-reach.ts'
import { LockBook } from './lock-book.ts'
import { SessionBook } from './session-book.ts'
import { SessionReader } from './session-reader.ts'
import type { Announcement, Reach, SessionStore, Tally, Watcher } from './store.ts'

const LOCAL: Pick<Watcher, 'lost' | 'confirmed'> = { lost: async () => {}, confirmed: () => {} }
/** A session is asked for before a refusal at most once in so many milliseconds. */
const ASKED_EVERY = 50

export class Mirror {
  readonly anonymous = new Holder()
  onChange: ChangeListener = async () => NO_TALLY
  /** Hears which session was taken in. */
  onTaken: (live: LiveSession) => void = () => {}
  /** A session is about to be taken in: what it lost while nobody looked is settled first. */
  beforeTaken: (session: Session) => Promise<void> = async () => {}
  /** Hears which session made way. */
  onEvicted: (live: LiveSession) => void = () => {}
  /** Asks what a lock would meet here: whoever knows what is open. */
  onSurvey: (selector: Selector) => Reach = () => ({ sessions: 0, exchanges: 0 })
  /** Hears every announcement, also of records that are not here. Must not throw. */
  onAnnounced: (announcement: Announcement) => void = () => {}
  /** Hears of every record of a session that is read. */
  onRead: (reason: 'unknown' | 'doubted' | 'denied') => void = () => {}
  /** A record as it is in force here: with news that the store has not taken yet. */
  amend: <R extends StoredRecord>(record: R) => R = record => record
  readonly #store: SessionStore
  readonly #sessions: SessionBook
  readonly #arrivals = new Arrivals()
  readonly #kin: KinBook
  readonly #reader: SessionReader
  readonly #anchors: AnchorBook
  readonly #lockBook: LockBook
  readonly #doubts: Doubts
  #policy: Policy
  #world = 0

  constructor(store: SessionStore, policy: Policy, limit: number) {
    this.#store = store
    this.#anchors = new AnchorBook(store, sessions => void this.touched(sessions))
    this.#lockBook = new LockBook(store)
    const isHeld = ({ pins, record: { key } }: LiveSession): boolean => pins > 0 || this.#kin.hasChildren(key) || this.#arrivals.has(key)
    this.#sessions = new SessionBook(limit, isHeld, live => this.#letGo(live))
    this.#kin = new KinBook(this.#sessions)
    this.#doubts = new Doubts({ store, sessions: this.#sessions, anchors: this.#anchors, locks: this.#lockBook, isHeld, replace: (live, record) => void this.#replace(live, record), onRead: () => this.onRead('doubted') })
    this.#reader = new SessionReader({
      store, sessions: this.#sessions, kin: this.#kin, anchors: this.#anchors, arrivals: this.#arrivals, doubts: () => this.#doubts.count,
      peek: key => this.peek(key), amend: record => this.amend(record), onRead: () => this.onRead('unknown'), onTaken: live => this.#taken(live), beforeTaken: session => this.beforeTaken(session),
    })
    this.#policy = policy
  }

  get policy(): Policy { return this.#policy }
  get locks(): LockIndex { return this.#lockBook.index }
  get size(): number { return this.#sessions.size }
  /** Sessions that made way so far. */
  get evicted(): number { return this.#sessions.evicted }
  all(): Iterable<LiveSession> { return this.#sessions.all() }
  /** Those that something here stands on. */
  get anchors(): Pick<AnchorBook, 'find' | 'known' | 'isKnown' | 'knowAll' | 'tied' | 'countTied'> { return this.#anchors }

  /** Begins to listen and reads every lock; once, before the first request. @param also what else a store has to tell that gateways share */
  start(also: Pick<Watcher, 'lost' | 'confirmed'> = LOCAL): Promise<unknown> {
    this.#store.subscribe({ heard: announcement => this.heard(announcement), doubted: refs => this.doubted(refs), reach: selector => this.onSurvey(selector), ...also })
    return Promise.all([this.#lockBook.read(), this.#anchors.keepStanding(this.#policy)])
  }

  /** The session of a key when it is known here, whatever its state, and so is what it was delegated from. No I/O. */
  peek(key: SessionKey): LiveSession | null {
    const live = this.#sessions.get(key)
    if (live === undefined || this.#kin.lacksParent(live.record)) return null
    live.recent = true
    return live
  }

  /** Also one whose parent is not known here. */
  known(key: SessionKey): LiveSession | null { return this.#sessions.get(key) ?? null }

  /** The life that this one was delegated from, where both are known here. */
  above({ record }: LiveSession): LiveSession | null { return this.#kin.above(record) }
  byId(id: string): LiveSession | null { return this.#sessions.byId(id) }

  /** Reads the session from the store where it is not known here; null when the key was never seen. */
  async load(key: SessionKey): Promise<LiveSession | null> { return this.peek(key) ?? this.#reader.load(key) }

  /** Takes over a record that was read; null when what was known came into doubt meanwhile. */
  adopt(record: Session, stillTrue: () => boolean): Promise<LiveSession | null> { return this.#reader.adopt(record, stillTrue) }

  /** The claims of a verified credential count when no newer one was seen here; another baseline or sign-in is a change of the session, and all that is open is judged again. */
  learn(live: LiveSession, claims: Claims, from: Evidence): void {
    const { newest, claims: before } = live
    if (before === claims || (newest !== null && newest.credential !== from.credential && !isNewer(from, newest))) return
    live.claims = claims
    live.newest = from
    live.view = null
    const scopes = (of: Claims): string => baselineOf(this.#policy, live.record.principal, of).join()
    const isOther = before === null ? this.#kin.hasChildren(live.record.key) : scopes(before) !== scopes(claims) || !isSameAuthentication(before, claims) || live.record.overlay.length > 0
    if (isOther) void this.touched([live])
  }

  /** What the session may do now. The one reader of session, anchors and locks; cached until something moves or time decides. */
  effective(live: LiveSession, now: Instant): Effective {
    const { view } = live
    if (view !== null && view.world === this.#world && view.effective.session === live.record && now < view.effective.until) return view.effective
    const { knownClaims } = live
    const baseline = knownClaims === null ? [] : baselineOf(this.#policy, live.record.principal, knownClaims)
    const found = effective(live.record, baseline, this.#anchors, this.locks, this.#policy, now, this.#parentOf(live, now), knownClaims, this.#anchors.trusted(live.principal))
    live.view = { world: this.#world, baseline, effective: found }
    return found
  }

  #parentOf({ record }: LiveSession, now: Instant): ParentView {
    const parent = this.#kin.above(record)
    return parent === null ? { is: 'gone' } : { is: 'there', standing: this.effective(parent, now), baselineKnown: parent.knownClaims !== null }
  }

  /** As it is, asked from the store where it is not known here; null when it was never opened or ended. */
  anchor(ref: AnchorRef): Promise<Anchor | null> { return this.#anchors.ask(ref) }
  /** Likewise the lock on a selector. */
  lock(selector: Selector): Lock | null { return this.#lockBook.find(selector) }

  /** Takes restrictive news over that no store has confirmed: in force here as if it had been announced, and no version to compare with. */
  assume(record: StoredRecord, facts: readonly Fact[]): Promise<Tally> {
    const announcement = this.#unannounced(record, facts)
    this.onAnnounced(announcement)
    if (record.record === 'anchor') return this.#heardAnchor(record, announcement, true)
    if (record.record === 'lock') return this.#lockBook.take(record, true) ? this.#lockMoved(record, announcement) : Promise.resolve(NO_TALLY)
    const live = this.#sessions.get(record.key)
    if (live === undefined) return Promise.resolve(NO_TALLY)
    void this.#replace(live, live.stored)
    return this.onChange({ sessions: this.#kin.withBelow([live]), anonymous: false, announcement })
  }

  /** A level that is about to be told of a principal is in force here already. @param facts that will tell of it */
  foresee(record: Anchor, level: LevelMark, facts: readonly Fact[]): Promise<Tally> { return this.#moved(this.#anchors.foresee(record, level), this.#unannounced(record, facts)) }

  #unannounced(record: StoredRecord, facts: readonly Fact[]): Announcement {
    const ref = refOfRecord(record)
    return { position: { epoch: this.#store.epochOf(ref), sequence: 0 }, ref, record, facts }
  }

  /** What is kept of a principal of which a session is here. */
  trusted(principal: AnchorRef): Trusted { return this.#anchors.trusted(principal) }
  /** Every lock known here. */
  standingLocks(): readonly Lock[] { return this.#lockBook.all() }

  /** What is known of these may be wrong: see `doubts.ts`. Everything open is judged again. */
  async doubted(refs: readonly RecordRef[] | 'all' | 'missed'): Promise<void> {
    await this.#doubts.read(refs)
    await this.#worldChanged(null)
    this.#doubts.dropLost()
  }

  /** The store has taken what was in force from memory: the record is what the store says from here on. */
  async settled(ref: RecordRef): Promise<void> {
    await this.#doubts.readOne(ref)
    await this.#worldChanged(null)
  }

  /** May news of it be on its way, and was it not asked for just now? Never with a store that announces in the same turn. */
  mayBeBehind(live: LiveSession, elapsed: number): boolean { return this.#store.confirmedUntil() !== Infinity && elapsed - live.askedAt >= ASKED_EVERY }

  /** The record as the store has it now, and those it was delegated from, where any is newer. */
  async refresh(live: LiveSession, elapsed: number): Promise<boolean> {
    live.askedAt = elapsed
    const parent = this.#kin.above(live.record)
    const [own, above] = await Promise.all([this.#refreshOne(live), parent === null ? false : this.refresh(parent, elapsed)])
    return own || above
  }

  async #refreshOne(live: LiveSession): Promise<boolean> {
    this.onRead('denied')
    const found = await this.#reader.newer(live)
    if (found !== null) live.early = { version: found.version, judged: this.#heardSession(found, null) }
    return found !== null
  }

  /** When it was last seen anywhere. */
  async seenAnywhere(live: LiveSession): Promise<Instant> {
    const seen = await this.#store.lastSeen(live.record.key)
    if (seen !== null && seen > live.lastSeen) live.lastSeen = seen
    return live.lastSeen
  }

  /** Swaps the policy: everything is judged again under the new one. */
  replacePolicy(policy: Policy): Promise<Tally> {
    this.#policy = policy
    void this.#anchors.keepStanding(policy)
    return this.#worldChanged(null)
  }

  /** These sessions are judged again though no record changed: time passed, claims changed. */
  touched(sessions: readonly LiveSession[]): Promise<Tally> { return this.#moved(sessions, null) }

  #moved(sessions: readonly LiveSession[], announcement: Announcement | null): Promise<Tally> {
    return this.onChange({ sessions: this.#stale(sessions), anonymous: false, announcement })
  }

  #lockMoved({ selector }: Lock, announcement: Announcement): Promise<Tally> {
    const concerned = concernedBy(selector, this.#sessions.all())
    if (concerned?.anonymous === true) this.anonymous.stamp++
    return concerned === null ? this.#worldChanged(announcement) : this.onChange({ ...concerned, sessions: this.#stale(concerned.sessions), announcement })
  }

  /** What was decided on them, and on those delegated from them, stands no more. */
  #stale(sessions: readonly LiveSession[]): readonly LiveSession[] {
    const all = this.#kin.withBelow(sessions)
    for (const live of all) {
      live.stamp++
      live.view = null
    }
    return all
  }

  /** One announcement: what it closes is closed when this returns, judged when the promise settles. */
  heard(announcement: Announcement): Promise<Tally> {
    const { record } = announcement
    this.onAnnounced(announcement)
    if (record.record === 'session') return this.#heardSession(record, announcement)
    if (record.record === 'anchor') return this.#heardAnchor(this.amend(record), announcement)
    return this.#lockBook.take(this.amend(record)) ? this.#lockMoved(record, announcement) : Promise.resolve(NO_TALLY)
  }

  #heardSession(record: Session, announcement: Announcement | null): Promise<Tally> {
    const live = this.#sessions.get(record.key)
    if (live === undefined) {
      this.#arrivals.heard(record)
      if (this.#kin.hasChildren(record.key)) void this.load(record.key).catch(() => undefined) // else they are refused until it is asked for
      return Promise.resolve(NO_TALLY)
    }
    if (!isNewerSession(record, live.stored)) return live.early?.version === record.version ? live.early.judged : Promise.resolve(NO_TALLY)
    const asking = this.#replace(live, record)
    const judged = this.onChange({ sessions: this.#kin.withBelow([live]), anonymous: false, announcement })
    return asking === null ? judged : asking.then(() => judged) // what was given carries nothing before its conditions are known
  }

  /** @returns the asking for anchors that are not known yet; null when all are */
  #replace(live: LiveSession, record: Session): Promise<unknown> | null {
    const before = live.record
    if (before.id !== record.id) this.#reborn(live, record)
    live.stored = record
    live.record = this.amend(record)
    this.#stale([live])
    const asking = this.#anchors.tie(live, live.record)
    this.#anchors.untie(live, before, live.record)
    return asking
  }

  /** A new life under the same key: nothing of the old one's activity counts for it. */
  #reborn(live: LiveSession, record: Session): void {
    this.#sessions.rename(live, record.id)
    this.#kin.leave(live, live.record)
    this.#kin.join(live, record)
    live.lastSeen = record.openedAt
    live.claims = null
    live.newest = null
  }

  #heardAnchor(anchor: Anchor, announcement: Announcement, assumed = false): Promise<Tally> { return this.#moved(this.#anchors.take(anchor, assumed), announcement) }

  #worldChanged(announcement: Announcement | null): Promise<Tally> {
    this.#world++
    this.anonymous.stamp++
    for (const live of this.#sessions.all()) live.stamp++
    return this.onChange({ sessions: 'all', anonymous: true, announcement })
  }

  #taken(live: LiveSession): void {
    if (this.#kin.hasChildren(live.record.key)) void this.touched([live]) // they were refused without it
    this.onTaken(live)
  }

  #letGo(live: LiveSession): void {
    this.#anchors.untie(live, live.record, null)
    this.#kin.leave(live, live.record)
    this.onEvicted(live)
  }
}
