// HTTP/2 answers that are reset, thousands of them, from within whatever event: the process lives, nothing of a cut answer follows, and a connection
// whose account resets have filled says that it takes nothing new before it would have to refuse. What came of a body for nothing is not held against its connection. SPEC: ENF6, WIRE16
import { afterEach, describe, expect, test } from 'vitest'
import type { Arrival } from '../../src/proxy/arrival.ts'
import type { ResponseHead } from '../../src/proxy/http/response-head.ts'
import { refusalText } from '../../src/proxy/refusal.ts'
import { FLAG, FRAME, frame, FrameClient, headers, requestFields, reset, windowUpdate } from '../support/http2-frames.ts'
import { TestListener, whole } from '../support/http2-listener.ts'
import { until } from './support.ts'

let listener: TestListener
let client: FrameClient
afterEach(() => {
  client.close()
  listener.stop()
})

const head = (): ResponseHead => ({ status: 200, text: '', headers: [], delimitedByClose: false, eventStream: false, encoded: false, length: null })
const get = (stream: number, path: string): Buffer => headers(stream, requestFields('GET', path))
const post = (stream: number, path: string): Buffer => headers(stream, requestFields('POST', path), FLAG.endHeaders)
const codeOf = (payload: Buffer, at = 0): number => payload.readUInt32BE(at)

/** Begins an answer that goes on. */
function begin({ answer, body }: Arrival): void {
  body.resume()
  answer.sendHead(head())
  answer.send(Buffer.from('begun'))
}

describe('an answer with more to come', () => {
  const ROUNDS = 100
  const EACH = 20
  const EVENTS: readonly (readonly [event: string, cut: (struck: Arrival, strike: () => void) => void])[] = [
    ['the first bytes of another stream\'s body', ({ body }, strike) => void body.once('data', strike)],
    ['the end of another stream\'s body', ({ body }, strike) => void body.once('end', strike).resume()],
    ['a promise settled by another stream\'s body', ({ body }, strike) => void body.once('data', () => void Promise.resolve().then(strike))],
    ['the reset of another stream', ({ body, answer }, strike) => {
      body.resume()
      answer.onClose(strike)
    }],
  ]
  for (const [event, arm] of EVENTS) {
    test(`[ENF6, WIRE16] is cut from within ${event}, ${ROUNDS * EACH} times`, async () => {
      let victims: Arrival[] = []
      const strike = (): void => victims.splice(0).forEach(({ answer }) => answer.cut('revoked', false))
      listener = await TestListener.start({
        onRequest: arrival => {
          begin(arrival)
          if (arrival.target === '/victim') victims.push(arrival)
          else arm(arrival, strike)
        },
      })
      client = await FrameClient.connect(listener)
      let stream = -1
      for (let round = 0; round < ROUNDS; round++) {
        client.frames.length = 0
        victims = []
        const last = stream
        // half of them have bodies, read to their ends
        const open = Array.from({ length: EACH }, (_, i) => ((stream += 2), i % 2 === 0 ? get(stream, '/victim') : Buffer.concat([post(stream, '/victim'), frame(FRAME.data, FLAG.endStream, stream, 'all')])))
        client.push(Buffer.concat([windowUpdate(0, 1_000), ...open, post((stream += 2), '/striker')]))
        await until(() => victims.length === EACH && client.frames.filter(({ type, stream: of }) => type === FRAME.data && of > last).length === EACH + 1, 'all are answered')
        const striker = stream
        client.push(event.startsWith('the reset') ? frame(FRAME.reset, 0, striker, Buffer.from([0, 0, 0, 8])) : frame(FRAME.data, FLAG.endStream, striker, 'hit'))
        const resets = () => client.frames.filter(({ type, stream: of }) => type === FRAME.reset && of !== striker)
        await until(() => resets().length === EACH, 'all are cut')
        expect(resets().map(({ payload }) => codeOf(payload))).toEqual(Array.from({ length: EACH }, () => 8))
        listener.arrivals.at(-1)?.answer.finish([])
      }
      expect(listener.arrivals.filter(({ answer, target }) => target === '/victim' && answer.finished)).toEqual([])
      expect([listener.limits, listener.faults, client.over]).toEqual([[], [], false])
    })
  }

  test('[ENF6] says nothing more behind its cut, in the same turn or later', async () => {
    listener = await TestListener.start({
      onRequest: arrival => {
        begin(arrival)
        arrival.answer.cut('revoked', false)
        expect([arrival.answer.gone, arrival.answer.finished]).toEqual([true, false])
        arrival.answer.send(Buffer.from('more'))
        arrival.answer.finish([])
        setImmediate(() => arrival.answer.send(Buffer.from('much more')))
      },
    })
    client = await FrameClient.connect(listener)
    client.push(get(1, '/a'))
    expect(codeOf((await client.first(({ type }) => type === FRAME.reset))?.payload ?? Buffer.alloc(4))).toBe(8)
    expect(Buffer.concat(client.frames.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload)).toString()).not.toContain('more')
  })
})

