// Ways in which an end could have come back or been outrun, as an attacker of the protocol found them: each by its exact interleaving, on a real server.
// What goes wrong goes wrong on the way of one gateway: connections cut, writes lost, records forged. SPEC: STO13, STO15, STO16, STO19, ENF9
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LockEffect, Selector } from '../../src/core/anchor.ts'
import { NOT_BOUND } from '../../src/core/binding.ts'
import { lockRef, type RecordRef, sessionRef } from '../../src/core/record.ts'
import type { Credential, Session } from '../../src/core/session.ts'
import type { SessionNews, Signal } from '../../src/core/signal.ts'
import { after, duration } from '../../src/core/time.ts'
import { newLockId, newSessionId, newSignalId } from '../../src/runtime/id.ts'
import { Journal } from '../../src/sessions/journal.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { refText } from '../../src/sessions/redis/entry.ts'
import { LinkLost } from '../../src/sessions/redis/link.ts'
import type { Commit, Position } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { RedisServer } from '../support/redis-server.ts'
import { StoreTap } from '../support/tapped-store.ts'
import { Gateway, type GatewayPlan } from './redis-gateways.ts'
import { sessionOf } from './session-store-contract.ts'

const LEASE = 500
const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const NARROW: SessionNews = { kind: 'session.narrowed', to: 'baseline', elevations: [] }
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
async function proxied(plan: GatewayPlan = {}): Promise<{ readonly proxy: ByteProxy; readonly behind: Gateway }> {
  const proxy = await ByteProxy.start(server.port)
  open.push(proxy)
  return { proxy, behind: await gateway(plan, proxy.port) }
}
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'narrowgate-attack-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}
function unplug(proxy: ByteProxy): void {
  proxy.refuse(true)
  proxy.dropConnections()
}

const turn = (): Promise<void> => new Promise(done => void setImmediate(done))
const word = <N>(news: N) => ({ id: newSignalId(), by: 'operator', note: '', ...news })
const tell = (of: Gateway, { key }: Session, news: SessionNews): Promise<Applied<Session>> => of.ledger.applyToSession(key, word(news))
const lock = (of: Gateway, selector: Selector, effect: LockEffect) =>
  of.ledger.applyToLock(selector, word({ kind: 'lock.set' as const, lock: newLockId(), selector, effect, reason: 'locked' as const, until: null }))
const renewal = (of: Gateway, { credential }: Session): SessionNews =>
  ({ kind: 'credential.renewed', credential: { ...credential, id: newSignalId(), issuedAt: of.clock.now(), expiresAt: after(of.clock.now(), duration(7_200_000)) } })
const rebirth = (of: Gateway, { key, principal, endsAt }: Session, credential: Credential): SessionNews =>
  ({ kind: 'session.opened', key, session: newSessionId(), epoch: of.store.epochOf(sessionRef(key)), principal, credential, endsAt, bindings: NOT_BOUND, aliases: [], brokered: null })
const here = (of: Gateway, { key }: Session): string => of.mirror.peek(key)?.record.state.is ?? 'unknown'
const stored = async (of: Gateway, { key }: Session): Promise<Session> => sessionOf(await of.store.load(sessionRef(key)))
const enforced = async (of: Gateway, { position }: { readonly position: Position | null }) => {
  if (position === null) throw new Error('the store does not have it')
  return (await of.store.enforced(position)).gateways
}
const standing = (of: Gateway, { id }: Session): string => of.mirror.lock({ kind: 'session', value: id })?.effect ?? 'none'
const isWrite = (name: string, first: unknown): boolean => name === 'commitRestrictive' && (first as Commit).ref.kind === 'session' // its first argument

/** A session that both have in memory. */
async function known(...all: readonly Gateway[]): Promise<Session> {
  const session = await (all[0] as Gateway).opened('a') // there is one at least
  for (const { mirror } of all) await mirror.load(session.key)
  return session
}

