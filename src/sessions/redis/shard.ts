// This gateway as a member of one shard: hears every entry in order, proves by heartbeats that it has, takes its lease, acknowledges what it has
// enforced, and says again what a server lost before it takes a lease under it. Knows nothing of what records mean. SPEC: STO14-STO17
import type { RecordRef } from '../../core/record.ts'
import { type Instant, instant } from '../../core/time.ts'
import { newNonce } from '../../runtime/id.ts'
import type { LapseCause, ReconnectCause } from '../../runtime/metrics.ts'
import type { Position, Tally } from '../store.ts'
import { StoreFault } from '../store-fault.ts'
import { Acknowledgements, type Roll, rollOf } from './acknowledgements.ts'
import type { Beat } from './beat.ts'
import { Ears } from './ears.ts'
import { Enforcing } from './enforcing.ts'
import { type Entry, entryOf, epochOfId, refText, sequenceOf } from './entry.ts'
import { type Applied, Follower, type Step } from './follower.ts'
import { Lane } from './lane.ts'
import { Lease } from './lease.ts'
import type { FunctionName } from './library.ts'
import { LinkLost, type Wire } from './link.ts'
import { Loaded } from './loaded.ts'
import { newsOf, refsOf } from './orphans.ts'
import { type Heartbeat, heartbeatOf, reachText, tallyOf, tallyText } from './reply.ts'
import { checkServer, infoOf } from './server-check.ts'
import { beatEvery, FATAL, probationOf, type ShardPorts, type ShardSettings } from './shard-ports.ts'
import type { StoreClock } from './store-clock.ts'

const PAGE = 500
const UNSETTLED = 15
const CALL_PATIENCE = 500
const WAIT_FOR_REPLICA = 300
/** A server looks once a second whether replicas follow it; and the margin of the window. */
const UNNOTICED = 1_100

export class Shard {
  readonly clock: StoreClock
  readonly key: string
  readonly acknowledgements: Acknowledgements
  /** Settles with the first lease; rejects when the servers must not be used as they are. */
  readonly joined: Promise<void>
  born: Instant = instant(0)
  readonly #index: number
  readonly #settings: ShardSettings
  readonly #ports: ShardPorts
  readonly #follower = new Follower(PAGE)
  readonly #lease: Lease
  readonly #calls: Lane
  /** For what only takes away: never behind anything else. */
  readonly #urgent: Lane
  readonly #ears: Ears
  readonly #firstLease = Promise.withResolvers<void>()
  readonly #enforcing: Enforcing
  readonly #loaded = new Loaded()
  /** The epoch whose answers are taken; ahead of the follower's while what was lost is said again. */
  #reading: { readonly dataSet: string; readonly epoch: string } | null = null
  #recovering = false
  /** When something lost was said again. */
  #saidAt = -Infinity
  /** When the last heartbeat was answered. */
  #heardAt = -Infinity
  /** What went wrong since the last lease. */
  #trouble: LapseCause | null = null
  #leasedEpoch: string | null = null
  /** The epoch did not wait for this member. */
  #cameLate = false
  /** The connection since whose beginning nothing is owed any more. */
  #paidOver: Beat | null = null
  #warned = ''
  #closed = false

