// Forward authentication: requests that nginx, Traefik and Envoy ask about, in the shape that each of them writes, judged, counted and recorded as any
// request of ours; and nothing but a judged permit is ever an answer that lets one through. SPEC: FWA1-FWA4
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { sha256 } from '../../src/runtime/id.ts'
import { TestGateway } from '../support/gateway.ts'
import { AheadClock, DpopKey, seconds, sessionsOf } from '../support/possession.ts'
import { ClientAuthority, type Leaf } from '../support/tls.ts'
import { ask, bearer, CALLER, having, type Lines, PROXIES, type Question, questionOf, SECRET, sendTo, type Told } from './forward-questions.ts'
import { operate } from './support.ts'

const WORD = { by: 'test', note: 'test', id: null }
const WEBSOCKET: Lines = ['X-Original-Upgrade', 'websocket', 'Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version', '13']
const PAGE = 'https://app.example'
const STATIC = 'static-secret-of-the-upstream'
let gate: TestGateway
/** Believes `X-Forwarded-For`, and hands over what it injects. */
let other: TestGateway

const ASKERS = `{ from: [nginx, traefik, envoy], peers: [127.0.0.1/32], tokenFile: TOKEN, forwardedCertificates: xfcc, headers: { address: X-Real-IP, upgrade: X-Original-Upgrade } }`

const config = (forwardAuth: string) => ({ directory, upstream, issuer }: { readonly directory: string; readonly upstream: { readonly origin: string }; readonly issuer: { readonly issuer: string } }): string => {
  writeFileSync(join(directory, 'token'), `${SECRET}\n`)
  writeFileSync(join(directory, 'static'), STATIC)
  writeFileSync(join(directory, 'keys.yaml'), `keys: [{ id: one, sha256: ${sha256('key-one')}, subject: one }]`, { mode: 0o600 })
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: ask, address: "127.0.0.1:0", serves: [decisions] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  trustedProxies: [198.51.100.9/32]
decisions: { forwardAuth: ${forwardAuth.replace('TOKEN', `${directory}/token`)} }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json, dpop: optional, mtls: optional }, kind: agent }
  keys: { apiKey: { header: x-api-key, keysFile: ${directory}/keys.yaml }, kind: ci }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s, credential: { header: x-static, valueFile: ${directory}/static } }, told: { url: "${upstream.origin}", txnToken: { audience: prod.example }, sign: { keyFile: context } } }
telemetry: { logs: { level: silent } }
routes:
  - { name: tools, match: { host: tools.test, path: /mcp }, upstream: { url: "${upstream.origin}/mcp", protocol: mcp }, rules: [{ allow: { tools: [a], mcp: ["*"] }, scope: base:read }] }
  - { name: told, match: { host: told.test }, upstream: told, rules: [{ allow: {}, scope: base:read }] }
  - name: api
    match: { host: api.test }
    upstream: api
    cors: { origins: ["${PAGE}"] }
    rules:
      - { allow: { paths: ["/read/**"] }, scope: base:read, inspect: json }
      - { allow: { paths: ["/digests/**"] }, scope: base:read, record: digests }
      - { allow: { paths: ["/bytes/**"] }, scope: base:read, rates: [{ bytes: 1MiB, per: 1m, by: session }] }
      - { allow: { paths: ["/once/**"] }, scope: base:read, rates: [{ requests: 1, per: 1h, by: session }] }
      - { allow: { paths: ["/messages/**"], upgrade: websocket }, scope: base:read, messages: { maxBytes: 1KiB } }
      - { allow: { paths: ["/socket/**"], upgrade: websocket }, scope: base:read }
      - { allow: { paths: ["/taint/**"] }, scope: base:read, after: { taint: secrets } }
      - { allow: { paths: ["/outside/**"] }, scope: base:read, notAfter: [secrets] }
      - { allow: { paths: ["/from/**"] }, scope: base:read, if: 'source.address == "${CALLER}"' }
      - { allow: { paths: ["/gold/**"] }, requireAuth: { acr: [gold] } }
      - { allow: { paths: ["/write/**"] }, scope: api:write }
      - { allow: { paths: ["/finish/**"] }, scope: api:finish, atEnd: { finish: 1m } }
      - { allow: { paths: ["/loud/**"] }, scope: api:loud }
      - { allow: { paths: ["/open/**"] }, anonymous: true }
      - { allow: { paths: ["/base/**"] }, scope: base:read }