describe('what is in force from memory', () => {
  test('[STO15, STO16, ENF9] does not hide a later end: a gateway that assumed less meanwhile has it before it decides again, and keeps it', async () => {
    const { proxy, behind } = await proxied()
    const other = await gateway()
    const session = await known(other, behind)
    unplug(proxy)
    expect((await tell(behind, session, NARROW)).assumed).not.toBeNull()
    const ended = await tell(other, session, END)
    expect(await enforced(other, ended)).toEqual({ total: 2, acknowledged: 1, expired: 1 })
    proxy.refuse(false)
    while (!behind.isConfirmed) await turn()
    expect(here(behind, session)).toBe('revoked')
    expect((await tell(behind, session, renewal(behind, session))).rejected).toMatchObject({ rejected: 'session_ended' })
    expect(behind.ledger.owed).toBe(0)
    expect([(await stored(other, session)).state.is, here(behind, session), here(other, session)]).toEqual(['revoked', 'revoked', 'revoked'])
  })

  test('[STO16, ENF9] does not hide one either where only a single call was lost and the lease goes on', async () => {
    const tap = new StoreTap()
    const behind = await gateway({ wrap: store => tap.wrap(store) })
    const other = await gateway()
    const session = await known(other, behind)
    tap.listen(({ name, side }) => { if (side === 'before' && name === 'commitRestrictive') throw new LinkLost('it got lost') })
    expect((await tell(behind, session, NARROW)).assumed).not.toBeNull()
    tap.listen(null)
    expect(await enforced(other, await tell(other, session, END))).toEqual({ total: 2, acknowledged: 2, expired: 0 })
    expect([here(behind, session), behind.isConfirmed]).toEqual(['revoked', true])
    await expect.poll(() => behind.ledger.owed, PATIENT).toBe(0)
    expect([(await stored(other, session)).state.is, here(behind, session)]).toEqual(['revoked', 'revoked'])
  })

  test.each(['out of reach', 'a moment behind'] as const)('[SIG3, ENF9, STO16] is not what is already so: a freeze brought to a gateway that is %s, and takes the session for frozen still, freezes it', async how => {
    const { proxy, behind } = await proxied({ lease: how === 'out of reach' ? LEASE : 5_000 })
    const other = await gateway()
    const session = await known(other, behind)
    await enforced(other, await tell(other, session, FREEZE))
    if (how === 'out of reach') unplug(proxy)
    else proxy.dropMessages(() => true)
    expect((await tell(other, session, { kind: 'session.resumed' })).facts).not.toEqual([])
    expect(behind.mirror.peek(session.key)?.record.frozen).not.toBeNull()
    const { position, assumed } = await tell(behind, session, FREEZE)
    expect([position !== null, assumed !== null]).toEqual(how === 'out of reach' ? [false, true] : [true, false])
    proxy.refuse(false)
    await expect.poll(() => behind.ledger.owed, PATIENT).toBe(0)
    expect((await stored(other, session)).frozen).not.toBeNull()
  })

  test('[ENF8, STO16] a lock outweighs a weaker one that another gateway set later, on all of them', async () => {
    const { proxy, behind } = await proxied()
    const other = await gateway()
    const selector: Selector = { kind: 'subject', value: 'bob' }
    unplug(proxy)
    expect((await lock(behind, selector, 'deny')).assumed).not.toBeNull()
    await expect.poll(() => other.clock.now() > (behind.mirror.lock(selector)?.since ?? Infinity)).toBe(true)
    await lock(other, selector, 'baseline')
    proxy.refuse(false)
    await expect.poll(() => behind.ledger.owed, PATIENT).toBe(0)
    await behind.confirmed()
    await expect.poll(() => other.mirror.lock(selector)?.effect, PATIENT).toBe('deny')
    expect([behind.mirror.lock(selector)?.effect, await other.store.load(lockRef(selector))]).toMatchObject(['deny', { effect: 'deny', version: 2 }])
  })

  test.each(['nothing', 'what was there before the session'] as const)('[STO16, ENF9, SES6] is taken by a server that comes back with %s: the lease returns, and the credential that was ended opens nothing', async has => {
    const frail = await RedisServer.start()
    onTestFinished(() => frail.dispose())
    const one = await gateway({}, frail.port)
    await lock(one, { kind: 'route', value: 'x' }, 'deny')
    if (has !== 'nothing') await frail.command('SAVE')
    const session = await known(one)
    const epoch = one.store.epochOf(sessionRef(session.key))
    await frail.kill()
    expect((await tell(one, session, END)).assumed).not.toBeNull()
    await frail.restart()
    while (one.store.epochOf(sessionRef(session.key)) === epoch || !one.isConfirmed) await turn()
    expect([one.ledger.owed, (await stored(one, session)).state.is]).toEqual([0, 'revoked'])
    expect((await tell(one, session, rebirth(one, session, session.credential))).rejected).toMatchObject({ rejected: 'credential_revoked' })
    expect((await stored(one, session)).id).toBe(session.id)
  })
})

