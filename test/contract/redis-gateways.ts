// Gateways over one Redis as far as sessions go: member, mirror and ledger, wired as the gateway wires them, without its sockets. For tests only.
import { expect } from 'vitest'
import type { RecordRef } from '../../src/core/record.ts'
import type { Session } from '../../src/core/session.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { bodyOf, type Entry, entryOf, refText } from '../../src/sessions/redis/entry.ts'
import type { Announcement, Commit, SessionStore } from '../../src/sessions/store.ts'
import { type Member, type MemberPlan, openMember } from '../support/redis-members.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { policyOf } from '../unit/core/world.ts'
import { anchorCommit, commitOf, opening, sessionOf } from './session-store-contract.ts'

export type GatewayPlan = MemberPlan & { readonly wrap?: (store: SessionStore) => SessionStore }

/** What the tests read of a counter. */
type Counter = { readonly get: () => Promise<{ readonly values: readonly { readonly value: number }[] }> }
export const counted = async (counter: Counter): Promise<number> => (await counter.get()).values.reduce((sum, { value }) => sum + value, 0)

export class Gateway {
  readonly member: Member
  readonly store: SessionStore
  readonly clock: Clock
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly lease: number
  /** In the order in which they came. */
  readonly heard: Announcement[] = []
  readonly saidAgain = { recorded: 0, known: 0 }
  /** How often it was told that its lease is back. */
  returns = 0

  private constructor(member: Member, { wrap = store => store, lease = 1_000 }: GatewayPlan) {
    this.member = member
    this.lease = lease
    this.clock = member.clock
    this.store = wrap(member.store)
    this.mirror = new Mirror(this.store, policyOf(), 1_000)
    this.ledger = new Ledger(this.store, this.mirror, this.clock)
    this.ledger.onSaidAgain = result => void this.saidAgain[result]++
    this.mirror.onAnnounced = announcement => void this.heard.push(announcement)
  }

  static async open(port: number, plan: GatewayPlan = {}): Promise<Gateway> {
    const gateway = new Gateway(await openMember(port, plan), plan)
    await gateway.mirror.start({ lost: (news, replaced) => gateway.ledger.sayAgain(news, replaced), confirmed: () => void gateway.returns++ })
    return gateway
  }

  /** May it decide anything now? */
  get isConfirmed(): boolean { return this.store.confirmedUntil() > this.clock.elapsed() }

  /** Everything the store took before this instant of `clock.elapsed` is known here: when the newest good heartbeat was sent. */
  get provenAt(): number { return this.store.confirmedUntil() - this.lease }

  /** Settles with the first heartbeat that was sent after this call and answered well. */
  async proven(): Promise<void> {
    const since = this.clock.elapsed()
    await expect.poll(() => this.provenAt, { interval: 2, timeout: 15_000 }).toBeGreaterThan(since)
  }

  confirmed(): Promise<void> { return expect.poll(() => this.isConfirmed, { interval: 5, timeout: 15_000 }).toBe(true) }

  hasHeard(ref: RecordRef, version: number): boolean { return this.heard.some(({ ref: its, record }) => refText(its) === refText(ref) && record.version === version) }

  async opened(name: string): Promise<Session> {
    const commit = commitOf(null, opening(name, this.clock.now(), 'any'), this.clock.now())
    expect((await this.store.commit(commit)).is).toBe('OK')
    return sessionOf(commit.record)
  }

  /** The end of a ticket, as anybody may bring it; nobody needs to have seen the ticket. */
  closing(name: string, awaited = false) { return anchorCommit(`sig_close_${name}`, { kind: 'ticket', name }, 'anchor.ended', this.clock.now(), { awaited }) }

  async close(): Promise<void> {
    this.ledger.stop()
    await this.store.close()
  }
}

/** The log of a shard, oldest first. */
export async function logOf(server: RedisServer, shard = 0): Promise<readonly Entry[]> {
  const rows = (await server.command('XRANGE', `ng:{${shard}}:L`, '-', '+')) as readonly (readonly [string, readonly string[]])[] // as Redis answers
  return rows.map(([, [, text = '']]) => entryOf(text))
}

/** A commit as the library takes it, by anybody who may call it: without a MAC, over whatever is there. */
export function wordsOf({ operation, ref, record, facts, news }: Commit, nonce: string): readonly (string | number)[] {
  return [nonce, 1, operation, refText(ref), '', '', record.version, '', bodyOf(record), '', '', '', JSON.stringify(facts), facts.length, JSON.stringify(news), '']
}

async function hangUp(server: RedisServer, names: readonly string[]): Promise<void> {
  const clients = String(await server.command('CLIENT', 'LIST')).split('\n')
  for (const line of clients) if (names.some(name => line.includes(`name=narrowgate-${name}`))) await server.command('CLIENT', 'KILL', 'ID', /^id=(\d+)/.exec(line)?.[1] ?? '')
}

/** Ends the connections on which members hear, and no others. */
export const deafen = (server: RedisServer): Promise<void> => hangUp(server, ['sync'])
/** Ends all others of members. */
export const hangUpCalls = (server: RedisServer): Promise<void> => hangUp(server, ['calls', 'urgent'])

/** The server's own time in milliseconds. */
export async function timeOf(server: RedisServer): Promise<number> {
  const [seconds, micros] = (await server.command('TIME')) as readonly string[] // as Redis answers
  return Number(seconds) * 1_000 + Number(micros) / 1_000
}

/** A stream of numbers in [0, 1) that is the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
