// An upstream that tells what it was shown wherever it can: no caller gets it, over any protocol, and nothing the gateway writes has it. And what it is shown
// beside that: a caller's own credential where a route says so. SPEC: CRD3, CRD10-CRD12
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually } from '../support/redis-server.ts'
import { CLIENT_SECRET, LEASE_SECRET, TokenService } from '../support/token-service.ts'
import { testAuthority } from '../support/tls.ts'
import { ask } from './forward-questions.ts'
import { upgrade, WebSocketCaller } from './websocket-callers.ts'
import { pause, until } from './support.ts'

const API_KEY = 'a-key-of-a-robot-that-is-long-enough-to-be-one'

let service: TokenService
let upstream: RecordingUpstream
let teller: Server
let teller2: Http2Server
let secure: Server
/** In front of that one: nothing passes before it is released. */
let late: TcpServer
let arrived = 0
let released = Promise.withResolvers<void>()
/** What that one was shown, by path. */
const shownThere = new Map<string, string>()
let gate: TestGateway
const shown: string[] = []
const open: ServerResponse[] = []
const logged: string[] = []

function tell(message: IncomingMessage, answer: ServerResponse): void {
  const told = message.headers.authorization ?? ''
  shown.push(told)
  answer.statusMessage = `it was ${told.slice(7)}`
  if (message.url?.endsWith('/stream') === true) {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'x-echo': told }).flushHeaders()
    return void open.push(answer)
  }
  answer.writeEarlyHints({ link: `</a.css?of=${told.slice(7)}>; rel=preload` }, () => {
    answer.writeHead(200, { 'x-echo': told, location: `https://a.example/?t=${told.slice(7)}`, [`x-${told.slice(7)}`.slice(0, 60)]: '1', 'x-fine': 'yes', trailer: 'x-checksum' })
    answer.write('ok')
    answer.addTrailers({ 'x-checksum': 'abc', 'x-echo': told })
    answer.end()
  })
}

const portOf = (server: TcpServer | Http2Server): number => (server.address() as AddressInfo).port // a TCP listener's

