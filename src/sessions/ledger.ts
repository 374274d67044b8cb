// The only writer of records: load, apply the news, commit the result with its facts; on a conflict again with what is there now.
// SPEC: STO2-STO5, SIG1, SIG4
import type { Anchor, AnchorRef, Lock, Selector } from '../core/anchor.ts'
import { isOver } from '../core/elevation.ts'
import { tieBroken } from '../core/effective.ts'
import type { Fact } from '../core/fact.ts'
import { indexOf, lockRef, type RecordRef, refName, sessionRef, type StoredRecord, tiesOf } from '../core/record.ts'
import type { Session, SessionKey } from '../core/session.ts'
import { type AnchorSignal, isRestrictive, type LockSignal, type SessionSignal, type Signal } from '../core/signal.ts'
import { after, duration, type Instant, instant } from '../core/time.ts'
import { transition, transitionAnchor, transitionLock } from '../core/transition.ts'
import type { Rejected } from '../core/transitions/rule.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import { type Mirror, NO_TALLY } from './mirror.ts'
import { StoreFault } from './store-fault.ts'
import type { Commit, Position, SessionStore, Tally } from './store.ts'

export type Applied<R> = {
  readonly record: R | null
  readonly facts: readonly Fact[]
  /** Why the news was not taken; null when it was, also when it changed nothing. */
  readonly rejected: Rejected | null
  /** Where the store put it; null when nothing had to be written, or when the store did not answer. */
  readonly position: Position | null
  /** The store did not answer restrictive news: it is enforced here from memory, and owed to the store. What it did to open exchanges. */
  readonly assumed: Tally | null
}

/** The record as this gateway has it now; null asks the store. */
type Known = () => StoredRecord | null
const UNKNOWN: Known = () => null
type Step<R> = (record: StoredRecord | null, now: Instant) => { readonly record: R | null; readonly facts: readonly Fact[]; readonly rejected: Rejected | null }

const ATTEMPTS = 16
/** Restrictive news the store still has to take, and how often it is tried. */
const OWED_MAX = 10_000
const OWED_EVERY = 1_000
const SETTLED_AT_ONCE = 10_000
const DAY = 86_400_000
/** How long an ended life keeps refusing what it ended, beyond the end of its newest credential. */
const TOMBSTONE_SLACK = duration(7 * DAY)

export class Ledger {
  readonly #store: SessionStore
  readonly #mirror: Mirror
  readonly #clock: Clock
  /** Settlements on their way; a shutdown waits for them. */
  readonly #settling = new Set<Promise<void>>()
  /** Hears of restrictive news that found no place among what is owed. */
  onOwedFull: () => void = () => {}
  #owed: (() => Promise<unknown>)[] = []
  #paying: NodeJS.Timeout | null = null
  #payment: Promise<void> | null = null

  constructor(store: SessionStore, mirror: Mirror, clock: Clock) {
    this.#store = store
    this.#mirror = mirror
    this.#clock = clock
  }

  async applyToSession(key: SessionKey, signal: SessionSignal, due: Instant | null = null): Promise<Applied<Session>> {
    return this.#apply(sessionRef(key), signal, due, () => this.#mirror.peek(key)?.record ?? null, (record, now) => transition(record?.record === 'session' ? record : null, signal, now))
  }

  /** An end settles behind the commit: every session tied to the anchor gets its `elevation.ended`. */
  async applyToAnchor(ref: AnchorRef, signal: AnchorSignal): Promise<Applied<Anchor>> {
    const applied = await this.#apply<Anchor>(ref, signal, null, UNKNOWN, (record, now) => transitionAnchor(ref, record?.record === 'anchor' ? record : null, signal, now))
    if (applied.position !== null && signal.kind === 'anchor.ended') this.#behind(this.#settleTied(ref, signal))
    return applied
  }

