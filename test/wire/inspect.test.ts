// Bodies that are read before the decision: what was judged is what goes upstream, what cannot be read goes nowhere, and whatever changes meanwhile
// is seen by the judge's last look. Whole gateways, real sockets, in HTTP/1.1 and HTTP/2 on both sides. SPEC: INS1, REC2, RULES 7
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { InspectedBytes } from '../../src/proxy/http/inspected-bytes.ts'
import { TestGateway } from '../support/gateway.ts'
import { http2Bytes, http2Exchange, http2OutcomeOf } from '../support/http2-exchange.ts'
import { block, type Field, FLAG, FRAME, frame, FrameClient, requestFields } from '../support/http2-frames.ts'
import { RawClient, type RawResponse, request, requestOnce } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { until } from './support.ts'

const MAX = 256 * 1024

const configuration = (directory: string, issuer: string, origin: string, http2: string): string => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  limits: { inspectBytes: 256KiB, inspectTimeout: 2s, inspectTotal: 300KiB }
authn: { login: { jwt: { issuer: "${issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json } } }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${origin}" }, two: { url: "${http2}", protocol: http2 } }
telemetry: { logs: { level: silent } }
audit: { trail: { fsync: true } }
elevations: { writer: { adds: [api:write], for: 10m } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { methods: [POST, PUT], paths: [/upload/pay, /echo/pay] }, inspect: json, if: "body.amount < 100", record: digests }
      - { allow: { paths: [/echo/tool] }, inspect: json, if: "!has(body.tool) || body.tool == 'read'" }
      - { allow: { paths: [/echo/any] }, inspect: json, if: "!has(body.admin)" }
      - { allow: { paths: [/echo/write] }, scope: api:write, inspect: json, if: "body.amount < 100" }
      - { allow: { paths: [/socket], upgrade: websocket }, record: digests }
      - { allow: { paths: [/download/**, /sse/**, /upload/plain] }, record: digests }
      - { allow: { paths: [/**] } }
  - name: watched
    match: { host: watched.test }
    upstream: api
    mode: observe
    rules: [{ allow: { paths: [/**] }, inspect: json, if: "body.amount < 100" }]
  - name: two
    match: { host: two.test }
    upstream: two
    rules: [{ allow: { paths: [/**] }, inspect: json, if: "body.amount < 100" }]
`

type Two = { readonly server: Http2Server; readonly got: { readonly fields: Record<string, unknown>; readonly body: string; readonly trailers: number }[]; readonly sessions: ServerHttp2Session[] }

async function http2Upstream(): Promise<Two> {
  const two: Two = { server: createServer(), got: [], sessions: [] }
  two.server.on('session', session => two.sessions.push(session))
  two.server.on('stream', (stream: ServerHttp2Stream, fields) => {
    const chunks: Buffer[] = []
    let trailers = 0
    stream.on('trailers', () => trailers++)
    stream.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      two.got.push({ fields, body: Buffer.concat(chunks).toString(), trailers })
      stream.respond({ ':status': 200, 'content-type': 'text/plain' })
      stream.end('ok')
    })
  })
  two.server.listen(0, '127.0.0.1')
  await once(two.server, 'listening')
  return two
}

let gate: TestGateway
let upstream: RecordingUpstream
let two: Two
let token: string
let subject = ''
let callers = 0

beforeAll(async () => {
  upstream = await RecordingUpstream.start()
  two = await http2Upstream()
  const { port } = two.server.address() as AddressInfo // it listens on a port
  gate = await TestGateway.start({ routes: '', upstream, config: ({ directory, issuer }) => configuration(directory, issuer.issuer, upstream.origin, `http://127.0.0.1:${port}`) })
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  for (const session of two.sessions) session.destroy()
  two.server.close()
})
beforeEach(async () => {
  upstream.forget()
  subject = `caller-${++callers}`
  token = await gate.token({ sub: subject })
})
afterEach(() => vi.restoreAllMocks())

const JSON_TYPE = { 'Content-Type': 'application/json' } as const
const bearer = (): { readonly Authorization: string } => ({ Authorization: `Bearer ${token}` })
const post = (path: string, body: string, headers: Readonly<Record<string, string>> = JSON_TYPE): Promise<RawResponse> => requestOnce(gate.target, request('POST', path, { ...bearer(), ...headers }, body))
const chunk = (text: string): string => `${Buffer.byteLength(text, 'latin1').toString(16)}\r\n${text}\r\n`
const chunked = (path: string, pieces: readonly string[], trailers = ''): string => `${request('POST', path, { ...bearer(), ...JSON_TYPE, 'Transfer-Encoding': 'chunked' })}${pieces.map(chunk).join('')}0\r\n${trailers}\r\n`
const reasonOf = ({ body }: RawResponse): unknown => (JSON.parse(body.toString()) as { readonly reason: unknown }).reason // a problem of ours
const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url')
const utf8 = (text: string): string => Buffer.from(text).toString('latin1')
const fieldsOf = (path: string, more: readonly Field[] = [], type = 'application/json'): readonly Field[] => requestFields('POST', path, [['authorization', `Bearer ${token}`], ['content-type', type], ...more])

/** What was to come has come before this. */
async function nothingReached(): Promise<void> {
  expect((await requestOnce(gate.target, request('GET', '/plain/after', { Authorization: `Bearer ${await gate.token({ sub: 'somebody-else' })}` }))).status).toBe(200)
  expect(upstream.requests.map(({ path }) => path)).toEqual(['/plain/after'])
  expect(upstream.bytes()).toMatch(/^\n*GET \/plain\/after /)
}

async function isRefused(answer: RawResponse, status: number, reason: string): Promise<void> {
  expect([answer.status, reasonOf(answer)], answer.body.toString()).toEqual([status, reason])
  await nothingReached()
}

const linesOf = async (path: string): Promise<readonly Record<string, unknown>[]> => (await gate.trail()).filter(line => line['path'] === path && line['subject'] === `${gate.issuer.issuer}|${subject}`)

async function closedOf(path: string): Promise<Record<string, unknown>> {
  const opened = (await linesOf(path)).find(({ kind }) => kind === 'exchange.opened')
  let closed: Record<string, unknown> | undefined
  await vi.waitUntil(async () => (closed = (await gate.trail()).find(line => line['kind'] === 'exchange.closed' && line['exchange'] === opened?.['exchange'])) !== undefined, { timeout: 5_000 })
  return closed ?? {}
}

describe('what was judged is what goes upstream', () => {
  const WRITTEN = '{"amount":99.5,"to":"é","list":[1,{"a":null}],"n":100000}'
  const CAME = utf8(' {\r\n"amount" : 9.95e1, "\\u0074o": "\\u00e9",\t"list":[1 ,{"a":null}], "n": 1E5 }\n')

  async function isForwarded(path: string): Promise<void> {
    const got = await upstream.request(path)
    await until(() => got.bodyEndedAt > 0, 'the body is there')
    expect(got.body().toString()).toBe(WRITTEN)
    expect(got.header('content-length')).toEqual([String(Buffer.byteLength(WRITTEN))])
    expect(got.header('transfer-encoding')).toEqual([])
    expect(got.header('content-type')).toEqual(['application/json'])
    expect(upstream.bytes().match(/POST /g)).toHaveLength(1)
    expect(upstream.bytes()).toMatch(/\r\n\r\n\{"amount".*\}$/)
  }

  test('[INS1] with a length, in chunks, and piece by piece', async () => {
    expect((await post('/upload/pay', CAME)).status).toBe(200)
    await isForwarded('/upload/pay')
    upstream.forget()
    expect((await requestOnce(gate.target, chunked('/upload/pay', [CAME.slice(0, 1), CAME.slice(1, 9), CAME.slice(9)], 'X-Trailer: 1\r\n'))).status).toBe(200)
    await isForwarded('/upload/pay')
    expect(upstream.requests[0]?.trailers).toEqual([])
    upstream.forget()
    const client = await RawClient.connect(gate.target)
    await client.send(request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE, 'Content-Length': String(CAME.length) }))
    for (const piece of [CAME.slice(0, 5), CAME.slice(5, 6), CAME.slice(6)]) {
      expect(upstream.requests).toHaveLength(0)
      await client.send(piece)
    }
    expect((await client.response()).status).toBe(200)
    client.close()
    await isForwarded('/upload/pay')
  })

  test('[INS1] from a caller that speaks HTTP/2, with and without a length, and its trailers stay here', async () => {
    const body = CAME
    for (const bytes of [http2Bytes(fieldsOf('/upload/pay', [['content-length', String(body.length)]]), body), http2Bytes(fieldsOf('/upload/pay'), body), http2Bytes(fieldsOf('/upload/pay'), body, [['x-trailer', '1']])]) {
      expect(await http2Exchange(gate.target, [bytes])).toMatchObject({ status: 200, body: `{"received":${Buffer.byteLength(WRITTEN)}}` })
      await isForwarded('/upload/pay')
      upstream.forget()
    }
  })

  test('[INS1] to an upstream that speaks HTTP/2', async () => {
    expect((await post('/x', CAME, { ...JSON_TYPE, Host: 'two.test' })).status).toBe(200)
    expect(two.got.at(-1)).toMatchObject({ body: WRITTEN, fields: { 'content-length': String(Buffer.byteLength(WRITTEN)), 'content-type': 'application/json' } })
    expect((await requestOnce(gate.target, chunked('/x', [CAME], 'X-Trailer: 1\r\n').replace('api.test', 'two.test'))).status).toBe(200)
    expect(two.got.at(-1)).toMatchObject({ body: WRITTEN, trailers: 0 })
    const refused = await post('/x', '{"amount":100}', { ...JSON_TYPE, Host: 'two.test' })
    expect([refused.status, reasonOf(refused), two.got.length]).toEqual([403, 'condition_false', 2])
  })

  test('[INS1] a long body in every octet of it', async () => {
    const long = JSON.stringify({ amount: 1, text: 'x'.repeat(200_000), unicode: 'é✓'.repeat(1_000) })
    expect((await post('/upload/pay', utf8(long))).status).toBe(200)
    expect((await upstream.request('/upload/pay')).body().toString()).toBe(long)
  })

  test('[INS1] a request without a body is an object without members, and nothing is sent', async () => {
    expect((await requestOnce(gate.target, request('GET', '/echo/tool', bearer()))).status).toBe(200)
    expect((await requestOnce(gate.target, request('POST', '/echo/tool', { ...bearer(), 'Content-Length': '0' }))).status).toBe(200)
    expect((await requestOnce(gate.target, chunked('/echo/tool', []))).status).toBe(200)
    expect(upstream.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([0, 0, 0])
    const answer = await requestOnce(gate.target, request('PUT', '/upload/pay', { ...bearer(), 'Content-Length': '0' }))
    expect([answer.status, reasonOf(answer)]).toEqual([403, 'condition_error'])
  })

  test('[INS1] the body decides, in the judge\'s second look', async () => {
    await isRefused(await post('/upload/pay', '{"amount":100}'), 403, 'condition_false')
    upstream.forget()
    await isRefused(await post('/upload/pay', '{"amount":"1"}'), 403, 'condition_error')
    upstream.forget()
    await isRefused(await post('/upload/pay', '{}'), 403, 'condition_error')
    expect((await post('/upload/pay', '{"amount":99}')).status).toBe(200)
  })

  test('[INS1] on an observed route what it says is softened, what cannot be read is not', async () => {
    const watched = { ...JSON_TYPE, Host: 'watched.test' }
    expect((await post('/echo/seen', '{ "amount": 500 }', watched)).status).toBe(200)
    expect(upstream.requests[0]?.body().toString()).toBe('{"amount":500}')
    expect((await linesOf('/echo/seen'))[0]).toMatchObject({ grant: 'observed', would: 'condition_false', bodyDigest: digestOf('{"amount":500}') })
    upstream.forget()
    await isRefused(await post('/echo/seen', '{"amount":5,"amount":6}', watched), 400, 'body_malformed')
  })

  test('[INS1] requests of one connection: each its own body, whatever of the next came with it', async () => {
    const client = await RawClient.connect(gate.target)
    await client.send(chunked('/upload/pay', ['{"amount":1}']) + request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE }, '{"amount":1000}') + request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE }, '{"amount": 22}') + request('GET', '/plain/last', bearer()))
    const answers = [await client.response(), await client.response(), await client.response(), await client.response()]
    expect(answers.map(({ status }) => status)).toEqual([200, 403, 200, 200])
    expect(upstream.requests.map(found => found.body().toString())).toEqual(['{"amount":1}', '{"amount":22}', ''])
    client.close()
  })
})