elevations:
  writer: { adds: [api:write], for: 10m, limits: { uses: 2 } }
  brief: { adds: [api:finish], for: 1m }
  bounded: { adds: [api:loud], for: 10m, limits: { bytes: 1MiB } }
  taped: { adds: [api:loud], for: 10m, recording: required }
`
}

let mine: Leaf
let notMine: Leaf

beforeAll(async () => {
  const authority = await ClientAuthority.create('Callers')
  ;[mine, notMine] = await Promise.all([authority.issue(), authority.issue()])
  gate = await TestGateway.start({ routes: '', config: config(ASKERS) })
  other = await TestGateway.start({ routes: '', config: config('{ from: [nginx, envoy], peers: [127.0.0.1/32], headers: { inject: true } }'), issuer: gate.issuer })
})
afterAll(async () => {
  await Promise.all([gate.stop(), other.stop()])
})

let turn = 0
const fresh = (place: string): string => `/${place}/${++turn}`
const contextIn = ({ headers }: Told): string => String(headers['narrowgate-context'] ?? '')
const sessionIn = ({ headers }: Told): string => String(headers['narrowgate-session'] ?? '')

async function recorded(path: string, kind: string): Promise<Record<string, unknown> | undefined> {
  return (await gate.trail()).find(line => line['kind'] === kind && line['path'] === path)
}

async function noise(): Promise<readonly Record<string, unknown>[]> {
  await gate.parts.noise.flush()
  return readFileSync(join(gate.directory, 'state', 'noise.jsonl'), 'utf8').trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
}

describe.each(PROXIES)('%s', proxy => {
  test('[FWA2, FWA3, WIRE13] what the session may is let through, with a word on its standing for the upstream, on record as a request of its own caller', async () => {
    const [token, path] = [await gate.token(), fresh('base')]
    const told = await ask(gate, proxy, { method: 'POST', path: `${path}?a=1`, lines: bearer(token) })
    expect(told).toMatchObject({ status: 200, headers: { 'content-length': '0', 'cache-control': 'no-store' } })
    const keys = createLocalJWKSet((await gate.ask('GET', '/.narrowgate/jwks.json')).json as unknown as JSONWebKeySet) // what it serves there
    const { payload } = await jwtVerify(contextIn(told), keys, { audience: 'api', typ: 'narrowgate-context+jwt' })
    expect([payload['sid'], sessionIn(told)]).toEqual([(await gate.session(token)).id, payload['sid']])
    expect(await recorded(path, 'exchange.opened')).toMatchObject({ method: 'POST', host: 'api.test', source: CALLER, route: 'api', session: payload['sid'], grant: 'baseline' })
    expect(gate.upstream.requests).toEqual([])
    expect(told.headers['x-static']).toBeUndefined()
  })

  test('[FWA3, WIRE9] who shows nothing is told what counts, and who shows a bad credential that it does not', async () => {
    expect(await ask(gate, proxy, { path: fresh('base') })).toMatchObject({ status: 401, reason: 'no_credential', challenges: [expect.stringMatching(/^Bearer /), expect.stringMatching(/^DPoP /)] })
    expect(await ask(gate, proxy, { path: fresh('base'), lines: bearer('a.b.c') })).toMatchObject({ status: 401, reason: 'credential_invalid', challenges: [expect.stringContaining('error="invalid_token"')] })
  })

  test('[FWA3, ENF3] a session that is frozen is refused from the next request on, one that is resumed is not, and one that is terminated never again', async () => {
    const token = await gate.token()
    const asked = (): Promise<Told> => ask(gate, proxy, { path: fresh('base'), lines: bearer(token) })
    const session = sessionIn(await asked())
    await operate(gate, session, 'freeze')
    expect(await asked()).toMatchObject({ status: 403, reason: 'frozen' })
    await operate(gate, session, 'resume', { reason: 'test' })
    expect(await asked()).toMatchObject({ status: 200 })
    await operate(gate, session, 'terminate', { reason: 'test' })
    expect(await asked()).toMatchObject({ status: 401, challenges: [expect.stringContaining('invalid_token')] })
  })

  test('[FWA3, BND2] a DPoP proof counts for the request that the caller made, once, and not for the question', async () => {
    const key = await DpopKey.make()
    const token = await gate.token({ cnf: { jkt: key.thumbprint } })
    const proof = (method: string, uri: string): Promise<Lines> => key.proof(method, uri, token, { claims: { iat: seconds(1) } }).then(made => ['Authorization', `DPoP ${token}`, 'DPoP', made]) // a store counts none from before it
    const path = fresh('base')
    const lines = await proof('PUT', `https://api.test${path}`)
    expect(await ask(gate, proxy, { method: 'PUT', path, scheme: 'https', lines })).toMatchObject({ status: 200 })
    expect(await ask(gate, proxy, { method: 'PUT', path, scheme: 'https', lines })).toMatchObject({ status: 401, reason: 'credential_invalid' })
    expect(await ask(gate, proxy, { method: 'PUT', path, lines: await proof('PUT', `https://api.test${path}`) })).toMatchObject({ status: 401 })
    expect(await ask(gate, proxy, { method: 'GET', path, scheme: 'https', lines: await proof('PUT', `https://api.test${path}`) })).toMatchObject({ status: 401 })
    expect(await ask(gate, proxy, { method: 'PUT', path, scheme: 'https', lines: await proof('GET', `http://gate.internal:9445/forward-auth/${proxy}`) })).toMatchObject({ status: 401 })
  })

  test('[FWA3, ELV8] an elevation carries as many requests as it may, each of them on record before it is answered', async () => {
    const token = await gate.token()
    const asked = (): Promise<Told> => ask(gate, proxy, { method: 'DELETE', path: fresh('write'), lines: bearer(token) })
    expect(await asked()).toMatchObject({ status: 403, reason: 'elevation_required' })
    const elevation = await gate.elevate(token, 'writer')
    for (const _ of [1, 2]) expect(await asked()).toMatchObject({ status: 200, headers: { 'narrowgate-elevation': elevation } })
    const third = await asked()
    expect([third.status, third.headers['narrowgate-context']]).toEqual([403, undefined])
    const used = (await gate.trail()).filter(line => line['kind'] === 'exchange.opened' && (line['elevation'] as { readonly id?: string } | null)?.id === elevation)
    expect(used).toHaveLength(2)
  })

  test('[FWA4] what a rule or an elevation has to see of the bytes is not seen here, and refused', async () => {
    const token = await gate.token()
    const asked = (place: string, more: Lines = []): Promise<Told> => ask(gate, proxy, { method: 'GET', path: fresh(place), lines: [...bearer(token), ...more] })
    for (const place of ['read', 'digests', 'bytes']) expect(await asked(place), place).toMatchObject({ status: 403, reason: 'not_shown' })
    expect(await asked('messages', WEBSOCKET)).toMatchObject({ status: 403, reason: 'not_shown' })
    for (const method of ['GET', 'POST', 'DELETE']) expect(await ask(gate, proxy, { method, host: 'tools.test', path: '/mcp', lines: bearer(token) }), method).toMatchObject({ status: 403, reason: 'not_shown' })
    for (const profile of ['bounded', 'taped']) {
      const id = await gate.elevate(token, profile)
      expect(await asked('loud'), profile).toMatchObject({ status: 403, reason: 'not_shown' })
      await gate.ask('POST', `/.narrowgate/elevations/${id}/release`, { authorization: `Bearer ${token}` })
    }
  })

  test('[FWA2] an upgrade is one where the proxy tells it and the caller shakes hands, and then nothing else', async () => {
    const lines = bearer(await gate.token())
    const websocket: Lines = [...lines, ...WEBSOCKET]
    expect(await ask(gate, proxy, { path: fresh('socket'), lines: websocket })).toMatchObject({ status: 200 })
    expect(await ask(gate, proxy, { path: fresh('socket'), lines })).toMatchObject({ status: 403, reason: 'no_rule' })
    expect(await ask(gate, proxy, { path: fresh('base'), lines: websocket })).toMatchObject({ status: 403, reason: 'no_rule' })
    expect(await ask(gate, proxy, { path: fresh('base'), lines: [...lines, 'X-Original-Upgrade', 'h2c'] })).toMatchObject({ status: 403, reason: 'no_rule' })
    for (const place of ['socket', 'base']) {
      expect(await ask(gate, proxy, { path: fresh(place), lines: [...lines, 'X-Original-Upgrade', 'websocket'] }), place).toMatchObject({ reason: 'bad_request' })
      expect(await ask(gate, proxy, { path: fresh(place), lines: [...lines, 'Upgrade', 'websocket', 'Sec-WebSocket-Version', '13'] }), place).toMatchObject({ reason: 'bad_request' })
    }
  })

  test('[FWA3] rates, taints and sign-ins count as for any request', async () => {
    const lines = bearer(await gate.token())
    const asked = (place: string): Promise<Told> => ask(gate, proxy, { path: fresh(place), lines })
    expect(await asked('once')).toMatchObject({ status: 200 })
    expect(await asked('once')).toMatchObject({ status: proxy === 'nginx' ? 403 : 429, reason: 'rate_limited' })
    expect(await asked('outside')).toMatchObject({ status: 200 })
    expect(await asked('taint')).toMatchObject({ status: 200 })
    expect(await asked('outside')).toMatchObject({ status: 403, reason: 'tainted' })
    expect(await asked('gold')).toMatchObject({ status: 401, challenges: [expect.stringContaining('acr_values="gold"')] })
  })

  test('[FWA2] the address is that of the caller, as the proxy tells it', async () => {
    const lines = bearer(await gate.token())
    expect(await ask(gate, proxy, { path: fresh('from'), lines })).toMatchObject({ status: 200 })
    expect(await ask(gate, proxy, { path: fresh('from'), lines, address: '203.0.113.8' })).toMatchObject({ status: 403, reason: 'condition_false' })
    const trusted = having(questionOf(proxy, { path: fresh('from'), lines, address: '198.51.100.9' }), 'X-Forwarded-For', CALLER)
    expect(await sendTo(gate, trusted)).toMatchObject({ status: 403, reason: 'condition_false' })
  })

  test('[FWA3, DEC1] an anonymous rule lets through with nobody\'s standing, and the caller\'s own words on it are not repeated', async () => {
    const told = await ask(gate, proxy, { path: fresh('open'), lines: ['Narrowgate-Context', 'forged', 'Narrowgate-Session', 'ses_forged'] })
    expect([told.status, told.headers['narrowgate-context'], told.headers['narrowgate-session'], told.headers['narrowgate-elevation']]).toEqual([200, undefined, undefined, undefined])
    const removed = String(told.headers['x-envoy-auth-headers-to-remove'] ?? '').split(', ')
    const MUST_GO = ['authorization', 'dpop', 'narrowgate-context', 'narrowgate-elevation', 'narrowgate-session', 'txn-token', 'x-api-key', 'x-static', 'x-original-url', 'x-http-method-override', 'remote-user']
    expect(proxy === 'envoy' ? MUST_GO.filter(name => !removed.includes(name)) : removed).toEqual(proxy === 'envoy' ? [] : [''])
  })

  test('[CTX3, FWA3] an upstream that takes a Txn-Token gets it, and no signature of the caller\'s', async () => {
    const told = await ask(gate, proxy, { path: fresh('base'), host: 'told.test', lines: [...bearer(await gate.token()), 'Signature', 'x=:AAAA:', 'Txn-Token', 'forged'] })
    const keys = createLocalJWKSet((await gate.ask('GET', '/.narrowgate/jwks.json')).json as unknown as JSONWebKeySet) // what it serves there
    const { payload } = await jwtVerify(String(told.headers['txn-token']), keys, { audience: 'prod.example', typ: 'txntoken+jwt' })
    expect([payload['scope'], payload['rctx']]).toEqual(['base:read', { source: CALLER }])
    const removed = String(told.headers['x-envoy-auth-headers-to-remove'] ?? '').split(', ')
    expect(['signature', 'signature-input', 'txn-token'].map(name => removed.includes(name))).toEqual(proxy === 'envoy' ? [true, true, false] : [false, false, false])
  })

  test('[FWA3] an API key counts', async () => {
    expect(await ask(gate, proxy, { path: fresh('base'), lines: ['X-Api-Key', 'key-one'] })).toMatchObject({ status: 200 })
    expect(await ask(gate, proxy, { path: fresh('base'), lines: ['X-Api-Key', 'key-two'] })).toMatchObject({ status: 401 })
  })

  test('[FWA3] what the gateway answers by itself on its own listeners lets nothing through here', async () => {
    const lines = bearer(await gate.token())
    const asked = (method: string, path: string, more: Lines = [], host = 'api.test'): Promise<Told> => ask(gate, proxy, { method, path, host, lines: [...lines, ...more] })
    for (const path of ['/.narrowgate/session', '/.narrowgate/jwks.json', '/.narrowgate', '/.well-known/oauth-protected-resource']) expect(await asked('GET', path), path).toMatchObject({ status: proxy === 'nginx' ? 403 : 404, reason: 'no_route' })
    expect(await asked('GET', '/.well-known/jwks.json', [], 'elsewhere.test')).toMatchObject({ reason: 'wrong_host' })
    expect(await ask(gate, proxy, { method: 'OPTIONS', path: fresh('base'), lines: ['Origin', PAGE, 'Access-Control-Request-Method', 'GET'] })).toMatchObject({ status: 401, reason: 'no_credential' })
    expect(await ask(gate, proxy, { method: 'OPTIONS', path: fresh('base'), lines: ['Max-Forwards', '0'] })).toMatchObject({ status: 401, reason: 'no_credential' })
  })
})

