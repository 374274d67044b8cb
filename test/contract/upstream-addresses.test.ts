// An upstream of several addresses against real servers: shares, second attempts, limits, look-ups, identity, and what is left behind it.
// Only what names stand for is made up. SPEC: WIRE12, WIRE20, WIRE21, WIRE23
import { execFile } from 'node:child_process'
import type * as dns from 'node:dns/promises'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { constants, createSecureServer, createServer as createHttp2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { UpstreamSettings } from '../../src/config/settings.ts'
import { duration } from '../../src/core/time.ts'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../src/upstream/handler.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { FRAME, frame, headers, PREFACE } from '../support/http2-frames.ts'
import { type Authority, type Certificate, testAuthority } from '../support/tls.ts'

const names = vi.hoisted(() => ({ lookup: null as null | (() => Promise<readonly { readonly address: string; readonly family: number }[]>) })) // DNS answers, and nothing else
vi.mock('node:dns/promises', async original => {
  const real = await original<typeof dns>()
  return { ...real, lookup: (...asked: Parameters<typeof real.lookup>) => names.lookup?.() ?? real.lookup(...asked) }
})

async function until(holds: () => boolean, what: string, ms = 8_000): Promise<void> {
  const end = performance.now() + ms
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

class Caller implements UpstreamHandler {
  readonly source: string | null = '203.0.113.9'
  readonly over: Promise<string>
  sent = 0
  sending: Sending | null = null
  #status = 0
  #finish: (how: string) => void = () => undefined
  readonly #request: UpstreamRequest

  constructor(path = '/', body: string | null = '') {
    this.#request = { method: body === '' ? 'GET' : 'POST', path, headers: ['host', 'api.test'], bodyLength: body === null ? null : body.length }
    this.over = new Promise(resolve => { this.#finish = resolve })
  }

  outgoing(sending: Sending): UpstreamRequest | null {
    this.sent++
    this.sending = sending
    if (this.#request.bodyLength === null) process.nextTick(() => {
      sending.write(Buffer.from('body'))
      sending.end([])
    })
    return this.#request
  }

  drained(): void {}
  informed(): void {}
  answered({ status }: AnswerHead): void { this.#status = status }
  data(): void {}
  ended(): void { this.#finish(String(this.#status)) }
  failed(fault: UpstreamFault): void { this.#finish(fault) }
}

const closing: (() => unknown)[] = []
let counted: string[] = []
beforeEach(() => {
  counted = []
  names.lookup = null
})
afterEach(() => { for (const close of closing.splice(0).reverse()) close() })

type Place = { readonly port: number; readonly sockets: Set<Socket>; asked: number; most: number; made: number }

async function listening(server: Server): Promise<Place> {
  const place: Place = { port: 0, sockets: new Set(), asked: 0, most: 0, made: 0 }
  server.on('connection', (socket: Socket) => {
    place.made++
    place.most = Math.max(place.most, place.sockets.add(socket).size)
    socket.on('error', () => undefined)
    socket.on('close', () => place.sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    for (const socket of place.sockets) socket.destroy()
    server.close()
  })
  return Object.assign(place, { port: (server.address() as AddressInfo).port }) // it listens on TCP
}

async function http1(serve: RequestListener = (_, answer) => void answer.end('ok')): Promise<Place> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (message, answer) => {
    place.asked++
    serve(message, answer)
  })
  const place = await listening(server)
  return place
}

type Serve = (stream: ServerHttp2Stream, session: Http2Session) => void
async function http2(serve: Serve = stream => { stream.respond({ ':status': 200 }); stream.end('ok') }, maxConcurrentStreams = 100): Promise<Place> {
  const server = createHttp2Server({ settings: { maxConcurrentStreams } })
  server.on('session', session => session.on('error', () => undefined))
  server.on('stream', (stream: ServerHttp2Stream) => {
    place.asked++
    stream.on('error', () => undefined).resume()
    if (stream.session !== undefined) serve(stream, stream.session)
  })
  const place = await listening(server)
  return place
}

/** Whether there is a HEADERS frame among these whole ones. */
function asksIn(bytes: Buffer): boolean {
  for (let at = bytes.subarray(0, 3).equals(PREFACE.subarray(0, 3)) ? PREFACE.length : 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) if (bytes[at + 3] === FRAME.headers) return true
  return false
}

/** Takes connections and says nothing. */
const silentServer = (): Promise<Place> => listening(createServer(socket => void socket.resume()))

/** A port that nobody listens on. */
async function nowhere(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // as above
  await new Promise(resolve => server.close(resolve))
  return port
}

async function open(ports: readonly number[], more: Partial<UpstreamSettings> = {}): Promise<Upstream> {
  const upstream = await Upstream.open({
    name: 'api', origin: 'http://127.0.0.1', addresses: ports.map(port => ({ host: '127.0.0.1', port, weight: 1 })), tls: null, protocol: 'http1', timeout: duration(2_000), connections: 100, streams: 100,
    health: null, ejection: null, retries: { attempts: 1, on: ['connect', 'refused'] }, resolve: duration(50), proxyProtocol: false, inject: null, transaction: null, signature: null, brokered: null, serves: 'http', endpoint: null, ...more,
  }, { isOwn: () => false, ejected: name => counted.push(`ejected ${name}`), retried: (name, on) => counted.push(`retried ${name} ${on}`), unread: name => counted.push(`unread ${name}`) })
  closing.push(() => upstream.close())
  return upstream
}

function send(upstream: Upstream, path = '/', body: string | null = ''): Caller {
  const caller = new Caller(path, body)
  upstream.send(caller)
  return caller
}

const ask = (upstream: Upstream, path = '/', body: string | null = ''): Promise<string> => send(upstream, path, body).over
const asks = async (upstream: Upstream, times: number): Promise<readonly string[]> => {
  const answers: string[] = []
  for (let i = 0; i < times; i++) answers.push(await ask(upstream))
  return answers
}

describe('addresses', () => {
  test('[WIRE20] share the requests by weight, to the request', async () => {
    const [a, b] = [await http1(), await http1()]
    const upstream = await open([], { addresses: [{ host: '127.0.0.1', port: a.port, weight: 3 }, { host: '127.0.0.1', port: b.port, weight: 1 }] })
    await asks(upstream, 40)
    expect([a.asked, b.asked]).toEqual([30, 10])
  })

  test('[WIRE20] one that fails in a row is left out, counted, and taken in again behind its time', async () => {
    let broken = true
    const [bad, good] = [await http1((_, answer) => void answer.writeHead(broken ? 503 : 200).end()), await http1()]
    const upstream = await open([bad.port, good.port], { ejection: { failures: 2, for: duration(150), atMost: 50 } })
    await asks(upstream, 4)
    expect([bad.asked, upstream.addresses, counted]).toEqual([2, { well: 1, out: 1 }, ['ejected api']])
    expect(await asks(upstream, 6)).toEqual(Array.from({ length: 6 }, () => '200'))
    expect(bad.asked).toBe(2)
    broken = false
    await until(() => upstream.addresses.well === 2, 'its time is over')
    await asks(upstream, 4)
    expect(bad.asked).toBe(4)
  })

  test('[WIRE20] no more are left out than allowed, and what alone is left is never left out', async () => {
    const places = await Promise.all(Array.from({ length: 4 }, () => http1((_, answer) => void answer.writeHead(502).end())))
    const upstream = await open(places.map(({ port }) => port), { ejection: { failures: 1, for: duration(60_000), atMost: 50 } })
    await asks(upstream, 20)
    expect([upstream.addresses, counted.length]).toEqual([{ well: 2, out: 2 }, 2])
    const [lone] = [await open([places[0]?.port ?? 0], { ejection: { failures: 1, for: duration(60_000), atMost: 99 } })]
    await asks(lone, 3)
    expect(lone.addresses).toEqual({ well: 1, out: 0 })
  })

  test('[WIRE20] are tried all the same where none is well', async () => {
    const places = await Promise.all(Array.from({ length: 2 }, () => http1((_, answer) => void answer.writeHead(502).end())))
    const upstream = await open(places.map(({ port }) => port), { ejection: { failures: 1, for: duration(60_000), atMost: 100 } })
    await asks(upstream, 4)
    expect(upstream.addresses).toEqual({ well: 0, out: 2 })
    expect(await asks(upstream, 4)).toEqual(['502', '502', '502', '502'])
  })

  test('[WIRE20] that fail their probes are left out and taken in again, without a request that meets them', async () => {
    let down = true
    const probed: string[] = []
    const [bad, good] = [await http1((message, answer) => {
      probed.push(`${message.headers.host} ${message.url} ${message.headers['user-agent']}`)
      answer.writeHead(down ? 500 : 204).end()
    }), await http1()]
    const upstream = await open([bad.port, good.port], { health: { path: '/up', every: duration(20), timeout: duration(20), healthyAfter: 2, unhealthyAfter: 2 } })
    await until(() => upstream.addresses.out === 1, 'it is out')
    const before = good.asked
    await asks(upstream, 10)
    expect([good.asked - before >= 10, new Set(probed), counted]).toEqual([true, new Set([`127.0.0.1:${bad.port} /up narrowgate-health`]), []])
    down = false
    await until(() => upstream.addresses.out === 0, 'it is in again')
  })

  test('[WIRE20] that answer no probe are left out, and a probe of a server that is only full says nothing', async () => {
    const silent = await silentServer()
    const upstream = await open([silent.port], { health: { path: '/', every: duration(30), timeout: duration(30), healthyAfter: 1, unhealthyAfter: 2 } })
    await until(() => upstream.addresses.out === 1, 'it is out')
    const held = await http2(() => undefined, 1)
    const full = await open([held.port], { protocol: 'http2', connections: 1, health: { path: '/', every: duration(60_000), timeout: duration(20), healthyAfter: 1, unhealthyAfter: 1 } })
    await until(() => full.addresses.out === 1, 'nothing is answered there')
    const crowded = await http1(() => undefined)
    const busy = await open([crowded.port], { connections: 1, health: { path: '/', every: duration(20), timeout: duration(20), healthyAfter: 1, unhealthyAfter: 1 } })
    send(busy)
    await until(() => crowded.asked === 1, 'the request has the only connection')
    await new Promise(resolve => setTimeout(resolve, 100)) // five more probes' time
    expect([busy.addresses, crowded.asked, crowded.most]).toEqual([{ well: 1, out: 0 }, 1, 1])
  })
})

describe('a second attempt', () => {
  test('[WIRE20] is made at another address where no connection came about, body or not, and counted', async () => {
    const good = await http1()
    const upstream = await open([await nowhere(), good.port])
    expect([await ask(upstream), await ask(upstream), await ask(upstream, '/', null)]).toEqual(['200', '200', '200'])
    expect([good.asked, counted]).toEqual([3, ['retried api connect', 'retried api connect']])
  })

  test.each([
    ['0 attempts', { attempts: 0, on: ['connect', 'refused'] as const }, 3, []],
    ['`connect` left out', { attempts: 3, on: ['refused'] as const }, 3, []],
    ['as many attempts as it takes', { attempts: 2, on: ['connect'] as const }, 3, ['retried api connect', 'retried api connect']],
  ])('[WIRE20] with %s no more are made', async (_, retries, ports, expected) => {
    const dead = await Promise.all(Array.from({ length: ports }, () => nowhere()))
    expect([await ask(await open(dead, { retries })), counted]).toEqual(['upstream_unavailable', expected])
  })

  test('[WIRE20] never follows a request that was sent: a reset is told', async () => {
    const [bad, good] = [await http1(({ socket }) => socket.destroy()), await http1()]
    expect([await ask(await open([bad.port, good.port])), good.asked, counted]).toEqual(['upstream_reset', 0, []])
  })

  test('[WIRE20] follows REFUSED_STREAM once, at the one address there is; one that always refuses is not asked for ever', async () => {
    for (const attempts of [0, 1, 3]) {
      counted = []
      const refuser = await http2(stream => stream.close(constants.NGHTTP2_REFUSED_STREAM))
      const upstream = await open([refuser.port], { protocol: 'http2', retries: { attempts, on: ['connect', 'refused'] } })
      expect([await ask(upstream), refuser.asked, counted.length]).toEqual(['upstream_reset', attempts + 1, attempts])
    }
  })

  test('[WIRE20] never follows a request with a body', async () => {
    const refuser = await http2(stream => stream.close(constants.NGHTTP2_REFUSED_STREAM))
    const upstream = await open([refuser.port], { protocol: 'http2' })
    expect([await ask(upstream, '/', null), refuser.asked, counted]).toEqual(['upstream_reset', 1, []])
  })

  test('[WIRE20] counts whatever came before it: a dead address and a refusal are two attempts', async () => {
    const refuser = await http2(stream => stream.close(constants.NGHTTP2_REFUSED_STREAM))
    const upstream = await open([await nowhere(), refuser.port], { protocol: 'http2' })
    expect([await ask(upstream), refuser.asked, counted]).toEqual(['upstream_reset', 1, ['retried api connect']])
  })

  test('[WIRE20] follows GOAWAY below the stream, on a new connection', async () => {
    const server = await listening(createServer(socket => {
      const second = server.made === 1 // counted behind this
      socket.write(frame(FRAME.settings, 0, 0))
      socket.on('data', (bytes: Buffer) => {
        if (asksIn(bytes)) socket.write(second ? headers(1, [[':status', '204']]) : frame(FRAME.goaway, 0, 0, Buffer.alloc(8)))
      })
    }))
    const upstream = await open([server.port], { protocol: 'http2' })
    expect([await ask(upstream), server.made, counted]).toEqual(['204', 2, ['retried api refused']])
  })

  test('[WIRE20] those that wait for a stream go on where the connection says GOAWAY', async () => {
    const held: [ServerHttp2Stream, Http2Session][] = []
    const server = await http2((stream, session) => void held.push([stream, session]))
    const upstream = await open([server.port], { protocol: 'http2', connections: 2, streams: 1 })
    const one = send(upstream)
    await until(() => held.length === 1, 'the first is there')
    const two = send(upstream)
    await until(() => held.length === 2, 'the second has a connection of its own')
    const waits = [send(upstream, '/', null), send(upstream)]
    for (const [stream, session] of held.splice(0)) {
      session.goaway()
      stream.respond({ ':status': 200 })
      stream.end()
    }
    expect([await one.over, await two.over]).toEqual(['200', '200'])
    for (let served = 0; served < 2; served++) {
      await until(() => held.length > 0, 'one that waited')
      const [stream] = held.shift() ?? []
      stream?.respond({ ':status': 200 })
      stream?.end()
    }
    expect([await waits[0]?.over, await waits[1]?.over, counted]).toEqual(['200', '200', ['retried api refused', 'retried api refused']])
  })
})

describe('connections', () => {
  test('[WIRE20] are never more than allowed, over all addresses, idle ones and aborted ones too, and none is missing', async () => {
    const held: (() => void)[] = []
    const places = await Promise.all(Array.from({ length: 3 }, () => http1((_, answer) => void held.push(() => answer.end()))))
    const upstream = await open(places.map(({ port }) => port), { connections: 4 })
    for (let round = 0; round < 20; round++) {
      const callers = Array.from({ length: 4 }, () => send(upstream))
      const before = await Promise.race([callers[round % 4]?.over, until(() => held.length === 4, 'four are there').then(() => 'there')])
      expect([before, upstream.busy]).toEqual(['there', 4])
      const fifth = await ask(upstream)
      expect(fifth).toBe('upstream_busy')
      callers[round % 4]?.sending?.abort()
      for (const answer of held.splice(0)) answer()
      await Promise.all(callers.filter((_, i) => i !== round % 4).map(({ over }) => over))
      await until(() => places.reduce((sum, { sockets }) => sum + sockets.size, 0) <= 4, 'what was closed is closed')
    }
    expect(upstream.busy).toBe(0)
  })

  test('[WIRE20] idle ones make way: all addresses stay within reach of the limit', async () => {
    const places = await Promise.all(Array.from({ length: 3 }, () => http1()))
    const upstream = await open(places.map(({ port }) => port), { connections: 1 })
    expect([new Set(await asks(upstream, 9)), places.map(({ asked }) => asked)]).toEqual([new Set(['200']), [3, 3, 3]])
    await until(() => places.reduce((sum, { sockets }) => sum + sockets.size, 0) === 1, 'one is left')
  })

  test('[WIRE20] of tunnels and of HTTP/2 count as well', async () => {
    const server = await http1()
    const upstream = await open([server.port], { connections: 1 })
    const place = upstream.place('203.0.113.9')
    if (typeof place === 'string') throw new Error(place)
    expect([upstream.place('203.0.113.9'), await ask(upstream)]).toEqual(['upstream_busy', 'upstream_busy'])
    place.release(null)
    expect([await ask(upstream), upstream.busy]).toEqual(['200', 0])
    const held: ServerHttp2Stream[] = []
    const shared = await http2(stream => void held.push(stream), 2)
    const second = await open([shared.port], { protocol: 'http2', connections: 3 })
    const callers = Array.from({ length: 8 }, () => send(second))
    await until(() => held.length === 6, 'three connections with two streams each')
    callers[6]?.sending?.abort()
    for (let ended = 0; ended < 8; ended++) {
      await until(() => held.length > 0, 'the next')
      const stream = held.shift()
      stream?.respond({ ':status': 200 })
      stream?.end()
    }
    expect([await Promise.all(callers.map(({ over }) => over)), shared.most, shared.made]).toEqual([Array.from({ length: 8 }, () => '200'), 3, 3])
  })

  test('[WIRE20] that said GOAWAY count until their last stream is over', async () => {
    const held: [ServerHttp2Stream, Http2Session][] = []
    const server = await http2((stream, session) => void held.push([stream, session]))
    const upstream = await open([server.port], { protocol: 'http2', connections: 1 })
    const first = send(upstream)
    await until(() => held.length === 1, 'it is there')
    const [stream, session] = held.shift() ?? []
    if (session === undefined) throw new Error('it has a session')
    const goes = once(session, 'close')
    session.goaway()
    const second = send(upstream)
    await new Promise(resolve => setTimeout(resolve, 50)) // as long as a connection would take
    expect([server.made, upstream.busy]).toEqual([1, 1])
    stream?.respond({ ':status': 200 })
    stream?.end()
    expect(await first.over).toBe('200')
    await goes
    await until(() => held.length === 1, 'the one that waited')
    held[0]?.[0].respond({ ':status': 200 })
    held[0]?.[0].end()
    expect([await second.over, server.made]).toEqual(['200', 2])
    upstream.close()
    await until(() => upstream.busy === 0, 'it is gone')
  })

  test('[WIRE20] those that wait for one over HTTP/2 are bounded, and one that is withdrawn makes room and is never sent', async () => {
    const silent = await silentServer()
    const upstream = await open([silent.port], { protocol: 'http2' })
    const callers = Array.from({ length: 1_024 }, () => send(upstream))
    expect(await ask(upstream)).toBe('upstream_busy')
    for (const caller of callers) upstream.withdraw(caller)
    const next = send(upstream)
    expect(await Promise.race([next.over, new Promise(resolve => setTimeout(resolve, 50, 'waits'))])).toBe('waits')
    expect([callers.some(({ sent }) => sent > 0), silent.made]).toEqual([false, 1])
  })

  test('[WIRE20] one that is being made for a caller that went away is given up, and nothing reaches the upstream', async () => {
    const { server: authority } = await testAuthority()
    const stalled = await silentServer()
    const upstream = await open([], { addresses: [{ host: '127.0.0.1', port: stalled.port, weight: 1 }], tls: { caFile: authority.certFile, certFile: null, keyFile: null, serverName: 'api.test' } })
    const caller = send(upstream)
    await until(() => stalled.sockets.size === 1, 'the handshake began')
    upstream.withdraw(caller)
    await until(() => stalled.sockets.size === 0, 'it is given up')
    expect([caller.sent, upstream.busy, counted]).toEqual([0, 0, []])
  })
})

describe('a name', () => {
  const at = (...addresses: readonly string[]) => () => Promise.resolve(addresses.map(address => ({ address, family: 4 })))

  async function twoPlaces(): Promise<readonly [Place, Place, number]> {
    const first = await http1()
    const server = createHttpServer({ keepAliveTimeout: 60_000 }, (_, answer) => {
      second.asked++
      answer.end('ok')
    })
    const second: Place = { port: first.port, sockets: new Set(), asked: 0, most: 0, made: 0 }
    server.on('connection', (socket: Socket) => {
      second.sockets.add(socket)
      socket.on('close', () => second.sockets.delete(socket))
    })
    server.listen(first.port, '127.0.0.2')
    await once(server, 'listening')
    closing.push(() => {
      server.close()
      server.closeAllConnections()
    })
    return [first, second, first.port]
  }

  test('[WIRE20] is looked up again and again: new addresses take the requests, the old ones are left when what runs there has ended', async () => {
    const [first, second, port] = await twoPlaces()
    names.lookup = at('127.0.0.1')
    const upstream = await open([], { addresses: [{ host: 'moves.test', port, weight: 1 }], resolve: duration(20) })
    await new Promise(resolve => setImmediate(resolve))
    expect([await ask(upstream), first.asked]).toEqual(['200', 1])
    names.lookup = at('127.0.0.1', '127.0.0.2')
    await until(() => upstream.addresses.well === 2, 'both are known')
    await asks(upstream, 4)
    expect([first.asked, second.asked]).toEqual([3, 2])
    names.lookup = at('127.0.0.2')
    await until(() => upstream.addresses.well === 1 && first.sockets.size === 0, 'the old one is left')
    await asks(upstream, 2)
    expect([first.asked, second.asked, second.sockets.size]).toEqual([3, 4, 1])
  })

  test('[WIRE20] whose look-up fails or finds nothing keeps its addresses and their connections', async () => {
    const [first, , port] = await twoPlaces()
    names.lookup = at('127.0.0.1')
    const upstream = await open([], { addresses: [{ host: 'moves.test', port, weight: 1 }], resolve: duration(10) })
    await new Promise(resolve => setImmediate(resolve))
    await ask(upstream)
    let failed = 0
    for (const answer of [() => Promise.reject(new Error('SERVFAIL')), at()]) {
      const from = failed
      names.lookup = () => {
        failed++
        return answer()
      }
      await until(() => failed > from + 3, 'it was looked up')
      expect(await ask(upstream)).toBe('200')
    }
    expect([first.made, first.asked]).toEqual([1, 3])
  })

  test('[WIRE20] is dialled as it stands before its first answer, over HTTP/2 too, and what waits there is not lost by the answer', async () => {
    const server = await http2()
    const answer = Promise.withResolvers<readonly { readonly address: string; readonly family: number }[]>()
    names.lookup = () => answer.promise
    const upstream = await open([], { addresses: [{ host: 'localhost', port: server.port, weight: 1 }], protocol: 'http2', retries: { attempts: 0, on: [] } })
    const early = send(upstream)
    answer.resolve([{ address: '127.0.0.1', family: 4 }])
    await new Promise(resolve => setImmediate(resolve))
    expect([await early.over, await ask(upstream), counted]).toEqual(['200', '200', []])
    await until(() => server.sockets.size === 1, 'the connection of the name is closed')
  })
})

describe('identity', () => {
  async function secured(options: { readonly requestCert?: boolean; readonly names?: string; readonly shown?: Pick<Certificate, 'cert' | 'key'> } = {}) {
    const authority = await testAuthority()
    const shown = options.names === undefined ? (options.shown ?? authority.server) : await authority.issue(options.names.replace(/\W/g, '-'), [options.names])
    const server = createHttpsServer({ cert: shown.cert, key: shown.key, ca: authority.ca, requestCert: options.requestCert === true, rejectUnauthorized: options.requestCert === true }, (_, answer) => {
      place.asked++
      answer.end('ok')
    })
    server.on('tlsClientError', () => undefined)
    const place = await listening(server)
    return { place, authority, address: { addresses: [{ host: '127.0.0.1', port: place.port, weight: 1 }] } }
  }
  const TLS = { caFile: null, certFile: null, keyFile: null, serverName: null }

  test('[WIRE21] the address, or the name that was configured, is in its certificate', async () => {
    const { authority: { caFile }, address } = await secured()
    expect(await ask(await open([], { ...address, tls: { ...TLS, caFile } }))).toBe('200')
    expect(await ask(await open([], { ...address, tls: { ...TLS, caFile, serverName: 'api.test' } }))).toBe('200')
  })

  test('[WIRE21] another name, another authority, or none, and it gets no byte', async () => {
    const { place, authority: { caFile, server }, address } = await secured({ names: 'DNS:elsewhere.example' })
    for (const tls of [{ ...TLS, caFile }, { ...TLS, caFile, serverName: 'api.test' }, { ...TLS, caFile: server.certFile, serverName: 'elsewhere.example' }, { ...TLS, serverName: 'elsewhere.example' }]) {
      expect(await ask(await open([], { ...address, tls }))).toBe('upstream_unavailable')
    }
    expect(await ask(await open([], { ...address, tls: { ...TLS, caFile, serverName: 'elsewhere.example' } }))).toBe('200')
    expect(place.asked).toBe(1)
  })

  /** The same key and names, signed by the same authority, and its time was over yesterday. */
  async function expired({ caFile, server: { keyFile, key } }: Authority): Promise<Pick<Certificate, 'cert' | 'key'>> {
    const [request, made, names] = ['csr', 'crt', 'ext'].map(ending => join(dirname(caFile), `expired.${ending}`))
    if (request === undefined || made === undefined || names === undefined) throw new Error('there are three')
    writeFileSync(names, 'subjectAltName=DNS:api.test,IP:127.0.0.1')
    const run = promisify(execFile)
    await run('openssl', ['req', '-new', '-key', keyFile, '-subj', '/CN=expired', '-out', request])
    await run('openssl', ['x509', '-req', '-in', request, '-CA', caFile, '-CAkey', join(dirname(caFile), 'ca.key'), '-CAcreateserial', '-days', '-1', '-extfile', names, '-out', made])
    return { cert: readFileSync(made, 'utf8'), key }
  }

  test('[WIRE21] one whose certificate is over gets no byte', async () => {
    const { place, authority: { caFile }, address } = await secured({ shown: await expired(await testAuthority()) })
    expect([await ask(await open([], { ...address, tls: { ...TLS, caFile } })), place.asked]).toEqual(['upstream_unavailable', 0])
  })

  test('[WIRE21] a client certificate is shown where it is demanded; without it nothing is sent', async () => {
    const { place, authority, address } = await secured({ requestCert: true })
    const { certFile, keyFile } = await authority.issue('gateway', [])
    expect(await ask(await open([], { ...address, tls: { ...TLS, caFile: authority.caFile, certFile, keyFile } }))).toBe('200')
    expect(await ask(await open([], { ...address, tls: { ...TLS, caFile: authority.caFile } }))).not.toBe('200')
    expect(place.asked).toBe(1)
  })

  test('[WIRE20, WIRE21] an upstream of HTTP/2 that does not agree on h2 gets nothing, and is blamed', async () => {
    const { place, authority: { caFile }, address } = await secured()
    const upstream = await open([], { ...address, protocol: 'http2', tls: { ...TLS, caFile }, ejection: { failures: 1, for: duration(60_000), atMost: 100 } })
    expect([await ask(upstream), place.asked, counted]).toEqual(['upstream_unavailable', 0, ['ejected api']])
    const { server, caFile: ca } = await testAuthority()
    const speaks = createSecureServer({ cert: server.cert, key: server.key })
    speaks.on('session', session => session.on('error', () => undefined))
    speaks.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200 })
      stream.end()
    })
    const { port } = await listening(speaks)
    expect(await ask(await open([port], { protocol: 'http2', tls: { ...TLS, caFile: ca } }))).toBe('200')
  })
})

describe('behind a PROXY header', () => {
  test('[WIRE23] each request has a connection of its own, whose first bytes name its caller exactly', async () => {
    const first: Buffer[] = []
    const server = createServer(socket => socket.once('data', (bytes: Buffer) => {
      first.push(bytes)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    }))
    const place = await listening(server)
    const upstream = await open([place.port], { proxyProtocol: true, connections: 1 })
    expect(await asks(upstream, 3)).toEqual(['200', '200', '200'])
    const port = place.port.toString(16).padStart(4, '0')
    const header = `0d0a0d0a000d0a515549540a2111000ccb007109${'7f000001'}0000${port}`
    expect(first.map(bytes => bytes.toString('hex', 0, 28))).toEqual([header, header, header])
    expect([first.every(bytes => bytes.toString('latin1', 28).startsWith('GET / HTTP/1.1\r\n')), place.made, upstream.busy]).toEqual([true, 3, 0])
    await until(() => place.sockets.size === 0, 'none is kept')
  })

  test('[WIRE23] a caller without an address is not passed off as the gateway', async () => {
    const place = await http1()
    const upstream = await open([place.port], { proxyProtocol: true })
    const caller = new Caller()
    Object.defineProperty(caller, 'source', { value: 'unknown' })
    upstream.send(caller)
    expect([await caller.over, place.made]).toEqual(['upstream_unavailable', 0])
  })
})

describe('the end', () => {
  test('[WIRE20] leaves no connection, timer or probe, and lets what runs come to its end', async () => {
    const held: ServerHttp2Stream[] = []
    const [old, shared, silent] = [await http1(), await http2(stream => void held.push(stream)), await silentServer()]
    const resources = (): readonly string[] => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout' || kind === 'TCPSocketWrap').toSorted()
    const before = resources()
    const health = { path: '/', every: duration(50), timeout: duration(40), healthyAfter: 1, unhealthyAfter: 3 }
    const upstreams = [await open([old.port], { health }), await open([shared.port], { protocol: 'http2' }), await open([silent.port], { health }), await open([silent.port], { protocol: 'http2', health })]
    await asks(upstreams[0] ?? (await open([])), 3)
    const running = upstreams[1] === undefined ? null : send(upstreams[1])
    await until(() => held.length === 1 && silent.sockets.size >= 2, 'all of it is under way')
    for (const upstream of upstreams) upstream.close()
    held[0]?.respond({ ':status': 200 })
    held[0]?.end()
    expect(await running?.over).toBe('200')
    await until(() => [old, shared, silent].every(({ sockets }) => sockets.size === 0), 'every connection is closed')
    await until(() => resources().length <= before.length, `nothing is left but ${before.join()}`)
    for (const upstream of upstreams) expect([upstream.busy, await ask(upstream)]).toEqual([0, 'upstream_unavailable'])
  })

  test('[WIRE20] lets those that wait for a stream still have it', async () => {
    const held: ServerHttp2Stream[] = []
    const server = await http2(stream => void held.push(stream), 1)
    const upstream = await open([server.port], { protocol: 'http2', connections: 1 })
    const callers = [send(upstream), send(upstream), send(upstream)]
    await until(() => held.length === 1, 'the first is there')
    upstream.close()
    for (let ended = 0; ended < 3; ended++) {
      await until(() => held.length > 0, 'the next')
      const stream = held.shift()
      stream?.respond({ ':status': 200 })
      stream?.end()
    }
    expect(await Promise.all(callers.map(({ over }) => over))).toEqual(['200', '200', '200'])
    await until(() => server.sockets.size === 0, 'it is closed')
  })
})
