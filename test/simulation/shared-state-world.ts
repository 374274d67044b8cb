// Members, their servers and the wires between them, and what may befall each: everything a schedule of the model check does goes through here.
// An auditor looks on. SPEC: STO14-STO16
import { NOT_BOUND } from '../../src/core/binding.ts'
import type { ElevationId } from '../../src/core/elevation.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import { duration, instant } from '../../src/core/time.ts'
import { newLockId, newSignalId } from '../../src/runtime/id.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { elevation } from '../unit/core/world.ts'
import { Auditor } from './shared-state-auditor.ts'
import { type Desk, LEASE, Member } from './shared-state-member.ts'
import type { Flaw } from './shared-state-model.ts'
import { Host, Network, START } from './shared-state-network.ts'
import { Right, subjectOf, TICKET } from './shared-state-rights.ts'
import type { Process, SimulatedTime } from './simulated-time.ts'

export type Mode = 'single' | 'sentinel'
export type End = 'terminate' | 'elevation' | 'ticket' | 'lock'
export const KEYS: readonly SessionKey[] = ['key_0', 'key_1', 'key_2', 'key_3'] as readonly string[] as readonly SessionKey[] // test words
/** How long an old master may take writes beside a new one: `min-replicas-max-lag` and its own look once a second. */
export const FENCE = { single: 0, sentinel: 4_000 } as const
const MARGIN = 100
const HOUR = 3_600_000
const MEMBERS_MAX = 4
/** How long a master that stood still may take writes before it looks whether anybody follows it. */
const UNNOTICED = 900

const word = () => ({ id: newSignalId(), by: 'operator', note: '' })

/** Everything that stands on the same as one right, and ends with it. */
export const reachedBy = (how: End, right: Right, rights: readonly Right[]): readonly Right[] => rights.filter(each => {
  if (!each.given) return false
  if (how === 'ticket') return each.elevation !== null
  return each.key === right.key && (how === 'lock' || (each.life === right.life && (how === 'terminate' || each === right)))
})

/** Has the ledger of a gateway take an end. */
export function endAt({ ledger }: Desk, how: End, { key, life, elevation: id }: Right): Promise<Applied<unknown>> {
  switch (how) {
    case 'terminate': return ledger.applyToSession(key, { ...word(), life, kind: 'session.terminated', reason: 'session_ended' })
    case 'elevation': return ledger.applyToSession(key, { ...word(), life, kind: 'elevation.ended', elevation: id ?? ('' as ElevationId), reason: 'revoked', because: 'test' }) // only rights that have one are ended so
    case 'ticket': return ledger.applyToAnchor(TICKET, { ...word(), kind: 'anchor.ended', matter: null })
    case 'lock': {
      const selector = { kind: 'subject', value: subjectOf(key) } as const
      return ledger.applyToLock(selector, { ...word(), kind: 'lock.set', lock: newLockId(), selector, effect: 'deny', reason: 'locked', until: null })
    }
  }
}

export function openAt({ ledger, store }: Desk, key: SessionKey, session: SessionId, after: number): Promise<unknown> {
  const endsAt = instant(START + 24 * HOUR)
  return ledger.applyToSession(key, {
    ...word(), kind: 'session.opened', key, session, epoch: store.epochOf(sessionRef(key)), endsAt,
    principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: subjectOf(key), client: 'app', owner: null, actor: null }, credential: { id: `cred_${session}`, keyId: null, issuedAt: instant(START + HOUR + after), expiresAt: endsAt }, bindings: NOT_BOUND, aliases: [], brokered: null,
  })
}

export async function elevateAt({ ledger, mirror }: Desk, right: Right, id: ElevationId): Promise<void> {
  const { key, life } = right
  const tied = await mirror.anchor(TICKET)
  if (tied?.state === 'ended') return
  right.generation = tied?.generation ?? 0
  const asked = elevation(id, { for: duration(HOUR), max: duration(HOUR), ties: [{ anchor: TICKET, generation: instant(right.generation), reason: 'ticket_closed', position: null, level: null }], state: { is: 'requested', expiresAt: null } })
  await ledger.applyToSession(key, { ...word(), life, kind: 'elevation.requested', elevation: asked, startsAt: null })
}

export class World {
  readonly members: Member[] = []
  readonly network: Network
  readonly auditor: Auditor
  readonly #time: SimulatedTime
  readonly #mode: Mode
  #made = 0

  constructor(time: SimulatedTime, mode: Mode, flaw: Flaw | null) {
    this.#time = time
    this.#mode = mode
    this.auditor = new Auditor(time, () => this.members, () => this.network.newest.server)
    this.network = new Network(time, this.auditor.hearing, flaw)
    time.onQuiet = () => this.auditor.audit()
  }

  get rights(): readonly Right[] { return this.auditor.rights }
  member(at: number): Member | null { return this.members[at % Math.max(1, this.members.length)] ?? null }