describe('who asks', () => {
  const nothingCameOf = async (told: () => Promise<Told>, wanted: object): Promise<void> => {
    const before = await sessionsOf(gate)
    const heard = await told()
    expect(heard).toMatchObject(wanted)
    expect(heard.headers['narrowgate-context']).toBeUndefined()
    expect(await sessionsOf(gate)).toEqual(before)
  }

  test.each(PROXIES)('[FWA1] %s from an address that is not listed, without the secret, with another or with two: nothing is judged', async proxy => {
    const lines = bearer(await gate.token())
    const question = questionOf(proxy, { path: fresh('base'), lines })
    const refused = { status: 403, reason: '', challenges: [] }
    await nothingCameOf(() => sendTo(gate, question, { from: '127.0.0.3' }), refused)
    for (const shown of [[], ['wrong'], [`${SECRET}x`], [SECRET, SECRET], ['']]) await nothingCameOf(() => sendTo(gate, having(question, 'Narrowgate-Forward-Token', ...shown)), refused)
    expect(await sendTo(gate, question)).toMatchObject({ status: 200 })
    expect(new Set((await noise()).filter(line => String(line['fault']).startsWith('forward_')).map(line => line['fault']))).toEqual(new Set(['forward_peer', 'forward_token']))
  })

  test('[FWA1] in a form that nobody has, or that is not configured: nothing is judged', async () => {
    const lines = bearer(await gate.token())
    const question = questionOf('traefik', { path: fresh('base'), lines })
    for (const target of ['/forward-auth', '/forward-auth/', '/forward-auth/caddy', '/forward-auth/traefik/', '/forward-auth/envoy', '/forward-auth//traefik']) await nothingCameOf(() => sendTo(gate, { ...question, target }), { status: 404 })
    expect(await sendTo(other, question)).toMatchObject({ status: 404 })
  })
})

