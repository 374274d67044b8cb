// HTTP/1.1 through the gateway as callers and upstreams see it: connections kept and shared in turn, bodies byte for byte in both directions with
// back-pressure, heads without bodies, trailers, interim answers, and what an upstream is told about the caller. SPEC: WIRE5-WIRE7, WIRE10-WIRE14
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { headerOf, RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { exchangesOf, isWhole, operate, pause, type Tap, TapUpstream, until } from './support.ts'

const SECRET = 'upstream-secret-7f3a'
const MIB = 1024 * 1024

let folder: string
let taps: TapUpstream
let gate: TestGateway
let token: string
let authorization: string
const clients: RawClient[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ng-http-'))
  writeFileSync(join(folder, 'secret'), SECRET)
  taps = await TapUpstream.start()
  gate = await TestGateway.start({
    routes: `
- name: taps
  match: { host: taps.test }
  upstream: { url: "${taps.origin}", credential: { header: x-api-secret, valueFile: ${folder}/secret } }
  rules: [{ allow: {}, scope: base:read }]
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: ["/echo/extra"] }, scope: extra:use }
    - { allow: {}, scope: base:read }`,
    elevations: 'long: { adds: [extra:use], for: 10m, purpose: [ticket] }',
    more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
  })
})
afterAll(async () => {
  await gate.stop()
  await taps.close()
  rmSync(folder, { recursive: true, force: true })
})
afterEach(() => { for (const client of clients.splice(0)) client.close() })

async function connected(): Promise<RawClient> {
  token = await gate.token()
  authorization = `Bearer ${token}`
  const client = await RawClient.connect(gate.target)
  clients.push(client)
  return client
}

const chunked = (body: Buffer, size: number): Buffer => {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size)
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

describe('connections', () => {
  test('[WIRE7] one connection serves many requests, one after the other, and so does the one upstream', async () => {
    const client = await connected()
    const before = gate.upstream.connections.length
    for (let i = 0; i < 5; i++) {
      client.push(request(i % 2 === 0 ? 'GET' : 'POST', `/echo/kept-${i}`, { authorization }, i % 2 === 0 ? '' : 'body'))
      const { status, complete, body } = await client.response()
      expect([status, complete]).toEqual([200, true])
      expect(JSON.parse(body.toString())).toMatchObject({ url: `/echo/kept-${i}`, body: i % 2 === 0 ? '' : 'body' })
    }
    expect(gate.upstream.connections.length - before).toBeLessThanOrEqual(1)
  })

  test('[DEC1][WIRE7] a pipelined request is judged on its own, when the one before it has been answered', async () => {
    const client = await connected()
    const elevation = await gate.elevate(token, 'long', 'T-1')
    const extra = request('GET', '/echo/extra', { authorization, 'narrowgate-ticket': 'T-1' })
    client.push(request('GET', '/gate/pipelined', { authorization }) + extra + request('GET', '/echo/third', { authorization }))
    await gate.upstream.request('/gate/pipelined')
    await operate(gate, (await gate.session(token)).id, 'narrow', { elevations: [elevation] })
    gate.upstream.release('pipelined')
    const answers = [await client.response(), await client.response(), await client.response()]
    expect(answers.map(({ status, complete }) => [status, complete])).toEqual([[200, true], [403, true], [200, true]])
    expect(answers.map(({ body }) => JSON.parse(body.toString()))).toMatchObject([{ released: 'pipelined' }, { reason: 'narrowed' }, { url: '/echo/third' }])
    expect(gate.upstream.requests.some(({ url }) => url === '/echo/extra')).toBe(false)
  })

  test('[WIRE7] a pipelined request with a body waits for its turn and keeps its bytes', async () => {
    const client = await connected()
    const body = patternAt(0, 200_000).toString('latin1')
    client.push(request('GET', '/gate/first', { authorization }) + request('POST', '/echo/second', { authorization }, body))
    await gate.upstream.request('/gate/first')
    gate.upstream.release('first')
    expect((await client.response()).status).toBe(200)
    expect((JSON.parse((await client.response()).body.toString()) as { readonly body: string }).body === body).toBe(true)
  })

  test('[WIRE7] a caller of HTTP/1.0 gets the body until the connection ends', async () => {
    const client = await connected()
    client.push(`GET /download/100000?chunked HTTP/1.0\r\nHost: api.test\r\nAuthorization: ${authorization}\r\n\r\n`)
    const response = await client.response()
    expect([response.status, response.framing]).toEqual([200, 'until close'])
    isWhole(response, 100_000)
  })
})