describe('what has no one reading', () => {
  test.each([
    '{"tool":"read","tool":"delete"}', '{"tool":"read","\\u0074ool":"delete"}', '{"tool":"read","Tool":"delete"}', '{"tool":"read","TOOL":"delete"}', utf8('\ufeff{"tool":"read"}'), '{"tool":"read"} {"tool":"delete"}', '{"tool":"read"}\0',
    '{"tool":"read"/*,"tool":"delete"*/}', '{"tool":"read",}', '{"tool":"\\ud800"}', '{"amount":1e400}', '{"amount":12345678901234567890}', `{"a":${'['.repeat(70)}${']'.repeat(70)}}`, '[{"tool":"delete"}]', '"delete"', 'null', 'tool=delete', '\xff\xfe{\0}\0', '{"tool":"\xe9"}', ' ', '{"tool":"delete"',
  ])('[AZ-003, INS1] %j is refused, in both protocols', async body => {
    await isRefused(await post('/echo/tool', body), 400, 'body_malformed')
    expect(await http2Exchange(gate.target, [http2Bytes(fieldsOf('/echo/tool'), body)])).toMatchObject({ status: 400, reason: 'body_malformed' })
    upstream.forget()
    await nothingReached()
  })

  test.each([
    {}, { 'Content-Type': 'text/plain' }, { 'Content-Type': 'text/json' }, { 'Content-Type': 'application/json; charset=utf-16' }, { 'Content-Type': 'application/json;charset=utf-8;charset=utf-7' }, { 'Content-Type': 'application/jsonx' }, { 'Content-Type': 'multipart/form-data; boundary=x' },
    { 'Content-Type': 'application/json, text/plain' }, { 'Content-Type': 'application/json;' }, { ...JSON_TYPE, 'Content-Encoding': 'gzip' }, { ...JSON_TYPE, 'content_encoding': 'gzip' }, { ...JSON_TYPE, 'Content-Encoding': 'identity, gzip' }, { ...JSON_TYPE, 'Content-Range': 'bytes 0-9/20' },
  ] as readonly Readonly<Record<string, string>>[])('[AZ-003, INS1] a body announced as %j is refused, and never asked for', async headers => {
    const answer = await requestOnce(gate.target, request('POST', '/echo/tool', { ...bearer(), ...headers, Expect: '100-continue', 'Content-Length': '15' }))
    expect(answer.informational).toEqual([])
    await isRefused(answer, 400, 'body_malformed')
  })

  test.each(['application/json; charset=utf-8', 'application/JSON;charset="UTF-8"', 'application/merge-patch+json', 'application/vnd.api+json; profile=x'])('[INS1] a body announced as %s is read', async type => {
    expect((await post('/echo/tool', '{"tool":"read"}', { 'Content-Type': type, 'Content-Encoding': 'identity' })).status).toBe(200)
  })

  test('[AZ-003, INS1] a name of JavaScript\'s own is a name like any other', async () => {
    const body = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'
    expect((await post('/echo/any', body)).status).toBe(200)
    expect(upstream.requests[0]?.body().toString()).toBe(body)
    expect(Reflect.get({}, 'admin')).toBeUndefined()
    expect(reasonOf(await post('/echo/any', '{"admin":true}'))).toBe('condition_false')
  })

  test.each([
    ['Content-Length: 12\r\nTransfer-Encoding: chunked', `${chunk('{"amount":1}')}0\r\n\r\n`], ['Content-Length: 12\r\nContent-Length: 14', '{"amount":1}  '], ['Transfer-Encoding: gzip, chunked', `${chunk('{"amount":1}')}0\r\n\r\n`], ['Transfer-Encoding: chunked', 'c\r\n{"amount":1}xx0\r\n\r\n'],
    ['Transfer-Encoding: chunked', 'c;\n{"amount":1}\r\n0\r\n\r\n'], ['Transfer-Encoding: chunked', '-c\r\n{"amount":1}\r\n0\r\n\r\n'], ['Content-Length: +12', '{"amount":1}'],
  ])('[AZ-003, INS1] framing that two readers may see differently (%s) goes nowhere', async (framing, body) => {
    const head = `POST /upload/pay HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`
    expect((await requestOnce(gate.target, head + body)).status).toBe(400)
    await nothingReached()
  })
})

