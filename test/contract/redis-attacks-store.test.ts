// What an attacker of the protocol found in the store itself: answers of servers that were replaced, histories that look alike, words that nobody can
// believe, members that are none, and what is left behind. Real servers, the stranger is another client of theirs. SPEC: STO13-STO18, ENF9
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { LockEffect, Selector } from '../../src/core/anchor.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { Session } from '../../src/core/session.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { after, duration } from '../../src/core/time.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { newLockId, newSignalId } from '../../src/runtime/id.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { Journal } from '../../src/sessions/journal.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { hashOf } from '../../src/sessions/redis/locator.ts'
import { redisStore } from '../../src/sessions/redis/open-redis.ts'
import { refText } from '../../src/sessions/redis/entry.ts'
import type { Commit, Enforcement, Position } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { homeAt } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { StoreTap } from '../support/tapped-store.ts'
import { policyOf } from '../unit/core/world.ts'
import { counted, Gateway, type GatewayPlan, wordsOf } from './redis-gateways.ts'
import { anchorCommit, asking, sessionOf } from './session-store-contract.ts'

const LEASE = 500
const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const BOB: Selector = { kind: 'subject', value: 'bob' }
const PATIENT = { timeout: 15_000 }

let server: RedisServer
let open: { readonly close: () => Promise<void> }[]
beforeAll(async () => { server = await RedisServer.start() })
afterAll(() => server.dispose())
beforeEach(async () => {
  open = []
  await server.command('FLUSHALL')
})
afterEach(async () => { for (const each of open) await each.close() })

async function gateway(plan: GatewayPlan = {}, port = server.port): Promise<Gateway> {
  const opened = await Gateway.open(port, { lease: LEASE, ...plan })
  open.unshift(opened) // before its proxy, so that it can leave
  return opened
}
async function proxy(port: number): Promise<ByteProxy> {
  const started = await ByteProxy.start(port)
  open.push(started)
  return started
}
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'narrowgate-attack-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

const turn = (): Promise<void> => new Promise(done => void setImmediate(done))
const word = <N>(news: N) => ({ id: newSignalId(), by: 'operator', note: '', ...news })
const tell = (of: Pick<Gateway, 'ledger'>, { key }: Session, news: SessionNews): Promise<Applied<Session>> => of.ledger.applyToSession(key, word(news))
const lock = (of: Pick<Gateway, 'ledger'>, selector: Selector, effect: LockEffect) =>
  of.ledger.applyToLock(selector, word({ kind: 'lock.set' as const, lock: newLockId(), selector, effect, reason: 'locked' as const, until: null }))
const here = (of: Gateway, { key }: Session): string => of.mirror.peek(key)?.record.state.is ?? 'unknown'
const enforced = async ({ store }: Pick<Gateway, 'store'>, { position }: { readonly position: Position | null }): Promise<Enforcement['gateways']> => {
  if (position === null) throw new Error('the store does not have it')
  return (await store.enforced(position)).gateways
}
async function known(name: string, ...all: readonly Gateway[]): Promise<Session> {
  const session = await (all[0] as Gateway).opened(name) // there is one at least
  for (const { mirror } of all) await mirror.load(session.key)
  return session
}

test('[STO16, STO18, ENF9] an announcement that a gateway can not believe is not enforced by it: no acknowledgement, and no lease before it can read the record', async () => {
  const path = directory()
  const [old = '', fresh = ''] = ['old', 'fresh'].map(name => {
    writeFileSync(join(path, name), name.repeat(16), { mode: 0o600 })
    return join(path, name)
  })
  const [early, behind] = [await gateway({ macKeyFiles: [fresh, old] }), await gateway({ macKeyFiles: [old] })]
  const set = await lock(early, BOB, 'deny')
  expect(await enforced(early, set)).toEqual({ total: 2, acknowledged: 1, expired: 1 })
  expect([behind.isConfirmed, behind.mirror.lock(BOB)]).toEqual([false, null])
  await expect(early.proven().then(() => early.proven()).then(() => behind.isConfirmed)).resolves.toBe(false)
  const late = await gateway({ macKeyFiles: [old, fresh] })
  await late.ledger.applyToLock(BOB, word({ kind: 'lock.lifted' as const }))
  await behind.confirmed()
  expect(await enforced(late, await lock(late, BOB, 'deny'))).toEqual({ total: 3, acknowledged: 3, expired: 0 })
  expect(behind.mirror.lock(BOB)?.effect).toBe('deny')
})

