// The listener's HTTP/1.1 connections by themselves, with a plain function in place of the pipeline: what they take, keep, answer and end, and when.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { Arrival } from '../../src/proxy/arrival.ts'
import type { Http1Arrival } from '../../src/proxy/http1/http1-arrival.ts'
import type { ResponseHead } from '../../src/proxy/http/response-head.ts'
import { ownHead } from '../../src/proxy/own-answer.ts'
import { refusalText } from '../../src/proxy/refusal.ts'
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

type Plan = NonNullable<Parameters<typeof TestListener.start>[0]>

async function started(plan: Plan = {}): Promise<TestListener> {
  listener = await TestListener.start({ protocols: ['http1'], ...plan })
  return listener
}
async function connected(of: TestListener, ca: string | null = null): Promise<RawClient> {
  const client = await RawClient.connect({ port: of.port, ...(ca === null ? {} : { tls: { ca, servername: 'api.test' } }) })
  clients.push(client)
  return client
}

const say = ({ answer }: Arrival, text: string): void => answer.sendWhole(ownHead(200, ['content-type', 'text/plain'], Buffer.byteLength(text)), Buffer.from(text))
const echo = (arrival: Arrival): void => say(arrival, arrival.target)
const head = (more: Partial<ResponseHead>): ResponseHead => ({ ...ownHead(200, [], null), eventStream: false, ...more })
const socketOf = (arrival: Arrival | undefined): Socket => (arrival as Http1Arrival).socket // this listener makes no others
const arrivals = async (of: TestListener, count: number): Promise<readonly Arrival[]> => {
  await until(() => of.arrivals.length >= count, `${count} arrivals`)
  return of.arrivals
}
const reasonIn = ({ status, body }: { readonly status: number; readonly body: Buffer }): unknown => [status, (JSON.parse(body.toString()) as { readonly reason: string }).reason]
const STILL = 300

describe('what comes ahead of its turn', () => {
  test('[WIRE14] is read up to about one head and waits in the systems beyond that, whatever it is', async () => {
    const of = await started({ onRequest: () => undefined })
    const client = await connected(of)
    client.push(request('GET', '/first'))
    const [first] = await arrivals(of, 1)
    client.push(request('POST', '/second', { 'content-length': '33554432' }))
    for (let i = 0; i < 256; i++) client.push(Buffer.alloc(65_536, 'x'))
    let before = -1
    await until(() => before === (before = socketOf(first).bytesRead) && before > 0, 'what is read to stand still', 10_000, 100)
    expect(socketOf(first).bytesRead).toBeLessThan(262_144)
    expect(of.arrivals).toHaveLength(1)
  })

  test('[WIRE7] is judged when its turn comes: one that is malformed does not harm the answer before it', async () => {
    const of = await started({ onRequest: () => undefined })
    const client = await connected(of)
    client.push(`${request('GET', '/first')}GET /second HTTP/1.1\nHost: api.test\r\n\r\n`)
    const [first] = await arrivals(of, 1)
    await pause(STILL)
    expect([client.received, of.faults]).toEqual([0, []])
    if (first !== undefined) say(first, 'whole')
    const answers = [await client.response(), await client.response()]
    expect(answers.map(({ status, complete }) => [status, complete])).toEqual([[200, true], [400, true]])
    expect([await client.ended, of.arrivals.length, of.faults]).toEqual(['fin', 1, ['http1 bad_request 127.0.0.1']])
  })

  test('[WIRE7] goes nowhere behind an answer that ends the connection', async () => {
    const of = await started({ onRequest: echo })
    const client = await connected(of)
    client.push(request('GET', '/first', { connection: 'close' }) + request('GET', '/second'))
    expect(headerOf(await client.response(), 'connection')).toBe('close')
    await client.ended
    expect(of.arrivals.map(({ target }) => target)).toEqual(['/first'])
  })

  test('[WIRE7] is served in order, however it is cut', async () => {
    const of = await started({ onRequest: arrival => void setImmediate(echo, arrival) })
    const client = await connected(of)
    const bytes = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? request('POST', `/${i}`, {}, 'x'.repeat(100)) : request('GET', `/${i}`))).join('')
    for (let at = 0; at < bytes.length; at += 37) {
      client.push(bytes.slice(at, at + 37))
      await new Promise(setImmediate)
    }
    for (let i = 0; i < 20; i++) expect((await client.response()).body.toString()).toBe(`/${i}`)
  })
})

