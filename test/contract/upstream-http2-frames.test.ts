// The HTTP/2 client against a server that writes its frames by hand: broken and cut answers, GOAWAY, silence; and resets from within node's own events.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../src/upstream/handler.ts'
import { HTTP2_LIMITS, Http2Connection, type Http2Limits } from '../../src/upstream/http2/connection.ts'
import { Http2Exchange } from '../../src/upstream/http2/exchange.ts'

const DATA = 0
const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const PUSH_PROMISE = 5
const PING = 6
const GOAWAY = 7
const END_STREAM = 1
const ACK = 1
const END_HEADERS = 4
const PREFACE_BYTES = 24

function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(payload)
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, bytes])
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A text of HPACK without Huffman coding. RFC 7541 §5.2 */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const rest = bytes.length - 127
  return Buffer.concat([Buffer.from([127, (rest & 127) | 128, ((rest >> 7) & 127) | 128, rest >> 14]), bytes])
}

const field = (name: string, value: string): Buffer => Buffer.concat([Buffer.from([0]), text(name), text(value)])
const head = (stream: number, fields: readonly (readonly [string, string])[], flags = 0, status = '200'): Buffer =>
  frame(HEADERS, END_HEADERS | flags, stream, Buffer.concat([field(':status', status), ...fields.map(([name, value]) => field(name, value))]))
const trailers = (stream: number, fields: readonly (readonly [string, string])[]): Buffer => frame(HEADERS, END_HEADERS | END_STREAM, stream, Buffer.concat(fields.map(([name, value]) => field(name, value))))
const goaway = (last: number, code = 0): Buffer => frame(GOAWAY, 0, 0, Buffer.concat([number(last), number(code)]))

