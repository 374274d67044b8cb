// Credentials towards upstreams: one for each elevation, or session on its baseline, and upstream, obtained once however many requests wait for it. It is put
// where it cannot be lost before it is used, and taken back when what it was obtained for is over. No request goes without the one of its own grant.
// SPEC: CRD3-CRD8
import { staysHere } from '../../core/call.ts'
import { type Grant, grantName } from '../../core/decision.ts'
import type { Fact } from '../../core/fact.ts'
import type { Reason } from '../../core/reason.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { SessionId } from '../../core/session.ts'
import { type Instant, instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import { newCredentialId } from '../../runtime/id.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import type { Exchange } from '../exchange.ts'
import type { Gathering, GatherStep } from '../gather.ts'
import { elevationOf, type Held, HeldCredentials, isDead, keyOf, type Told } from './held.ts'
import type { Obtained } from './oauth.ts'
import { aboutOf, RevocationQueue } from './queue.ts'
import { Revoking, type RevokingWitness } from './revoking.ts'
import { type Source, SourceError, type SourceFault } from './source.ts'
import { isOver, isOverByRecord, overSince } from './standing.ts'
import { TakingOver } from './taking-over.ts'

export type BrokerWitness = RevokingWitness & {
  readonly obtained: (told: Told) => void
  readonly failed: (upstream: string, fault: SourceFault | 'unqueued' | 'full', cause: string) => void
  readonly stuck: (told: Told) => void
  readonly unread: (cause: unknown) => void
  /** How many are not confirmed yet. */
  readonly pending: (count: number) => void
}

export type BrokerPorts = {
  readonly clock: Clock
  readonly mirror: Pick<Mirror, 'byId' | 'effective' | 'above' | 'locks'>
  readonly store: Pick<SessionStore, 'enqueue' | 'waiting' | 'dequeue' | 'find' | 'load' | 'share'>
  readonly witness: BrokerWitness
}

/** The gateway's own word on the standing of a request; null where there is none. */
export type Word = (request: Gathering) => Promise<string | null>

const STEP = 'credential'
/** On this gateway. */
const HELD_MAX = 10_000
/** Milliseconds, as all below. */
const SWEEP_EVERY = 1_000
/** So long before its end another one is obtained; of a short life a quarter. */
const RENEWED_AHEAD = 30_000
/** Between two looks at all of them because of news that names none. */
const LOOKS_APART = 100
/** Between two looks at a session that is not in memory. */
const LOOKS_IN_STORE_APART = 30_000

export class Broker {
  readonly #ports: BrokerPorts
  readonly #held = new HeldCredentials()
  readonly #queue: RevocationQueue
  readonly #revoking: Revoking
  readonly #takingOver: TakingOver
  readonly #underway = new Map<string, Promise<Reason | null>>()
  /** On the elapsed scale. */
  readonly #lookedAt = new WeakMap<Held, number>()
  #sources: ReadonlyMap<string, Source>
  #timer: NodeJS.Timeout | null = null
  #looking: NodeJS.Timeout | null = null
  /** The store may lack what it takes to take back what is held. */
  #unsaid = false
  #stopped = false

  constructor(sources: ReadonlyMap<string, Source>, ports: BrokerPorts) {
    const { store, witness } = ports
    this.#ports = ports
    this.#sources = sources
    this.#queue = new RevocationQueue(store)
    this.#revoking = new Revoking({ ...ports, queue: this.#queue })
    this.#takingOver = new TakingOver({
      ...ports, queue: this.#queue, sourceOf: upstream => this.#sources.get(upstream) ?? null, isOurs: id => this.#held.has(id) || this.#revoking.has(id),
      take: over => this.#revoking.begin(over), stuck: witness.stuck, unread: witness.unread,
    })
  }

  start(): void {
    this.#takingOver.start()
    this.#timer = setInterval(() => this.#sweep(), SWEEP_EVERY).unref()
  }

  /** Before the store and the HTTP client close. What is in use stays queued: its elevation goes on elsewhere, or with the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of [this.#timer, this.#looking]) if (timer !== null) clearTimeout(timer)
    await this.#takingOver.stop()
    await Promise.all(this.#underway.values())
    await this.#revoking.stop()
  }

  get sources(): ReadonlyMap<string, Source> { return this.#sources }

  /** Those of another configuration: what comes from a source that is not among them is taken back by it. */
  take(sources: ReadonlyMap<string, Source>): void {
    this.#sources = sources
    for (const held of this.#held.all()) if (sources.get(held.told.upstream) !== held.source) this.#end(held)
  }

  // ---- requests

  step(word: Word): GatherStep {
    return {
      name: STEP, failure: 'credential_unavailable',
      needed: request => request.inquiry.place.route.brokered && !staysHere(request.inquiry.evaluation.action.call) && !this.#isReady(request),
      run: request => this.#wanted(request, word),
      undo: () => undefined,
    }
  }

  /** What an exchange is dispatched with; null where there is none for its own grant, and nothing may go. */
  heldFor({ live, permit: { grant }, place: { route } }: Pick<Exchange, 'live' | 'permit' | 'place'>): Held | null {
    if (live === null) return null
    const held = this.#held.inUse(keyOf(live.record.id, elevationOf(grant), route.upstream))
    return held === null || isSpent(held, this.#ports.clock.now()) ? null : held
  }

  /** What one goes with that is on record with it, as long as it may be shown. */
  still(held: Held): Held | null { return this.#held.has(held.told.id) && !isSpent(held, this.#ports.clock.now()) ? held : null }

  /** One that is to be renewed does while nobody gives another. */
  #isReady({ inquiry: { live, place: { route } }, grant, done }: Gathering): boolean {
    const held = live === null ? null : this.#held.inUse(keyOf(live.record.id, elevationOf(grant), route.upstream))
    if (held === null) return false
    const now = this.#ports.clock.now()
    return held.renewAt === null || held.renewAt > now || (done.get(STEP) === grantName(grant) && !isSpent(held, now))
  }

  /** One at a time for each grant and upstream; whoever comes meanwhile waits for the same. */
  #wanted(request: Gathering, word: Word): Promise<Reason | null> {
    const { inquiry: { live, place: { route: { upstream } } }, grant } = request
    const source = this.#sources.get(upstream)
    if (live === null || source === undefined || this.#stopped) return Promise.resolve('credential_unavailable')
    const key = keyOf(live.record.id, elevationOf(grant), upstream)
    const known = this.#underway.get(key)
    if (known !== undefined) return known
    const obtaining = this.#obtain(source, live.record.id, request, word).catch((error: unknown) => this.#failed(source, error, key)).finally(() => void this.#underway.delete(key))
    this.#underway.set(key, obtaining)
    return obtaining
  }

  /** One that is to be renewed goes on to its end. */
  #failed({ upstream }: Source, error: unknown, key: string): Reason | null {
    const { fault, message } = error instanceof SourceError ? error : { fault: 'unreachable' as const, message: 'it could not be asked' } // whatever else it says may hold a secret
    this.#ports.witness.failed(upstream, fault, message)
    const before = this.#held.inUse(key)
    return before === null || isSpent(before, this.#ports.clock.now()) ? 'credential_unavailable' : null
  }

  async #obtain(source: Source, session: SessionId, request: Gathering, word: Word): Promise<Reason | null> {
    const { witness, clock } = this.#ports
    if (this.#held.size + this.#underway.size >= HELD_MAX) {
      witness.failed(source.upstream, 'full', `${HELD_MAX} are held`)
      return 'credential_unavailable'
    }
    const context = source.wantsContext ? await word(request) : null
    const askedAt = clock.now()
    const obtained = await source.obtain({ bearer: request.relay.bearer(), context })
    const held = heldOf(source, session, request.grant, obtained, askedAt)
    if (source.revoke !== null && !(await this.#isKept(held, request))) return 'credential_unavailable'
    this.#held.add(held)
    witness.obtained(held.told)
    if (this.#sources.get(source.upstream) !== source) this.#end(held) // a reload came meanwhile
    else this.#look(held)
    return this.#held.has(held.told.id) && !isSpent(held, clock.now()) && !this.#stopped ? null : 'credential_unavailable'
  }

  /** What the store does not keep is not used, and taken back at once. */
  async #isKept(held: Held, { inquiry: { live } }: Gathering): Promise<boolean> {
    const { source } = held
    const { clock, witness } = this.#ports
    const kept = await this.#put(held, live?.record.endsAt ?? clock.now()).catch(() => 'unqueued' as const)
    if (kept === 'queued') return true
    witness.failed(source.upstream, kept === 'full' ? 'full' : 'unqueued', 'what taking it back needs was not kept')
    this.#revoke(held, false)
    return false
  }

  #put({ told, source, revocable }: Held, sessionEnds: Instant): Promise<'queued' | 'again' | 'full'> {
    return this.#queue.put({ told: { ...told, lease: null }, sealed: source.seal(revocable, aboutOf(told)) }, sessionEnds)
  }

  /** The store lost some of what was written last, or all: what is held is put there again, until it has all of it. */
  lost(): void { this.#unsaid = true }

  async #sayAgain(): Promise<void> {
    const { mirror, clock, witness } = this.#ports
    this.#unsaid = false
    try {
      for (const held of this.#held.all()) if (held.source.revoke !== null) await this.#put(held, mirror.byId(held.told.session)?.record.endsAt ?? clock.now())
    } catch (error) {
      this.#unsaid = true
      witness.unread(error)
    }
  }

  // ---- ends

  /** Any record that is announced, before it is in force here. */
  heard(record: StoredRecord, facts: readonly Fact[]): void {
    if (record.record === 'lock' && this.#sources.size > 0) this.#takingOver.locked()
    if (record.record !== 'session') return this.#lookSoon()
    if (this.#sources.size > 0 && facts.some(({ what }) => ENDS.has(what))) this.#takingOver.ended(record)
    const now = this.#ports.clock.now()
    for (const held of this.#held.of(record.id)) {
      if (overSince(record, held.told.elevation, now) === null) setImmediate(() => this.#look(held))
      else this.#end(held)
    }
  }

  /** A lock, or news of a principal or a ticket. */
  #lookSoon(): void {
    if (this.#held.size === 0 || this.#stopped) return
    this.#looking ??= setTimeout(() => {
      this.#looking = null
      this.#sweep()
    }, LOOKS_APART).unref()
  }

  #sweep(): void {
    for (const held of this.#held.all()) this.#look(held)
    if (this.#unsaid && !this.#stopped) void this.#sayAgain()
    this.#ports.witness.pending(this.#revoking.size)
  }

  #look(held: Held): void {
    const { told: { id, session, elevation } } = held
    const { clock, mirror, witness } = this.#ports
    if (!this.#held.has(id) || this.#stopped) return
    const now = clock.now()
    if (isDead(held.told, held.source, now)) {
      this.#held.remove(held)
      witness.expired(held.told)
      return void this.#queue.done(held.told).catch(() => undefined) // it is forgotten there by itself
    }
    const live = mirror.byId(session)
    if (live === null) void this.#lookInStore(held)
    else if (isOver(live, elevation, mirror, now)) this.#end(held)
  }

  /** Its session made way in memory, or is another life by now: asked for seldom, what ends it is heard. */
  async #lookInStore(held: Held): Promise<void> {
    const { told: { session, elevation } } = held
    const { store, clock, mirror, witness } = this.#ports
    if (clock.elapsed() - (this.#lookedAt.get(held) ?? -Infinity) < LOOKS_IN_STORE_APART) return
    this.#lookedAt.set(held, clock.elapsed())
    try {
      const [ref] = await store.find({ kind: 'session', value: session }, 1)
      const record = ref === undefined ? null : await store.load(ref)
      const isGone = record?.record !== 'session' || record.id !== session
      if (isGone || isOverByRecord(record, elevation, mirror.locks, clock.now())) this.#end(held)
    } catch (error) {
      witness.unread(error)
    }
  }

  /** From now on nothing goes with it. */
  #end(held: Held): void {
    if (!this.#held.has(held.told.id)) return
    this.#held.remove(held)
    this.#revoke(held, true)
  }

  /** @param kept the store has what it takes */
  #revoke({ told, source, revocable }: Held, kept: boolean): void {
    if (source.revoke === null) return
    this.#revoking.begin({ told, source, revocable, kept, since: this.#ports.clock.now() })
    this.#ports.witness.pending(this.#revoking.size)
  }
}

const ENDS: ReadonlySet<Fact['what']> = new Set<Fact['what']>(['elevation.ended', 'session.revoked', 'session.lapsed'])

const isSpent = ({ told: { expiresAt } }: Held, now: Instant): boolean => expiresAt !== null && expiresAt <= now

function heldOf(source: Source, session: SessionId, grant: Grant, { token, expiresAt, lease }: Obtained, askedAt: Instant): Held {
  const { upstream, settings: { header, prefix } } = source
  const told: Told = { id: newCredentialId(), lease, upstream, session, elevation: elevationOf(grant), expiresAt }
  const ahead = expiresAt === null ? 0 : Math.min(RENEWED_AHEAD, (expiresAt - askedAt) / 4)
  return { told, source, revocable: { token, lease }, header, value: prefix + token, renewAt: expiresAt === null ? null : instant(expiresAt - ahead) }
}
