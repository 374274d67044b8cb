// The only writer of records: load, apply the news, commit the result with its facts; on a conflict again with what is there now.
// Ends that a busy record holds up land as a lock first; what a store lost is said again. SPEC: STO2-STO5, STO13, STO16, SIG1, SIG4
import { setTimeout as pause } from 'node:timers/promises'
import type { Anchor, AnchorRef, Lock, Selector } from '../core/anchor.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Fact } from '../core/fact.ts'
import { lockRef, type RecordRef, refName, sessionRef, type StoredRecord } from '../core/record.ts'
import type { EndReason } from '../core/reason.ts'
import type { Session, SessionKey } from '../core/session.ts'
import { type AnchorSignal, isRestrictive, type LockSignal, type SessionSignal, type Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import { lockAhead } from './ahead.ts'
import { Debts, operationOf } from './debts.ts'
import type { Journal } from './journal.ts'
import type { Journaled } from './journal/entries.ts'
import { NO_TALLY } from './change.ts'
import type { Mirror } from './mirror.ts'
import { type Applied, type Doing, isSameLife, type Known, sessionIn, UNKNOWN } from './doing.ts'
import { isAwaited, stepOf } from './news.ts'
import { placement } from './placement.ts'
import { Settlement } from './settlement.ts'
import type { Ahead, Commit, CommitAnswer, Lost, Position, SessionStore } from './store.ts'
import { isUnreachable, StoreFault } from './store-fault.ts'

const ATTEMPTS = 16
/** What takes away tries longer. */
const ATTEMPTS_TAKING = 64
/** A record that an end has overtaken is settled behind it, however often that takes. */
const ATTEMPTS_BEHIND = 1_000
/** Longest wait for the store's own time to reach what time has caused, in milliseconds: this clock is a round trip ahead at most. */
const EARLY_MAX = 1_000

export class Ledger {
  readonly #store: SessionStore
  readonly #mirror: Mirror
  readonly #clock: Clock
  readonly #journal: Journal | null
  readonly #debts: Debts
  readonly #settlement: Settlement
  /** Hears what this gateway wrote. */
  onCommitted: (record: StoredRecord, facts: readonly Fact[]) => void = () => {}
  /** Likewise, with the record as it was before. */
  onReplaced: (before: StoredRecord | null, facts: readonly Fact[]) => void = () => {}
  /** Why an elevation that waited must not start: see `Settlement`. */
  objection: (session: Session, elevation: Elevation) => Promise<EndReason | null> = async () => null
  /** Hears what became of news said again. */
  onSaidAgain: (result: 'recorded' | 'known') => void = () => {}

  /** Hears of an end in force here that a store which answers does not take. */
  onStuck: (record: string, cause: unknown) => void = () => {}
  /** Hears that restrictive news could not be written down. */
  onUnwritten: (cause: unknown) => void = () => {}

  /** @param journal where restrictive news is written down beside a store that may lose it; null where the store alone is enough */
  constructor(store: SessionStore, mirror: Mirror, clock: Clock, journal: Journal | null = null) {
    this.#store = store
    this.#mirror = mirror
    this.#clock = clock
    this.#journal = journal
    this.#debts = new Debts({ journal, pay: debt => this.#paid(debt), settled: ref => mirror.settled(ref), stuck: ({ ref }, cause) => this.onStuck(refName(ref), cause) })
    this.#settlement = new Settlement(store, {
      apply: (key, signal) => this.applyToSession(key, signal), settle: session => this.settle(session), policy: () => mirror.policy, now: () => clock.now(),
      claimsOf: ({ key }) => mirror.known(key)?.knownClaims ?? null, objection: (session, elevation) => this.objection(session, elevation),
    })
    mirror.amend = record => this.#debts.amended(record)
  }

  set onOwedFull(hear: () => void) { this.#debts.onFull = hear }

  /** Restrictive news that is in force here and not yet in the store. */
  get owed(): number { return this.#debts.size }

  async applyToSession(key: SessionKey, signal: SessionSignal, due: Instant | null = null): Promise<Applied<Session>> {
    return this.#apply(sessionRef(key), signal, due, { stored: () => this.#mirror.known(key)?.stored ?? null, now: () => this.#mirror.known(key)?.record ?? null })
  }

  /** Settles behind the commit: in every session tied to the anchor elevations end, or start. */
  async applyToAnchor(ref: AnchorRef, signal: AnchorSignal): Promise<Applied<Anchor>> {
    const applied = await this.#apply<Anchor>(ref, signal, null, { stored: () => null, now: () => this.#mirror.anchors.known(ref) })
    if (applied.position !== null && ref.kind !== 'event') this.#settlement.ofAnchor(ref, signal)
    return applied
  }

  async applyToLock(selector: Selector, signal: LockSignal): Promise<Applied<Lock>> {
    const known = (): Lock | null => this.#mirror.lock(selector)
    return this.#apply(lockRef(selector), signal, null, { stored: known, now: known })
  }

  /** Settles everything that time, a shared condition or its parent's end has decided about this session: the next touch after a restart or a message lost. */
  async settle(session: Session): Promise<void> {
    const now = this.#clock.now()
    const timely = await this.applyToSession(session.key, { kind: 'time.passed', id: newSignalId(), by: 'timekeeper', note: '' }, now)
    if (timely.record !== null) await this.#settlement.ofSession(timely.record)
  }

  /** Resolves when nothing is left to settle. */
  settled(): Promise<void> { return this.#settlement.settled() }

  /** What is not settled yet is left to the next touch. */
  stop(): void {
    this.#settlement.stop()
    this.#debts.stop()
  }

  // ---- what a store lost, or never had

  /** At start: what earlier runs owed or had just brought is said first. @throws StoreFault while the store does not take it */
  async recall(): Promise<void> {
    if (this.#journal === null) return
    this.#debts.inherit(this.#journal.owed)
    await this.#debts.settle(null)
    for (const said of this.#journal.recent) await this.#sayOne(said)
  }

  /**
   * The store lost these: they are recorded again, under the operations they had, so that many gateways make one event. What is owed comes first.
   * @param replaced it is another data set: every lock known here is said as well
   * @throws StoreFault while the store does not take them
   */
  async sayAgain(lost: readonly Lost[], replaced: boolean): Promise<void> {
    await this.#debts.settle(null)
    if (replaced) for (const lock of this.#mirror.standingLocks()) await this.#setAgain(lock)
    const ends = new Set(lost.flatMap(({ ref, news }) => (ref.kind === 'lock' ? [] : [news.id])))
    const needed = lost.filter(({ ref, news }) => ref.kind !== 'lock' || !ends.has(news.id)) // where the end itself is said, no lock has to stand for it
    for (const { ref, news, record } of needed) await this.#sayOne({ ref, news, at: this.#clock.now(), record: sessionIn(record) })
  }

  /** What the store answers and does not take is owed, and holds up nothing else. @throws StoreFault while it does not answer */
  async #sayOne(said: Journaled): Promise<void> {
    try {
      await this.#again(said.ref, said.news, said.record)
    } catch (error) {
      if (isUnreachable(error) || !this.#debts.hasRoomFor(said.ref)) throw error
      await this.#debts.owe(said).catch((unwritten: unknown) => this.#unwritten(unwritten))
    }
  }

  /** @param session it is about, as it was known */
  async #again(ref: RecordRef, news: Signal, session: Session | null): Promise<void> {
    if (session !== null) await this.#bearAgain(ref, session, news)
    const { facts } = await this.#commit({ ref, news, due: null, at: null, mayGoAhead: false, noted: false }, UNKNOWN)
    this.onSaidAgain(facts.length > 0 ? 'recorded' : 'known')
  }

  #setAgain({ id, selector, effect, reason, until, note, by }: Lock): Promise<unknown> {
    return this.#again(lockRef(selector), { kind: 'lock.set', lock: id, selector, effect, reason, until, id: `sig_again_${id}` as Signal['id'], by, note }, null) // one id on every gateway
  }

  /** A session whose very opening was lost is opened as it was, so that its end finds it. */
  async #bearAgain(ref: RecordRef, { id, key, epoch, principal, credential, endsAt, bindings, aliases, brokered }: Session, { id: signal, by }: Signal): Promise<void> {
    if ((await this.#store.load(ref)) !== null) return
    await this.#again(ref, { kind: 'session.opened', key, session: id, epoch, principal, credential, endsAt, bindings, aliases, brokered, id: `${signal}.birth` as Signal['id'], by, note: 'said again' }, null) // likewise
  }

  // ---- the write

  async #apply<R extends StoredRecord>(ref: RecordRef, news: Signal, due: Instant | null, known: Known): Promise<Applied<R>> {
    try {
      await this.#debts.settle(ref)
      return await this.#commit<R>({ ref, news, due, at: null, mayGoAhead: true, noted: true }, known)
    } catch (error) {
      if (!isRestrictive(news.kind) || news.kind === 'time.passed') throw error
      return this.#assume(error, ref, news, known)
    }
  }

  /** Written down beside the store's own word, for the day on which both a server and its last writes are gone. */
  async #note({ ref, news, noted }: Doing, record: StoredRecord | null): Promise<void> {
    if (!noted || this.#journal === null || !isRestrictive(news.kind) || !isAwaited(news)) return
    await this.#journal.write({ ref, news, at: this.#clock.now(), record: sessionIn(record) }, false).catch((error: unknown) => this.#unwritten(error))
  }

  /** The end is in force all the same; what is lost is one of its witnesses. */
  #unwritten(error: unknown): false {
    this.onUnwritten(error)
    return false
  }

  /** A session that is over, by this or before, takes those delegated from it along; one whose claims changed may have lost what its elevations stand on. */
  async #commit<R extends StoredRecord>(doing: Doing, known: Known, attempts = isRestrictive(doing.news.kind) ? ATTEMPTS_TAKING : ATTEMPTS): Promise<Applied<R>> {
    const applied = await this.#tryCommit<R>(doing, known, attempts)
    const session = sessionIn(applied.record)
    if (isRestrictive(doing.news.kind)) this.#settlement.ofEnded(session, doing.news)
    if (doing.news.kind === 'claims.changed' && session !== null) this.#settlement.behind(this.#settlement.ofSession(session))
    return applied
  }

  async #tryCommit<R extends StoredRecord>(doing: Doing, known: Known, attempts: number): Promise<Applied<R>> {
    const { ref, news, due, at } = doing
    let epoch = this.#store.epochOf(ref)
    const remembered = this.#debts.has(ref) ? null : known.stored()
    let current: StoredRecord | null = remembered ?? (await this.#store.load(ref))
    let note: Promise<void> | null = null
    let patience = EARLY_MAX
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { record, facts, rejected } = stepOf(ref, news)(current, at ?? this.#clock.now())
      const changes = rejected === null && facts.length > 0
      if (!changes && current !== null && current === remembered && this.#mayBeBehind(news)) {
        current = await this.#store.load(ref)
        continue
      }
      if (!changes || record === null) return { record: record as R | null, facts, rejected, position: null, assumed: null, journaled: false, cutOff: false } // a ref's record keeps its kind, here and below
      note ??= this.#note(doing, current)
      const commit = this.#commitOf(doing, current, record, facts, epoch)
      const [answer] = await Promise.all([this.#write(commit), note])
      if (answer.is === 'OK') {
        this.onReplaced(current, facts)
        this.onCommitted(record, facts)
        return { record: record as R, facts, rejected: null, position: answer.position, assumed: null, journaled: false, cutOff: false }
      }
      if (answer.is === 'DUP') return { record: (await this.#store.load(ref)) as R | null, facts: [], rejected: null, position: answer.position, assumed: null, journaled: false, cutOff: false }
      if (answer.is === 'EARLY') {
        const wait = Math.max(1, (due ?? answer.now) - answer.now)
        patience -= wait
        if (patience < 0) return { record: current as R | null, facts: [], rejected: null, position: null, assumed: null, journaled: false, cutOff: false } // it is not time, by far
        await pause(wait)
        continue
      }
      if (answer.is === 'EPOCH') epoch = answer.epoch
      const meant = current
      current = answer.is === 'CONFLICT' ? answer.record : await this.#store.load(ref)
      if (answer.is !== 'CONFLICT' || answer.ahead === null || commit.ahead === null) continue
      if (isSameLife(meant, current)) return this.#wentAhead(doing, current, commit.ahead, answer.ahead)
      this.#settlement.behind(this.#liftAhead(commit.ahead)) // it stands for a life that is over
    }
    throw new Error(`${refName(ref)} kept changing under ${attempts} attempts to write it`)
  }

  /** That somebody's word changes nothing is said by the store alone: what is known here may have been undone, and its news on the way. */
  #mayBeBehind(news: Signal): boolean { return isAwaited(news) && this.#store.confirmedUntil() !== Infinity }

  #commitOf({ ref, news, due, mayGoAhead }: Doing, current: StoredRecord | null, record: StoredRecord, facts: readonly Fact[], epoch: string): Commit {
    return {
      operation: operationOf(ref, news), ref, expectedVersion: current?.version ?? 0, expectedEpoch: epoch, record, facts, due, ...placement(record, this.#clock.now()),
      news: isRestrictive(news.kind) && news.kind !== 'time.passed' ? news : null, awaited: isAwaited(news),
      ahead: mayGoAhead && current?.record === 'session' ? lockAhead(current, news, this.#clock.now(), selector => this.#mirror.lock(selector)) : null,
    }
  }

  #write(commit: Commit): Promise<CommitAnswer> {
    return commit.news === null && commit.due === null ? this.#store.commit(commit) : this.#store.commitRestrictive(commit)
  }

  /** The end is in force as a lock; the record gets it behind, and then the lock goes. */
  #wentAhead<R extends StoredRecord>(doing: Doing, current: StoredRecord | null, ahead: Ahead, position: Position): Applied<R> {
    const { ref, news } = doing
    const now = this.#clock.now()
    const { record, facts } = stepOf(ref, news)(current, now)
    const settling = this.#commit({ ...doing, mayGoAhead: false, noted: false }, UNKNOWN, ATTEMPTS_BEHIND)
    this.#settlement.behind(settling.then(() => this.#liftAhead(ahead), () => this.#debts.owe({ ref, news, at: now, record: sessionIn(current) })))
    return { record: record as R | null, facts, rejected: null, position, assumed: null, journaled: false, cutOff: false }
  }

  /** Only the very lock that went ahead: an operator may have said more since. */
  async #liftAhead({ ref, record: ahead }: Ahead): Promise<void> {
    const lock = await this.#store.load(ref)
    if (lock?.record !== 'lock' || ahead.record !== 'lock' || lock.id !== ahead.id || lock.version !== ahead.version) return
    await this.applyToLock(lock.selector, { kind: 'lock.lifted', id: newSignalId(), by: 'ledger', note: 'its session has it now' })
  }

  /** The store is down, the emergency is not: what takes away is in force here at once, and written as soon as the store answers. */
  async #assume<R extends StoredRecord>(cause: unknown, ref: RecordRef, news: Signal, known: Known): Promise<Applied<R>> {
    const now = this.#clock.now()
    const before = known.now()
    const cutOff = isUnreachable(cause)
    const { record, facts, rejected } = stepOf(ref, news)(before, now)
    if (rejected !== null || record === null) throw cause
    const isOwed = this.#debts.owes(ref, news) || (facts.length === 0 && stepOf(ref, news)(known.stored(), now).facts.length > 0)
    if (isOwed) return { record: record as R, facts, rejected: null, position: null, assumed: NO_TALLY, journaled: false, cutOff } // it is in force by what is owed already
    if (!this.#debts.hasRoomFor(ref)) throw cause
    const written = this.#debts.owe({ ref, news, at: now, record: sessionIn(before) }).then(() => this.#journal !== null, (error: unknown) => this.#unwritten(error))
    const version = record.record === 'anchor' ? 0 : (before?.version ?? 0) // the store's next one is newer, whatever it is; an anchor of no version is one that no store has told
    const assumed = await this.#mirror.assume({ ...record, version }, facts)
    return { record: record as R, facts, rejected: null, position: null, assumed, journaled: await written, cutOff }
  }

  /** As of when it was enforced: the record here and the one there are one. */
  async #paid({ ref, news, at, record }: Journaled): Promise<void> {
    if (record !== null) await this.#bearAgain(ref, record, news)
    const { rejected } = await this.#commit({ ref, news, due: null, at, mayGoAhead: false, noted: false }, UNKNOWN)
    if (record === null && rejected?.rejected === 'not_found') throw new StoreFault('failed', `${refName(ref)} is not in the store, and nothing is known of it that could be put there`)
    const ahead = record === null ? null : lockAhead(record, news, this.#clock.now(), () => null) // by which it may have gone ahead before it was owed
    if (ahead !== null) this.#settlement.behind(this.#liftAhead(ahead))
  }
}
