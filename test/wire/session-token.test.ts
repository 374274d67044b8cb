// Tokens of sessions that brokers opened, on the wire of two gateways over one Redis: who may show them, where, with what, and for how long. Whoever
// holds one and is not whom it is bound to gets nothing, and it opens nothing by itself. SPEC: SES20, BND7, PUR4
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SessionKey } from '../../src/core/session.ts'
import type { Verified } from '../../src/identity/credential.ts'
import type { ProxyRoom } from '../../src/proxy/room.ts'
import { sessionOf } from '../../src/proxy/session-of.ts'
import { sha256 } from '../../src/runtime/id.ts'
import { Timekeeper } from '../../src/sessions/timekeeper.ts'
import { asks, brokerPlan, type Json, opened, type Opened } from '../support/brokers.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { AheadClock, call, comesToNothing, DpopKey, type Headers, type Heard, http2To, overHttp2, seconds, sessionsOf, type Way, WIRES } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ClientAuthority, type Leaf, svidLeaf } from '../support/tls.ts'
import { json, Service } from '../unit/identity/service.ts'
import { until } from './support.ts'

const BOTH = ['a', 'b'] as const
type Where = (typeof BOTH)[number]
const SPIFFE = 'spiffe://prod.example.org/ns/flows/sa/runner'
const KEY = `ngs_${'k'.repeat(43)}`
/** In clear text, for every host. */
const INNER: Way = { listener: 'inner' }
const PLAIN_KEY = 'plain-key-of-the-file'

let server: RedisServer
let upstream: RecordingUpstream
let service: Service
let pair: GatewayPair
let mine: Leaf
let other: Leaf
let runner: Leaf
let imposter: Leaf
let dpop: DpopKey
let turn = 0

beforeAll(async () => {
  const authority = await ClientAuthority.create('Clients')
  ;[server, upstream, service, dpop] = await Promise.all([RedisServer.start(), RecordingUpstream.start(), Service.start(), DpopKey.make()])
  ;[mine, other, runner, imposter] = await Promise.all([authority.issue(), authority.issue(), authority.issue({ extensions: svidLeaf(SPIFFE) }), authority.issue({ extensions: svidLeaf(`${SPIFFE}2`) })])
  service.answer = json({ active: true, sub: 'anybody', aud: 'narrowgate', sid: 's', exp: Math.floor(Date.now() / 1000) + 3_600 })
  const plan = await brokerPlan({
    clients: { caFile: authority.cert.certFile },
    authn: directory => {
      writeFileSync(join(directory, 'keys.yaml'), JSON.stringify({ keys: [{ id: 'odd', sha256: sha256(KEY), subject: 'odd' }, { id: 'plain', sha256: sha256(PLAIN_KEY), subject: 'plain' }] }), { mode: 0o600 })
      writeFileSync(join(directory, 'secret'), 'a secret', { mode: 0o600 })
      return `  keys: { apiKey: { header: authorization, keysFile: ${directory}/keys.yaml } }
  opaque: { introspection: { url: "${service.url}", clientId: gate, clientSecretFile: ${directory}/secret, audience: narrowgate } }`
    },
    routes: `  - { name: keys, match: { host: keys.test }, upstream: api, authn: [keys, login], rules: [{ allow: {}, scope: base:read }] }
  - { name: opaque, match: { host: opaque.test }, upstream: api, authn: [opaque], rules: [{ allow: {}, scope: base:read }] }`,
  })
  pair = await TestGateway.pair(server, { ...plan, upstream })
  const began = seconds()
  await until(() => seconds() > began, 'a proof of this second is younger than the store')
})
afterAll(async () => {
  await pair.stop()
  await Promise.all([upstream.close(), service.close(), server.dispose()])
})

const path = (): string => `/p${++turn}`
const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })
type Sent = { readonly method?: string; readonly path?: string; readonly host?: string; readonly headers?: Headers }
const show = (where: Where, token: string, { path: at = path(), headers = {}, ...sent }: Sent = {}, way: Way = {}): Promise<Heard> => call(pair[where], way, { path: at, ...sent, headers: { ...bearer(token), ...headers } })
const nothing = (asked: () => Promise<Heard>, told: object, what = ''): Promise<void> => comesToNothing([pair.a, pair.b], upstream, asked, told, what)
const invalid = { status: 401, reason: 'credential_invalid', challenges: [expect.stringContaining('error="invalid_token"')] }
const loose = (more: Json = {}): Promise<Opened> => opened(pair.a, 'loose', { bind: undefined, ...more })