describe('a debt that cannot be paid', () => {
  async function forged(): Promise<{ readonly proxy: ByteProxy; readonly behind: Gateway; readonly session: Session; readonly stuck: readonly string[] }> {
    const file = join(directory(), 'mac.key')
    writeFileSync(file, 'k'.repeat(40), { mode: 0o600 })
    const { proxy, behind } = await proxied({ macKeyFiles: [file] })
    const session = await known(behind)
    const key = `ng:{0}:r:${refText(sessionRef(session.key))}`
    const [seen, , ...rest] = String(await server.command('GET', key)).split('\x1f')
    await server.command('SET', key, [seen, 7, ...rest].join('\x1f'))
    const stuck: string[] = []
    behind.ledger.onStuck = record => void stuck.push(record)
    return { proxy, behind, session, stuck }
  }

  test('[STO16, STO18, ENF9] holds up nothing but its record: other ends land, sessions open, and the lease is there after a connection was lost', async () => {
    const { proxy, behind, session, stuck } = await forged()
    expect([(await tell(behind, session, END)).assumed !== null, here(behind, session)]).toEqual([true, 'revoked'])
    expect(await enforced(behind, await lock(behind, { kind: 'route', value: 'x' }, 'deny'))).toEqual({ total: 1, acknowledged: 1, expired: 0 })
    expect((await behind.opened('b')).state.is).toBe('live')
    await expect(tell(behind, session, { kind: 'session.widened' })).rejects.toMatchObject({ code: 'failed' })
    const accepted = proxy.accepted
    proxy.dropConnections()
    await behind.proven()
    expect([behind.isConfirmed, behind.ledger.owed, here(behind, session), proxy.accepted > accepted]).toEqual([true, 1, 'revoked', true])
    expect([...new Set(stuck)]).toEqual([`session/${session.key}`])
  })

  test('[STO19, STO18] does not keep a gateway from starting, nor what comes behind it in the journal from being said', async () => {
    const { behind, session } = await forged()
    const path = join(directory(), 'journal')
    const journal = await Journal.open(path, () => behind.clock.now())
    const end = (owed: boolean, ref: RecordRef, news: Signal) => journal.write({ ref, news, at: behind.clock.now(), record: null }, owed)
    const tickets = ['owed', 'said'].map(name => ({ kind: 'ticket', name }) as const)
    await end(true, sessionRef(session.key), word(END))
    await end(false, sessionRef(session.key), word(END))
    for (const ref of tickets) await end(ref.name === 'owed', ref, word({ kind: 'anchor.ended', matter: null }))
    const ledger = new Ledger(behind.store, behind.mirror, behind.clock, journal)
    onTestFinished(() => ledger.stop())
    await ledger.recall()
    for (const ref of tickets) expect(await behind.store.load(ref), ref.name).toMatchObject({ state: 'ended' })
    expect(journal.owed.map(({ ref }) => ref.kind)).toContain('session')
    await journal.close()
  })
})

