// gRPC as its own library speaks it, at both ends of the gateway: every kind of call over TLS and h2c, what goes with it, and what is not to be touched.
// SPEC: WIRE7, WIRE11, WIRE15, WIRE17
import { status as CODE } from '@grpc/grpc-js'
import { connect, constants } from 'node:http2'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CALL_KINDS, type CallKind, type ClientCall, detailsOf, type GrpcCaller } from '../support/grpc-echo.ts'
import { patternAt } from '../support/pattern.ts'
import { GrpcStage, type RawCall } from './grpc-harness.ts'
import { until } from './support.ts'

let stage: GrpcStage
let token = ''
beforeAll(async () => {
  stage = await GrpcStage.start()
  token = await stage.gate.token({ sub: 'caller' })
})
afterAll(() => stage.stop())

const LISTENERS = ['tls', 'h2c'] as const
const PIECE = 1_000

/** What a call of this kind sends, and how much of it the server gives back. */
async function through(client: GrpcCaller, kind: CallKind, bytes = PIECE, asking: Parameters<GrpcCaller['echo']>[2] = {}): Promise<{ readonly call: ClientCall; readonly sent: number }> {
  const call = client.echo(kind, token, asking)
  const messages = kind === 'Collect' || kind === 'Chat' ? 5 : 1
  for (let i = 0; i < messages; i++) call.send(bytes)
  await call.done().ended
  return { call, sent: messages * bytes }
}

describe.each(LISTENERS)('over %s', listener => {
  test.each(CALL_KINDS)('[WIRE17, WIRE15] a call of the kind %s comes through to the byte, message by message', async kind => {
    const before = stage.echo.calls.length
    const { call, sent } = await through(stage[listener], kind)
    const served = await stage.arrival(before)
    expect([call.status?.code, call.wrongAt, call.received]).toEqual([CODE.OK, null, kind === 'Pour' ? 10 * PIECE : sent])
    expect([call.messages, served.messages]).toEqual([{ One: 1, Pour: 10, Collect: 1, Chat: 5 }[kind], { One: 1, Pour: 1, Collect: 5, Chat: 5 }[kind]])
    expect([served.kind, served.received, served.wrongAt, served.cancelledAt]).toEqual([kind, sent, null, 0])
  })

  test.each(CALL_KINDS)('[WIRE11, WIRE17] metadata goes both ways with %s, in texts and in octets, and trailers come behind it', async kind => {
    const before = stage.echo.calls.length
    const octets = Buffer.from([0, 1, 254, 255])
    const { call } = await through(stage[listener], kind, PIECE, { metadata: { 'x-ask': 'a text', 'x-ask-bin': octets } })
    const { metadata } = (await stage.arrival(before)).call
    expect([metadata.get('x-ask'), metadata.get('x-ask-bin'), metadata.get('authorization')]).toEqual([['a text'], [octets], []])
    expect([call.headers.get('x-answer'), call.headers.get('x-answer-bin')]).toEqual([['a text'], [octets]])
    expect([call.status?.metadata.get('x-trailer'), call.status?.metadata.get('x-trailer-bin')]).toEqual([['behind'], [Buffer.from([0, 255, 1])]])
  })

  test('[WIRE17] the caller\'s half-close reaches the server, which goes on sending', async () => {
    const before = stage.echo.calls.length
    const call = stage[listener].echo('Chat', token, { metadata: { 'x-held': '1' } })
    call.send(PIECE)
    const served = await stage.arrival(before)
    await until(() => served.received === PIECE, 'the first message')
    expect(served.halfClosed).toBe(false)
    call.done()
    await until(() => served.halfClosed, 'the half-close')
    served.send(PIECE)
    await until(() => call.received === PIECE, 'a message behind it')
    expect([call.status, served.cancelledAt]).toEqual([null, 0])
    served.end()
    expect((await call.ended).code).toBe(CODE.OK)
  })

  test('[WIRE17] the server\'s own status and message come through as they are, behind messages or alone', async () => {
    for (const messages of [0, 2]) {
      const before = stage.echo.calls.length
      const call = stage[listener].echo('Chat', token, { metadata: { 'x-held': '1' } })
      const served = await stage.arrival(before)
      for (let i = 0; i < messages; i++) served.send(PIECE)
      served.fail(CODE.DATA_LOSS, 'käse & 100 %')
      const { code, details } = await call.ended
      expect([call.messages, code, details]).toEqual([messages, CODE.DATA_LOSS, 'käse & 100 %'])
    }
  })

  test('[WIRE7, WIRE17] a caller that cancels is cancelled at the server', async () => {
    const before = stage.echo.calls.length
    const call = stage[listener].echo('Chat', token, { metadata: { 'x-held': '1' } })
    call.send(PIECE)
    const served = await stage.arrival(before)
    call.stream.cancel()
    await until(() => served.cancelledAt > 0, 'the cancellation')
  })

  test('[WIRE17] health is served where a rule names it', async () => {
    expect(await stage[listener].health(token)).toMatchObject({ status: 1 })
  })
})

