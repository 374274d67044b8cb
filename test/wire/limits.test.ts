// Every limit of `server.limits` and of an upstream, reached through a socket: what the caller is told, and that it is counted. SPEC: WIRE7, WIRE14, WIRE16, WIRE20, SES12, ADM8
import { once } from 'node:events'
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { FLAG, FRAME, frame, FrameClient, headers, requestFields } from '../support/http2-frames.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { until } from './support.ts'

let upstream: RecordingUpstream
let gate: TestGateway | null = null
beforeAll(async () => (upstream = await RecordingUpstream.start()))
afterEach(async () => {
  await gate?.stop()
  gate = null
  upstream.forget()
})
afterAll(() => upstream.close())

const rules = 'rules: [{ allow: { paths: ["/open/**"] }, anonymous: true }, { allow: {}, scope: base:read }]'

/** One whose plain listener `main` speaks both protocols. @param api YAML of its upstream, behind the address */
async function started(limits: string, api = '', origin = upstream.origin): Promise<TestGateway> {
  gate = await TestGateway.start({
    upstream, routes: '',
    config: made => `
version: 1
stateDir: ${made.directory}/state
server:
  limits: { ${limits} }
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${made.issuer.issuer}", audience: narrowgate, jwksFile: ${made.directory}/jwks.json }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
upstreams: { api: { url: "${origin}"${api} } }
routes: [{ name: api, match: { host: api.test }, upstream: api, ${rules} }]
`,
  })
  return gate
}

async function valueOf(of: TestGateway, name: string): Promise<number> {
  const line = (await of.ops('/metrics')).text.split('\n').find(text => text.startsWith(`narrowgate_${name} `))
  return line === undefined ? 0 : Number(line.split(' ').at(-1))
}
const met = (of: TestGateway, limit: string): Promise<number> => valueOf(of, `limit_reached_total{limit="${limit}"}`)
const bearer = async (of: TestGateway, sub = 'one'): Promise<{ readonly authorization: string }> => ({ authorization: `Bearer ${await of.token({ sub })}` })
const told = ({ status, json }: Answer): unknown => [status, json['reason'] ?? null]
const saidBy = ({ status, body }: { readonly status: number; readonly body: Buffer }): unknown => [status, (JSON.parse(body.toString()) as { readonly reason: string }).reason]
const many = (count: number): { [name: string]: string } => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']))

const ACK = frame(FRAME.settings, FLAG.ack, 0)

/** What becomes of this request in HTTP/2. @param knows the caller has acknowledged the gateway's settings */
async function framed(of: TestGateway, fields: Parameters<typeof headers>[1], knows: boolean) {
  const client = await FrameClient.connect(of.target)
  await client.first(({ type }) => type === FRAME.settings)
  client.push(Buffer.concat([knows ? ACK : Buffer.alloc(0), headers(1, fields)]))
  await client.until(() => client.over || client.frames.some(({ type }) => type === FRAME.reset || type === FRAME.headers || type === FRAME.goaway))
  const seen = client.frames.map(({ type }) => type)
  client.close()
  return seen.includes(FRAME.headers) ? 'answered' : seen.includes(FRAME.reset) ? 'reset' : 'ended'
}

/** A request that stays open until the upstream is told to let it go. */
function hold(of: TestGateway, name: string, by: { readonly authorization: string }): { readonly answer: Promise<Answer>; readonly there: Promise<unknown> } {
  return { answer: of.ask('GET', `/gate/${name}`, by), there: upstream.request(`/gate/${name}`) }
}

