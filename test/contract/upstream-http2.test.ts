// The HTTP/2 client against node's HTTP/2 server and grpc-js: heads, bodies, trailers, back-pressure, limits, and streams given up at every stage.
import { once } from 'node:events'
import { createSecureServer, createServer, constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as grpc from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../src/upstream/handler.ts'
import { HTTP2_LIMITS, Http2Connection, type Http2Limits } from '../../src/upstream/http2/connection.ts'
import { Http2Exchange } from '../../src/upstream/http2/exchange.ts'
import { testAuthority } from '../support/tls.ts'

const WINDOW = 65_535
const FRAME = 16_384

async function until(holds: () => boolean, what: string, within = 8_000): Promise<void> {
  const end = performance.now() + within
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** The exchange's side: records what it is told. */
class Caller implements UpstreamHandler {
  readonly source = null
  readonly request: UpstreamRequest
  readonly over: Promise<void>
  asked = 0
  sending: Sending | null = null
  head: AnswerHead | null = null
  readonly interim: AnswerHead[] = []
  readonly chunks: Buffer[] = []
  received = 0
  drains = 0
  trailers: readonly string[] | null = null
  fault: UpstreamFault | null = null
  onOutgoing: () => UpstreamRequest | null = () => this.request
  onAnswered: () => void = () => undefined
  onData: () => void = () => undefined
  #finish: () => void = () => undefined

  constructor(request: Partial<UpstreamRequest> = {}) {
    this.request = { method: 'GET', path: '/', headers: ['host', 'api.test'], bodyLength: 0, ...request }
    this.over = new Promise(resolve => { this.#finish = resolve })
  }

  get place(): Sending {
    if (this.sending === null) throw new Error('it has no place')
    return this.sending
  }

  get unprocessed(): boolean { return this.sending instanceof Http2Exchange && this.sending.unprocessed }
  get body(): string { return Buffer.concat(this.chunks).toString() }

  outgoing(sending: Sending): UpstreamRequest | null {
    this.asked++
    this.sending = sending
    return this.onOutgoing()
  }

  drained(): void { this.drains++ }
  informed(head: AnswerHead): void { this.interim.push(head) }

  answered(head: AnswerHead): void {
    this.head = head
    this.onAnswered()
  }

  data(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.received += chunk.length
    this.onData()
  }

  ended(trailers: readonly string[]): void {
    if (this.trailers !== null || this.fault !== null) throw new Error('told twice')
    this.trailers = trailers
    this.#finish()
  }

  failed(fault: UpstreamFault): void {
    if (this.trailers !== null || this.fault !== null) throw new Error('told twice')
    this.fault = fault
    this.#finish()
  }
}

class Owner {
  readonly left: Http2Connection[] = []
  answered(): void {}
  failed(): void {}
  refused(): boolean { return false }
  roomier(connection: Http2Connection): void { this.onRoom(connection) }
  gone(connection: Http2Connection): void { this.left.push(connection) }
  onRoom: (connection: Http2Connection) => void = () => undefined
}

type Opened = { readonly connection: Http2Connection; readonly owner: Owner; readonly socket: Socket }
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function settle(socket: Socket, secure: boolean, limits: Partial<Http2Limits>): Promise<Opened> {
  const owner = new Owner()
  const connection = new Http2Connection(socket, secure, { ...HTTP2_LIMITS, ...limits }, owner)
  closing.push(() => connection.destroy())
  await until(() => connection.room > 0, 'the peer says what it takes')
  return { connection, owner, socket }
}

async function open(port: number, limits: Partial<Http2Limits> = {}): Promise<Opened> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return settle(socket, false, limits)
}

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]) => void
type Served = { readonly port: number; readonly sessions: ServerHttp2Session[]; readonly server: Http2Server }

async function serve(answer: Serve, settings: { readonly maxConcurrentStreams?: number; readonly initialWindowSize?: number } = {}): Promise<Served> {
  const sessions: ServerHttp2Session[] = []
  const server = createServer({ settings, streamResetBurst: 100_000, streamResetRate: 100_000, maxSessionMemory: 1_000_000 })
  server.on('session', session => {
    sessions.push(session)
    session.on('error', () => undefined) // how it ended is the client's story
  })
  server.on('stream', (stream: ServerHttp2Stream, headers, _flags, raw) => {
    stream.on('error', () => undefined)
    answer(stream, headers, raw)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return { port: (server.address() as AddressInfo).port, sessions, server } // listens on a TCP port
}

const answerWhole: Serve = stream => {
  stream.respond({ ':status': 200 })
  stream.end('whole')
}

async function ask(connection: Http2Connection, caller: Caller): Promise<Caller> {
  connection.send(caller)
  await caller.over
  return caller
}

describe('heads', () => {
  test('[WIRE16] a request arrives with its pseudo headers, lower-case names and without anything of the connection, and its answer with fields in turn', async () => {
    let seen: readonly string[] = []
    const { port } = await serve((stream, _headers, raw) => {
      seen = raw
      stream.respond({ ':status': 207, 'set-cookie': ['a=1', 'b=2'], 'x-one': 'first' })
      stream.end()
    })
    const { connection } = await open(port)
    const headers = ['host', 'api.test:8443', 'X-Trace', 'Ab', 'x-trace', 'cd', 'connection', 'close', 'keep-alive', 'timeout=4', 'Transfer-Encoding', 'chunked', 'upgrade', 'x', 'TE', 'trailers', 'x-bytes', '\xe9']
    const caller = await ask(connection, new Caller({ path: '/a?b=c', headers }))
    expect(seen).toEqual([':method', 'GET', ':scheme', 'http', ':authority', 'api.test:8443', ':path', '/a?b=c', 'x-trace', 'Ab', 'x-trace', 'cd', 'te', 'trailers', 'x-bytes', '\xe9'])
    expect(caller.head).toMatchObject({ status: 207, text: '' })
    expect(caller.head?.headers.slice(0, 6)).toEqual(['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-one', 'first'])
    expect(caller.head?.headers.some(field => field.startsWith(':'))).toBe(false)
    expect([caller.asked, caller.trailers, caller.fault]).toEqual([1, [], null])
  })

  test('[WIRE16, H2-003] heads and trailers that could be read as two are never written', async () => {
    const seen: string[] = []
    const { port } = await serve((stream, headers) => {
      seen.push(String(headers[':path']))
      answerWhole(stream, headers, [])
    })
    const { connection } = await open(port)
    const host = ['host', 'api.test']
    const broken: Partial<UpstreamRequest>[] = [
      { headers: [...host, 'x-a', 'b\r\nx-c: d'] }, { headers: [...host, 'x-a', 'b\0c'] }, { headers: [...host, 'x-a', 'b\u010ac'] }, { headers: [...host, 'x-a', ' b'] },
      { headers: [...host, 'x a', 'b'] }, { headers: [...host, '', 'b'] }, { headers: [...host, ':path', '/x'] }, { headers: [...host, 'Host', 'other'] }, { headers: ['x-a', 'b'] },
      { headers: ['host', 'a@b'] }, { headers: ['host', ''] }, { path: 'a' }, { path: '/a b' }, { path: '/a\r\n' }, { method: 'GET /' }, { method: 'CONNECT' },
      { headers: [...host, 'x-a', 'b'.repeat(140_000)] },
    ]
    for (const request of broken) {
      const caller = await ask(connection, new Caller(request))
      expect([request, caller.fault]).toEqual([request, 'upstream_malformed'])
    }
    expect([seen, connection.busy]).toEqual([[], 0])
    const trailing = new Caller({ method: 'POST', path: '/trailing', bodyLength: null })
    connection.send(trailing)
    trailing.place.end(['x-a', 'b\r\nc'])
    await trailing.over
    const whole = await ask(connection, new Caller({ path: '/after' }))
    expect(whole.body).toBe('whole')
    expect(seen.at(-1)).toBe('/after')
  })

  test('[WIRE22] interim answers are told, 100 is not, and a flood of them ends the exchange', async () => {
    const { port } = await serve((stream, headers) => {
      const count = headers[':path'] === '/flood' ? 40 : 1
      stream.additionalHeaders({ ':status': 100 })
      for (let i = 0; i < count; i++) stream.additionalHeaders({ ':status': 103, link: '</a>' })
      answerWhole(stream, headers, [])
    })
    const { connection } = await open(port)
    const few = await ask(connection, new Caller())
    expect(few.interim).toEqual([{ status: 103, text: '', headers: ['link', '</a>'] }])
    expect(few.body).toBe('whole')
    const flooded = await ask(connection, new Caller({ path: '/flood' }))
    expect([flooded.fault, flooded.interim.length]).toEqual(['upstream_malformed', 32])
  })

  test('[WIRE16, WIRE21] over TLS the scheme is https, and HEAD and 304 have no body whatever their length says', async () => {
    const { server: certificate, ca } = await testAuthority()
    const server = createSecureServer({ cert: certificate.cert, key: certificate.key })
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.respond({ ':status': headers[':path'] === '/304' ? 304 : 200, 'content-length': 5, scheme: headers[':scheme'] }, { endStream: true })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(() => server.close())
    const socket = connectTls({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'localhost', ca, ALPNProtocols: ['h2'] }) // a TCP port
    await once(socket, 'secureConnect')
    const { connection } = await settle(socket, true, {})
    const head = await ask(connection, new Caller({ method: 'HEAD' }))
    expect(head.head?.headers).toContain('https')
    const fresh = await ask(connection, new Caller({ path: '/304' }))
    expect([head.trailers, fresh.head?.status, fresh.trailers]).toEqual([[], 304, []])
  })
})

describe('bodies', () => {
  test('[WIRE16, WIRE22] bodies and trailers go both ways, and a body of known length says its length', async () => {
    const heads: IncomingHttpHeaders[] = []
    const trailersUp: unknown[] = []
    const { port } = await serve((stream, headers) => {
      heads.push(headers)
      stream.on('trailers', (_headers, _flags, raw: readonly string[]) => trailersUp.push(raw))
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': ['1', '2'], 'x-end': 'yes' }))
      stream.pipe(stream)
    })
    const { connection } = await open(port)
    const chunked = new Caller({ method: 'POST', bodyLength: null })
    connection.send(chunked)
    chunked.place.write(Buffer.from('some '))
    chunked.place.write(Buffer.from('bytes'))
    chunked.place.end(['X-Check', 'a', 'x-check', 'b', 'connection', 'close'])
    await chunked.over
    expect([chunked.body, chunked.trailers]).toEqual(['some bytes', ['x-sum', '1', 'x-sum', '2', 'x-end', 'yes']])
    expect(trailersUp).toEqual([['x-check', 'a', 'x-check', 'b']])
    const sized = new Caller({ method: 'PUT', bodyLength: 4 })
    connection.send(sized)
    sized.place.write(Buffer.from('four'))
    sized.place.end([])
    await sized.over
    const empty = await ask(connection, new Caller({ method: 'POST' }))
    expect([sized.body, empty.body, heads.map(head => head['content-length'])]).toEqual(['four', '', [undefined, '4', '0']])
    await until(() => connection.busy === 0, 'the streams are closed')
  })

  test('[WIRE16] a body that is not as long as announced is reset, never padded or cut to fit', async () => {
    const ends: string[] = []
    const { port } = await serve(stream => {
      stream.resume()
      stream.on('end', () => ends.push('end'))
      stream.on('close', () => ends.push(stream.aborted || stream.rstCode !== 0 ? 'reset' : 'whole'))
    })
    const { connection } = await open(port)
    const more = new Caller({ method: 'POST', bodyLength: 3 })
    connection.send(more)
    more.place.write(Buffer.from('four'))
    const less = new Caller({ method: 'POST', bodyLength: 3 })
    connection.send(less)
    less.place.write(Buffer.from('to'))
    less.place.end([])
    const early = new Caller({ method: 'POST', bodyLength: null })
    early.onOutgoing = () => {
      early.place.write(Buffer.from('before the head'))
      return early.request
    }
    connection.send(early)
    await Promise.all([more.over, less.over, early.over])
    await until(() => ends.filter(end => end === 'reset').length === 2, 'the server sees two resets')
    expect([more.fault, less.fault, early.fault, ends.includes('whole')]).toEqual(['upstream_reset', 'upstream_reset', 'upstream_malformed', false])
  })

  test('[WIRE16] a paused answer takes no more than its window into this process, and the others go on', async () => {
    const { port } = await serve((stream, headers) => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(headers[':path'] === '/large' ? 4_000_000 : 100_000, 1))
    })
    const { connection, socket } = await open(port)
    const large = new Caller({ path: '/large' })
    large.onAnswered = () => large.place.pause()
    const before = socket.bytesRead
    connection.send(large)
    await until(() => socket.bytesRead - before > WINDOW - FRAME, 'the window is used up')
    const other = await ask(connection, new Caller())
    const read = socket.bytesRead - before - 100_000
    expect([other.received, large.received, large.head?.status]).toEqual([100_000, 0, 200])
    expect(read).toBeLessThanOrEqual(WINDOW + FRAME)
    large.onData = () => {
      if (large.chunks.length === 1) large.place.pause()
    }
    large.place.resume()
    await until(() => large.chunks.length === 1, 'a chunk')
    large.onData = () => undefined
    await ask(connection, new Caller())
    expect(large.chunks.length).toBe(1)
    large.place.resume()
    await large.over
    expect([large.received, large.trailers]).toEqual([4_000_000, []])
  })

  test('[WIRE16] an answer taken chunk by chunk never has more than two windows waiting', async () => {
    const { port } = await serve(stream => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(2_000_000, 1))
    })
    const { connection, socket } = await open(port)
    const slow = new Caller()
    let most = 0
    const before = socket.bytesRead
    slow.onData = () => {
      slow.place.pause()
      setTimeout(() => {
        most = Math.max(most, socket.bytesRead - before - slow.received)
        slow.place.resume()
      }, 2)
    }
    await ask(connection, slow)
    expect(slow.received).toBe(2_000_000)
    expect(most).toBeLessThanOrEqual(2 * WINDOW + 2 * FRAME)
  })

  test('[WIRE16] an answer that is complete survives the end of its connection while it is paused', async () => {
    const { port, sessions } = await serve((stream, headers) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: headers[':path'] === '/trailers' })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }))
      stream.end(Buffer.alloc(50_000, 1))
    })
    for (const [path, trailers] of [['/', []], ['/trailers', ['x-end', 'yes']]] as const) {
      const { connection, owner } = await open(port)
      const caller = new Caller({ path })
      caller.onAnswered = () => caller.place.pause()
      connection.send(caller)
      await until(() => connection.busy === 0, 'the stream is closed')
      sessions.at(-1)?.destroy()
      await until(() => owner.left.length === 1, 'the connection is gone')
      expect([caller.received, caller.trailers, caller.fault]).toEqual([0, null, null])
      caller.place.resume()
      await caller.over
      expect([caller.received, caller.trailers, caller.fault]).toEqual([50_000, trailers, null])
    }
  })

  test('[WIRE16] a server that does not read holds the sender back, until it reads', async () => {
    const streams: ServerHttp2Stream[] = []
    const { port } = await serve(stream => {
      streams.push(stream)
      stream.respond({ ':status': 200 })
      stream.on('end', () => stream.end())
    })
    const { connection } = await open(port)
    const caller = new Caller({ method: 'POST', bodyLength: null })
    connection.send(caller)
    const chunk = Buffer.alloc(FRAME, 1)
    let given = 0
    let full = false
    for (let turns = 0; turns < 50 || !full; turns++) {
      while (!full && given < 8_000_000) {
        full = !caller.place.write(chunk)
        given += chunk.length
      }
      await new Promise(resolve => setImmediate(resolve))
      if (caller.drains > 0) {
        caller.drains = 0
        full = false
      }
    }
    expect(given).toBeLessThan(500_000)
    let received = 0
    streams[0]?.on('data', (bytes: Buffer) => { received += bytes.length })
    await until(() => caller.drains > 0, 'it may write again')
    caller.place.end([])
    await caller.over
    expect([received, caller.trailers]).toEqual([given, []])
  })

  test('[WIRE16] an answer that ends before the request body counts, and the rest of the body is not sent', async () => {
    const resets: number[] = []
    const { port } = await serve(stream => {
      stream.on('close', () => resets.push(stream.rstCode))
      stream.resume()
      stream.respond({ ':status': 413 })
      stream.end('no')
    })
    const { connection } = await open(port)
    const caller = new Caller({ method: 'POST', bodyLength: null })
    connection.send(caller)
    caller.place.write(Buffer.from('begun'))
    await caller.over
    caller.place.write(Buffer.from('behind the end'))
    caller.place.end([])
    await until(() => connection.busy === 0 && resets.length === 1, 'the stream is closed')
    expect([caller.head?.status, caller.body, caller.trailers, resets]).toEqual([413, 'no', [], [constants.NGHTTP2_CANCEL]])
  })
})

