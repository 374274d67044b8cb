// What has to be taken back is in the store before it is used, sealed; what a gateway leaves that was killed is taken back by another one, or by its next start.
// SPEC: CRD5, CRD8, CRD9
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Item, SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { CLIENT_SECRET, TokenService } from '../support/token-service.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { ChildGateway } from '../wire/child-gateway.ts'
import { pause } from '../wire/support.ts'

let service: TokenService
let upstream: RecordingUpstream
let issuer: TokenIssuer
let directory: string
let secretFile: string
const stops: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  ;[service, upstream, issuer] = await Promise.all([TokenService.start(), RecordingUpstream.start(), TokenIssuer.create()])
  directory = mkdtempSync(join(tmpdir(), 'ng-secret-'))
  secretFile = join(directory, 'client-secret')
  writeFileSync(secretFile, CLIENT_SECRET, { mode: 0o600 })
})
afterEach(async () => {
  service.behaviours.clear()
  service.asked.length = 0
  upstream.forget()
  for (const stop of stops.splice(0).reverse()) await stop()
})
afterAll(async () => {
  await Promise.all([service.close(), upstream.close()])
  rmSync(directory, { recursive: true, force: true })
})

const plan = (store?: string): GatewayPlan => ({
  routes: '- { name: crm, upstream: crm, rules: [{ allow: { paths: [/base/**] }, scope: base:read }, { allow: {}, scope: extra:use }] }',
  elevations: 'long: { adds: [extra:use], for: 10m }',
  baseline: '[{ scopes: [base:read] }]',
  more: `
upstreams:
  crm: { url: "${upstream.origin}", credential: { clientCredentials: { tokenUrl: "${service.origin}/token", clientId: gateway, clientSecretFile: ${secretFile} }, revoke: { url: "${service.origin}/token/revocation", alarmAfter: 2s } } }
`,
  ...(store === undefined ? {} : { store }),
})

let made = 0
async function someone(): Promise<string> { return issuer.sign({ sub: `user-${++made}`, sid: `s-${made}`, jti: `j-${made}` }) }

async function asked(port: number, token: string, method: string, path: string, body: object | null = null): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...(body === null ? {} : { 'content-type': 'application/json' }) }, ...(body === null ? {} : { body: JSON.stringify(body) }) })
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> } // all that is asked here answers with an object
}

/** A caller with an elevation, whose credential somebody captured. */
async function captured(port: number): Promise<{ readonly token: string; readonly elevation: string; readonly header: string }> {
  const token = await someone()
  const { json } = await asked(port, token, 'POST', '/.narrowgate/elevations', { profile: 'long' })
  expect((await asked(port, token, 'GET', `/a/${made}`)).status).toBe(200)
  const [header = ''] = upstream.requests.findLast(({ path }) => path === `/a/${made}`)?.header('authorization') ?? []
  expect(await service.direct(header)).toBe(200)
  return { token, elevation: String(json['id']), header }
}

const takenBack = (header: string, ms: number): Promise<true> => eventually('it is taken back', ms, async () => ((await service.direct(header)) === 401 ? true : null))

type Setting = readonly [name: string, store: () => Promise<string | undefined>]
const SETTINGS: readonly Setting[] = [
  ['embedded', () => Promise.resolve(undefined)],
  ...(inject('redisServer') === null ? [] : [['redis', async () => {
    const server = await RedisServer.start()
    stops.push(() => server.dispose())
    return storeAt(server)
  }] as const]),
]

async function raise(store: string | undefined, wrapStore: (store: SessionStore) => SessionStore = own => own): Promise<TestGateway> {
  const gate = await TestGateway.start({ ...plan(store), config: ({ directory }) => configOf(directory, store), upstream, issuer, wrapStore })
  stops.push(() => gate.stop())
  return gate
}

/** As a process of its own has it. */
function configOf(directory: string, store: string | undefined): string {
  const { routes, elevations = '', baseline = '', more = '' } = plan(store)
  return `
version: 1
stateDir: ${directory}/state
server:
  workers: 1
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent } }
sessions: { baseline: ${baseline} }
telemetry: { logs: { level: silent } }
routes:
  ${routes}
elevations:
  ${elevations}
${more}`
}

/** A store that does something else with what is to be queued. */
const queueing = (enqueue: (item: Item) => Promise<'queued' | 'full'>) => (store: SessionStore): SessionStore =>
  new Proxy(store, { get: (target, name) => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'enqueue') return (_: string, item: Item) => enqueue(item)
    return typeof member === 'function' ? (...args: unknown[]) => Reflect.apply(member, target, args) as unknown : member
  } })

test.skipIf(inject('redisServer') === null)('[CRD5, CRD9] what a server lost of it when it came back is put there again, by whoever holds it', async () => {
  const server = await RedisServer.start()
  stops.push(() => server.dispose())
  const gate = await raise(storeAt(server))
  const { token, header } = await captured(gate.target.port)
  const { id } = await gate.session(token)
  const waits = async (): Promise<number> => (await gate.parts.store.waiting(`brokered/${id.at(-1) ?? ''}`, 10)).items.length
  const lost = ((await server.command('KEYS', `*brokered/${id.at(-1) ?? ''}`)) as readonly string[]).filter(key => /[wv]:brokered/.test(key))
  expect([lost.length, await server.command('DEL', ...lost), await waits()]).toEqual([2, 2, 0])
  await server.command('SAVE')
  await server.restart()
  await eventually('it is there again', 20_000, async () => ((await waits().catch(() => 0)) === 1 ? true : null))
  expect(await service.direct(header)).toBe(200)
}, 60_000)