describe('a question that can be read in two ways, or in none', () => {
  const changed = (name: string, ...values: readonly string[]) => (question: Question): Question => having(question, name, ...values)
  const CASES: readonly (readonly [string, typeof PROXIES[number], (question: Question) => Question])[] = [
    ['no method', 'nginx', changed('X-Original-Method')],
    ['two methods', 'nginx', changed('X-Original-Method', 'GET', 'GET')],
    ['no URL', 'nginx', changed('X-Original-URL')],
    ['two URLs', 'nginx', changed('X-Original-URL', 'http://api.test/base/x', 'http://api.test/base/x')],
    ['a path in place of a URL', 'nginx', changed('X-Original-URL', '/base/x')],
    ['a URL with a user', 'nginx', changed('X-Original-URL', 'http://me@api.test/base/x')],
    ['a URL of another scheme', 'nginx', changed('X-Original-URL', 'ftp://api.test/base/x')],
    ['a URL with a fragment', 'nginx', changed('X-Original-URL', 'http://api.test/base/x#y')],
    ['a URL with dot segments', 'nginx', changed('X-Original-URL', 'http://api.test/base/../base/x')],
    ['a URL with an empty segment', 'nginx', changed('X-Original-URL', 'http://api.test/base//x')],
    ['a URL with an escaped slash', 'nginx', changed('X-Original-URL', 'http://api.test/base/%2fx')],
    ['two hosts', 'traefik', changed('X-Forwarded-Host', 'api.test', 'api.test')],
    ['a list of hosts', 'traefik', changed('X-Forwarded-Host', 'api.test, api.test')],
    ['no host', 'traefik', changed('X-Forwarded-Host')],
    ['two methods', 'traefik', changed('X-Forwarded-Method', 'GET', 'POST')],
    ['an empty method', 'traefik', changed('X-Forwarded-Method', '')],
    ['two targets', 'traefik', changed('X-Forwarded-Uri', '/base/x', '/base/y')],
    ['a target that is a URL', 'traefik', changed('X-Forwarded-Uri', 'http://api.test/base/x')],
    ['two schemes', 'traefik', changed('X-Forwarded-Proto', 'http', 'https')],
    ['a list of schemes', 'traefik', changed('X-Forwarded-Proto', 'https, http')],
    ['no scheme', 'envoy', changed('x-forwarded-proto')],
    ['two hosts', 'envoy', changed('host', 'api.test', 'other.test')],
    ['a target with dot segments', 'envoy', question => ({ ...question, target: '/forward-auth/envoy/base/../x' })],
    ...PROXIES.flatMap(proxy => [
      ['no address', proxy, changed('X-Real-IP')] as const,
      ['two addresses', proxy, changed('X-Real-IP', CALLER, CALLER)] as const,
      ['an address that is none', proxy, changed('X-Real-IP', 'unknown')] as const,
      ['a list of addresses', proxy, changed('X-Real-IP', `${CALLER}, ${CALLER}`)] as const,
      ['an alias of a header that is read', proxy, (question: Question): Question => ({ ...question, lines: [...question.lines, 'X_Forwarded_Uri', '/base/x'] })] as const,
      ['an alias of a header that is given', proxy, (question: Question): Question => ({ ...question, lines: [...question.lines, 'Narrowgate_Context', 'x'] })] as const,
      ['two credentials', proxy, (question: Question): Question => ({ ...question, lines: [...question.lines, 'Authorization', 'Bearer x'] })] as const,
      ['two upgrades', proxy, changed('X-Original-Upgrade', 'h2c', 'h2c')] as const,
      ['an empty upgrade', proxy, changed('X-Original-Upgrade', '')] as const,
    ]),
  ]

  test.each(CASES)('[FWA2] %s (%s): 400, and nothing is judged', async (_, proxy, change) => {
    const before = await sessionsOf(gate)
    const question = questionOf(proxy, { path: fresh('base'), lines: bearer(await gate.token()) })
    expect(await sendTo(gate, change(question))).toMatchObject({ status: proxy === 'nginx' ? 403 : 400, reason: 'bad_request' })
    expect(await sessionsOf(gate)).toEqual(before)
    expect(await sendTo(gate, question)).toMatchObject({ status: 200 })
  })

  test.each(PROXIES)('[FWA2] %s with a body, or with more headers than any request may have: refused', async proxy => {
    const question = questionOf(proxy, { path: fresh('base'), lines: bearer(await gate.token()) })
    const length = having(question, 'content-length', '2')
    expect(await sendTo(gate, length, { body: '{}' })).toMatchObject({ reason: 'bad_request', detail: 'the question has a body' })
    const many = Array.from({ length: 130 }, (_, i) => [`x-${i}`, '1']).flat()
    expect(await sendTo(gate, { ...question, lines: [...question.lines, ...many] })).toMatchObject({ status: proxy === 'nginx' ? 403 : 431, reason: 'headers_too_large' })
  })
})

