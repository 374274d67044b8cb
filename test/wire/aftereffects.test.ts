// What an allowed request leaves behind, through one gateway and as seen at the other one, over a real Redis: it is in force everywhere before the upstream has
// the request, cuts what it no longer lets through, and is never undone by time, by a failing store or by another request. SPEC: CND3, CND4
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { entryFor } from '../../src/admin/first-token.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { asks } from '../support/brokers.ts'
import { type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { exchangesOf, outcomeOf, takeOff, TapUpstream, until } from './support.ts'

const MINUTE = 60_000

/** What fails of the store, what was committed, and what waits for other gateways. */
const store = { fails: (_kind: string): boolean => false, commits: 0, enforcing: (): Promise<void> => Promise.resolve() }
const tampered = (real: SessionStore): SessionStore => new Proxy(real, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (typeof member !== 'function') return member
    if (name === 'enforced') return (position: Parameters<SessionStore['enforced']>[0]) => target.enforced(position).then(async answer => store.enforcing().then(() => answer))
    if (name !== 'commitRestrictive') return member.bind(target)
    return async (commit: Parameters<SessionStore['commitRestrictive']>[0]) => {
      store.commits++
      if (store.fails(commit.news?.kind ?? '')) throw new StoreFault('unreachable', 'the test says so')
      return target.commitRestrictive(commit)
    }
  },
})

