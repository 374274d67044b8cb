// Beside members and servers, somebody who sees everything at once: after every event he compares what each member would decide with what was executed,
// acknowledged and lost. The three theorems of the protocol, in his words. Changes nothing. SPEC: STO14-STO16
import type { Session } from '../../src/core/session.ts'
import type { Position } from '../../src/sessions/store.ts'
import { LEASE, type Member } from './shared-state-member.ts'
import type { Data, Hearing, ModelServer } from './shared-state-model.ts'
import { type Right, recordAt } from './shared-state-rights.ts'
import type { SimulatedTime } from './simulated-time.ts'

/** Clocks run apart by half of a thousandth. */
const BOUND = LEASE * 1.001

export class Auditor {
  readonly rights: Right[] = []
  /** What happened, how often. */
  readonly seen = new Map<string, number>()
  /** What the servers tell him. */
  readonly hearing: Omit<Hearing, 'published'> = {
    opened: server => this.#opened(server), entered: (server, name) => this.#entered(server, name), settled: server => this.#settled(server), written: (server, before) => this.#written(server, before),
  }
  readonly #time: SimulatedTime
  readonly #members: () => readonly Member[]
  readonly #newest: () => ModelServer
  /** The last time nobody could be elsewhere, and since when somebody may again. */
  #settledAt = 0
  #unsettledSince = 0
  #isSettled = false
  #violation: Error | null = null

  constructor(time: SimulatedTime, members: () => readonly Member[], newest: () => ModelServer) {
    this.#time = time
    this.#members = members
    this.#newest = newest
  }

  count(what: string): void { this.seen.set(what, (this.seen.get(what) ?? 0) + 1) }
  fail(says: string): void { this.#violation ??= new Error(`${says} (at ${this.#time.now.toFixed(0)} ms)`) }

  /** @throws Error the first thing that was wrong */
  report(): void {
    if (this.#violation !== null) throw this.#violation
  }

  /** Every decision anybody might take now. */
  audit(): void {
    for (const right of this.rights) {
      const { endedAt } = right
      if (endedAt === null) continue
      for (const member of this.#members()) {
        const why = this.#mustRefuse(right, member)
        if (why !== null && member.allows(right)) this.fail(`${why}: ${member.name} allows ${right.name} ${(this.#time.now - endedAt).toFixed(0)} ms after its end`)
      }
    }
  }

  #mustRefuse(right: Right, { isStray }: Member): 'Theorem 1' | 'Theorem 2' | null {
    if (right.acknowledged && !isStray) return 'Theorem 2'
    if (right.countsFrom === null || !this.#isSettled || !this.#counts(this.#newest())) return null
    const from = right.countsFrom >= this.#unsettledSince ? Math.max(right.countsFrom, this.#settledAt) : right.countsFrom
    return this.#time.now > from + BOUND && !right.grantedBy(this.#data) ? 'Theorem 1' : null
  }

  /** An end of these was taken by the store. @param inForce those whose lease ran when it was issued */
  async acknowledged(member: Member, position: Position, reached: readonly Right[], inForce: readonly Member[]): Promise<void> {
    const ended = reached.filter(({ endedAt }) => endedAt !== null)
    for (const right of ended) right.known.add(member.name)
    const { gateways } = await member.desk.store.enforced(position)
    this.count(gateways.expired === 0 ? 'acknowledged' : 'expired')
    for (const right of ended) {
      if (right.endedAt === null) continue // lost with everybody who knew
      right.acknowledged = true
      const open = gateways.expired > 0 ? [] : inForce.filter(({ serves, desk, isStray }) => serves && desk.isConfirmed && !isStray && desk.exchanges.has(right))
      if (open.length > 0) this.fail(`Theorem 2: the end of ${right.name} was acknowledged before its exchange was cut at ${open.map(({ name }) => name).join()}`)
    }
  }

  get #data(): Data {
    const { data } = this.#newest()
    if (data === null) throw new Error('the server has no data')
    return data
  }

  /** The newest server, once it has begun its own epoch. */
  #counts(server: ModelServer): boolean { return server === this.#newest() && server.data?.run === server.run }

  #written(server: ModelServer, before: Data): void {
    const { data } = server
    if (data === null) return
    for (const right of this.rights) {
      const [was, is] = [right.grantedBy(before), right.grantedBy(data)]
      if (is) right.given = true
      if (is && !was && right.countsFrom !== null && this.#counts(server) && before.records.has(`session/${right.key}`)) this.fail(`Theorem 3: ${right.name} had ended and was given again`)
      if (!was || is) continue
      right.endedAt ??= this.#time.now
      if (this.#counts(server)) right.countsFrom ??= this.#time.now
    }
  }

  #opened(server: ModelServer): void {
    if (!this.#counts(server)) return
    if (this.#isSettled) this.#unsettledSince = this.#time.now
    this.#isSettled = false
    for (const member of this.#members()) if (member.isUp && !this.#data.roll.has(member.name)) member.isStray = true
  }

  /** It has said again what it knew before it is let in. */
  #entered(server: ModelServer, name: string): void {
    const member = this.#members().find(each => each.name === name)
    if (member === undefined || !this.#counts(server)) return
    member.isStray = false
    const missing = this.rights.filter(right => right.known.has(name) && right.grantedBy(this.#data))
    if (missing.length > 0) this.fail(`Theorem 3: ${name} came into epoch ${this.#data.epoch} and did not say again that ${missing.map(right => right.name).join()} ended`)
  }

  /** What is not here now was known to nobody who came in time: that is promised to nobody. */
  #settled(server: ModelServer): void {
    if (!this.#counts(server)) return
    this.#settledAt = this.#time.now
    this.#isSettled = true
    this.count('settled')
    const came = [...this.#data.roll].filter(([, value]) => Number(value.split('|')[1]) === this.#data.epoch).map(([name]) => name)
    for (const right of this.rights) {
      if (right.endedAt === null || !right.grantedBy(this.#data) || came.some(name => right.known.has(name))) continue
      this.count('lost with all who knew')
      right.endedAt = right.countsFrom = null
      right.acknowledged = false
    }
  }

  /** After a fair while everybody serves again and knows what the server knows, no more and no less. */
  allIsWell(): void {
    for (const { name, isUp, desk } of this.#members()) {
      if (!isUp || !desk.isConfirmed) this.fail(`${name} does not serve again`)
      if (desk.ledger.owed > 0) this.fail(`${name} still owes ${desk.ledger.owed} ends`)
      for (const { record } of desk.mirror.all()) {
        const there = recordAt<Session>(this.#data, 'session', record.key)
        if (there === null || told(there) !== told(record)) this.fail(`${name} has ${told(record)}, the server ${there === null ? 'nothing' : told(there)}`)
      }
      for (const right of desk.exchanges.keys()) if (!right.grantedBy(this.#data)) this.fail(`${name} keeps an exchange open on ${right.name}, which is not given any more`)
    }
    this.report()
  }
}

/** An end that was in force from memory may differ by the instant at which the store took it. */
const told = ({ id, version, state, elevations }: Session): string => [id, version, state.is, ...elevations.map(each => `${each.id} ${each.state.is}`)].join(', ')