describe('room', () => {
  test('[WIRE16] ten exchanges share the two streams that the peer allows', async () => {
    let most = 0
    let now = 0
    const { port } = await serve((stream, headers) => {
      most = Math.max(most, ++now)
      stream.on('close', () => { now-- })
      setImmediate(() => answerWhole(stream, headers, []))
    }, { maxConcurrentStreams: 2 })
    const { connection, owner } = await open(port)
    expect(connection.room).toBe(2)
    const callers = Array.from({ length: 10 }, () => new Caller())
    const waiting = [...callers]
    owner.onRoom = () => {
      while (connection.room > 0) {
        const next = waiting.shift()
        if (next === undefined) return
        connection.send(next)
      }
    }
    owner.onRoom(connection)
    expect([waiting.length, connection.room, connection.busy]).toEqual([8, 0, 2])
    const refused = await ask(connection, new Caller())
    expect([refused.fault, refused.asked]).toEqual(['upstream_busy', 0])
    await Promise.all(callers.map(caller => caller.over))
    expect([callers.every(caller => caller.body === 'whole'), most]).toEqual([true, 2])
  })

  test('[WIRE16] a handler that does not send after all takes no stream', async () => {
    const { port, sessions } = await serve(answerWhole)
    const { connection } = await open(port, { streams: 1 })
    const none = new Caller()
    none.onOutgoing = () => null
    connection.send(none)
    const aborted = new Caller()
    aborted.onOutgoing = () => {
      aborted.place.abort()
      return aborted.request
    }
    connection.send(aborted)
    const whole = await ask(connection, new Caller())
    expect([none.fault, aborted.fault, whole.body, sessions[0]?.state.lastProcStreamID]).toEqual([null, null, 'whole', 1])
  })

  test('[WIRE16] after as many resets as it may send a connection takes no more, and what runs on it ends well', async () => {
    const held: ServerHttp2Stream[] = []
    const { port } = await serve((stream, headers) => {
      if (headers[':path'] === '/held') held.push(stream)
    })
    const { connection, owner } = await open(port, { resets: 3 })
    const running = new Caller({ path: '/held' })
    connection.send(running)
    for (let i = 0; i < 3; i++) {
      const cut = new Caller()
      connection.send(cut)
      cut.place.abort()
    }
    await until(() => owner.left.length === 1, 'it takes no more')
    expect(connection.room).toBe(0)
    await until(() => held.length === 1, 'the server has the one that stays')
    for (const stream of held) answerWhole(stream, {}, [])
    await running.over
    expect(running.body).toBe('whole')
    await until(() => connection.dead, 'the connection ends behind it')
    expect(owner.left.length).toBe(1)
  })
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void // what the flag above exposes

/** What is still there of a connection, behind a garbage collection. */
async function retained(connection: Http2Connection): Promise<number> {
  await until(() => connection.busy === 0, 'no stream is left')
  await new Promise(resolve => setTimeout(resolve, 20))
  collect()
  await new Promise(resolve => setImmediate(resolve))
  collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

describe('giving up', () => {
  const chunk = Buffer.alloc(FRAME, 1)
  type Stage = { readonly serve: Serve; readonly request: Partial<UpstreamRequest>; readonly reached: (caller: Caller) => Promise<void> }
  const stages = new Map<string, Stage>([
    ['before its head is out', { serve: () => undefined, request: {}, reached: async () => undefined }],
    ['when only the head is there', { serve: () => undefined, request: {}, reached: () => new Promise(resolve => setImmediate(resolve)) }],
    ['in the middle of both bodies', {
      serve: stream => {
        stream.respond({ ':status': 200 })
        stream.pipe(stream)
      },
      request: { method: 'POST', bodyLength: null },
      reached: async caller => {
        caller.place.write(chunk)
        caller.place.write(chunk)
        await new Promise<void>(resolve => { caller.onData = resolve })
      },
    }],
    ['behind the head of the answer', { serve: stream => stream.respond({ ':status': 200 }), request: {}, reached: caller => new Promise(resolve => { caller.onAnswered = resolve }) }],
    ['in the middle of a paused answer', {
      serve: stream => {
        stream.respond({ ':status': 200 })
        stream.end(Buffer.alloc(1_000_000))
      },
      request: {},
      reached: caller => new Promise(resolve => {
        caller.onData = () => {
          caller.place.pause()
          resolve()
        }
      }),
    }],
  ])
  const AT_ONCE = 25
  const TIMES = 200

  test.each([...stages])('[WIRE16, ENF10] five thousand streams given up %s leave nothing behind', { timeout: 60_000 }, async (_stage, { serve: answer, request, reached }) => {
    const resets: number[] = []
    const { port, sessions } = await serve((stream, headers, raw) => {
      if (headers[':path'] === '/whole') return answerWhole(stream, headers, raw)
      stream.on('close', () => resets.push(stream.rstCode))
      answer(stream, headers, raw)
    })
    const { connection, owner } = await open(port, { resets: 100_000 })
    const giveUpOne = async (): Promise<boolean> => {
      const caller = new Caller(request)
      const there = reached.bind(null, caller)
      connection.send(caller)
      await there()
      caller.place.abort()
      const told = caller.received
      caller.place.write(chunk)
      caller.place.end([])
      caller.place.resume()
      await new Promise(resolve => setImmediate(resolve))
      return caller.received === told && caller.trailers === null && caller.fault === null
    }
    const round = async (times: number): Promise<boolean> => {
      let silent = true
      for (let i = 0; i < times; i++) silent = (await Promise.all(Array.from({ length: AT_ONCE }, giveUpOne))).every(Boolean) && silent
      return silent
    }
    expect(await round(TIMES / 5)).toBe(true)
    const before = await retained(connection)
    const handles = process.getActiveResourcesInfo().length
    expect(await round(TIMES)).toBe(true)
    const after = await retained(connection)
    expect(after - before).toBeLessThan(4_000_000)
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(handles + 2)
    const whole = await ask(connection, new Caller({ path: '/whole' }))
    await until(() => resets.length > 0 && connection.busy === 0, 'the server saw them end')
    expect([whole.body, owner.left.length, sessions.length, resets.every(code => code === constants.NGHTTP2_CANCEL)]).toEqual(['whole', 0, 1, true])
  })
})

describe('the end of a connection', () => {
  test('[WIRE12, WIRE16] a reset by the peer fails that exchange alone, and only REFUSED_STREAM says that nothing was processed', async () => {
    const { port } = await serve((stream, headers) => {
      const code = Number(headers['x-code'])
      if (headers[':path'] === '/later') {
        stream.respond({ ':status': 200 }, { waitForTrailers: true }) // else node ends the answer before it resets the stream
        stream.on('wantTrailers', () => undefined)
        stream.write('begun')
        setImmediate(() => stream.close(code))
      } else stream.close(code)
    })
    const { connection } = await open(port)
    const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_PROTOCOL_ERROR } = constants
    for (const code of [NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_PROTOCOL_ERROR]) {
      for (const path of ['/', '/later']) {
        const caller = await ask(connection, new Caller({ path, headers: ['host', 'api.test', 'x-code', String(code)] }))
        const expected = { fault: code === NGHTTP2_PROTOCOL_ERROR ? 'upstream_malformed' : 'upstream_reset', unprocessed: code === NGHTTP2_REFUSED_STREAM && path === '/', trailers: null }
        expect({ code, path, fault: caller.fault, unprocessed: caller.unprocessed, trailers: caller.trailers }).toEqual({ code, path, ...expected })
      }
    }
    expect(connection.room).toBeGreaterThan(0)
  })

  test('[WIRE16] behind GOAWAY nothing new is taken and what runs ends well', async () => {
    const held: ServerHttp2Stream[] = []
    const { port, sessions } = await serve(stream => held.push(stream))
    const { connection, owner } = await open(port)
    const callers = [new Caller(), new Caller()]
    for (const caller of callers) connection.send(caller)
    await until(() => held.length === 2, 'both are there')
    sessions[0]?.close()
    await until(() => owner.left.length === 1, 'the connection takes nothing new')
    expect(connection.room).toBe(0)
    const late = await ask(connection, new Caller())
    expect([late.fault, late.asked]).toEqual(['upstream_busy', 0])
    for (const stream of held) answerWhole(stream, {}, [])
    await Promise.all(callers.map(caller => caller.over))
    expect(callers.map(caller => caller.body)).toEqual(['whole', 'whole'])
    await until(() => connection.dead, 'the connection ends')
    expect([owner.left.length, connection.busy]).toEqual([1, 0])
  })

  test('[WIRE12] a connection that breaks fails all that runs on it', async () => {
    const { port, sessions } = await serve(stream => stream.respond({ ':status': 200 }))
    const { connection, owner } = await open(port)
    const callers = Array.from({ length: 20 }, (_, i) => new Caller(i % 2 === 0 ? {} : { method: 'POST', bodyLength: null }))
    for (const caller of callers) connection.send(caller)
    await until(() => callers.every(caller => caller.head !== null), 'all are answered')
    sessions[0]?.socket.destroy()
    await Promise.all(callers.map(caller => caller.over))
    expect(new Set(callers.map(caller => `${caller.fault} ${caller.unprocessed}`))).toEqual(new Set(['upstream_reset false']))
    await until(() => connection.busy === 0, 'no stream is left')
    expect([owner.left.length, connection.room]).toEqual([1, 0])
  })
})

describe('gRPC', () => {
  const raw = (value: Buffer): Buffer => value
  const method = (path: string, streams: boolean) => ({ path, requestStream: streams, responseStream: streams, requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw })
  const message = (text: string): Buffer => {
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(Buffer.byteLength(text), 1)
    return Buffer.concat([prefix, Buffer.from(text)])
  }
  const fields = (all: readonly string[] | null, name: string): string | undefined => all?.[all.indexOf(name) + 1]
  const headers = ['host', 'api.test', 'te', 'trailers', 'content-type', 'application/grpc']

  test('[WIRE17] unary and bidirectional calls of a grpc-js server run with their trailers, also trailers-only', async () => {
    const server = new grpc.Server()
    server.addService({ Say: method('/test.Echo/Say', false), Talk: method('/test.Echo/Talk', true) }, {
      Say: (call: grpc.ServerUnaryCall<Buffer, Buffer>, reply: grpc.sendUnaryData<Buffer>) => {
        if (call.request.toString() === 'no') return reply({ code: grpc.status.PERMISSION_DENIED, details: 'denied' })
        const trailer = new grpc.Metadata()
        trailer.set('x-said', call.request.toString())
        reply(null, Buffer.concat([Buffer.from('echo '), call.request]), trailer)
      },
      Talk: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (said: Buffer) => call.write(said))
        call.on('end', () => call.end())
      },
    })
    const port = await new Promise<number>((resolve, reject) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))))
    closing.push(() => server.forceShutdown())
    const { connection } = await open(port)
    const say = async (text: string): Promise<Caller> => {
      const caller = new Caller({ method: 'POST', path: '/test.Echo/Say', headers, bodyLength: null })
      connection.send(caller)
      caller.place.write(message(text))
      caller.place.end([])
      await caller.over
      return caller
    }
    const said = await say('hello')
    expect([said.body.slice(5), fields(said.trailers, 'grpc-status'), fields(said.trailers, 'x-said')]).toEqual(['echo hello', '0', 'hello'])
    const denied = await say('no')
    expect([denied.body, fields(denied.head?.headers ?? [], 'grpc-status') ?? fields(denied.trailers, 'grpc-status')]).toEqual(['', '7'])
    const talk = new Caller({ method: 'POST', path: '/test.Echo/Talk', headers, bodyLength: null })
    connection.send(talk)
    for (const text of ['one', 'two', 'three']) {
      const heard = talk.received
      talk.place.write(message(text))
      await until(() => talk.received >= heard + 5 + text.length, `${text} comes back`)
    }
    talk.place.end([])
    await talk.over
    expect([fields(talk.trailers, 'grpc-status'), talk.received]).toEqual(['0', 3 * 5 + 11])
    await until(() => connection.busy === 0, 'no stream is left')
  })
})
