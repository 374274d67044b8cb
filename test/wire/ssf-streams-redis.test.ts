// Gateways over one Redis that poll one stream: one at a time, whichever it is; and one that is killed while events come loses none and doubles none.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LineOf } from '../../src/audit/record.ts'
import { refName } from '../../src/core/record.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { freePort } from '../support/free-port.ts'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { request, requestOnce, type Target } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { SsfTransmitter } from '../support/ssf-transmitter.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { ChildGateway } from './child-gateway.ts'

type Line = Record<string, unknown>

let server: RedisServer
let transmitter: SsfTransmitter
let upstream: RecordingUpstream
let issuer: TokenIssuer
let directory: string
const ends: (() => Promise<unknown>)[] = []
const owned = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
  ends.push(() => end(part))
  return part
}
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-ssf-'))
  server = owned(await RedisServer.start(), its => its.dispose())
  transmitter = owned(await SsfTransmitter.start({ path: '/idp' }), its => its.close())
  upstream = owned(await RecordingUpstream.start(), its => its.close())
  issuer = await TokenIssuer.create()
})
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
  rmSync(directory, { recursive: true })
})

/** @param name its token tells the transmitter who polls @param way to the store */
function planOf(name: string, way: { readonly port: number } = server): GatewayPlan {
  const tokenFile = join(directory, name)
  writeFileSync(tokenFile, name)
  return {
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/base"] }, scope: base:use }`,
    baseline: '[{ scopes: [base:use] }]',
    store: storeAt(way),
    more: `signals: { ssf: [{ name: idp, transmitter: "${transmitter.issuer}", delivery: poll, issuers: ["${issuer.issuer}"], tokenFile: ${tokenFile} }] }`,
  }
}
const child = async (name: string): Promise<ChildGateway> => owned(await ChildGateway.start(planOf(name), issuer), its => its.dispose())

const ask = async (target: Target, token: string): Promise<string> => {
  const { status, body } = await requestOnce(target, request('GET', '/base', { host: 'api.test', authorization: `Bearer ${token}` }))
  return status === 200 ? '200' : String((JSON.parse(body.toString()) as Line)['reason']) // a problem has one
}
const revoke = (sub: string): Promise<string> => transmitter.emit('session-revoked', { format: 'iss_sub', iss: issuer.issuer, sub })
const poller = (): string => transmitter.askedFor('/poll/').at(-1)?.authorization.slice('Bearer '.length) ?? ''
const polledBy = (name: string): Promise<string> => eventually(`${name} polls`, 15_000, async () => (poller() === name ? name : null))

const isFact = (line: Line): line is LineOf<'fact'> => line['kind'] === 'fact'

/** What happened to events and sessions, each once, however often trails tell of it. */
function happened(lines: readonly Line[]): { readonly opened: readonly string[]; readonly acted: readonly string[]; readonly ends: readonly string[] } {
  const told = [...new Map(lines.filter(isFact).map(line => [JSON.stringify(line.position), line] as const)).values()]
  const events = told.flatMap(({ fact }) => ((fact.what === 'anchor.opened' || fact.what === 'anchor.ended') && fact.matter?.is === 'event' ? [{ ...fact, matter: fact.matter }] : []))
  return {
    opened: events.flatMap(({ what, name }) => (what === 'anchor.opened' ? [name] : [])),
    acted: events.flatMap(({ what, name, matter: { outcome, met } }) => (what === 'anchor.ended' ? [`${outcome} ${met} ${name}`] : [])),
    ends: told.flatMap(({ record, fact: { what } }) => (what === 'session.revoked' ? [refName(record)] : [])),
  }
}

test('[SSF10, OUT1] one polls at a time; whichever is killed, another goes on within fifteen seconds, and each event is acted on exactly once', { timeout: 120_000 }, async () => {
  const children = new Map([['a', await child('a')], ['b', await child('b')]])
  const watcher = owned(await TestGateway.start({ ...planOf('watcher'), more: '', upstream, issuer }), its => its.stop())
  const subjects = Array.from({ length: 24 }, (_, i) => `agent-${i}`)
  const tokens = new Map(await Promise.all(subjects.map(async sub => [sub, await watcher.token({ sub })] as const)))
  for (const token of tokens.values()) expect(await ask(watcher.target, token)).toBe('200')
  const lines: Line[] = []
  const revoked: string[] = []
  for (const batch of [subjects.slice(0, 12), subjects.slice(12)]) {
    const first = await eventually('somebody polls', 15_000, async () => (transmitter.waiting === 1 && children.has(poller()) ? poller() : null))
    const acked = transmitter.acknowledged.length
    const telling = (async () => {
      for (const sub of batch) {
        revoked.push(await revoke(sub))
        await sleep(20)
      }
    })()
    await eventually('some are taken', 5_000, async () => (transmitter.acknowledged.length > acked ? 'taken' : null))
    const victim = children.get(first)
    await victim?.kill()
    const killedAt = performance.now()
    lines.push(...(victim?.trail() ?? []))
    await telling
    const second = first === 'a' ? 'b' : 'a'
    await polledBy(second)
    expect(performance.now() - killedAt).toBeLessThan(15_000)
    await eventually('every event is taken', 5_000, async () => (transmitter.stream.queue.size === 0 ? 'taken' : null))
    children.set(first, await child(first))
  }
  for (const [sub, token] of tokens) await eventually(`${sub} is refused`, 5_000, async () => ((await ask(watcher.target, token)) === 'revoked_outside' ? 'refused' : null))
  await eventually('every fact is in a trail', 10_000, async () => (Number(await server.command('XLEN', 'ng:{0}:O')) === 0 ? 'empty' : null))
  lines.push(...(await watcher.trail()), ...[...children.values()].flatMap(each => each.trail()))
  const { opened, acted, ends: ended } = happened(lines)
  expect([opened, acted, ended].map(each => [each.length, new Set(each).size])).toEqual([[24, 24], [24, 24], [24, 24]])
  expect(acted.filter(each => !/^(?:acted 1|nobody 0) /.test(each))).toEqual([]) // nobody: whoever was killed had ended the session, and not told yet
  expect(transmitter.mostWaiting).toBe(1)
  expect([transmitter.streams.size, transmitter.refused.size, new Set(revoked).size]).toEqual([1, 0, 24])
})

