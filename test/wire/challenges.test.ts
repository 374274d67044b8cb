// How a caller finds out what is asked of it: metadata of protected resources, challenges that point there, and stronger sign-ins for single rules, over
// HTTP/1.1 and HTTP/2. Nothing of it opens a session or reaches an upstream. SPEC: WIRE25, WIRE9, BND6
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PROOF_ALGORITHMS } from '../../src/identity/dpop/algorithms.ts'
import { sha256 } from '../../src/runtime/id.ts'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { call, DpopKey, type Heard, sessionsOf, WIRES } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { exchangesOf, type Tap, TapUpstream, until } from './support.ts'

const ORIGIN = 'https://api.test'
const WELL_KNOWN = '/.well-known/oauth-protected-resource'
const KEY = 'key-one'
const PAGE = 'https://app.example'
const MAX_AGE = 2_000
let upstream: TapUpstream
let gate: TestGateway

async function plan(origin: string): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  return {
    routes: '', tls: true,
    config: ({ directory, issuer }) => {
      writeFileSync(join(directory, 'keys.yaml'), `keys: [{ id: one, sha256: ${sha256(KEY)}, subject: one }]`, { mode: 0o600 })
      writeFileSync(join(directory, 'secret'), 'secret', { mode: 0o600 })
      const jwt = (named: string, more: string): string => `{ jwt: { issuer: "${named}", audience: narrowgate, jwksFile: ${directory}/jwks.json${more} }, kind: person }`
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${certFile}, keyFile: ${keyFile} } }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: jwks, address: "127.0.0.1:0", serves: [keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: ${jwt(issuer.issuer, ', dpop: optional, mtls: optional')}
  strict: ${jwt('https://strict.example', ', dpop: required')}
  opaque: { introspection: { url: "https://opaque.example/introspect", clientId: gate, clientSecretFile: ${directory}/secret, issuer: "https://opaque.example", clients: [app] } }
  keys: { apiKey: { keysFile: ${directory}/keys.yaml }, kind: ci }
sessions: { baseline: [{ scopes: [base:read, unused:read] }, { when: "subject.claims.role == 'boss'", scopes: [boss:read] }] }
telemetry: { logs: { level: silent } }
upstreams: { app: { url: "${origin}", timeout: 5s } }
elevations: { writer: { adds: [api:write], for: 5m } }
routes:
  - name: api
    match: { host: api.test, path: "/api/**" }
    upstream: app
    authn: [login, opaque]
    cors: { origins: ["${PAGE}"] }
    rules:
      - { allow: { methods: [GET], paths: ["/api/boss"] }, scope: boss:read }
      - { allow: { methods: [GET] }, scope: base:read }
      - { allow: { methods: [POST] }, scope: api:write }
  - { name: strict, match: { host: api.test, path: "/strict/**" }, upstream: app, authn: [strict], rules: [{ allow: {}, scope: base:read }] }
  - { name: teams, match: { host: api.test, path: "/teams/{team}/files/**" }, upstream: app, authn: [login], rules: [{ allow: {} }] }
  - name: payroll
    match: { host: api.test, path: "/payroll/**" }
    upstream: app
    authn: [login, keys]
    rules:
      - { allow: { paths: ["/payroll/gold"] }, requireAuth: { acr: ["urn:acr:gold", silver] } }
      - { allow: { paths: ["/payroll/recent/**"] }, requireAuth: { acr: ["urn:acr:gold"], maxAge: 2s } }
      - { allow: { paths: ["/payroll/plain/**"] }, scope: base:read }
  - { name: machines, match: { host: "*.machines.test" }, upstream: app, authn: [keys], rules: [{ allow: {} }] }
`
    },
  }
}

beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(await plan(upstream.origin))
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

const DPOP = { dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS.keys()] }
const API = {
  resource: `${ORIGIN}/api`, authorization_servers: ['https://login.example', 'https://opaque.example'], scopes_supported: ['boss:read', 'base:read'], bearer_methods_supported: ['header'],
  ...DPOP, dpop_bound_access_tokens_required: false, tls_client_certificate_bound_access_tokens: true, resource_name: 'api',
}
const STRICT = { resource: `${ORIGIN}/strict`, authorization_servers: ['https://strict.example'], scopes_supported: ['base:read'], bearer_methods_supported: ['header'], ...DPOP, dpop_bound_access_tokens_required: true, resource_name: 'strict' }
const TEAMS = { authorization_servers: ['https://login.example'], bearer_methods_supported: ['header'], ...DPOP, dpop_bound_access_tokens_required: false, tls_client_certificate_bound_access_tokens: true, resource_name: 'teams' }

describe('metadata of a protected resource', () => {
  test.each(WIRES)('[WIRE25] over %s: of the route that the path meets, with the scopes of the baseline that its rules ask for and no other', async wire => {
    const told = async (path: string, host = 'api.test') => (await call(gate, { wire }, { path: `${WELL_KNOWN}${path}`, host })).json
    for (const path of ['/api', '/api/', '/api/deep/er']) expect(await told(path), path).toEqual(API)
    expect(await told('/strict/x')).toEqual(STRICT)
    for (const path of ['/teams/7/files', '/teams/7/files/a']) expect(await told(path)).toEqual({ resource: `${ORIGIN}/teams/7/files`, ...TEAMS })
    expect((await call(gate, { wire, listener: 'inner' }, { path: `${WELL_KNOWN}/any`, host: 'one.machines.test:8080' })).json).toEqual({ resource: 'http://one.machines.test:8080', resource_name: 'machines' })
    expect(await told('/api', 'api.test:8443')).toEqual({ ...API, resource: 'https://api.test:8443/api' })
  })

  test('[WIRE25] without a path it speaks of the whole host', async () => {
    const { status, json } = await gate.ask('GET', WELL_KNOWN)
    expect([status, json]).toEqual([200, {
      resource: ORIGIN, authorization_servers: ['https://login.example', 'https://strict.example', 'https://opaque.example'], scopes_supported: expect.arrayContaining(['base:read', 'boss:read']), bearer_methods_supported: ['header'],
      ...DPOP, dpop_bound_access_tokens_required: false, tls_client_certificate_bound_access_tokens: true,
    }])
    expect(json['scopes_supported']).toHaveLength(2)
  })

  test('[WIRE25] anybody may read and keep it for a minute; HEAD has its head; nothing is asked of sessions or the upstream', async () => {
    const before = [await sessionsOf(gate), upstream.taps.size]
    for (const headers of [{}, { authorization: 'Bearer nonsense' }, { authorization: 'DPoP a b' }]) {
      const { status, headers: answered, text } = await gate.ask('GET', `${WELL_KNOWN}/api`, headers)
      expect([status, answered['content-type'], answered['cache-control'], answered['content-length']]).toEqual([200, 'application/json', 'public, max-age=60', String(text.length)])
    }
    const { status, headers, text } = await gate.ask('HEAD', `${WELL_KNOWN}/api`)
    expect([status, headers['content-length'], text]).toEqual([200, String(JSON.stringify(API).length), ''])
    expect((await call(gate, { wire: 'HTTP/2' }, { method: 'HEAD', path: `${WELL_KNOWN}/api` })).status).toBe(200)
    expect([await sessionsOf(gate), upstream.taps.size]).toEqual(before)
  })

  test('[WIRE25] it is readable for pages that the route names', async () => {
    expect((await gate.ask('GET', `${WELL_KNOWN}/api`, { origin: PAGE })).headers).toMatchObject({ 'access-control-allow-origin': PAGE, vary: 'origin' })
    for (const [path, origin] of [['/api', 'https://evil.example'], ['/strict', PAGE]] as const) expect((await gate.ask('GET', `${WELL_KNOWN}${path}`, { origin })).headers['access-control-allow-origin']).toBeUndefined()
  })

  test.each([
    ['a path that no route has', 'GET', '/nothing', 'api.test', 404], ['a host that is not served', 'GET', '/api', 'other.test', 421], ['another host without a path', 'GET', '', 'other.test', 421],
    ['an escaped slash', 'GET', '/api/a%2Fb', 'api.test', 404], ['POST', 'POST', '/api', 'api.test', 404], ['OPTIONS', 'OPTIONS', '/api', 'api.test', 404], ['DELETE', 'DELETE', '', 'api.test', 404],
  ])('[WIRE25] %s has none, and no upstream is asked for one', async (_, method, path, host, status) => {
    const before = upstream.taps.size
    const token = await gate.token()
    for (const wire of WIRES) for (const headers of [{}, { authorization: `Bearer ${token}` }]) expect((await call(gate, { wire, listener: 'inner' }, { method, path: `${WELL_KNOWN}${path}`, host, headers })).status).toBe(status)
    expect(upstream.taps.size).toBe(before)
  })

  test('[WIRE25] a listener that serves no callers has none', async () => {
    expect((await call(gate, { listener: 'jwks' }, { path: `${WELL_KNOWN}/api` })).status).toBe(404)
  })

  test('[WIRE25, CFG10] a reload shows at once', async () => {
    const original = readFileSync(gate.configFile, 'utf8')
    const reload = async (text: string): Promise<void> => {
      writeFileSync(gate.configFile, text)
      expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
    }
    try {
      await reload(original.replace('scopes: [base:read, unused:read]', 'scopes: [unused:read]').replace('authn: [login, opaque]', 'authn: [opaque]'))
      expect((await gate.ask('GET', `${WELL_KNOWN}/api`)).json).toEqual({ resource: API.resource, authorization_servers: ['https://opaque.example'], scopes_supported: ['boss:read'], bearer_methods_supported: ['header'], resource_name: 'api' })
    } finally {
      await reload(original)
    }
    expect((await gate.ask('GET', `${WELL_KNOWN}/api`)).json).toEqual(API)
  })
})

const pointer = (path: string): string => `resource_metadata="${ORIGIN}${WELL_KNOWN}${path}"`
const schemesOf = ({ challenges }: Heard): readonly (string | undefined)[] => challenges.map(line => line.split(' ')[0])

describe('challenges', () => {
  test.each(WIRES)('[WIRE25, WIRE9] over %s: without a credential one line for each scheme of the route, no error, and where to read more', async wire => {
    for (const [path, schemes, where] of [['/api/x', ['Bearer', 'DPoP'], '/api'], ['/strict/x/y', ['DPoP'], '/strict'], ['/teams/7/files/a', ['Bearer', 'DPoP'], '/teams/7/files']] as const) {
      for (const headers of [{}, { authorization: 'Basic YTpi' }]) {
        const heard = await call(gate, { wire }, { path, headers })
        expect([heard.status, heard.reason, schemesOf(heard)]).toEqual([401, 'no_credential', schemes])
        for (const line of heard.challenges) expect(line).toMatch(new RegExp(`^(?:Bearer|DPoP) realm="narrowgate", (?:algs="[A-Za-z0-9 ]+", )?${pointer(where)}$`))
      }
      const [told] = /\/\.well-known\/[^"]+/.exec(pointer(where)) ?? ['']
      expect((await call(gate, { wire }, { path: told })).json['resource']).toBe(`${ORIGIN}${where}`)
    }
    expect(await call(gate, { wire, listener: 'inner' }, { path: '/x', host: 'one.machines.test' })).toMatchObject({ status: 401, challenges: [`Bearer realm="narrowgate", resource_metadata="http://one.machines.test${WELL_KNOWN}"`] })
  })

  test.each(WIRES)('[WIRE9, WIRE25] over %s: with one that does not count one line for its scheme, with the error', async wire => {
    const expired = await gate.token({ exp: 1_000 })
    for (const [path, authorization, scheme] of [['/api/x', `Bearer ${expired}`, 'Bearer'], ['/api/x', `DPoP ${expired}`, 'DPoP'], ['/strict/x', `Bearer ${expired}`, 'DPoP'], ['/api/x', 'Bearer', 'Bearer'], ['/api/x', 'Bearer nonsense', 'Bearer']] as const) {
      const heard = await call(gate, { wire }, { path, headers: { authorization } })
      expect([heard.status, schemesOf(heard)]).toEqual([401, [scheme]])
      expect(heard.challenges[0]).toMatch(new RegExp(`, error="invalid_token", error_description="[^"]+".*, ${pointer(path.slice(0, -2))}$`))
    }
  })

  test('[BND2, WIRE25] what lacks a proof is asked for it, and pointed there too', async () => {
    const key = await DpopKey.make()
    const { status, challenges } = await call(gate, {}, { path: '/api/x', headers: { authorization: `DPoP ${await gate.token({ cnf: { jkt: key.thumbprint } })}` } })
    expect([status, challenges]).toEqual([401, [expect.stringMatching(new RegExp(`^DPoP realm="narrowgate", error="invalid_dpop_proof", .*, ${pointer('/api')}$`))]])
  })

  test('[WIRE9, WIRE25] a scope that only an elevation adds is named by the challenge, never by the metadata', async () => {
    const { status, challenges } = await call(gate, {}, { method: 'POST', path: '/api/x', headers: { authorization: `Bearer ${await gate.token()}` } })
    expect([status, challenges]).toEqual([403, [`Bearer realm="narrowgate", error="insufficient_scope", scope="api:write", ${pointer('/api')}`]])
  })

  test('[WIRE25, ADM2] the caller’s own side points to the whole host', async () => {
    const bare = await call(gate, {}, { path: '/.narrowgate/session' })
    expect([bare.status, schemesOf(bare), bare.challenges.every(line => line.endsWith(`, ${pointer('')}`) && !line.includes('error='))]).toEqual([401, ['Bearer', 'DPoP'], true])
    const wrong = await call(gate, {}, { path: '/.narrowgate/session', headers: { authorization: 'Bearer x' } })
    expect([wrong.status, wrong.challenges]).toEqual([401, [expect.stringMatching(new RegExp(`^Bearer realm="narrowgate", error="invalid_token", .*, ${pointer('')}$`))]])
  })

  test('[WIRE19, WIRE25] pages may read the challenge of a refusal, and the upstream’s own comes through untouched', async () => {
    expect((await gate.ask('GET', '/api/x', { origin: PAGE })).headers).toMatchObject({ 'access-control-allow-origin': PAGE, 'access-control-expose-headers': 'www-authenticate, dpop-nonce' })
    const token = await gate.token()
    const heard = call(gate, {}, { path: '/api/own', headers: { authorization: `Bearer ${token}` } })
    const own = ['Basic realm="inner"', 'Bearer realm="inner", resource_metadata="https://inner.example/x"']
    ;(await upstream.tap('/api/own')).answer.writeHead(401, { 'www-authenticate': own }).end()
    expect(await heard).toMatchObject({ status: 401, challenges: own, reason: '' })
  })
})