test('[STO16, STO17, ENF9] an end is never taken by the server that was replaced, though the connection for ends was open to it all the time and it answers again', async () => {
  const old = await RedisServer.start()
  onTestFinished(() => old.dispose())
  const next = await RedisServer.start({ replicaOf: old })
  onTestFinished(() => next.dispose())
  await old.waitForReplicas(1)
  const ways = [await proxy(old.port), await proxy(old.port)]
  const all = [await gateway({}, ways[0]?.port), await gateway({}, ways[1]?.port)]
  const [one, other] = all
  if (one === undefined || other === undefined) throw new Error('two were asked for')
  const [session, bystander] = [await known('a', one, other), await known('b', one, other)]
  for (const each of all) await enforced(each, await tell(each, bystander, each === one ? FREEZE : END)) // by the connection for ends
  const ref = sessionRef(session.key)
  await expect.poll(() => next.command('EXISTS', `ng:{0}:r:${refText(ref)}`), PATIENT).toBe(1)
  const epoch = one.store.epochOf(ref)
  old.pause()
  for (const way of ways) way.retarget(next.port)
  await next.command('REPLICAOF', 'NO', 'ONE')
  for (const each of all) while (each.store.epochOf(ref) === epoch || !each.isConfirmed) await turn()
  old.resume()
  for (const each of all) await each.mirror.load(session.key)
  const ended = await tell(one, session, END)
  expect([ended.position?.epoch, ended.assumed]).toEqual([other.store.epochOf(ref), null])
  expect(await enforced(one, ended)).toEqual({ total: 2, acknowledged: 2, expired: 0 })
  expect([here(one, session), here(other, session), sessionOf(await other.store.load(ref)).state.is]).toEqual(['revoked', 'revoked', 'revoked'])
})

test('[STO13, STO14] the end of a busy record lands as a lock also where that lies in another shard, and goes from there', async () => {
  const shards = 16
  const tap = new StoreTap()
  const [one, other] = [await gateway({ home: { shards }, wrap: store => tap.wrap(store) }), await gateway({ home: { shards } })]
  const name = ['a', 'b', 'c', 'd'].find(each => hashOf(refText(sessionRef(`key-${each}` as Session['key']))) % shards !== 0) ?? '' // as the suite names them
  const session = await known(name, other, one)
  const held = Promise.withResolvers<void>()
  let writes = 0
  tap.listen(async ({ name: what, side, first }) => {
    if (what !== 'commitRestrictive' || side === 'after' || (first as Commit).ref.kind !== 'session') return // its first argument
    const { credential } = session
    await (writes++ > 0 ? held.promise : tell(other, session, { kind: 'credential.renewed', credential: { ...credential, issuedAt: other.clock.now(), expiresAt: after(other.clock.now(), duration(7_200_000)) } }))
  })
  const ended = await tell(one, session, END)
  expect(await enforced(one, ended)).toEqual({ total: 2, acknowledged: 2, expired: 0 })
  const selector: Selector = { kind: 'session', value: session.id }
  expect([other.mirror.lock(selector)?.effect, sessionOf(await other.store.load(sessionRef(session.key))).state.is]).toEqual(['deny', 'live'])
  held.resolve()
  await one.ledger.settled()
  expect(sessionOf(await other.store.load(sessionRef(session.key))).state.is).toBe('revoked')
  await expect.poll(() => [one, other].map(({ mirror }) => mirror.lock(selector)), PATIENT).toEqual([null, null])
})