describe('heads', () => {
  test('[WIRE3] empty lines in front are passed over, and half of one is none', async () => {
    const of = await started({ onRequest: echo })
    const client = await connected(of)
    client.push(`\r\n\r\n${request('GET', '/a')}\r\n${request('GET', '/b')}`)
    expect([(await client.response()).status, (await client.response()).status]).toEqual([200, 200])
    client.push(`\n${request('GET', '/c')}`)
    expect(reasonIn(await client.response())).toEqual([400, 'bad_request'])
  })

  test('[WIRE14] a second head that stops half way is timed out like a first one', async () => {
    const of = await started({ onRequest: echo, limits: { headersTimeout: 300 as never } })
    const client = await connected(of)
    client.push(request('GET', '/a'))
    expect((await client.response()).status).toBe(200)
    client.push('GET /b HTTP/1.1\r\nHo')
    expect(reasonIn(await client.response())).toEqual([408, 'request_timeout'])
    expect(await client.ended).toBe('fin')
  })

  test('[WIRE7] HTTP/1.0 goes on where it asks for that and the answer has a length', async () => {
    const of = await started({ onRequest: arrival => (arrival.target === '/long' ? arrival.answer.sendHead(head({})) : echo(arrival)) })
    const client = await connected(of)
    const old = (path: string, line = ''): string => `GET ${path} HTTP/1.0\r\nHost: api.test\r\n${line}\r\n`
    client.push(old('/a', 'Connection: keep-alive\r\n'))
    expect(headerOf(await client.response(), 'connection')).toBe('keep-alive')
    client.push(old('/b'))
    expect(headerOf(await client.response(), 'connection')).toBe('close')
    expect(await client.ended).toBe('fin')
    const other = await connected(of)
    other.push(old('/long', 'Connection: keep-alive\r\n'))
    const { headers } = await other.head()
    expect([headerOf({ headers }, 'connection'), headerOf({ headers }, 'transfer-encoding')]).toEqual(['close', null])
  })
})

describe('bodies', () => {
  const post = (framing: string): string => request('POST', '/up', { 'transfer-encoding': 'chunked' }) + framing

  test('[WIRE3] broken in the read that brings the head, the request goes nowhere', async () => {
    const of = await started({ onRequest: () => undefined })
    const client = await connected(of)
    client.push(post('5\r\nhello\r\nx\r\n'))
    expect(reasonIn(await client.response())).toEqual([400, 'bad_request'])
    expect([await client.ended, of.arrivals.length]).toEqual(['fin', 0])
  })

  test('[WIRE3, WIRE8] broken later, it is refused where nothing was said, cut where something was, and told as gone in both', async () => {
    const told: string[] = []
    const of = await started({
      onRequest: arrival => {
        arrival.answer.onClose(() => told.push(`${arrival.answer.status} ${String(arrival.answer.finished)}`))
        arrival.body.resume().once('error', () => told.push('body'))
        if (of.arrivals.length === 2) arrival.answer.sendHead(head({ length: null }))
      },
    })
    const [unsaid, said] = [await connected(of), await connected(of)]
    unsaid.push(post('5\r\nhello\r\n'))
    await arrivals(of, 1)
    unsaid.push('nonsense\r\n')
    expect(reasonIn(await unsaid.response())).toEqual([400, 'bad_request'])
    said.push(post('5\r\nhello\r\n'))
    await said.head()
    said.push('nonsense\r\n')
    expect((await said.response()).complete).toBe(false)
    expect(told).toEqual(['0 false', 'body', '200 false', 'body'])
  })

  test('[WIRE7] nobody reads are not read from the caller either', async () => {
    const of = await started({ onRequest: () => undefined })
    const client = await connected(of)
    client.push(request('POST', '/up', { 'content-length': '33554432' }))
    for (let i = 0; i < 256; i++) client.push(Buffer.alloc(65_536, 'x'))
    const [arrival] = await arrivals(of, 1)
    let before = -1
    await until(() => before === (before = socketOf(arrival).bytesRead) && before > 0, 'what is read to stand still', 10_000, 100)
    expect(socketOf(arrival).bytesRead).toBeLessThan(524_288)
    let bytes = 0
    arrival?.body.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await until(() => bytes === 256 * 65_536, 'all of it to come')
  })

  test('[WIRE7] that an answer did not wait for are read to their end, and the connection goes on', async () => {
    const of = await started({ onRequest: echo })
    const client = await connected(of)
    client.push(request('POST', '/early', { 'content-length': '1000000' }))
    const early = await client.response()
    expect([early.status, headerOf(early, 'connection')]).toEqual([200, 'keep-alive'])
    client.push(Buffer.alloc(1_000_000, 'x'))
    client.push(request('GET', '/next'))
    expect((await client.response()).body.toString()).toBe('/next')
  })

  test('[WIRE8] a caller that waits for 100 and is answered without it keeps no connection: its body may still come', async () => {
    const of = await started({ onRequest: echo })
    const client = await connected(of)
    client.push(request('POST', '/a', { expect: '100-continue', 'content-length': '5' }))
    expect(headerOf(await client.response(), 'connection')).toBe('close')
    expect(await client.ended).toBe('fin')
  })
})

