// Attacks on the HTTP/1.1 server side: what one request leaves behind on its connection must not touch the next, whoever sends that.
import { afterEach, describe, expect, test } from 'vitest'
import { duration } from '../../src/core/time.ts'
import type { Arrival } from '../../src/proxy/arrival.ts'
import type { ResponseHead } from '../../src/proxy/http/response-head.ts'
import { ownHead } from '../../src/proxy/own-answer.ts'
import { TestListener } from '../support/http2-listener.ts'
import { headerOf, RawClient, request } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'

let listener: TestListener | null = null
const clients: RawClient[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  listener?.stop()
  listener = null
})

async function started(onRequest: (arrival: Arrival) => void, { secure = false, idleTimeout = 5_000 } = {}): Promise<readonly [TestListener, RawClient]> {
  const { server: { cert, key }, ca } = await testAuthority()
  listener = await TestListener.start({ protocols: ['http1'], onRequest, limits: { idleTimeout: duration(idleTimeout) }, ...(secure ? { tls: { cert, key, clients: null } } : {}) })
  const client = await RawClient.connect({ port: listener.port, ...(secure ? { tls: { ca } } : {}) })
  clients.push(client)
  return [listener, client]
}

const head = (more: Partial<ResponseHead>): ResponseHead => ({ ...ownHead(200, [], null), eventStream: false, ...more })
const say = ({ answer }: Arrival, body: Buffer): void => answer.sendWhole(ownHead(200, [], body.length), body)

describe('a freeze', () => {
  test.each([['TCP', false], ['TLS', true]])('[ENF5] over %s, in the turn of an answer\'s end, holds back nothing of the next one on its connection', async (_, secure) => {
    const [of, client] = await started(arrival => {
      say(arrival, Buffer.from(arrival.target))
      if (arrival.target === '/frozen') arrival.answer.hold()
    }, { secure })
    client.push(request('GET', '/frozen'))
    expect((await client.response()).body.toString()).toBe('/frozen')
    await until(() => of.arrivals[0]?.answer.finished === true, 'its end to be told')
    client.push(request('GET', '/next'))
    expect((await client.response('GET', 2_000)).body.toString()).toBe('/next')
  })

  test('[ENF5, WIRE14] is not ended by the time that an idle caller has: what is held stays here', async () => {
    const [of, client] = await started(() => undefined, { idleTimeout: 200 })
    client.push(request('GET', '/a'))
    await until(() => of.arrivals.length === 1, 'the request')
    const answer = of.arrivals[0]?.answer
    answer?.sendHead(head({}))
    answer?.hold()
    answer?.send(Buffer.from('held'))
    answer?.finish([])
    await pause(3_500) // longer than an idle connection is kept, and than it is looked at
    expect([client.received, answer?.ended, answer?.finished, answer?.gone]).toEqual([0, true, false, false])
    answer?.release()
    expect((await client.response()).body.toString()).toBe('held')
  })
})

describe('a caller that went away', () => {
  test('[WIRE7] is not told as one that has its answer, where the system refuses its octets at once', async () => {
    const told: boolean[] = []
    const [of, client] = await started(({ answer }) => void answer.onClose(() => told.push(answer.finished)))
    client.push(request('GET', '/a'))
    await until(() => of.arrivals.length === 1, 'the request')
    client.close('reset')
    const [arrival] = of.arrivals
    if (arrival !== undefined) say(arrival, Buffer.from('nobody'))
    await until(() => told.length === 1, 'its end to be told')
    expect(told).toEqual([false])
  })
})

describe('a cut', () => {
  test('[ENF6] in the turn of an event stream\'s head drops that head: it was not written yet', async () => {
    const [, client] = await started(({ answer }) => {
      answer.sendHead(head({ eventStream: true, headers: ['content-type', 'text/event-stream'] }))
      answer.cut('narrowed', true)
    })
    client.push(request('GET', '/a'))
    expect([await client.ended, client.received]).toEqual(['reset', 0])
  })
})

describe('an answer of two readings', () => {
  test('[WIRE12] 204 with a length: nothing comes behind it on its connection', async () => {
    const [of, client] = await started(({ answer }) => {
      answer.sendHead(head({ status: 204, headers: ['content-length', '5'], length: 5 }))
      answer.finish([])
    })
    client.push(request('GET', '/a') + request('GET', '/b'))
    expect(headerOf(await client.response(), 'connection')).toBe('close')
    expect([await client.ended, of.arrivals.length]).toEqual(['fin', 1])
  })
})

describe('requests ahead of their turn', () => {
  test('[WIRE14] are counted behind a body that was read late, too', async () => {
    const [of, client] = await started(() => undefined)
    const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
    client.push(request('POST', '/a', { 'transfer-encoding': 'chunked' }) + chunk(60_000))
    await until(() => (of.arrivals[0]?.body.readableLength ?? 0) === 60_000, 'the first')
    client.push(`${chunk(10_000)}0\r\n\r\n${request('GET', '/b').repeat(40)}`)
    await until(() => (of.arrivals[0]?.body.readableLength ?? 0) === 70_000, 'more than is taken at once')
    of.arrivals[0]?.body.resume()
    await client.ended
    expect(of.limits).toEqual(['pipelined_requests'])
  })
})