describe('an end that goes ahead as a lock', () => {
  type Busy = { readonly one: Gateway; readonly other: Gateway; readonly session: Session; readonly tap: StoreTap; readonly writes: () => number }
  /** The first write of the session meets a record that somebody has just changed; `then` sees the later ones. */
  async function busy(first: (other: Gateway, session: Session) => Promise<unknown>, then: () => Promise<unknown> | void): Promise<Busy> {
    const tap = new StoreTap()
    const one = await gateway({ wrap: store => tap.wrap(store) })
    const other = await gateway()
    const session = await known(other, one)
    let writes = 0
    tap.listen(async ({ name, side, first: commit }) => {
      if (side === 'after' || !isWrite(name, commit)) return
      await (writes++ === 0 ? first(other, session) : then())
    })
    return { one, other, session, tap, writes: () => writes }
  }
  const renewed = (other: Gateway, session: Session): Promise<unknown> => tell(other, session, renewal(other, session))
  const fails = (): void => { throw new LinkLost('away for a moment') }

  test('[STO13, SES6] is settled although the first attempt fails: nothing opens again, and the lock goes', async () => {
    const { one, other, session, tap } = await busy(renewed, fails)
    expect(await enforced(one, await tell(one, session, END))).toEqual({ total: 2, acknowledged: 2, expired: 0 })
    await one.ledger.settled()
    expect([(await stored(other, session)).state.is, one.ledger.owed, standing(other, session)]).toEqual(['live', 1, 'deny'])
    tap.listen(null)
    await expect.poll(() => one.ledger.owed, PATIENT).toBe(0)
    const { state, credential } = await stored(other, session)
    expect(state).toMatchObject({ is: 'revoked', reason: 'revoked' })
    expect((await tell(other, session, rebirth(other, session, credential))).rejected).toMatchObject({ rejected: 'credential_revoked' })
    await expect.poll(() => [standing(one, session), standing(other, session)], PATIENT).toEqual(['none', 'none'])
  })

  test('[STO13, ENF6] a freeze that was settled late is lifted by a resume like any other', async () => {
    const { one, other, session, tap } = await busy(renewed, fails)
    await tell(one, session, FREEZE)
    await one.ledger.settled()
    tap.listen(null)
    await expect.poll(() => one.ledger.owed, PATIENT).toBe(0)
    expect((await tell(other, session, { kind: 'session.resumed' })).rejected).toBeNull()
    await expect.poll(() => [standing(one, session), standing(other, session)], PATIENT).toEqual(['none', 'none'])
    expect((await stored(other, session)).frozen).toBeNull()
  })

  test.each(['whoever lives', 'that life'] as const)('[STO13, SES3] meets a new life under the key: an end meant for %s does what it says, and no lock stays for the one before', async meant => {
    const reborn = async (other: Gateway, session: Session): Promise<void> => {
      await tell(other, session, { kind: 'session.lapsed', reason: 'idle' })
      await expect.poll(() => here(other, session)).toBe('lapsed')
      await tell(other, session, rebirth(other, session, { ...session.credential, id: 'newer', issuedAt: other.clock.now() }))
    }
    const { one, other, session } = await busy(reborn, () => {})
    const ended = await one.ledger.applyToSession(session.key, { ...word(END), ...(meant === 'that life' ? { life: session.id } : {}) })
    await one.ledger.settled()
    const now = await stored(other, session)
    expect([now.id === session.id, now.state.is, ended.rejected?.rejected ?? null]).toEqual(meant === 'that life' ? [false, 'live', 'session_ended'] : [false, 'revoked', null])
    await expect.poll(() => [standing(one, session), standing(other, session)], PATIENT).toEqual(['none', 'none'])
  })

  test('[STO13, ENF8] leaves the lock alone that an operator had set before, known here or not', async () => {
    for (const isKnown of [true, false]) {
      const { one, other, session } = await busy(async (other, session) => {
        await renewed(other, session)
        if (!isKnown) await lock(other, { kind: 'session', value: session.id }, 'baseline')
      }, () => {})
      if (isKnown) {
        await lock(one, { kind: 'session', value: session.id }, 'baseline')
        await expect.poll(() => standing(one, session), PATIENT).toBe('baseline')
      }
      await tell(one, session, FREEZE)
      await one.ledger.settled()
      await expect.poll(() => [standing(one, session), standing(other, session)], PATIENT).toEqual(['baseline', 'baseline'])
      expect((await stored(other, session)).frozen).not.toBeNull()
      for (const each of [one, other]) await each.close()
      await server.command('FLUSHALL')
    }
  })

  test('[STO13, ENF8] leaves the lock alone that an operator made stronger meanwhile', async () => {
    const held = Promise.withResolvers<void>()
    const { one, other, session } = await busy(renewed, () => held.promise)
    await enforced(one, await tell(one, session, FREEZE))
    expect(standing(other, session)).toBe('freeze')
    await lock(other, { kind: 'session', value: session.id }, 'deny')
    held.resolve()
    await one.ledger.settled()
    expect((await stored(other, session)).frozen).not.toBeNull()
    expect(await other.store.load(lockRef({ kind: 'session', value: session.id }))).toMatchObject({ state: 'set', effect: 'deny' })
  })
})
