// The only writer of records: load, apply the news, commit the result with its facts; on a conflict again with what is there now.
// Ends that a busy record holds up land as a lock first; what a store lost is said again. SPEC: STO2-STO5, STO13, STO16, SIG1, SIG4
import type { Anchor, AnchorRef, Lock, Selector } from '../core/anchor.ts'
import { tieBroken } from '../core/effective.ts'
import { isOver } from '../core/elevation.ts'
import type { Fact } from '../core/fact.ts'
import { lockRef, type RecordRef, refName, sessionRef, type StoredRecord, tiesOf } from '../core/record.ts'
import type { Session, SessionKey } from '../core/session.ts'
import { type AnchorSignal, isRestrictive, type LockSignal, type SessionSignal, type Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import type { Rejected } from '../core/transitions/rule.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import { lockAhead } from './ahead.ts'
import { Debts, operationOf } from './debts.ts'
import type { Journal } from './journal.ts'
import type { Journaled } from './journal/entries.ts'
import { type Mirror, NO_TALLY } from './mirror.ts'
import { isAwaited, stepOf } from './news.ts'
import { placement } from './placement.ts'
import type { Commit, CommitAnswer, Lost, Position, SessionStore, Tally } from './store.ts'

export type Applied<R> = {
  readonly record: R | null
  readonly facts: readonly Fact[]
  /** Why the news was not taken; null when it was, also when it changed nothing. */
  readonly rejected: Rejected | null
  /** Where the store put it; null when nothing had to be written, or when the store did not answer. */
  readonly position: Position | null
  /** The store did not answer restrictive news: it is enforced here from memory, and owed to the store. What it did to open exchanges. */
  readonly assumed: Tally | null
  /** News that is only assumed is written down for the store. */
  readonly journaled: boolean
}

/** The record as this gateway has it now; null asks the store. */
type Known = () => StoredRecord | null
const UNKNOWN: Known = () => null

/** News on its way into the store. */
type Doing = {
  readonly ref: RecordRef
  readonly news: Signal
  readonly due: Instant | null
  /** When it took effect; null decides at each attempt. */
  readonly at: Instant | null
  /** What an end may be written as where its record is busy. */
  readonly mayGoAhead: boolean
}

const ATTEMPTS = 16
/** A record that an end has overtaken is settled behind it, however often that takes. */
const ATTEMPTS_BEHIND = 1_000
/** Longest wait for the store's own time to reach what time has caused, in milliseconds: this clock is a round trip ahead at most. */
const EARLY_MAX = 1_000
const SETTLED_AT_ONCE = 10_000

export class Ledger {
  readonly #store: SessionStore
  readonly #mirror: Mirror
  readonly #clock: Clock
  readonly #journal: Journal | null
  readonly #debts: Debts
  /** Settlements on their way; a shutdown waits for them. */
  readonly #settling = new Set<Promise<void>>()
  /** Hears what this gateway wrote. */
  onCommitted: (record: StoredRecord, facts: readonly Fact[]) => void = () => {}
  /** Hears what became of news said again. */
  onSaidAgain: (result: 'recorded' | 'known') => void = () => {}

  /** Hears that restrictive news could not be written down. */
  onUnwritten: (cause: unknown) => void = () => {}

  /** @param journal where restrictive news is written down beside a store that may lose it; null where the store alone is enough */
  constructor(store: SessionStore, mirror: Mirror, clock: Clock, journal: Journal | null = null) {
    this.#store = store
    this.#mirror = mirror
    this.#clock = clock
    this.#journal = journal
    this.#debts = new Debts(journal, debt => this.#paid(debt))
    mirror.amend = record => this.#debts.amended(record)
  }

  set onOwedFull(hear: () => void) { this.#debts.onFull = hear }

  /** Restrictive news that is in force here and not yet in the store. */
  get owed(): number { return this.#debts.size }

  async applyToSession(key: SessionKey, signal: SessionSignal, due: Instant | null = null): Promise<Applied<Session>> {
    return this.#apply(sessionRef(key), signal, due, () => this.#mirror.peek(key)?.record ?? null)
  }

  /** An end settles behind the commit: every session tied to the anchor gets its `elevation.ended`. */
  async applyToAnchor(ref: AnchorRef, signal: AnchorSignal): Promise<Applied<Anchor>> {
    const applied = await this.#apply<Anchor>(ref, signal, null, UNKNOWN)
    if (applied.position !== null && signal.kind === 'anchor.ended') this.#behind(this.#settleTied(ref, signal))
    return applied
  }

  async applyToLock(selector: Selector, signal: LockSignal): Promise<Applied<Lock>> {
    return this.#apply(lockRef(selector), signal, null, () => this.#mirror.lock(selector))
  }

  /** Settles everything that time or a shared condition has decided about this session: the next touch after a restart or a message lost. */
  async settle(session: Session): Promise<void> {
    const now = this.#clock.now()
    const timely = await this.applyToSession(session.key, { kind: 'time.passed', id: newSignalId(), by: 'timekeeper', note: '' }, now)
    if (timely.record !== null) await this.#endBroken(timely.record, 'anchor')
  }

  /** Resolves when nothing is left to settle. */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.allSettled(this.#settling)
  }

  stop(): void { this.#debts.stop() }

  // ---- what a store lost, or never had

  /** At start: what earlier runs owed or had just brought is said first. @throws StoreFault while the store does not take it */
  async recall(): Promise<void> {
    if (this.#journal === null) return
    this.#debts.inherit(this.#journal.owed)
    await this.#debts.settle()
    for (const { ref, news } of this.#journal.recent) await this.#again(ref, news)
  }

  /**
   * The store lost these: they are recorded again, under the operations they had, so that many gateways make one event. What is owed comes first.
   * @param replaced it is another data set: every lock known here is said as well
   * @throws StoreFault while the store does not take them
   */
  async sayAgain(lost: readonly Lost[], replaced: boolean): Promise<void> {
    await this.#debts.settle()
    if (replaced) for (const lock of this.#mirror.standingLocks()) await this.#setAgain(lock)
    for (const { ref, news, record } of lost) {
      if (record.record === 'session') await this.#bearAgain(ref, record, news)
      await this.#again(ref, news)
    }
  }

  async #again(ref: RecordRef, news: Signal): Promise<void> {
    const { facts } = await this.#commit({ ref, news, due: null, at: null, mayGoAhead: false }, UNKNOWN)
    this.onSaidAgain(facts.length > 0 ? 'recorded' : 'known')
  }

  #setAgain({ id, selector, effect, reason, until, note, by }: Lock): Promise<unknown> {
    return this.#again(lockRef(selector), { kind: 'lock.set', lock: id, selector, effect, reason, until, id: `sig_again_${id}` as Signal['id'], by, note }) // one id on every gateway
  }

  /** A session whose very opening was lost is opened as it was, so that its end finds it. */
  async #bearAgain(ref: RecordRef, { id, key, epoch, principal, credential, endsAt }: Session, { id: signal, by }: Signal): Promise<void> {
    if ((await this.#store.load(ref)) !== null) return
    await this.#again(ref, { kind: 'session.opened', key, session: id, epoch, principal, credential, endsAt, id: `${signal}.birth` as Signal['id'], by, note: 'said again' }) // likewise
  }

  // ---- what follows from an end

  #behind(work: Promise<unknown>): void {
    const tracked = work.then(() => undefined, () => undefined).finally(() => this.#settling.delete(tracked))
    this.#settling.add(tracked)
  }

  async #settleTied(ref: AnchorRef, signal: Signal): Promise<void> {
    const tied = await this.#store.tiedTo(ref, SETTLED_AT_ONCE)
    for (const { name } of tied) {
      const record = await this.#store.load({ kind: 'session', name })
      if (record?.record === 'session') await this.#endBroken(record, signal.id)
    }
  }

  /** Ends, as facts, the elevations whose shared condition has ended. The judge refuses them already. */
  async #endBroken(session: Session, because: string): Promise<void> {
    for (const elevation of session.elevations) {
      if (isOver(elevation)) continue
      const anchors = await this.#anchorsOf(session)
      const reason = tieBroken(elevation, { find: ref => anchors.get(refName(ref)) ?? null })
      if (reason !== null) await this.applyToSession(session.key, { kind: 'elevation.ended', elevation: elevation.id, reason, because, id: newSignalId(), by: 'ledger', note: '' })
    }
  }

  async #anchorsOf(session: Session): Promise<Map<string, Anchor>> {
    const anchors = new Map<string, Anchor>()
    for (const ref of tiesOf(session)) {
      const record = await this.#store.load(ref)
      if (record?.record === 'anchor') anchors.set(refName(ref), record)
    }
    return anchors
  }

  // ---- the write

  async #apply<R extends StoredRecord>(ref: RecordRef, news: Signal, due: Instant | null, known: Known): Promise<Applied<R>> {
    try {
      await this.#debts.settle()
      const [applied] = await Promise.all([this.#commit<R>({ ref, news, due, at: null, mayGoAhead: true }, known), this.#note(ref, news)])
      return applied
    } catch (error) {
      if (!isRestrictive(news.kind) || news.kind === 'time.passed') throw error
      return this.#assume(error, ref, news, known)
    }
  }

  /** Written down beside the store's own word, for the day on which both a server and its last writes are gone. */
  async #note(ref: RecordRef, news: Signal): Promise<void> {
    if (this.#journal === null || !isRestrictive(news.kind) || !isAwaited(news)) return
    await this.#journal.write({ ref, news, at: this.#clock.now() }, false).catch((error: unknown) => this.#unwritten(error))
  }

  /** The end is in force all the same; what is lost is one of its witnesses. */
  #unwritten(error: unknown): false {
    this.onUnwritten(error)
    return false
  }

  async #commit<R extends StoredRecord>(doing: Doing, known: Known, attempts = ATTEMPTS): Promise<Applied<R>> {
    const { ref, news, due, at } = doing
    let epoch = this.#store.epochOf(ref)
    let current: StoredRecord | null = known() ?? (await this.#store.load(ref))
    let patience = EARLY_MAX
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { record, facts, rejected } = stepOf(ref, news)(current, at ?? this.#clock.now())
      if (rejected !== null || facts.length === 0 || record === null) return { record: record as R | null, facts, rejected, position: null, assumed: null, journaled: false } // a ref's record keeps its kind, here and below
      const answer = await this.#write(this.#commitOf(doing, current, record, facts, epoch))
      if (answer.is === 'OK') this.onCommitted(record, facts)
      if (answer.is === 'OK') return { record: record as R, facts, rejected: null, position: answer.position, assumed: null, journaled: false }
      if (answer.is === 'DUP') return { record: (await this.#store.load(ref)) as R | null, facts: [], rejected: null, position: answer.position, assumed: null, journaled: false }
      if (answer.is === 'EARLY') {
        const wait = Math.max(1, (due ?? answer.now) - answer.now)
        patience -= wait
        if (patience < 0) return { record: current as R | null, facts: [], rejected: null, position: null, assumed: null, journaled: false } // it is not time, by far
        await pause(wait)
        continue
      }
      if (answer.is === 'EPOCH') epoch = answer.epoch
      current = answer.is === 'CONFLICT' ? answer.record : await this.#store.load(ref)
      if (answer.is === 'CONFLICT' && answer.ahead !== null) return this.#wentAhead(doing, current, answer.ahead)
    }
    throw new Error(`${refName(ref)} kept changing under ${attempts} attempts to write it`)
  }

  #commitOf({ ref, news, due, mayGoAhead }: Doing, current: StoredRecord | null, record: StoredRecord, facts: readonly Fact[], epoch: string): Commit {
    return {
      operation: operationOf(ref, news), ref, expectedVersion: current?.version ?? 0, expectedEpoch: epoch, record, facts, due, ...placement(record),
      news: isRestrictive(news.kind) && news.kind !== 'time.passed' ? news : null, awaited: isAwaited(news),
      ahead: mayGoAhead && current?.record === 'session' ? lockAhead(current, news, this.#clock.now(), selector => this.#mirror.lock(selector)) : null,
    }
  }

  #write(commit: Commit): Promise<CommitAnswer> {
    return commit.news === null && commit.due === null ? this.#store.commit(commit) : this.#store.commitRestrictive(commit)
  }

  /** The end is in force as a lock; the record gets it behind, and then the lock goes. */
  #wentAhead<R extends StoredRecord>(doing: Doing, current: StoredRecord | null, position: Position): Applied<R> {
    const { record, facts } = stepOf(doing.ref, doing.news)(current, this.#clock.now())
    this.#behind(this.#commit({ ...doing, mayGoAhead: false }, UNKNOWN, ATTEMPTS_BEHIND).then(() => this.#liftAhead(current, doing.news)))
    return { record: record as R | null, facts, rejected: null, position, assumed: null, journaled: false }
  }

  async #liftAhead(current: StoredRecord | null, news: Signal): Promise<void> {
    const ahead = current?.record === 'session' ? lockAhead(current, news, this.#clock.now(), () => null) : null
    if (ahead?.record.record === 'lock') await this.applyToLock(ahead.record.selector, { kind: 'lock.lifted', id: newSignalId(), by: 'ledger', note: 'its session has it now' })
  }

  /** The store is down, the emergency is not: what takes away is in force here at once, and written as soon as the store answers. */
  async #assume<R extends StoredRecord>(cause: unknown, ref: RecordRef, news: Signal, known: Known): Promise<Applied<R>> {
    const now = this.#clock.now()
    const { record, facts, rejected } = stepOf(ref, news)(known(), now)
    if (rejected !== null || record === null) throw cause
    if (facts.length === 0) return { record: record as R, facts, rejected: null, position: null, assumed: NO_TALLY, journaled: false } // in force already; whether the store has it is not known
    if (!this.#debts.hasRoom) throw cause
    const written = this.#debts.owe(ref, news, now).then(() => this.#journal !== null, (error: unknown) => this.#unwritten(error))
    const assumed = await this.#mirror.assume(record, facts)
    return { record: record as R, facts, rejected: null, position: null, assumed, journaled: await written }
  }

  /** As of when it was enforced: the record here and the one there are one. */
  #paid({ ref, news, at }: Journaled): Promise<unknown> {
    return this.#commit({ ref, news, due: null, at, mayGoAhead: false }, UNKNOWN)
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