describe.each(SETTINGS)('over the %s store', (_, storeOf) => {
  test('[CRD5] what taking it back needs lies there before it is used: names of ours in clear, all else sealed', async () => {
    const gate = await raise(await storeOf())
    const { token, elevation, header } = await captured(gate.target.port)
    const { id } = await gate.session(token)
    const { items } = await gate.parts.store.waiting(`brokered/${id.at(-1) ?? ''}`, 10)
    expect(items).toHaveLength(1)
    const text = items[0]?.text ?? ''
    const { sealed, key, ...clear } = JSON.parse(text) as Record<string, unknown>
    expect(clear).toEqual({ id: expect.stringMatching(/^cred_/), upstream: 'crm', session: id, elevation, expiresAt: expect.any(Number) })
    expect([typeof sealed, typeof key]).toEqual(['string', 'string'])
    for (const secret of [header.replace('Bearer ', ''), CLIENT_SECRET]) for (const form of [secret, btoa(secret)]) expect(text).not.toContain(form)
    await gate.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'x' })
    await takenBack(header, 10_000)
    await eventually('it waits no more', 10_000, async () => ((await gate.parts.store.waiting(`brokered/${id.at(-1) ?? ''}`, 10)).items.length === 0 ? true : null))
  })

  test.each<readonly [string, () => Promise<'full'>]>([
    ['fails', () => Promise.reject(new StoreFault('unreachable', 'it is down'))],
    ['has no room', () => Promise.resolve('full')],
  ])('[CRD5] where the store %s, what was obtained is not used, and taken back at once', async (_what, enqueue) => {
    const gate = await raise(await storeOf(), queueing(enqueue))
    const token = await someone()
    await asked(gate.target.port, token, 'POST', '/.narrowgate/elevations', { profile: 'long' })
    const before = upstream.receivedBytes
    const { status, json } = await asked(gate.target.port, token, 'GET', '/a/x')
    expect([status, json['reason'], upstream.receivedBytes]).toEqual([503, 'credential_unavailable', before])
    await eventually('the revocation', 10_000, async () => (service.at('/token/revocation').some(({ status: told }) => told === 200) ? true : null))
    const revoked = new URLSearchParams(service.at('/token/revocation')[0]?.body).get('token') ?? ''
    expect(revoked).toMatch(/^[\w-]{20,}$/)
    expect(await service.direct(revoked)).toBe(401)
  })

  test('[CRD9] what a gateway holds that is killed is taken back when its elevation ends elsewhere, or behind the next start', async () => {
    const store = await storeOf()
    const other = store === undefined ? null : await raise(store)
    const child = await ChildGateway.start(plan(store), issuer)
    stops.push(() => child.dispose())
    const { elevation, header } = await captured(child.target.port)
    await child.kill()
    const next = other ?? (await TestGateway.start({ ...plan(), config: () => readFileSync(join(child.directory, 'gateway.yaml'), 'utf8'), directory: child.directory, upstream, issuer }))
    if (other === null) stops.push(() => next.stop())
    await pause(3_500) // longer than what is left is left alone
    expect(await service.direct(header), 'what is not over stays').toBe(200)
    expect((await next.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'x' })).status).toBe(200)
    await takenBack(header, 20_000)
    const told = await eventually('the record', 10_000, async () => (await next.trail()).find(({ kind, elevation: of }) => kind === 'credential.revoked' && of === elevation) ?? null)
    expect(told['ms']).toBeGreaterThanOrEqual(2_000)
  }, 60_000)

  test('[CRD9] what a gateway holds that is killed is taken back as soon when a lock denies its session, of which that is no news', async () => {
    const store = await storeOf()
    const other = store === undefined ? null : await raise(store)
    const child = await ChildGateway.start(plan(store), issuer)
    stops.push(() => child.dispose())
    const { token, header } = await captured(child.target.port)
    const { json: { id } } = await asked(child.target.port, token, 'GET', '/.narrowgate/session')
    await child.kill()
    const next = other ?? (await TestGateway.start({ ...plan(), config: () => readFileSync(join(child.directory, 'gateway.yaml'), 'utf8'), directory: child.directory, upstream, issuer }))
    if (other === null) stops.push(() => next.stop())
    await pause(3_500) // behind its look at its start
    expect(await service.direct(header), 'what is not over stays').toBe(200)
    expect((await next.admin('POST', '/v1/locks', { selector: { session: id }, reason: 'x' })).status).toBeLessThan(300)
    await takenBack(header, 15_000)
  }, 60_000)

  test('[CRD8, CRD9] one who is killed while nobody confirms leaves it to the others', async () => {
    const store = await storeOf()
    const other = store === undefined ? null : await raise(store)
    const child = await ChildGateway.start(plan(store), issuer)
    stops.push(() => child.dispose())
    const { token, elevation, header } = await captured(child.target.port)
    service.behaviours.set('/token/revocation', 503)
    expect((await asked(child.target.port, token, 'POST', `/.narrowgate/elevations/${elevation}/release`, {})).status).toBe(200)
    await eventually('an attempt', 10_000, async () => (service.at('/token/revocation').length > 0 ? true : null))
    await child.kill()
    const next = other ?? (await TestGateway.start({ ...plan(), config: () => readFileSync(join(child.directory, 'gateway.yaml'), 'utf8'), directory: child.directory, upstream, issuer }))
    if (other === null) stops.push(() => next.stop())
    service.behaviours.clear()
    await takenBack(header, 50_000)
  }, 90_000)
})