describe('resets with much on its way', () => {
  for (const [who, cut] of [['the gateway', true], ['the caller', false]] as const) {
    test(`[WIRE16] by ${who} fill the connection's account: it says in time that it takes nothing new, and finishes what is open`, async () => {
      listener = await TestListener.start({
        onRequest: arrival => {
          if (arrival.target === '/honest') return
          arrival.answer.sendHead(head())
          arrival.answer.send(Buffer.alloc(60_000))
          if (cut) setImmediate(() => arrival.answer.cut('revoked', false))
        },
      })
      client = await FrameClient.connect(listener)
      client.push(get(1, '/honest'))
      await until(() => listener.arrivals.length === 1, 'the honest request is there')
      const goaway = () => client.frames.find(({ type }) => type === FRAME.goaway)
      let streams = 0
      while (goaway() === undefined && streams < 1_000) {
        const stream = 3 + 2 * streams++
        client.push(get(stream, '/much'))
        await client.first(({ type, stream: of }) => type === FRAME.goaway || (type === FRAME.headers && of === stream))
        if (cut) await client.first(({ type, stream: of }) => type === FRAME.goaway || (type === FRAME.reset && of === stream))
        else client.push(frame(FRAME.reset, 0, stream, Buffer.from([0, 0, 0, 8])))
        await until(() => goaway() !== undefined || (listener.arrivals.at(-1)?.target === '/much' && listener.arrivals.at(-1)?.answer.gone === true), 'the stream is over')
      }
      expect([codeOf(goaway()?.payload ?? Buffer.alloc(8, 1), 4), listener.limits]).toEqual([0, []])
      expect(streams).toBeGreaterThan(250)
      expect(client.frames.filter(({ type, payload }) => type === FRAME.reset && codeOf(payload) !== 8)).toEqual([]) // none was refused for want of room
      client.push(windowUpdate(0, 1_000_000))
      whole(listener.arrivals[0] ?? expect.unreachable())
      await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 1 && flags === FLAG.endStream)
      await client.ended
    })
  }
})

describe('bodies that nobody takes do not end the connection that others share:', () => {
  const ROUNDS = 8
  /** A round is no more than half of the connection's window, whose rest may be owed. */
  const EACH = 8
  const PIECE = Buffer.alloc(15_000, 'held')
  /** Longer than it takes until the connection is looked at. */
  const LOOKED = 1_100
  const WAYS: readonly (readonly [way: string, late: boolean, end: (arrival: Arrival) => void])[] = [
    ['held back and then cut', false, ({ answer }) => answer.cut('revoked', false)],
    ['held back and then left', false, () => {}],
    ['held back all the while', false, () => {}],
    ['on their way when they are cut', true, ({ answer }) => answer.cut('revoked', false)],
    ['on their way when they are refused', true, ({ answer }) => answer.refuse(refusalText('session_ended'), null, false)],
  ]
  for (const [way, late, end] of WAYS) {
    test(`[ENF6, WIRE16] ${way}`, async () => {
      let uploads: Arrival[] = []
      listener = await TestListener.start({
        onRequest: arrival => {
          if (late) arrival.body.resume()
          if (arrival.target === '/honest') return arrival.answer.sendHead(head())
          uploads.push(arrival)
          if (!way.endsWith('refused')) arrival.answer.sendHead(head())
        },
      })
      client = await FrameClient.connect(listener)
      client.push(get(1, '/honest'))
      await until(() => listener.arrivals.length === 1, 'the honest request is there')
      const window = (): number => 65_535 + client.frames.filter(({ type, stream }) => type === FRAME.windowUpdate && stream === 0).reduce((sum, { payload }) => sum + codeOf(payload), 0)
      let [stream, sent, said] = [1, 0, '']
      for (let round = 0; round < ROUNDS; round++) {
        uploads = []
        const first = stream + 2
        const bodies = (): Buffer => Buffer.concat(Array.from({ length: EACH * 4 }, (_, i) => frame(FRAME.data, 0, first + 2 * (i % EACH), PIECE)))
        client.push(Buffer.concat(Array.from({ length: EACH }, () => post((stream += 2), '/upload'))))
        await until(() => uploads.length === EACH, 'all are judged')
        await client.until(() => window() - sent >= EACH * 4 * PIECE.length)
        if (!late) {
          client.push(bodies())
          await until(() => uploads.every(({ body }) => body.readableLength === 4 * PIECE.length), 'all are held')
        }
        for (const upload of uploads) end(upload)
        if (way.endsWith('left')) client.push(Buffer.concat(Array.from({ length: EACH }, (_, i) => reset(first + 2 * i, 8))))
        if (!way.endsWith('while')) await until(() => client.over || uploads.every(({ answer }) => answer.gone), 'all are over')
        if (late) {
          await client.until(() => client.over || client.frames.filter(({ type, stream: of }) => type === FRAME.reset && of >= first).length === EACH)
          client.push(bodies()) // what a caller sends that has not read of its end
        }
        sent += EACH * 4 * PIECE.length
        listener.arrivals[0]?.answer.send(Buffer.from(`piece ${round}, `))
        said += `piece ${round}, `
      }
      await new Promise(resolve => setTimeout(resolve, LOOKED))
      listener.arrivals[0]?.answer.finish([])
      await client.first(({ type, stream: of, flags }) => type === FRAME.data && of === 1 && flags === FLAG.endStream)
      expect(Buffer.concat(client.frames.filter(({ type, stream: of }) => type === FRAME.data && of === 1).map(({ payload }) => payload)).toString()).toBe(said)
      expect([listener.limits, listener.faults, client.over]).toEqual([[], [], false])
    })
  }
})
