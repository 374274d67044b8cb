// The whole gateway behind one HTTP/2 connection that many sessions share: what happens to one session's streams is that session's affair, and what
// is refused, cut, frozen or resumed reads as HTTP/2 has it. SPEC: ENF2, ENF6, ENF10, WIRE8, WIRE15, WIRE16, WIRE22
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { FLAG, FRAME, frame, FrameClient, headers, requestFields, reset } from '../support/http2-frames.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { request, requestOnce } from '../support/raw-client.ts'
import { operate, pause, PIECE, planFor, tallyOf, type Tap, TapUpstream, until, WHOLE } from './support.ts'

let upstream: TapUpstream
let gate: TestGateway
let client: ClientHttp2Session
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, { tls: true }))
  client = connect(`https://127.0.0.1:${gate.target.port}`, { ca: gate.target.tls?.ca ?? '', servername: 'api.test' })
})
afterAll(async () => {
  client.destroy()
  await gate.stop()
  await upstream.close()
})

/** A stream of the one connection, and everything that came on it. */
class Stream {
  readonly raw: ClientHttp2Stream
  headers: IncomingHttpHeaders = {}
  readonly #got: Buffer[] = []
  bytes = 0
  closed = false

  constructor(method: string, path: string, token: string | null, more: { readonly [name: string]: string } = {}, host = 'api.test') {
    const own = token === null ? {} : { authorization: `Bearer ${token}` }
    this.raw = client.request({ ':method': method, ':path': path, ':authority': host, ...own, ...more }, { endStream: method === 'GET' })
    this.raw.on('response', headers => (this.headers = headers))
    this.raw.on('data', (chunk: Buffer) => {
      this.#got.push(chunk)
      this.bytes += chunk.length
    })
    this.raw.on('error', () => {})
    this.raw.on('close', () => (this.closed = true))
  }