  constructor(index: number, settings: ShardSettings, ports: ShardPorts) {
    this.#index = index
    this.#settings = settings
    this.#ports = ports
    this.clock = ports.clock
    this.key = `${settings.home.prefix}:{${index}}:m`
    this.#lease = new Lease(settings.lease, probationOf(settings.lease))
    const lane = (name: string): Lane => new Lane(() => this.#connect(name), CALL_PATIENCE)
    this.#calls = lane('calls')
    this.#urgent = lane('urgent')
    this.#ears = new Ears({
      clock: ports.clock, metrics: ports.metrics, key: this.key, lease: settings.lease, open: () => this.#listen(), ask: link => this.#ask(link),
      answered: (beat, answer, sentAt) => this.#answered(beat, answer, sentAt), deaf: (fault, cause) => this.#deaf(fault, cause),
    })
    this.#enforcing = new Enforcing({
      watcher: ports.watcher, seal: ports.seal, dataSet: () => this.dataSet, positionOf: id => this.positionOf(id),
      enforced: (entry, tally) => this.#enforced(entry, tally), blocked: () => this.#blocked(), says: (text, cause) => ports.says(`shard ${index}: ${text}`, cause),
    })
    this.acknowledgements = new Acknowledgements({ clock: ports.clock, roll: () => this.roll(), window: settings.window, told: (outcome, ms) => ports.metrics.strict.observe({ outcome }, ms / 1000) })
    this.joined = this.#firstLease.promise
    this.joined.catch(() => undefined)
  }

  start(): void { this.#ears.start() }

  get confirmedUntil(): number { return this.#lease.confirmedUntil }
  get isRecovering(): boolean { return this.#recovering }

  /** Random identity of the data set that is spoken with. */
  get dataSet(): string { return this.#reading?.dataSet ?? '' }

  /** `<data set>.<epoch>`: in which records known here were read. */
  get epoch(): string { return `${this.#follower.dataSet ?? ''}.${this.#follower.epoch ?? ''}` }

  /** `<data set>.<epoch>` of the server that is spoken with; ahead of `epoch` while what was lost is said again. */
  get spoken(): string { return `${this.dataSet}.${this.#reading?.epoch ?? ''}` }

  positionOf(id: string): Position {
    return { epoch: `${this.dataSet}.${epochOfId(id)}`, sequence: sequenceOf(id) }
  }

  /** @throws StoreFault; LinkLost where it is not known whether it was done */
  call(name: FunctionName, args: readonly (string | number)[], urgent = false): Promise<unknown> {
    return (urgent ? this.#urgent : this.#calls).call(name, this.key, args)
  }

  async roll(): Promise<Roll> { return rollOf(await this.call('members', [], true)) }

  /** Is an answer from that epoch younger than what is known here? One from before a change of epoch, or of a server that has begun none, is thrown away, with its connection. */
  accept(dataSet: string, epoch: string, ref: RecordRef | null): boolean {
    const reading = this.#reading
    if (reading !== null && (dataSet !== reading.dataSet || Number(epoch) < Number(reading.epoch))) {
      this.#calls.renew()
      this.#urgent.renew()
      return false
    }
    if (reading !== null && epoch !== reading.epoch) this.#met({ dataSet, epoch })
    if (ref === null) return true
    this.#loaded.add(ref, this.clock.elapsed())
    return true
  }

  /** A newer master than the one that is heard: its history may be another one. */
  #met(newer: { readonly dataSet: string; readonly epoch: string }): void {
    this.#lease.suspend()
    this.#ports.moved()
    this.#heardAt = this.clock.elapsed()
    this.#read(newer)
  }

  /** Own news the store took: said again if it is lost before it was heard. */
  pledge(id: string, nonce: string, ref: RecordRef, news: string, body: string): void {
    this.#follower.pledge({ id, nonce, ref, news, body, at: this.clock.now() })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await Promise.all([this.call('leave', [this.#settings.member]), this.call('undrain', [this.#settings.member])]).catch(() => undefined)
    this.#closed = true
    this.#ears.close()
    this.#calls.close()
    this.#urgent.close()
    this.#firstLease.reject(new StoreFault('closed', 'the store is closed'))
  }

  // ---- connections

  #connect(name: string): Promise<Wire> { return this.#settings.connect(this.#index, name, this.key) }

  async #listen(): Promise<Wire> {
    const link = await this.#connect('sync')
    try {
      this.#warn(checkServer(infoOf(String(await link.command('INFO'))), this.#settings.home))
      const base = this.key.slice(0, -1)
      await link.listen([`${base}ev`, `${base}ack`], (channel, message) => this.#heard(channel, message))
      await this.#ports.watcher()?.lost([], false).catch(() => undefined) // what is owed comes before the sign of life by which the others know they may go on; what fails is said again behind it
      return link
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  #warn(warnings: readonly string[]): void {
    const text = warnings.join('; ')
    if (text !== '' && text !== this.#warned) this.#ports.says(text, null)
    this.#warned = text
  }

  #deaf(fault: StoreFault, cause: ReconnectCause): void {
    this.#trouble = cause === 'closed' || cause === 'refused' ? cause : 'silence'
    this.#ports.says(`shard ${this.#index}: ${fault.message}`, fault)
    if (FATAL.has(fault.code)) this.#firstLease.reject(fault)
  }

  // ---- heartbeats

  #ask(link: Wire): Promise<unknown> {
    const { member, lease, window, configuration, home, observes } = this.#settings
    const { applied } = this.#follower
    return link.call('hb', this.key, [newNonce(), home.shards, member, applied?.id ?? '', applied?.nonce ?? '', this.#enforcing.upTo, PAGE, observes ? 0 : lease, window, configuration(), this.#follower.epoch ?? ''])
  }

  async #answered(beat: Beat, answer: unknown, sentAt: number): Promise<number> {
    const heartbeat = heartbeatOf(answer)
    if (this.#reading !== null && heartbeat.epoch !== this.#reading.epoch) this.clock.turned(this.#index)
    this.clock.observe(this.#index, heartbeat.now, sentAt)
    if (this.#recovering) return UNSETTLED
    this.#assertNotReplaced(heartbeat)
    this.born = heartbeat.born
    if (heartbeat.epoch !== this.#follower.epoch) this.#cameLate = heartbeat.late
    const step = this.#follower.replied(heartbeat)
    if (step.is === 'apply' || step.is === 'join') {
      this.#read(heartbeat)
      if (this.#paidOver !== beat) await this.#ports.watcher()?.lost([], false)
      this.#paidOver = beat
      if (beat.isOver) return 0
      return step.is === 'join' ? this.#join(beat, heartbeat) : this.#caughtUp(step, heartbeat, sentAt)
    }
    if (step.is === 'broken') {
      beat.end(new LinkLost('the entries of a heartbeat do not follow what is known here'))
      return 0
    }
    await this.#recover(step, heartbeat)
    return 0
  }

  /** One that still answers is fenced before so long after its successor was heard. */
  #assertNotReplaced({ dataSet, epoch }: Heartbeat): void {
    const isOlder = dataSet === this.#reading?.dataSet && Number(epoch) < Number(this.#reading.epoch)
    if (isOlder && this.clock.elapsed() < this.#heardAt + this.#settings.window) throw new LinkLost('a master that was replaced answered')
    this.#heardAt = this.clock.elapsed()
  }

  /** A promoted replica has to know this member: it is not here before one has heard of it. */
  async #join({ link }: Beat, heartbeat: Heartbeat): Promise<number> {
    if (this.#settings.home.mode === 'sentinel' && Number(await link?.command('WAIT', 1, WAIT_FOR_REPLICA)) < 1) throw new LinkLost('no replica took the word of this member in time')
    this.#goOn(heartbeat.head, heartbeat, false, [])
    return 0
  }

  async #caughtUp(step: Extract<Step, { is: 'apply' }>, heartbeat: Heartbeat, sentAt: number): Promise<number> {
    for (const entry of step.entries) if (this.#take(entry) === 'applied') this.#enforcing.tell(entry)
    if (step.more) return 0
    if (heartbeat.epoch !== this.#follower.epoch) {
      await this.#turnEpoch(heartbeat)
      return 0
    }
    if (sentAt >= this.#saidAt) this.#follower.caughtUp()
    if (!heartbeat.settled || this.#enforcing.blocked) return UNSETTLED
    const settledAnew = this.#leasedEpoch !== null && !this.#cameLate && Number(heartbeat.epoch) > Number(this.#leasedEpoch) // an older one is that of a master that was replaced
    const wasConfirmed = this.clock.elapsed() < this.#lease.confirmedUntil
    const { lapses } = this.#lease
    this.#lease.grant({ sentAt, now: this.clock.elapsed(), settledAnew: settledAnew && this.#settledSoon(heartbeat) })
    if (this.#lease.lapses > lapses) this.#lapsed(settledAnew ? 'epoch' : (this.#trouble ?? 'stall'))
    this.#trouble = null
    if (settledAnew) this.#ports.metrics.settleDuration.observe(Math.max(0, heartbeat.now - heartbeat.epochStart) / 1000)
    this.#leasedEpoch = heartbeat.epoch
    this.#loaded.proven(sentAt)
    this.#firstLease.resolve()
    this.#ports.moved()
    if (!wasConfirmed && this.clock.elapsed() < this.#lease.confirmedUntil) this.#ports.watcher()?.confirmed()
    return beatEvery(this.#settings.lease)
  }

  /**
   * Later than that, the master may have stood still since it began, until the window of another one was over, and not have noticed yet that nobody
   * follows it. A single one has no other.
   */
  #settledSoon({ now, epochStart }: Heartbeat): boolean {
    const { home, lease, window } = this.#settings
    return home.mode === 'single' || now - epochStart <= window - lease - UNNOTICED
  }

  /** Something announced can neither be believed nor read: nothing is confirmed until it can. */
  #blocked(): void {
    this.#lease.suspend()
    this.#ports.moved()
  }

  #lapsed(cause: LapseCause): void {
    this.#ports.metrics.lapses.inc({ cause })
    if (cause === 'stall') this.#ports.metrics.stalls.observe(this.#lease.gap / 1000)
  }

  /** A new epoch of the same history: nothing was undone, but what was read lately may have been. */
  async #turnEpoch(heartbeat: Heartbeat): Promise<void> {
    this.#read(heartbeat)
    const unheard = this.#follower.unheard(heartbeat.epoch)
    if (unheard.length > 0) await this.#sayAgain(unheard, false)
    await this.#doubt(refsOf(unheard))
    this.#follower.turn(heartbeat)
  }

  /** From here on answers of that epoch are taken; connections that may speak with another server are made anew. */
  #read(heartbeat: { readonly dataSet: string; readonly epoch: string }): void {
    const changed = this.#reading !== null && (this.#reading.epoch !== heartbeat.epoch || this.#reading.dataSet !== heartbeat.dataSet)
    this.#reading = heartbeat
    if (!changed) return
    this.#calls.renew()
    this.#urgent.renew()
  }

  #goOn(at: { readonly id: string; readonly nonce: string }, heartbeat: Heartbeat, keepJournal: boolean, lost: readonly Applied[]): void {
    this.#follower.rejoin(at, heartbeat, keepJournal, lost)
    this.#read(heartbeat)
    this.#enforcing.restart(at.id)
  }

  // ---- what was lost

  /** What this server does not have any more is said again, then everything in doubt is read again; only then the member goes on. */
  async #recover(step: Exclude<Step, { is: 'apply' | 'join' | 'broken' }>, heartbeat: Heartbeat): Promise<void> {
    this.#recovering = true
    this.#lease.suspend()
    this.#ports.moved()
    this.#read(heartbeat)
    const { metrics } = this.#ports
    if (step.is === 'replaced') metrics.dataSetChanges.inc()
    else if (step.is === 'forked') metrics.forks.inc()
    try {
      if (step.is !== 'missed') await this.#sayAgain(step.orphans, step.is === 'replaced')
      await (step.is === 'forked' && step.known ? this.#doubt(refsOf(step.orphans)) : this.#ports.watcher()?.doubted(step.is === 'missed' ? 'missed' : 'all'))
      this.#goOn(step.is === 'missed' ? heartbeat.head : step.rejoinAt, heartbeat, step.is === 'forked' && step.known, step.is === 'missed' ? [] : step.orphans)
    } finally {
      this.#recovering = false
    }
  }

  async #sayAgain(orphans: readonly Applied[], replaced: boolean): Promise<void> {
    await this.#ports.watcher()?.lost(newsOf(orphans), replaced)
    this.#saidAt = this.clock.elapsed()
  }

  async #doubt(refs: readonly RecordRef[]): Promise<void> {
    const loaded = this.#loaded.refs
    const all = loaded === null ? 'all' : [...new Map([...refs, ...loaded].map(ref => [refText(ref), ref])).values()]
    if (all.length > 0) await this.#ports.watcher()?.doubted(all)
  }

  // ---- entries

  /** Anybody may publish there: what can not be read proves nothing, and the next heartbeat brings what is so. */
  #heard(channel: string, message: string): void {
    try {
      if (channel.endsWith('ev')) this.#pushed(message)
      else this.#acknowledged(message)
    } catch (error) {
      this.#ports.says(`shard ${this.#index}: a message that can not be read was published on ${channel}`, error)
    }
  }

  /** News that does not carry the MAC is never said again: that would sign it. */
  #take(entry: Entry): ReturnType<Follower['take']> {
    const { ref, news } = entry
    const forged = ref !== null && news !== '' && !this.#ports.seal.isOn(this.#reading?.dataSet ?? '', refText(ref), entry)
    return this.#follower.take(forged ? { ...entry, news: '' } : entry)
  }

  #pushed(message: string): void {
    if (message.startsWith('?')) return this.#surveyed(message)
    const entry = entryOf(message)
    const taken = this.#take(entry)
    if (taken === 'applied') this.#enforcing.tell(entry)
    if (taken !== 'gap' || this.#recovering) return
    this.#ports.metrics.gaps.inc()
    this.#ears.hurry()
  }

  #enforced(entry: Entry, tally: Tally | null): void {
    this.#ports.metrics.applyLatency.observe(Math.max(0, this.clock.now() - entry.at) / 1000)
    if (entry.awaited && tally !== null && !this.#settings.observes) this.#ears.send('ack', [this.#settings.member, entry.id, tallyText(tally)])
  }

  #acknowledged(message: string): void {
    const [member = '', subject = '', text = ''] = message.split('\x1f')
    if (subject.startsWith('q:')) this.#ports.answered(subject.slice(2), text)
    else this.acknowledgements.heard(member, subject, tallyOf(text))
  }

  #surveyed(message: string): void {
    const [, id = '', selector = ''] = message.split('\x1f')
    const watcher = this.#ports.watcher()
    if (watcher !== null && !this.#settings.observes) this.#ears.send('ack', [this.#settings.member, `q:${id}`, reachText(watcher.reach(JSON.parse(selector)))])
  }
}