let turn = 0
const seconds = (shift: number): number => Math.floor(Date.now() / 1_000) + shift
/** Tokens of one session, each newer than the one before. */
function caller(): (claims: object) => Promise<string> {
  const sid = `sign-in-${++turn}`
  let issued = seconds(-100)
  return claims => gate.token({ sid, iat: issued++, exp: seconds(600), ...claims })
}

async function outcome(path: string, headers: { readonly [name: string]: string }): Promise<Heard> {
  const heard = call(gate, {}, { path, headers })
  let over = false
  void heard.finally(() => (over = true))
  await until(() => over || upstream.taps.has(path), 'an outcome')
  upstream.taps.get(path)?.answer.end()
  return heard
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const fresh = (): string => `/payroll/recent/${++turn}`
const GOLD = 'urn:acr:gold'

async function open(path: string, token: string): Promise<{ readonly client: RawClient; readonly tap: Tap; readonly until: () => number }> {
  const { id } = await gate.session(token)
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', path, bearer(token)))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  return { client, tap, until: () => exchangesOf(gate, id).find(({ evaluation }) => evaluation.resource.path === path)?.until ?? 0 }
}

describe('a rule that asks how its caller signed in', () => {
  const asked = (more: string): string => `Bearer realm="narrowgate", error="insufficient_user_authentication", error_description="The rule asks for a stronger or more recent sign-in than the credential shows.", ${more}, ${pointer('/payroll')}`

  test('[BND6, WIRE25] is told in the words of RFC 9470; a session that signed in better goes on', async () => {
    const token = caller()
    const weak = await token({ acr: 'bronze', auth_time: seconds(-1) })
    const before = upstream.taps.size
    expect(await outcome('/payroll/gold', bearer(weak))).toMatchObject({ status: 401, reason: 'authentication_insufficient', challenges: [asked('acr_values="urn:acr:gold silver"')] })
    expect(await outcome(fresh(), bearer(weak))).toMatchObject({ status: 401, challenges: [asked('acr_values="urn:acr:gold", max_age="2"')] })
    expect(upstream.taps.size).toBe(before)
    const strong = await token({ acr: 'silver' })
    expect((await outcome('/payroll/gold', bearer(strong))).status).toBe(200)
    expect(await outcome(fresh(), bearer(strong))).toMatchObject({ status: 401, reason: 'authentication_insufficient' })
    expect((await outcome(fresh(), bearer(await token({ acr: GOLD, auth_time: seconds(0) })))).status).toBe(200)
  })

  test('[BND6] machines, and tokens that say nothing of it, get the same challenge', async () => {
    const same = { status: 401, reason: 'authentication_insufficient', challenges: [asked('acr_values="urn:acr:gold", max_age="2"')] }
    for (const headers of [{ 'x-api-key': KEY }, bearer(await gate.token()), bearer(await gate.token({ acr: GOLD })), bearer(await gate.token({ acr: [GOLD], auth_time: seconds(0) })), bearer(await gate.token({ acr: GOLD, auth_time: String(seconds(0)) })), bearer(await gate.token({ acr: GOLD, auth_time: seconds(0) * 1_000 }))]) {
      expect(await outcome(fresh(), headers)).toMatchObject(same)
    }
    expect((await outcome(`/payroll/plain/${++turn}`, { 'x-api-key': KEY })).status).toBe(200)
  })

  test('[BND6, ENF3] what is open ends by the clock when the sign-in is too old, and what asks for none stays', async () => {
    const token = caller()
    const signedIn = seconds(0)
    const own = await token({ acr: GOLD, auth_time: signedIn })
    const [recent, plain] = [await open(fresh(), own), await open(`/payroll/plain/${++turn}`, own)]
    expect(recent.until()).toBe(signedIn * 1_000 + MAX_AGE)
    await until(() => recent.tap.abortedAt > 0, 'the end at the upstream', MAX_AGE + 2_000)
    expect(Date.now()).toBeGreaterThanOrEqual(signedIn * 1_000 + MAX_AGE)
    expect([await recent.client.ended, plain.tap.abortedAt]).toEqual(['reset', 0])
    expect(await outcome(fresh(), bearer(own))).toMatchObject({ status: 401, reason: 'authentication_insufficient' })
    plain.client.close()
  })

  test('[BND6, ENF3] a newer credential moves that end, and a weaker one is the end at once', async () => {
    const token = caller()
    const signedIn = seconds(0)
    const held = await open(fresh(), await token({ acr: GOLD, auth_time: signedIn }))
    const strong = await token({ acr: GOLD, auth_time: signedIn + 30 })
    expect((await outcome(fresh(), bearer(strong))).status).toBe(200)
    await until(() => held.until() === (signedIn + 30) * 1_000 + MAX_AGE, 'the later end')
    const cutAt = performance.now()
    expect(await outcome(fresh(), bearer(await token({ acr: 'bronze', auth_time: signedIn + 31 })))).toMatchObject({ status: 401 })
    expect(await held.client.ended).toBe('reset')
    expect(performance.now() - cutAt).toBeLessThan(1_500)
    expect(await outcome(fresh(), bearer(strong))).toMatchObject({ status: 401, reason: 'authentication_insufficient' }) // an older one brings nothing back
  })
})