  get body(): Buffer { return Buffer.concat(this.#got) }
  get status(): number { return Number(this.headers[':status'] ?? 0) }
  async over(): Promise<void> { await until(() => this.closed, 'the stream is over') }
}

let counted = 0
let token = ''
let session = ''
beforeEach(async () => {
  token = await gate.token({ sub: `caller-${++counted}` })
  session = (await gate.session(token)).id
})

async function download(place: 'base' | 'extra', of: string, length: number | null = WHOLE): Promise<{ readonly stream: Stream; readonly tap: Tap }> {
  const path = `/h${++counted}/${place}`
  const stream = new Stream('GET', path, of)
  const tap = await upstream.tap(path)
  tap.begin(length)
  tap.send()
  await until(() => stream.bytes === PIECE, 'the first piece')
  return { stream, tap }
}

async function landed({ stream, tap }: { readonly stream: Stream; readonly tap: Tap }): Promise<void> {
  tap.send(WHOLE - tap.sent)
  tap.answer.end()
  await stream.over()
  expect([stream.raw.rstCode, stream.bytes, firstMismatch(stream.body)]).toEqual([0, WHOLE, null])
}

describe('two sessions on one connection', () => {
  test('[ENF6, WIRE16] a session that ends loses its stream, and the other session\'s comes through to the byte', async () => {
    const other = await download('base', await gate.token({ sub: 'other' }))
    const mine = await download('base', token)
    expect(tallyOf(await operate(gate, session, 'terminate'))).toMatchObject({ cut: 1 })
    await mine.stream.over()
    expect(mine.stream.raw.rstCode).toBe(constants.NGHTTP2_CANCEL)
    const bytes = mine.stream.bytes
    await landed(other)
    expect([mine.stream.bytes, client.closed, client.destroyed]).toEqual([bytes, false, false])
  })

  test('[ENF6, WIRE16] narrowing cuts the stream on the elevation and leaves the one on the baseline', async () => {
    await gate.elevate(token, 'long')
    const [base, extra] = [await download('base', token), await download('extra', token)]
    await operate(gate, session, 'narrow')
    await extra.stream.over()
    expect(extra.stream.raw.rstCode).toBe(constants.NGHTTP2_CANCEL)
    await landed(base)
  })

  test('[ENF6, ENF10] a frozen stream stands still, others of the connection do not, and resumed it comes through to the byte', async () => {
    const other = await download('base', await gate.token({ sub: 'other' }))
    const mine = await download('base', token)
    await operate(gate, session, 'freeze')
    mine.tap.send()
    await landed(other)
    await pause(200)
    expect(mine.stream.bytes).toBe(PIECE)
    const refused = new Stream('GET', `/h${++counted}/base`, token)
    await refused.over()
    expect([refused.status, JSON.parse(refused.body.toString())]).toMatchObject([403, { reason: 'frozen' }])
    await operate(gate, session, 'resume', { reason: 'test' })
    await landed(mine)
  })

  test('[ENF6] an elevation whose time is up ends its stream', async () => {
    await gate.elevate(token, 'short')
    const { stream } = await download('extra', token)
    await stream.over()
    expect(stream.raw.rstCode).toBe(constants.NGHTTP2_CANCEL)
    expect((await gate.trail()).some(line => line['reason'] === 'time_up')).toBe(true)
  })
})

describe('a request over HTTP/2', () => {
  test('[WIRE8, WIRE15] is refused by the same word as over HTTP/1.1, on its stream alone', async () => {
    for (const [path, host, shown] of [['/x/extra', 'api.test', token], ['/x/base', 'api.test', null], ['/x/nothing', 'api.test', token], ['/x/base', 'unknown.test', token], ['/x/%2e%2e/base', 'api.test', token]] as const) {
      const stream = new Stream('GET', path, shown, {}, host)
      await stream.over()
      const old = await requestOnce(gate.target, request('GET', path, { host, ...(shown === null ? {} : { authorization: `Bearer ${shown}` }) }))
      const reason = (body: Buffer): unknown => (JSON.parse(body.toString()) as { reason: unknown }).reason // problem+json has one
      expect([path, host, stream.status, reason(stream.body)]).toEqual([path, host, old.status, reason(old.body)])
    }
    expect([client.closed, client.destroyed]).toEqual([false, false])
  })

  test('[WIRE22] for a host that the certificate does not speak for is misdirected', async () => {
    const stream = new Stream('GET', '/x/base', token, {}, 'elsewhere.example')
    await stream.over()
    expect([stream.status, JSON.parse(stream.body.toString())]).toMatchObject([421, { reason: 'wrong_host' }])
  })

  test('[WIRE7, WIRE15] carries an upload to the byte, and reads a refusal while it is still coming', async () => {
    const path = `/h${++counted}/base`
    const stream = new Stream('POST', path, token)
    for (let sent = 0; sent < WHOLE; sent += PIECE) stream.raw.write(patternAt(sent, PIECE))
    stream.raw.end()
    const tap = await upstream.tap(path)
    await until(() => tap.bodyEnded, 'the end of the upload')
    tap.answer.writeHead(201).end('ok')
    await stream.over()
    expect([stream.status, stream.body.toString(), tap.received, tap.wrongAt]).toEqual([201, 'ok', WHOLE, null])
    const refused = new Stream('POST', '/x/extra', token)
    refused.raw.write(Buffer.alloc(200_000))
    await refused.over()
    expect([refused.status, refused.raw.rstCode]).toEqual([403, 0])
  })

  test('[ENF2, WIRE16] that is reset before its end is no whole request upstream', async () => {
    const path = `/h${++counted}/base`
    const raw = await FrameClient.connect(gate.target)
    raw.push(Buffer.concat([headers(1, requestFields('POST', path, [['authorization', `Bearer ${token}`]], 'https'), FLAG.endHeaders), frame(FRAME.data, 0, 1, patternAt(0, PIECE))]))
    const tap = await upstream.tap(path)
    await until(() => tap.received === PIECE, 'the first piece')
    raw.push(reset(1, constants.NGHTTP2_CANCEL))
    await until(() => tap.abortedAt > 0, 'the upstream knows')
    expect(tap.bodyEnded).toBe(false)
    raw.close()
  })
})
