// Where a decision for somebody else would rest on what nobody knows now there is none: the answer is an error, and whoever asks keeps the door shut.
// And what one gateway's news makes of another's answers. SPEC: PDP2
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { entryFor, newToken } from '../../src/admin/first-token.ts'
import { NO_TALLY } from '../../src/sessions/change.ts'
import { principalName } from '../../src/runtime/principal-name.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { asker } from '../support/decisions.ts'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { json, Service } from '../unit/identity/service.ts'
import { decisionsPlan, EVALUATIONS, evaluate, ofSession, question, told } from './decisions-stage.ts'

const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function started(plan: GatewayPlan): Promise<TestGateway> {
  const gate = await TestGateway.start(plan)
  closing.push(() => gate.stop())
  return gate
}

const USER = { type: 'user', id: 'una' }
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const reasonOf = async (gate: TestGateway, ...asked: Parameters<typeof told> extends [unknown, ...infer Rest] ? Rest : never): Promise<unknown> => {
  const { decision, context } = await told(gate, ...asked)
  return decision ? 'permit' : context['reason']
}

describe('what nobody knows', () => {
  const store = { until: Infinity, down: false }
  const driven = (real: SessionStore): SessionStore => new Proxy(real, {
    get: (target, name): unknown => {
      if (name === 'confirmedUntil') return () => store.until
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return name === 'load' || name === 'find' ? (...given: unknown[]): unknown => (store.down ? Promise.reject(new StoreFault('failed', 'nobody answers')) : Reflect.apply(member, target, given)) : member.bind(target)
    },
  })

  test('[PDP2] without proof that its knowledge is fresh the gateway decides nothing, also for those it would deny', async () => {
    const gate = await started({ ...decisionsPlan(), wrapStore: driven })
    const { id } = await gate.session(await gate.token())
    store.until = gate.parts.clock.elapsed()
    const allowed = await evaluate(gate, question(ofSession(id), 'GET', '/read'))
    const ofUser = await evaluate(gate, question(USER, 'GET', '/read'))
    const batch = await asker(gate, 'app').post(EVALUATIONS, { ...question(ofSession(id), 'GET', '/read'), evaluations: [{}, {}] })
    const search = await asker(gate, 'app').post('/access/v1/search/action', question(ofSession(id), 'GET', '/read'))
    store.until = Infinity
    for (const { status, json: text } of [allowed, ofUser, search]) expect({ status, text }).toEqual({ status: 503, text: expect.stringMatching(/fresh/) })
    expect(batch).toMatchObject({ status: 200, json: { evaluations: [{ decision: false, context: { error: { status: 503 } } }, { decision: false, context: { error: { status: 503 } } }] } })
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_decisions_total\{pep="app",decision="error",reason="stale"\} \d/)
    expect(await reasonOf(gate, ofSession(id), 'GET', '/read')).toBe('permit')
  })

  test('[PDP2] a store that does not answer leaves open who a session is, and how far a principal is trusted: no decision', async () => {
    const gate = await started({ ...decisionsPlan(), wrapStore: driven })
    const { id } = await gate.session(await gate.token())
    store.down = true
    const known = await evaluate(gate, question(ofSession(id), 'GET', '/read'))
    const unknown = await evaluate(gate, question(ofSession(`ses_${'a'.repeat(26)}`), 'GET', '/read'))
    const ofUser = await evaluate(gate, question(USER, 'GET', '/read'))
    store.down = false
    expect([known.status, unknown.status, ofUser.status]).toEqual([200, 503, 503])
  })

  test('[PDP2] behind a restart nobody knows what a session may do before it showed its credential again; that it has ended is known', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-decisions-'))
    closing.push(() => rmSync(directory, { recursive: true, force: true }))
    const first = await TestGateway.start({ ...decisionsPlan(), directory })
    const { issuer, upstream } = first
    const [token, over] = [await first.token({ role: 'lead' }), await first.token()]
    const [{ id }, ended] = [await first.session(token), await first.session(over)]
    await first.admin('POST', `/v1/sessions/${ended.id}/terminate`, { reason: 'test' })
    await first.gateway.close('test')
    closing.push(() => upstream.close())
    const gate = await started({ ...decisionsPlan(), directory, issuer, upstream })
    const ask = (subject: string, path: string) => evaluate(gate, question(ofSession(subject), 'POST', path))
    expect(await ask(id, '/lead')).toMatchObject({ status: 503, json: expect.stringMatching(/has not seen a credential/) })
    expect(await ask(id, '/never')).toMatchObject({ status: 200, json: { decision: false, context: { reason: 'denied' } } })
    expect(await ask(id, '/public')).toMatchObject({ status: 200, json: { decision: true } })
    expect(await ask(ended.id, '/lead')).toMatchObject({ status: 200, json: { decision: false, context: { reason: 'revoked' } } })
    const search = await asker(gate, 'app').post('/access/v1/search/subject', { ...question(ofSession('any'), 'POST', '/lead'), subject: { type: 'session' } })
    expect(search.json).toMatchObject({ results: [] })
    expect((await gate.ask('POST', '/lead', bearer(token))).status).toBe(200)
    expect(await ask(id, '/lead')).toMatchObject({ status: 200, json: { decision: true } })
  })

  test('[PDP2] a session that its next request would find idle is over, whoever looked last', async () => {
    const clock = new ShiftedClock(new Date().toISOString())
    const gate = await started({ ...decisionsPlan(), clock })
    const token = await gate.issuer.sign({ jti: 'idle' }, { lifetime: 24 * 3600 })
    const { id } = await gate.session(token)
    expect(await reasonOf(gate, ofSession(id), 'GET', '/read')).toBe('permit')
    clock.shift += gate.parts.mirror.policy.sessions.idle + 1_000
    expect(await reasonOf(gate, ofSession(id), 'GET', '/read')).toBe('idle')
  })

  test('[PDP2] a rule that asks a decision point of its own is not decided without it', async () => {
    const gate = await started(decisionsPlan({
      more: 'pdps: { central: { url: "https://127.0.0.1:9", discover: false } }',
      routes: '  - name: asking\n    match: { host: asking.test }\n    upstream: "http://127.0.0.1:9"\n    authn: [login]\n    rules: [{ allow: {}, scope: base:read, decision: { pdp: central } }]',
    }))
    const { id } = await gate.session(await gate.token())
    const at = { resource: { type: 'route', id: '/x', properties: { host: 'asking.test' } } }
    for (const subject of [ofSession(id), USER]) expect(await evaluate(gate, { ...question(subject, 'GET', '/x'), ...at })).toMatchObject({ status: 503, json: expect.stringMatching(/decision point of its own/) })
    expect((await evaluate(gate, { ...question({ type: 'user', id: ' ' }, 'GET', '/x'), ...at })).json).toMatchObject({ decision: false })
  })
})