const MEGABYTE = 1_048_576
test('[WIRE7, WIRE17] great messages pass whole in both directions', async () => {
  const { call, sent } = await through(stage.tls, 'Chat', 3 * MEGABYTE)
  expect([call.status?.code, call.received, call.wrongAt, sent]).toEqual([CODE.OK, sent, null, 15 * MEGABYTE])
})

test('[WIRE7, WIRE17] a caller that reads nothing holds the server up, and then gets every byte', async () => {
  const before = stage.echo.calls.length
  const call = stage.tls.echo('Pour', token, { metadata: { 'x-held': '1' }, reads: false })
  call.send(1)
  call.done()
  const served = await stage.arrival(before)
  let blocked = 0
  for (let i = 0; i < 160 && blocked === 0; i++) {
    if (served.send(MEGABYTE / 4)) continue
    const drained = new Promise(resolve => served.events.once('drain', resolve))
    if ((await Promise.race([drained, new Promise(resolve => setTimeout(resolve, 500, 'held'))])) === 'held') blocked = served.sent
  }
  expect(blocked).toBeGreaterThan(0)
  expect(blocked).toBeLessThan(12 * MEGABYTE)
  served.end()
  call.stream.resume()
  expect((await call.ended).code).toBe(CODE.OK)
  await until(() => call.received === served.sent, 'every byte')
  expect(call.wrongAt).toBeNull()
})

const framed = (bytes: Buffer, flag: number): Buffer => Buffer.concat([Buffer.from([flag]), Buffer.from(Uint32Array.of(bytes.length).buffer).swap32(), bytes])
/** `Piece` of these bytes. */
const piece = (data: Buffer): Buffer => Buffer.concat([Buffer.from([10, ...varint(data.length)]), data])
const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))])

async function rawCall(before: number): Promise<RawCall> {
  await until(() => stage.raw.calls.length > before, 'the call at the raw upstream')
  return stage.raw.calls[before] as RawCall // waited for
}

test('[WIRE17] compressed messages pass as they are, both ways', async () => {
  const before = stage.raw.calls.length
  const data = patternAt(0, 5_000)
  stage.raw.encoding = 'gzip'
  stage.raw.answer = framed(gzipSync(piece(data)), 1)
  const client = stage.caller('main', { 'grpc.default_compression_algorithm': 2 }, 'localhost')
  const call = client.echo('One', token)
  call.send(5_000)
  expect((await call.done().ended).code).toBe(CODE.OK)
  client.close()
  const { headers, body } = await rawCall(before)
  const bytes = Buffer.concat(body)
  expect([headers['grpc-encoding'], bytes[0], bytes.readUInt32BE(1)]).toEqual(['gzip', 1, bytes.length - 5])
  expect(gunzipSync(bytes.subarray(5)).equals(piece(data))).toBe(true)
  expect([call.received, call.wrongAt]).toEqual([5_000, null])
})

test('[WIRE17] the bytes of messages are nobody\'s business: what is no message passes too', async () => {
  const before = stage.raw.calls.length
  stage.raw.encoding = 'identity'
  stage.raw.answer = Buffer.from([7, 255, 255, 255, 255, 1, 2])
  const { body } = await rawAsk('/narrowgate.test.Echo/One', {}, Buffer.from([9, 0, 0]))
  expect([body.equals(stage.raw.answer), Buffer.concat((await rawCall(before)).body)]).toEqual([true, Buffer.from([9, 0, 0])])
})

test('[WIRE12, WIRE17] an upstream that breaks off is told as UNAVAILABLE, before its answer and in the middle of it', async () => {
  const client = stage.caller('main', {}, 'localhost')
  stage.raw.encoding = 'identity'
  stage.raw.answer = Buffer.concat([framed(piece(patternAt(0, 100)), 0), framed(piece(patternAt(100, 100)), 0).subarray(0, 50)])
  try {
    for (const does of ['fails', 'stays'] as const) {
      stage.raw.does = does
      const before = stage.raw.calls.length
      const call = client.echo('Chat', token)
      call.send(1)
      call.done()
      if (does === 'stays') {
        await until(() => call.messages === 1, 'the whole message')
        stage.raw.calls[before]?.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      }
      const status = await call.ended
      expect([does, status.code, detailsOf(status)?.reason, call.wrongAt]).toEqual([does, CODE.UNAVAILABLE, 'upstream_reset', null])
    }
  } finally {
    stage.raw.does = 'answers'
    client.close()
  }
})