beforeAll(async () => {
  ;[service, upstream] = await Promise.all([TokenService.start(), RecordingUpstream.start()])
  teller = createServer(tell)
  teller.on('upgrade', (message, socket) => {
    const told = message.headers.authorization ?? ''
    shown.push(told)
    const accept = createHash('sha1').update(`${String(message.headers['sec-websocket-key'])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.on('error', () => undefined) // the caller goes first
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: ${told}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  })
  teller2 = createHttp2Server()
  teller2.on('stream', (stream: ServerHttp2Stream, headers) => {
    const told = String(headers['authorization'])
    shown.push(told)
    stream.respond({ ':status': 200, 'x-echo': told, 'x-fine': 'yes' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': 'abc', 'x-echo': told }))
    stream.end('ok')
  })
  const authority = await testAuthority()
  secure = createTlsServer({ cert: authority.server.cert, key: authority.server.key }, (message, answer) => {
    shown.push(message.headers.authorization ?? '')
    shownThere.set(message.url ?? '', message.headers.authorization ?? '')
    answer.end('ok')
  })
  late = createTcpServer(socket => {
    socket.on('error', () => undefined) // either side may go first
    arrived++
    void released.promise.then(() => {
      const onwards = connectTcp(portOf(secure), '127.0.0.1')
      onwards.on('error', () => undefined)
      socket.pipe(onwards).pipe(socket)
    })
  })
  for (const server of [teller, teller2, secure, late]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  gate = await TestGateway.start({
    routes: '', upstream,
    config: ({ directory, issuer }) => {
      writeFileSync(`${directory}/client-secret`, `${CLIENT_SECRET}\n`, { mode: 0o600 })
      writeFileSync(`${directory}/lease-secret`, LEASE_SECRET, { mode: 0o600 })
      writeFileSync(`${directory}/fixed`, 'Bearer a-secret-in-a-file_of-the-operator', { mode: 0o600 })
      writeFileSync(`${directory}/keys.yaml`, `keys: [{ id: robot, sha256: "${createHash('sha256').update(API_KEY).digest('hex')}", subject: robot }]`)
      const credential = `credential: { clientCredentials: { tokenUrl: "${service.origin}/token", clientId: gateway, clientSecretFile: ${directory}/client-secret }, revoke: { url: "${service.origin}/token/revocation" } }`
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
    - { name: ask, address: "127.0.0.1:0", serves: [decisions] }
decisions: { forwardAuth: { from: [nginx], peers: [127.0.0.1/32], headers: { inject: true } } }
authn: { keys: { apiKey: { header: x-api-key, keysFile: ${directory}/keys.yaml }, kind: ci }, login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent } }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams:
  one: { url: "http://127.0.0.1:${portOf(teller)}", ${credential} }
  fixed: { url: "http://127.0.0.1:${portOf(teller)}", credential: { header: authorization, valueFile: ${directory}/fixed } }
  two: { url: "http://127.0.0.1:${portOf(teller2)}", protocol: http2, ${credential} }
  swap: { url: "${upstream.origin}", credential: { exchange: { url: "${service.origin}/token", clientId: gateway, clientSecretFile: ${directory}/client-secret }, revoke: { url: "${service.origin}/token/revocation" } } }
  late: { url: "https://localhost:${portOf(late)}", tls: { caFile: ${authority.caFile} }, credential: { prefix: "", lease: { tokenFile: ${directory}/lease-secret, obtain: { url: "${service.origin}/v1/creds/crm", token: /data/token, lease: /lease_id, ttl: /lease_duration } } } }
telemetry: { logs: { level: silent } }
routes:
  - { name: one, match: { path: /one/** }, upstream: one, rules: [{ allow: { upgrade: websocket }, scope: extra:use }, { allow: {}, scope: extra:use }] }
  - { name: fixed, match: { path: /fixed/** }, upstream: fixed, rules: [{ allow: {}, scope: extra:use }] }
  - { name: two, match: { path: /two/** }, upstream: two, rules: [{ allow: {}, scope: extra:use }] }
  - { name: swap, match: { path: /swap/** }, upstream: swap, rules: [{ allow: {}, scope: base:read }] }
  - { name: robots, match: { path: /robots/** }, upstream: swap, authn: [keys], rules: [{ allow: {}, scope: base:read }] }
  - { name: late, match: { path: /late/** }, upstream: late, rules: [{ allow: {}, scope: base:read }] }
  - { name: through, match: { path: /through/** }, upstream: "${upstream.origin}", passthrough: true, rules: [{ allow: {}, scope: base:read }] }
  - { name: stays, match: { path: /stays/** }, upstream: "${upstream.origin}", rules: [{ allow: {}, scope: base:read }] }
elevations:
  long: { adds: [extra:use], for: 10m }
  other: { adds: [extra:use], for: 20m }
`
    },
  })
  const keep = (fields: object, text: string): void => void logged.push(JSON.stringify([fields, text]))
  Object.assign(gate.parts.log, { debug: keep, info: keep, warn: keep, error: keep })
})
afterAll(async () => {
  for (const answer of open) answer.destroy()
  await gate.stop()
  teller.closeAllConnections()
  teller.close()
  teller2.close()
  secure.closeAllConnections()
  secure.close()
  late.close()
  await Promise.all([service.close(), upstream.close()])
})

let turn = 0
const someone = (): Promise<string> => gate.token({ sub: `user-${++turn}`, sid: `s-${turn}` })
const bearer = (token: string, more: object = {}): { readonly [name: string]: string } => ({ host: 'api.test', authorization: `Bearer ${token}`, ...more })

/** All that the caller's socket got. */
async function raw(path: string, token: string): Promise<string> {
  const client = await RawClient.connect(gate.target)
  await client.send(request('GET', path, bearer(token, { te: 'trailers', connection: 'te' })))
  await client.response('GET')
  const text = client.bytes().toString('latin1')
  client.close()
  return text
}

