// WebSocket tunnels between real clients and real servers of the ws package and between bare sockets, through the relay alone: the handshake,
// frames both ways, the verbs, and what becomes of peers that break the protocol.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent } from 'node:https'
import { createServer as createTlsServer } from 'node:tls'
import { numOpenSockets } from 'http-proxy'
import { afterEach, expect, test } from 'vitest'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { RawClient } from '../support/raw-client.ts'
import { answers, type RawExchange, RawUpstream } from '../support/raw-upstream.ts'
import { testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'
import { WebSocketHarness } from './websocket-harness.ts'

const closing: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await until(() => numOpenSockets() === 0, `http-proxy counts ${numOpenSockets()} open sockets`)
})

async function harness(origin: string, plan: Parameters<typeof WebSocketHarness.start>[1] = {}): Promise<WebSocketHarness> {
  const started = await WebSocketHarness.start(origin, plan)
  closing.push(() => started.close())
  return started
}

type Heard = { readonly data: Buffer; readonly binary: boolean }
class Peer {
  readonly heard: Heard[] = []
  readonly pings: string[] = []
  readonly pongs: string[] = []
  closed: { readonly code: number; readonly reason: string } | null = null
  readonly socket: WebSocket

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: RawData, binary) => this.heard.push({ data: data as Buffer, binary })) // nodebuffer is the default
    socket.on('ping', data => this.pings.push(data.toString()))
    socket.on('pong', data => this.pongs.push(data.toString()))
    socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }))
    socket.on('error', () => undefined)
  }

  get texts(): string[] { return this.heard.map(({ data }) => data.toString()) }
}

async function wsServer(options: object = {}): Promise<{ readonly origin: string; readonly peers: Peer[] }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
  const peers: Peer[] = []
  server.on('connection', socket => peers.push(new Peer(socket)))
  await once(server, 'listening')
  closing.push(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  return { origin: `http://127.0.0.1:${(server.address() as { port: number }).port}`, peers }
}

async function connected(gate: WebSocketHarness, protocols: string[] = [], options: object = {}): Promise<Peer> {
  const peer = new Peer(new WebSocket(`${gate.url}/ws?q=%27a%27`, protocols, options))
  closing.push(() => peer.socket.terminate())
  await once(peer.socket, 'open')
  return peer
}

/** Client, relay and server of the ws package. */
async function line(plan: Parameters<typeof WebSocketHarness.start>[1] = {}, server: object = {}, client: object = {}) {
  const { origin, peers } = await wsServer(server)
  const gate = await harness(origin, plan)
  const caller = await connected(gate, [], client)
  await until(() => peers.length === 1, 'the server has its connection')
  const upstream = peers[0]
  if (upstream === undefined) throw new Error('no peer')
  return { gate, caller, upstream, held: gate.last }
}

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const accept = (key: string): string => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(KEY)}\r\n`
const ask = (more = '', path = '/ws'): string => `GET ${path} HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${more}\r\n`

/** Bare sockets at both ends, behind the handshake. */
async function rawLine(plan: Parameters<typeof WebSocketHarness.start>[1] = {}) {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin, plan)
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  client.push(ask())
  await client.until(() => client.bytes().includes('\r\n\r\n'))
  const headLength = client.bytes().indexOf('\r\n\r\n') + 4
  const exchange = upstream.exchanges[0]
  if (exchange === undefined) throw new Error('no request')
  return { gate, client, exchange, held: gate.last, down: () => client.bytes().subarray(headLength), up: () => exchange.bytes().subarray(exchange.head.length) }
}

const MASK = Buffer.from([1, 2, 3, 4])
function frame(opcode: number, payload: Buffer | string, masked: boolean, fin = true): Buffer {
  const body = Buffer.from(payload)
  const size = body.length < 126 ? Buffer.from([body.length]) : body.length < 65_536 ? Buffer.from([126, body.length >> 8, body.length & 255]) : Buffer.concat([Buffer.from([127, 0, 0, 0, 0]), Buffer.from(new Uint8Array([body.length >>> 24, body.length >>> 16, body.length >>> 8, body.length]))])
  if (masked) size[0] = (size[0] ?? 0) | 128
  return Buffer.concat([Buffer.from([(fin ? 128 : 0) | opcode]), size, masked ? MASK : Buffer.alloc(0), masked ? Buffer.from(body.map((byte, i) => byte ^ (MASK[i % 4] ?? 0))) : body])
}
const closed = (code: number, reason: string): Buffer => frame(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), false)

// ---- the handshake

test('[WIRE18] the upstream gets the very request that was judged: target, headers in order, nothing added and nothing rewritten', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin, { extra: ['via', '1.1 narrowgate', 'narrowgate-context', 'x.y.z'] })
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  const path = `/a/%2e%2e;x/b?q='"<>\\^|{}&&=%20?`
  client.push(ask(`X-Drop: 1\r\nX-Keep: a\r\nCookie: a=1\r\nx-keep: b\r\nX-Latin: \xe9\r\n__proto__: p\r\nOrigin: http://o\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: x-unknown, permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Extra: 1\r\n`, path))
  await until(() => upstream.exchanges.length === 1, 'the request')
  expect(upstream.exchanges[0]?.head).toBe([
    `GET ${path} HTTP/1.1`, 'Host: api.test', 'X-Keep: a', 'X-Keep: b', 'Cookie: a=1', 'X-Latin: \xe9', '__proto__: p', 'Origin: http://o', 'via: 1.1 narrowgate', 'narrowgate-context: x.y.z', 'connection: Upgrade', 'upgrade: websocket',
    'sec-websocket-version: 13', `sec-websocket-key: ${KEY}`, 'sec-websocket-protocol: a, b', 'sec-websocket-extensions: permessage-deflate; client_max_window_bits', '', '',
  ].join('\r\n'))
})

