// When a member of one Redis may decide and when a change counts as enforced: leases, silence, another history, strict acknowledgement.
// Real servers and real faults. `§11.n` quotes the protocol's list of contract tests. SPEC: STO14-STO16
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { lockRef, type RecordRef, sessionRef } from '../../src/core/record.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { newLockId, newSignalId } from '../../src/runtime/id.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { refText } from '../../src/sessions/redis/entry.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import type { Enforcement, Tally } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { memberOf } from '../support/redis-members.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { counted, Gateway, type GatewayPlan, logOf, timeOf, wordsOf } from './redis-gateways.ts'
import { hearing, NO_TALLY, positionOf, sessionOf, signal } from './session-store-contract.ts'

const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const turn = (): Promise<void> => new Promise(done => void setImmediate(done))

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
  const opened = await Gateway.open(port, plan)
  open.unshift(opened) // before its proxy, so that it can leave
  return opened
}
async function proxied(plan: GatewayPlan = {}): Promise<{ readonly proxy: ByteProxy; readonly behind: Gateway }> {
  const proxy = await ByteProxy.start(server.port)
  open.push(proxy)
  return { proxy, behind: await gateway(plan, proxy.port) }
}

describe('silence', () => {
  test('[STO15, STORE-14] §11.14 of one connection is noticed and another takes over before the lease has run out: no lapse', async () => {
    const one = await gateway()
    const { proxy, behind } = await proxied({ lease: 2_000 })
    const accepted = proxy.accepted
    proxy.blackhole(true)
    proxy.blackhole(false) // the connections of that moment stay dead, without a word
    const closing = one.closing('T')
    await one.store.commitRestrictive(closing)
    let lapsed = false
    const proven = behind.proven().then(() => behind.proven())
    for (let over = false; !over; await turn()) {
      lapsed ||= !behind.isConfirmed
      over = await Promise.race([proven.then(() => true), turn().then(() => false)])
    }
    expect([lapsed, await counted(behind.member.metrics.store.lapses), proxy.accepted > accepted, behind.hasHeard(closing.ref, 1)]).toEqual([false, 0, true, true])
  })

  test('[STO15, DEC8, STORE-15] §11.15 longer than the lease: nothing is confirmed after it, and after it only once everything is known and a probation is over', async () => {
    const lease = 400
    const one = await gateway()
    const { proxy, behind } = await proxied({ lease })
    proxy.blackhole(true)
    const since = behind.clock.elapsed()
    const closing = one.closing('T')
    await one.store.commitRestrictive(closing)
    while (behind.clock.elapsed() < since + 3 * lease) {
      expect(behind.store.confirmedUntil()).toBeLessThanOrEqual(since + lease)
      await turn()
    }
    expect([behind.isConfirmed, behind.hasHeard(closing.ref, 1)]).toEqual([false, false])
    await expect(behind.store.load(closing.ref)).rejects.toThrow(StoreFault)
    const returned = behind.clock.elapsed()
    proxy.blackhole(false)
    while (!behind.isConfirmed) await turn()
    expect(behind.clock.elapsed() - returned).toBeGreaterThanOrEqual(1.5 * lease)
    expect([behind.hasHeard(closing.ref, 1), await counted(behind.member.metrics.store.lapses) > 0, behind.returns > 0]).toEqual([true, true, true])
  })

  test('[STO15] of heartbeats alone ends the lease all the same: pushes that go on coming prove nothing', async () => {
    const lease = 800
    const one = await gateway()
    const { proxy, behind } = await proxied({ lease })
    proxy.blackhole(true, 'up')
    const since = behind.clock.elapsed()
    const before = behind.heard.length
    for (let i = 0; behind.isConfirmed; i++) {
      await one.store.commitRestrictive(one.closing(`T-${i}`))
      expect(behind.store.confirmedUntil()).toBeLessThanOrEqual(since + lease)
    }
    expect(behind.heard.length).toBeGreaterThan(before)
  })
})

