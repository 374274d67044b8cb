// Valid HTTP/1.1 exchanges with a few octets changed, thousands of them, many at once: whatever comes, the gateway answers the next good request, keeps
// no exchange and no socket, tells callers nothing but HTTP, and asks its upstream nothing without a recorded Permit. `SEED=… RUNS=…` goes elsewhere.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { HostileUpstream } from '../support/hostile-upstream.ts'
import { unpermitted } from '../support/permit-account.ts'
import { RawClient, request, requestOnce, type Target } from '../support/raw-client.ts'
import { ResponseParser } from '../support/response-parser.ts'
import { testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'

const SEED = Number(process.env['SEED'] ?? 41)
const RUNS = Number(process.env['RUNS'] ?? 6_400)
const AT_ONCE = 32
/** Connections between two looks at whether all is well. */
const BATCH = 640
/** No connection outlives its caller's end of it for longer, in milliseconds. */
const PATIENCE = 20_000
/** How long a caller waits for the first octet before it ends its side; many a changed request is never whole. */
const ANSWERED_IN = 80
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

let gate: TestGateway
let upstream: HostileUpstream
let token: string
let carriers: readonly Target[]

beforeAll(async () => {
  const { server: { certFile, keyFile }, ca } = await testAuthority()
  upstream = await HostileUpstream.start()
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: secure, address: "127.0.0.1:0", serves: [proxy], tls: { certFile: ${certFile}, keyFile: ${keyFile} } }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [metrics] }
  limits: { headersTimeout: 2s, idleTimeout: 2s, bodyBytes: 65536 }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:read] }]
upstreams:
  api: { url: "${upstream.origin}", timeout: 5s }
