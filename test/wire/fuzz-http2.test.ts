// Valid HTTP/2 exchanges with fields, frames or a few octets changed, thousands of them, many at once: whatever comes, the gateway answers the next good
// request, keeps no exchange and no socket, and asks its upstream nothing without a recorded Permit. `SEED=… RUNS=…` goes elsewhere.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { HostileUpstream } from '../support/hostile-upstream.ts'
import { http2Bytes, http2Exchange } from '../support/http2-exchange.ts'
import { block, type Field, FLAG, FRAME, frame, FrameClient, PREFACE, requestFields } from '../support/http2-frames.ts'
import { unpermitted } from '../support/permit-account.ts'
import type { Target } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'

const SEED = Number(process.env['SEED'] ?? 41)
const RUNS = Number(process.env['RUNS'] ?? 2_400)
const AT_ONCE = 32
/** Connections between two looks at whether all is well. */
const BATCH = 400
/** No connection outlives its caller's end of it for longer, in milliseconds. */
const PATIENCE = 20_000
/** How long a caller waits for the end of its first stream; many a changed request is never whole. */
const ANSWERED_IN = 80

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
    - { name: main, address: "127.0.0.1:0", protocols: [http1, http2], serves: [proxy, keys] }
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

/** In place of the token and of the number of the case, until the fields are written. */
const [TOKEN, NUMBER] = ['\xa4', '\xa6']
const OWN: Field = ['authorization', `Bearer ${TOKEN}`]
const [END, HEAD, ALL] = [FLAG.endStream, FLAG.endHeaders, FLAG.endStream | FLAG.endHeaders]

/** A frame that is still in parts: of a header block the fields, and of anything else its octets. */
type Part = { readonly type: number; readonly flags: number; readonly stream: number; readonly fields: readonly Field[]; readonly octets: string }
const part = (type: number, flags: number, stream: number, octets = '', fields: readonly Field[] = []): Part => ({ type, flags, stream, fields, octets })
const head = (stream: number, flags: number, method: string, path: string, more: readonly Field[] = [OWN]): Part => part(FRAME.headers, flags, stream, '', requestFields(method, path + NUMBER, more))
const data = (stream: number, flags: number, octets: string): Part => part(FRAME.data, flags, stream, octets)
const SETTINGS = part(FRAME.settings, 0, 0)

const VALID: readonly (readonly Part[])[] = [
  [SETTINGS, head(1, ALL, 'GET', '/public/a?q=1&r=')],
  [SETTINGS, head(1, ALL, 'GET', '/public/b', [OWN, ['cookie', 'a=1'], ['te', 'trailers'], ['cookie', 'b=2'], ['range', 'bytes=0-9']])],
  [SETTINGS, head(1, HEAD, 'POST', '/upload/a', [OWN, ['content-length', '15']]), data(1, END, 'hello, upstream')],
  [SETTINGS, head(1, HEAD, 'POST', '/early/a'), data(1, 0, 'x'.repeat(300)), data(1, END, 'y'.repeat(300))],
  [SETTINGS, head(1, HEAD, 'PUT', '/upload/b', [OWN, ['trailer', 'x-sum']]), data(1, 0, 'hello'), part(FRAME.headers, ALL, 1, '', [['x-sum', '1']])],
  [SETTINGS, head(1, HEAD, 'PUT', '/upload/c', [OWN, ['expect', '100-continue']]), data(1, END, 'continued')],
  [SETTINGS, head(1, ALL, 'HEAD', '/public/c'), head(3, ALL, 'OPTIONS', '/public/d'), head(5, ALL, 'DELETE', '/public/e;v=1/')],
  [SETTINGS, head(1, HEAD, 'POST', '/upload/d'), head(3, HEAD, 'POST', '/upload/e'), data(3, 0, 'three'), data(1, END, 'one'), data(3, END, 'three again')],
  [SETTINGS, head(1, END, 'GET', '/public/f'), part(FRAME.continuation, HEAD, 1, '', [['x-more', '1']])],
  [SETTINGS, head(1, ALL, 'GET', '/public/g'), part(FRAME.reset, 0, 1, '\0\0\0\x08'), head(3, ALL, 'GET', '/public/h')],
  [SETTINGS, head(1, HEAD, 'POST', '/upload/f'), data(1, 0, 'cut'), part(FRAME.reset, 0, 1, '\0\0\0\x08'), head(3, ALL, 'GET', '/public/i')],
  [SETTINGS, head(1, ALL, 'GET', '/admin/x'), head(3, ALL, 'GET', '/public/j', []), head(5, ALL, 'GET', '/.narrowgate/session?')],
  [SETTINGS, part(FRAME.ping, 0, 0, '12345678'), part(FRAME.windowUpdate, 0, 0, '\0\0\x10\0'), head(1, ALL, 'GET', '/public/k'), part(FRAME.windowUpdate, 0, 1, '\0\0\x10\0')],
  [part(FRAME.settings, 0, 0, '\0\x04\0\0\0\0'), head(1, ALL, 'GET', '/public/l'), part(FRAME.settings, 0, 0, '\0\x04\0\0\xff\xff'), part(FRAME.settings, FLAG.ack, 0)],
  [SETTINGS, part(FRAME.headers, HEAD, 1, '', [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':authority', 'api.test'], [':path', `/public/ws${NUMBER}`], OWN, ['sec-websocket-version', '13']])],
  [SETTINGS, head(1, ALL, 'GET', '/public/m'), part(FRAME.goaway, 0, 0, '\0\0\0\0\0\0\0\0')],
  [SETTINGS, head(1, HEAD, 'POST', '/public/m', [OWN, ['content-type', 'application/grpc'], ['te', 'trailers']]), data(1, END, '\0\0\0\0\x02ok')],
]