describe('a history that is not the known one', () => {
  test('[STO16, STORE-7] §11.7 two members say again what a crash undid: each end is one event', async () => {
    const [one, other] = [await gateway(), await gateway()]
    const { key, id } = await one.opened('a')
    await server.command('SAVE')
    const known = new Set((await logOf(server)).map(({ nonce }) => nonce))
    const [ticket, selector] = [{ kind: 'ticket', name: 'T' }, { kind: 'session', value: id }] as const
    const refs: readonly RecordRef[] = [sessionRef(key), ticket, lockRef(selector)]
    const ends = [
      await one.ledger.applyToSession(key, signal('sig_end', END)),
      await other.ledger.applyToAnchor(ticket, { kind: 'anchor.ended', matter: null, id: newSignalId(), by: 'operator', note: '' }),
      await one.ledger.applyToLock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect: 'deny', reason: 'locked', until: null, id: newSignalId(), by: 'operator', note: '' }),
    ]
    for (const { position } of ends) expect(position && (await one.store.enforced(position))).toMatchObject({ gateways: { total: 2, acknowledged: 2 } })
    const before = await Promise.all(refs.map(ref => one.store.load(ref)))
    await server.kill()
    await server.restart()
    for (const each of [one, other]) await expect.poll(() => counted(each.member.metrics.store.forks), { timeout: 10_000 }).toBe(1)
    for (const each of [one, other]) await each.confirmed()
    expect((await logOf(server)).flatMap(({ nonce, ref }) => (ref === null || known.has(nonce) ? [] : [refText(ref)])).toSorted()).toEqual(refs.map(refText).toSorted())
    expect((await one.store.drain(100)).map(({ fact }) => fact.what).toSorted()).toEqual(['anchor.ended', 'lock.set', 'session.opened', 'session.revoked'])
    expect([one.saidAgain.recorded + other.saidAgain.recorded, one.saidAgain.known + other.saidAgain.known]).toEqual([3, 3])
    const restored = await Promise.all(refs.map(ref => one.store.load(ref)))
    expect(restored.map(record => record?.version)).toEqual(before.map(record => record?.version))
    expect(sessionOf(restored[0] ?? null).state.is).toBe('revoked')
  })

  test('[STO14, STO16, STORE-10] §11.10 with the same sequence numbers is found out by every member, even where the next entry has the next number', async () => {
    const [one, other] = [await gateway(), await gateway()]
    const lost = ['A', 'B', 'C']
    for (const name of ['before-1', 'before-2']) await one.store.commitRestrictive(one.closing(name))
    const keys = (await server.command('KEYS', 'ng:*')) as readonly string[] // as Redis answers
    for (const key of keys) await server.command('COPY', key, `old:${key}`)
    for (const name of lost) await one.store.commitRestrictive(one.closing(name))
    for (const each of [one, other]) await expect.poll(() => each.hasHeard({ kind: 'ticket', name: 'C' }, 1), { timeout: 10_000 }).toBe(true)
    const foreign = ['P', 'Q', 'R', 'S'].map(name => one.closing(name))
    const now = (await server.command('KEYS', 'ng:*')) as readonly string[] // likewise
    await server.command('MULTI') // no heartbeat looks in between
    await server.command('DEL', ...now)
    for (const key of keys) await server.command('COPY', `old:${key}`, key)
    for (const [i, commit] of foreign.entries()) await server.command('FCALL', 'ng1_commit', 1, 'ng:{0}:m', ...wordsOf(commit, `foreign${i}`))
    await server.command('EXEC')
    for (const each of [one, other]) await expect.poll(() => counted(each.member.metrics.store.forks), { timeout: 10_000 }).toBe(1)
    for (const each of [one, other]) await each.confirmed()
    await one.proven()
    await other.proven()
    const entries = (await logOf(server)).flatMap(({ ref }) => (ref === null ? [] : [ref.name]))
    expect([entries.slice(0, 6), entries.slice(6).toSorted()]).toEqual([['before-1', 'before-2', 'P', 'Q', 'R', 'S'], lost])
    const late = one.closing('late')
    await one.store.commitRestrictive(late)
    for (const each of [one, other]) await expect.poll(() => each.hasHeard(late.ref, 1), { timeout: 10_000 }).toBe(true)
  })
})