test('[WIRE18] a target with an empty query keeps its question mark', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  client.push(ask('', '/a?'))
  await until(() => upstream.exchanges.length === 1, 'the request')
  expect(upstream.exchanges[0]?.head.split('\r\n')[0]).toBe('GET /a? HTTP/1.1')
})

const NO_SWITCH: readonly (readonly [string, string])[] = [
  ['a bare 101', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['no accept', 'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
  ['a wrong accept', `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept('AAAAAAAAAAAAAAAAAAAAAA==')}\r\n\r\n`],
  ['the accept in another case', `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(KEY).toLowerCase()}\r\n\r\n`],
  ['two accepts', `${SWITCH}Sec-WebSocket-Accept: ${accept(KEY)}\r\n\r\n`],
  ['another protocol', SWITCH.replace('websocket', 'h2c') + '\r\n'],
  ['no Upgrade', SWITCH.replace('Upgrade: websocket\r\n', '') + '\r\n'],
  ['no Connection', SWITCH.replace('Connection: Upgrade\r\n', '') + '\r\n'],
  ['a Connection that is another', SWITCH.replace('Connection: Upgrade', 'Connection: keep-alive') + '\r\n'],
  ['a subprotocol nobody offered', `${SWITCH}Sec-WebSocket-Protocol: c\r\n\r\n`],
  ['two subprotocols', `${SWITCH}Sec-WebSocket-Protocol: a, b\r\n\r\n`],
  ['an extension nobody offered', `${SWITCH}Sec-WebSocket-Extensions: x-unknown\r\n\r\n`],
  ['an extension twice', `${SWITCH}Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n`],
  ['a length', `${SWITCH}Content-Length: 5\r\n\r\nhello`],
  ['a transfer coding', `${SWITCH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
]

test.each(NO_SWITCH)('[UPG-003, WIRE18] a switch with %s is no tunnel: 502, and both connections are closed', async (_, answer) => {
  const upstream = await RawUpstream.start(answers(`${answer}\x81\x02hi`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  client.push(ask('Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate, x-unknown\r\n'))
  const response = await client.response()
  expect([response.status, JSON.parse(response.body.toString())['reason']]).toEqual([502, 'upstream_malformed'])
  expect(await client.ended).toBe('fin')
  await until(() => upstream.connections === 0, 'the end of the upstream connection')
  expect(gate.last.ended).toBe('upstream_malformed')
  expect(gate.released).toEqual(['upstream_malformed'])
})

test('[UPG-003, WIRE18] the right switch is a tunnel, so that the cases above fail for their own reasons', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n\x81\x02hi`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  client.push(ask('Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate, x-unknown\r\n'))
  await client.until(() => client.bytes().includes('\x81\x02hi', 0, 'latin1'))
  expect(client.bytes().toString('latin1').split('\r\n').map(text => text.toLowerCase())).toEqual([
    'http/1.1 101 switching protocols', 'upgrade: websocket', 'connection: upgrade', `sec-websocket-accept: ${accept(KEY).toLowerCase()}`, 'sec-websocket-protocol: b',
    'sec-websocket-extensions: permessage-deflate; server_max_window_bits=10', 'set-cookie: a=1', 'set-cookie: b=2', '', '\x81\x02hi',
  ])
})

test.each([
  ['no key', ask().replace(/Sec-WebSocket-Key.*\r\n/, '')], ['two keys', ask(`Sec-WebSocket-Key: ${KEY}\r\n`)], ['a short key', ask().replace(KEY, 'AAAA')], ['version 8', ask().replace('Version: 13', 'Version: 8')],
  ['POST', ask().replace('GET', 'POST')], ['a body', ask('Content-Length: 5\r\n') + 'hello'], ['one subprotocol twice', ask('Sec-WebSocket-Protocol: a, a\r\n')], ['a subprotocol that is no token', ask('Sec-WebSocket-Protocol: a b\r\n')],
  ['an extension that is none', ask('Sec-WebSocket-Extensions: a b c\r\n')],
])('[WIRE18] an opening handshake with %s is refused, and nothing goes upstream', async (_, request) => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  client.push(request)
  expect((await client.response()).status).toBe(400)
  expect(await client.ended).toBe('fin')
  expect(upstream.exchanges).toEqual([])
})

test.each([
  ['401', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nnope', 401, 'nope'],
  ['403 in chunks', 'HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n2\r\npe\r\n0\r\n\r\n', 403, 'nope'],
  ['302 without a body', 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', 302, ''],
  ['200 up to the close', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole', 200, 'whole'],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
  ['426', 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n', 426, ''],
])('[WIRE18] an upstream that answers %s is relayed as an ordinary answer', async (_, answer, status, body) => {
  const upstream = await RawUpstream.start(({ socket }) => void (answer.includes('close') ? socket.end(answer) : socket.write(answer)))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  client.push(ask())
  const response = await client.response()
  expect([response.status, response.body.toString(), response.complete]).toEqual([status, body, true])
  expect(await client.ended).toBe('fin')
  await until(() => gate.last.ended === 'completed', 'the end of the exchange')
  expect(gate.released).toEqual([null])
})

test.each([
  ['longer than is relayed', `HTTP/1.1 403 F\r\nContent-Length: 70000\r\n\r\n${'x'.repeat(70_000)}`, 'upstream_malformed'],
  ['shorter than announced', 'HTTP/1.1 403 F\r\nContent-Length: 10\r\n\r\nhello', 'upstream_reset'],
  ['nothing', '', 'upstream_reset'],
])('[WIRE18] an ordinary answer that is %s is a 502, never a part of it', async (_, answer, reason) => {
  const upstream = await RawUpstream.start(({ socket }) => void socket.end(answer))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  client.push(ask())
  const response = await client.response()
  expect([response.status, JSON.parse(response.body.toString())['reason']]).toEqual([502, reason])
})

test('[WIRE18] an upstream that does not answer in time is a 504, one that is not there a 502, and one without a place what it says', async () => {
  const silent = await RawUpstream.start(() => undefined)
  closing.push(() => silent.close())
  const outcome = async (origin: string, plan: object = {}): Promise<number> => {
    const gate = await harness(origin, { timeout: 100, ...plan })
    const client = await RawClient.connect({ port: gate.port })
    client.push(ask())
    return (await client.response()).status
  }
  expect(await outcome(silent.origin)).toBe(504)
  expect(await outcome('http://127.0.0.1:1')).toBe(502)
  expect(await outcome(silent.origin, { upstream: { place: () => 'upstream_busy' } })).toBe(503)
  expect(await outcome(silent.origin.replace('http:', 'https:'))).toBe(502)
})

test('[ENF2, WIRE18] nothing goes upstream when the gate closed while the connection was made', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  gate.onAdmitted = held => queueMicrotask(() => held.shutGate())
  const client = await RawClient.connect({ port: gate.port })
  client.push(ask())
  expect((await client.response()).status).toBe(503)
  await until(() => upstream.connections === 0, 'the end of the upstream connection')
  expect(upstream.exchanges).toEqual([])
})

test('[ENF2, WIRE18, WIRE21] over TLS an upstream is asked only as who it is, and nothing goes to it when the gate closed during the handshake', async () => {
  const { ca, server: { cert, key } } = await testAuthority()
  const received: Buffer[] = []
  const upstream = createTlsServer({ cert, key }, socket => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk)
      socket.write(`${SWITCH}\r\n`)
    })
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  closing.push(() => void upstream.close())
  const outcome = async (servername: string, onAdmitted: WebSocketHarness['onAdmitted'] = () => undefined): Promise<string> => {
    const place = () => ({ origin: `https://127.0.0.1:${(upstream.address() as { port: number }).port}`, agent: new Agent({ ca, servername }), release: () => undefined })
    const gate = await harness('', { upstream: { place } })
    gate.onAdmitted = onAdmitted
    const client = await RawClient.connect({ port: gate.port })
    closing.push(() => client.close())
    client.push(ask().replace('api.test', 'other.example'))
    await client.until(() => client.bytes().includes('\r\n\r\n'))
    return client.bytes().toString('latin1').slice(9, 12)
  }
  expect([await outcome('wrong.example'), await outcome('api.test', held => queueMicrotask(() => held.shutGate())), received]).toEqual(['502', '503', []])
  expect([await outcome('api.test'), received.length]).toEqual(['101', 1])
})

test('[ENF2, WIRE18] a switch that meets a closed gate waits, with the frames behind it, and goes on when it opens', async () => {
  const upstream = await RawUpstream.start(exchange => {
    gate.last.shutGate()
    exchange.socket.write(Buffer.from(`${SWITCH}\r\n\x81\x02hi`, 'latin1'))
  })
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  client.push(ask())
  await until(() => upstream.exchanges.length === 1, 'the request')
  await pause(50)
  expect(client.received).toBe(0)
  gate.last.openGate()
  await client.until(() => client.bytes().includes('\x81\x02hi', 0, 'latin1'))
})

test('[WIRE18] frames that came right behind the opening handshake go upstream behind the switch', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin)
  const client = await RawClient.connect({ port: gate.port })
  closing.push(() => client.close())
  const early = frame(1, 'early', true)
  client.push(Buffer.concat([Buffer.from(ask()), early]))
  await until(() => upstream.exchanges[0] !== undefined && upstream.exchanges[0].bytes().includes(early), 'the early frame')
  const [exchange] = upstream.exchanges
  expect(exchange?.head.includes('early')).toBe(false)
})