describe('of a request', () => {
  test('[WIRE3, ADM8] headerBytes: a larger head is a 431, in HTTP/2 a reset where the caller was told before, and goes nowhere', async () => {
    const of = await started('headerBytes: 2KiB')
    const by = await bearer(of)
    expect(told(await of.ask('GET', '/a', { ...by, 'x-pad': 'x'.repeat(1_000) }))).toEqual([200, null])
    const refused = await requestOnce(of.target, request('GET', '/b', { ...by, 'x-pad': 'x'.repeat(2_500) }))
    expect([saidBy(refused), refused.ending, await met(of, 'header_bytes')]).toEqual([[431, 'headers_too_large'], 'fin', 1])
    const large = requestFields('GET', '/c', [['authorization', by.authorization], ['x-pad', 'x'.repeat(2_500)]])
    expect([await framed(of, large, false), await met(of, 'header_bytes')]).toEqual(['answered', 2])
    expect(await framed(of, large, true)).toBe('reset')
    expect(upstream.requests.map(({ path }) => path)).toEqual(['/a'])
  })

  test('[WIRE3, ADM8] headers: more fields are a 431, counted as a head too large, in HTTP/2 a reset from some more on, and go nowhere', async () => {
    const of = await started('headers: 16')
    const by = await bearer(of)
    expect(told(await of.ask('GET', '/a', { ...by, ...many(12) }))).toEqual([200, null])
    const refused = await requestOnce(of.target, request('GET', '/b', { ...by, ...many(15) }))
    expect([saidBy(refused), await met(of, 'header_bytes')]).toEqual([[431, 'headers_too_large'], 1])
    const fields = (count: number) => requestFields('GET', '/c', [['authorization', by.authorization], ...Object.entries(many(count))])
    expect([await framed(of, fields(15), true), await met(of, 'header_bytes')]).toEqual(['answered', 2])
    expect(await framed(of, fields(30), true)).toBe('reset')
    expect(upstream.requests.map(({ path }) => path)).toEqual(['/a'])
  })

  test('[WIRE7, ADM8] bodyBytes: a body that says it is larger is a 413 of which nothing goes upstream; one that turns out larger is a 413 and cut', async () => {
    const of = await started('bodyBytes: 1KiB')
    const by = await bearer(of)
    expect(told(await of.ask('POST', '/upload', by, 'x'.repeat(1_024)))).toEqual([200, null])
    expect(told(await of.ask('POST', '/upload/said', by, 'x'.repeat(1_025)))).toEqual([413, 'body_too_large'])
    expect([await met(of, 'body_bytes'), upstream.requests.length]).toEqual([1, 1])
    const client = await RawClient.connect(of.target)
    client.push(request('POST', '/upload/unsaid', { ...by, 'transfer-encoding': 'chunked' }))
    const seen = await upstream.request('/upload/unsaid')
    client.push(`401\r\n${'x'.repeat(1_025)}\r\n`)
    expect(saidBy(await client.response('POST'))).toEqual([413, 'body_too_large'])
    await until(() => seen.abortedAt > 0, 'the upstream sees the cut')
    expect([await met(of, 'body_bytes'), seen.bodyEndedAt]).toEqual([2, 0])
    client.close()
  })
})