/** Octets that may have been sent on stream 1 so far. */
const roomOf = ({ frames }: FrameClient): number => Math.min(...[0, 1].map(of => frames.filter(({ type, stream }) => type === FRAME.windowUpdate && stream === of).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 65_535)))

describe('what is too much', () => {
  const big = (): string => `{"pad":"${'x'.repeat(MAX)}","amount":1000}`

  test('[AZ-001, INS1] a body over the limit is refused, however it comes, and nothing of it is forwarded', async () => {
    await isRefused(await post('/upload/pay', big()), 413, 'body_too_large')
    upstream.forget()
    await isRefused(await requestOnce(gate.target, chunked('/upload/pay', [big().slice(0, 1_000), big().slice(1_000)])), 413, 'body_too_large')
    upstream.forget()
    const client = await FrameClient.connect(gate.target)
    client.push(frame(FRAME.headers, FLAG.endHeaders, 1, block(fieldsOf('/upload/pay'))))
    for (let at = 0; at < big().length; at += 16_000) {
      const sent = at
      await client.until(() => client.over || client.frames.some(({ type, stream }) => type === FRAME.headers && stream === 1) || roomOf(client) >= sent + 16_000)
      client.push(frame(FRAME.data, at + 16_000 >= big().length ? FLAG.endStream : 0, 1, big().slice(at, at + 16_000)))
    }
    await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 1 && (flags & FLAG.endStream) !== 0)
    expect(http2OutcomeOf(client)).toMatchObject({ status: 413, reason: 'body_too_large' })
    client.close()
    await nothingReached()
  })

  test('[AZ-001, INS1] the largest body is taken, and one octet more is not', async () => {
    const exactly = (bytes: number): string => `{"amount":1,"pad":"${'x'.repeat(bytes - 21)}"}`
    expect(exactly(MAX)).toHaveLength(MAX)
    expect((await post('/upload/pay', exactly(MAX))).status).toBe(200)
    expect((await requestOnce(gate.target, chunked('/upload/pay', [exactly(MAX)]))).status).toBe(200)
    upstream.forget()
    await isRefused(await requestOnce(gate.target, chunked('/upload/pay', [exactly(MAX), ' '])), 413, 'body_too_large')
  })

  test('[INS1] a body that does not come in time is refused with 408, before its time as after it', async () => {
    const started = performance.now()
    const answer = await requestOnce(gate.target, request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE, 'Content-Length': '12' }) + '{"amount":')
    expect(performance.now() - started).toBeGreaterThan(1_900)
    await isRefused(answer, 408, 'request_timeout')
    const outcome = await http2Exchange(gate.target, [frame(FRAME.headers, FLAG.endHeaders, 1, block(fieldsOf('/upload/pay')))])
    expect(outcome).toMatchObject({ status: 408, reason: 'request_timeout' })
  })

  test('[INS1] all bodies together are bounded, counted, and given back when their requests are over', async () => {
    const limited = async (): Promise<number> => Number(/limit_reached_total\{limit="inspected_bytes"\} (\d+)/.exec((await gate.ops('/metrics')).text)?.[1] ?? 0)
    const before = await limited()
    const half = `{"amount":1,"pad":"${'x'.repeat(200_000)}`
    const taken = vi.spyOn(InspectedBytes.prototype, 'take')
    const first = await RawClient.connect(gate.target)
    await first.send(request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE, 'Content-Length': '220000' }) + half)
    await until(() => taken.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0) === half.length, 'all that was sent of the first is read')
    const answer = await post('/upload/pay', `${half}"}`)
    expect([answer.status, reasonOf(answer)]).toEqual([403, 'limit_reached'])
    expect(await limited()).toBe(before + 1)
    first.close()
    await until(() => gate.parts.inflight.size === 0, 'the first is gone')
    await vi.waitUntil(async () => (await post('/upload/pay', `${half}"}`)).status === 200, { timeout: 5_000 })
    for (let i = 0; i < 4; i++) expect((await post('/upload/pay', `${half}"}`)).status).toBe(200)
    for (let i = 0; i < 4; i++) expect((await post('/upload/pay', `${half}`)).status).toBe(400)
    expect((await post('/upload/pay', `${half}"}`)).status).toBe(200)
  })
})