describe('a token of a session', () => {
  test('[SES20] counts on every gateway, in HTTP/1.1 and HTTP/2, for that one session, and only where a route names its provider', async () => {
    const { token, session } = await loose()
    for (const where of BOTH) for (const wire of WIRES) {
      expect((await show(where, token, {}, { wire })).status).toBe(200)
      expect((await show(where, token, { path: '/.narrowgate/session' }, { wire })).json).toMatchObject({ id: session })
      for (const at of [path(), '/.narrowgate/session']) await nothing(() => show(where, token, { host: 'logins.test', path: at }, { wire, ...INNER }), invalid, `${where} ${wire} ${at}`)
      await nothing(() => show(where, token, { headers: { authorization: `DPoP ${token}` } }, { wire }), { status: 401 })
    }
  })

  test('[SES20, SES15] no text that looks like one goes to another provider: not to a list of keys that holds it, not to an issuer that knows everything', async () => {
    const { token } = await loose()
    for (const where of BOTH) {
      expect((await show(where, PLAIN_KEY, { host: 'keys.test' }, INNER)).status).toBe(200)
      expect((await show(where, `opaque-${turn}`, { host: 'opaque.test' }, INNER)).status).toBe(200)
      const asked = service.asked.length
      for (const text of [KEY, token, `${token}x`, 'ngs_']) for (const host of ['keys.test', 'opaque.test']) await nothing(() => show(where, text, { host }, INNER), invalid, `${host} ${text}`)
      expect(service.asked.length).toBe(asked)
    }
  })

  test('[SES20] cannot be guessed: of a thousand random texts and all that differ from a right one by one character none counts or opens anything', async () => {
    const { token } = await loose()
    const near = Array.from({ length: token.length }, (_, i) => token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1))
    const random = Array.from({ length: 1_000 }, () => `ngs_${randomBytes(32).toString('base64url')}`)
    const spelled = [`${token}=`, token.toUpperCase(), ` ${token}`.replace(' ', '%20'), token.slice(0, -1), `${token}A`]
    const all = [...near, ...random, ...spelled]
    const before = [await Promise.all(BOTH.map(where => sessionsOf(pair[where]))), upstream.requests.length]
    const reasons = new Map<string, number>()
    const ways = BOTH.map(where => http2To(pair[where]))
    for (let i = 0; i < all.length; i += 50) {
      const heard = await Promise.all(all.slice(i, i + 50).flatMap((text, j) => { const way = ways[j % 2]; return way === undefined ? [] : [overHttp2(way, { path: '/guessed', headers: bearer(text) })] }))
      for (const { status, reason } of heard) reasons.set(`${status} ${reason}`, (reasons.get(`${status} ${reason}`) ?? 0) + 1)
    }
    for (const way of ways) way.destroy()
    expect([...reasons]).toEqual([['401 credential_invalid', all.length]])
    expect([await Promise.all(BOTH.map(where => sessionsOf(pair[where]))), upstream.requests.length]).toEqual(before)
    expect((await show('b', token)).status).toBe(200)
  })

  test('[SES20] cannot be renewed, and no word of its holder makes it live longer', async () => {
    const { token, session, json: { endsAt } } = await loose()
    for (const where of BOTH) expect(await show(where, token, { method: 'POST', path: '/.narrowgate/session/renew' })).toMatchObject({ status: 403, reason: 'denied' })
    expect((await asks(pair.b, 'viewer', 'GET', `/v1/sessions/${session}`)).json['endsAt']).toBe(endsAt)
  })
})

