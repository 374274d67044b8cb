// HTTP/2 at the listener, frame by frame: what is malformed goes nowhere, what is answered reads as it should, and whatever happens to one stream
// leaves the others alone. The pipeline is a plain function here. SPEC: WIRE3, WIRE16
import { afterEach, describe, expect, test } from 'vitest'
import type { Arrival } from '../../src/proxy/arrival.ts'
import { Http2Arrival } from '../../src/proxy/http2/http2-arrival.ts'
import { ownHead } from '../../src/proxy/own-answer.ts'
import { refusalText } from '../../src/proxy/refusal.ts'
import { block, type Field, FLAG, FRAME, type Frame, frame, FrameClient, headers, indexed, requestFields, reset, windowUpdate } from '../support/http2-frames.ts'
import { TestListener, whole } from '../support/http2-listener.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { until } from './support.ts'

let listener: TestListener
let client: FrameClient
afterEach(() => {
  client?.close()
  listener.stop()
})

const CANCEL = 8
const code = (found: Frame | undefined): number | undefined => found?.payload.readUInt32BE(found.type === FRAME.goaway ? 4 : 0)
const endOf = ({ type, flags }: Frame): boolean => type === FRAME.reset || (flags & FLAG.endStream) !== 0
const dataOf = (stream: number): Buffer => Buffer.concat(client.frames.filter(({ type, stream: of }) => type === FRAME.data && of === stream).map(({ payload }) => payload))
const post = (stream: number, path: string, more: readonly Field[] = []): Buffer => headers(stream, requestFields('POST', path, more), FLAG.endHeaders)
const get = (stream: number, path: string, more: readonly Field[] = []): Buffer => headers(stream, requestFields('GET', path, more))

async function begin(onRequest: (arrival: Arrival) => void = whole): Promise<void> {
  listener = await TestListener.start({ onRequest })
  client = await FrameClient.connect(listener)
}

/** The streams of both sides are over; the frames of the first that came. */
async function over(stream = 1): Promise<readonly Frame[]> {
  await client.first(found => found.stream === stream && endOf(found))
  return client.frames.filter(found => found.stream === stream)
}

/** A round trip behind everything that was sent: whatever the listener does with that, it has done. */
async function settled(): Promise<void> {
  const pings = client.frames.filter(({ type }) => type === FRAME.ping).length
  client.push(frame(FRAME.ping, 0, 0, Buffer.alloc(8)))
  await client.until(() => client.over || client.frames.filter(({ type }) => type === FRAME.ping).length > pings)
  await new Promise(resolve => setImmediate(resolve))
}