describe('who is asked for a body', () => {
  const expecting = (path: string, headers: Readonly<Record<string, string>> = {}): string => request('POST', path, { ...bearer(), ...JSON_TYPE, Expect: '100-continue', 'Content-Length': '12', ...headers })

  test('[INS1] one that the headers let in: 100 first, then the body, then upstream', async () => {
    const client = await RawClient.connect(gate.target)
    await client.send(expecting('/upload/pay'))
    await client.until(() => client.bytes().toString() === 'HTTP/1.1 100 Continue\r\n\r\n')
    expect(upstream.requests).toHaveLength(0)
    await client.send('{"amount":1}')
    const answer = await client.response()
    expect([answer.status, answer.informational.map(({ status }) => status)]).toEqual([200, [100]])
    client.close()
    const frames = await FrameClient.connect(gate.target)
    frames.push(frame(FRAME.headers, FLAG.endHeaders, 1, block(fieldsOf('/upload/pay', [['expect', '100-continue']]))))
    await frames.first(({ type }) => type === FRAME.headers)
    frames.push(frame(FRAME.data, FLAG.endStream, 1, '{"amount":1}'))
    await frames.first(({ type, flags }) => type === FRAME.data && (flags & FLAG.endStream) !== 0)
    expect(frames.frames.filter(({ type, stream }) => type === FRAME.headers && stream === 1)).toHaveLength(2) // 100 once, then the answer
    frames.close()
  })

  test('[INS1] not one that they refuse: no credential, no right, too long', async () => {
    for (const [bytes, status, reason] of [[expecting('/upload/pay', { Authorization: 'Bearer x' }), 401, 'credential_invalid'], [expecting('/echo/write'), 403, 'elevation_required'], [expecting('/upload/pay', { 'Content-Length': String(MAX + 1) }), 413, 'body_too_large']] as const) {
      const answer = await requestOnce(gate.target, bytes)
      expect([answer.status, reasonOf(answer), answer.informational]).toEqual([status, reason, []])
    }
    await nothingReached()
  })
})