describe('bodies', () => {
  const sizes = [0, 1, 65_535, 65_536, 3 * MIB + 1]

  async function sent(client: RawClient, path: string, framing: 'sized' | 'chunked', size: number): Promise<Tap> {
    const body = patternAt(0, size)
    const headers = { host: 'taps.test', authorization, ...(framing === 'sized' ? { 'content-length': String(size) } : { 'transfer-encoding': 'chunked' }) }
    client.push(request('PUT', path, headers))
    client.push(framing === 'sized' ? body : chunked(body, 50_001))
    const tap = await taps.tap(path)
    await until(() => tap.bodyEnded, 'the end of the request body')
    return tap
  }

  test.each(['sized', 'chunked'] as const)('[WIRE7][WIRE11] %s both ways, of every size, byte for byte and framed as they came', async framing => {
    const client = await connected()
    for (const size of sizes) {
      const path = `/bodies/${framing}/${size}`
      const tap = await sent(client, path, framing, size)
      expect([tap.received, tap.wrongAt]).toEqual([size, null])
      if (size > 0) expect([tap.message.headers['content-length'], tap.message.headers['transfer-encoding']]).toEqual(framing === 'sized' ? [String(size), undefined] : [undefined, 'chunked'])
      tap.answer.writeHead(200, framing === 'sized' ? { 'content-length': size } : {})
      tap.answer.end(patternAt(0, size))
      const response = await client.response('PUT')
      expect([response.status, response.framing]).toEqual([200, framing])
      isWhole(response, size)
    }
  })

  test('[WIRE7] an upstream that takes nothing stops the caller: a few MiB are read, not the whole upload', async () => {
    const client = await connected()
    const size = 48 * MIB
    client.push(request('POST', '/stall/held', { authorization, 'content-length': String(size) }))
    const all = client.send(patternAt(0, size))
    const recorded = await gate.upstream.request('/stall/held')
    const [exchange] = exchangesOf(gate, (await gate.session(token)).id)
    let before = -1
    await until(() => before === (before = exchange?.bytesUp ?? 0) && before > 0, 'the upload to stand still', 20_000, 200)
    expect(before).toBeLessThan(12 * MIB)
    gate.upstream.release('held')
    await all
    const { status, complete } = await client.response('POST', 30_000)
    expect([status, complete, recorded.bodyBytes, firstMismatch(recorded.body())]).toEqual([200, true, size, null])
  })

  test('[WIRE7] a caller that takes nothing stops the upstream: a few MiB are read, not the whole download', async () => {
    const client = await connected()
    const size = 96 * MIB
    client.push(request('GET', '/slow', { host: 'taps.test', authorization }))
    const tap = await taps.tap('/slow')
    tap.begin(size)
    client.pause()
    const sending = (): void => {
      while (tap.sent < size && tap.send()) continue
      if (tap.sent < size) tap.answer.once('drain', sending)
      else tap.answer.end()
    }
    sending()
    const [exchange] = exchangesOf(gate, (await gate.session(token)).id)
    let before = -1
    await until(() => before === (before = exchange?.bytesDown ?? 0) && before > 0, 'the download to stand still', 20_000, 200)
    expect(before).toBeLessThan(12 * MIB)
    expect(tap.sent).toBeLessThan(size)
    client.resume()
    isWhole(await client.response('GET', 30_000), size)
  })

  test('[WIRE7] an answer that comes before the whole upload is relayed at once', async () => {
    const client = await connected()
    client.push(request('POST', '/early', { host: 'taps.test', authorization, 'content-length': String(MIB) }))
    client.push(patternAt(0, 1_000))
    const tap = await taps.tap('/early')
    tap.answer.writeHead(409, { 'content-length': 5 }).end('early')
    const { status, complete, body } = await client.response('POST')
    expect([status, complete, body.toString()]).toEqual([409, true, 'early'])
  })
})