/** A call below gRPC's libraries, through TLS, to the upstream below them. */
async function rawAsk(path: string, more: { readonly [name: string]: string }, sent = Buffer.alloc(5), shown = token, host = 'localhost'): Promise<{ readonly headers: NodeJS.Dict<unknown>; readonly body: Buffer }> {
  const session = connect(`https://127.0.0.1:${stage.portOf('main')}`, { ca: stage.gate.target.tls?.ca ?? '', servername: host })
  try {
    const stream = session.request({ ':method': 'POST', ':path': path, ':authority': host, 'content-type': 'application/grpc', te: 'trailers', authorization: `Bearer ${shown}`, ...more })
    const body: Buffer[] = []
    let headers: NodeJS.Dict<unknown> = {}
    stream.on('response', seen => (headers = seen)).on('data', (chunk: Buffer) => body.push(chunk)).end(sent)
    await new Promise((resolve, reject) => stream.on('close', resolve).on('error', reject))
    return { headers, body: Buffer.concat(body) }
  } finally {
    session.destroy()
  }
}

describe('the deadline of a call', () => {
  let counted = 0
  async function passed(path: string, timeout: string | null, profile: string | null): Promise<string | undefined> {
    const shown = await stage.gate.token({ sub: `deadline-${++counted}` })
    if (profile !== null) await stage.gate.elevate(shown, profile)
    const before = stage.raw.calls.length
    await rawAsk(path, timeout === null ? {} : { 'grpc-timeout': timeout }, Buffer.alloc(5), shown)
    return (await rawCall(before)).headers['grpc-timeout'] as string | undefined // one line, or none
  }

  test('[WIRE17] passes unchanged on the baseline, and none is made up', async () => {
    for (const timeout of ['99999999H', '7S', '250m', '5000000u']) expect(await passed('/narrowgate.test.Echo/One', timeout, null)).toBe(timeout)
    expect(await passed('/narrowgate.test.Echo/One', null, null)).toBeUndefined()
  })

  test('[WIRE17] passes unchanged on an elevation that can be extended', async () => {
    expect(await passed('/narrowgate.test.Vault/One', '2H', 'long')).toBe('2H')
    expect(await passed('/narrowgate.test.Vault/One', null, 'long')).toBeUndefined()
  })

  test('[WIRE17] is lowered to what is left of an elevation that cannot be, and is there where the caller set none', async () => {
    for (const asked of ['2H', null]) {
      const timeout = await passed('/narrowgate.test.Vault/One', asked, 'final')
      expect(timeout).toMatch(/^\d+m$/)
      expect(parseInt(timeout ?? '', 10)).toBeGreaterThan(290_000)
      expect(parseInt(timeout ?? '', 10)).toBeLessThanOrEqual(300_000)
    }
    expect(await passed('/narrowgate.test.Vault/One', '9S', 'final')).toBe('9S')
  })

  test('[WIRE17] ends the call at the caller, and cancels it at the server', async () => {
    const before = stage.echo.calls.length
    const call = stage.tls.echo('Chat', token, { metadata: { 'x-held': '1' }, deadline: 400 })
    const served = await stage.arrival(before)
    expect((await call.ended).code).toBe(CODE.DEADLINE_EXCEEDED)
    await until(() => served.cancelledAt > 0, 'the cancellation')
  })
})

test('[WIRE17] reflection and health are methods like any other: refused where no rule names them', async () => {
  const bare = stage.caller('h2c', {}, 'bare.test')
  const reflection = await stage.tls.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', token).done().ended
  expect([reflection.code, detailsOf(reflection)?.reason]).toEqual([CODE.PERMISSION_DENIED, 'no_rule'])
  const watch = await stage.tls.call('/grpc.health.v1.Health/Watch', token).done().ended
  expect([watch.code, detailsOf(watch)?.reason]).toEqual([CODE.PERMISSION_DENIED, 'no_rule'])
  expect(await bare.health(token)).toMatchObject({ code: CODE.UNIMPLEMENTED })
  bare.close()
})