// ---- frames both ways

test('[WIRE18] texts, binaries, fragments, pings and a good-bye pass between ws peers', async () => {
  const { caller, upstream, held } = await line()
  caller.socket.send('one')
  caller.socket.send(Buffer.from([1, 2, 3]))
  caller.socket.send('fr', { fin: false })
  caller.socket.ping('between')
  caller.socket.send('ag', { fin: false })
  caller.socket.send('ment', { fin: true })
  upstream.socket.send('down', { fin: false })
  upstream.socket.send('stream', { fin: true })
  upstream.socket.ping('from above')
  await until(() => upstream.heard.length === 3 && caller.heard.length === 1 && caller.pongs.length === 1 && upstream.pongs.length === 1, 'all of it')
  expect(upstream.heard.map(({ data, binary }) => [data.toString('latin1'), binary])).toEqual([['one', false], ['\x01\x02\x03', true], ['fragment', false]])
  expect([caller.texts, upstream.pings, caller.pongs, caller.pings, upstream.pongs]).toEqual([['downstream'], ['between'], ['between'], ['from above'], ['from above']])
  caller.socket.close(4_001, 'bye')
  await until(() => held.ended !== null && caller.closed !== null && upstream.closed !== null, 'the end')
  expect([held.ended, upstream.closed, caller.closed]).toEqual(['completed', { code: 4_001, reason: 'bye' }, { code: 4_001, reason: 'bye' }])
})