describe('answers', () => {
  const HEADS: readonly (readonly [what: string, head: ResponseHead])[] = [
    ['a line end in a value', head({ headers: ['x-a', 'b\r\nset-cookie: c=d'] })], ['a bare LF', head({ headers: ['x-a', 'b\nc'] })], ['a NUL', head({ headers: ['x-a', 'b\0'] })],
    ['what becomes a line end as latin-1', head({ headers: ['x-a', 'b\u010d\u010ac'] })], ['a name that is none', head({ headers: ['x a', 'b'] })], ['a line end in a name', head({ headers: ['x\r\na', 'b'] })],
    ['a line end in the phrase', head({ text: 'OK\r\nx-a: b' })], ['a transfer coding', head({ headers: ['Transfer-Encoding', 'gzip'] })], ['two lengths', head({ headers: ['content-length', '2', 'Content-Length', '2'], length: 2 })],
    ['a length that is none', head({ headers: ['content-length', '2x'], length: 2 })], ['a Connection of its own', head({ headers: ['connection', 'x-a'] })],
  ]
  test.each(HEADS)('[WIRE11, WIRE12] with %s are never written: the caller sees the connection end', async (_, broken) => {
    const of = await started({ onRequest: ({ answer }) => answer.sendWhole(broken, Buffer.from('ok')) })
    const client = await connected(of)
    client.push(request('GET', '/a'))
    await client.ended
    expect(client.received).toBe(0)
  })

  const sized = head({ headers: ['content-length', '4'], length: 4 })
  const LENGTHS: readonly (readonly [what: string, (arrival: Arrival) => void])[] = [
    ['longer', ({ answer }) => (answer.sendHead(sized), answer.send(Buffer.from('12')), answer.send(Buffer.from('345')), answer.finish([]))],
    ['shorter', ({ answer }) => (answer.sendHead(sized), answer.send(Buffer.from('12')), answer.finish([]))],
    ['longer, in one', ({ answer }) => answer.sendWhole(sized, Buffer.from('12345'))],
  ]
  test.each(LENGTHS)('[WIRE12] whose body is %s than announced are never whole, and nothing comes behind them', async (_, act) => {
    const finished: boolean[] = []
    const of = await started({ onRequest: arrival => {
      arrival.answer.onClose(() => finished.push(arrival.answer.finished))
      act(arrival)
    } })
    const client = await connected(of)
    client.push(request('GET', '/a') + request('GET', '/b'))
    await client.ended
    expect([client.bytes().includes('1234'), of.arrivals.length, finished]).toEqual([false, 1, [false]])
  })

  test('[WIRE11] to HEAD, 204 and 304 have no body, and the connection goes on', async () => {
    const of = await started({
      onRequest: ({ target, answer }) => {
        answer.sendHead(head({ status: Number(target.slice(1)), headers: ['etag', '"a"'] }))
        answer.send(Buffer.from('nobody'))
        answer.finish([])
      },
    })
    const client = await connected(of)
    for (const [method, status] of [['HEAD', 200], ['GET', 204], ['GET', 304]] as const) {
      client.push(request(method, `/${status}`))
      const answer = await client.response(method)
      expect([answer.status, answer.body.length, headerOf(answer, 'transfer-encoding'), headerOf(answer, 'connection')]).toEqual([status, 0, null, 'keep-alive'])
    }
  })

  test('[WIRE7] say how long the connection is kept, and when they were made, unless they say so themselves', async () => {
    const of = await started({ onRequest: ({ target, answer }) => answer.sendWhole(head({ headers: ['content-length', '2', ...(target === '/own' ? ['Date', 'Thu, 01 Jan 1970 00:00:00 GMT'] : [])] }), Buffer.from('ok')) })
    const client = await connected(of)
    client.push(request('GET', '/a'))
    const answer = await client.response()
    expect(headerOf(answer, 'keep-alive')).toBe('timeout=5')
    expect(Math.abs(Date.parse(headerOf(answer, 'date') ?? '') - Date.now())).toBeLessThan(5_000)
    client.push(request('GET', '/own'))
    expect((await client.response()).headers.filter(([name]) => name.toLowerCase() === 'date').map(([, value]) => value)).toEqual(['Thu, 01 Jan 1970 00:00:00 GMT'])
  })

  test.each([['TCP', false], ['TLS', true]])('[ENF6] over %s they are finished only when the system has everything, and held they are not', async (_, secure) => {
    const { server: { cert, key }, ca } = await testAuthority()
    const of = await started({ onRequest: () => undefined, ...(secure ? { tls: { cert, key, clients: null } } : {}) })
    const client = await connected(of, secure ? ca : null)
    client.push(request('GET', '/a'))
    const [arrival] = await arrivals(of, 1)
    const answer = (arrival as Http1Arrival).answer // this listener makes no others
    let closed = 0
    answer.onClose(() => closed++)
    client.pause()
    answer.sendHead(head({}))
    const big = Buffer.alloc(16 * 1024 * 1024, 'x')
    answer.send(big)
    answer.finish([])
    await pause(STILL)
    expect([answer.ended, answer.finished, answer.full, closed]).toEqual([true, false, true, 0])
    client.resume()
    expect((await client.response()).body.length).toBe(big.length)
    await until(() => closed === 1, 'the end to be told')
    expect([answer.finished, answer.gone]).toEqual([true, true])
    client.push(request('GET', '/b'))
    const [, held] = await arrivals(of, 2)
    held?.answer.hold()
    held?.answer.sendHead(head({}))
    held?.answer.send(Buffer.from('held'))
    held?.answer.finish([])
    const mark = client.mark()
    await pause(STILL)
    expect([held?.answer.ended, held?.answer.finished, client.receivedSince(mark)]).toEqual([true, false, 0])
    held?.answer.release()
    expect((await client.response()).body.toString()).toBe('held')
  })
})

