// Security events and logouts as those feel them who send them, and whom they mean: over real sockets, signed by a transmitter with metadata and keys of its own.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { CAEP, SsfTransmitter } from '../support/ssf-transmitter.ts'
import { outcomeOf, takeOff, TapUpstream, until } from './support.ts'

const AUTHORIZATION = 'Bearer what-the-transmitter-was-told-to-send'
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'
const LOGIN = 'https://login.example'
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

type Options = { readonly transmitter?: string; readonly wrapStore?: (store: SessionStore) => SessionStore }
type Stage = { readonly gate: TestGateway; readonly upstream: TapUpstream; readonly idp: SsfTransmitter; readonly at: (path: string) => string }

const configOf = (idp: SsfTransmitter, upstream: TapUpstream, directory: string, transmitter: string): string => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: news, address: "127.0.0.1:0", serves: [signals] }
authn: { login: { jwt: { issuer: "${LOGIN}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person, claims: { tenant: org } } }
sessions: { baseline: [{ scopes: [base:use] }] }
telemetry: { logs: { level: silent } }
signals:
  ssf:
    - { name: idp, transmitter: "${idp.issuer}", delivery: push, manage: false, audience: "${idp.audience}", authorizationFile: ${directory}/authorization, issuers: ["${LOGIN}"]${transmitter} }
  logout:
    - { name: sso, issuer: "${LOGIN}", audience: gateway, jwksFile: ${directory}/jwks.json }
routes:
  - { name: api, match: { host: api.test }, upstream: { url: "${upstream.origin}" }, rules: [{ allow: { paths: ["/*/base"] }, scope: base:use }] }
`

const planOf = (idp: SsfTransmitter, upstream: TapUpstream, transmitter: string): GatewayPlan => ({
  routes: '',
  config: ({ directory }) => {
    mkdirSync(join(directory, 'state'), { recursive: true })
    writeFileSync(join(directory, 'authorization'), `${AUTHORIZATION}\n`, { mode: 0o600 })
    return configOf(idp, upstream, directory, transmitter)
  },
})

const stageOf = (gate: TestGateway, upstream: TapUpstream, idp: SsfTransmitter): Stage => ({ gate, upstream, idp, at: path => `http://127.0.0.1:${gate.gateway.front.bound.get('news')?.address.port ?? 0}${path}` })

async function stage({ transmitter = '', wrapStore }: Options = {}): Promise<Stage> {
  const [idp, upstream] = [await SsfTransmitter.start({ path: '/tenant/one' }), await TapUpstream.start()]
  const gate = await TestGateway.start({ ...planOf(idp, upstream, transmitter), ...(wrapStore === undefined ? {} : { wrapStore }) })
  closing.push(() => idp.close(), () => upstream.close(), () => gate.stop())
  return stageOf(gate, upstream, idp)
}

const ann = { format: 'iss_sub', iss: LOGIN, sub: 'ann' }

async function push({ idp, at }: Stage, token: string, headers: { readonly [name: string]: string } = {}) {
  return idp.push(at('/ssf/events/idp'), token, { authorization: AUTHORIZATION, ...headers })
}
const revoked = ({ idp }: Stage, more: { readonly [name: string]: unknown } = {}): Promise<string> => idp.signClaims(idp.claims('session-revoked', ann, {}, more))

async function logout({ gate, at }: Stage, claims: { readonly [name: string]: unknown }, form = (token: string): string => `logout_token=${token}`) {
  const iat = Math.floor(Date.now() / 1000)
  const token = await gate.issuer.signText(JSON.stringify({ iss: LOGIN, aud: 'gateway', jti: `j-${Math.random()}`, iat, exp: iat + 120, events: { [LOGOUT]: {} }, ...claims }), { typ: 'logout+jwt' })
  const answer = await fetch(at('/logout/sso'), { method: 'POST', body: form(token), headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  return { status: answer.status, text: await answer.text(), headers: answer.headers }
}

let calls = 0
const useOf = ({ gate, upstream }: Stage, token: string): Promise<unknown> => outcomeOf(gate, upstream, `/u${++calls}/base`, token)

const metric = async ({ gate }: Stage, labels: string): Promise<number> => {
  const line = (await gate.ops('/metrics')).text.split('\n').find(each => each.startsWith(`narrowgate_set_received_total{${labels}}`))
  return Number(line?.split(' ').at(-1) ?? 0)
}

const opened = async ({ gate }: Stage): Promise<readonly unknown[]> => (await gate.trail()).filter(({ fact, record }) => (record as { kind?: string } | undefined)?.kind === 'event' && (fact as { what?: string }).what === 'anchor.opened')

function noise({ gate }: Stage): string {
  const folder = join(gate.directory, 'state')
  return readdirSync(folder).filter(name => name.startsWith('noise')).map(name => readFileSync(join(folder, name), 'utf8')).join('')
}

describe('pushed', () => {
  test('[SSF2, SSF3, OUT1, OUT3] a revocation is answered with nothing, and cuts the event stream of whom it means; nobody else notices', async () => {
    const on = await stage()
    const [token, other] = [await on.gate.token({ org: 'acme', sub: 'ann', sid: 's-1' }), await on.gate.token({ org: 'acme', sub: 'bob', sid: 's-2' })]
    const [stream, theirs] = [await takeOff(on.gate, on.upstream, 'sse', 'base', token), await takeOff(on.gate, on.upstream, 'sse', 'base', other)]
    closing.push(async () => stream.client.close(), async () => theirs.client.close())
    const answer = await push(on, await revoked(on))
    expect(answer).toMatchObject({ status: 202, text: '' })
    await stream.client.response('GET').catch(() => null) // it ends whole, or with its connection
    expect(await useOf(on, token)).toBe('revoked_outside')
    await theirs.move()
    expect(await useOf(on, other)).toBe(200)
    expect(await metric(on, 'source="idp",event="session-revoked",outcome="taken"')).toBe(1)
  })

  test('[OUT1, SSF2] one that comes again is answered as the first time, and is on record once', async () => {
    const on = await stage()
    const token = await revoked(on, { jti: 'the-same' })
    for (const _ of [1, 2, 3]) expect((await push(on, token)).status).toBe(202)
    expect(await opened(on)).toHaveLength(1)
    expect((await push(on, await revoked(on, { jti: 'another' }))).status).toBe(202)
    expect(await opened(on)).toHaveLength(2)
  })

  test('[SSF2, SSF3] nothing follows from what does not count, its sender hears a code, and it is on record', async () => {
    const on = await stage()
    const token = await on.gate.token({ org: 'acme', sub: 'ann' })
    expect(await useOf(on, token)).toBe(200)
    const [, payload = ''] = (await revoked(on)).split('.')
    const now = Math.floor(Date.now() / 1000)
    const wrong: readonly (readonly [token: string, err: string])[] = [
      [`${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${payload}.`, 'invalid_key'],
      [await on.gate.issuer.signText(JSON.stringify(on.idp.claims('session-revoked', ann)), { typ: 'secevent+jwt', kid: 'ssf-1' }), 'invalid_key'],
      [await on.idp.signClaims(on.idp.claims('session-revoked', ann), { typ: 'jwt' }), 'invalid_request'],
      [await revoked(on, { aud: 'https://siem.example' }), 'invalid_audience'],
      [await revoked(on, { iss: LOGIN }), 'invalid_issuer'],
      [await revoked(on, { iat: now + 120 }), 'invalid_request'],
      [await revoked(on, { exp: now + 120 }), 'invalid_request'],
      [await revoked(on, { events: { [`${CAEP}session-revoked`]: { event_timestamp: now + 120 } } }), 'invalid_request'],
      [await revoked(on, { sub_id: { ...ann, iss: 'https://other.example' } }), 'access_denied'],
      ['a'.repeat(1024 * 1024), 'invalid_request'],
      ['', 'invalid_request'],
    ]
    for (const [text, err] of wrong) {
      const answer = await push(on, text)
      expect([answer.status, answer.headers.get('content-type'), answer.headers.get('content-language')], `${err}: ${answer.text}`).toEqual([400, 'application/json', 'en'])
      expect(JSON.parse(answer.text)).toEqual({ err, description: expect.any(String) })
    }
    expect(await useOf(on, token)).toBe(200)
    expect(await opened(on)).toEqual([])
    expect(await metric(on, 'source="idp",event="",outcome="refused"')).toBe(9)
    await until(() => noise(on).includes('set_subject_foreign'), 'the refusals on record')
    for (const fault of ['set_algorithm_refused', 'set_type_refused', 'set_audience_refused', 'set_issuer_unknown', 'set_future_dated', 'set_claim_prohibited', 'set_event_future_dated', 'set_too_large', 'set_malformed']) expect(noise(on), fault).toContain(`"${fault}"`)
  })

  test('[SSF2] one of a megabyte that says nothing of its length is refused as well', async () => {
    const on = await stage()
    const body = new ReadableStream({ pull(controller) { controller.enqueue(new Uint8Array(16_384).fill(97)) } })
    const answer = await fetch(on.at('/ssf/events/idp'), { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/secevent+jwt', authorization: AUTHORIZATION } } as RequestInit).catch((error: unknown) => error)
    expect(answer instanceof Response ? answer.status : 'closed').toSatisfy(status => status === 400 || status === 'closed')
    expect((await push(on, await revoked(on))).status).toBe(202)
  })

  test('[SSF2] who does not show what it was told to is nobody, whatever it brings', async () => {
    const on = await stage()
    const token = await revoked(on)
    for (const authorization of ['', 'Bearer', AUTHORIZATION.toLowerCase(), `${AUTHORIZATION}x`]) {
      const answer = await push(on, token, { authorization })
      expect([answer.status, answer.headers.get('www-authenticate'), answer.headers.get('content-language')]).toEqual([401, 'Bearer', 'en'])
      expect(JSON.parse(answer.text)).toEqual({ err: 'authentication_failed', description: 'the transmitter did not show who it is' })
    }
    expect(on.idp.asked).toEqual([])
    expect(await opened(on)).toEqual([])
  })

  test('[SSF2] what is no push is none: another method, another type, another path', async () => {
    const on = await stage()
    const token = await revoked(on)
    expect((await fetch(on.at('/ssf/events/idp'))).status).toBe(405)
    expect((await push(on, token, { 'content-type': 'application/json' })).status).toBe(400)
    expect((await push(on, token, { 'content-encoding': 'gzip' })).status).toBe(400)
    for (const path of ['/ssf/events/other', '/ssf/events/', '/ssf/events/idp/x', '/ssf/events/%69dp', '/logout/other', '/elsewhere']) expect((await on.idp.push(on.at(path), token, { authorization: AUTHORIZATION })).status, path).toBe(404)
    expect(await opened(on)).toEqual([])
  })

  test('[SSF3] one that means nobody here is taken, and nothing is said of that', async () => {
    const on = await stage()
    expect(await push(on, await on.idp.signClaims(on.idp.claims('session-revoked', { ...ann, sub: 'nobody' })))).toMatchObject({ status: 202, text: '' })
    expect(await push(on, await on.idp.signClaims(on.idp.claims('session-revoked', { format: 'ip-addresses', 'ip-addresses': ['192.0.2.1'] })))).toMatchObject({ status: 202, text: '' })
  })

  test('[SSF2] a flood is told to come again before a signature of it is looked at, and only for so long', async () => {
    const on = await stage({ transmitter: ', perSecond: 2' })
    const token = await revoked(on, { jti: 'the-same' })
    const answers = await Promise.all(Array.from({ length: 40 }, () => push(on, token)))
    const statuses = answers.map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([202, 429]))
    expect(statuses.filter(status => status === 202).length).toBeGreaterThanOrEqual(20)
    expect(answers.find(({ status }) => status === 429)?.headers.get('retry-after')).toBe('1')
    await eventually('it is let in again', 5_000, async () => ((await push(on, token)).status === 202 ? 'in' : null))
  })

  test('[SSF2, OUT1] a store that does not take it says try again, and it is taken then', async () => {
    let fails = false
    const on = await stage({
      wrapStore: store => new Proxy(store, {
        get(target, name) {
          const own = Reflect.get(target, name, target) as unknown
          if (typeof own !== 'function') return own
          return (...given: unknown[]) => (fails && (name === 'commit' || name === 'commitRestrictive') ? Promise.reject(new Error('the disk is full')) : Reflect.apply(own, target, given) as unknown)
        },
      }),
    })
    const token = await revoked(on)
    fails = true
    const answer = await push(on, token)
    expect([answer.status, answer.headers.get('retry-after'), answer.text]).toEqual([503, '5', ''])
    fails = false
    expect((await push(on, token)).status).toBe(202)
    expect(await opened(on)).toHaveLength(1)
  })

  test('[SSF2] a transmitter that a reload takes away is nobody from then on; one whose secret changes shows the new one', async () => {
    const on = await stage()
    writeFileSync(join(on.gate.directory, 'authorization'), 'Bearer the-next', { mode: 0o600 })
    await on.gate.gateway.reload('test')
    expect((await push(on, await revoked(on))).status).toBe(401)
    expect((await push(on, await revoked(on), { authorization: 'Bearer the-next' })).status).toBe(202)
    writeFileSync(on.gate.configFile, readFileSync(on.gate.configFile, 'utf8').replace(/ {2}ssf:\n.*\n/, ''))
    await on.gate.gateway.reload('test')
    expect((await push(on, await revoked(on), { authorization: 'Bearer the-next' })).status).toBe(404)
  })
})

describe('pushed to one of two gateways', () => {
  test('[SSF2, OUT1] a revocation cuts what is open on the other one, and is none when it comes again there', async () => {
    const [server, idp, upstream] = [await RedisServer.start(), await SsfTransmitter.start(), await TapUpstream.start()]
    const { a, b, trail, stop } = await TestGateway.pair(server, planOf(idp, upstream, ''))
    closing.push(() => server.dispose(), () => idp.close(), () => upstream.close(), stop)
    const [first, second] = [stageOf(a, upstream, idp), stageOf(b, upstream, idp)]
    const stream = await takeOff(b, upstream, 'sse', 'base', await a.token({ org: 'acme', sub: 'ann' }))
    closing.push(async () => stream.client.close())
    const token = await revoked(first)
    expect((await push(first, token)).status).toBe(202)
    await stream.client.response('GET').catch(() => null)
    expect((await push(second, token)).status).toBe(202)
    const facts = (await trail()).flatMap(({ fact }) => (fact === undefined ? [] : [(fact as { what: string }).what])) // lines of kind `fact` have one
    expect(facts.filter(what => what === 'session.revoked' || what === 'anchor.opened')).toEqual(['anchor.opened', 'session.revoked'])
  })
})

describe('logged out', () => {
  test('[LGO2, OUT2] a logout of a session ends that one, a logout of a user all of them', async () => {
    const on = await stage()
    const [one, two] = [await on.gate.token({ org: 'acme', sub: 'ann', sid: 's-1' }), await on.gate.token({ org: 'acme', sub: 'ann', sid: 's-2' })]
    for (const token of [one, two]) expect(await useOf(on, token)).toBe(200)
    const answer = await logout(on, { sid: 's-1' })
    expect([answer.status, answer.text, answer.headers.get('cache-control')]).toEqual([200, '', 'no-store'])
    await eventually('the session is over', 5_000, async () => ((await useOf(on, one)) === 'credential_revoked' ? 'over' : null))
    expect(await useOf(on, two)).toBe(200)
    expect((await logout(on, { sub: 'ann' })).status).toBe(200)
    await eventually('the other one is over', 5_000, async () => ((await useOf(on, two)) === 'revoked_outside' ? 'over' : null))
    expect(await metric(on, 'source="sso",event="logout",outcome="taken"')).toBe(2)
  })

  test('[LGO2] what is no logout ends nothing, and is answered as the standard has it', async () => {
    const on = await stage()
    const token = await on.gate.token({ org: 'acme', sub: 'ann', sid: 's-1' })
    expect(await useOf(on, token)).toBe(200)
    const wrong = [
      await logout(on, { sid: 's-1', nonce: 'n' }), await logout(on, { sid: 's-1', aud: 'other' }), await logout(on, { sid: 's-1', events: {} }), await logout(on, {}), await logout(on, { sid: 's-1', exp: 1 }),
      await logout(on, { sid: 's-1' }, text => `token=${text}`), await logout(on, { sid: 's-1' }, text => `logout_token=${text}&logout_token=${text}`), await logout(on, { sid: 's-1' }, text => `logout_token=${text}${'x'.repeat(70_000)}`),
    ]
    for (const { status, text, headers } of wrong) {
      expect([status, headers.get('cache-control'), headers.get('content-type')]).toEqual([400, 'no-store', 'application/json'])
      expect(JSON.parse(text)).toEqual({ error: 'invalid_request', error_description: 'this is no logout token that counts here' })
    }
    expect((await fetch(on.at('/logout/sso'))).status).toBe(405)
    expect(await useOf(on, token)).toBe(200)
    expect(await opened(on)).toEqual([])
  })

  test('[LGO2, OUT1] one that comes again is answered as the first time', async () => {
    const on = await stage()
    for (const _ of [1, 2]) expect((await logout(on, { sub: 'ann', jti: 'the-same' })).status).toBe(200)
    expect(await opened(on)).toHaveLength(1)
  })
})