telemetry: { logs: { level: silent } }
elevations:
  root: { adds: [admin:all], for: 10m, approval: { by: approver } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: [/admin/**] }, scope: admin:all }
      - { allow: { paths: [/**] }, scope: base:read }
`,
  })
  token = await gate.token()
  carriers = [gate.target, gate.target, gate.target, { port: gate.gateway.front.bound.get('secure')?.address.port ?? 0, tls: { ca } }]
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

// ---- what is changed, and how

/** In place of the token, so that most changes are made to something else. */
const TOKEN = '\xa4'
/** In place of the number of the case, so that each Permit is known by its path. */
const NUMBER = '\xa6'
const OWN = { authorization: `Bearer ${TOKEN}` }
const CHUNKED = { ...OWN, 'transfer-encoding': 'chunked' }

const VALID: readonly string[] = [
  request('GET', `/public/a${NUMBER}?q=1&r=%20`, OWN),
  request('GET', `/public/b${NUMBER}`, { ...OWN, accept: '*/*', cookie: 'a=1; b=2', range: 'bytes=0-9', te: 'trailers', connection: 'keep-alive, TE' }),
  request('POST', `/upload/a${NUMBER}`, { ...OWN, 'content-type': 'text/plain' }, 'hello, upstream'),
  request('POST', `/early/a${NUMBER}`, OWN, 'x'.repeat(300)),
  request('POST', `/upload/b${NUMBER}`, { ...CHUNKED, trailer: 'X-Sum' }, '5\r\nhello\r\n6;a="b"\r\n, you!\r\n0\r\nX-Sum: 1\r\n\r\n'),
  request('PUT', `/early/b${NUMBER}`, CHUNKED, 'a\r\n0123456789\r\n0\r\n\r\n'),
  request('PUT', `/upload/c${NUMBER}`, { ...OWN, expect: '100-continue' }, 'continued'),
  request('HEAD', `/public/c${NUMBER}`, OWN),
  request('OPTIONS', `/public/d${NUMBER}`, OWN),
  request('DELETE', `/public/e/%C3%A9;v=1${NUMBER}`, OWN),
  request('GET', `http://api.test/public/f${NUMBER}`, OWN),
  request('GET', `/public/ws${NUMBER}`, { ...OWN, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }),
  request('GET', '/admin/x', OWN),
  request('GET', `/public/g${NUMBER}`),
  request('GET', '/.narrowgate/session', OWN),
  request('POST', '/.narrowgate/elevations', { ...OWN, 'content-type': 'application/json' }, '{"profile":"root"}'),
  request('GET', '/.narrowgate/jwks.json'),
  request('POST', `/upload/d${NUMBER}`, OWN, 'first') + request('GET', `/public/h${NUMBER}`, OWN) + request('GET', `/public/i${NUMBER}`, { ...OWN, connection: 'close' }),
  request('GET', `/public/j${NUMBER}`, OWN).replace('HTTP/1.1', 'HTTP/1.0'),
]

const DICTIONARY: readonly string[] = [
  '\r\n', '\n', '\r', '\r\n\r\n', '\0', ' ', '\t', ':', ';', ',', '/', '//', '/../', '%2e%2e/', '%00', '%', '%2f', '#', '?', '\\', '\x7f', '\xff', '\x16\x03\x01', 'HTTP/1.1',
  'HTTP/1.0', 'HTTP/2.0', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: identity\r\n', 'Content-Length: 5\r\n', 'Content-Length: 99999999999999999999\r\n', 'Content-Length: -1\r\n',
  'Content-Length: 70000\r\n', 'Connection: close\r\n', 'Connection: upgrade\r\n', 'Expect: 100-continue\r\n', 'Expect: x\r\n',
  'Upgrade: h2c\r\n', 'Host: api.test\r\n', 'Host: other.test\r\n', 'Narrowgate-Subject: forged\r\n', 'X_Forwarded_For: forged\r\n',
  'X-A: b\r\n c\r\n', `Authorization: Bearer ${TOKEN}\r\n`, 'Authorization: Basic Zm9vOmJhcg==\r\n',
  '0\r\n\r\n', 'ffffffffffffffff\r\n', '1\r\nx\r\n', '-1\r\n', '0;\r\n', 'GET /admin/y HTTP/1.1\r\nHost: api.test\r\n\r\n', '/admin/z', 'CONNECT ', 'TRACE ', 'HEAD ', 'QUERY ',
  'get ', `X-Long: ${'a'.repeat(9_000)}\r\n`, 'X-Many: 1\r\n'.repeat(120),
]

/** Lines that a head may well have. */
const GOOD_LINES: readonly string[] = ['X-Extra: 1\r\n', 'Accept-Encoding: gzip\r\n', 'Cookie: c=3\r\n', 'TE: trailers\r\n', 'Connection: keep-alive\r\n',
  'Forwarded: for=forged\r\n', 'X-HTTP-Method-Override: DELETE\r\n', 'Keep-Alive: timeout=9\r\n', 'Via: 1.1 other\r\n', 'Max-Forwards: 3\r\n', 'Early-Data: 1\r\n']
const MILD = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

type Change = (bytes: string) => string
const at = (bytes: string, place: number): number => place % (bytes.length + 1)
const place = fc.noBias(fc.nat(100_000)) // anywhere: biased, it would be the request line
const put = (where: number, what: string, over = 0): Change => bytes => bytes.slice(0, at(bytes, where)) + what + bytes.slice(at(bytes, where) + over)

/** At the beginning of some line. */
const ahead = (where: number, what: string): Change => bytes => {
  const starts = [0, ...[...bytes.matchAll(/\r\n/g)].map(({ index }) => index + 2)]
  return put(starts[where % starts.length] ?? 0, what)(bytes)
}
const mild = (where: number, what: string): Change => bytes => (MILD.includes(bytes.charAt(at(bytes, where))) ? put(where, what, 1)(bytes) : bytes)

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(place, fc.constantFrom(...MILD.split(''))).map(([where, what]) => mild(where, what)) },
  { weight: 3, arbitrary: fc.tuple(place, fc.constantFrom(...GOOD_LINES)).map(([where, what]) => ahead(where, what)) },
  { weight: 3, arbitrary: fc.tuple(place, fc.nat(7)).map(([where, bit]) => (bytes: string) => put(where, String.fromCharCode((bytes.charCodeAt(at(bytes, where)) || 0) ^ (1 << bit)), 1)(bytes)) },
  { weight: 2, arbitrary: fc.tuple(place, fc.nat(255)).map(([where, octet]) => put(where, String.fromCharCode(octet), 1)) },
  { weight: 2, arbitrary: fc.tuple(place, fc.nat(255)).map(([where, octet]) => put(where, String.fromCharCode(octet))) },
  { weight: 2, arbitrary: fc.tuple(place, fc.integer({ min: 1, max: 12 })).map(([where, length]) => put(where, '', length)) },
  { weight: 4, arbitrary: fc.tuple(place, fc.constantFrom(...DICTIONARY), fc.nat(3)).map(([where, what, over]) => put(where, what, over)) },
  { weight: 3, arbitrary: fc.tuple(place, fc.constantFrom(...DICTIONARY)).map(([where, what]) => ahead(where, what)) },
  fc.tuple(place, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 2, max: 20 })).map(([where, length, times]) => (bytes: string) =>
    put(where, bytes.slice(at(bytes, where), at(bytes, where) + length).repeat(times))(bytes)),
  fc.tuple(place, fc.constantFrom(...VALID), place, fc.integer({ min: 1, max: 80 })).map(([where, other, from, length]) => put(where, other.slice(at(other, from), at(other, from) + length))),
  place.map(where => (bytes: string) => bytes.slice(0, at(bytes, where))),
)