test('[PDP2] how far a principal is trusted everywhere counts for what it could do here, though nothing of it is in memory', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-decisions-'))
  closing.push(() => rmSync(directory, { recursive: true, force: true }))
  const plan = { ...decisionsPlan({ more: 'risk: { levels: [{ name: held, at: 50, do: [freeze] }] }' }), directory }
  const first = await TestGateway.start(plan)
  const { issuer, upstream } = first
  const { key } = await first.session(await first.token({ sub: 'una' }))
  const { client = '' } = first.parts.mirror.peek(key)?.record.principal ?? {}
  const id = principalName({ issuer: issuer.issuer, tenant: '', subject: 'una', client })
  const plain = { type: 'plain', id: 'una', properties: { client } }
  expect(await reasonOf(first, plain, 'GET', '/read')).toBe('permit')
  expect((await first.admin('POST', `/v1/principals/${id}/risk`, { name: 'siem', points: 60, reason: 'test' })).status).toBeLessThan(300)
  await expect.poll(() => reasonOf(first, plain, 'GET', '/read')).toBe('frozen')
  await first.gateway.close('test')
  closing.push(() => upstream.close())
  const gate = await started({ ...plan, issuer, upstream })
  expect(gate.parts.mirror.size).toBe(0)
  expect(await reasonOf(gate, plain, 'GET', '/read')).toBe('frozen')
  expect(await reasonOf(gate, USER, 'GET', '/read')).toBe('permit') // of a tenant, so somebody else
})

