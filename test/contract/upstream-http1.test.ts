// Our HTTP/1.1 client against upstreams on real sockets, well-behaved and not: reuse, framing both ways, back-pressure, cuts, what is never used again.
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { duration } from '../../src/core/time.ts'
import { Dialer } from '../../src/upstream/dial.ts'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../src/upstream/handler.ts'
import { Http1Connection } from '../../src/upstream/http1/connection.ts'
import { answers, answersAndEnds, answersAndResets, BROKEN, BROKEN_BODY, neverAnswers, RawUpstream, type Script, surplus } from '../support/raw-upstream.ts'

const GET: UpstreamRequest = { method: 'GET', path: '/x', headers: ['host', 'api.test'], bodyLength: 0 }
const POST: UpstreamRequest = { ...GET, method: 'POST', bodyLength: null }
const OK = 'HTTP/1.1 200 OK\r\n'
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`
const KEEP_ALIVE = duration(4_000)

type Connected = { readonly connection: Http1Connection; /** What the owner was told. */ readonly told: ('idle' | 'gone')[]; readonly socket: Socket }

/** One exchange; writes down what it is told, in order. */
class Exchange implements UpstreamHandler {
  readonly source = null
  readonly request: UpstreamRequest | null
  readonly informs: AnswerHead[] = []
  readonly events: string[] = []
  sending: Sending | null = null
  head: AnswerHead | null = null
  fault: UpstreamFault | null = null
  trailers: readonly string[] | null = null
  bytes = 0
  drains = 0
  onHead: () => void = () => undefined
  onData: () => void = () => undefined
  onDrain: () => void = () => undefined
  onOutgoing: () => void = () => undefined
  readonly #chunks: Buffer[] = []

  constructor(request: UpstreamRequest | null = GET) { this.request = request }
  get over(): boolean { return this.trailers !== null || this.fault !== null }
  get body(): string { return Buffer.concat(this.#chunks).toString('latin1') }

  outgoing(sending: Sending): UpstreamRequest | null {
    this.sending = sending
    this.onOutgoing()
    return this.request
  }
  drained(): void { this.drains++; this.onDrain() }
  informed(head: AnswerHead): void { this.informs.push(head) }
  answered(head: AnswerHead): void { this.head = head; this.events.push('answered'); this.onHead() }
  data(chunk: Buffer): void { this.bytes += chunk.length; if (this.bytes < 1_000_000) this.#chunks.push(chunk); this.events.push('data'); this.onData() }
  ended(trailers: readonly string[]): void { this.trailers = trailers; this.events.push('ended') }
  failed(fault: UpstreamFault): void { this.fault = fault; this.events.push('failed') }
}

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const until = (holds: () => boolean): Promise<unknown> => vi.waitFor(() => expect(holds()).toBe(true), { timeout: 10_000, interval: 2 })

async function connect(port: number, { keepAlive = KEEP_ALIVE, onIdle = (): void => undefined } = {}): Promise<Connected> {
  const opened = Promise.withResolvers<Connected>()
  const dial = new Dialer(null, duration(5_000), () => false).dial({ host: '127.0.0.1', port }, null, {
    opened: socket => {
      const told: ('idle' | 'gone')[] = []
      const connection = new Http1Connection(socket, { answered: () => {}, failed: () => {}, idle: () => { told.push('idle'); onIdle() }, gone: () => void told.push('gone') }, keepAlive)
      opened.resolve({ connection, told, socket })
    },
    failed: fault => opened.reject(new Error(fault)),
  })
  const connected = await opened.promise
  closing.push(() => { dial.abort(); connected.socket.destroy() })
  return connected
}

async function raw(script: Script): Promise<{ readonly upstream: RawUpstream; readonly port: number }> {
  const upstream = await RawUpstream.start(script)
  closing.push(() => upstream.close())
  return { upstream, port: Number(new URL(upstream.origin).port) }
}

async function http(listener: Parameters<typeof createHttpServer>[1]): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createHttpServer({ keepAliveTimeout: 0 }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => { server.closeAllConnections(); server.close() })
  return { server, port: (server.address() as AddressInfo).port } // it listens on TCP
}

async function exchange({ connection }: Connected, handler: Exchange): Promise<Exchange> {
  connection.send(handler)
  await until(() => handler.over)
  return handler
}

test('[WIRE12] one connection carries exchange after exchange', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port)
  for (let i = 1; i <= 5; i++) {
    expect(await exchange(at, new Exchange())).toMatchObject({ body: 'hello', trailers: [], head: { status: 200, text: 'OK', headers: ['Content-Length', '5'] }, events: ['answered', 'data', 'ended'] })
    expect(at.told).toEqual(Array(i).fill('idle'))
  }
  expect(upstream.connections).toBe(1)
  expect(at.connection.exchanges).toBe(5)
  expect(upstream.exchanges[4]?.head).toBe('GET /x HTTP/1.1\r\nhost: api.test\r\n\r\n')
})

test('[WIRE12] the next exchange may be sent out of the word that it is idle, and a place that is over reaches nobody', async () => {
  const { port } = await raw(answers(HELLO))
  const [first, second] = [new Exchange(), new Exchange(POST)]
  const at = await connect(port, { onIdle: () => { if (second.sending === null) at.connection.send(second) } })
  at.connection.send(first)
  await until(() => second.sending !== null)
  first.sending?.pause()
  expect(first.sending?.write(Buffer.from('stray'))).toBe(false)
  first.sending?.end(['x', 'y'])
  first.sending?.abort()
  second.sending?.end([])
  await until(() => second.over)
  expect(second).toMatchObject({ body: 'hello', fault: null })
})

test('[WIRE7, WIRE22] an upload in chunks with trailers arrives octet by octet as framed', async () => {
  const seen = Promise.withResolvers<{ body: string; trailers: string[]; coding: string | undefined }>()
  const { port } = await http((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      seen.resolve({ body: Buffer.concat(chunks).toString(), trailers: request.rawTrailers, coding: request.headers['transfer-encoding'] })
      response.end('done')
    })
  })
  const at = await connect(port)
  const handler = new Exchange(POST)
  at.connection.send(handler)
  for (const chunk of ['one', '', 'two', 'x'.repeat(300)]) handler.sending?.write(Buffer.from(chunk))
  handler.sending?.end(['Grpc-Status', '0', 'x-sum', 'a b'])
  expect(await seen.promise).toEqual({ body: `onetwo${'x'.repeat(300)}`, trailers: ['Grpc-Status', '0', 'x-sum', 'a b'], coding: 'chunked' })
  await until(() => at.told.length > 0)
  expect(handler).toMatchObject({ body: 'done', fault: null })
  expect(at.told).toEqual(['idle'])
})

test.each([['more', 'hello!'], ['less', 'hell']])('[WIRE12] %s than was announced is never sent as if it were: the connection is destroyed', async (_, body) => {
  const { upstream, port } = await raw(neverAnswers)
  const at = await connect(port)
  const handler = new Exchange({ ...POST, bodyLength: 5 })
  at.connection.send(handler)
  handler.sending?.write(Buffer.from(body))
  handler.sending?.end([])
  expect(handler).toMatchObject({ fault: 'upstream_malformed', events: ['failed'] })
  expect(at.told).toEqual(['gone'])
  await until(() => upstream.connections === 0)
  expect(upstream.exchanges[0]?.bytes().toString() ?? '').not.toContain('hello!')
})

test('[WIRE12] a body of the announced length goes as it is, and leaves the connection usable', async () => {
  const { port } = await http((request, response) => void request.toArray().then(chunks => response.end(Buffer.concat(chunks))))
  const at = await connect(port)
  const handler = new Exchange({ ...POST, bodyLength: 5 })
  at.connection.send(handler)
  handler.sending?.write(Buffer.from('he'))
  handler.sending?.write(Buffer.from('llo'))
  handler.sending?.end([])
  await until(() => at.told.length > 0)
  expect(handler.body).toBe('hello')
  expect(at.told).toEqual(['idle'])
})

test('[WIRE12] a head or trailers that would become something else are not sent', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port)
  for (const value of ['a\r\nX: y', 'a\u010aX', 'a\0']) expect(await exchange(at, new Exchange({ ...GET, headers: ['host', 'a', 'x', value] }))).toMatchObject({ fault: 'upstream_malformed' })
  expect(at.told).toEqual(['idle', 'idle', 'idle'])
  expect(await exchange(at, new Exchange())).toMatchObject({ body: 'hello' })
  expect(upstream.exchanges.map(({ head }) => head)).toEqual(['GET /x HTTP/1.1\r\nhost: api.test\r\n\r\n'])
  const handler = new Exchange(POST)
  at.connection.send(handler)
  handler.sending?.end(['x', 'a\r\nb'])
  expect(handler.fault).toBe('upstream_malformed')
  expect(at.told.at(-1)).toBe('gone')
})

test('[ENF10] nothing is written when the exchange is not to be sent after all, or is given up in that moment', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port)
  at.connection.send(new Exchange(null))
  expect(at.told).toEqual(['idle'])
  const handler = new Exchange()
  handler.onOutgoing = () => handler.sending?.abort()
  at.connection.send(handler)
  expect(at.told).toEqual(['idle', 'gone'])
  await until(() => upstream.connections === 0)
  expect(upstream.exchanges).toHaveLength(0)
  expect(handler.events).toEqual([])
})

test('[WIRE22] 100 is not told, other interim answers are, in front of the answer', async () => {
  const { port } = await raw(answers(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${HELLO}`))
  const at = await connect(port)
  expect(await exchange(at, new Exchange())).toMatchObject({ body: 'hello', informs: [{ status: 103, text: 'Early Hints', headers: ['Link', '</a>'] }] })
  expect(at.told).toEqual(['idle'])
})