  /** Three members, sessions with an elevation each, and somebody who uses them everywhere. */
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
    if (this.rights.some(({ given }) => !given) || this.members.some(({ isUp, desk }) => !isUp || desk.exchanges.size < this.rights.length)) throw new Error('the world does not begin')
  }

  async pass(ms: number): Promise<void> {
    await this.#time.pass(ms)
    this.auditor.report()
  }

  later(ms: number, run: () => void): void { this.#time.after(ms, null, run) }

  // ---- what members do

  join(): void {
    if (this.members.length >= MEMBERS_MAX) return
    const i = this.#made++
    const member = new Member(`m${i}`, this.#time, this.network, { mode: this.#mode, window: FENCE[this.#mode] + LEASE + MARGIN, rate: [1, 1.0005, 0.9995][i % 3] ?? 1, skew: [0, -7_000, 7_000][i % 3] ?? 0, rights: () => this.rights })
    this.members.push(member)
    void this.#time.as(member, () => member.start().catch(() => this.#lose(member))) // a gateway that can not begin is begun again by whoever runs it
  }

  crash(at: number): void {
    const member = this.member(at)
    if (member !== null && this.members.length > 1) this.#lose(member)
  }

  #lose(member: Member): void {
    member.crash()
    this.members.splice(this.members.indexOf(member), 1)
    this.auditor.count('member lost')
  }

  request(at: number, right: Right): void { this.#doing(at, ({ desk }) => desk.request(right)) }

  open(at: number, key: SessionKey): void {
    const life = `ses_${this.#made++}` as SessionId // a test word
    this.auditor.rights.push(new Right(key, life, null))
    this.#doing(at, ({ desk }) => openAt(desk, key, life, this.#time.now))
  }

  elevate(at: number, key: SessionKey): void {
    const life = this.member(at)?.desk.mirror.peek(key)?.record.id ?? this.rights.findLast(right => right.key === key && right.elevation === null)?.life
    if (life === undefined) return
    const id = `elv_${this.#made++}` as ElevationId // a test word
    const right = new Right(key, life, id)
    this.auditor.rights.push(right)
    this.#doing(at, ({ desk }) => elevateAt(desk, right, id))
  }

  reopenTicket(at: number): void { this.#doing(at, ({ desk }) => desk.ledger.applyToAnchor(TICKET, { ...word(), kind: 'anchor.opened', matter: null })) }

  /** An end, acknowledged when every gateway has enforced it. */
  end(at: number, how: End, pick: number): void {
    const given = this.rights.filter(right => right.given && right.endedAt === null && (how !== 'elevation' || right.elevation !== null))
    const right = given[pick % given.length]
    if (right === undefined) return
    const reached = reachedBy(how, right, this.rights)
    const inForce = this.members.filter(({ serves, desk, isStray }) => serves && desk.isConfirmed && !isStray)
    this.auditor.count(how)
    this.#doing(at, async member => {
      const { position } = await endAt(member.desk, how, right)
      if (position !== null) await this.auditor.acknowledged(member, position, reached, inForce)
    })
  }

  /** Whatever the store could not do is no fault of the protocol. */
  #doing(at: number, run: (member: Member) => Promise<unknown>): void {
    const member = this.member(at)
    if (member?.serves !== true) return
    void this.#time.as(member, () => run(member).catch((error: unknown) => {
      if (!(error instanceof StoreFault) && !(error instanceof Error && /kept changing/.test(error.message))) this.auditor.fail(`${member.name}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`)
      this.auditor.count('store failed')
    }))
  }

  // ---- what befalls them

  cut(member: Member, from: readonly Host[] = this.network.hosts): void {
    for (const host of from) if (host.state !== 'dead') member.cut.add(host)
  }

  heal(member: Member): void {
    Object.assign(member, { up: 1, down: 1, pushes: 'fair' })
    for (const host of this.network.hosts) this.network.heal(member, host)
  }

  stop(process: Process | null, ms: number): void {
    if (process?.state !== 'runs') return
    process.state = 'stopped'
    this.later(ms, () => this.#resume(process))
  }

  #resume(process: Process): void {
    if (process.state === 'stopped' && process instanceof Host && process !== this.network.newest) this.#fence(process, UNNOTICED)
    this.#time.resume(process)
  }

  /** A master that nobody follows any more notices it after a while, unless it stands still, and then is gone. */
  #fence(host: Host, after: number): void {
    this.later(after, () => { if (host.state === 'runs') host.server.isFenced = true })
    this.later(after + 1_000, () => { if (host.state === 'runs') this.network.end(host) })
  }

  /** The same machine comes back with what its disk has. */
  restart(lost: number, down: number): void {
    const host = this.network.newest
    if (host.state === 'dead') return
    this.network.end(host)
    const data = host.dataAt(this.#time.now - lost)
    this.later(down, () => { if (this.network.newest === host) this.network.start(data, 0, 0) })
    this.auditor.count('restarted')
  }

  /** A replica becomes the master; the old one takes writes until it is fenced. Not again before that: two failovers at once are promised nothing. */
  promote(lag: number, fence: number, skew: number, rumour: number): void {
    const host = this.network.newest
    if (this.#mode === 'single' || this.network.hosts.filter(({ state }) => state !== 'dead').length !== 1) return
    if (host.state === 'runs') this.#fence(host, fence)
    this.network.start(host.dataAt(Math.max(this.#time.now - lag, host.copiedUpTo)), skew, rumour)
    this.auditor.count('promoted')
  }

  mend(): void {
    for (const member of this.members) this.heal(member)
    for (const process of [...this.members, ...this.network.hosts]) this.#resume(process)
  }
}