test('[WIRE18] a good-bye from the upstream completes the exchange', async () => {
  const { gate, caller, upstream, held } = await line()
  upstream.socket.close(1_000, 'done')
  await until(() => held.ended !== null && caller.closed !== null, 'the end')
  expect([held.ended, caller.closed, gate.released]).toEqual(['completed', { code: 1_000, reason: 'done' }, [null]])
})

test('[WIRE18] permessage-deflate passes untouched', async () => {
  const { caller, upstream } = await line({}, { perMessageDeflate: { threshold: 0 } }, { perMessageDeflate: true })
  expect(caller.socket.extensions).toContain('permessage-deflate')
  const text = 'compressible '.repeat(5_000)
  caller.socket.send(text, { compress: true })
  upstream.socket.send(text.toUpperCase(), { compress: true })
  await until(() => upstream.heard.length === 1 && caller.heard.length === 1, 'both messages')
  expect([upstream.texts[0] === text, caller.texts[0] === text.toUpperCase()]).toEqual([true, true])
})

test('[WIRE18] a subprotocol is agreed on between the peers', async () => {
  const { origin, peers } = await wsServer({ handleProtocols: (offered: Set<string>) => [...offered][1] })
  const caller = await connected(await harness(origin), ['a', 'b'])
  await until(() => peers.length === 1, 'the server has its connection')
  expect([caller.socket.protocol, peers[0]?.socket.protocol]).toEqual(['b', 'b'])
})