describe('a token that is bound', () => {
  type Case = { readonly what: string; readonly bind: () => Json; readonly right: (token: string, where: Where, at: string) => Promise<{ readonly headers?: Headers; readonly way?: Way }>; readonly wrong: readonly (readonly [what: string, way: () => Way, told: object])[] }
  const broken = { status: 403, reason: 'binding_broken' }
  const CASES: readonly Case[] = [
    {
      what: 'a client certificate', bind: () => ({ 'x5t#S256': sha256(mine.der) }), right: () => Promise.resolve({ way: { leaf: mine } }),
      wrong: [['none', () => ({}), invalid], ['another one of the same authority', () => ({ leaf: other }), invalid]],
    },
    {
      what: 'a workload', bind: () => ({ workload: SPIFFE }), right: () => Promise.resolve({ way: { leaf: runner } }),
      wrong: [['no certificate', () => ({}), broken], ['that of another workload', () => ({ leaf: imposter }), broken], ['one without an id', () => ({ leaf: mine }), broken]],
    },
    {
      what: 'a source', bind: () => ({ source: '127.0.0.3' }), right: () => Promise.resolve({ way: { from: '127.0.0.3' } }),
      wrong: [['from elsewhere', () => ({}), broken], ['from its neighbour', () => ({ from: '127.0.0.4' }), broken]],
    },
    {
      what: 'a workload and a source', bind: () => ({ workload: SPIFFE, source: '127.0.0.3' }), right: () => Promise.resolve({ way: { leaf: runner, from: '127.0.0.3' } }),
      wrong: [['that workload elsewhere', () => ({ leaf: runner }), broken], ['another one there', () => ({ leaf: imposter, from: '127.0.0.3' }), broken]],
    },
  ]
  test.each(CASES)('[SES20, BND7] to $what counts with it alone, on both gateways', async ({ bind, right, wrong }) => {
    const { token } = await loose({ bind: bind() })
    for (const where of BOTH) for (const wire of WIRES) {
      const at = path()
      for (const [what, way, told] of wrong) for (const target of [at, '/.narrowgate/session']) await nothing(() => show(where, token, { path: target }, { wire, ...way() }), told, `${where} ${wire} ${what}`)
      const { headers = {}, way = {} } = await right(token, where, at)
      expect((await show(where, token, { path: at, headers }, { wire, ...way })).status, `${where} ${wire}`).toBe(200)
    }
  })

  test('[SES20, BND7, BND2] to a DPoP key counts with a proof of that key for that request, once; never as a bearer token', async () => {
    const { token } = await loose({ bind: { jkt: dpop.thumbprint } })
    const stranger = await DpopKey.make()
    const under = (proof: string | null): Headers => ({ authorization: `DPoP ${token}`, ...(proof === null ? {} : { dpop: proof }) })
    const badProof = { status: 401, challenges: [expect.stringContaining('error="invalid_dpop_proof"')] }
    for (const where of BOTH) {
      const at = path()
      const uri = `https://api.test${at}`
      const proof = await dpop.proof('GET', uri, token)
      expect((await call(pair[where], {}, { path: at })).challenges).toEqual([expect.stringMatching(/^Bearer /), expect.stringMatching(/^DPoP /)])
      await nothing(() => show(where, token, { path: at }), { status: 401, reason: 'credential_invalid' }, 'bearer')
      await nothing(() => show(where, token, { path: at, headers: { dpop: proof } }), { status: 401, reason: 'credential_invalid' }, 'bearer with a proof')
      await nothing(() => show(where, token, { path: at, headers: under(null) }), badProof, 'no proof')
      for (const bad of [await stranger.proof('GET', uri, token), await dpop.proof('POST', uri, token), await dpop.proof('GET', `${uri}x`, token), await dpop.proof('GET', uri, KEY)]) await nothing(() => show(where, token, { path: at, headers: under(bad) }), badProof)
      expect((await show(where, token, { path: at, headers: under(proof) })).status).toBe(200)
      for (const again of BOTH) await nothing(() => show(again, token, { path: at, headers: under(proof) }), badProof, `again on ${again}`)
    }
  })
})