describe('what is configured', () => {
  test('[FWA2, WIRE5] of `X-Forwarded-For` the last entry counts, and one before it where the last is trusted', async () => {
    const lines = bearer(await gate.token())
    const sent = (...values: readonly string[]): Promise<Told> => sendTo(other, having(questionOf('nginx', { path: fresh('from'), lines }), 'X-Forwarded-For', ...values))
    expect(await sent(CALLER)).toMatchObject({ status: 200 })
    expect(await sent(`192.0.2.1, ${CALLER}`)).toMatchObject({ status: 200 })
    expect(await sent(`${CALLER}, 192.0.2.1`)).toMatchObject({ status: 403, reason: 'condition_false' })
    expect(await sent(`${CALLER}, 198.51.100.9`)).toMatchObject({ status: 200 })
    const forged = having(having(questionOf('nginx', { path: fresh('from'), lines }), 'X-Forwarded-For', '198.51.100.9'), 'Forwarded', `for=${CALLER}`)
    expect(await sendTo(other, forged)).toMatchObject({ status: 403, reason: 'condition_false' })
    for (const values of [[], [`${CALLER}, unknown`], [CALLER, CALLER], [`${CALLER},`]]) expect(await sent(...values), values.join('; ')).toMatchObject({ status: 403, reason: 'bad_request' })
  })

  test('[FWA3, FWA1] a static credential is handed over only where that is configured, and never with a refusal', async () => {
    const lines = bearer(await gate.token())
    const asked = (place: string): Promise<Told> => sendTo(other, having(questionOf('envoy', { path: fresh(place), lines }), 'x-forwarded-for', CALLER))
    const told = await asked('base')
    expect([told.status, told.headers['x-static'], String(told.headers['x-envoy-auth-headers-to-remove']).includes('x-static')]).toEqual([200, STATIC, false])
    expect((await asked('write')).headers['x-static']).toBeUndefined()
    expect((await ask(gate, 'envoy', { path: fresh('base'), lines })).headers['x-static']).toBeUndefined()
  })
})