describe('what the upstream tells', () => {
  test.each(['one', 'two', 'fixed'])('[CRD10] of %s in fields of its answer, of interim ones and of trailers is dropped, the rest goes on', async name => {
    const token = await someone()
    await gate.elevate(token, 'long')
    const text = await raw(`/${name}/tell`, token)
    const told = shown.at(-1) ?? ''
    expect(told).toMatch(/^Bearer [\w-]{20,}$/)
    expect(text).toMatch(/^HTTP\/1\.1 (?:103|200)/)
    expect(text).toContain('x-fine: yes')
    expect(text).not.toContain(told.slice('Bearer '.length))
    expect(text.toLowerCase()).not.toContain('x-echo')
  })

  test('[CRD3, CRD10] a WebSocket goes with it too, and its answer is without it', async () => {
    const token = await someone()
    const before = shown.length
    expect(await upgrade(gate, '/one/socket', bearer(token))).toMatchObject({ status: 403 })
    expect(shown).toHaveLength(before)
    await gate.elevate(token, 'long')
    const opened = await upgrade(gate, '/one/socket', bearer(token))
    expect(opened).toBeInstanceOf(WebSocketCaller)
    expect(shown.at(-1)).toMatch(/^Bearer [\w-]{20,}$/)
    expect(shown.at(-1)).not.toContain(token)
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/one/socket', bearer(token, { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' })))
    await client.until(() => client.bytes().includes('\r\n\r\n'))
    expect(client.bytes().toString('latin1')).toMatch(/^HTTP\/1\.1 101/)
    expect(client.bytes().toString('latin1').toLowerCase()).not.toContain('x-echo')
    client.close()
  })

  test('[CRD10] nothing the gateway wrote has any of them: no log, no record, no metric, no file of its state', async () => {
    const token = await someone()
    const elevation = await gate.elevate(token, 'long')
    await raw('/one/tell', token)
    service.behaviours.set('/token/revocation', 400)
    await gate.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'x' })
    await eventually('the alarm', 10_000, async () => ((await gate.trail()).some(({ kind, elevation: of }) => kind === 'credential.not_revoked' && of === elevation) ? true : null))
    expect(logged.some(line => line.includes('nobody confirms'))).toBe(true)
    service.behaviours.clear()
    const state = join(gate.directory, 'state')
    const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter(file => file.isFile()).map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1'))
    const told = [...logged, (await gate.ops('/metrics')).text, (await gate.admin('GET', '/v1/exchanges')).text, ...files]
    expect(files.length).toBeGreaterThan(2)
    const secrets = [CLIENT_SECRET, btoa(`gateway:${CLIENT_SECRET}`), ...new Set(shown.map(header => header.replace(/^Bearer /, '')))]
    expect(secrets.length).toBeGreaterThan(3)
    for (const secret of secrets) expect(told.some(text => text.includes(secret)), secret).toBe(false)
  })
})

describe('what is open', () => {
  test('[CRD12] goes over to no other grant: what it was shown is taken back with its own', async () => {
    const token = await someone()
    const first = await gate.elevate(token, 'long')
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/one/stream', bearer(token)))
    await client.head()
    const second = await gate.elevate(token, 'other')
    const exchange = (await gate.trail()).find(({ kind, path, grant }) => kind === 'exchange.opened' && path === '/one/stream' && grant === first)?.['exchange']
    await gate.admin('POST', `/v1/elevations/${first}/revoke`, { reason: 'x' })
    await until(() => gate.parts.inflight.all().every(({ id }) => id !== exchange), 'its end')
    const kinds = (await gate.trail()).filter(line => line['exchange'] === exchange).map(({ kind }) => kind)
    expect(kinds).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
    await raw('/one/tell', token)
    const [before, after] = [shown.at(-2), shown.at(-1)]
    expect(before).not.toBe(after)
    await eventually('it is taken back', 10_000, async () => ((await service.direct(before ?? '')) === 401 ? true : null))
    expect(await service.direct(after ?? '')).toBe(200)
    await gate.admin('POST', `/v1/elevations/${second}/revoke`, { reason: 'x' })
    client.close()
  })
})