test('[PDP2] a credential that only its issuer can tell of vouches for a session as long as it was heard of; a route that does not take it is denied', async () => {
  const service = await Service.start()
  closing.push(() => service.close())
  service.answer = (response, one) => json({ active: true, sub: 'agent', aud: 'narrowgate', sid: new URLSearchParams(one.body).get('token'), exp: Math.floor(Date.now() / 1000) + 3_600 })(response, one)
  const clock = new ShiftedClock(new Date().toISOString())
  const room = mkdtempSync(join(tmpdir(), 'ng-secret-'))
  closing.push(() => rmSync(room, { recursive: true, force: true }))
  const secret = join(room, 'secret')
  writeFileSync(secret, 'secret', { mode: 0o600 })
  const gate = await started({ ...decisionsPlan({
    authn: `  opaque: { introspection: { url: "${service.url}/introspect", clientId: gate, clientSecretFile: ${secret}, audience: narrowgate, freshness: 10s } }`,
    routes: '  - name: opaque\n    match: { host: opaque.test }\n    upstream: "http://127.0.0.1:9"\n    authn: [opaque]\n    rules: [{ allow: {}, scope: base:read }]',
  }), clock })
  await gate.ask('GET', '/x', { host: 'opaque.test', ...bearer('opaque-token') })
  const live = [...gate.parts.mirror.all()][0]
  const id = live?.record.id ?? ''
  const at = (host: string) => evaluate(gate, { ...question(ofSession(id), 'GET', '/x'), resource: { type: 'route', id: '/x', properties: { host } } })
  const fresh = await at('opaque.test')
  expect(fresh).toMatchObject({ status: 200, json: { decision: true, context: { expires_at: new Date((live?.lastSeen ?? 0) + 10_000).toISOString() } } })
  expect(await at('other.test')).toMatchObject({ status: 200, json: { decision: false, context: { reason: 'credential_invalid' } } })
  clock.shift += 11_000
  expect(await at('opaque.test')).toMatchObject({ status: 503, json: expect.stringMatching(/fresh/) })
})

test('[PDP2] whom an issuer knows in any letters is known by small ones, for locks too, and by what others call its sessions', async () => {
  const gate = await started(decisionsPlan({
    authn: '  folding: { jwt: { issuer: "https://folds.example", audience: narrowgate, jwksUri: "https://folds.example/keys" }, subjectCase: fold }',
    routes: '  - name: folding\n    match: { host: folding.test }\n    upstream: "http://127.0.0.1:9"\n    authn: [folding]\n    rules: [{ allow: {}, scope: base:read }]',
    principals: '    - { type: folded, issuer: "https://folds.example", claims: { email: body.subject.properties.email } }', names: '{ email: email }',
  }))
  const ask = async (id: string, email: string): Promise<unknown> => {
    const { json: answer } = await evaluate(gate, { ...question({ type: 'folded', id, properties: { email } }, 'GET', '/x'), resource: { type: 'route', id: '/x', properties: { host: 'folding.test' } } })
    return (answer as { context: { reason?: string } }).context.reason ?? 'permit'
  }
  expect(await ask('Bob', 'bob@example.org')).toBe('permit')
  await gate.admin('POST', '/v1/locks', { selector: { subject: 'https://folds.example|bob' }, reason: 'test' })
  expect(await ask('BOB', 'bob@example.org')).toBe('locked')
  expect(await ask('eve', 'eve@example.org')).toBe('permit')
  const [value = ''] = gate.parts.identifier.aliases('https://folds.example', { email: 'eve@example.org' })
  expect((await gate.admin('POST', '/v1/locks', { selector: { alias: value }, reason: 'test' })).status).toBeLessThan(300)
  expect(await ask('eve', 'eve@example.org')).toBe('locked')
  expect(await ask('eve', 'eva@example.org')).toBe('permit')
})

test('[PDP2] a denial that news on its way may turn is not told before the store was asked', async () => {
  const server = await RedisServer.start()
  closing.push(() => server.stop())
  const { a, b, stop } = await TestGateway.pair(server, decisionsPlan({ elevations: '  extra: { adds: [extra:write], for: 10m }' }))
  closing.push(stop)
  const token = await a.token()
  const { id } = await a.session(token)
  expect((await b.ask('GET', '/read', bearer(token))).status).toBe(200)
  const heard = vi.spyOn(b.parts.mirror, 'heard').mockResolvedValue(NO_TALLY)
  await a.elevate(token, 'extra')
  expect(b.parts.mirror.byId(id)?.record.elevations).toEqual([])
  expect((await evaluate(b, question(ofSession(id), 'POST', '/write'))).json).toMatchObject({ decision: true })
  heard.mockRestore()
})