describe('certificates', () => {
  test.each(PROXIES)('[FWA2, BND4] %s tells of the one that its caller showed, where it is configured to, and of nobody else\'s', async proxy => {
    const [path, xfcc] = [fresh('base'), (leaf: Leaf): Lines => ['X-Forwarded-Client-Cert', `Hash=${Buffer.from(sha256(leaf.der), 'base64url').toString('hex')}`]]
    const lines = bearer(await gate.token({ cnf: { 'x5t#S256': sha256(mine.der) } }))
    expect(await ask(gate, proxy, { path, lines: [...lines, ...xfcc(mine)] })).toMatchObject({ status: 200 })
    expect(await ask(gate, proxy, { path, lines: [...lines, ...xfcc(notMine)] })).toMatchObject({ status: 401 })
    expect(await ask(gate, proxy, { path, lines: [...lines, ...xfcc(mine), ...xfcc(mine)] })).toMatchObject({ status: 401 })
    expect(await ask(gate, proxy, { path, lines })).toMatchObject({ status: 401 })
  })

  test('[FWA2, BND4] a proxy that is not configured to tell of any is not believed', async () => {
    const lines = bearer(await gate.token({ cnf: { 'x5t#S256': sha256(mine.der) } }))
    const question = having(questionOf('nginx', { path: fresh('base'), lines }), 'X-Forwarded-Client-Cert', `Hash=${Buffer.from(sha256(mine.der), 'base64url').toString('hex')}`)
    expect(await sendTo(other, question)).toMatchObject({ status: 401 })
    expect(await sendTo(other, having(questionOf('nginx', { path: fresh('base'), lines }), 'Client-Cert', `:${mine.der.toString('base64')}:`))).toMatchObject({ status: 401, reason: 'credential_invalid' })
  })
})