test('[WIRE18] 10 MB each way at once arrive byte for byte', async () => {
  const { caller, upstream, held } = await line({}, { maxPayload: 0 }, { maxPayload: 0 })
  const size = 10 * 1024 * 1024
  const big = patternAt(0, size)
  caller.socket.send(big)
  upstream.socket.send(big)
  await until(() => upstream.heard.length === 1 && caller.heard.length === 1, 'both messages', 20_000)
  for (const { heard } of [caller, upstream]) expect([heard[0]?.data.length, firstMismatch(heard[0]?.data ?? Buffer.alloc(0))]).toEqual([size, null])
  expect([held.exchange.bytesUp, held.exchange.bytesDown]).toEqual([size + 14, size + 10])
})

test.each(['up', 'down'] as const)('[WIRE18] a peer that reads nothing holds up the other (%s); little waits here, and nothing is lost', async direction => {
  const { client, exchange, held, down } = await rawLine()
  const size = 48 * 1024 * 1024
  const whole = frame(2, patternAt(0, size), direction === 'up')
  const [receives, moved] = direction === 'up' ? [exchange.socket, () => held.exchange.bytesUp] : [client, () => held.exchange.bytesDown]
  const got: Buffer[] = []
  if (direction === 'up') exchange.socket.removeAllListeners('data').on('data', (chunk: Buffer) => got.push(chunk)) // the recorder joins all of it at each piece
  receives.pause()
  if (direction === 'up') client.push(whole)
  else exchange.socket.write(whole)
  let before = -1
  await until(() => {
    const stands = before === moved() && before > 0
    before = moved()
    return stands
  }, 'a stand', 10_000, 200)
  expect(moved()).toBeLessThan(24 * 1024 * 1024) // what both systems' buffers take
  receives.resume()
  const bytes = (): number => (direction === 'up' ? got.reduce((sum, { length }) => sum + length, 0) : client.received)
  await until(() => moved() === whole.length && bytes() >= whole.length, 'all of it', 30_000, 20)
  expect((direction === 'up' ? Buffer.concat(got) : down()).equals(whole)).toBe(true)
}, 60_000)

test('[WIRE18] what each side received is byte for byte what the other sent, however it was cut into pieces', async () => {
  const { client, exchange, down, up } = await rawLine()
  const sentUp = Buffer.concat([frame(1, 'a', true), frame(2, patternAt(0, 70_000), true, false), frame(9, 'p', true), frame(0, patternAt(0, 300), true), frame(10, '', true)])
  const sentDown = Buffer.concat([frame(1, 'b', false, false), frame(9, '', false), frame(0, patternAt(0, 66_000), false), frame(2, '', false)])
  for (let at = 0; at < sentUp.length; at += 997) client.push(sentUp.subarray(at, at + 997))
  for (let at = 0; at < sentDown.length; at += 1_009) exchange.socket.write(sentDown.subarray(at, at + 1_009))
  await until(() => up().length >= sentUp.length && down().length >= sentDown.length, 'all of it')
  expect([up().equals(sentUp), down().equals(sentDown)]).toEqual([true, true])
})

test('[WIRE18] a caller that breaks the protocol is told 1002 and nothing of that reaches the upstream', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  client.push(frame(1, 'good', true))
  await until(() => up().length === 10, 'the good one')
  client.push(frame(1, 'unmasked', false))
  await client.ended
  expect(down()).toEqual(closed(1002, 'protocol_error'))
  expect(held.ended).toBe('protocol_error')
  expect(up().includes('unmasked')).toBe(false)
  expect(exchange.socket.destroyed || exchange.socket.readableEnded).toBe(true)
})

test('[WIRE18] an upstream that breaks the protocol is cut with a Close frame of its own, and the caller is told 1014', async () => {
  const { client, exchange, held, down } = await rawLine()
  exchange.socket.write(frame(1, 'masked', true))
  await client.ended
  expect([held.ended, down()]).toEqual(['upstream_malformed', closed(1014, 'upstream_malformed')])
})