describe('a malformed request', () => {
  const BY_THE_PARSER: readonly (readonly [id: string, name: string, bytes: Buffer])[] = [
    ['H2-001', 'a path without its slash', headers(1, requestFields('POST', 'admin.Service/Delete'))],
    ['H2-003', 'a method that goes on as a request line', headers(1, requestFields('GET /admin HTTP/1.1', '/a'))],
    ['H2-003', 'a method with a question mark', headers(1, requestFields('GET?', '/a'))],
    ['H2-006', 'more bytes than its Content-Length', Buffer.concat([post(1, '/a', [['content-length', '0']]), frame(FRAME.data, FLAG.endStream, 1, 'x'.repeat(40))])],
    ['H2-006', 'fewer bytes than its Content-Length', Buffer.concat([post(1, '/a', [['content-length', '50']]), frame(FRAME.data, FLAG.endStream, 1, 'x'.repeat(40))])],
    ['H2-008', 'Connection', get(1, '/a', [['connection', 'narrowgate-subject']])],
    ['H2-008', 'Keep-Alive', get(1, '/a', [['keep-alive', 'timeout=5']])],
    ['H2-008', 'Upgrade', get(1, '/a', [['upgrade', 'websocket']])],
    ['H2-008', 'Proxy-Connection', get(1, '/a', [['proxy-connection', 'close']])],
    ['H2-008', 'Transfer-Encoding', get(1, '/a', [['transfer-encoding', 'chunked']])],
    ['H2-008', 'TE other than trailers', get(1, '/a', [['te', 'gzip']])],
    ['WIRE3', 'a name in upper case', get(1, '/a', [['X-Up', 'x']])],
    ['WIRE3', 'a second path', get(1, '/a', [[':path', '/admin']])],
    ['WIRE3', 'two lengths', get(1, '/a', [['content-length', '1, 1']])],
    ['WIRE3', 'a pseudo field among its trailers', Buffer.concat([post(1, '/a'), frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block([[':path', '/admin']]))])],
  ]
  for (const [id, name, bytes] of BY_THE_PARSER) {
    test(`[${id}] with ${name} is reset and judged by nobody`, async () => {
      await begin()
      client.push(bytes)
      const broken = await client.first(({ type, stream }) => type === FRAME.goaway || (type === FRAME.reset && stream === 1))
      expect(broken?.type === FRAME.goaway || code(broken) === 1).toBe(true)
      await settled()
      expect(listener.arrivals).toEqual([])
    })
  }

  const BY_US: readonly (readonly [id: string, name: string, bytes: Buffer, says: string])[] = [
    ['H2-001', 'a path without its slash under another scheme', headers(1, requestFields('GET', 'admin', [], 'foo')), 'bad_request'],
    ['WIRE16', 'an asterisk for its path', headers(1, requestFields('OPTIONS', '*')), 'bad_request'],
    ['WIRE16', 'another Host than its authority', get(1, '/a', [['host', 'admin.test']]), 'bad_request'],
    ['WIRE16', 'a method in lower case', headers(1, requestFields('get', '/a')), 'bad_request'],
    ['WIRE16', 'CONNECT', headers(1, [[':method', 'CONNECT'], [':authority', 'api.test:80']], FLAG.endHeaders), 'method_refused'],
    ['WIRE16', 'an expectation other than 100-continue', get(1, '/a', [['expect', '200-ok']]), 'expectation_failed'],
  ]
  for (const [id, name, bytes, says] of BY_US) {
    test(`[${id}] with ${name} is refused, and the connection serves on`, async () => {
      await begin()
      client.push(bytes)
      await over()
      expect(JSON.parse(dataOf(1).toString())).toMatchObject({ reason: says })
      expect(listener.faults).toEqual([`http2 ${says} 127.0.0.1`])
      client.push(get(3, '/b'))
      await over(3)
      expect(listener.arrivals.map(({ target }) => target)).toEqual(['/b'])
    })
  }

  test('[H2-011, WIRE16] never carries a field without a name, or with one that is no name, any further', async () => {
    await begin()
    client.push(get(1, '/a', [['', 'x'], ['a b', 'x'], ['x', 'a\r\nnarrowgate-subject: root'], ['y', 'a\0b'], ['kept', 'yes']]))
    await over()
    expect(listener.arrivals.flatMap(arrival => arrival.headers)).toEqual(['host', 'api.test', 'kept', 'yes'])
  })

  test('[H2-018, WIRE16] with a head beyond the limit of decoded bytes is reset without being judged', async () => {
    await begin()
    const big: Field = ['x', 'y'.repeat(4_000)]
    client.push(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, Buffer.concat([block(requestFields('GET', '/a')), block([big], true)])))
    await over()
    client.push(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 3, Buffer.concat([block(requestFields('GET', '/bomb')), ...Array.from({ length: 4_000 }, () => indexed(62))])))
    expect(code(await client.first(({ type, stream }) => type === FRAME.reset && stream === 3))).toBe(11)
    client.push(headers(5, requestFields('GET', '/many', Array.from({ length: 200 }, (_, i): Field => [`x-${i}`, 'y']))))
    expect(code(await client.first(({ type, stream }) => type === FRAME.reset && stream === 5))).toBe(11)
    expect(listener.arrivals.map(({ target }) => target)).toEqual(['/a'])
  })
})

