// What a member of one Redis does not take for true: texts nobody can read, news without the MAC, a master that was replaced, a server that is silent.
// Real servers; the stranger is another client of theirs. SPEC: STO14-STO18
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { sessionRef } from '../../src/core/record.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { refText } from '../../src/sessions/redis/entry.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { memberOf } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { counted, deafen, Gateway, type GatewayPlan, wordsOf } from './redis-gateways.ts'
import { commitOf, sessionOf, signal } from './session-store-contract.ts'

const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const RESUME: SessionNews = { kind: 'session.resumed' }
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
  open.unshift(opened)
  return opened
}
async function proxy(): Promise<ByteProxy> {
  const started = await ByteProxy.start(server.port)
  open.push(started)
  return started
}
function keyFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'narrowgate-mac-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'mac.key')
  writeFileSync(file, 'a key of the test that is long enough to be one', { mode: 0o600 })
  return file
}

test('[STO14] what a stranger publishes and nobody can read is said, and changes nothing: neither the chain, nor the lease, nor the process', async () => {
  const one = await gateway()
  const { length } = one.member.said
  const texts = ['', 'garbage', '7-1\x1f', '?\x1fid\x1f{broken', ['7-9', 'n', 'p', '1', '', 'ticket/\\x', '1', '', '{}', '[]', ''].join('\x1f')]
  for (const text of texts) for (const channel of ['ev', 'ack']) await server.command('SPUBLISH', `ng:{0}:${channel}`, text)
  await expect.poll(() => one.member.said.length - length, { timeout: 10_000 }).toBe(texts.length)
  const closing = one.closing('T')
  await one.store.commitRestrictive(closing)
  await expect.poll(() => one.hasHeard(closing.ref, 1), { timeout: 10_000 }).toBe(true)
  await one.proven()
  expect([one.isConfirmed, await counted(one.member.metrics.store.forks), await counted(one.member.metrics.store.reconnects)]).toEqual([true, 0, 0])
})

test('[STO16, STO18] news that does not carry the MAC is not said again to another data set, where it would get one', async () => {
  const one = await gateway({ macKeyFiles: [keyFile()] })
  const { key } = await one.opened('a')
  const { record: frozen } = await one.ledger.applyToSession(key, signal('sig_freeze', FREEZE))
  const { length } = one.member.said
  const forged = { ...commitOf(frozen, signal('sig_resume', RESUME), one.clock.now()), news: signal('sig_resume', RESUME) }
  await server.command('FCALL', 'ng1_commit', 1, 'ng:{0}:m', ...wordsOf(forged, 'stranger'))
  await expect.poll(() => one.member.said.length, { timeout: 10_000 }).toBeGreaterThan(length)
  await expect(one.store.load(forged.ref)).rejects.toMatchObject({ code: 'forged' })
  await server.command('FLUSHALL')
  await expect.poll(() => counted(one.member.metrics.store.dataSetChanges), { timeout: 10_000 }).toBe(1)
  await one.confirmed()
  expect(sessionOf(await one.store.load(forged.ref)).frozen).not.toBeNull()
})

test('[STO15] a master that was replaced and answers all the same is not believed before a probation, though its epoch was settled once', async () => {
  const lease = 600
  const replica = await RedisServer.start({ replicaOf: server })
  onTestFinished(() => replica.dispose())
  await server.waitForReplicas(1)
  const between = await proxy()
  const behind = await gateway({ lease }, between.port)
  const ref = sessionRef((await behind.opened('a')).key)
  const epoch = behind.store.epochOf(ref)
  await expect.poll(() => replica.command('EXISTS', `ng:{0}:r:${refText(ref)}`), { timeout: 10_000 }).toBe(1)
  await replica.command('REPLICAOF', 'NO', 'ONE')
  between.retarget(replica.port)
  await deafen(server)
  await expect.poll(() => behind.store.epochOf(ref), { timeout: 10_000 }).not.toBe(epoch)
  await behind.confirmed()
  between.retarget(server.port)
  const since = behind.clock.elapsed()
  await deafen(replica)
  while (behind.clock.elapsed() < since + 1.5 * lease) {
    expect(behind.store.confirmedUntil()).toBeLessThanOrEqual(since + lease)
    await turn()
  }
  await behind.confirmed()
  expect(behind.store.epochOf(ref)).toBe(epoch)
})

test('[STO17] a connection that is opened into silence is given up as a whole after one patience, and the next one is made', async () => {
  const between = await proxy()
  between.blackhole(true)
  const { store, said } = await memberOf(between.port, { lease: 500 })
  open.unshift(store)
  const began = performance.now()
  const opened = store.open()
  await expect.poll(() => said.length, { interval: 5, timeout: 10_000 }).toBeGreaterThan(0)
  const took = performance.now() - began
  between.blackhole(false)
  await opened
  expect(said[0]).toContain('no connection to Redis within 1000 ms')
  expect(took).toBeLessThan(2_500)
})
