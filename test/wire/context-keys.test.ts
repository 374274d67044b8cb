// Keys that make way while requests go on: in one gateway over weeks, in two over one Redis, in a file of the operator's. What went upstream verifies with
// what is published, before, during and after. Whole gateways, real sockets, a real redis-server. SPEC: CTX5, CTX6
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterEach, expect, test } from 'vitest'
import { instant } from '../../src/core/time.ts'
import { newKeyPem, signingKeyOf } from '../../src/upstream/signing-key.ts'
import { TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'

const ROUTES = '- { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, scope: base:read }] }'
const DAY = 86_400_000
const closing: (() => Promise<void> | void)[] = []
afterEach(async () => { for (const close of closing.splice(0).reverse()) await close() })

const keySet = async (gate: TestGateway): Promise<JSONWebKeySet> => (await gate.ask('GET', '/.narrowgate/jwks.json')).json as unknown as JSONWebKeySet // what it serves there
const kids = async (gate: TestGateway): Promise<readonly (string | undefined)[]> => (await keySet(gate)).keys.map(({ kid }) => kid)

/** The context of one request, as it arrived. */
async function contextOf(gate: TestGateway): Promise<string> {
  const now = gate.parts.clock.now()
  const token = await gate.issuer.sign({ sub: `s${Math.random()}`, jti: String(Math.random()) }, { now: instant(now), lifetime: 600 })
  const before = gate.upstream.requests.length
  expect((await gate.ask('GET', '/echo/a', { authorization: `Bearer ${token}` })).status).toBe(200)
  return gate.upstream.requests[before]?.header('narrowgate-context')[0] ?? ''
}

const verifies = async (context: string, gate: TestGateway): Promise<unknown> =>
  (await jwtVerify(context, createLocalJWKSet(await keySet(gate)), { audience: 'api', typ: 'narrowgate-context+jwt', currentDate: new Date(gate.parts.clock.now()) })).protectedHeader.kid

test('[CTX5] a gateway over weeks: each key is published before it signs, and gone when nothing stands on it', async () => {
  const clock = new ShiftedClock(new Date().toISOString())
  const directory = mkdtempSync(join(tmpdir(), 'ng-rotation-'))
  let gate = await TestGateway.start({ routes: ROUTES, clock, directory, more: 'context: { rotate: 7d }' })
  closing.push(() => rmSync(directory, { recursive: true, force: true }), () => gate.upstream.close())
  const { upstream, issuer } = gate
  const again = async (later: number): Promise<void> => {
    await gate.gateway.close('test')
    clock.shift += later
    gate = await TestGateway.start({ routes: ROUTES, clock, directory, upstream, issuer, more: 'context: { rotate: 7d }' })
  }
  const [first] = await kids(gate)
  expect(await verifies(await contextOf(gate), gate)).toBe(first)
  await again(6 * DAY)
  expect([await verifies(await contextOf(gate), gate), await kids(gate)]).toEqual([first, [first]])
  await again(1.1 * DAY)
  const [, second] = await kids(gate)
  expect([await verifies(await contextOf(gate), gate), await kids(gate)]).toEqual([first, [first, second]])
  const last = await contextOf(gate)
  clock.shift += 5 * 60_000 - 5_000
  expect(decodeProtectedHeader(await contextOf(gate)).kid).toBe(first)
  clock.shift += 10_000
  expect(await verifies(await contextOf(gate), gate)).toBe(second)
  expect([decodeProtectedHeader(last).kid, await kids(gate)]).toEqual([first, [first, second]])
  clock.shift += 11 * 60_000
  expect([await verifies(await contextOf(gate), gate), await kids(gate)]).toEqual([second, [second]])
  await gate.gateway.close('test')
})

test('[CTX5] two gateways over one Redis have the same keys from the first moment, and each hears of the next one', async () => {
  const server = await RedisServer.start()
  closing.push(() => server.stop())
  const { a, b, stop } = await TestGateway.pair(server, { routes: ROUTES })
  closing.push(stop)
  expect(await kids(a)).toEqual(await kids(b))
  for (const [by, at] of [[a, b], [b, a]] as const) await verifies(await contextOf(by), at)
  const pem = newKeyPem()
  await a.parts.store.keepFirst('context.key.1', JSON.stringify({ pem, at: a.parts.clock.now() })) // as a third one would
  const next = signingKeyOf(pem).id
  for (const gate of [a, b]) await eventually('the other key is published', 15_000, async () => ((await kids(gate)).includes(next) ? true : null))
  for (const [by, at] of [[a, b], [b, a]] as const) await verifies(await contextOf(by), at)
})

test('[CTX6] another key in the file is published within seconds, and what was signed before and is signed meanwhile verifies', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ng-key-file-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  const [file, before] = [join(folder, 'key.pem'), join(folder, 'before.pem')]
  for (const each of [file, before]) writeFileSync(each, newKeyPem())
  const clock = new ShiftedClock(new Date().toISOString())
  const gate = await TestGateway.start({ routes: ROUTES, clock, more: `context: { keyFile: ${file}, previousKeyFile: ${before} }` })
  closing.push(() => gate.stop())
  const [first, previous] = await kids(gate)
  const context = await contextOf(gate)
  const pem = newKeyPem()
  writeFileSync(file, pem)
  const next = signingKeyOf(pem).id
  await eventually('the other key is published', 5_000, async () => ((await kids(gate)).includes(next) ? true : null))
  expect([await verifies(context, gate), await verifies(await contextOf(gate), gate), await kids(gate)]).toEqual([first, first, [first, next, previous]])
  clock.shift += 5 * 60_000
  expect(await verifies(await contextOf(gate), gate)).toBe(next)
})