const WORDS: readonly string[] = [':path', ':method', ':authority', ':scheme', ':protocol', ':status', 'host', 'connection', 'transfer-encoding', 'content-length', 'content-type', 'te', 'expect', 'upgrade', 'cookie',
  'x-forwarded-for', 'narrowgate-subject', 'max-forwards', 'early-data', 'via', 'x-a', 'X-A', '', 'grpc-timeout', 'application/grpc', '/admin/x', '/admin', '*', 'GET', 'CONNECT', 'websocket', 'api.test', 'other.test',
  '0', '1', '70000', '-1', '99999999999999999999', 'chunked', 'trailers', '100-continue', 'close', 'a\r\nb: c', '\0', '%00', '/../', '//', '\xff', `Bearer ${TOKEN}`, 'a'.repeat(9_000)]
const EXTRA: readonly Part[] = [
  SETTINGS, part(FRAME.settings, 0, 0, '\0\x01\0\0\0\0'), part(FRAME.settings, 0, 0, '\0\x03\0\0\0\0'), part(FRAME.settings, 0, 0, '\0\x05\xff\xff\xff\xff'), part(FRAME.settings, FLAG.ack, 0), part(FRAME.ping, 0, 0, 'abcdefgh'), part(FRAME.ping, 0, 0, 'abc'),
  part(FRAME.priority, 0, 1, '\0\0\0\x01\x10'), part(FRAME.push, HEAD, 1, '\0\0\0\x02'), part(FRAME.windowUpdate, 0, 1, '\0\0\0\0'), part(FRAME.windowUpdate, 0, 0, '\x7f\xff\xff\xff'), part(FRAME.reset, 0, 1, '\0\0\0\0'), part(FRAME.reset, 0, 9, '\0\0\0\x08'),
  part(FRAME.goaway, 0, 0, '\0\0\0\0\0\0\0\x02'), part(FRAME.continuation, HEAD, 1), data(1, END, 'more'), data(1, FLAG.padded, '\x05ab\0\0\0\0\0'), data(1, FLAG.padded, '\xff'), data(0, 0, 'x'), data(1, 0, ''), part(0x42, 0, 1, 'unknown'),
  head(1, ALL, 'GET', '/public/again'), head(2, ALL, 'GET', '/public/even'), head(99, ALL, 'GET', '/public/far'), part(FRAME.headers, ALL, 1, '', [['x-t', '1'], ['authorization', 'forged']]), part(FRAME.headers, ALL, 7, '', [[':path', '/x']]),
]

type Change = (parts: readonly Part[]) => readonly Part[]
const spot = fc.noBias(fc.nat(100_000))
const swapped = <T>(all: readonly T[], at: number, how: (one: T) => readonly T[]): readonly T[] => all.flatMap((one, i) => (i === at % all.length ? how(one) : [one]))
/** The head more often than the rest: SETTINGS are first. */
const inHead = (where: number, how: (fields: readonly Field[], at: number) => readonly Field[]): Change => parts => {
  const at = parts.findIndex(({ fields }) => fields.length > 0)
  return parts.map((one, i) => (i === at ? { ...one, fields: how(one.fields, where % one.fields.length) } : one))
}
const put = (text: string, at: number, what: string, over: number): string => text.slice(0, at % (text.length + 1)) + what + text.slice((at % (text.length + 1)) + over)