test('[WIRE12] an answer that is whole before the request is told, and ends the connection', async () => {
  const { port } = await raw(answers('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'))
  const at = await connect(port)
  const handler = new Exchange(POST)
  at.connection.send(handler)
  handler.sending?.write(Buffer.from('part of it'))
  await until(() => handler.over)
  expect(handler).toMatchObject({ body: 'no', head: { status: 413 }, fault: null })
  expect(at.told).toEqual(['gone'])
  expect(handler.sending?.write(Buffer.from('more'))).toBe(false)
})

test.each([
  ['close-delimited', GET, answersAndEnds(`${OK}\r\nuntil the end`), 'until the end', 'gone'],
  ['Connection: close', GET, answers(`${OK}Connection: close\r\nContent-Length: 5\r\n\r\nhello`), 'hello', 'gone'],
  ['HTTP/1.0', GET, answers('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'), 'hello', 'gone'],
  ['HEAD with a length', { ...GET, method: 'HEAD' }, answers(`${OK}Content-Length: 5000\r\n\r\n`), '', 'idle'],
  ['304 with a length', GET, answers('HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n'), '', 'idle'],
  ['204', GET, answers('HTTP/1.1 204 No Content\r\n\r\n'), '', 'idle'],
  ['204 with a length', GET, answers('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n'), '', 'gone'],
  ['chunked', GET, answers(`${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`), 'hello', 'idle'],
  ['Keep-Alive: timeout=1', GET, answers(`${OK}Keep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n`), '', 'gone'],
] satisfies readonly (readonly [string, UpstreamRequest, Script, string, 'idle' | 'gone'])[])('[WIRE12] %s: told whole, and the connection is as it should be behind it', async (_, request, script, body, fate) => {
  const { port } = await raw(script)
  const at = await connect(port)
  expect(await exchange(at, new Exchange(request))).toMatchObject({ body, trailers: [], fault: null })
  await until(() => at.told.length > 0)
  expect(at.told).toEqual([fate])
})