test('[WIRE18] a peer that goes without a good-bye ends the exchange for it', async () => {
  const one = await rawLine()
  one.client.close('reset')
  await until(() => one.held.ended !== null, 'the end')
  expect(one.held.ended).toBe('caller_closed')
  const two = await rawLine()
  two.exchange.socket.resetAndDestroy()
  await two.client.ended
  expect([two.held.ended, two.down()]).toEqual(['upstream_reset', closed(1014, 'upstream_reset')])
  const three = await rawLine()
  three.exchange.socket.end(frame(1, 'last words', false))
  await three.client.ended
  expect([three.held.ended, three.down()]).toEqual(['upstream_reset', Buffer.concat([frame(1, 'last words', false), closed(1014, 'upstream_reset')])])
})

test('[WIRE14, WIRE18] a tunnel in which nothing moves is ended where a limit is set', async () => {
  const { client, held, down } = await rawLine({ idle: 200 })
  await client.ended
  expect([held.ended, down()]).toEqual(['request_timeout', closed(1001, 'request_timeout')])
})

// ---- the verbs

test('[ENF6, WIRE18] a cut at a frame boundary is a Close frame with the reason, and both sockets are gone within the grace', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  exchange.socket.write(frame(1, 'hi', false))
  await until(() => down().length === 4, 'the frame')
  const at = performance.now()
  held.end('revoked')
  expect(await client.ended).toBe('fin')
  expect(performance.now() - at).toBeLessThan(1_000)
  expect(down()).toEqual(Buffer.concat([frame(1, 'hi', false), closed(1008, 'revoked')]))
  await until(() => exchange.socket.destroyed || exchange.socket.readableEnded, 'the end of the upstream connection')
  expect(up().length).toBe(8)
  expect([up()[0], up()[1]]).toEqual([0x88, 0x82])
  expect([(up()[6] ?? 0) ^ (up()[2] ?? 0), (up()[7] ?? 0) ^ (up()[3] ?? 0)]).toEqual([1001 >> 8, 1001 & 255])
})

test('[ENF6, WIRE18] a cut in the middle of a frame adds nothing to it: both connections are reset', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  const half = frame(2, patternAt(0, 50_000), false).subarray(0, 30_000)
  exchange.socket.write(half)
  const halfUp = frame(2, patternAt(0, 50_000), true).subarray(0, 20_000)
  client.push(halfUp)
  await until(() => down().length === half.length && up().length === halfUp.length, 'half a frame each way')
  const reset = once(exchange.socket, 'error')
  held.end('time_up')
  expect(await client.ended).toBe('reset')
  expect((await reset)[0]).toMatchObject({ code: 'ECONNRESET' })
  expect([down().equals(half), up().equals(halfUp)]).toEqual([true, true])
})

test.each([['drained', 1012], ['time_up', 1008], ['session_ended', 1008], ['stale', 1013], ['internal_error', 1011]] as const)('[WIRE18] a ws client hears of an end for %s as %i', async (reason, code) => {
  const { caller, upstream, held } = await line()
  held.end(reason)
  await until(() => caller.closed !== null && upstream.closed !== null, 'the end')
  expect([caller.closed, upstream.closed]).toEqual([{ code, reason }, { code: 1001, reason: '' }])
})

test('[ENF6, WIRE18] a caller that does not answer the Close frame is closed on behind it', async () => {
  const { client, held } = await rawLine()
  let over = false
  held.socket.once('close', () => (over = true))
  held.end('locked')
  await until(() => over, 'the end of the connection', 1_000)
  await client.ended
})

test('[UPG-008, ENF2] frames every 10 ms: none that was sent behind the cut reaches the upstream', async () => {
  const { caller, upstream, held } = await line()
  let sent = 0
  const timer = setInterval(() => { if (caller.socket.readyState === WebSocket.OPEN) caller.socket.send(String(sent++)) }, 10)
  await until(() => upstream.heard.length >= 5, 'some frames')
  held.shutGate() // what makes every gate close, in the turn of the change
  const already = held.exchange.bytesUp
  await pause(100)
  expect(held.exchange.bytesUp).toBe(already)
  held.end('revoked')
  await until(() => caller.closed !== null && upstream.closed !== null, 'the end')
  clearInterval(timer)
  expect(sent).toBeGreaterThan(upstream.heard.length)
  expect([upstream.texts, caller.closed]).toEqual([upstream.heard.map((_, i) => String(i)), { code: 1008, reason: 'revoked' }])
  expect(upstream.texts.reduce((sum, text) => sum + text.length + 6, 0)).toBe(already)
})

test('[ENF2, WIRE18] with the event loop blocked across the closing of the gate, not a byte of what waited in both sockets passes', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  client.push(frame(1, 'late', true))
  exchange.socket.write(frame(1, 'late', false))
  held.exchange.until = Date.now() + 20
  const until20 = performance.now() + 60
  while (performance.now() < until20) continue
  await pause(100)
  expect([up().length, down().length, held.exchange.bytesUp, held.exchange.bytesDown]).toEqual([0, 0, 0, 0])
})