test('[SSF10] a gateway that stops hands over at once, and makes no second stream', async () => {
  const names = ['a', 'b']
  const gateways = new Map<string, TestGateway>()
  for (const name of names) gateways.set(name, await TestGateway.start({ ...planOf(name), upstream, issuer }))
  const first = await eventually('somebody polls', 15_000, async () => (transmitter.waiting === 1 ? poller() : null))
  const [second = ''] = names.filter(name => name !== first)
  const next = owned(gateways.get(second) as TestGateway, its => its.stop()) // one of the two
  const token = await next.token()
  expect(await ask(next.target, token)).toBe('200')
  const began = performance.now()
  await gateways.get(first)?.stop()
  await polledBy(second)
  expect(performance.now() - began).toBeLessThan(6_000)
  await revoke('agent-1')
  await eventually('it is refused', 5_000, async () => ((await ask(next.target, token)) === 'revoked_outside' ? 'refused' : null))
  expect([transmitter.streams.size, transmitter.mostWaiting]).toEqual([1, 1])
})

test('[SSF10] a gateway that is cut off from the store stops before another may begin', { timeout: 60_000 }, async () => {
  const ways = new Map<string, ByteProxy>()
  for (const name of ['a', 'b']) {
    const way = owned(await ByteProxy.start(server.port), its => its.close())
    ways.set(name, way)
    owned(await TestGateway.start({ ...planOf(name, way), upstream, issuer }), its => its.stop())
  }
  const first = await eventually('somebody polls', 15_000, async () => (transmitter.waiting === 1 ? poller() : null))
  ways.get(first)?.blackhole(true)
  const cutAt = performance.now()
  await eventually('it stops', 11_000, async () => (transmitter.waiting === 0 ? 'stopped' : null))
  await polledBy(first === 'a' ? 'b' : 'a')
  expect([performance.now() - cutAt < 15_000, transmitter.mostWaiting]).toEqual([true, 1])
  ways.get(first)?.blackhole(false)
})

test('[SSF5, SSF6, SSF10] what is pushed to a gateway that does not manage the stream is taken there: it knows whom it is for, what is sent along, and what was asked with', { timeout: 60_000 }, async () => {
  const ports = new Map([['a', await freePort()], ['b', await freePort()]])
  const endpoint = `http://127.0.0.1:${ports.get('b')}/ssf/events/idp`
  const start = async (name: string): Promise<TestGateway> => {
    writeFileSync(join(directory, name), name)
    return owned(await TestGateway.start({ routes: '', store: storeAt(server), upstream, issuer, config: made => `
version: 1
stateDir: ${made.directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: signals, address: "127.0.0.1:${ports.get(name)}", serves: [signals] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${made.directory}/jwks.json }, kind: agent } }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
signals: { ssf: [{ name: idp, transmitter: "${transmitter.issuer}", delivery: push, endpoint: "${endpoint}", issuers: ["${issuer.issuer}"], tokenFile: ${directory}/${name}, freshness: 10s, onSilence: freeze }] }
routes: [{ name: api, match: { host: api.test }, upstream: { url: "${upstream.origin}" }, rules: [{ allow: { paths: ["/base"] }, scope: base:use }] }]
` }), its => its.stop())
  }
  const manager = await start('a')
  await eventually('it manages', 10_000, async () => (transmitter.askedFor('/verify').length > 0 ? 'managed' : null))
  const token = await manager.token()
  expect(await ask(manager.target, token)).toBe('signals_silent')
  const other = await start('b')
  await eventually('both hear of it', 15_000, async () => ((await ask(manager.target, token)) === '200' && (await ask(other.target, token)) === '200' ? 'heard' : null))
  expect(new Set(transmitter.askedFor('/verify').map(({ authorization }) => authorization))).toEqual(new Set(['Bearer a']))
  await revoke('agent-1')
  await eventually('it is refused there as well', 5_000, async () => ((await ask(manager.target, token)) === 'revoked_outside' ? 'refused' : null))
  expect([transmitter.refused.size, transmitter.streams.size]).toEqual([0, 1])
})
