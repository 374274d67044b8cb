// A member of the shared store with what a gateway decides by: mirror, ledger and, where asked, a journal; and the words of its operator.
// It answers what a request would meet, never what the store alone says. For tests only.
import { type Lock, type LockId, type Selector, selectorName } from '../../src/core/anchor.ts'
import { sessionRef, type StoredRecord } from '../../src/core/record.ts'
import type { Session, SessionKey } from '../../src/core/session.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { newSignalId } from '../../src/runtime/id.ts'
import type { Journal } from '../../src/sessions/journal.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import type { Enforcement, SessionStore } from '../../src/sessions/store.ts'
import { type Member, type MemberPlan, memberOf } from '../support/redis-members.ts'
import { eventually } from '../support/redis-server.ts'
import { POLICY } from '../unit/sessions/world.ts'
import { opening } from './session-store-contract.ts'

export type DeskPlan = Omit<MemberPlan, 'watcher'> & { readonly journal?: Journal }

/** What a request with that session meets: nothing is decided on stale knowledge. */
export type Standing = 'stale' | 'absent' | Session['state']['is']

type Reading = 'load' | 'list' | 'changed'
const READINGS: ReadonlySet<unknown> = new Set<Reading>(['load', 'list', 'changed'])

export const keyOf = (name: string): SessionKey => `key-${name}` as SessionKey // a test word
export const names = (count: number, of = 'agent'): readonly string[] => Array.from({ length: count }, (_, i) => `${of}-${i}`)
export const bySubject = (name: string): Selector => ({ kind: 'subject', value: `https://idp.test|agent-${name}` })

export class Desk {
  readonly member: Member
  readonly store: SessionStore
  readonly mirror: Mirror
  readonly ledger: Ledger
  /** What was read from the store, by this desk's own doing or not. */
  reads = 0
  /** Called in the turn in which the lease is back. */
  onConfirmed: () => void = () => {}
  /** Times it was. */
  confirmations = 0
  readonly saidAgain = { recorded: 0, known: 0 }

  private constructor(member: Member, journal: Journal | null) {
    this.member = member
    this.store = this.#counted(member.store)
    this.mirror = new Mirror(this.store, POLICY, 10_000)
    this.ledger = new Ledger(this.store, this.mirror, member.clock, journal)
    this.ledger.onSaidAgain = result => this.saidAgain[result]++
  }

  /** As a gateway starts: the store first, then ear and locks. */
  static async open(port: number, { journal, ...plan }: DeskPlan = {}): Promise<Desk> {
    const member = await memberOf(port, plan)
    try {
      await member.store.open()
    } catch (error) {
      await member.store.close()
      throw error
    }
    const desk = new Desk(member, journal ?? null)
    await desk.mirror.start({
      lost: (news, replaced) => desk.ledger.sayAgain(news, replaced),
      confirmed: () => {
        desk.confirmations++
        desk.onConfirmed()
      },
    })
    return desk
  }

  get fresh(): boolean { return this.store.confirmedUntil() > this.member.clock.elapsed() }

  /** @throws where it is not so within `ms` */
  async isFresh(ms = 15_000): Promise<void> { await eventually(`the member is confirmed; it says: ${this.member.said.at(-1) ?? 'nothing'}`, ms, async () => this.fresh || null) }
  async isStale(ms = 15_000): Promise<void> { await eventually('the lease of the member ends', ms, async () => !this.fresh || null) }

  /** A heartbeat was sent after everything that was read here so far. */
  async isProven(lease: number): Promise<void> {
    const now = this.member.clock.elapsed()
    await eventually('a heartbeat', 5_000, async () => this.store.confirmedUntil() > now + lease || null)
  }

  async standing(name: string): Promise<Standing> {
    if (!this.fresh) return 'stale'
    const live = await this.mirror.load(keyOf(name))
    return this.fresh ? (live?.record.state.is ?? 'absent') : 'stale'
  }

  /** Of those, how many a request would be refused for right now. */
  async refused(all: readonly string[]): Promise<number> {
    const found = await Promise.all(all.map(name => this.standing(name)))
    return found.filter(standing => standing !== 'live').length
  }

  live(name: string): LiveSession {
    const live = this.mirror.peek(keyOf(name))
    if (live === null) throw new Error(`${name} is not in memory`)
    return live
  }

  async begin(name: string): Promise<LiveSession> {
    await this.ledger.applyToSession(keyOf(name), opening(name, this.member.clock.now(), this.store.epochOf(sessionRef(keyOf(name)))))
    return this.know(name)
  }

  async know(name: string): Promise<LiveSession> {
    const live = await this.mirror.load(keyOf(name))
    if (live === null) throw new Error(`no session ${name}`)
    return live
  }

  tell(name: string, news: SessionNews): Promise<Applied<Session>> { return this.ledger.applyToSession(keyOf(name), { id: newSignalId(), by: 'operator', note: '', ...news }) }
  revoke(name: string): Promise<Applied<Session>> { return this.tell(name, { kind: 'session.terminated', reason: 'revoked' }) }

  lock(selector: Selector, name: string): Promise<Applied<Lock>> {
    return this.ledger.applyToLock(selector, { kind: 'lock.set', lock: `lck_${name}` as LockId, selector, effect: 'deny', reason: 'locked', until: null, id: newSignalId(), by: 'operator', note: '' }) // a test word
  }

  async enforced({ position }: Applied<StoredRecord>): Promise<Enforcement> {
    if (position === null) throw new Error('nothing was committed')
    return this.store.enforced(position)
  }

  async revokeAll(all: readonly string[]): Promise<readonly Enforcement[]> {
    return Promise.all(all.map(async name => this.enforced(await this.revoke(name))))
  }

  isLocked(selector: Selector): boolean { return this.mirror.standingLocks().some(lock => selectorName(lock.selector) === selectorName(selector)) }

  /** Of one of the store's metrics, whatever its labels. */
  async count(metric: 'forks' | 'dataSetChanges' | 'gaps' | 'lapses' | 'reconnects'): Promise<number> {
    const { values } = await this.member.metrics.store[metric].get()
    return values.reduce((sum, { value }) => sum + value, 0)
  }

  async close(): Promise<void> {
    this.ledger.stop()
    await this.ledger.settled()
    await this.member.store.close()
  }

  #counted(store: SessionStore): SessionStore {
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...args: unknown[]): unknown => {
          if (READINGS.has(name)) this.reads++
          return Reflect.apply(member, target, args)
        }
      },
    })
  }
}