test('[PDP2] what one gateway is told is at once in the answers of another', async () => {
  const server = await RedisServer.start()
  closing.push(() => server.stop())
  const { a, b, stop } = await TestGateway.pair(server, decisionsPlan({ elevations: '  extra: { adds: [extra:write], for: 10m }' }))
  closing.push(stop)
  const token = await a.token({ role: 'lead' })
  const { id } = await a.session(token)
  const onB = (path: string) => evaluate(b, question(ofSession(id), 'POST', path)).then(({ status, json: told }) => (status === 200 ? told : status))
  expect(await onB('/lead')).toBe(503) // its credential was never there
  expect((await b.ask('GET', '/read', bearer(token))).status).toBe(200)
  expect(await onB('/lead')).toMatchObject({ decision: true })
  expect(await onB('/write')).toMatchObject({ decision: false, context: { reason: 'elevation_required' } })
  const elevation = await a.elevate(token, 'extra')
  expect(await onB('/write')).toMatchObject({ decision: true, context: { elevation_id: elevation } })
  await a.admin('POST', `/v1/sessions/${id}/narrow`, { reason: 'test' })
  expect(await onB('/write')).toMatchObject({ decision: false, context: { reason: 'narrowed' } })
  await a.admin('POST', `/v1/sessions/${id}/freeze`, { reason: 'test' })
  expect(await onB('/lead')).toMatchObject({ decision: false, context: { reason: 'frozen' } })
  await a.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'test' })
  expect(await onB('/lead')).toMatchObject({ decision: false, context: { reason: 'revoked' } })
})

test('[PDP2] a broker’s session is known on every gateway by what its broker said: bound as it was opened, and only where its token is taken', async () => {
  const server = await RedisServer.start()
  closing.push(() => server.stop())
  const boss = newToken()
  const roomOf = (): string => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-decisions-'))
    closing.push(() => rmSync(directory, { recursive: true, force: true }))
    mkdirSync(join(directory, 'state'), { mode: 0o700 })
    writeFileSync(join(directory, 'state', 'admin.token'), `${boss}\n`, { mode: 0o600 })
    writeFileSync(join(directory, 'tokens.json'), JSON.stringify({ tokens: [{ ...entryFor(boss, 'boss', ['operator', 'broker'], 'ops|boss'), expires: undefined }] }), { mode: 0o600 })
    return directory
  }
  const planIn = (directory: string): GatewayPlan => ({
    ...decisionsPlan({
      more: `admin: { auth: { tokenFile: ${directory}/tokens.json } }\nbrokers: { desk: { who: [boss], may: "true", max: 1h, bind: optional } }`, authn: '  tasks: { sessionToken: {} }',
      routes: '  - name: tasks\n    match: { host: tasks.test }\n    upstream: "http://127.0.0.1:9"\n    authn: [tasks]\n    rules: [{ allow: { methods: [GET] }, scope: base:read }, { allow: { methods: [POST] }, scope: lead:do }]',
    }), directory, store: storeAt(server),
  })
  const a = await started(planIn(roomOf()))
  const b = await started({ ...planIn(roomOf()), issuer: a.issuer, upstream: a.upstream })
  const open = async (more: object): Promise<string> => {
    const { status, json: opened, text } = await a.admin('POST', '/v1/sessions', { subject: { kind: 'agent', subject: 'task', tenant: 'acme', claims: { role: 'lead' } }, reason: 'test', ...more })
    if (status !== 201) throw new Error(`${status} ${text}`)
    return String(opened['session'])
  }
  const at = (gate: TestGateway, id: string, method: string, host: string, context: object = {}) => evaluate(gate, { ...question(ofSession(id), method, '/x', { ...context }), resource: { type: 'route', id: '/x', properties: { host } } }).then(({ json: answer }) => answer)
  const free = await open({})
  for (const gate of [a, b]) {
    expect(await at(gate, free, 'POST', 'tasks.test')).toMatchObject({ decision: true, context: { session: free } })
    expect(await at(gate, free, 'GET', 'other.test')).toMatchObject({ decision: false, context: { reason: 'credential_invalid' } })
  }
  const bound = await open({ scopes: ['base:read'], bind: { source: '192.0.2.1' } })
  expect(await at(b, bound, 'GET', 'tasks.test')).toMatchObject({ decision: false, context: { reason: 'binding_broken' } })
  expect(await at(b, bound, 'GET', 'tasks.test', { ip: '192.0.2.1' })).toMatchObject({ decision: true })
  expect(await at(b, bound, 'POST', 'tasks.test', { ip: '192.0.2.1' })).toMatchObject({ decision: false, context: { reason: 'elevation_required' } })
})
