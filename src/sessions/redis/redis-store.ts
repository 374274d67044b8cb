// The store that gateways share: Redis, single, behind Sentinel, or a cluster. Every shard has one log, lease and epoch; what is confirmed is what
// all of them confirm. Knows versions, epochs, positions and idempotency, never what a freeze is. SPEC: STO1-STO18
import type { Selector } from '../../core/anchor.ts'
import type { RecordRef, StoredRecord } from '../../core/record.ts'
import { type Instant, instant } from '../../core/time.ts'
import { newNonce } from '../../runtime/id.ts'
import type { StoreGauges } from '../../runtime/metrics.ts'
import type { Ahead, Commit, CommitAnswer, Enforcement, Item, Outgoing, Page, Part, Position, SessionStore, Sharing, Survey, Taking, Waiting, Watcher } from '../store.ts'
import { assertCount, assertItem, assertSkip } from '../items.ts'
import { assertParts } from '../parts.ts'
import { StoreFault } from '../store-fault.ts'
import { rollOf } from './acknowledgements.ts'
import { commitAnswer, commitArgs } from './commit-text.ts'
import { keptOf, listedOf, placeOfSelector, placeOfTie, recordOf, refOf, refText, type Seal } from './entry.ts'
import { LinkLost } from './link.ts'
import { assertAmount, assertLimit } from './amounts.ts'
import { hashOf } from './locator.ts'
import { Outbox } from './outbox.ts'
import { poolIn } from './pooling.ts'
import { waitingOf } from './queueing.ts'
import { reachOf } from './reply.ts'
import { Shard } from './shard.ts'
import type { ShardPorts, ShardSettings } from './shard-ports.ts'
import type { StoreClock } from './store-clock.ts'
import { Surveys } from './surveys.ts'

export type RedisStorePorts = Omit<ShardPorts, 'watcher' | 'moved' | 'answered'>

const PRUNED_BUCKETS = 64
const LOOK_EVERY = 5_000
const CHECKED_AT_ONCE = 500
/** Keys looked through for a page of a list: few of them are what is looked for. */
const SCANNED_AT_ONCE = 200
const TOUCHED_AT_ONCE = 500
/** Named values and locks lie here. */
const HOME = 0

const idOf = ({ epoch, sequence }: Position): string => `${epoch.slice(epoch.indexOf('.') + 1)}-${sequence}`

export class RedisStore implements SessionStore {
  readonly #shards: readonly Shard[]
  readonly #settings: ShardSettings
  readonly #seal: Seal
  #watcher: Watcher | null = null
  #confirmed = -Infinity
  #closing: Promise<void> | null = null
  readonly #clock: StoreClock
  #here = { live: 0, expired: 0 }
  #looking: NodeJS.Timeout | null = null
  readonly #surveys = new Surveys()
  readonly #outboxes: readonly Outbox[]

