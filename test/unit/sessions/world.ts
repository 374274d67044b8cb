// Mirror, ledger and timekeeper over a store in memory, with a clock the test sets and a store the test can stop. For tests only.
import type { AnchorRef, Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Elevation } from '../../../src/core/elevation.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { sessionRef } from '../../../src/core/record.ts'
import type { Credential, Session, SessionId, SessionKey } from '../../../src/core/session.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import type { Applied } from '../../../src/sessions/doing.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import type { Commit, SessionStore } from '../../../src/sessions/store.ts'
import { Timekeeper } from '../../../src/sessions/timekeeper.ts'
import { elevation, NOW, policyOf, profile, SESSION } from '../core/world.ts'

export const TICKET: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }
export const POLICY: Policy = policyOf(profile('fix', ['db:write']))

export class SetClock implements Clock {
  current = NOW
  now(): Instant { return this.current }
  elapsed(): number { return this.current }
  pass(ms: number): void { this.current = instant(this.current + ms) }
}

type Method = 'load' | 'commit' | 'commitRestrictive'

/** What the test does to the store's calls: each is asked before the store is. */
export class Valve {
  onLoad: (name: string) => void | Promise<void> = () => {}
  onCommit: (commit: Commit, restrictive: boolean) => void | Promise<void> = () => {}

  wrap(store: SessionStore): SessionStore {
    const asked: { readonly [M in Method]: SessionStore[M] } = {
      load: async ref => (await this.onLoad(ref.name), store.load(ref)),
      commit: async commit => (await this.onCommit(commit, false), store.commit(commit)),
      commitRestrictive: async commit => (await this.onCommit(commit, true), store.commitRestrictive(commit)),
    }
    return new Proxy(store, {
      get: (target, name) => {
        if (Object.hasOwn(asked, name)) return asked[name as Method] // just looked up
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? (...args: unknown[]): unknown => Reflect.apply(member, target, args) : member
      },
    })
  }
}

export class World {
  readonly clock = new SetClock()
  readonly valve = new Valve()
  readonly disk: EmbeddedStore = openEmbeddedStore({ file: ':memory:', clock: this.clock, ephemeral: true })
  readonly store: SessionStore = this.valve.wrap(this.disk)
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly timekeeper: Timekeeper
  readonly #policy: Policy
  #lives = 0

  private constructor(policy: Policy, limit: number) {
    this.#policy = policy
    this.mirror = new Mirror(this.store, policy, limit)
    this.ledger = new Ledger(this.store, this.mirror, this.clock)
    this.timekeeper = new Timekeeper(this.mirror, this.ledger, this.store, this.clock)
    this.mirror.onEvicted = live => this.timekeeper.forget(live)
    const { onChange } = this.mirror
    this.mirror.onChange = change => {
      if (change.sessions !== 'all') for (const live of change.sessions) this.timekeeper.watch(live)
      return onChange(change)
    }
  }

  static async start(policy = POLICY, limit = 100): Promise<World> {
    const world = new World(policy, limit)
    await world.mirror.start()
    return world
  }

  /** What another start of the gateway knows, from the store alone. */
  async restarted(): Promise<Mirror> {
    const unheard = new Proxy(this.store, { get: (store, name) => (name === 'subscribe' ? () => {} : Reflect.get(store, name)) as unknown }) // a store has one watcher
    const mirror = new Mirror(unheard, this.#policy, 100)
    await mirror.start()
    return mirror
  }

  async close(): Promise<void> {
    this.valve.onLoad = this.valve.onCommit = () => {}
    await this.timekeeper.stop()
    await this.ledger.settled()
    await this.disk.close()
  }

  tell(name: string, news: SessionNews, due: Instant | null = null): Promise<Applied<Session>> {
    return this.ledger.applyToSession(keyOf(name), { id: newSignalId(), by: 'operator', note: '', ...news }, due)
  }

  /** Opens a session of that name and takes it into memory. */
  async opened(name = 'a', credential: Partial<Credential> = {}): Promise<LiveSession> {
    const { principal, endsAt } = SESSION
    await this.tell(name, {
      kind: 'session.opened', key: keyOf(name), session: `ses_${name}_${++this.#lives}` as SessionId, epoch: this.store.epochOf(sessionRef(keyOf(name))), principal: { ...principal, subject: name }, endsAt: instant(Math.max(endsAt, this.clock.now() + 3_600_000)), // a word of the test
      credential: { ...SESSION.credential, expiresAt: null, ...credential }, bindings: NOT_BOUND, aliases: [], brokered: null,
    })
    const live = await this.live(name)
    this.timekeeper.watch(live)
    return live
  }

  /** As a request of that session finds it: from memory, else from the store. */
  async live(name = 'a'): Promise<LiveSession> {
    const live = await this.mirror.load(keyOf(name))
    if (live === null) throw new Error(`no session ${name}`)
    return live
  }

  async stored(name = 'a'): Promise<Session> {
    const record = await this.disk.load(sessionRef(keyOf(name)))
    if (record?.record !== 'session') throw new Error(`no session ${name}`)
    return record
  }

  lock(value: string, effect: LockEffect = 'deny'): Promise<Applied<Lock>> {
    const selector: Selector = { kind: 'subject', value }
    return this.ledger.applyToLock(selector, { kind: 'lock.set', lock: `lck_${value}` as LockId, selector, effect, reason: 'locked', until: null, id: newSignalId(), by: 'operator', note: '' }) // a word of the test
  }
}

export const keyOf = (name: string): SessionKey => `key_${name}` as SessionKey // a word of the test

/** Asked for without approval, standing on the ticket's present generation. */
export const asks = (id: string, generation: Instant = instant(0), changes: Partial<Elevation> = {}): SessionNews =>
  ({ kind: 'elevation.requested', startsAt: null, elevation: elevation(id, { ties: [{ anchor: TICKET, generation, reason: 'ticket_closed', position: null, level: null }], state: { is: 'requested', expiresAt: null }, ...changes }) })

export const evidence = (credential: string, issuedAt: number | null, expiresAt: number | null): Evidence =>
  ({ provider: 'login', fingerprint: 'f', credential, issuer: SESSION.principal.issuer, keyId: null, issuedAt: issuedAt === null ? null : instant(issuedAt), expiresAt: expiresAt === null ? null : instant(expiresAt), keyThumbprint: null, device: null, claimed: {} })
