// Floods on one HTTP/2 connection: each is bounded, in what is judged and in how long it may go on, and honest callers on other connections do not
// notice. SPEC: WIRE16
import { afterEach, describe, expect, test } from 'vitest'
import { duration } from '../../src/core/time.ts'
import { block, FLAG, FRAME, frame, FrameClient, headers, PREFACE, requestFields, reset, windowUpdate } from '../support/http2-frames.ts'
import { TestListener, whole } from '../support/http2-listener.ts'
import { RawClient } from '../support/raw-client.ts'
import { until } from './support.ts'

let listener: TestListener
afterEach(() => listener.stop())

const get = (stream: number): Buffer => headers(stream, requestFields('GET', '/a'))
const open = (stream: number): Buffer => headers(stream, requestFields('POST', '/a'), FLAG.endHeaders)
const times = (count: number, make: (i: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, i) => make(i)))

const BATCHES = 4_000
/** Sends batches until the listener has had enough. */
async function flood(batch: (i: number) => Buffer): Promise<void> {
  const client = await FrameClient.connect(listener)
  for (let i = 0; i < BATCHES && !client.over; i++) {
    await client.pour(batch(i))
    await new Promise(resolve => setImmediate(resolve))
  }
  await client.ended
}

describe('a flood of', () => {
  const FLOODS: readonly (readonly [id: string, name: string, batch: (i: number) => Buffer, told: string, judged: number])[] = [
    ['WIRE16', 'streams reset in the same breath', i => times(50, k => Buffer.concat([get(100 * i + 2 * k + 1), reset(100 * i + 2 * k + 1, 8)])), 'http2_resets', 0],
    ['H2-016', 'streams that a window update of nothing breaks', i => times(10, k => Buffer.concat([get(20 * i + 2 * k + 1), windowUpdate(20 * i + 2 * k + 1, 0)])), 'http2 bad_request 127.0.0.1', 0],
    ['H2-016', 'streams that data behind their end breaks', i => times(10, k => Buffer.concat([get(20 * i + 2 * k + 1), frame(FRAME.data, 1, 20 * i + 2 * k + 1, 'x')])), 'http2 bad_request 127.0.0.1', 0],
    ['WIRE16', 'malformed heads', i => times(10, k => headers(20 * i + 2 * k + 1, requestFields('GE T', '/a'))), 'http2_invalid_frames', 0],
    ['WIRE16', 'streams beyond the limit of open ones', i => times(50, k => get(100 * i + 2 * k + 1)), 'http2_invalid_frames', 128],
    ['WIRE16', 'PING', () => times(500, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))), 'http2_frames', 0],
    ['WIRE16', 'SETTINGS', () => times(200, () => frame(FRAME.settings, 0, 0)), 'http2_frames', 0],
    ['WIRE16', 'WINDOW_UPDATE', () => times(2_000, () => windowUpdate(0, 1)), 'http2_frames', 0],
    ['WIRE16', 'empty DATA', i => (i === 0 ? open(1) : times(200, () => frame(FRAME.data, 0, 1))), 'http2_invalid_frames', 1],
    ['WIRE16', 'CONTINUATION', i => (i === 0 ? frame(FRAME.headers, 0, 1, block(requestFields('GET', '/a'))) : times(5, () => frame(FRAME.continuation, 0, 1, block([['a', 'b']])))), 'http2_frames', 0],
    ['WIRE16', 'empty CONTINUATION', i => (i === 0 ? frame(FRAME.headers, 0, 1, block(requestFields('GET', '/a'))) : times(5, () => frame(FRAME.continuation, 0, 1))), 'http2_frames', 0],
  ]
  for (const [id, name, batch, told, judged] of FLOODS) {
    test(`[${id}] ${name} ends its connection, and no more of it is judged than may be open`, async () => {
      listener = await TestListener.start({ onRequest: () => {} })
      await flood(batch)
      expect([...listener.limits, ...listener.faults]).toContain(told)
      expect(listener.arrivals.length).toBeLessThanOrEqual(judged)
    })
  }

  test('[WIRE16] requests that are judged and then given up ends its connection behind some hundred', async () => {
    listener = await TestListener.start({ onRequest: () => {} })
    const client = await FrameClient.connect(listener)
    let stream = -1
    while (!client.over && stream < 4_000) {
      const judged = listener.arrivals.length
      client.push(times(20, () => get((stream += 2))))
      await until(() => client.over || listener.arrivals.length === judged + 20, 'they are judged')
      client.push(times(20, i => reset(stream - 2 * i, 8)))
      await until(() => client.over || listener.arrivals.every(({ answer }) => answer.gone), 'they are given up')
    }
    await client.ended
    expect(listener.limits).toEqual(['http2_resets'])
    expect(listener.arrivals.length).toBeLessThanOrEqual(560)
    expect(client.frames.find(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4)).toBe(11) // ENHANCE_YOUR_CALM
  })

  test('[WIRE16] resets leaves callers of other connections alone', async () => {
    listener = await TestListener.start({ onRequest: () => {} })
    const honest = await FrameClient.connect(listener)
    honest.push(get(1))
    await until(() => listener.arrivals.length === 1, 'the honest request is judged')
    await flood(i => times(20, k => Buffer.concat([get(40 * i + 2 * k + 1), reset(40 * i + 2 * k + 1, 8)])))
    whole(listener.arrivals[0] ?? expect.unreachable())
    await honest.first(({ type, stream, flags }) => type === FRAME.data && stream === 1 && flags === FLAG.endStream)
    expect([listener.arrivals.length, listener.limits]).toEqual([1, ['http2_resets']])
    honest.close()
  })
})