test('[STO14, STO16] two histories that gave an epoch the same number are told apart also where the log does not reach back: what only the lost one had is said again', async () => {
  const one = await gateway()
  const epochIs = (number: number): readonly (string | number)[] => ['HSET', 'ng:{0}:m', 'epoch', number, 'run', 'another']
  const [soon, meta, theSame] = [9_000_000_000_000, 'ng:{0}:m', /\.9000000000001$/]
  await one.store.commitRestrictive(one.closing('before'))
  const keys = (await server.command('KEYS', 'ng:*')) as readonly string[] // as Redis answers
  for (const key of keys) await server.command('COPY', key, `old:${key}`)
  const is = async (commands: readonly (readonly (string | number)[])[]): Promise<void> => {
    await server.command('MULTI') // no heartbeat looks in between
    for (const [command = '', ...args] of commands) await server.command(String(command), ...args)
    await server.command('EXEC')
  }
  const told = (name: string): readonly (string | number)[] => ['FCALL', 'ng1_commit', 1, meta, ...wordsOf(one.closing(name), name)] // a nonce that is no number adds nothing to the epoch it opens
  const foreign = Array.from({ length: 9 }, (_, i) => told(`foreign${i}`))
  await is([epochIs(soon), told('opener')])
  await expect.poll(() => one.store.epochOf({ kind: 'lock', name: '' }), PATIENT).toMatch(theSame)
  await one.confirmed()
  const ends = [one.closing('lost-1'), one.closing('lost-2')]
  for (const end of ends) await one.store.commitRestrictive(end)
  for (const { ref } of ends) await expect.poll(() => one.hasHeard(ref, 1), PATIENT).toBe(true)
  const now = (await server.command('KEYS', 'ng:*')) as readonly string[] // likewise
  await is([['DEL', ...now], ...keys.map(key => ['COPY', `old:${key}`, key]), ...foreign.slice(0, 1), epochIs(soon), ...foreign.slice(1), ['XTRIM', 'ng:{0}:L', 'MAXLEN', 1]])
  await expect.poll(() => counted(one.member.metrics.store.forks), PATIENT).toBe(1)
  await one.proven()
  expect(one.store.epochOf({ kind: 'lock', name: '' })).toMatch(theSame)
  for (const { ref } of ends) expect(await one.store.load(ref)).toMatchObject({ state: 'ended' })
})

test('[STO19] the journal does not say again what changed nothing: a ticket closed twice and opened again stays open over a restart', async () => {
  const one = await gateway()
  const path = join(directory(), 'journal')
  const ticket = { kind: 'ticket', name: 'manual//T-1' } as const
  const first = await Journal.open(path, () => one.clock.now())
  const ledger = new Ledger(one.store, one.mirror, one.clock, first)
  const sent = ['anchor.ended', 'anchor.ended', 'anchor.opened'] as const
  for (const kind of sent) await ledger.applyToAnchor(ticket, word({ kind, matter: null }))
  expect(first.recent).toHaveLength(1)
  await first.close()
  const second = await Journal.open(path, () => one.clock.now())
  const restarted = new Ledger(one.store, one.mirror, one.clock, second)
  const said: string[] = []
  restarted.onSaidAgain = result => void said.push(result)
  await restarted.recall()
  expect([said, await one.store.load(ticket)]).toMatchObject([['known'], { state: 'open', version: 2 }])
  await second.close()
})