describe('of a connection', () => {
  test('[WIRE14, ADM8] headersTimeout: half a head is a 408 in time, and nothing at all is the end', async () => {
    const of = await started('headersTimeout: 300ms')
    const [half, mute] = [await RawClient.connect(of.target), await RawClient.connect(of.target)]
    const at = performance.now()
    half.push('GET / HTTP/1.1\r\nHost: api.test\r\nX-Slow: ')
    expect(saidBy(await half.response())).toEqual([408, 'request_timeout'])
    expect(await half.ended).toBe('fin')
    expect(['fin', 'reset']).toContain(await mute.ended)
    expect(performance.now() - at).toBeLessThan(4_000)
    expect(await met(of, 'request_time')).toBeGreaterThanOrEqual(1)
  })

  test('[WIRE14, WIRE16] idleTimeout: a connection that served and is silent is closed, in both protocols, and no fault', async () => {
    const of = await started('idleTimeout: 1s')
    const by = await bearer(of)
    const client = await RawClient.connect(of.target)
    client.push(request('GET', '/a', by))
    expect((await client.response()).status).toBe(200)
    const frames = await FrameClient.connect(of.target)
    frames.push(headers(1, requestFields('GET', '/a', [['authorization', by.authorization]])))
    await frames.until(() => frames.frames.some(({ type }) => type === FRAME.headers))
    const at = performance.now()
    expect(await client.ended).toBe('fin')
    await frames.ended
    expect(performance.now() - at).toBeGreaterThan(500)
    expect(performance.now() - at).toBeLessThan(6_000)
    expect([frames.frames.some(({ type }) => type === FRAME.goaway), await met(of, 'request_time')]).toEqual([true, 0])
  })

  test('[WIRE14, ADM8] connections: one more is closed unheard, and has its place when another goes', async () => {
    const of = await started('connections: 2')
    const [first, second] = [await RawClient.connect(of.target), await RawClient.connect(of.target)]
    first.push(request('GET', '/open/a'))
    expect((await first.response()).status).toBe(200)
    const third = await RawClient.connect(of.target)
    third.push(request('GET', '/open/never'))
    await third.ended
    expect([third.received, await met(of, 'connections')]).toEqual([0, 1])
    second.close()
    let answered = 0
    for (let tries = 0; answered === 0 && tries < 50; tries++) {
      const next = await RawClient.connect(of.target)
      next.push(request('GET', '/open/b'))
      await Promise.race([next.head().then(({ status }) => (answered = status), () => undefined), next.ended])
      next.close()
    }
    expect([answered, upstream.requests.map(({ path }) => path)]).toEqual([200, ['/open/a', '/open/b']])
    first.close()
  })

  test('[WIRE16, ADM8] streamsPerConnection: it is told at once, one more stream is refused, and the others are served', async () => {
    const of = await started('streamsPerConnection: 2')
    const client = await FrameClient.connect(of.target)
    const settings = await client.first(({ type, flags }) => type === FRAME.settings && flags === 0)
    const told = Array.from({ length: (settings?.payload.length ?? 0) / 6 }, (_, i) => [settings?.payload.readUInt16BE(6 * i), settings?.payload.readUInt32BE(6 * i + 2)])
    expect(told).toContainEqual([3, 2])
    for (const stream of [1, 3, 5]) client.push(headers(stream, requestFields('GET', `/open/gate${stream}`)))
    const refused = await client.first(({ type, stream }) => type === FRAME.reset && stream === 5)
    expect(refused?.payload.readUInt32BE(0)).toBe(7) // REFUSED_STREAM: it was sent before the limit was known, and may be sent again
    await client.until(() => [1, 3].every(stream => client.frames.some(frame => frame.type === FRAME.headers && frame.stream === stream)))
    client.push(headers(7, requestFields('GET', '/open/after')))
    await client.until(() => client.frames.some(({ type, stream }) => type === FRAME.headers && stream === 7))
    expect([client.over, await met(of, 'streams_per_connection'), upstream.requests.map(({ path }) => path).includes('/open/gate5')]).toEqual([false, 1, false])
    client.push(Buffer.concat([ACK, ...[9, 11, 13].map(stream => headers(stream, requestFields('GET', '/open/knowingly')))])) // now it is told, and breaks its word
    await client.ended
    expect(client.frames.some(({ type }) => type === FRAME.goaway)).toBe(true)
  })
})