test.each([...BROKEN])('[WIRE12] no head is told of %s, and the connection is not used again', async (_, script) => {
  const { port } = await raw(script)
  const at = await connect(port)
  const handler = await exchange(at, new Exchange())
  expect(handler.head).toBeNull()
  expect(['upstream_malformed', 'upstream_reset']).toContain(handler.fault)
  expect(at.told).toEqual(['gone'])
})

test.each([...BROKEN_BODY])('[WIRE12] an answer is never whole that is %s', async (_, script) => {
  const { port } = await raw(script)
  const at = await connect(port)
  expect(await exchange(at, new Exchange())).toMatchObject({ head: { status: 200 }, trailers: null, fault: expect.stringMatching(/^upstream_(?:malformed|reset)$/) })
  expect(at.told).toEqual(['gone'])
})

test('[WIRE12] a second answer behind the first is nobody\'s: in one piece, or later', async () => {
  const { port } = await raw(surplus(HELLO))
  const at = await connect(port)
  expect(await exchange(at, new Exchange())).toMatchObject({ body: 'ok', fault: null })
  expect(at.told).toEqual(['gone'])
  const late = await raw(answers(HELLO))
  const idle = await connect(late.port)
  await exchange(idle, new Exchange())
  late.upstream.exchanges[0]?.socket.write(HELLO)
  await until(() => idle.told.length === 2)
  expect(idle.told).toEqual(['idle', 'gone'])
})

test('[WIRE12] a second answer that waits unread while the first is paused is nobody\'s either', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port)
  const handler = new Exchange()
  handler.onData = () => handler.sending?.pause()
  at.connection.send(handler)
  await until(() => handler.bytes === 5)
  upstream.exchanges[0]?.socket.write(HELLO)
  await until(() => at.socket.readableLength > 0)
  expect(handler.over).toBe(false)
  handler.sending?.resume()
  await until(() => handler.over)
  expect(handler).toMatchObject({ body: 'hello', trailers: [] })
  expect(at.told).toEqual(['gone'])
})