describe('a strict change', () => {
  test.each(['both', 'down'] as const)('[STO16, ENF9, STORE-16] §11.16 with a member that went deaf (%s ways) ends when that member can not decide any more, and it learns of it first', async way => {
    const lease = 500
    const one = await gateway({ lease })
    const { proxy, behind } = await proxied({ lease })
    proxy.blackhole(true, way)
    const began = performance.now()
    const closing = one.closing('T', true)
    const enforcement = await one.store.enforced(positionOf(await one.store.commitRestrictive(closing)))
    const confirmedStill = behind.isConfirmed
    console.log(`a strict change with a deaf member (${way}), lease ${lease} ms: answered after ${(performance.now() - began).toFixed(0)} ms`)
    expect(enforcement).toMatchObject({ gateways: { total: 2, acknowledged: 1, expired: 1 }, exchangesUnknown: 1 })
    expect([confirmedStill, behind.hasHeard(closing.ref, 1)]).toEqual([false, false])
    proxy.blackhole(false, way)
    while (!behind.isConfirmed) await turn()
    expect(behind.hasHeard(closing.ref, 1)).toBe(true)
  })

  test('[STO16, ENF9, STORE-16] is acknowledged when it has been enforced, not when it has been heard, however many heartbeats pass between', async () => {
    const [one, slow] = [await gateway({ lease: 4_000 }), await gateway({ lease: 4_000 })]
    const enforcing = Promise.withResolvers<Tally>()
    slow.mirror.onChange = () => enforcing.promise
    const closing = one.closing('T', true)
    let answer: Enforcement | null = null
    const enforced = one.store.enforced(positionOf(await one.store.commitRestrictive(closing))).then(found => (answer = found))
    await expect.poll(() => slow.hasHeard(closing.ref, 1), { timeout: 10_000 }).toBe(true)
    for (const _ of [1, 2]) await slow.proven()
    expect(answer).toBeNull()
    enforcing.resolve({ ...NO_TALLY, cut: 3 })
    expect(await enforced).toEqual({ gateways: { total: 2, acknowledged: 2, expired: 0 }, exchanges: { ...NO_TALLY, cut: 3 }, exchangesUnknown: 0 })
  })

  test('[STO16, STORE-17] §11.17 while a member joins waits for it, and the member knows before its first lease', async () => {
    const one = await gateway({ lease: 3_000 })
    const proxy = await ByteProxy.start(server.port)
    open.push(proxy)
    proxy.delay(100)
    const confirmedThen: number[] = []
    const { store } = await memberOf(proxy.port, { lease: 3_000, watcher: hearing(async () => (confirmedThen.push(store.confirmedUntil()), NO_TALLY)) })
    open.unshift(store)
    const opened = store.open()
    await eventually('the member is on the roll', 10_000, async () => (Number(await server.command('HLEN', 'ng:{0}:R')) === 2 ? true : null))
    const enforcement = await one.store.enforced(positionOf(await one.store.commitRestrictive(one.closing('T', true))))
    expect(enforcement).toMatchObject({ gateways: { total: 2, acknowledged: 2, expired: 0 } })
    expect(confirmedThen).toEqual([-Infinity])
    await opened
  })

  test('[STO16, STORE-17] §11.17 leaves nobody on the older state, however many join meanwhile', async () => {
    const one = await gateway()
    const { key } = await one.opened('a')
    const joined: LiveSession[] = []
    let joining = true
    const joins = (async () => {
      for (let i = 0; i < 6; i++) {
        const live = await (await gateway()).mirror.load(key)
        if (live !== null) joined.push(live)
      }
      joining = false
    })()
    for (let i = 0; joining || i < 20; i++) {
      const { record, position } = await one.ledger.applyToSession(key, signal(`sig_${i}`, i % 2 === 0 ? FREEZE : { kind: 'session.resumed' }))
      const { gateways } = await one.store.enforced(position ?? { epoch: '', sequence: 0 })
      expect(gateways).toMatchObject({ acknowledged: gateways.total, expired: 0 })
      for (const live of joined) expect(live.record.version).toBeGreaterThanOrEqual(record?.version ?? Infinity)
    }
    await joins
    expect(joined).toHaveLength(6)
  })

  test('[STO16, STORE-18] §11.18 in an epoch that is not settled waits until it is, or until nobody can still be on the one before', async () => {
    const lease = 1_200
    const one = await gateway({ lease })
    const { proxy, behind } = await proxied({ lease })
    const ref = one.closing('T').ref
    const epoch = one.store.epochOf(ref)
    await server.command('SAVE')
    proxy.refuse(true)
    proxy.dropConnections()
    await server.kill()
    while (one.isConfirmed || behind.isConfirmed) await turn() // nobody's lease keeps the answer waiting
    await server.restart()
    await expect.poll(() => one.store.epochOf(ref), { interval: 2, timeout: 10_000 }).not.toBe(epoch)
    const position = positionOf(await one.store.commitRestrictive(one.closing('T', true)))
    const unsettled = [await server.command('HGET', 'ng:{0}:m', 'set'), one.isConfirmed]
    const enforcement = await one.store.enforced(position)
    const [answeredAt, epochStart] = [await timeOf(server), Number(await server.command('HGET', 'ng:{0}:m', 'es'))]
    expect(unsettled).toEqual(['0', false])
    expect(enforcement).toMatchObject({ gateways: { total: 1, acknowledged: 1, expired: 0 } })
    expect(answeredAt - epochStart).toBeGreaterThanOrEqual(lease)
    await one.confirmed()
    proxy.refuse(false)
    await behind.confirmed()
    expect(behind.hasHeard(ref, 1)).toBe(true)
  })
})