describe('heads', () => {
  const quiet: readonly (readonly [method: string, path: string, status: number])[] = [['HEAD', '/download/4096', 200], ['GET', '/status/204', 204], ['GET', '/status/304', 304], ['HEAD', '/status/304', 304]]

  test.each(quiet)('[WIRE11] %s %s: no body, and the connection goes on', async (method, path, status) => {
    const client = await connected()
    client.push(request(method, path, { authorization }))
    const response = await client.response(method)
    expect([response.status, response.body.length, response.framing]).toEqual([status, 0, 'none'])
    if (method === 'HEAD' && status === 200) expect(headerOf(response, 'content-length')).toBe('4096')
    if (status === 304) expect(headerOf(response, 'etag')).toBe('"e"')
    client.push(request('GET', '/echo/after', { authorization }))
    expect((await client.response()).status).toBe(200)
  })

  test('[WIRE11] response trailers reach the caller behind the body', async () => {
    const client = await connected()
    client.push(request('GET', '/trailers', { authorization }))
    const { framing, body, trailers } = await client.response()
    expect([framing, body.toString()]).toEqual(['chunked', 'body'])
    expect(trailers.map(([name, value]) => [name.toLowerCase(), value])).toEqual([['x-checksum', 'abc']])
  })

  test('[WIRE22] a 103 of the upstream comes before the answer, without what belongs to the answer alone', async () => {
    const client = await connected()
    client.push(request('GET', '/hints', { authorization }))
    const { status, informational, body } = await client.response()
    expect([status, informational, JSON.parse(body.toString())]).toMatchObject([200, [{ status: 103, headers: [['Link', '</a.css>; rel=preload']] }], { hinted: true }])
  })

  test('[WIRE6][WIRE11] what belongs to one hop or to the gateway stays behind, the rest comes as it was sent', async () => {
    const client = await connected()
    client.push(request('GET', '/headers', { authorization, 'x-mine': 'kept', 'x-hop-by-hop': 'dropped', connection: 'keep-alive, x-hop-by-hop' }))
    const response = await client.response()
    expect(response.headers.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value)).toEqual(['a=1', 'b=2'])
    expect(['x-hop', 'narrowgate-reason'].map(name => headerOf(response, name))).toEqual([null, null])
    const seen = gate.upstream.requests.at(-1)
    expect([seen?.header('x-mine'), seen?.header('x-hop-by-hop')]).toEqual([['kept'], []])
  })

  test('[WIRE7][WIRE8] a caller that waits for 100 Continue is told to go on, once it is admitted', async () => {
    const client = await connected()
    client.push(request('POST', '/echo/continued', { authorization, expect: '100-continue', 'content-length': '5' }))
    await client.until(() => client.received > 0)
    expect(client.bytes().toString('latin1')).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    client.push('hello')
    const { status, informational, body } = await client.response('POST')
    expect([status, informational.map(head => head.status)]).toEqual([200, [100]])
    expect(JSON.parse(body.toString())).toMatchObject({ body: 'hello' })
    expect(gate.upstream.requests.at(-1)?.header('expect')).toEqual([])
  })
})