test('[WIRE12] an upstream that speaks first is not used', async () => {
  const { server, port } = await http(() => undefined)
  server.on('connection', (socket: Socket) => socket.write(HELLO))
  const at = await connect(port)
  await until(() => at.told.length > 0)
  expect(at.told).toEqual(['gone'])
  const handler = new Exchange()
  at.connection.send(handler)
  expect(handler).toMatchObject({ fault: 'upstream_reset', sending: null })
})

test('[WIRE12] a connection that was closed while it lay idle fails with nothing of an answer, and tells so', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port)
  await exchange(at, new Exchange())
  expect(at.connection).toMatchObject({ answerBegan: true, bodyBegan: false, exchanges: 1 })
  const handler = new Exchange()
  upstream.exchanges[0]?.socket.resetAndDestroy()
  at.connection.send(handler)
  await until(() => handler.over)
  expect(handler).toMatchObject({ fault: 'upstream_reset', head: null })
  expect(at.connection).toMatchObject({ answerBegan: false, bodyBegan: false })
  expect(at.told).toEqual(['idle', 'gone'])
})

test('[WIRE12] what came of an answer, and what went of a body, can be read behind a fault', async () => {
  const { port } = await raw(answersAndResets(`${OK}Content-Le`))
  const at = await connect(port)
  const handler = new Exchange(POST)
  at.connection.send(handler)
  expect(at.connection.bodyBegan).toBe(false)
  handler.sending?.write(Buffer.from('x'))
  await until(() => handler.over)
  expect(at.connection).toMatchObject({ answerBegan: true, bodyBegan: true })
})

test('[WIRE12] an idle connection is given up when its time is over, by our word or by the upstream\'s', async () => {
  const { upstream, port } = await raw(answers(HELLO))
  const at = await connect(port, { keepAlive: duration(60) })
  await exchange(at, new Exchange())
  await until(() => at.told.includes('gone'))
  await until(() => upstream.connections === 0)
  const said = await raw(answers(`${OK}Keep-Alive: max=9, timeout=2\r\nContent-Length: 0\r\n\r\n`))
  const told = await connect(said.port, { keepAlive: duration(60_000) })
  const before = performance.now()
  await exchange(told, new Exchange())
  await until(() => told.told.includes('gone'))
  expect(performance.now() - before).toBeGreaterThan(900)
  expect(performance.now() - before).toBeLessThan(1_900)
})

test('[WIRE12] an exchange that takes longer than an idle connection is kept goes on', async () => {
  const { upstream, port } = await raw(neverAnswers)
  const at = await connect(port, { keepAlive: duration(20) })
  const handler = new Exchange()
  at.connection.send(handler)
  await until(() => upstream.exchanges.length === 1)
  await new Promise(resolve => setTimeout(resolve, 80))
  expect(at.told).toEqual([])
  upstream.exchanges[0]?.socket.write(HELLO)
  await until(() => handler.over)
  expect(handler.body).toBe('hello')
  await until(() => at.told.includes('gone'))
  expect(at.told).toEqual(['idle', 'gone'])
})

test('[WIRE12] closed by its owner: at once when idle, else behind the exchange', async () => {
  const { upstream, port } = await raw(neverAnswers)
  const at = await connect(port)
  const handler = new Exchange()
  at.connection.send(handler)
  at.connection.close()
  await until(() => upstream.exchanges.length === 1)
  expect(at.told).toEqual([])
  upstream.exchanges[0]?.socket.write(HELLO)
  await until(() => handler.over)
  expect(handler.body).toBe('hello')
  expect(at.told).toEqual(['gone'])
  const idle = await connect(port)
  idle.connection.close()
  expect(idle.told).toEqual(['gone'])
})

test.each(['before the head', 'at the head', 'in the body'])('[ENF10] given up %s: destroyed at once, and nothing is told any more', async when => {
  const { upstream, port } = await raw(when === 'before the head' ? neverAnswers : answers(`${OK}Transfer-Encoding: chunked\r\n\r\n${'3\r\nhel\r\n'.repeat(1_000)}`))
  const at = await connect(port)
  const handler = new Exchange(POST)
  const cut = (): void => handler.sending?.abort()
  if (when === 'at the head') handler.onHead = cut
  if (when === 'in the body') handler.onData = cut
  at.connection.send(handler)
  handler.sending?.write(Buffer.alloc(100_000))
  if (when === 'before the head') {
    await until(() => upstream.exchanges.length === 1)
    cut()
  }
  await until(() => upstream.connections === 0)
  await until(() => at.socket.closed)
  expect(handler.events).toEqual(when === 'before the head' ? [] : when === 'at the head' ? ['answered'] : ['answered', 'data'])
  expect(at.told).toEqual(['gone'])
})