test('[FWA2] where no header for upgrades is configured, what a caller writes into one is nothing, and its handshake is refused', async () => {
  const lines = bearer(await gate.token())
  const asked = (place: string, more: Lines): Promise<Told> => sendTo(other, having(questionOf('envoy', { path: fresh(place), lines: [...lines, ...more] }), 'x-forwarded-for', CALLER))
  expect(await asked('base', ['X-Original-Upgrade', 'websocket'])).toMatchObject({ status: 200 })
  expect(await asked('socket', ['X-Original-Upgrade', 'websocket'])).toMatchObject({ status: 403, reason: 'no_rule' })
  for (const place of ['socket', 'base']) expect(await asked(place, WEBSOCKET), place).toMatchObject({ status: 400, detail: 'a WebSocket handshake whose upgrade is not told' })
})

describe('what changes while a question waits', () => {
  test('[FWA3, ENF2] at any step of gather, is what the answer goes by, and nothing stays taken', async () => {
    for (const step of gate.parts.steps) for (const side of ['before', 'after'] as const) {
      const token = await gate.token({ sub: `waits-${++turn}`, sid: `waits-${turn}` })
      await gate.elevate(token, 'writer')
      const { key } = await gate.session(token)
      const asked = (): Promise<Told> => ask(gate, 'envoy', { method: 'DELETE', path: fresh('write'), lines: bearer(token) })
      const freeze = async (): Promise<void> => void (await gate.parts.intake.session(key, { kind: 'session.frozen', until: null }, WORD))
      const own = { needed: step.needed, run: step.run }
      const needed = vi.spyOn(step, 'needed').mockImplementation(({ done }) => !done.has(step.name))
      const run = vi.spyOn(step, 'run').mockImplementation(async gathering => {
        if (side === 'before') await freeze()
        const reason = own.needed(gathering) ? await own.run(gathering) : null
        if (side === 'after') await freeze()
        return reason
      })
      const told = await asked()
      expect(run, step.name).toHaveBeenCalledOnce()
      needed.mockRestore()
      run.mockRestore()
      expect([told.status, told.reason, told.headers['narrowgate-context']], `${side} ${step.name}`).toEqual([403, 'frozen', undefined])
      await gate.parts.intake.session(key, { kind: 'session.resumed' }, WORD)
      for (const wanted of [200, 200, 403]) expect((await asked()).status, `${side} ${step.name}`).toBe(wanted)
    }
    expect(gate.parts.inflight.size).toBe(0)
  })

  test('[FWA3, ENF4] a time that ends behind the admission lets nothing begin, though what has begun might finish', async () => {
    const clock = new AheadClock()
    const timed = await TestGateway.start({ routes: '', config: config('{ from: [envoy], peers: [127.0.0.1/32] }'), issuer: gate.issuer, clock })
    const token = await gate.token({ sub: 'timed' })
    await timed.elevate(token, 'brief')
    const asked = (): Promise<Told> => sendTo(timed, having(questionOf('envoy', { path: fresh('finish'), lines: bearer(token) }), 'x-forwarded-for', CALLER))
    expect(await asked()).toMatchObject({ status: 200 })
    const flush = timed.parts.trail.flushNow.bind(timed.parts.trail)
    vi.spyOn(timed.parts.trail, 'flushNow').mockImplementationOnce(() => {
      clock.ahead = 61_000
      flush()
    })
    expect(await asked()).toMatchObject({ status: 503, reason: 'stale' })
    await timed.stop()
  })
})

test('[FWA1, ADM8] each question is counted by who asked and what became of it', async () => {
  const before = await gate.ops('/metrics')
  const count = (text: string, labels: string): number => Number(new RegExp(`^narrowgate_forward_auth_total\\{${labels}\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  await ask(gate, 'traefik', { path: fresh('open') })
  await ask(gate, 'traefik', { path: fresh('base') })
  await sendTo(gate, questionOf('traefik', { path: fresh('open') }), { from: '127.0.0.3' })
  const after = await gate.ops('/metrics')
  for (const labels of ['proxy="traefik",outcome="allowed"', 'proxy="traefik",outcome="refused"', 'proxy="",outcome="untrusted"']) expect(count(after.text, labels) - count(before.text, labels), labels).toBe(1)
})