test('[WIRE10] each event is flushed when it comes', async () => {
  const client = await connected()
  client.push(request('GET', '/sse/flushed', { authorization }))
  await client.head()
  const feed = gate.upstream.feed('flushed')
  let text = ''
  for (let i = 0; i < 20; i++) {
    const begun = performance.now()
    feed.emit(`event ${i}`, { id: String(i) })
    text += `id: ${i}\ndata: event ${i}\n\n`
    await client.until(() => client.bodyBytes === text.length)
    expect(performance.now() - begun).toBeLessThan(1_000)
    await pause(i % 4)
  }
  feed.end()
  expect((await client.response()).body.toString()).toBe(text)
})

describe('what the upstream is told', () => {
  async function seenBy(path: string, headers: Readonly<Record<string, string>> = {}): Promise<{ readonly head: string; readonly context: string }> {
    await connected().then(client => client.push(request('GET', path, { host: 'taps.test', authorization, ...headers })))
    const { message } = await taps.tap(path)
    const pairs = Array.from({ length: message.rawHeaders.length / 2 }, (_, i) => `${message.rawHeaders[2 * i]}: ${message.rawHeaders[2 * i + 1]}`)
    return { head: pairs.join('\n').toLowerCase(), context: String(message.headers['narrowgate-context']) }
  }

  test('[WIRE13] a signed context, which verifies with the keys the gateway publishes', async () => {
    const client = await connected()
    await gate.elevate(token, 'long', 'T-2')
    const { id } = await gate.session(token)
    client.push(request('GET', '/echo/extra', { authorization, 'narrowgate-ticket': 'T-2' }))
    await client.response()
    const context = gate.upstream.requests.at(-1)?.header('narrowgate-context') ?? []
    expect(context).toHaveLength(1)
    const keys = (await gate.ask('GET', '/.narrowgate/jwks.json')).json as unknown as JSONWebKeySet // what the endpoint serves
    const { payload, protectedHeader } = await jwtVerify(context[0] ?? '', createLocalJWKSet(keys), { issuer: 'narrowgate', audience: 'api', typ: 'narrowgate-context+jwt', algorithms: ['EdDSA'] })
    expect(payload).toMatchObject({ sid: id, sub: `${gate.issuer.issuer}|agent-1`, client: 'client-1', profile: 'long', purpose: { ticket: 'T-2' }, scope: 'extra:use' })
    expect((payload.exp ?? Infinity) - (payload.iat ?? 0)).toBeLessThanOrEqual(30)
    expect(protectedHeader.kid).toBe(keys.keys[0]?.kid)
    expect(JSON.stringify(keys)).not.toContain('"d"')
  })

  test('[WIRE13] never the caller\'s own credential', async () => {
    const { head } = await seenBy('/told')
    expect(head).not.toContain('authorization')
    expect(head).not.toContain(token.toLowerCase())
    expect((await gate.ask('POST', '/echo/told', { authorization }, 'body')).status).toBe(200)
    expect(gate.upstream.bytes()).not.toContain(token.slice(-40))
  })

  test('[WIRE13][WIRE4] the static credential of the upstream, never a caller\'s, and never told to the caller', async () => {
    const { head } = await seenBy('/injected', { 'x-api-secret': 'forged', 'narrowgate-context': 'forged' })
    expect(head.split('\n').filter(line => line.startsWith('x-api-secret'))).toEqual([`x-api-secret: ${SECRET}`])
    expect(head).not.toContain('forged')
    const client = clients.at(-1)
    const { answer } = await taps.tap('/injected')
    answer.end('whatever')
    const response: RawResponse | undefined = await client?.response()
    expect(response?.status).toBe(200)
    expect(client?.bytes().toString('latin1')).not.toContain(SECRET)
  })

  test('[WIRE5] where the caller came from, as the gateway saw it', async () => {
    const { head } = await seenBy('/from', { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9', 'x-real-ip': '203.0.113.9', via: '1.1 elsewhere' })
    expect(head).not.toContain('203.0.113.9')
    expect(head).toContain('x-forwarded-for: 127.0.0.1\n')
    expect(head).toContain('forwarded: for=127.0.0.1;host="taps.test";proto=http\n')
    expect(head).toContain('host: taps.test\n')
  })
})