const planOf = (upstream: TapUpstream): GatewayPlan => ({
  wrapStore: tampered, baseline: '[{ scopes: [base:use] }]', elevations: 'long: { adds: [extra:use], for: 10m, max: 1h }',
  routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/also"] }, scope: base:use, notAfter: [secrets, pii, briefly] }
    - { allow: { paths: ["/*/extra"] }, scope: extra:use }
    - { allow: { paths: ["/*/secret"] }, scope: base:use, after: { taint: secrets } }
    - { allow: { paths: ["/*/pii"] }, scope: base:use, after: { taint: pii, of: principal } }
    - { allow: { paths: ["/*/brief"] }, scope: base:use, after: { taint: briefly, for: 16m } }
    - { allow: { paths: ["/*/short"] }, scope: base:use, after: { shorten: 5m } }
    - { allow: { paths: ["/*/long"] }, scope: base:use, after: { shorten: 20m } }
    - { allow: { paths: ["/*/close"] }, scope: base:use, after: { narrow: baseline } }
    - { allow: { paths: ["/*/closer"] }, scope: base:use, after: { narrow: [base:use] } }
- name: outside
  match: { host: api.test, path: "/outside/**" }
  upstream: { url: "${upstream.origin}" }
  notAfter: [secrets]
  rules: [{ allow: {}, scope: base:use }]`,
})

let upstream: TapUpstream
let turn = 0
beforeAll(async () => { upstream = await TapUpstream.start() })
afterAll(() => upstream.close())
afterEach(() => { store.fails = () => false })

const outcome = (gate: TestGateway, place: string, token: string): Promise<unknown> => outcomeOf(gate, upstream, `/t${++turn}/${place}`, token)

/** A request that the upstream has and does not answer yet. */
async function begun(gate: TestGateway, place: string, token: string) {
  const path = `/t${++turn}/${place}`
  const answer = gate.ask('GET', path, { authorization: `Bearer ${token}` })
  return { answer, tap: await upstream.tap(path) }
}

describe('over Redis', () => {
  let server: RedisServer
  let pair: GatewayPair
  let a: TestGateway
  let b: TestGateway
  beforeAll(async () => {
    server = await RedisServer.start()
    pair = await TestGateway.pair(server, planOf(upstream))
    ;({ a, b } = pair)
  })
  afterAll(async () => {
    await pair.stop()
    await server.dispose()
  })

  test('[CND3, CND4, ENF3] when the upstream has the request that taints, what excludes the taint is cut and refused on both gateways, by rule and by route, and nothing else is', async () => {
    const token = await a.token()
    const { id } = await a.session(token)
    const [away, near, other] = [await takeOff(b, upstream, 'download', 'also', token), await takeOff(a, upstream, 'sse', 'also', token), await takeOff(b, upstream, 'chunked download', 'base', token)]
    const { answer, tap } = await begun(a, 'secret', token)
    expect(exchangesOf(b, id).map(({ place: { rule } }) => rule?.name)).toEqual(['api#1'])
    expect([await outcome(b, 'also', token), await outcome(a, 'also', token)]).toEqual(['tainted', 'tainted'])
    for (const gate of [a, b]) expect((await gate.ask('GET', '/outside/x', { authorization: `Bearer ${token}` })).json['reason']).toBe('tainted')
    await until(() => away.tap.abortedAt > 0 && near.tap.abortedAt > 0, 'the end of both at the upstream')
    expect(await away.ended).toBe('reset')
    await other.finish()
    tap.answer.end('secret')
    expect((await answer).status).toBe(200)
    near.client.close()
    other.client.close()
    expect(await outcome(b, 'secret', token)).toBe(200)
  })

  test('[CND4] a gateway that heard of the taint before others did waits until each of them has, or acts no more', async () => {
    const token = await a.token()
    await Promise.all([a.session(token), b.session(token)])
    const held = Promise.withResolvers<void>()
    const slow = Promise.withResolvers<void>()
    store.enforcing = () => {
      held.resolve()
      return slow.promise
    }
    const [one, two] = [`/t${++turn}/secret`, `/t${++turn}/secret`]
    const first = a.ask('GET', one, { authorization: `Bearer ${token}` })
    await held.promise
    const [since, lease] = [a.parts.clock.now(), a.parts.settings().store.lease]
    const second = b.ask('GET', two, { authorization: `Bearer ${token}` })
    const tap = await upstream.tap(two)
    expect(b.parts.clock.now() - since).toBeGreaterThan(lease / 2)
    expect(upstream.taps.has(one)).toBe(false)
    store.enforcing = () => Promise.resolve()
    slow.resolve()
    tap.answer.end('secret')
    ;(await upstream.tap(one)).answer.end('secret')
    expect([(await first).status, (await second).status]).toEqual([200, 200])
  })

  test('[CND4] many that taint at once leave one taint, and none of them reaches the upstream before it is enforced', async () => {
    const token = await a.token()
    const { id, key } = await a.session(token)
    const stream = await takeOff(b, upstream, 'download', 'also', token)
    const early: number[] = []
    const done = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const { answer, tap } = await begun(i % 2 === 0 ? a : b, 'secret', token)
      early.push(exchangesOf(b, id).filter(({ place: { rule } }) => rule?.name === 'api#2').length)
      tap.answer.end('ok')
      return (await answer).status
    }))
    expect(done).toEqual(done.map(() => 200))
    expect(early.every(open => open === 0)).toBe(true)
    stream.client.close()
    const told = (await pair.trail()).filter(({ record, fact }) => (record as { readonly name?: string } | undefined)?.name === key && (fact as { readonly what?: string } | undefined)?.what === 'session.tainted')
    expect(told).toHaveLength(1)
  })

  test('[CND3, CND4] a taint of the principal is in every session of it, also in one that opens later; one of the session is not', async () => {
    const [one, two, three] = [await a.token({ sub: 'sync' }), await a.token({ sub: 'sync' }), await a.token({ sub: 'sync' })]
    const stranger = await a.token({ sub: 'another' })
    expect((await a.session(one)).id).not.toBe((await b.session(two)).id)
    expect(await outcome(a, 'secret', one)).toBe(200)
    expect([await outcome(b, 'also', one), await outcome(b, 'also', two)]).toEqual(['tainted', 200])
    expect(await outcome(a, 'pii', one)).toBe(200)
    expect([await outcome(b, 'also', two), await outcome(b, 'also', three), await outcome(b, 'also', stranger)]).toEqual(['tainted', 'tainted', 200])
  })

  test('[CND4, ENF7] the end of the session comes nearer by it, on both gateways, and is never moved away again', async () => {
    const token = await a.token()
    const { id } = await a.session(token)
    const endsAt = (gate: TestGateway): number => gate.parts.mirror.byId(id)?.record.endsAt ?? 0
    await b.session(token)
    expect(await outcome(a, 'long', token)).toBe(200)
    const first = endsAt(b)
    expect(first - Date.now()).toBeGreaterThan(19 * MINUTE)
    expect(first - Date.now()).toBeLessThanOrEqual(20 * MINUTE)
    const { answer, tap } = await begun(b, 'short', token)
    const second = endsAt(a)
    expect(second - Date.now()).toBeLessThanOrEqual(5 * MINUTE)
    tap.answer.end()
    await answer
    expect([await outcome(a, 'short', token), await outcome(b, 'long', token)]).toEqual([200, 200])
    expect([endsAt(a), endsAt(b)]).toEqual([second, second])
  })

  test('[CND4, ENF5] what it narrows is gone on both gateways before it goes upstream, and it goes through itself', async () => {
    for (const place of ['close', 'closer']) {
      const token = await a.token()
      await a.elevate(token, 'long')
      expect(await outcome(b, 'extra', token)).toBe(200)
      const stream = await takeOff(b, upstream, 'download', 'extra', token)
      const { answer, tap } = await begun(a, place, token)
      expect(await outcome(b, 'extra', token), place).toBe('narrowed')
      expect(await stream.ended).toBe('reset')
      tap.answer.end()
      expect((await answer).status).toBe(200)
    }
  })

  test('[CND3, ADM3] an operator takes a taint away, for both gateways, with a reason', async () => {
    const token = await a.token()
    const { id } = await a.session(token)
    expect(await outcome(a, 'secret', token)).toBe(200)
    expect((await a.admin('POST', `/v1/sessions/${id}/taints/clear`, {})).status).toBe(400)
    expect((await a.admin('POST', `/v1/sessions/${id}/taints/clear`, { names: ['others'], reason: 'looked at it' })).json).toMatchObject({ enforced: true })
    expect(await outcome(b, 'also', token)).toBe('tainted')
    expect((await a.admin('POST', `/v1/sessions/${id}/taints/clear`, { names: ['secrets'], reason: 'looked at it' })).json).toMatchObject({ enforced: true, gateways: { total: 2, acknowledged: 2 } })
    expect([await outcome(a, 'also', token), await outcome(b, 'also', token)]).toEqual([200, 200])
  })
})

describe('on the embedded store', () => {
  let gate: TestGateway
  beforeAll(async () => { gate = await TestGateway.start(planOf(upstream)) })
  afterAll(() => gate.stop())

  test('[CND4] what is in force already costs no write, and a taint that runs out is given again before it does', async () => {
    const token = await gate.token()
    const { id } = await gate.session(token)
    for (const place of ['secret', 'pii', 'brief', 'short', 'closer']) expect(await outcome(gate, place, token)).toBe(200)
    const before = store.commits
    const until = gate.parts.mirror.byId(id)?.record.taints.find(({ name }) => name === 'briefly')?.until ?? 0
    expect(until - Date.now()).toBeGreaterThanOrEqual(16 * MINUTE)
    expect(until - Date.now()).toBeLessThanOrEqual(17 * MINUTE)
    for (const place of ['secret', 'pii', 'brief', 'short', 'closer']) expect(await outcome(gate, place, token)).toBe(200)
    expect(store.commits).toBe(before)
  })

  test.each([['secret', 'session.tainted'], ['pii', 'principal.tainted'], ['short', 'session.shortened'], ['closer', 'session.narrowed']])('[CND4, STO13] where the store does not take what /%s leaves behind, nothing goes upstream, this time or the next', async (place, kind) => {
    const token = await gate.token({ sub: `failing-${place}` })
    await gate.session(token)
    store.fails = news => news === kind
    const paths = [`/t${++turn}/${place}`, `/t${++turn}/${place}`]
    for (const path of paths) {
      const { status, json } = await gate.ask('GET', path, { authorization: `Bearer ${token}` })
      expect([status, json['reason']]).toEqual([503, 'store_failed'])
    }
    expect(paths.filter(path => upstream.taps.has(path))).toEqual([])
    store.fails = () => false
    expect(await outcome(gate, place, token)).toBe(200)
  })
})

describe('of a session that others were delegated from', () => {
  const BROKER = `nga_${'b'.repeat(43)}`
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({ routes: '', config: ({ directory, issuer }) => {
      mkdirSync(join(directory, 'state'), { recursive: true, mode: 0o700 })
      writeFileSync(join(directory, 'state', 'admin.token'), 'unused', { mode: 0o600 })
      writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: [{ ...entryFor(BROKER, 'flows', ['broker'], 'ops|flows'), expires: undefined }] }), { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server: { listeners: [{ name: main, address: "127.0.0.1:0", serves: [proxy, keys] }, { name: admin, address: "127.0.0.1:0", serves: [admin] }] }
admin: { auth: { tokenFile: ${directory}/operators.json } }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
  brokered: { sessionToken: {} }
sessions: { baseline: [{ scopes: [base:use] }] }
brokers: { flows: { may: 'true', max: 1h, bind: optional } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    authn: [login, brokered]
    rules:
      - { allow: { paths: ["/*/base"] }, scope: base:use }
      - { allow: { paths: ["/*/also"] }, scope: base:use, notAfter: [secrets] }
      - { allow: { paths: ["/*/secret"] }, scope: base:use, after: { taint: secrets } }
`
    } })
  })
  afterAll(() => gate.stop())

  async function delegated(parent: string): Promise<string> {
    const answer = await asks(gate, { token: BROKER }, 'POST', '/v1/sessions', { subject: { kind: 'agent', subject: `worker-${++turn}` }, parent, reason: 'test' })
    expect(answer.status, answer.text).toBe(201)
    return String(answer.json['token'])
  }

  test('[CND3, SES21, ENF3] what it touches keeps those as well from what excludes it, on what they have open too, and what one of them touches keeps no other', async () => {
    const parent = await gate.token()
    const { id } = await gate.session(parent)
    const [one, other] = [await delegated(id), await delegated(id)]
    expect(await outcome(gate, 'secret', one)).toBe(200)
    expect([await outcome(gate, 'also', one), await outcome(gate, 'also', other), await outcome(gate, 'also', parent)]).toEqual(['tainted', 200, 200])
    const [cut, kept] = [await takeOff(gate, upstream, 'download', 'also', other), await takeOff(gate, upstream, 'chunked download', 'base', other)]
    expect(await outcome(gate, 'secret', parent)).toBe(200)
    expect(await cut.ended).toBe('reset')
    expect([await outcome(gate, 'also', other), await outcome(gate, 'also', await delegated(id))]).toEqual(['tainted', 'tainted'])
    await kept.finish()
    kept.client.close()
  })
})