describe('one life', () => {
  /** `marks`: its credentials are refused by a mark, which an operator can clear. */
  type End = { readonly what: string; readonly reason: string; readonly marks: boolean; readonly lasts?: string; readonly end: (session: string) => Promise<unknown> }
  const verb = (name: string, body: Json = {}) => (session: string): Promise<unknown> => asks(pair.a, 'operator', 'POST', `/v1/sessions/${session}/${name}`, body)
  const over = (session: string): Promise<void> => until(() => BOTH.every(where => pair[where].parts.mirror.byId(session)?.record.state.is !== 'live'), 'it is over', 8_000)
  const ENDS: readonly End[] = [
    { what: 'its task is complete', reason: 'credential_revoked', marks: true, end: verb('complete') },
    { what: 'an operator terminated it', reason: 'credential_revoked', marks: true, end: verb('terminate') },
    { what: 'it was shortened and that time is over', reason: 'session_ended', marks: false, end: session => verb('shorten', { for: '1s' })(session).then(() => over(session)) },
    { what: 'its time is over', reason: 'credential_revoked', marks: false, lasts: '3s', end: over },
  ]
  test.each(ENDS)('[SES20] when $what nobody uses it again on either gateway, and no cleared mark revives it', async ({ end, lasts, reason, marks }) => {
    const { token, session } = await loose(lasts === undefined ? {} : { for: lasts })
    for (const where of BOTH) expect((await show(where, token)).status).toBe(200)
    await end(session)
    const refused = { status: 401, reason, challenges: [expect.stringContaining('error="invalid_token"')] }
    for (const where of BOTH) for (const at of [path(), '/.narrowgate/session']) await nothing(() => show(where, token, { path: at }), refused, `${where} ${at}`)
    expect((await asks(pair.a, 'operator', 'DELETE', `/v1/locks/mark_${session}`, { reason: 'a mistake' })).status).toBe(marks ? 200 : 404)
    for (const where of BOTH) await nothing(() => show(where, token), refused, 'after its mark was cleared')
  })

  test('[SES20, SES5] one that was idle for too long while no gateway looked is over, and its token opens no other', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-idle-'))
    const clock = new AheadClock()
    const start = async (): Promise<TestGateway> => TestGateway.start({ ...(await brokerPlan()), directory, upstream, issuer: pair.a.issuer, clock })
    const before = await start()
    const { token } = await opened(before, 'loose', { bind: undefined })
    expect((await before.ask('GET', path(), { authorization: `Bearer ${token}` })).status).toBe(200)
    await before.stop()
    clock.ahead = 11 * 60_000
    const gate = await start()
    for (let i = 0; i < 2; i++) expect((await gate.ask('GET', path(), { authorization: `Bearer ${token}` })).json).toMatchObject({ status: 401, reason: 'session_ended' })
    expect((await asks(gate, 'viewer', 'GET', '/v1/sessions?state=any')).json['sessions']).toMatchObject([{ state: 'lapsed', reason: 'idle' }])
    await gate.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  test('[SES20, ENF3] what is open on the other gateway is cut before the word that the task is done is answered', async () => {
    const { token, session } = await loose()
    const client = await RawClient.connect(pair.b.target)
    client.push(request('GET', '/stream/task', { authorization: `Bearer ${token}` }))
    await client.head()
    upstream.feed('task').write('before')
    await client.until(() => client.bytes().includes('before'))
    const { status, json: told } = await asks(pair.a, 'loose', 'POST', `/v1/sessions/${session}/complete`, { reason: 'done' })
    expect({ status, ...told }).toMatchObject({ status: 200, enforced: true, gateways: { total: 2, acknowledged: 2 }, exchanges: { cut: 1 } })
    const mark = client.mark()
    upstream.feed('task').write('after')
    await client.ended
    expect(client.bytes().subarray(mark).toString('latin1')).not.toContain('after')
  })

  test('[SES20, ENF4] what is open ends with the session’s time, on both gateways, and with the embedded store', async () => {
    const alone = await TestGateway.start({ ...(await brokerPlan()), upstream, issuer: pair.a.issuer })
    const shared = await loose({ for: '3s' })
    const own = await opened(alone, 'loose', { bind: undefined, for: '3s' })
    const places = [[pair.a, shared], [pair.b, shared], [alone, own]] as const
    const clients = await Promise.all(places.map(async ([gate, { token }]) => {
      const client = await RawClient.connect(gate.target)
      client.push(request('GET', '/stream/timed', { authorization: `Bearer ${token}` }))
      await client.head()
      return client
    }))
    expect(places.map(([gate]) => gate.parts.inflight.size)).toEqual([1, 1, 1])
    await until(() => places.every(([gate]) => gate.parts.inflight.size === 0), 'nothing is open', 8_000)
    await Promise.all(clients.map(client => client.ended))
    await alone.stop()
  })

  test('[SES20] a token whose session is nowhere any more opens none, though it was right a moment ago', async () => {
    const { mirror, ledger, store, clock, metrics } = pair.a.parts
    const room = { mirror, ledger, store, metrics, keeper: { clock }, timekeeper: new Timekeeper(mirror, ledger, store, clock) } as unknown as ProxyRoom // the parts that sessions are found with
    const { session } = await loose()
    const { record } = mirror.byId(session) ?? {}
    if (record === undefined) throw new Error('it is not in memory')
    const evidence = { provider: 'brokered', fingerprint: 'f', credential: record.credential.id, issuer: record.principal.issuer, keyId: null, issuedAt: record.openedAt, expiresAt: record.endsAt, keyThumbprint: null, device: null, claimed: {} }
    const verified = (opens: boolean): Verified => ({ provider: 'brokered', principal: record.principal, claims: {}, evidence, key: sha256(`nowhere ${opens}`) as SessionKey, aliases: [], binding: null, workload: null, knownUntil: null, opens }) // a key that nothing lies under
    const showing = { workload: null, certified: null, sourceAddress: '127.0.0.1' }
    expect(await sessionOf(room, verified(false), 'api', showing)).toMatchObject({ effect: 'refuse', reason: 'credential_invalid' })
    expect(mirror.peek(verified(false).key)).toBeNull()
    expect(await sessionOf(room, verified(true), 'api', showing)).toMatchObject({ record: { key: verified(true).key } })
  })
})

describe('what its holder may do', () => {
  const ask = (where: Where, token: string, method: string, headers: Headers = {}): Promise<Heard> => show(where, token, { method, headers })

  test('[SES20] an elevation that its broker does not list is not to be had, by nobody’s word', async () => {
    for (const where of BOTH) {
      const { token, session } = await loose()
      const asked = (profile: string) => pair[where].ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify({ profile, for: '5m' }))
      expect((await asked('other')).json).toMatchObject({ status: 403, reason: 'not_eligible' })
      expect((await show(where, token, { path: '/.narrowgate/profiles' })).json).toMatchObject({ profiles: [{ name: 'fix' }] })
      expect(await asks(pair[where], 'operator', 'POST', '/v1/elevations', { session, profile: 'other', reason: 'x' })).toMatchObject({ status: 403, json: { reason: 'not_eligible' } })
      expect(await ask(where, token, 'POST')).toMatchObject({ status: 403, reason: 'elevation_required' })
      expect((await asked('fix')).status).toBe(201)
      expect((await ask(where, token, 'POST')).status).toBe(200)
    }
  })

  test('[SES20, SCP3] its bound on scopes holds for elevations too, those it began with and those it asks for', async () => {
    const { token } = await loose({ scopes: ['base:write'], profiles: [{ profile: 'fix' }] })
    for (const where of BOTH) {
      expect((await ask(where, token, 'POST')).status).toBe(200)
      for (const method of ['GET', 'DELETE']) await nothing(() => ask(where, token, method), { status: 403, reason: 'elevation_required' }, `${where} ${method}`)
      expect((await pair[where].ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify({ profile: 'fix' }))).status).toBe(201)
      await nothing(() => ask(where, token, 'DELETE'), { status: 403, reason: 'elevation_required' }, `${where} after asking`)
    }
  })

  test('[PUR4] each of its requests is for the task it was opened for, without saying so; one that says another is refused', async () => {
    const { token, session } = await loose({ purpose: { task: 'T-1' } })
    for (const where of BOTH) {
      expect((await ask(where, token, 'GET')).status).toBe(200)
      expect((await ask(where, token, 'GET', { 'x-task': 'T-1' })).status).toBe(200)
      await nothing(() => ask(where, token, 'GET', { 'x-task': 'T-2' }), { status: 403, reason: 'purpose_mismatch' }, where)
    }
    const admitted = (await pair.trail()).filter(line => line['kind'] === 'exchange.opened' && line['session'] === session)
    expect(admitted.map(({ purposes }) => purposes)).toEqual(Array.from({ length: 4 }, () => ({ task: 'T-1' })))
  })
})