/** Fields that a head may well have. */
const GOOD: readonly Field[] = [['x-extra', '1'], ['accept-encoding', 'gzip'], ['cookie', 'c=3'], ['forwarded', 'for=forged'], ['x-http-method-override', 'DELETE'], ['via', '2 other'], ['max-forwards', '3']]

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 16, arbitrary: fc.constantFrom(...GOOD).map(good => inHead(0, fields => [...fields, good])) },
  { weight: 3, arbitrary: fc.tuple(spot, spot, fc.constantFrom(...WORDS), fc.nat(3)).map(([where, at, word, over]) => inHead(where, (fields, which) => swapped(fields, which, ([name, value]) => [[name, put(value, at, word, over)]]))) },
  { weight: 3, arbitrary: fc.tuple(spot, fc.constantFrom(...WORDS)).map(([where, word]) => inHead(where, (fields, which) => swapped(fields, which, ([name]) => [[name, word]]))) },
  { weight: 2, arbitrary: fc.tuple(spot, spot, fc.nat(255)).map(([where, at, octet]) => inHead(where, (fields, which) => swapped(fields, which, ([name, value]) => [[put(name, at, String.fromCharCode(octet), 1), value]]))) },
  { weight: 3, arbitrary: fc.tuple(spot, fc.constantFrom(...WORDS), fc.constantFrom(...WORDS)).map(([where, name, value]) => inHead(where, (fields, which) => swapped(fields, which, field => [field, [name, value]]))) },
  fc.tuple(spot, spot).map(([where, to]) => inHead(where, (fields, which) => [...fields.filter((_, i) => i !== which).slice(0, to % fields.length), ...fields.filter((_, i) => i === which)])),
  spot.map(where => inHead(where, (fields, which) => swapped(fields, which, field => [field, field]))),
  { weight: 3, arbitrary: fc.tuple(spot, fc.constantFrom(...EXTRA)).map(([where, extra]) => (parts: readonly Part[]) => swapped(parts, where, one => [one, extra])) },
  { weight: 2, arbitrary: fc.tuple(spot, fc.nat(255)).map(([where, flags]) => (parts: readonly Part[]) => swapped(parts, where, one => [{ ...one, flags }])) },
  fc.tuple(spot, fc.nat(11)).map(([where, type]) => (parts: readonly Part[]) => swapped(parts, where, one => [{ ...one, type }])),
  { weight: 2, arbitrary: fc.tuple(spot, fc.constantFrom(0, 1, 2, 3, 5, 7, 2 ** 31 - 1)).map(([where, stream]) => (parts: readonly Part[]) => swapped(parts, where, one => [{ ...one, stream }])) },
  fc.tuple(spot, fc.boolean()).map(([where, twice]) => (parts: readonly Part[]) => swapped(parts, where, one => (twice ? [one, one] : []))),
  fc.tuple(spot, spot, fc.nat(255)).map(([where, at, octet]) => (parts: readonly Part[]) => swapped(parts, where, one => [{ ...one, octets: put(one.octets, at, String.fromCharCode(octet), octet % 2) }])),
)
/** Of the bytes themselves, as far from the end as named: behind the preface there are frame heads, lengths and compressed fields. */
type Scratch = { readonly at: number; readonly octet: number; readonly over: number }
const scratch = fc.record<Scratch>({ at: spot, octet: fc.nat(255), over: fc.nat(3) })

type Case = {
  readonly parts: readonly Part[]
  readonly scratches: readonly Scratch[]
  /** Sent in two pieces, the second behind a turn; -1 for one. */
  readonly split: number
  /** What the caller does behind the last byte. */
  readonly leaving: 'waits' | 'fin' | 'gone'
  readonly carrier: number
}
const cases: fc.Arbitrary<Case> = fc.record({
  parts: fc.tuple(fc.constantFrom(...VALID), fc.oneof(fc.tuple(change), fc.array(change, { minLength: 1, maxLength: 3 }))).map(([valid, changes]) => changes.reduce((parts, each) => (parts.length === 0 ? parts : each(parts)), valid)),
  scratches: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(scratch, { minLength: 1, maxLength: 3 })),
  split: fc.oneof(fc.constant(-1), spot), leaving: fc.constantFrom('waits', 'waits', 'waits', 'waits', 'fin', 'gone'), carrier: fc.nat(3),
})