async function until(holds: () => boolean, what: string, within = 8_000): Promise<void> {
  const end = performance.now() + within
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** The exchange's side: what it was told, in a line. */
class Caller implements UpstreamHandler {
  readonly source = null
  readonly over: Promise<void>
  told = ''
  place: Sending | null = null
  fault: UpstreamFault | null = null
  fields: readonly string[] = []
  onData: () => void = () => undefined
  readonly #bodyLength: number | null
  readonly #method: string
  #finish: () => void = () => undefined

  constructor(bodyLength: number | null = 0, method = bodyLength === 0 ? 'GET' : 'POST') {
    this.#bodyLength = bodyLength
    this.#method = method
    this.over = new Promise(resolve => { this.#finish = resolve })
  }

  get unprocessed(): boolean { return this.place instanceof Http2Exchange && this.place.unprocessed }

  outgoing(sending: Sending): UpstreamRequest {
    this.place = sending
    return { method: this.#method, path: '/', headers: ['host', 'api.test'], bodyLength: this.#bodyLength }
  }

  drained(): void { this.told += 'drained ' }
  informed({ status }: AnswerHead): void { this.told += `${status} ` }

  answered({ status, headers }: AnswerHead): void {
    this.told += `${status} `
    this.fields = headers
  }

  data(chunk: Buffer): void {
    this.told += `${chunk.toString()} `
    this.onData()
  }

  ended(fields: readonly string[]): void {
    this.told += `ended ${fields.join('=')}`.trim()
    this.#finish()
  }

  failed(fault: UpstreamFault): void {
    this.fault = fault
    this.told += fault
    this.#finish()
  }
}

class Owner {
  readonly left: Http2Connection[] = []
  answered(): void {}
  failed(): void {}
  refused(): boolean { return false }
  roomier(): void {}
  gone(connection: Http2Connection): void { this.left.push(connection) }
}

type Peer = { readonly socket: Socket; readonly frames: { readonly type: number; readonly flags: number; readonly stream: number; readonly payload: Buffer }[] }
type Script = (peer: Peer, stream: number) => void
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** Reads frames; the script runs for each HEADERS. */
function speak(socket: Socket, script: Script, answersPings: boolean): void {
  const peer: Peer = { socket, frames: [] }
  let waiting = Buffer.alloc(0)
  let read = PREFACE_BYTES
  socket.on('error', () => undefined) // how it ended is the client's story
  socket.write(frame(SETTINGS, 0, 0))
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    while (waiting.length >= read + 9 && waiting.length >= read + 9 + waiting.readUIntBE(read, 3)) {
      const length = waiting.readUIntBE(read, 3)
      const got = { type: waiting.readUInt8(read + 3), flags: waiting.readUInt8(read + 4), stream: waiting.readUInt32BE(read + 5), payload: waiting.subarray(read + 9, read + 9 + length) }
      read += 9 + length
      peer.frames.push(got)
      if (got.type === SETTINGS && got.flags === 0 && answersPings) socket.write(frame(SETTINGS, ACK, 0))
      if (got.type === PING && got.flags === 0 && answersPings) socket.write(frame(PING, ACK, 0, got.payload))
      if (got.type === HEADERS) script(peer, got.stream)
    }
  })
}

type Opened = { readonly connection: Http2Connection; readonly owner: Owner; readonly socket: Socket }

async function open(onConnection: (socket: Socket) => void, limits: Partial<Http2Limits> = {}): Promise<Opened> {
  const accepted: Socket[] = []
  const server = createServer(socket => {
    accepted.push(socket)
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1') // a TCP port
  await once(socket, 'connect')
  const owner = new Owner()
  const connection = new Http2Connection(socket, false, { ...HTTP2_LIMITS, ...limits }, owner)
  closing.push(() => {
    connection.destroy()
    server.close()
    for (const one of accepted) one.destroy()
  })
  return { connection, owner, socket }
}

async function speaking(script: Script, limits: Partial<Http2Limits> = {}, answersPings = true): Promise<Opened> {
  const opened = await open(socket => speak(socket, script, answersPings), limits)
  await until(() => opened.connection.room > 0, 'the peer says what it takes')
  return opened
}

async function ask(connection: Http2Connection, caller = new Caller()): Promise<Caller> {
  connection.send(caller)
  await caller.over
  return caller
}

const writes = (...frames: ((stream: number) => Buffer)[]): Script => ({ socket }, stream) => void socket.write(Buffer.concat(frames.map(make => make(stream))))

describe('answers', () => {
  const cases: ReadonlyMap<string, { readonly script: Script; readonly told: string | RegExp }> = new Map([
    ['a whole one', { script: writes(id => head(id, [['content-length', '5']]), id => frame(DATA, END_STREAM, id, 'whole')), told: '200 whole ended' }],
    ['trailers only', { script: writes(id => head(id, [['grpc-status', '7']], END_STREAM)), told: '200 ended' }],
    ['trailers', { script: writes(id => head(id, []), id => frame(DATA, 0, id, 'a'), id => trailers(id, [['x', 'y']])), told: '200 a ended x=y' }],
    ['whole, then a reset that stops the request', { script: writes(id => head(id, []), id => frame(DATA, END_STREAM, id, 'a'), id => frame(RST_STREAM, 0, id, number(0))), told: '200 a ended' }],
    ['less data than its length', { script: writes(id => head(id, [['content-length', '5']]), id => frame(DATA, END_STREAM, id, 'who')), told: /^200 (?:who )?upstream_malformed$/ }],
    ['more data than its length', { script: writes(id => head(id, [['content-length', '2']]), id => frame(DATA, 0, id, 'who')), told: '200 upstream_malformed' }],
    ['a length and no data', { script: writes(id => head(id, [['content-length', '2']], END_STREAM)), told: /^(?:200 )?upstream_malformed$/ }],
    ['two lengths', { script: writes(id => head(id, [['content-length', '2'], ['content-length', '3']]), id => frame(DATA, END_STREAM, id, 'ab')), told: 'upstream_malformed' }],
    ['a length that is no number', { script: writes(id => head(id, [['content-length', '0x2']]), id => frame(DATA, END_STREAM, id, 'ab')), told: 'upstream_malformed' }],
    ['a connection header', { script: writes(id => head(id, [['connection', 'close']], END_STREAM)), told: 'upstream_malformed' }],
    ['transfer-encoding', { script: writes(id => head(id, [['transfer-encoding', 'chunked']], END_STREAM)), told: 'upstream_malformed' }],
    ['an upper-case name', { script: writes(id => head(id, [['X-A', 'b']], END_STREAM)), told: 'upstream_malformed' }],
    ['a status that is no number', { script: writes(id => head(id, [], END_STREAM, '2oo')), told: 'upstream_malformed' }],
    ['101', { script: writes(id => head(id, [], 0, '101'), id => head(id, [], END_STREAM)), told: 'upstream_malformed' }],
    ['103 and no more', { script: writes(id => head(id, [], END_STREAM, '103')), told: /^(?:103 )?upstream_malformed$/ }],
    ['a status among the trailers', { script: writes(id => head(id, []), id => trailers(id, [[':status', '200']])), told: '200 upstream_malformed' }],
    ['data before the head', { script: writes(id => frame(DATA, END_STREAM, id, 'ab')), told: /^upstream_(?:malformed|reset)$/ }],
    ['cut by a reset without error', { script: writes(id => head(id, []), id => frame(DATA, 0, id, 'a'), id => frame(RST_STREAM, 0, id, number(0))), told: '200 a upstream_reset' }],
    ['nothing but a reset without error', { script: writes(id => frame(RST_STREAM, 0, id, number(0))), told: 'upstream_reset' }],
    ['cut by the end of the connection', { script: ({ socket }, id) => void socket.end(Buffer.concat([head(id, []), frame(DATA, 0, id, 'a')])), told: '200 a upstream_reset' }],
    ['a pushed one', { script: writes(id => frame(PUSH_PROMISE, END_HEADERS, id, Buffer.concat([number(2), field(':method', 'GET')])), id => head(id, [], END_STREAM)), told: 'upstream_malformed' }],
    ['a head over the limit', { script: writes(id => head(id, Array.from({ length: 300 }, (_, i) => [`x-${i}`, 'b'] as const), END_STREAM)), told: /^upstream_(?:malformed|reset)$/ }],
  ])

  test.each([...cases])('[WIRE16, WIRE12, H2-006, H2-008, H2-018] an answer with %s is told as what it is', async (_case, { script, told }) => {
    for (const bodyLength of [0, null]) {
      const { connection } = await speaking(script)
      const caller = new Caller(bodyLength)
      connection.send(caller)
      if (bodyLength === null) caller.place?.write(Buffer.from('begun'))
      await caller.over
      await until(() => connection.busy === 0, 'the stream is closed')
      if (typeof told === 'string') expect(caller.told).toBe(told)
      else expect(caller.told).toMatch(told)
    }
  })

  test('[WIRE16] a field that could be read as two is not passed on', async () => {
    const { connection } = await speaking(writes(id => head(id, [['x-a', 'b\r\nset-cookie: c'], ['x-nul', 'a\0b'], ['x-good', 'd']], END_STREAM)))
    const caller = await ask(connection)
    expect(caller.fields.some(part => /[\r\n\0]/.test(part))).toBe(false)
    expect([caller.told, ...caller.fields]).toEqual(['200 ended', 'x-good', 'd'])
  })

  test('[WIRE16] an answer that was cut while paused is not told as whole when it goes on', async () => {
    const { connection } = await speaking(writes(id => head(id, []), id => frame(DATA, 0, id, 'a'), id => frame(DATA, 0, id, 'b'), id => frame(RST_STREAM, 0, id, number(0))))
    const caller = new Caller()
    caller.onData = () => caller.place?.pause()
    connection.send(caller)
    await until(() => caller.told === '200 a ', 'its first data')
    await new Promise(resolve => setImmediate(resolve))
    caller.onData = () => undefined
    caller.place?.resume()
    await caller.over
    expect(caller.told).toMatch(/^200 a (?:b )?upstream_reset$/)
    await until(() => connection.busy === 0, 'the stream is closed')
  })
})

describe('connections', () => {
  test('[WIRE16] GOAWAY says which exchanges were not looked at, with and without an error', async () => {
    for (const code of [0, 11]) {
      const { connection, owner } = await speaking(({ socket }, stream) => {
        if (stream === 5) socket.write(Buffer.concat([goaway(1, code), ...(code === 0 ? [head(1, []), frame(DATA, END_STREAM, 1, 'first')] : [])]))
      })
      const callers = [new Caller(), new Caller(), new Caller()]
      for (const caller of callers) connection.send(caller)
      await Promise.all(callers.map(caller => caller.over))
      const [first, ...others] = callers
      expect(first?.told).toBe(code === 0 ? '200 first ended' : 'upstream_reset')
      expect([first?.unprocessed, ...others.map(({ fault, unprocessed }) => `${fault} ${unprocessed}`)]).toEqual([false, 'upstream_reset true', 'upstream_reset true'])
      await until(() => connection.busy === 0, 'no stream is left')
      expect([owner.left.length, connection.room]).toEqual([1, 0])
    }
  })

  test('[WIRE12] a server that speaks no HTTP/2, breaks its frames or says nothing never gets a request', async () => {
    const servers: ((socket: Socket) => void)[] = [socket => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), socket => void socket.end(), () => undefined, socket => void socket.write(frame(PING, 0, 1, 'x'))]
    for (const server of servers) {
      const { connection, owner } = await open(socket => {
        socket.on('error', () => undefined)
        server(socket)
      }, { patience: 200 })
      expect(connection.room).toBe(0)
      await until(() => owner.left.length === 1, 'the connection is given up')
      expect((await ask(connection)).fault).toBe('upstream_busy')
      await until(() => connection.dead, 'the connection ends')
      expect(owner.left.length).toBe(1)
    }
  })

  test('[WIRE16] silence is asked for a sign of life, also behind GOAWAY, and a peer that gives none is dead', async () => {
    for (const away of [false, true]) {
      const peers: Peer[] = []
      const { connection, owner } = await speaking((peer, stream) => {
        peers.push(peer)
        if (away) peer.socket.write(goaway(stream))
      }, { quiet: 100, patience: 100 }, false)
      const caller = await ask(connection)
      const asked = peers[0]?.frames.slice(1).filter(({ type, flags }) => type === (away ? SETTINGS : PING) && flags === 0).length
      expect([caller.told, asked]).toEqual(['upstream_reset', 1])
      await until(() => connection.busy === 0 && connection.dead, 'the connection ends')
      expect(owner.left.length).toBe(1)
    }
  })

  test('[WIRE16] a peer that answers PING is not dead, however long its answer takes', async () => {
    let pings = 0
    const { connection } = await speaking(({ socket, frames }, stream) => {
      const looking = setInterval(() => {
        pings = frames.filter(({ type, flags }) => type === PING && flags === 0).length
        if (pings < 3) return
        clearInterval(looking)
        socket.write(head(stream, [], END_STREAM))
      }, 10)
    }, { quiet: 60, patience: 60 })
    const caller = await ask(connection)
    expect([caller.told, pings >= 3]).toEqual(['200 ended', true])
  })

  test('[WIRE16] destroy ends everything at once, though the peer takes nothing', async () => {
    const { connection, owner, socket } = await open(peer => {
      peer.write(frame(SETTINGS, 0, 0))
      peer.pause()
    })
    await until(() => connection.room > 0, 'the peer says what it takes')
    const callers = Array.from({ length: 100 }, () => new Caller(null))
    for (const caller of callers) {
      connection.send(caller)
      caller.place?.write(Buffer.alloc(60_000))
    }
    connection.destroy()
    await Promise.all(callers.map(caller => caller.over))
    await until(() => connection.busy === 0 && socket.destroyed, 'nothing is left')
    expect([new Set(callers.map(caller => caller.told)), owner.left.length]).toEqual([new Set(['upstream_reset']), 1])
  })
})

describe('resets from within an event', () => {
  // Node aborts the process where a stream that waits for trailers is reset inside an event and read to its end in the same batch of frames.
  const whole = writes(id => head(id, []), id => frame(DATA, 0, id, 'a'), id => frame(DATA, END_STREAM, id, 'b'))

  test('[WIRE16, ENF10] an upload is given up in the middle of its whole answer', async () => {
    const { connection } = await speaking(whole, { resets: 10_000 })
    for (let i = 0; i < 300; i++) {
      const caller = new Caller(null)
      caller.onData = () => caller.place?.abort()
      connection.send(caller)
      caller.place?.write(Buffer.from('begun'))
      await until(() => connection.busy === 0, 'the stream is closed')
      expect(caller.told).toBe('200 a ')
    }
  })

  test('[WIRE16, ENF10] one exchange gives up all others of its connection', async () => {
    const { connection } = await speaking(({ socket }, stream) => {
      if (stream % 20 === 19) for (let id = stream - 18; id <= stream; id += 2) socket.write(Buffer.concat([head(id, []), frame(DATA, 0, id, 'a'), frame(DATA, END_STREAM, id, 'b')]))
    }, { resets: 10_000 })
    for (let i = 0; i < 60; i++) {
      const callers = Array.from({ length: 10 }, () => new Caller(null))
      for (const caller of callers) {
        caller.onData = () => {
          for (const one of callers) one.place?.abort()
        }
        connection.send(caller)
        caller.place?.write(Buffer.from('begun'))
      }
      await until(() => connection.busy === 0, 'the streams are closed')
      expect(callers.filter(caller => caller.told.includes('a')).length).toBe(1)
    }
    expect(connection.room).toBeGreaterThan(0)
  })
})
