// Sessions that a broker opened under another, as their callers see them: through one gateway's change on what is open at the other one, over a real
// Redis, and on the embedded store. Never more than the parent may now, and over with it. SPEC: SES20, SES21, ENF3, ENF6
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { entryFor } from '../../src/admin/first-token.ts'
import { NOT_BOUND } from '../../src/core/binding.ts'
import { type RecordRef, sessionRef } from '../../src/core/record.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import { after, duration } from '../../src/core/time.ts'
import { sessionCredential } from '../../src/identity/session-token.ts'
import { newSessionId, newSignalId } from '../../src/runtime/id.ts'
import { asks } from '../support/brokers.ts'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { exchangesOf, type Flight, outcomeOf, pause, takeOff, TapUpstream, until } from './support.ts'

const BROKER = `nga_${'b'.repeat(43)}`
const OPERATOR = `nga_${'o'.repeat(43)}`

/** A worker's own baseline has everything; its parent has `extra:use` by an elevation only. */
const config = (upstream: TapUpstream): NonNullable<GatewayPlan['config']> => ({ directory, issuer }) => {
  mkdirSync(join(directory, 'state'), { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), `${OPERATOR}\n`, { mode: 0o600 })
  const tokens = [entryFor(BROKER, 'flows', ['broker'], 'ops|flows'), entryFor(OPERATOR, 'boss', ['operator'], 'ops|boss')]
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: tokens.map(entry => ({ ...entry, expires: undefined })) }), { mode: 0o600 })
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
admin: { auth: { tokenFile: ${directory}/operators.json } }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
  brokered: { sessionToken: {} }