describe('of exchanges and sessions', () => {
  test('[ENF1, ADM8] exchanges: one more of anybody is refused until one is over', async () => {
    const of = await started('exchanges: 2')
    const [one, two] = [await bearer(of, 'one'), await bearer(of, 'two')]
    const held = [hold(of, 'e1', one), hold(of, 'e2', two)]
    await Promise.all(held.map(({ there }) => there))
    expect([told(await of.ask('GET', '/a', await bearer(of, 'three'))), await met(of, 'exchanges')]).toEqual([[403, 'limit_reached'], 1])
    upstream.release('e1')
    expect((await held[0]?.answer)?.status).toBe(200)
    await until(() => of.parts.inflight.size === 1, 'it is over')
    expect(told(await of.ask('GET', '/a', one))).toEqual([200, null])
    upstream.release('e2')
    expect((await held[1]?.answer)?.status).toBe(200)
  })

  test('[ENF1, ADM8] exchangesPerSession: one more of the session is refused, others have theirs', async () => {
    const of = await started('exchangesPerSession: 1')
    const [one, two] = [await bearer(of, 'one'), await bearer(of, 'two')]
    const held = hold(of, 's1', one)
    await held.there
    expect([told(await of.ask('GET', '/a', one)), told(await of.ask('GET', '/a', two)), await met(of, 'exchanges_per_session')]).toEqual([[403, 'limit_reached'], [200, null], 1])
    upstream.release('s1')
    expect((await held.answer).status).toBe(200)
  })

  test('[SES12, ADM8] mirroredSessions: one of them makes way, is counted, and is served when it comes back', async () => {
    const of = await started('mirroredSessions: 2')
    const callers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(sub => bearer(of, sub)))
    for (const by of [...callers, ...callers]) expect(told(await of.ask('GET', '/a', by))).toEqual([200, null])
    expect(of.parts.mirror.size).toBeLessThanOrEqual(2)
    expect([of.parts.mirror.evicted > 0, await met(of, 'mirrored_sessions')]).toEqual([true, of.parts.mirror.evicted])
  })
})

describe('of an upstream', () => {
  test('[WIRE20, ADM8] connections: one more exchange is a 503 of which nothing was sent, and there is room when one is over', async () => {
    const of = await started('exchanges: 100', ', connections: 1')
    const by = await bearer(of)
    const held = hold(of, 'u1', by)
    await held.there
    expect([told(await of.ask('GET', '/a', by)), await met(of, 'upstream_connections'), await valueOf(of, 'upstream_errors_total{upstream="api",reason="upstream_busy"}')]).toEqual([[503, 'upstream_busy'], 1, 1])
    upstream.release('u1')
    expect((await held.answer).status).toBe(200)
    expect([told(await of.ask('GET', '/b', by)), upstream.requests.map(({ path }) => path)]).toEqual([[200, null], ['/gate/u1', '/b']])
  })

  test('[WIRE20] streams: one more exchange waits for a stream, no longer than for an answer', async () => {
    const waiting = new Map<string, ServerHttp2Stream>()
    const server = createHttp2Server().listen(0, '127.0.0.1')
    server.on('stream', (stream: ServerHttp2Stream, fields: IncomingHttpHeaders) => void waiting.set(String(fields[':path']), stream))
    await once(server, 'listening')
    const of = await started('exchanges: 100', ', protocol: http2, connections: 1, streams: 2, timeout: 1s', `http://127.0.0.1:${(server.address() as AddressInfo).port}`) // a TCP server's
    try {
      const by = await bearer(of)
      const [first, second] = ['/1', '/2'].map(path => of.ask('GET', path, by))
      await until(() => waiting.size === 2, 'two streams')
      const third = of.ask('GET', '/3', by)
      await until(() => of.parts.inflight.size === 3, 'the third is admitted')
      expect([...waiting.keys()].toSorted()).toEqual(['/1', '/2']) // they came on two connections
      waiting.get('/1')?.respond({ ':status': 200 }, { endStream: true })
      await until(() => waiting.has('/3'), 'the third has its stream')
      waiting.get('/3')?.respond({ ':status': 204 }, { endStream: true })
      expect([(await first)?.status, (await third).status, told((await second) as Answer)]).toEqual([200, 204, [504, 'upstream_timeout']]) // there are two
      const late = [of.ask('GET', '/4', by), of.ask('GET', '/5', by), of.ask('GET', '/6', by)]
      expect((await Promise.all(late)).map(told)).toEqual(Array.from({ length: 3 }, () => [504, 'upstream_timeout']))
      expect(await valueOf(of, 'upstream_errors_total{upstream="api",reason="upstream_timeout"}')).toBe(4)
    } finally {
      server.close()
      for (const stream of waiting.values()) stream.session?.destroy()
    }
  })
})