describe('ends', () => {
  test('[WIRE7] a caller that half-closes gets what is on its way, and what is not answered yet is given up', async () => {
    const told: string[] = []
    const of = await started({
      onRequest: arrival => {
        arrival.answer.onClose(() => told.push(`${arrival.target} ${String(arrival.answer.finished)}`))
        if (arrival.target === '/answered') arrival.answer.sendWhole(ownHead(200, [], 8_000_000), Buffer.alloc(8_000_000))
      },
    })
    const [answered, waiting] = [await connected(of), await connected(of)]
    answered.pause()
    answered.push(request('GET', '/answered'))
    await arrivals(of, 1)
    answered.end()
    await pause(STILL)
    answered.resume()
    expect((await answered.response()).body.length).toBe(8_000_000)
    waiting.push(request('GET', '/waiting'))
    await arrivals(of, 2)
    waiting.end()
    await until(() => told.length === 2, 'both to be over')
    expect(told).toEqual(['/answered true', '/waiting false'])
  })

  test('[ADM9] a stop ends idle connections at once, the others behind their answers', async () => {
    const of = await started({ onRequest: arrival => (arrival.target === '/idle' ? echo(arrival) : undefined) })
    const [idle, busy, begun] = [await connected(of), await connected(of), await connected(of)]
    idle.push(request('GET', '/idle'))
    await idle.response()
    busy.push(request('GET', '/busy'))
    begun.push(request('GET', '/begun'))
    const [, first, second] = await arrivals(of, 3)
    const [waiting, streaming] = first?.target === '/busy' ? [first, second] : [second, first]
    streaming?.answer.sendHead(head({}))
    of.listener.stop()
    expect(await idle.ended).toBe('fin')
    if (waiting !== undefined) echo(waiting)
    expect(headerOf(await busy.response(), 'connection')).toBe('close')
    expect(await busy.ended).toBe('fin')
    streaming?.answer.finish([])
    expect((await begun.response()).complete).toBe(true)
    expect(await begun.ended).toBe('fin')
  })

  test('[WIRE14] an answer whose end nobody takes is not waited for longer than an idle connection', async () => {
    const finished: boolean[] = []
    const of = await started({
      limits: { idleTimeout: 300 as never },
      onRequest: ({ answer }) => {
        answer.onClose(() => finished.push(answer.finished))
        answer.sendWhole(ownHead(200, [], 16_000_000), Buffer.alloc(16_000_000))
      },
    })
    const client = await connected(of)
    client.pause()
    client.push(request('GET', '/a'))
    await until(() => finished.length === 1, 'it to be over', 12_000)
    expect(finished).toEqual([false])
  })

  test('[WIRE14] what a caller sends behind the last answer is read for a while and heard by nobody, so that the answer arrives', async () => {
    const of = await started({ onRequest: arrival => arrival.answer.refuse(refusalText('bad_request'), 0, true) })
    const client = await connected(of)
    client.pause()
    client.push(request('GET', '/a'))
    const [arrival] = await arrivals(of, 1)
    for (let i = 0; i < 3; i++) await client.send(Buffer.alloc(65_536, 'x'))
    client.resume()
    expect(reasonIn(await client.response())).toEqual([400, 'bad_request'])
    const socket = socketOf(arrival)
    if (!socket.destroyed) await once(socket, 'close')
    expect(of.arrivals).toHaveLength(1)
  })
})