describe('a request', () => {
  test('[WIRE15, WIRE16] arrives as one form: pseudo fields apart, host in front, cookie in one line', async () => {
    await begin()
    client.push(get(1, '/a?b=c', [['cookie', 'a=1'], ['x', '1'], ['cookie', 'b=2'], ['x', '2'], ['te', 'trailers']]))
    await over()
    expect(listener.arrivals[0]).toMatchObject({
      protocol: 'http2', version: '2', method: 'GET', target: '/a?b=c', connects: null, peer: '127.0.0.1', secure: false, serverName: null, certificate: null, expectsContinue: false, complete: true,
      headers: ['host', 'api.test', 'cookie', 'a=1; b=2', 'x', '1', 'x', '2', 'te', 'trailers'],
    })
  })

  test('[H2-013, WIRE18] by extended CONNECT counts as a GET that asks for an upgrade', async () => {
    await begin()
    const settings = await client.first(({ type, flags }) => type === FRAME.settings && flags === 0)
    expect(settings?.payload.toString('hex')).toContain('000800000001') // SETTINGS_ENABLE_CONNECT_PROTOCOL
    client.push(headers(1, [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':authority', 'api.test'], [':path', '/admin/ws']], FLAG.endHeaders))
    await over()
    expect(listener.arrivals[0]).toMatchObject({ method: 'GET', target: '/admin/ws', connects: 'websocket' })
  })

  test('[WIRE18] by extended CONNECT becomes a tunnel behind a 200, which a reset ends', async () => {
    await begin(arrival => {
      const tunnel = arrival instanceof Http2Arrival ? arrival.takeOver(['sec-websocket-protocol', 'chat']) : null
      tunnel?.socket.on('data', (chunk: Buffer) => (chunk.toString() === 'reset' ? tunnel.reset() : tunnel.socket.write(chunk)))
    })
    client.push(Buffer.concat([headers(1, [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', 'http'], [':authority', 'api.test'], [':path', '/ws']], FLAG.endHeaders), frame(FRAME.data, 0, 1, 'hello')]))
    await client.until(() => dataOf(1).toString() === 'hello')
    expect(listener.arrivals[0]?.answer.status).toBe(200)
    client.push(frame(FRAME.data, 0, 1, 'reset'))
    expect(code((await over()).at(-1))).toBe(CANCEL)
  })

  test('[WIRE22] has a body with trailers behind it, and ends whole', async () => {
    const got: Buffer[] = []
    await begin(arrival => void arrival.body.on('data', (chunk: Buffer) => got.push(chunk)).once('end', () => {
      expect([arrival.complete, arrival.trailers]).toEqual([true, ['x-sum', '1']])
      whole(arrival)
    }))
    client.push(Buffer.concat([post(1, '/a'), frame(FRAME.data, 0, 1, 'abc')]))
    await until(() => got.length === 1, 'the first bytes came')
    client.push(Buffer.concat([frame(FRAME.data, 0, 1, 'def'), headers(1, [['x-sum', '1']])]))
    await over()
    expect(Buffer.concat(got).toString()).toBe('abcdef')
  })

  for (const [name, why] of [['CANCEL', CANCEL], ['NO_ERROR', 0]] as const) {
    test(`[WIRE16] that is reset with ${name} before its end never looks as if it were whole`, async () => {
      const told: string[] = []
      await begin(arrival => {
        arrival.body.on('data', () => told.push('data')).on('end', () => told.push('end')).on('error', () => told.push('error'))
        arrival.answer.onClose(() => told.push(`closed ${arrival.complete} ${arrival.answer.finished} ${arrival.answer.gone}`))
      })
      client.push(Buffer.concat([post(1, '/a'), frame(FRAME.data, 0, 1, 'abc')]))
      await until(() => told.includes('data'), 'the first bytes came')
      client.push(reset(1, why))
      await until(() => told.length === 3, 'the end is told')
      expect(told).toEqual(['data', 'error', 'closed false false true'])
    })
  }

  test('[WIRE16] reset in the same breath, or broken by its first bytes, is not judged', async () => {
    await begin()
    client.push(Buffer.concat([get(1, '/reset'), reset(1, CANCEL), post(3, '/broken', [['content-length', '9']]), frame(FRAME.data, FLAG.endStream, 3, 'x'), get(5, '/good')]))
    await over(5)
    expect(listener.arrivals.map(({ target }) => target)).toEqual(['/good'])
  })
})

describe('an answer', () => {
  const streaming = ({ answer }: Arrival, length: number | null = null): void => answer.sendHead(ownHead(200, ['X-Up', '1', 'Connection', 'x-up', 'Keep-Alive', 'timeout=5', 'Transfer-Encoding', 'chunked'], length))

  test('[WIRE11, WIRE22] goes out with interim heads before it and trailers behind it, and without what belongs to a connection', async () => {
    await begin(arrival => {
      arrival.answer.inform(103, ['link', '</a>', 'Link', '</b>'])
      arrival.answer.proceed()
      streaming(arrival)
      arrival.answer.send(Buffer.from('abc'))
      arrival.answer.finish(['X-Sum', '1'])
    })
    client.push(get(1, '/a'))
    const frames = await over()
    expect(frames.map(({ type, flags }) => [type, flags])).toEqual([[1, 4], [1, 4], [1, 4], [0, 0], [1, 5]])
    expect(frames[2]?.payload.toString('latin1')).not.toContain('timeout')
    expect(listener.arrivals[0]?.answer).toMatchObject({ status: 200, ended: true })
    await until(() => listener.arrivals[0]?.answer.finished === true, 'the answer is out')
  })

  test('[WIRE19] to HEAD, and one of 204 or 304, is a head and its end, told when the end is there', async () => {
    await begin(({ answer, target }) => {
      answer.sendHead(ownHead(Number(target.slice(1)), ['content-length', '5'], 5))
      setImmediate(() => answer.finish([]))
    })
    client.push(Buffer.concat([headers(1, requestFields('HEAD', '/200')), get(3, '/204'), get(5, '/304')]))
    for (const stream of [1, 3, 5]) expect((await over(stream)).map(({ type, flags }) => [type, flags])).toEqual([[1, 5]])
    await until(() => listener.arrivals.every(({ answer }) => answer.finished), 'the answers are out')
  })

  test('[WIRE8] to an upload that goes on is sent whole, then the upload is told to stop, without an error', async () => {
    await begin(arrival => (arrival.target === '/refused' ? arrival.answer.refuse(refusalText('denied'), null, true) : whole(arrival)))
    client.push(Buffer.concat([post(1, '/refused'), post(3, '/whole'), frame(FRAME.data, 0, 1, 'abc'), frame(FRAME.data, 0, 3, 'abc')]))
    for (const stream of [1, 3]) {
      await client.first(found => found.stream === stream && found.type === FRAME.reset)
      const frames = client.frames.filter(found => found.stream === stream)
      expect(frames.map(({ type, flags }) => [type, flags])).toEqual([[1, 4], [0, 1], [3, 0]])
      expect(code(frames[2])).toBe(0)
    }
    expect(JSON.parse(dataOf(1).toString())).toMatchObject({ reason: 'denied' })
    client.push(get(5, '/next'))
    await over(5)
  })

  test('[WIRE17] to gRPC refuses by trailers alone, and cuts by trailers, then stops the upload', async () => {
    await begin(arrival => {
      if (arrival.target === '/refused') return arrival.answer.refuse(refusalText('denied'), null, false)
      streaming(arrival)
      arrival.answer.send(Buffer.from('abc'))
    })
    const grpc: readonly Field[] = [['content-type', 'application/grpc+proto'], ['te', 'trailers']]
    client.push(Buffer.concat([post(1, '/refused', grpc), post(3, '/cut', grpc)]))
    await client.first(({ type, stream }) => type === FRAME.reset && stream === 1)
    expect(client.frames.filter(({ stream }) => stream === 1).map(({ type, flags }) => [type, flags])).toEqual([[1, 5], [3, 0]])
    await client.first(({ type, stream }) => type === FRAME.data && stream === 3)
    const { answer } = listener.arrivals[1] ?? expect.unreachable()
    await until(() => answer.waiting === 0, 'nothing waits')
    answer.cut('revoked', true)
    await client.first(({ type, stream }) => type === FRAME.reset && stream === 3)
    const frames = client.frames.filter(({ stream }) => stream === 3)
    expect(frames.map(({ type, flags }) => [type, flags])).toEqual([[1, 4], [0, 0], [1, 5], [3, 0]])
    expect(code(frames[3])).toBe(0)
  })

  test('[ENF6, WIRE10] is cut by a reset, or between two events by an end', async () => {
    await begin(({ answer, target }) => {
      answer.sendHead({ ...ownHead(200, [], null), eventStream: target === '/events' })
      answer.send(Buffer.from('data: 1\n\n'))
    })
    client.push(Buffer.concat([get(1, '/plain'), get(3, '/events')]))
    await until(() => listener.arrivals.length === 2 && listener.arrivals.every(({ answer }) => answer.waiting === 0), 'nothing waits')
    for (const { answer } of listener.arrivals) answer.cut('revoked', true)
    expect(code((await over(1)).at(-1))).toBe(CANCEL)
    expect((await over(3)).at(-1)).toMatchObject({ type: FRAME.data, flags: FLAG.endStream })
    expect(dataOf(3).toString()).toBe('data: 1\n\n')
    expect(listener.arrivals.map(({ answer }) => answer.finished)).toEqual([false, true])
  })

  test('[ENF6, WIRE16] that waits for its reader is dropped by a cut: no more than one window is on its way, whatever the reader does later', async () => {
    await begin(({ answer }) => {
      answer.sendHead(ownHead(200, [], null))
      for (let i = 0; i < 20; i++) answer.send(Buffer.alloc(60_000, i))
    })
    client.push(get(1, '/a'))
    await client.until(() => dataOf(1).length === 65_535)
    const { answer } = listener.arrivals[0] ?? expect.unreachable()
    expect([answer.full, answer.waiting > 1_000_000]).toEqual([true, true])
    answer.cut('revoked', true)
    expect(code((await over()).at(-1))).toBe(CANCEL)
    client.push(Buffer.concat([windowUpdate(0, 2_000_000), windowUpdate(1, 2_000_000)]))
    await settled()
    expect([dataOf(1).length, answer.waiting]).toEqual([65_535, 0])
  })

  test('[ENF10] that is held sends nothing of what waits, and every byte of it when it is released', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    let drained = 0
    await begin(({ answer }) => {
      answer.onDrain(() => drained++)
      answer.sendHead(ownHead(200, [], null))
      answer.hold()
      for (let i = 0; i < bytes.length; i += 50_000) answer.send(bytes.subarray(i, i + 50_000))
    })
    client.push(Buffer.concat([windowUpdate(0, 1_000_000), get(1, '/a'), windowUpdate(1, 1_000_000)]))
    await client.first(({ type }) => type === FRAME.headers)
    await settled()
    const { answer } = listener.arrivals[0] ?? expect.unreachable()
    expect([dataOf(1).length, answer.full, answer.waiting, drained]).toEqual([0, true, 300_000, 0])
    answer.release()
    answer.finish([])
    await over()
    expect(dataOf(1).equals(bytes)).toBe(true)
    expect(drained).toBe(1)
  })

  test('[WIRE16] that cannot be sent resets its stream and throws at nobody', async () => {
    await begin(({ answer }) => answer.sendHead(ownHead(200, ['no name', 'x'], null)))
    client.push(get(1, '/a'))
    expect(code((await over()).at(-1))).toBe(2)
  })
})

describe('a plain listener', () => {
  test('[WIRE16] takes HTTP/2 by prior knowledge and HTTP/1.1 from the same port, however the first bytes are cut, without losing one', async () => {
    await begin()
    expect((await requestOnce(listener, request('PUT', '/whole', {}, 'body'))).status).toBe(200)
    const slow = await RawClient.connect(listener)
    for (const byte of request('POST', '/slow', {}, 'body')) await slow.send(byte)
    expect((await slow.response('POST')).status).toBe(200)
    slow.close()
    client.push(get(1, '/a'))
    await over()
    expect(listener.arrivals.map(({ protocol, method, target }) => [protocol, method, target])).toEqual([['http1', 'PUT', '/whole'], ['http1', 'POST', '/slow'], ['http2', 'GET', '/a']])
  })

  test('[WIRE16] never takes an upgrade to h2c', async () => {
    await begin()
    const answer = await requestOnce(listener, request('GET', '/a', { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }))
    expect([answer.status, listener.arrivals[0]?.protocol]).toEqual([200, 'http1'])
  })

  test('[WIRE16] that speaks one protocol does not speak the other', async () => {
    listener = await TestListener.start({ protocols: ['http2'] })
    expect(await RawClient.connect(listener).then(async http1 => {
      http1.push(request('GET', '/a'))
      return http1.ended
    })).not.toBe('closed here')
    listener.stop()
    listener = await TestListener.start({ protocols: ['http1'] })
    client = await FrameClient.connect(listener)
    client.push(get(1, '/a'))
    await client.ended
    expect(listener.arrivals).toEqual([])
  })
})