describe('a caller’s own credential', () => {
  test('[CRD11] goes no further than the gateway, but on a route that says so: there as it came, and nothing else of what stays', async () => {
    const token = await someone()
    const client = await RawClient.connect(gate.target)
    await client.send(`GET /through/a HTTP/1.1\r\nHost: api.test\r\naUTHORIZATION: Bearer ${token}\r\nX-Forwarded-For: 1.2.3.4\r\nTxn-Token: forged\r\nNarrowgate-Context: forged\r\n\r\n`)
    expect((await client.response('GET')).status).toBe(200)
    const head = upstream.requests.find(({ path }) => path === '/through/a')?.rawHead ?? ''
    expect(head.split('\r\n').filter(line => /authorization/i.test(line))).toEqual([`aUTHORIZATION: Bearer ${token}`])
    expect(head).not.toMatch(/forged|1\.2\.3\.4/)
    client.close()
    expect((await gate.ask('GET', '/stays/a', bearer(token))).status).toBe(200)
    expect(upstream.requests.find(({ path }) => path === '/stays/a')?.rawHead).not.toContain(token)
  })
})

describe('a request', () => {
  test('[CRD3] whose credential has come to its end while a connection was made is not sent', async () => {
    service.leaseLife = 1
    const token = await someone()
    const before = shown.length
    const answer = gate.ask('GET', '/late/a', bearer(token))
    await until(() => arrived > 0, 'the connection')
    await until(() => service.leases.length > 0, 'the lease')
    await pause(1_100) // its whole life
    released.resolve()
    const { status, json } = await answer
    expect([status, json['reason']]).toEqual([503, 'credential_unavailable'])
    expect(shown).toHaveLength(before)
    service.leaseLife = 600
    expect((await gate.ask('GET', '/late/b', bearer(token))).status).toBe(200)
    expect(shown.slice(before)).toEqual([service.leases.at(-1)?.token])
  })

  test('[CRD6, CRD10] goes with the one that is on record with it, also where another followed while a connection was made', async () => {
    service.leaseLife = 4
    released = Promise.withResolvers()
    const token = await someone()
    const first = gate.ask('GET', `/late/first/${turn}`, bearer(token))
    await until(() => service.leases.length > 0, 'the first one')
    const [, before] = [await pause(3_100), service.leases.length] // its last quarter
    const second = gate.ask('GET', `/late/second/${turn}`, bearer(token))
    await until(() => service.leases.length > before, 'the second one')
    released.resolve()
    expect((await Promise.all([first, second])).map(({ status }) => status)).toEqual([200, 200])
    service.leaseLife = 600
    const lines = await gate.trail()
    for (const name of ['first', 'second']) {
      const { upstreamCredential } = lines.find(({ kind, path }) => kind === 'exchange.opened' && path === `/late/${name}/${turn}`) ?? {}
      const { lease } = lines.find(({ kind, credential }) => kind === 'credential.obtained' && credential === upstreamCredential) ?? {}
      expect(shownThere.get(`/late/${name}/${turn}`), name).toBe(service.leases.find(({ id }) => id === lease)?.token)
    }
  })

  test('[CRD3, CRD10] of a caller that showed no token has none to exchange: what else it sends goes nowhere', async () => {
    service.asked.length = 0
    const before = upstream.receivedBytes
    for (const more of [{}, { authorization: 'Bearer somebody-elses-token' }]) {
      const { status, json } = await gate.ask('GET', '/robots/a', { 'x-api-key': API_KEY, ...more })
      expect([status, json['reason'], upstream.receivedBytes]).toEqual([503, 'credential_unavailable', before])
    }
    expect(service.asked).toEqual([])
  })

  test('[CRD3, CRD11] that a caller dresses up goes with what was obtained alone', async () => {
    const token = await someone()
    await gate.elevate(token, 'long')
    const client = await RawClient.connect(gate.target)
    await client.send(`GET /one/dressed HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nAuthorization_: x\r\n\r\n`)
    await client.response('GET')
    expect(shown.at(-1)).toMatch(/^Bearer [\w-]{20,}$/)
    expect(shown.at(-1)).not.toContain(token)
    client.close()
  })

  test('[CRD3] that another proxy asks about is let with the credential for its upstream', async () => {
    const token = await someone()
    expect((await ask(gate, 'nginx', { path: '/one/x', lines: ['Authorization', `Bearer ${token}`] })).status).toBe(403)
    await gate.elevate(token, 'long')
    const told = await ask(gate, 'nginx', { path: '/one/x', lines: ['Authorization', `Bearer ${token}`] })
    expect(told.status).toBe(200)
    expect(await service.direct(String(told.headers['authorization']))).toBe(200)
  })
})