test('[ENF6, WIRE18] frozen: no data passes, pings of both sides are answered until data came, and all of it goes on from the very byte', async () => {
  const { caller, upstream, held } = await line()
  caller.socket.send('before')
  await until(() => upstream.heard.length === 1, 'the first message')
  held.freeze()
  caller.socket.ping('c1')
  upstream.socket.ping('u1')
  await until(() => caller.pongs.length === 1 && upstream.pongs.length === 1, 'answers to the pings')
  expect([caller.pongs, upstream.pongs, upstream.pings, caller.pings]).toEqual([['c1'], ['u1'], [], []]) // by us, not by each other
  caller.socket.ping('c2')
  await until(() => caller.pongs.length === 2, 'the next one')
  caller.socket.send('held up')
  upstream.socket.send('held down')
  caller.socket.ping('c3')
  upstream.socket.ping('u3')
  await pause(100)
  expect([upstream.texts, caller.texts, caller.pongs, upstream.pongs]).toEqual([['before'], [], ['c1', 'c2'], ['u1']])
  held.openGate()
  await until(() => upstream.heard.length === 2 && caller.heard.length === 1 && caller.pongs.length === 3 && upstream.pongs.length === 2, 'the rest')
  expect([upstream.texts, caller.texts, upstream.pings, caller.pings]).toEqual([['before', 'held up'], ['held down'], ['c3'], ['u3']])
})

test('[ENF6, WIRE18] frozen in the middle of frames both ways and resumed: byte for byte, and nothing of ours within them', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  const wholeUp = Buffer.concat([frame(2, patternAt(0, 200_000), true), frame(9, 'x', true)])
  const wholeDown = Buffer.concat([frame(2, patternAt(0, 200_000), false), frame(9, 'y', false)])
  client.push(wholeUp.subarray(0, 50_000))
  exchange.socket.write(wholeDown.subarray(0, 50_000))
  await until(() => up().length === 50_000 && down().length === 50_000, 'a part')
  held.freeze()
  client.push(wholeUp.subarray(50_000))
  exchange.socket.write(wholeDown.subarray(50_000))
  await pause(100)
  expect([up().length, down().length]).toEqual([50_000, 50_000])
  held.openGate()
  await until(() => up().length >= wholeUp.length && down().length >= wholeDown.length, 'the rest')
  expect([up().equals(wholeUp), down().equals(wholeDown)]).toEqual([true, true])
})

test('[ENF6, WIRE18] a ping that could only be answered within a frame waits, and goes on with the rest', async () => {
  const { client, exchange, held, down, up } = await rawLine()
  const whole = frame(2, patternAt(0, 1_000), false)
  exchange.socket.write(whole.subarray(0, 500))
  await until(() => down().length === 500, 'half a frame')
  held.freeze()
  const ping = frame(9, 'now?', true)
  client.push(ping)
  await pause(50)
  expect([down().length, up().length]).toEqual([500, 0])
  held.openGate()
  exchange.socket.write(whole.subarray(500))
  await until(() => down().length >= whole.length && up().length >= ping.length, 'the rest')
  expect([down().equals(whole), up().equals(ping)]).toEqual([true, true])
})

test('[ENF6, WIRE18] a ping in pieces is answered while frozen, a pong waits in its place, and neither is lost or doubled', async () => {
  const { client, held, down, up } = await rawLine()
  held.freeze()
  const ping = frame(9, 'slow', true)
  const pong = frame(10, 'early', true)
  client.push(pong)
  for (const byte of ping) {
    client.push(Buffer.from([byte]))
    await pause(2)
  }
  await until(() => down().length === 6, 'the answer')
  expect(down()).toEqual(frame(10, 'slow', false))
  held.openGate()
  client.push(frame(1, 'on', true))
  await until(() => up().length >= pong.length + 8, 'the rest')
  expect(up()).toEqual(Buffer.concat([pong, frame(1, 'on', true)]))
})

test('[ENF6, WIRE18] a flood of pings while frozen is answered no faster than it is read, and costs no memory', async () => {
  const { client, held } = await rawLine()
  client.pause()
  held.freeze()
  const pings = Buffer.concat(Array.from({ length: 10_000 }, () => frame(9, Buffer.alloc(125), true)))
  const before = process.memoryUsage().arrayBuffers
  let taken = 0
  while (taken < 60 && client.push(pings)) {
    taken++
    await pause(1)
  }
  await pause(200)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(96 * 1024 * 1024)
  expect(held.ended).toBe(null)
  held.end('frozen_too_long')
  client.resume()
  await client.ended
})