describe('what happens while a body is read', () => {
  const BODY = '{"amount":5}'

  /** Sends the head and half of the body, waits until it is read, acts, and sends the rest. */
  async function meanwhile(path: string, act: () => Promise<unknown>): Promise<RawResponse> {
    const step = gate.parts.steps.find(({ name }) => name === 'inspect')
    if (step === undefined) throw new Error('no step reads bodies')
    const run = vi.spyOn(step, 'run')
    const client = await RawClient.connect(gate.target)
    await client.send(request('POST', path, { ...bearer(), ...JSON_TYPE, 'Content-Length': String(BODY.length) }) + BODY.slice(0, 5))
    await until(() => run.mock.calls.length === 1, 'it is being read')
    await act()
    await client.send(BODY.slice(5))
    const answer = await client.response()
    client.close()
    expect(run).toHaveBeenCalledOnce()
    run.mockRestore()
    return answer
  }

  test.each([['terminate', 'revoked'], ['freeze', 'frozen']])('[INS1, ENF2] %s: the judge sees it, and nothing goes upstream', async (verb, reason) => {
    const { id } = await gate.session(token)
    const answer = await meanwhile('/upload/pay', async () => expect((await gate.admin('POST', `/v1/sessions/${id}/${verb}`, { reason: 'test' })).status).toBe(200))
    expect([reason, 'credential_revoked']).toContain(reasonOf(answer))
    await nothingReached()
  })

  test('[INS1, ENF2] the end of the elevation: nothing goes upstream, and no intent was recorded before the body was read', async () => {
    const elevation = await gate.elevate(token, 'writer')
    const answer = await meanwhile('/echo/write', () => gate.ask('POST', `/.narrowgate/elevations/${elevation}/release`, { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, '{}'))
    await isRefused(answer, 403, 'elevation_required')
    expect((await linesOf('/echo/write')).map(({ kind }) => kind)).toEqual(['request.refused'])
    expect((await linesOf('/echo/write'))[0]).toMatchObject({ bodyDigest: digestOf(BODY) })
  })

  test('[INS1, CFG10] a reload that changes the rule: judged by the new one, with the body as it was read', async () => {
    const whole = readFileSync(gate.configFile, 'utf8')
    const reload = async (text: string): Promise<void> => {
      writeFileSync(gate.configFile, text)
      expect((await gate.gateway.reload('test')).ok).toBe(true)
    }
    await isRefused(await meanwhile('/upload/pay', () => reload(whole.replace('body.amount < 100', 'body.amount < 5'))), 403, 'condition_false')
    await reload(whole)
    upstream.forget()
    expect((await meanwhile('/upload/pay', () => reload(whole.replace(', inspect: json, if: "body.amount < 100", record', ', record')))).status).toBe(200)
    expect(upstream.requests[0]?.body().toString()).toBe(BODY)
    await reload(whole)
  })

  test('[INS1, CFG10] an open exchange whose body went by unread ends when a rule wants to read it', async () => {
    const whole = readFileSync(gate.configFile, 'utf8')
    const client = await RawClient.connect(gate.target)
    await client.send(request('POST', '/sse/news', { ...bearer(), ...JSON_TYPE }, '{"amount":1000}'))
    expect((await client.head()).status).toBe(200)
    const quiet = await RawClient.connect(gate.target)
    await quiet.send(request('GET', '/sse/news', bearer()))
    expect((await quiet.head()).status).toBe(200)
    writeFileSync(gate.configFile, whole.replace('{ allow: { paths: [/download/**, /sse/**, /upload/plain] }, record: digests }', '{ allow: { paths: [/sse/**] }, inspect: json, if: "!has(body.amount)" }'))
    expect((await gate.gateway.reload('test')).ok).toBe(true)
    await client.response() // an event stream ends between two events
    client.close()
    upstream.feed('news').emit('still here')
    await quiet.until(() => quiet.bytes().includes('still here'))
    quiet.close()
    writeFileSync(gate.configFile, whole)
    expect((await gate.gateway.reload('test')).ok).toBe(true)
  })

  test('[INS1] a caller that stops in the middle: nothing goes upstream, by its end, its reset or its stream\'s', async () => {
    for (const leave of ['end', 'reset'] as const) {
      const client = await RawClient.connect(gate.target)
      await client.send(request('POST', '/upload/pay', { ...bearer(), ...JSON_TYPE, 'Content-Length': '12' }) + '{"amount')
      if (leave === 'end') client.end()
      else client.close('reset')
      await client.ended
      upstream.forget()
      await nothingReached()
    }
    const frames = await FrameClient.connect(gate.target)
    frames.push(frame(FRAME.headers, FLAG.endHeaders, 1, block(fieldsOf('/upload/pay'))))
    frames.push(frame(FRAME.data, 0, 1, '{"amount":1}'))
    frames.push(frame(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8])))
    frames.push(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 3, block(requestFields('GET', '/plain/behind', [['authorization', `Bearer ${token}`]]))))
    await frames.first(({ type, stream, flags }) => type === FRAME.data && stream === 3 && (flags & FLAG.endStream) !== 0)
    frames.close()
    expect(upstream.requests.map(({ path }) => path)).not.toContain('/upload/pay')
  })
})

