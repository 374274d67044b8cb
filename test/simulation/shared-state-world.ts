// The members, their servers and the wires, with an auditor beside them who sees everything at once: after every event he compares what each member would
// decide with what was executed, acknowledged and lost. SPEC: STO14-STO16
import type { ElevationId } from '../../src/core/elevation.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { Session, SessionId, SessionKey } from '../../src/core/session.ts'
import type { SessionSignal } from '../../src/core/signal.ts'
import { duration, instant } from '../../src/core/time.ts'
import { newLockId, newSignalId } from '../../src/runtime/id.ts'
import type { Applied } from '../../src/sessions/ledger.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { elevation } from '../unit/core/world.ts'
import { LEASE, Member } from './shared-state-member.ts'
import type { Data, ModelServer } from './shared-state-model.ts'
import { Host, Network, START } from './shared-state-network.ts'
import { recordAt, Right, subjectOf, TICKET } from './shared-state-rights.ts'
import type { Process, SimulatedTime } from './simulated-time.ts'

export type Mode = 'single' | 'sentinel'
export const KEYS = ['key_0', 'key_1', 'key_2', 'key_3'] as readonly string[] as readonly SessionKey[] // test words
/** How long an old master may take writes beside a new one: `min-replicas-max-lag` and its own look once a second. */
export const FENCE = { single: 0, sentinel: 4_000 } as const
const MARGIN = 100
/** Clocks run apart by half of a thousandth. */
const BOUND = LEASE * 1.001
const HOUR = 3_600_000
const MEMBERS_MAX = 4
const UNNOTICED = 900

export class World {
  readonly members: Member[] = []
  readonly rights: Right[] = []
  readonly network: Network
  readonly time: SimulatedTime
  readonly mode: Mode
  readonly seen = new Map<string, number>()
  /** The last time nobody could be elsewhere, and since when somebody may again. */
  #settledAt = 0
  #unsettledSince = 0
  #isSettled = false
  #made = 0
  #violation: Error | null = null
  /** By name, for what the servers call back. */
  readonly #byName = new Map<string, Member>()

  constructor(time: SimulatedTime, mode: Mode) {
    this.time = time
    this.mode = mode
    this.network = new Network(time, {
      opened: server => this.#opened(server), entered: (server, member) => this.#entered(server, member), settled: server => this.#settled(server), written: (server, before) => this.#written(server, before),
    })
    time.onQuiet = () => this.audit()
  }

  count(what: string): void { this.seen.set(what, (this.seen.get(what) ?? 0) + 1) }

  /** Three members, two sessions with an elevation each, and somebody who uses them everywhere. */
  async start(): Promise<void> {
    this.network.start(null, 0, 0)
    for (let i = 0; i < 3; i++) this.join()
    await this.pass(100)
    for (const key of KEYS) this.open(0, key)
    await this.pass(20)
    for (const key of KEYS) this.elevate(0, key)
    await this.pass(20)
    for (const member of this.members.keys()) for (const right of this.rights) this.request(member, right)
    await this.pass(20)
    if (!this.rights.every(({ given }) => given) || this.members.some(({ isUp, exchanges }) => !isUp || exchanges.size < this.rights.length)) this.#fail('the world does not begin')
  }