describe('a connection', () => {
  test('[WIRE16] offers so many streams and takes no more', async () => {
    listener = await TestListener.start({ onRequest: () => {}, limits: { streamsPerConnection: 3 } })
    const client = await FrameClient.connect(listener)
    expect((await client.first(({ type, flags }) => type === FRAME.settings && flags === 0))?.payload.toString('hex')).toContain('000300000003')
    client.push(Buffer.concat([get(1), get(3), get(5), get(7)]))
    const refused = await client.first(({ type }) => type === FRAME.reset)
    expect([refused?.stream, refused?.payload.readUInt32BE(0)]).toEqual([7, 7]) // REFUSED_STREAM: it was not looked at
    await until(() => listener.arrivals.length === 3, 'the others are judged')
    client.close()
  })

  test('[WIRE3] that asks for nothing is closed in time, before its first request and after its last, whatever it says meanwhile', async () => {
    listener = await TestListener.start({ limits: { headersTimeout: duration(300), idleTimeout: duration(300) } })
    const silent = await FrameClient.connect(listener)
    const done = await FrameClient.connect(listener)
    done.push(get(1))
    await done.first(({ stream, flags, type }) => stream === 1 && type === FRAME.data && flags === FLAG.endStream)
    const pinging = setInterval(() => void done.push(frame(FRAME.ping, 0, 0, Buffer.alloc(8))), 50)
    for (const client of [silent, done]) {
      await client.first(({ type }) => type === FRAME.goaway)
      expect(client.frames.find(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4)).toBe(0)
      await client.ended
    }
    clearInterval(pinging)
  })

  test('[WIRE16] takes ten thousand streams in its life, answers each, and says before its end which was the last', async () => {
    listener = await TestListener.start()
    const client = await FrameClient.connect(listener)
    for (let begun = 0; begun < 10_000; begun += 100) {
      client.push(Buffer.concat([windowUpdate(0, 10_000), times(100, i => get(2 * (begun + i) + 1))]))
      await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 2 * (begun + 99) + 1 && flags === FLAG.endStream)
      expect(client.frames.some(({ type }) => type === FRAME.goaway)).toBe(begun + 100 === 10_000)
    }
    await client.ended
    const goaway = client.frames.find(({ type }) => type === FRAME.goaway)
    expect([goaway?.payload.readUInt32BE(0), goaway?.payload.readUInt32BE(4), listener.limits]).toEqual([19_999, 0, []])
    expect(client.frames.filter(({ type, flags }) => type === FRAME.data && flags === FLAG.endStream)).toHaveLength(10_000)
  })

  test('[WIRE3] whose first bytes come to no end is answered in time', async () => {
    listener = await TestListener.start({ limits: { headersTimeout: duration(200) } })
    const piece = await RawClient.connect(listener)
    piece.push(PREFACE.subarray(0, 20))
    expect((await piece.response()).status).toBe(408)
  })

  test('[WIRE14] with open streams is told that the listener stops, finishes them, and is closed', async () => {
    listener = await TestListener.start({ onRequest: ({ answer }) => answer.sendHead({ status: 200, text: '', headers: [], delimitedByClose: false, eventStream: false, encoded: false, length: null }) })
    const client = await FrameClient.connect(listener)
    client.push(get(1))
    await client.first(({ type }) => type === FRAME.headers)
    listener.listener.stop()
    expect((await client.first(({ type }) => type === FRAME.goaway))?.payload.readUInt32BE(4)).toBe(0)
    client.push(get(3))
    listener.arrivals[0]?.answer.send(Buffer.from('the rest'))
    listener.arrivals[0]?.answer.finish([])
    await client.first(({ type, flags }) => type === FRAME.data && flags === FLAG.endStream)
    await client.ended
    expect(listener.arrivals.length).toBe(1)
  })
})