describe('what is on record', () => {
  test('[INS1, AUD2] the digest of what was judged: in the intent, the admission and the refusal', async () => {
    await gate.elevate(token, 'writer')
    expect((await post('/echo/write', '{ "amount" : 5 }')).status).toBe(200)
    expect((await post('/echo/write', '{ "amount" : 500 }')).status).toBe(403)
    expect((await post('/echo/write', '{"amount":5,"amount":6}')).status).toBe(400)
    expect((await requestOnce(gate.target, request('GET', '/plain/x', bearer()))).status).toBe(200)
    expect((await linesOf('/echo/write')).map(({ kind, bodyDigest }) => [kind, bodyDigest])).toEqual([
      ['request.intended', digestOf('{"amount":5}')], ['exchange.opened', digestOf('{"amount":5}')], ['request.refused', digestOf('{"amount":500}')], ['request.refused', null],
    ])
    expect((await linesOf('/plain/x')).map(({ bodyDigest }) => bodyDigest)).toEqual([null])
  })

  test('[REC2] the digests of both bodies as they went, where the rule says so', async () => {
    expect((await post('/upload/pay', '{ "amount": 5 }')).status).toBe(200)
    expect(await closedOf('/upload/pay')).toMatchObject({ requestDigest: digestOf('{"amount":5}'), answerDigest: digestOf('{"received":12}'), complete: true })
    expect((await requestOnce(gate.target, chunked('/upload/plain', ['a', 'bc']))).status).toBe(200)
    expect(await closedOf('/upload/plain')).toMatchObject({ requestDigest: digestOf('abc'), answerDigest: digestOf('{"received":3}') })
    const download = await requestOnce(gate.target, request('GET', '/download/300000', bearer()))
    expect(await closedOf('/download/300000')).toMatchObject({ requestDigest: digestOf(''), answerDigest: createHash('sha256').update(download.body).digest('base64url'), bytesDown: 300_000 })
    expect((await requestOnce(gate.target, request('GET', '/plain/y', bearer()))).status).toBe(200)
    expect(await closedOf('/plain/y')).toMatchObject({ requestDigest: null, answerDigest: null })
  })

  test('[REC2] of what had gone when it was cut', async () => {
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/sse/cut', bearer()))
    await client.head()
    upstream.feed('cut').emit('one')
    await client.until(() => client.bytes().includes('data: one\n\n'))
    const { id } = await gate.session(token)
    expect((await gate.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'test' })).status).toBe(200)
    await client.response()
    client.close()
    expect(await closedOf('/sse/cut')).toMatchObject({ answerDigest: digestOf('data: one\n\n'), reason: 'revoked', complete: false })
  })

  test('[REC2] of the frames of a WebSocket, both ways', async () => {
    const [asked, answered] = [Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2]), Buffer.from([0x81, 0x02, 0x68, 0x6f])]
    upstream.upgrades((message, socket) => {
      const accept = createHash('sha1').update(`${String(message.headers['sec-websocket-key'])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.on('error', () => undefined).on('data', () => socket.write(answered))
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    })
    const client = await RawClient.connect(gate.target)
    await client.send(request('GET', '/socket', { ...bearer(), Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' }))
    await client.until(() => client.bytes().includes('\r\n\r\n'))
    await client.send(asked)
    await client.until(() => client.bytes().includes(answered))
    const { id } = await gate.session(token)
    expect((await gate.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'test' })).status).toBe(200)
    await client.ended
    expect(await closedOf('/socket')).toMatchObject({ requestDigest: createHash('sha256').update(asked).digest('base64url'), answerDigest: createHash('sha256').update(answered).digest('base64url') })
  })
})