describe('upgrades', () => {
  const SWITCH = { connection: 'Upgrade', upgrade: 'WebSocket' }

  test('[WIRE18] a caller that leaves during the handshake is noticed at once', async () => {
    const of = await started({ onRequest: () => undefined })
    const client = await connected(of)
    client.push(request('GET', '/ws', SWITCH))
    const [arrival] = await arrivals(of, 1)
    let told = 0
    arrival?.answer.onClose(() => told++)
    client.end()
    await until(() => told === 1, 'it to be told', STILL)
    expect(arrival?.takeOver([])).toBe(null)
  })

  test('[WIRE18, WIRE22] interim answers come before the switch, and what came behind the head is handed over with the socket', async () => {
    const of = await started({
      onRequest: arrival => {
        arrival.answer.inform(103, ['link', '</a>'])
        const caller = arrival.takeOver(['sec-websocket-accept', 'x'])
        caller?.socket.on('data', (chunk: Buffer) => void caller.socket.write(chunk))
        if (caller !== null) caller.socket.write(caller.head)
      },
    })
    const client = await connected(of)
    client.push(`${request('GET', '/ws', SWITCH)}\x81\x01a`)
    const early = Buffer.from('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\n\r\n\x81\x01a', 'latin1')
    await client.until(() => client.received === early.length)
    client.push('more')
    await client.until(() => client.received === early.length + 4)
    expect(client.bytes().toString('latin1')).toBe(`${early.toString('latin1')}more`)
  })

  test('[WIRE3] of a request with a body, or to anything else, nothing is switched', async () => {
    const taken: unknown[] = []
    const of = await started({ onRequest: arrival => {
      taken.push(arrival.takeOver([]))
      echo(arrival)
    } })
    const client = await connected(of)
    client.push(request('GET', '/h2c', { connection: 'upgrade', upgrade: 'h2c' }))
    expect((await client.response()).status).toBe(200)
    client.push(request('GET', '/lone', { upgrade: 'websocket' }))
    expect((await client.response()).status).toBe(200)
    client.push(request('GET', '/body', { ...SWITCH, 'content-length': '1' }, 'x'))
    expect(reasonIn(await client.response())).toEqual([400, 'bad_request'])
    expect(taken).toEqual([null, null])
  })
})