  async pass(ms: number): Promise<void> {
    await this.time.pass(ms)
    if (this.#violation !== null) throw this.#violation
  }

  // ---- what members do

  join(): void {
    if (this.members.filter(({ state }) => state !== 'dead').length >= MEMBERS_MAX) return
    const i = this.#made++
    const member = new Member(`m${i}`, this.time, this.network, { mode: this.mode, window: FENCE[this.mode] + LEASE + MARGIN, rate: [1, 1.0005, 0.9995][i % 3] ?? 1, skew: [0, -7_000, 7_000][i % 3] ?? 0, rights: () => this.rights })
    this.members.push(member)
    this.#byName.set(member.name, member)
    void this.time.as(member, () => member.start().catch(() => this.#lose(member))) // a gateway that can not begin is begun again by whoever runs it
  }

  crash(at: number): void {
    const member = this.#member(at)
    if (member !== null && this.members.length > 1) this.#lose(member)
  }

  #lose(member: Member): void {
    member.crash()
    this.members.splice(this.members.indexOf(member), 1)
    this.count('member crashed')
  }

  request(at: number, right: Right): void {
    const member = this.#member(at)
    if (member?.serves === true) this.#doing(member, () => member.request(right))
  }

  open(at: number, key: SessionKey): void {
    const member = this.#member(at)
    if (member?.serves !== true) return
    const life = `ses_${this.#made++}` as SessionId // a test word
    this.rights.push(new Right(key, life, null))
    const endsAt = instant(START + 24 * HOUR)
    const signal: SessionSignal = {
      ...word(), kind: 'session.opened', key, session: life, epoch: member.store.epochOf(sessionRef(key)), endsAt,
      principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: subjectOf(key), client: 'app', owner: null, actor: null }, credential: { id: `cred_${life}`, keyId: null, issuedAt: instant(START + HOUR + this.time.now), expiresAt: endsAt },
    }
    this.#doing(member, () => member.ledger.applyToSession(key, signal))
  }

  elevate(at: number, key: SessionKey): void {
    const member = this.#member(at)
    const life = member?.mirror.peek(key)?.record.id ?? this.rights.findLast(right => right.key === key && right.elevation === null)?.life
    if (member?.serves !== true || life === undefined) return
    const id = `elv_${this.#made++}` as ElevationId // likewise
    this.rights.push(new Right(key, life, id))
    this.#doing(member, async () => {
      const tied = await member.mirror.anchor(TICKET)
      if (tied?.state === 'ended') return
      const asked = elevation(id, { for: duration(HOUR), max: duration(HOUR), ties: [{ anchor: TICKET, generation: tied?.generation ?? instant(0), reason: 'ticket_closed' }], state: { is: 'requested', expiresAt: null } })
      await member.ledger.applyToSession(key, { ...word(), life, kind: 'elevation.requested', elevation: asked, askedUntil: null })
    })
  }

  reopenTicket(at: number): void {
    const member = this.#member(at)
    if (member?.serves === true) this.#doing(member, () => member.ledger.applyToAnchor(TICKET, { ...word(), kind: 'anchor.opened' }))
  }

  /** An end, acknowledged when every gateway has enforced it. */
  end(at: number, how: 'terminate' | 'elevation' | 'ticket' | 'lock', pick: number): void {
    const member = this.#member(at)
    const given = this.rights.filter(right => right.given && right.endedAt === null && (how !== 'elevation' || right.elevation !== null))
    const right = given[pick % given.length]
    if (member?.serves !== true || right === undefined) return
    const { key, life, elevation: id } = right
    const reached = this.rights.filter(each => each.given && (how === 'ticket' ? each.elevation !== null : each.key === key && (how === 'lock' || (each.life === life && (how === 'terminate' || each === right)))))
    this.count(how)
    const ends: { readonly [H in typeof how]: () => Promise<Applied<unknown>> } = {
      terminate: () => member.ledger.applyToSession(key, { ...word(), life, kind: 'session.terminated', reason: 'session_ended' }),
      elevation: () => member.ledger.applyToSession(key, { ...word(), life, kind: 'elevation.ended', elevation: id ?? ('' as ElevationId), reason: 'revoked', because: 'test' }), // it has one, see above
      ticket: () => member.ledger.applyToAnchor(TICKET, { ...word(), kind: 'anchor.ended' }),
      lock: () => member.ledger.applyToLock({ kind: 'subject', value: subjectOf(key) }, { ...word(), kind: 'lock.set', lock: newLockId(), selector: { kind: 'subject', value: subjectOf(key) }, effect: 'deny', reason: 'locked', until: null }),
    }
    const inForce = this.members.filter(each => each.serves && each.isConfirmed && !each.isStray)
    this.#doing(member, async () => this.#acknowledged(member, await ends[how](), reached, inForce))
  }

  async #acknowledged(member: Member, { position }: Applied<unknown>, reached: readonly Right[], inForce: readonly Member[]): Promise<void> {
    const ended = reached.filter(({ endedAt }) => endedAt !== null)
    if (position === null) return
    for (const right of ended) right.known.add(member.name)
    const { gateways } = await member.store.enforced(position)
    this.count(gateways.expired === 0 ? 'acknowledged' : 'expired')
    for (const right of ended) {
      if (right.endedAt === null) continue // lost with everybody who knew
      right.acknowledged = true
      const open = gateways.expired > 0 ? [] : inForce.filter(each => each.serves && each.isConfirmed && !each.isStray && each.exchanges.has(right))
      if (open.length > 0) this.#fail(`Theorem 2: the end of ${right.name} was acknowledged before its exchange was cut at ${open.map(({ name }) => name).join()}`)
    }
  }

  /** Whatever the store could not do is no fault of the test. */
  #doing(member: Member, run: () => Promise<unknown>): void {
    void this.time.as(member, () => run().catch((error: unknown) => {
      if (!(error instanceof StoreFault) && !(error instanceof Error && /kept changing/.test(error.message))) this.#fail(`${member.name}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`)
      this.count('store failed')
    }))
  }

  #member(at: number): Member | null { return this.members[at % Math.max(1, this.members.length)] ?? null }
  member(at: number): Member | null { return this.#member(at) }

  // ---- what befalls them

  later(ms: number, run: () => void): void { this.time.after(ms, null, run) }

  cut(member: Member, from: readonly Host[] = this.network.hosts): void {
    for (const host of from) if (host.state !== 'dead') member.cut.add(host)
  }

  heal(at: number): void {
    const member = this.#member(at)
    if (member !== null) this.healed(member)
  }

  healed(member: Member): void {
    Object.assign(member, { up: 1, down: 1, pushes: 'fair' })
    for (const host of this.network.hosts) this.network.heal(member, host)
  }

  stop(process: Process | null, ms: number): void {
    if (process?.state !== 'runs') return
    process.state = 'stopped'
    this.time.after(ms, null, () => this.#resume(process))
  }

  #resume(process: Process): void {
    if (process.state === 'stopped' && process instanceof Host && process !== this.network.newest) this.#fence(process, UNNOTICED)
    this.time.resume(process)
  }

  /** A master that nobody follows any more notices it after a while, unless it stands still, and then is gone. */
  #fence(host: Host, after: number): void {
    this.time.after(after, null, () => { if (host.state === 'runs') host.server.isFenced = true })
    this.time.after(after + 1_000, null, () => { if (host.state === 'runs') this.network.end(host) })
  }

  /** The same machine comes back with what its disk has. */
  restart(lost: number, down: number): void {
    const host = this.network.newest
    if (host.state === 'dead') return
    this.network.end(host)
    const data = host.dataAt(this.time.now - lost)
    this.time.after(down, null, () => { if (this.network.newest === host) this.network.start(data, 0, 0) })
    this.count('restarted')
  }

  /** A replica becomes the master; the old one takes writes until it is fenced. Not again before that: two failovers at once are promised nothing. */
  promote(lag: number, fence: number, skew: number, rumour: number): void {
    const host = this.network.newest
    if (this.mode === 'single' || this.network.hosts.filter(({ state }) => state !== 'dead').length !== 1) return
    if (host.state === 'runs') this.#fence(host, fence)
    this.network.start(host.dataAt(Math.max(this.time.now - lag, host.copiedUpTo)), skew, rumour)
    this.count('promoted')
  }

  mend(): void {
    for (const at of this.members.keys()) this.heal(at)
    for (const process of [...this.members, ...this.network.hosts]) this.#resume(process)
  }

  // ---- what the auditor sees

  /** Every decision anybody might take now. */
  audit(): void {
    for (const right of this.rights) {
      if (right.endedAt === null) continue
      for (const member of this.members) {
        const why = this.#mustRefuse(right, member)
        if (why !== null && member.allows(right)) this.#fail(`${why}: ${member.name} allows ${right.name} ${(this.time.now - right.endedAt).toFixed(0)} ms after its end`)
      }
    }
  }

  #mustRefuse(right: Right, member: Member): string | null {
    if (right.endedAt === null) return null
    if (right.acknowledged && !member.isStray) return 'Theorem 2'
    if (right.countsFrom === null || !this.#isSettled || !this.#counts(this.network.newest.server)) return null
    const from = right.countsFrom >= this.#unsettledSince ? Math.max(right.countsFrom, this.#settledAt) : right.countsFrom
    return this.time.now > from + BOUND && !right.grantedBy(this.#data) ? 'Theorem 1' : null
  }

  get #data(): Data {
    const { data } = this.network.newest.server
    if (data === null) throw new Error('the server has no data')
    return data
  }

  /** The newest server, once it has begun its own epoch. */
  #counts(server: ModelServer): boolean { return server === this.network.newest.server && server.data?.run === server.run }

  #written(server: ModelServer, before: Data): void {
    const { data } = server
    if (data === null) return
    for (const right of this.rights) {
      const [was, is] = [right.grantedBy(before), right.grantedBy(data)]
      if (is) right.given = true
      if (is && !was && right.countsFrom !== null && this.#counts(server) && before.records.has(`session/${right.key}`)) this.#fail(`Theorem 3: ${right.name} had ended and was given again`)
      if (!was || is) continue
      right.endedAt ??= this.time.now
      if (this.#counts(server)) right.countsFrom ??= this.time.now
    }
  }

  /** It has said again what it knew before it is let in. */
  #entered(server: ModelServer, name: string): void {
    const member = this.#byName.get(name)
    if (member === undefined || !this.#counts(server)) return
    member.isStray = false
    const missing = this.rights.filter(right => right.known.has(name) && right.grantedBy(this.#data))
    if (missing.length > 0) this.#fail(`Theorem 3: ${name} came into epoch ${this.#data.epoch} and did not say again that ${missing.map(right => right.name).join()} ended`)
  }

  #opened(server: ModelServer): void {
    if (!this.#counts(server)) return
    if (this.#isSettled) this.#unsettledSince = this.time.now
    this.#isSettled = false
    for (const member of this.members) if (member.isUp && !this.#data.roll.has(member.name)) member.isStray = true
  }

  /** What is not here now was known to nobody who came in time. */
  #settled(server: ModelServer): void {
    if (!this.#counts(server)) return
    this.#settledAt = this.time.now
    this.#isSettled = true
    this.count('settled')
    const came = [...this.#data.roll].filter(([, value]) => Number(value.split('|')[1]) === this.#data.epoch).map(([name]) => name)
    for (const right of this.rights) {
      if (right.endedAt === null || !right.grantedBy(this.#data)) continue
      if (came.some(name => right.known.has(name))) continue
      this.count('lost with all who knew')
      right.endedAt = null
      right.countsFrom = null
      right.acknowledged = false
    }
  }

  /** After a fair while everybody serves again and knows what the server knows, no more and no less. */
  assertWell(): void {
    for (const member of this.members) {
      if (!member.isUp || !member.isConfirmed) this.#fail(`${member.name} does not serve again`)
      if (member.ledger.owed > 0) this.#fail(`${member.name} still owes ${member.ledger.owed} ends`)
      for (const { record } of member.mirror.all()) {
        const there: Session | null = recordAt(this.#data, 'session', record.key)
        if (there === null || told(there) !== told(record)) this.#fail(`${member.name} has ${told(record)}, the server ${there === null ? 'nothing' : told(there)}`)
      }
      for (const right of member.exchanges.keys()) if (!right.grantedBy(this.#data)) this.#fail(`${member.name} keeps an exchange open on ${right.name}, which is not given any more`)
    }
    if (this.#violation !== null) throw this.#violation
  }

  #fail(says: string): void { this.#violation ??= new Error(`${says} (at ${this.time.now.toFixed(0)} ms)`) }
}

const word = () => ({ id: newSignalId(), by: 'operator', note: '' })
/** An end that was in force from memory may differ by the instant at which the store took it. */
const told = ({ id, version, state, elevations }: Session): string => [id, version, state.is, ...elevations.map(each => `${each.id} ${each.state.is}`)].join(', ')