function bytesOf({ parts, scratches, carrier }: Case, number: number): Buffer {
  const spelt = (text: string): string => (carrier === 3 && text === 'http' ? 'https' : text.replaceAll(TOKEN, token).replaceAll(NUMBER, String(number)))
  const frames = parts.map(({ type, flags, stream, fields, octets }) => frame(type, flags, stream, Buffer.concat([block(fields.map(([name, value]) => [spelt(name), spelt(value)])), Buffer.from(octets, 'latin1')])))
  const whole = Buffer.concat([PREFACE, ...frames]).toString('latin1')
  return Buffer.from(scratches.reduce((text, { at, octet, over }) => put(text, at, String.fromCharCode(octet), over), whole), 'latin1')
}

// ---- one of them

/** Bodies of what was answered, problems and others. */
const said = ({ frames }: FrameClient): string => Buffer.concat(frames.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload)).toString('latin1')
const over = ({ frames, over: gone }: FrameClient): boolean => gone || frames.some(({ type, stream, flags }) => stream > 0 && (type === FRAME.reset || ((type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0)))

async function play(each: Case, number: number): Promise<readonly number[]> {
  const bytes = bytesOf(each, number)
  const cut = each.split < 0 ? bytes.length : each.split % bytes.length
  const client = await FrameClient.connect(carriers[each.carrier] ?? { port: 0 }, bytes.subarray(0, cut))
  if (cut < bytes.length) {
    await new Promise(resolve => setImmediate(resolve))
    client.push(bytes.subarray(cut))
  }
  if (each.leaving === 'waits') await client.until(() => over(client), ANSWERED_IN).catch(() => undefined)
  if (each.leaving === 'gone') client.close()
  else client.end()
  await Promise.race([client.ended, pause(PATIENCE).then(() => { throw new Error(`still open ${PATIENCE} ms behind the caller's FIN`) })])
  const text = said(client)
  if (text.includes('internal_error') || text.includes(token)) throw new Error(text)
  return [...text.matchAll(/"status":(\d+)/g)].map(([, status]) => Number(status)).concat(text.includes('ok') ? [200] : [])
}

/** All of them, so many at once. @returns every case that went wrong */
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
  for (const [target, scheme] of [[carriers[0], 'http'], [carriers[3], 'https']] as const) {
    const answer = await http2Exchange(target ?? { port: 0 }, [http2Bytes(requestFields('GET', '/public/good', [['authorization', `Bearer ${token}`]], scheme))])
    expect([answer.status, answer.body], context).toEqual([200, 'ok'])
  }
}

test(`[WIRE3, WIRE14, WIRE16] ${RUNS} exchanges over HTTP/2 with changed fields, frames and octets leave the gateway as it was (SEED=${SEED})`, async () => {
  await isWell('before')
  const all = fc.sample(cases, { seed: SEED, numRuns: RUNS })
  const tally = new Map<number, number>()
  const before = strangers()
  for (let from = 0; from < all.length; from += BATCH) {
    const context = `SEED=${SEED} RUNS=${RUNS}, cases ${from} to ${from + BATCH}`
    expect(await playAll(all.slice(from, from + BATCH), from, tally), context).toEqual([])
    await isWell(context)
    expect([upstream.malformed, upstream.led], context).toEqual([[], []])
  }
  await until(() => strangers() <= before, `no socket to be left behind (SEED=${SEED}): ${before} before`, PATIENCE)
  expect(await unpermitted(gate, upstream.received), `SEED=${SEED}`).toEqual([])
  expect([...tally].filter(([status]) => status >= 500 && status !== 501), `SEED=${SEED}`).toEqual([])
  expect((await gate.ops('/metrics')).text).not.toMatch(/reason="internal_error"\S* [1-9]/)
  expect(upstream.received.length).toBeGreaterThan(RUNS / 20)
  for (const status of [200, 400, 401, 403]) expect(tally.get(status), `answers with ${status}`).toBeGreaterThan(0)
}, 180_000)