  constructor(settings: ShardSettings, ports: RedisStorePorts) {
    this.#settings = settings
    this.#seal = ports.seal
    this.#clock = ports.clock
    const shardPorts: ShardPorts = { ...ports, watcher: () => this.#watcher, moved: () => this.#moved(), answered: (survey, text) => this.#surveys.answered(survey, reachOf(text)) }
    this.#shards = Array.from({ length: settings.home.shards }, (_, index) => new Shard(index, settings, shardPorts))
    this.#outboxes = this.#shards.map(() => new Outbox(settings.member, ports.clock))
  }

  /** Settles when every shard has given a lease. @throws StoreFault when the servers must not be used as they are */
  async open(): Promise<void> {
    for (const shard of this.#shards) shard.start()
    await Promise.all(this.#shards.map(shard => shard.joined))
    this.#looking ??= setInterval(() => void this.#lookAround().catch(() => undefined), LOOK_EVERY).unref() // the next look may do better
  }

  /** Of its newest part: a shard that came back empty is as good as new. */
  get born(): Instant { return instant(Math.max(...this.#shards.map(({ born }) => born))) }
  /** Facts not yet drained, as far as this gateway was told. */
  get undrained(): number { return this.#outboxes.reduce((sum, { length }) => sum + length, 0) }

  epochOf(ref: RecordRef): string { return this.#of(ref).epoch }
  confirmedUntil(): number { return this.#confirmed }

  subscribe(watcher: Watcher): void {
    if (this.#watcher !== null) throw new TypeError('the store has its one watcher already')
    this.#watcher = watcher
  }

  /** For a scrape. */
  get gauges(): StoreGauges {
    return {
      leaseRemaining: () => Math.max(0, this.#confirmed - this.#clock.elapsed()) / 1000, clockSkew: () => Math.abs(this.#clock.skew) / 1000,
      members: () => [{ labels: { state: 'live' }, value: this.#here.live }, { labels: { state: 'expired' }, value: this.#here.expired }],
    }
  }

  async #lookAround(): Promise<void> {
    const { members, now } = await this.#home.roll()
    const live = members.filter(({ endsAt }) => endsAt >= now).length
    this.#here = { live, expired: members.length - live }
  }

  // ---- records

  async load(ref: RecordRef): Promise<StoredRecord | null> {
    const kept = await this.#get(ref)
    return kept === null ? null : recordOf(ref, kept.body)
  }

  async #get(ref: RecordRef) {
    const shard = this.#of(ref)
    const name = refText(ref)
    const [epoch, dataSet, , text] = (await this.#call(shard, 'get', [name])) as readonly string[] // as `get` returns it
    if (!shard.accept(dataSet ?? '', epoch ?? '', ref)) throw new LinkLost('a server of an older epoch, or that has begun none, answered; what it said is not taken')
    const kept = keptOf(text ?? '')
    if (kept !== null) this.#seal.checkRecord(dataSet ?? '', name, kept)
    return kept
  }

  /** @throws StoreFull, StoreFault; TypeError for what is not JSON */
  commit(commit: Commit): Promise<CommitAnswer> { return this.#commit(commit, 'commit') }
  /** @throws StoreFault when it is not known whether it was done, also at a second attempt */
  commitRestrictive(commit: Commit): Promise<CommitAnswer> { return this.#commit(commit, 'commit_restrictive') }

  async #commit(commit: Commit, how: 'commit' | 'commit_restrictive'): Promise<CommitAnswer> {
    this.#assertOpen()
    const shard = this.#of(commit.ref)
    const nonce = newNonce()
    const args = commitArgs(commit, { nonce, shards: this.#settings.home.shards, dataSet: shard.dataSet, seal: this.#seal, aheadHere: commit.ahead !== null && this.#of(commit.ahead.ref) === shard })
    const urgent = how === 'commit_restrictive'
    const once = async (again: boolean): Promise<CommitAnswer> => commitAnswer(shard, this.#seal, commit, nonce, await shard.call(how, args, urgent), again)
    const first = await once(false).catch((error: unknown) => { if (error instanceof LinkLost) return null; throw error })
    const found = first ?? (await once(true)) // the same operation: what was done already is not done again
    if (found.is === 'CONFLICT' && found.ahead === null && commit.ahead !== null && this.#of(commit.ahead.ref) !== shard) return { ...found, ahead: await this.#elsewhere(commit, commit.ahead) }
    return found
  }

  /** The lock that goes ahead lies in another shard: a second write. */
  async #elsewhere({ operation, awaited }: Commit, { ref, record, facts, forgetAt, news, expectedVersion }: Ahead): Promise<Position | null> {
    const answer = await this.commitRestrictive({ operation: `${operation}#ahead`, ref, record, facts, forgetAt, expectedVersion, expectedEpoch: 'any', index: [], ties: [], due: null, news, awaited, ahead: null })
    return answer.is === 'OK' ? answer.position : null
  }

  /** Of the shard as it is: what a server of an older epoch, or of none yet, says is not taken. */
  async #read(shard: Shard, name: 'check' | 'find' | 'list', args: readonly (string | number)[]): Promise<readonly unknown[]> {
    const [stamp, ...rest] = (await this.#call(shard, name, args)) as readonly unknown[] // as the library returns it
    const [dataSet = '', epoch = ''] = String(stamp).split('.')
    if (!shard.accept(dataSet, epoch, null)) throw new LinkLost('a server of an older epoch, or that has begun none, answered; what it said is not taken')
    return rest
  }

  #byShard<T>(all: Iterable<T>, refOf: (each: T) => RecordRef): ReadonlyMap<Shard, T[]> {
    const found = new Map<Shard, T[]>()
    for (const each of all) {
      const shard = this.#of(refOf(each))
      const own = found.get(shard)
      if (own === undefined) found.set(shard, [each])
      else own.push(each)
    }
    return found
  }

  async enforced(position: Position): Promise<Enforcement> {
    this.#assertOpen()
    const { shard, id } = this.#placeOf(position)
    return shard.acknowledgements.enforced(id)
  }

  async changed(known: readonly { readonly ref: RecordRef; readonly version: number }[]): Promise<readonly RecordRef[]> {
    const found: RecordRef[] = []
    for (const [shard, own] of this.#byShard(known, ({ ref }) => ref)) {
      for (let i = 0; i < own.length; i += CHECKED_AT_ONCE) {
        const piece = own.slice(i, i + CHECKED_AT_ONCE)
        const differ = (await this.#read(shard, 'check', piece.flatMap(({ ref, version }) => [refText(ref), version]))) as readonly number[] // positions from 1
        for (const position of differ) found.push(...piece.slice(position - 1, position).map(({ ref }) => ref))
      }
    }
    return found
  }

  // ---- what is found

  async find(selector: Selector, limit: number): Promise<readonly RecordRef[]> { return this.#findAt(placeOfSelector(selector), limit) }
  async tiedTo(anchor: RecordRef, limit: number): Promise<readonly RecordRef[]> { return this.#findAt(placeOfTie(anchor), limit) }

  async #findAt(place: string, limit: number): Promise<readonly RecordRef[]> {
    assertLimit(limit)
    const found = await Promise.all(this.#shards.map(shard => this.#read(shard, 'find', [place, limit])))
    return found.flatMap(refs => (refs as readonly string[]).map(refOf)).slice(0, limit)
  }

  /** The cursor is the shard and the server's own. */
  async list(kind: RecordRef['kind'], cursor: string, limit: number): Promise<Page> {
    assertLimit(limit)
    const [index = '0', from = '0'] = cursor === '' ? [] : cursor.split('.')
    const shard = this.#shards[Number(index)]
    if (shard === undefined) return { records: [], next: null }
    const [next = '0', ...texts] = (await this.#read(shard, 'list', [kind, from, Math.max(limit, SCANNED_AT_ONCE)])) as readonly string[] // as `list` returns it
    const records = texts.map(text => {
      const { ref, kept } = listedOf(text)
      this.#seal.checkRecord(shard.dataSet, refText(ref), kept)
      return recordOf(ref, kept.body)
    })
    const last = Number(index) + 1 >= this.#shards.length
    return { records, next: next !== '0' ? `${index}.${next}` : last ? null : `${Number(index) + 1}.0` }
  }

  async survey(selector: Selector): Promise<Survey> {
    this.#assertOpen()
    return this.#surveys.ask(async id => rollOf(await this.#call(this.#home, 'survey', [id, JSON.stringify(selector)])))
  }

  // ---- facts on their way out

  /** Of the shards that this gateway drains: the others are somebody else's for the moment. */
  async drain(limit: number): Promise<readonly Outgoing[]> {
    assertLimit(limit)
    this.#assertOpen()
    const out: Outgoing[] = []
    for (const [index, outbox] of this.#outboxes.entries()) {
      const shard = this.#shardAt(index)
      if (out.length < limit) out.push(...(await outbox.drain(limit - out.length, id => shard.positionOf(id), asked => this.#call(shard, 'drain', asked))))
    }
    return out
  }

  async drained(position: Position): Promise<void> {
    this.#assertOpen()
    const { shard } = this.#placeOf(position)
    await this.#call(shard, 'drained', [idOf({ ...position, sequence: position.sequence + 1 })])
  }

  // ---- what is no record

  async touch(seen: ReadonlyMap<string, Instant>): Promise<void> {
    this.#assertOpen()
    for (const [shard, own] of this.#byShard([...seen].map(([name, at]) => ({ ref: { kind: 'session', name } as const, at })), ({ ref }) => ref)) {
      for (let i = 0; i < own.length; i += TOUCHED_AT_ONCE) await this.#call(shard, 'touch', own.slice(i, i + TOUCHED_AT_ONCE).flatMap(({ ref, at }) => [refText(ref), at]))
    }
  }

  async lastSeen(sessionKey: string): Promise<Instant | null> { return (await this.#get({ kind: 'session', name: sessionKey }))?.seen ?? null }

  /** A piece of the index of each shard; what expired leaves it. */
  async prune(): Promise<number> {
    this.#assertOpen()
    let gone = 0
    for (const shard of this.#shards) gone += Number(await this.#call(shard, 'prune', [PRUNED_BUCKETS]))
    return gone
  }

  async keep(name: string, value: string): Promise<void> { await this.#keep(name, value, '') }
  async keepFirst(name: string, value: string): Promise<string> { return this.#keep(name, value, 'first') }
  async #keep(name: string, value: string, how: string): Promise<string> { return String(await this.#call(this.#home, 'keep', [newNonce(), this.#settings.home.shards, name, value, how])) }

  async kept(name: string): Promise<string | null> {
    const value = await this.#call(this.#home, 'kept', [name])
    return typeof value === 'string' ? value : null
  }

  // ---- budgets

  take(taking: Taking): Promise<number> { return this.#take(taking, '') }
  async takeAgain(taking: Taking): Promise<void> { await this.#take(taking, 'again') }

  async #take({ counter, request, amount, limit, forgetAt }: Taking, again: string): Promise<number> {
    assertAmount(amount, limit)
    const shard = this.#byName(counter)
    const given = Number(await this.#twice(shard, 'take', [counter, request, amount, limit, forgetAt, shard.spoken, again]))
    if (given < 0) throw new LinkLost('a server that is new here answered; it counts when everybody has said again what was taken')
    return given
  }

  async give(counter: string, request: string, amount: number): Promise<void> {
    assertAmount(amount)
    await this.#twice(this.#byName(counter), 'give', [counter, request, amount])
  }

  async taken(counter: string): Promise<number> { return Number(await this.#call(this.#byName(counter), 'taken', [counter])) }

  async share({ bucket, wanted, limit, for: milliseconds }: Sharing): Promise<number> {
    assertAmount(wanted, limit)
    return Number(await this.#call(this.#byName(bucket), 'share', [newNonce(), this.#settings.home.shards, this.#settings.member, bucket, wanted, limit, milliseconds]))
  }

  async mark(digest: string, issuedAt: Instant, forgetAt: Instant): Promise<'first' | 'again'> {
    return Number(await this.#call(this.#byName(digest), 'mark', [newNonce(), this.#settings.home.shards, digest, issuedAt, forgetAt])) === 1 ? 'first' : 'again'
  }

  /** Where the anchors of principals lie. */
  async pool(parts: readonly Part[]): Promise<readonly (readonly string[])[]> {
    this.#assertOpen()
    assertParts(parts)
    const told: (readonly string[])[] = parts.map(() => [])
    const byShard = this.#byShard(parts.map((part, at) => ({ part, at })), ({ part: { name } }) => ({ kind: 'principal', name }))
    await Promise.all([...byShard].map(([shard, placed]) => poolIn(placed, args => this.#call(shard, 'pool', [this.#settings.member, ...args]), (at, texts) => { told[at] = texts })))
    return told
  }

  // ---- what waits until somebody has it

  async enqueue(name: string, item: Item, limit: number): Promise<'queued' | 'again' | 'full'> {
    this.#assertOpen()
    assertItem(name, item, limit)
    const said = await this.#call(this.#byName(name), 'enqueue', [newNonce(), this.#settings.home.shards, name, item.id, item.forgetAt, limit, item.text])
    return said === 'full' || said === 'again' ? said : 'queued'
  }

  async waiting(name: string, limit: number, skip = 0): Promise<Waiting> {
    this.#assertOpen()
    assertCount(name, limit, 1)
    assertSkip(skip)
    return waitingOf(await this.#call(this.#byName(name), 'waiting', [name, limit, skip]))
  }

  async dequeue(name: string, ids: readonly string[]): Promise<void> {
    this.#assertOpen()
    assertCount(name, ids.length, 0)
    await this.#call(this.#byName(name), 'dequeue', [name, ...ids])
  }

  close(): Promise<void> {
    if (this.#looking !== null) clearInterval(this.#looking)
    this.#closing ??= Promise.all(this.#shards.map(shard => shard.close())).then(() => undefined)
    return this.#closing
  }

  // ---- shards

  /** @throws StoreFault for a position of another data set */
  #placeOf(position: Position): { readonly shard: Shard; readonly id: string } {
    const shard = this.#shards.find(({ dataSet }) => position.epoch.startsWith(`${dataSet}.`))
    if (shard === undefined) throw new StoreFault('failed', `position ${position.epoch}:${position.sequence} is not of this data set`)
    return { shard, id: idOf(position) }
  }

  get #home(): Shard { return this.#shardAt(HOME) }
  #of(ref: RecordRef): Shard { return ref.kind === 'lock' ? this.#home : this.#byName(`${ref.kind}/${ref.name}`) }
  #byName(name: string): Shard { return this.#shardAt(this.#shards.length === 1 ? 0 : hashOf(name) % this.#shards.length) }

  #shardAt(index: number): Shard {
    const shard = this.#shards[index]
    if (shard === undefined) throw new RangeError(`there is no shard ${index}`)
    return shard
  }

  #moved(): void {
    let least = Infinity
    for (const { confirmedUntil } of this.#shards) if (confirmedUntil < least) least = confirmedUntil
    this.#confirmed = least
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new StoreFault('closed', 'the store is closed')
  }

  async #call(shard: Shard, name: Parameters<Shard['call']>[0], args: readonly (string | number)[]): Promise<unknown> {
    this.#assertOpen()
    return shard.call(name, args)
  }

  /** Requests with an id may be sent again: they count once. */
  async #twice(shard: Shard, name: 'take' | 'give', args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#call(shard, name, args)
    } catch (error) {
      if (!(error instanceof LinkLost)) throw error
      return this.#call(shard, name, args)
    }
  }
}
