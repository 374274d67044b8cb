// What a hostile review of the protocols found, from real sockets against a whole gateway: bytes that brought the process down, answers that lost
// their status or their end, requests that went on behind a refusal. Its upstream answers with the very bytes a test gives it.
// SPEC: WIRE3, WIRE8, WIRE12, WIRE16, WIRE17, WIRE18, WIRE22
import { once } from 'node:events'
import { connect, createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { request, RawClient, type RawResponse } from '../support/raw-client.ts'
import { until } from './support.ts'

const seen: string[] = []
const sockets = new Set<Socket>()
const thrown: unknown[] = []
/** What the upstream does with bytes that came. */
let reply: (socket: Socket, bytes: string) => void
let upstream: Server
let modern: Http2Server
let gate: TestGateway

const portOf = (server: Server | Http2Server): number => {
  const address = server.address()
  return address === null || typeof address === 'string' ? 0 : address.port
}
/** The certificate speaks for it too. */
const MODERN = { ':authority': 'localhost' }
const noteThrown = (error: unknown): void => void thrown.push(error)

beforeAll(async () => {
  process.on('uncaughtExceptionMonitor', noteThrown)
  upstream = createServer(socket => {
    sockets.add(socket)
    socket.setNoDelay(true).on('error', () => {}).on('close', () => sockets.delete(socket)).on('data', bytes => {
      seen.push(bytes.toString('latin1'))
      reply(socket, bytes.toString('latin1'))
    })
  }).listen(0, '127.0.0.1')
  modern = createHttp2Server().listen(0, '127.0.0.1')
  await Promise.all([once(upstream, 'listening'), once(modern, 'listening')])
  gate = await TestGateway.start({
    tls: true,
    server: 'limits: { headers: 20 }',
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "http://127.0.0.1:${portOf(upstream)}" }
  rules:
    - { allow: { upgrade: websocket }, anonymous: true }
    - { allow: {}, anonymous: true }
- name: calls
  match: { host: localhost }
  upstream: { url: "http://127.0.0.1:${portOf(modern)}", protocol: http2 }
  rules: [{ allow: {}, anonymous: true }]`,
  })
})
afterAll(async () => {
  process.off('uncaughtExceptionMonitor', noteThrown)
  await gate.stop()
  for (const socket of sockets) socket.destroy()
  upstream.close()
  modern.close()
})
beforeEach(() => {
  seen.length = 0
  reply = socket => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
})
/** The process still stands, and its gateway answers. */
afterEach(async () => {
  expect(thrown.splice(0)).toEqual([])
  reply = socket => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
  expect((await gate.ask('GET', '/still-there')).status).toBe(200)
})

const upgrading = (lines = ''): string =>
  `GET /socket HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${lines}\r\n`

async function pushed(bytes: string): Promise<string> {
  const raw = await RawClient.connect(gate.target)
  raw.push(bytes)
  await raw.ended
  return raw.bytes().toString('latin1')
}

async function answerTo(bytes: string): Promise<RawResponse> {
  const raw = await RawClient.connect(gate.target)
  raw.push(bytes)
  try {
    return await raw.response()
  } finally {
    raw.close()
  }
}

type Told = { readonly status: number | null; readonly body: string; readonly trailers: { readonly [name: string]: unknown }; readonly code: number }

async function over2(path: string, more: { readonly [name: string]: string } = {}, method = 'GET'): Promise<Told> {
  const client = connect(`https://127.0.0.1:${gate.target.port}`, { ca: gate.target.tls?.ca ?? '', servername: 'api.test' }).on('error', () => {})
  await once(client, 'remoteSettings') // with it comes whether an extended CONNECT may be sent
  const stream = client.request({ ':method': method, ':path': path, ':authority': 'api.test', ...more }, { endStream: method === 'GET' })
  let [status, body, trailers]: [number | null, string, Told['trailers']] = [null, '', {}]
  stream.on('response', headers => (status = headers[':status'] ?? null)).on('trailers', fields => (trailers = fields)).on('data', (chunk: Buffer) => (body += chunk.toString('latin1'))).on('error', () => {})
  await until(() => stream.closed, 'the stream is over', 3_000)
  client.destroy()
  return { status, body, trailers, code: stream.rstCode ?? -1 }
}

test('[WIRE3, WIRE18] an upgrade that comes together with a request that is refused unserved ends the connection, not the process', async () => {
  const refused = ['Expect: a miracle\r\n', 'x: y\r\n'.repeat(40)]
  for (const lines of refused) expect(await pushed(`GET /first HTTP/1.1\r\nHost: api.test\r\n${lines}\r\n${upgrading()}`)).not.toContain('101 Switching')
  expect(seen).toEqual([])
})

test('[WIRE3, WIRE8, AUD2] a body that breaks its framing in the turn in which the upstream answers is a bad request, and no completed exchange', async () => {
  for (let turn = 0; turn < 20; turn++) {
    const raw = await RawClient.connect(gate.target)
    reply = (socket, bytes) => {
      if (!bytes.includes('hello')) return
      raw.push('ZZZ\r\n')
      const answer = (): void => void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n${'x'.repeat(20_000)}`)
      if (turn % 2 === 0) answer()
      else setImmediate(answer)
    }
    raw.push(`POST /broken-${turn} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`)
    await raw.ended
    const text = raw.bytes().toString('latin1')
    expect([text.slice(0, 12), text.split('HTTP/1.1 ').length]).toEqual(['HTTP/1.1 400', 2])
  }
  const trail = await gate.trail()
  const broken = new Set(trail.filter(({ path }) => String(path).startsWith('/broken-')).map(({ exchange }) => exchange))
  expect(broken.size).toBe(20)
  expect(trail.filter(({ exchange, complete }) => broken.has(exchange) && complete === true)).toEqual([])
})

test('[WIRE3] what is pipelined behind a malformed request with a body goes nowhere', async () => {
  const malformed = 'POST /first HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\nabcd'
  const text = await pushed(`${malformed}GET /second HTTP/1.1\r\nHost: api.test\r\n\r\n`)
  expect([text.slice(0, 12), text.split('HTTP/1.1 ').length, seen]).toEqual(['HTTP/1.1 400', 2, []])
})

test('[WIRE3, WIRE18] an upgrade with more headers than are taken is refused', async () => {
  for (const many of [16, 17, 40]) expect((await pushed(upgrading('x: y\r\n'.repeat(many)))).slice(0, 12)).toBe('HTTP/1.1 431')
  expect(seen).toEqual([])
})

test('[WIRE3, WIRE18] an upgrade with a body is a bad request, however its caller goes on', async () => {
  for (const lines of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', 'Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n']) {
    expect((await pushed(upgrading(lines))).slice(0, 12)).toBe('HTTP/1.1 400')
    expect((await pushed(`${upgrading(lines)}5\r\nhello\r\n`)).slice(0, 12)).toBe('HTTP/1.1 400')
    const leaving = await RawClient.connect(gate.target)
    leaving.push(upgrading(lines))
    leaving.close()
  }
  expect(seen).toEqual([])
})

test('[WIRE12, WIRE16] an answer that has content where its status has none is malformed, and is no other answer instead', async () => {
  const sized = 'HTTP/1.1 205 Reset Content\r\ncontent-length: 2\r\n\r\nok'
  const chunked = 'HTTP/1.1 205 Reset Content\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'
  reply = socket => void socket.write(sized)
  expect((await answerTo(request('GET', '/x'))).status).toBe(502)
  expect(await over2('/x')).toMatchObject({ status: 502, code: 0 })
  reply = socket => void socket.write(chunked)
  expect(await over2('/x')).toMatchObject({ status: null, body: '', code: 8 })
  reply = socket => void socket.write('HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n')
  expect(await over2('/x')).toMatchObject({ status: 205, body: '', code: 0 })
})

test('[WIRE17, WIRE22] a short answer that announces its length keeps the trailers behind it', async () => {
  modern.once('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-length': '2', 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '7', 'grpc-message': 'no' }))
    stream.end('ok')
  })
  expect(await over2('/call', MODERN)).toMatchObject({ status: 200, body: 'ok', trailers: { 'grpc-status': '7', 'grpc-message': 'no' }, code: 0 })
})

test('[WIRE18, WIRE22] a handshake that may be a replay has to come again, over either protocol', async () => {
  expect((await pushed(upgrading('Early-Data: 1\r\n'))).slice(0, 12)).toBe('HTTP/1.1 425')
  expect(await over2('/socket', { ':protocol': 'websocket', ':scheme': 'https', 'sec-websocket-version': '13', 'early-data': '1' }, 'CONNECT')).toMatchObject({ status: 425 })
  expect(seen).toEqual([])
})

test('[WIRE8, DEC1] a fault of the gateway’s own ends that request with 500 and no other', async () => {
  vi.spyOn(gate.parts.inflight, 'add').mockImplementationOnce(() => { throw new Error('a fault') })
  reply = socket => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', '/x', {}))
  const { status } = await client.response()
  expect([status, seen]).toEqual([500, []])
  client.close()
  const other = await RawClient.connect(gate.target)
  other.push(request('GET', '/x', {}))
  expect((await other.response()).status).toBe(200)
  other.close()
})