test.each(['caller', 'upstream'] as const)('[ENF6, WIRE18] a %s that closes while frozen ends the exchange so, never completed', async who => {
  const { caller, upstream, held } = await line()
  held.freeze()
  const [leaves, stays] = who === 'caller' ? [caller, upstream] : [upstream, caller]
  leaves.socket.close(1_000)
  await until(() => held.ended !== null, 'the end')
  expect(held.ended).toBe('frozen_peer_closed')
  await until(() => stays.closed !== null, 'the other one hears of it')
})

test('[ENF6, WIRE18] a peer that broke off while frozen is told of at the resume, as that', async () => {
  const { client, exchange, held } = await rawLine()
  held.freeze()
  exchange.socket.write(frame(1, 'data', false))
  await pause(50)
  exchange.socket.end()
  await pause(50)
  held.openGate()
  await client.ended
  expect(held.ended).toBe('frozen_peer_closed')
})

// ---- rules on messages

test('[WIRE18] messages are forwarded whole and judged one by one; the first that breaks the rule ends it', async () => {
  const { caller, upstream, held } = await line({ messages: { maxBytes: 1_000, perSecond: null, fields: new Map([['/op', new Set(['read'])]]) } }, { perMessageDeflate: true }, { perMessageDeflate: true })
  expect(caller.socket.extensions).toBe('')
  caller.socket.send('{"op":"read","n":1}')
  caller.socket.send('{"op":', { fin: false })
  caller.socket.ping('between')
  await until(() => upstream.pings.length === 1, 'the ping')
  expect(upstream.texts).toEqual(['{"op":"read","n":1}'])
  caller.socket.send('"read","n":2}', { fin: true })
  await until(() => upstream.heard.length === 2, 'the second message')
  caller.socket.send('{"op":"write"}')
  await until(() => caller.closed !== null, 'the end')
  expect([upstream.texts, caller.closed, held.ended]).toEqual([['{"op":"read","n":1}', '{"op":"read","n":2}'], { code: 1008, reason: 'denied' }, 'denied'])
})

test.each([
  ['too large', { maxBytes: 10, perSecond: null, fields: new Map() }, [Buffer.from('x'.repeat(11))], { code: 1009, reason: 'limit_reached' }],
  ['binary where fields are wanted', { maxBytes: 100, perSecond: null, fields: new Map([['/op', new Set(['read'])]]) }, [Buffer.from('{"op":"read"}')], { code: 1003, reason: 'denied' }],
  ['too many', { maxBytes: null, perSecond: 3, fields: new Map() }, ['1', '2', '3', '4'], { code: 1008, reason: 'limit_reached' }],
] as const)('[WIRE18] a message that is %s ends the exchange', async (_, messages, sent, wanted) => {
  const { caller, upstream, held } = await line({ messages })
  for (const message of sent) caller.socket.send(message)
  await until(() => caller.closed !== null, 'the end')
  expect([caller.closed, held.ended, upstream.heard.length]).toEqual([wanted, wanted.reason, sent.length - 1])
})

test('[WIRE18] an upstream that compresses where messages are read is no tunnel', async () => {
  const upstream = await RawUpstream.start(answers(`${SWITCH}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n`))
  closing.push(() => upstream.close())
  const gate = await harness(upstream.origin, { messages: { maxBytes: 10, perSecond: null, fields: new Map() } })
  const client = await RawClient.connect({ port: gate.port })
  client.push(ask('Sec-WebSocket-Extensions: permessage-deflate\r\n'))
  expect((await client.response()).status).toBe(502)
  expect(upstream.exchanges.map(({ head }: RawExchange) => head.includes('permessage-deflate'))).toEqual([false])
})

test('[WIRE18] a rule that asks for messages to be read where they were not ends the tunnel at the next one', async () => {
  const { caller, upstream, held } = await line()
  caller.socket.send('before')
  await until(() => upstream.heard.length === 1, 'the first message')
  const { place } = held.exchange
  held.exchange.place = { ...place, rule: place.rule === null ? null : { ...place.rule, messages: { maxBytes: null, perSecond: null, fields: new Map() } } }
  caller.socket.send('behind')
  await until(() => caller.closed !== null, 'the end')
  expect([caller.closed, upstream.texts]).toEqual([{ code: 1008, reason: 'denied' }, ['before']])
})