test('[STO16, ENF1] a record that was read before a recovery and arrives behind it is not taken in: it is read again', async () => {
  const tap = new StoreTap()
  const [one, other] = [await gateway({ wrap: store => tap.wrap(store) }), await gateway()]
  const session = await other.opened('a')
  const [read, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  tap.listen(async ({ name, side }) => {
    if (name !== 'load' || side === 'before') return
    read.resolve()
    await held.promise
  })
  const loading = one.mirror.load(session.key)
  await read.promise
  await server.command('FLUSHALL')
  await expect.poll(() => counted(one.member.metrics.store.dataSetChanges), PATIENT).toBe(1)
  await one.confirmed()
  held.resolve()
  expect([await loading, one.mirror.peek(session.key)]).toEqual([null, null])
})

test('[STO13, SIG4] a gateway that stops does not wait for thousands of sessions behind an anchor: it settles the one it is at, the rest at their next touch', async () => {
  const tap = new StoreTap()
  const one = await gateway({ wrap: store => tap.wrap(store) })
  const ticket = { kind: 'ticket', name: 'T' } as const
  await one.ledger.applyToAnchor(ticket, word({ kind: 'anchor.opened' as const, matter: null }))
  const sessions: Session[] = []
  for (let i = 0; i < 30; i++) {
    const session = await one.opened(`s${i}`)
    sessions.push(session)
    await one.ledger.applyToSession(session.key, asking(`${i}`, ticket, one.clock.now()))
  }
  const begun = Promise.withResolvers<void>()
  tap.listen(({ name, side, first }) => { if (side === 'before' && name === 'commitRestrictive' && (first as Commit).ref.kind === 'session') begun.resolve() }) // its first argument
  await one.ledger.applyToAnchor(ticket, word({ kind: 'anchor.ended' as const, matter: null }))
  await begun.promise
  one.ledger.stop()
  await one.ledger.settled()
  const states = await Promise.all(sessions.map(async ({ key }) => sessionOf(await one.store.load(sessionRef(key))).elevations[0]?.state.is))
  expect(states.filter(is => is === 'ended')).toHaveLength(1)
})

test('[STO8, STO10] the names of anchors that were forgotten go from the list of their kind, without anybody asking for it', async () => {
  const one = await gateway()
  const names = async (): Promise<unknown> => server.command('SCARD', 'ng:{0}:n:ticket')
  const forgetAt = after(one.clock.now(), duration(300))
  for (let i = 0; i < 40; i++) await one.store.commitRestrictive(anchorCommit(`sig_${i}`, { kind: 'ticket', name: `T-${i}` }, 'anchor.ended', one.clock.now(), { forgetAt }))
  const kept = one.closing('kept')
  await one.store.commitRestrictive(kept)
  expect(await names()).toBe(41)
  await expect.poll(() => server.command('EXISTS', 'ng:{0}:r:ticket/T-39'), PATIENT).toBe(0)
  await expect.poll(async () => {
    await one.store.prune(one.clock.now())
    return names()
  }, PATIENT).toBe(1)
  expect(await one.store.load(kept.ref)).not.toBeNull()
})

test('[STO16, STO17, ENF9] a word from the command line is no gateway: nobody counts it or waits for it, and it waits for all that are', async () => {
  const one = await gateway()
  const home = homeAt(server.port)
  const settings = { store: { home, lease: duration(LEASE), hold: { requests: duration(2_000), streams: duration(30_000) }, macKeyFiles: [] } }
  const { store, clock } = await redisStore(home, settings, { clock: new SystemClock(), metrics: new Metrics().store, configuration: () => 'digest', observes: true, says: () => {} })
  open.unshift(store)
  await store.open()
  const mirror = new Mirror(store, policyOf(), 10)
  const caller = { store, ledger: new Ledger(store, mirror, clock) }
  await mirror.start()
  for (let i = 0; i < 10; i++) {
    const selector: Selector = { kind: 'subject', value: `s${i}` }
    const by = i % 2 === 0 ? caller : one
    const set = await lock(by, selector, 'deny')
    if (set.position === null) throw new Error('the store does not have it')
    expect(await by.store.enforced(set.position)).toMatchObject({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchangesUnknown: 0 })
    expect(one.mirror.lock(selector)?.effect).toBe('deny')
  }
  expect((await one.store.survey(BOB)).gateways).toEqual({ total: 1, answered: 1 })
})