  async applyToLock(selector: Selector, signal: LockSignal): Promise<Applied<Lock>> {
    return this.#apply(lockRef(selector), signal, null, () => this.#mirror.lock(selector), (record, now) => transitionLock(record?.record === 'lock' ? record : null, signal, now))
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

  #behind(work: Promise<void>): void {
    const tracked = work.catch(() => undefined).finally(() => this.#settling.delete(tracked))
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

  async #apply<R extends StoredRecord>(ref: RecordRef, signal: Signal, due: Instant | null, known: Known, step: Step<R>): Promise<Applied<R>> {
    try {
      if (this.#owed.length > 0) await this.#settleDebt()
      return await this.#commit(ref, signal, due, known, step)
    } catch (error) {
      if (!isRestrictive(signal.kind) || signal.kind === 'time.passed') throw error
      return this.#assume(error, known, step, again => this.#commit(ref, signal, due, UNKNOWN, again))
    }
  }

  async #commit<R extends StoredRecord>(ref: RecordRef, signal: Signal, due: Instant | null, known: Known, step: Step<R>): Promise<Applied<R>> {
    let current: StoredRecord | null = known() ?? (await this.#store.load(ref))
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { record, facts, rejected } = step(current, this.#clock.now())
      if (rejected !== null || facts.length === 0 || record === null) return { record, facts, rejected, position: null, assumed: null }
      const restrictive = isRestrictive(signal.kind)
      const commit: Commit = {
        operation: `${signal.id}:${refName(ref)}`, ref, expectedVersion: current?.version ?? 0, expectedEpoch: restrictive ? 'any' : this.#store.epoch,
        record, facts, due, ...placement(record),
      }
      const answer = await (restrictive ? this.#store.commitRestrictive(commit) : this.#store.commit(commit))
      if (answer.is === 'OK') return { record, facts, rejected: null, position: answer.position, assumed: null }
      if (answer.is === 'DUP') return { record: (await this.#store.load(ref)) as R | null, facts: [], rejected: null, position: answer.position, assumed: null } // a ref's record keeps its kind
      if (answer.is === 'EARLY') return { record: current as R | null, facts: [], rejected: null, position: null, assumed: null } // likewise
      current = answer.is === 'CONFLICT' ? answer.record : await this.#store.load(ref)
    }
    throw new Error(`${refName(ref)} kept changing under ${ATTEMPTS} attempts to write it`)
  }

  /** The store is down, the emergency is not: what takes away is in force here at once, and written as soon as the store answers. */
  async #assume<R extends StoredRecord>(cause: unknown, known: Known, step: Step<R>, commit: (again: Step<R>) => Promise<unknown>): Promise<Applied<R>> {
    const now = this.#clock.now()
    const { record, facts, rejected } = step(known(), now)
    if (rejected !== null || record === null) throw cause
    if (facts.length === 0) return { record, facts, rejected: null, position: null, assumed: NO_TALLY } // in force already; whether the store has it is not known
    if (this.#owed.length >= OWED_MAX) {
      this.onOwedFull()
      throw cause
    }
    this.#owed.push(() => commit(stored => step(stored, now))) // as of when it was enforced: the record here and the one there are one
    this.#paying ??= setInterval(() => void this.#pay(), OWED_EVERY).unref()
    return { record, facts, rejected: null, position: null, assumed: await this.#mirror.assume(record, facts) }
  }

  /** What is owed comes first: nothing may be decided on a record that lacks an end which is in force. */
  async #settleDebt(): Promise<void> {
    await this.#pay()
    if (this.#owed.length > 0) throw new StoreFault('failed', 'the store still lacks ends that are in force; it takes nothing new before them')
  }

  /** One payment at a time, in order, until the store fails again. */
  #pay(): Promise<void> {
    this.#payment ??= this.#payAll().finally(() => (this.#payment = null))
    return this.#payment
  }

  async #payAll(): Promise<void> {
    for (let first = this.#owed[0]; first !== undefined; first = this.#owed[0]) {
      if (await first().then(() => false, () => true)) return
      this.#owed.shift()
    }
    if (this.#paying !== null) clearInterval(this.#paying)
    this.#paying = null
  }

  /** Restrictive news that is in force here and not yet in the store. */
  get owed(): number { return this.#owed.length }
}

/** No elevation lives as long as these: what still points at a forgotten anchor has ended before. */
const OPEN_ANCHOR_KEPT = duration(90 * DAY)
const ENDED_ANCHOR_KEPT = duration(30 * DAY)

/** Where a record is found and when it may be forgotten. */
function placement(record: StoredRecord): Pick<Commit, 'index' | 'ties' | 'forgetAt'> {
  if (record.record === 'session') return { index: indexOf(record), ties: tiesOf(record), forgetAt: sessionForgetAt(record) }
  if (record.record === 'lock') return { index: [], ties: [], forgetAt: record.state === 'lifted' ? instant(0) : record.until }
  return { index: [], ties: [], forgetAt: after(record.since, record.state === 'open' ? OPEN_ANCHOR_KEPT : ENDED_ANCHOR_KEPT) }
}

/** A tombstone outlives every credential it could refuse; where that is unknown it stays until an operator clears it. */
function sessionForgetAt({ state, credential, endsAt, notBefore }: Session): Instant | null {
  if (credential.expiresAt === null && notBefore !== null) return null
  const end = Math.max(credential.expiresAt ?? 0, endsAt, state.is === 'live' ? 0 : state.at)
  return instant(end + TOMBSTONE_SLACK)
}