type Case = {
  readonly bytes: string
  /** Sent in two pieces, the second behind a turn; -1 for one. */
  readonly split: number
  /** What the caller does behind the last byte. */
  readonly leaving: 'fin' | 'reset' | 'waits'
  readonly carrier: number
}
const cases: fc.Arbitrary<Case> = fc.record({
  bytes: fc.tuple(fc.constantFrom(...VALID), fc.oneof(fc.tuple(change), fc.array(change, { minLength: 1, maxLength: 3 })), fc.constantFrom('', '', request('GET',
    '/public/behind', OWN))).map(([valid, changes, behind]) => changes.reduce((bytes, each) => each(bytes), valid) + behind),
  split: fc.oneof(fc.constant(-1), place), leaving: fc.constantFrom('waits', 'waits', 'waits', 'waits', 'waits', 'fin', 'fin', 'reset'), carrier: fc.nat(3),
})

// ---- one of them

/** Answers, one after the other, whole but for the last; anything else is a fault. An answer to HEAD looks as if its body were missing. */
function statusesIn(received: Buffer): readonly number[] {
  const statuses: number[] = []
  for (let rest = received; rest.length > 0;) {
    const parser = new ResponseParser('GET')
    const before = rest
    rest = parser.feed(rest)
    if (parser.head !== null) statuses.push(parser.head.status)
    else if (before.toString('latin1') !== CONTINUE) throw new Error(`no whole head: ${JSON.stringify(before.toString('latin1'))}`)
  }
  return statuses
}

async function play({ bytes, split, leaving, carrier }: Case, number: number): Promise<readonly number[]> {
  const target = carriers[carrier] ?? { port: 0 }
  const client = await RawClient.connect(target)
  const whole = bytes.replaceAll(TOKEN, token).replaceAll(NUMBER, String(number))
  await client.send(split < 0 ? whole : whole.slice(0, at(whole, split)))
  if (split >= 0) {
    await new Promise(resolve => setImmediate(resolve))
    await client.send(whole.slice(at(whole, split)))
  }
  if (leaving === 'waits') await client.until(() => client.received > 0, ANSWERED_IN).catch(() => undefined)
  if (leaving === 'reset') client.close(target.tls === undefined ? 'reset' : 'close')
  else client.end()
  await Promise.race([client.ended, pause(PATIENCE).then(() => { throw new Error(`still open ${PATIENCE} ms behind the caller's FIN`) })])
  const received = client.bytes()
  if (received.includes('internal_error')) throw new Error('internal_error')
  return leaving === 'reset' || bytes.includes('HEAD') ? [] : statusesIn(received)
}

/** All of them, so many at once. @returns how often each status was told, and every case that went wrong */
async function playAll(all: readonly Case[], from: number, tally: Map<number, number>): Promise<readonly string[]> {
  const faults: string[] = []
  const waiting = all.entries()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const [i, each] of waiting) {
      try {
        for (const status of await play(each, from + i)) tally.set(status, (tally.get(status) ?? 0) + 1)
      } catch (error) {
        faults.push(`${from + i} ${JSON.stringify(each)}: ${String(error)}`)
      }
    }
  }))
  return faults
}

// ---- all is well

const sockets = (): number => process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap').length
/** Sockets beside those to the upstream, of which both ends are here. */
const strangers = (): number => sockets() - 2 * upstream.connections

async function isWell(context: string): Promise<void> {
  await until(() => gate.parts.inflight.size === 0, `no exchange to be open (${context})`, PATIENCE)
  for (const target of carriers.slice(2)) {
    const answer = await requestOnce(target, request('GET', '/public/good', { authorization: `Bearer ${token}` }))
    expect([answer.status, answer.body.toString()], context).toEqual([200, 'ok'])
  }
}

test(`[WIRE3, WIRE8, WIRE14] ${RUNS} exchanges with changed octets leave the gateway as it was`, async () => {
  await isWell('before')
  const all = fc.sample(cases, { seed: SEED, numRuns: RUNS })
  const tally = new Map<number, number>()
  const before = strangers()
  for (let from = 0; from < all.length; from += BATCH) {
    const context = `SEED=${SEED} RUNS=${RUNS}, cases ${from} to ${from + BATCH}`
    expect(await playAll(all.slice(from, from + BATCH), from, tally), context).toEqual([])
    await isWell(context)
    expect(upstream.malformed, context).toEqual([])
    expect(upstream.led, context).toEqual([])
  }
  await until(() => strangers() <= before, `no socket to be left behind (SEED=${SEED}): ${before} before`, PATIENCE)
  expect(await unpermitted(gate, upstream.received), `SEED=${SEED}`).toEqual([])
  expect([...tally].filter(([status]) => status >= 500), `SEED=${SEED}`).toEqual([])
  expect((await gate.ops('/metrics')).text).not.toMatch(/reason="internal_error"\S* [1-9]/)
  expect(upstream.received.length).toBeGreaterThan(RUNS / 10)
  for (const status of [200, 400, 401, 403, 417]) expect(tally.get(status), `answers with ${status}`).toBeGreaterThan(0)
}, 180_000)

test('[WIRE3] the account of Permits finds a request that has none', async () => {
  await requestOnce({ port: upstream.port }, request('GET', '/public/past-the-gateway'))
  expect(await unpermitted(gate, upstream.received)).toEqual(['GET /public/past-the-gateway'])
})