test('[WIRE7] a paused answer stays with the upstream but for a bounded rest, and goes on at the very octet', async () => {
  const total = 64 * 1024 * 1024
  let written = 0
  const { port } = await http((_, response) => {
    response.writeHead(200, { 'content-length': total })
    const pump = (): void => {
      while (written < total) {
        written += 65_536
        if (!response.write(Buffer.alloc(65_536, written / 65_536 % 251))) return void response.once('drain', pump)
      }
      response.end()
    }
    pump()
  })
  const at = await connect(port)
  const handler = new Exchange()
  handler.onData = () => { if (handler.bytes < 1_000_000 && handler.events.length === 2) handler.sending?.pause() }
  at.connection.send(handler)
  await until(() => handler.bytes > 0)
  const told = handler.bytes
  let before = -1
  await vi.waitFor(() => {
    const still = written === before
    before = written
    expect(still).toBe(true)
  }, { timeout: 10_000, interval: 100 })
  expect(written).toBeLessThan(total / 2)
  expect(handler.bytes).toBe(told)
  expect(at.socket.readableLength).toBeLessThanOrEqual(256 * 1024)
  handler.sending?.resume()
  await until(() => handler.over)
  expect(handler).toMatchObject({ bytes: total, fault: null })
  expect(at.told).toEqual(['idle'])
})

test('[WIRE7] paused within a piece, the rest of it and the end wait; a peer that closes meanwhile takes nothing away', async () => {
  const whole = `${OK}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${'hello'.split('').map(letter => `1\r\n${letter}\r\n`).join('')}0\r\nX: y\r\n\r\n`
  const { port } = await raw(answersAndEnds(whole))
  const at = await connect(port)
  const handler = new Exchange()
  handler.onData = () => handler.sending?.pause()
  at.connection.send(handler)
  for (let i = 1; i <= 5; i++) {
    await until(() => handler.bytes === i)
    await new Promise(resolve => setTimeout(resolve, 10))
    expect(handler).toMatchObject({ bytes: i, trailers: null, fault: null })
    handler.sending?.resume()
  }
  await until(() => handler.over)
  expect(handler).toMatchObject({ body: 'hello', trailers: ['X', 'y'], fault: null })
  expect(at.told).toEqual(['gone'])
})

test.each([['sized', `${OK}Content-Length: 5\r\n\r\nhello`], ['close-delimited', `${OK}\r\nhello`]])('[WIRE7] paused at the last octet of a %s answer, its end is told behind the resume, though the peer is gone', async (_, answer) => {
  const { port } = await raw(answersAndEnds(answer))
  const at = await connect(port)
  const handler = new Exchange()
  handler.onData = () => handler.sending?.pause()
  at.connection.send(handler)
  await until(() => handler.bytes === 5)
  await until(() => at.socket.closed)
  expect(handler.over).toBe(false)
  handler.sending?.resume()
  await until(() => handler.over)
  expect(handler).toMatchObject({ trailers: [], fault: null })
  expect(at.told).toEqual(['gone'])
})

test.each([['known', 32 * 1024 * 1024], ['unknown', null]])('[WIRE7] an upload of %s length waits for a slow upstream, and is told when it takes more', async (_, bodyLength) => {
  const total = 32 * 1024 * 1024
  let received = 0
  const held = Promise.withResolvers<() => void>()
  const { port } = await http((request, response) => {
    held.resolve(() => {
      request.on('data', (chunk: Buffer) => (received += chunk.length))
      request.on('end', () => response.end('done'))
    })
  })
  const at = await connect(port)
  const handler = new Exchange({ ...POST, bodyLength })
  let sent = 0
  const pump = (): void => {
    while (sent < total) {
      sent += 65_536
      if (handler.sending?.write(Buffer.alloc(65_536)) !== true) break
    }
    if (sent === total && handler.drains >= 0) handler.sending?.end([])
  }
  handler.onDrain = pump
  at.connection.send(handler)
  pump()
  const open = await held.promise
  await until(() => at.socket.writableNeedDrain)
  expect(sent).toBeLessThan(total)
  expect(at.socket.writableLength).toBeLessThanOrEqual(256 * 1024)
  open()
  await until(() => handler.over)
  expect(handler).toMatchObject({ body: 'done', fault: null })
  expect(received).toBe(total)
  expect(handler.drains).toBeGreaterThan(0)
})