sessions: { baseline: [{ scopes: [base:use] }, { when: 'subject.claims.role == "worker"', scopes: [extra:use] }] }
brokers: { flows: { may: 'true', max: 1h, bind: optional } }
elevations: { long: { adds: [extra:use], for: 10m, max: 1h }, short: { adds: [extra:use], for: 1s } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    authn: [login, brokered]
    rules:
      - { allow: { paths: ["/*/base"] }, scope: base:use }
      - { allow: { paths: ["/*/extra"] }, scope: extra:use }
`
}

/** Gateways of one installation: a change is made at `near` and looked at through `far`, which is the same one where there is one only. */
type Installation = {
  readonly near: () => TestGateway
  readonly far: () => TestGateway
  /** One that knows nothing but what the store has. */
  readonly fresh: () => Promise<TestGateway>
  readonly trail: () => Promise<readonly Record<string, unknown>[]>
  readonly close: () => Promise<void>
}

let turn = 0
let upstream: TapUpstream
beforeAll(async () => { upstream = await TapUpstream.start() })
afterAll(() => upstream.close())

async function overRedis(): Promise<Installation> {
  const server = await RedisServer.start()
  const plan: GatewayPlan = { routes: '', config: config(upstream) }
  const { a, b, trail, stop } = await TestGateway.pair(server, plan)
  const more: TestGateway[] = []
  return {
    near: () => a, far: () => b, trail,
    async fresh() {
      const gate = await TestGateway.start({ ...plan, upstream: a.upstream, issuer: a.issuer, store: storeAt(server) })
      more.push(gate)
      return gate
    },
    async close() {
      for (const gate of more) await gate.stop()
      await stop()
      await server.dispose()
    },
  }
}

async function embedded(): Promise<Installation> {
  const directory = mkdtempSync(join(tmpdir(), 'ng-delegation-'))
  const plan: GatewayPlan = { routes: '', config: config(upstream), directory }
  let gate = await TestGateway.start(plan)
  const { upstream: recording, issuer } = gate
  const close = (): Promise<void> => gate.stop()
  return {
    near: () => gate, far: () => gate, trail: () => gate.trail(),
    async fresh() {
      await gate.stop()
      gate = await TestGateway.start({ ...plan, upstream: recording, issuer })
      return gate
    },
    close: () => close().then(() => rmSync(directory, { recursive: true, force: true })),
  }
}

type Child = { readonly token: string; readonly id: string }
type Family = { readonly token: string; readonly id: string; readonly elevation: string; readonly child: Child }

describe.each([['over Redis', overRedis], ['on the embedded store', embedded]] as const)('%s', (_, install) => {
  let all: Installation
  beforeAll(async () => { all = await install() })
  afterAll(() => all.close())

  const outcome = (gate: TestGateway, place: 'base' | 'extra', token: string): Promise<unknown> => outcomeOf(gate, upstream, `/d${++turn}/${place}`, token)
  const onBoth = async (place: 'base' | 'extra', token: string): Promise<readonly unknown[]> => [await outcome(all.near(), place, token), await outcome(all.far(), place, token)]

  async function delegate(parent: string): Promise<Child> {
    const answer = await asks(all.near(), { token: BROKER }, 'POST', '/v1/sessions', { subject: { kind: 'agent', subject: `worker-${++turn}`, claims: { role: 'worker' } }, parent, reason: 'test' })
    expect(answer.status, answer.text).toBe(201)
    return { token: String(answer.json['token']), id: String(answer.json['session']) }
  }

  /** A parent with the elevation, and a child of it. */
  async function family(profile = 'long'): Promise<Family> {
    const gate = all.near()
    const token = await gate.token()
    const { id } = await gate.session(token)
    const child = await delegate(id)
    return { token, id, elevation: await gate.elevate(token, profile), child }
  }

  const flyOn = (gate: TestGateway, child: Child): Promise<Flight> => takeOff(gate, upstream, 'chunked download', 'extra', child.token)
  const act = (path: string, body: unknown = {}) => all.near().admin('POST', path, body)

  /** Nothing arrives any more, the upstream is let go of, and nothing is open at the gateway. */
  async function isCut(gate: TestGateway, { id }: Child, flight: Flight): Promise<void> {
    expect(exchangesOf(gate, id)).toEqual([])
    const mark = flight.arrived()
    flight.push()
    expect(await flight.ended).toBe('reset')
    await until(() => flight.tap.abortedAt > 0, 'the upstream to see it')
    expect(flight.arrived()).toBe(mark)
    flight.client.close()
  }

  const CUTS: readonly (readonly [string, (family: Family) => readonly [path: string, body: unknown], readonly unknown[]])[] = [
    ['its parent is terminated', ({ id }) => [`/v1/sessions/${id}/terminate`, {}], ['parent_ended', 'credential_revoked']],
    ['its parent is narrowed', ({ id }) => [`/v1/sessions/${id}/narrow`, {}], ['elevation_required']],
    ['its parent is narrowed to something else', ({ id }) => [`/v1/sessions/${id}/narrow`, { to: ['base:use'] }], ['elevation_required']],
    ['the elevation of its parent is revoked', ({ elevation }) => [`/v1/elevations/${elevation}/revoke`, {}], ['elevation_required']],
  ]
  test.each(CUTS)('[SES21, ENF3] what a child has open is cut, on every gateway and in the acknowledgement, when %s', async (_, told, refusals) => {
    const [mine, others] = [await family(), await family()]
    const gates = [all.near(), all.far()]
    const flights = [await flyOn(all.near(), mine.child), await flyOn(all.far(), mine.child)]
    const kept = await flyOn(all.far(), others.child)
    const { status, json, text } = await act(...told(mine))
    expect([status, json], text).toMatchObject([200, { enforced: true, exchanges: { cut: 2, continued: 0 } }])
    for (const [i, flight] of flights.entries()) await isCut(gates[i] ?? all.near(), mine.child, flight)
    const outcomes = await onBoth('extra', mine.child.token)
    expect(outcomes.filter(reason => !refusals.includes(reason))).toEqual([])
    await kept.finish()
    kept.client.close()
    expect(await onBoth('extra', others.child.token)).toEqual([200, 200])
  })

  test('[SES21, ENF6] what a child has open is held while its parent is frozen, and goes on from the very byte when that is resumed', async () => {
    const { id, child, token } = await family()
    const flight = await flyOn(all.far(), child)
    const base = await takeOff(all.far(), upstream, 'sse', 'base', child.token)
    expect((await act(`/v1/sessions/${id}/freeze`)).json).toMatchObject({ enforced: true, exchanges: { frozen: 2, cut: 0 } })
    const mark = flight.arrived()
    flight.push()
    await pause(100)
    expect([flight.arrived(), exchangesOf(all.far(), child.id).map(({ state }) => state)]).toEqual([mark, ['frozen', 'frozen']])
    expect([await onBoth('base', child.token), await outcome(all.near(), 'base', token)]).toEqual([['frozen', 'frozen'], 'frozen'])
    expect((await act(`/v1/sessions/${id}/resume`, { reason: 'test' })).json).toMatchObject({ enforced: true })
    await flight.finish()
    await base.finish()
    for (const { client } of [flight, base]) client.close()
    expect(await onBoth('extra', child.token)).toEqual([200, 200])
  })

  test('[SES21, ENF4] a child goes without what an elevation of its parent carried from the instant at which that ends', async () => {
    const { child } = await family('short')
    const flight = await flyOn(all.far(), child)
    const base = await takeOff(all.far(), upstream, 'sse', 'base', child.token)
    expect(await flight.ended).toBe('reset')
    expect(await onBoth('extra', child.token)).toEqual(['elevation_required', 'elevation_required'])
    await base.finish()
    for (const { client } of [flight, base]) client.close()
  })

  test('[SES20, SES21] the end of a child that its parent took along is on record once, and its token stays refused', async () => {
    const { id, child } = await family()
    const below = await delegate(child.id)
    expect(await onBoth('base', below.token)).toEqual([200, 200])
    await act(`/v1/sessions/${id}/terminate`)
    await Promise.all([all.near(), all.far()].map(({ parts }) => parts.ledger.settled()))
    for (const { token } of [child, below]) for (const reason of await onBoth('base', token)) expect(['parent_ended', 'credential_revoked']).toContain(reason)
    const keys = [id, child.id, below.id].map(each => all.near().parts.mirror.byId(each)?.record.key)
    const facts = (await all.trail()).flatMap(({ record, fact }) => (fact === undefined ? [] : [{ key: (record as RecordRef).name, ...(fact as { readonly what: string; readonly reason?: string }) }])) // lines of the trail
    const ends = facts.filter(({ key, what }) => what === 'session.revoked' && keys.includes(key as SessionKey)).map(({ key, reason }) => [keys.indexOf(key as SessionKey), reason] as const) // a session lies under its key
    expect([ends.length, new Map(ends)]).toEqual([3, new Map([[0, 'revoked'], [1, 'parent_ended'], [2, 'parent_ended']])])
  })

  test('[SES21] a gateway that begins with nothing in memory judges a child by its parent from the first request on', async () => {
    const { id, elevation, child } = await family()
    const gate = await all.fresh()
    expect(gate.parts.mirror.byId(id)).toBe(null)
    expect(await outcome(gate, 'extra', child.token)).toBe(200)
    const flight = await flyOn(gate, child)
    expect((await act(`/v1/elevations/${elevation}/revoke`)).json).toMatchObject({ enforced: true, exchanges: { cut: 1 } })
    await isCut(gate, child, flight)
    expect([await outcome(gate, 'extra', child.token), await outcome(gate, 'base', child.token)]).toEqual(['elevation_required', 200])
    await act(`/v1/sessions/${id}/terminate`)
    expect(['parent_ended', 'credential_revoked']).toContain(await outcome(gate, 'base', child.token))
  })

  test('[SES21] a session whose parent the store does not have is refused', async () => {
    const { ledger, sessionTokens, store, clock } = all.near().parts
    const { token, key } = sessionTokens.issue()
    const { key: nobody } = sessionTokens.issue()
    const now = clock.now()
    const endsAt = after(now, duration(60_000))
    const stranger = 'ses_stranger' as SessionId // a word of the test
    await ledger.applyToSession(key, {
      kind: 'session.opened', key, session: newSessionId(), epoch: store.epochOf(sessionRef(key)), endsAt, bindings: NOT_BOUND, aliases: [], id: newSignalId(), by: 'test', note: '',
      principal: { kind: 'agent', issuer: 'broker:flows', tenant: '', subject: 'orphan', client: '', owner: null, actor: null }, credential: { id: sessionCredential({ key }), keyId: null, issuedAt: now, expiresAt: endsAt },
      brokered: { broker: 'flows', by: 'ops|flows', claims: { role: 'worker' }, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: { key: nobody, id: stranger, baseline: ['base:use', 'extra:use'], depth: 0 } },
    })
    expect([await onBoth('base', token), await onBoth('extra', token)]).toEqual([['parent_ended', 'parent_ended'], ['parent_ended', 'parent_ended']])
  })
})
