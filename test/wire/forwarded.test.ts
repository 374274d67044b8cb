// What the upstream sees is what was judged: names that stay at the gateway stay under every spelling, conditions read the headers that go on and no
// others, and nothing is added to an answer whose length or coding leaves no room for it. SPEC: DEC5, WIRE4, WIRE6, WIRE10, WIRE13
import { gzipSync } from 'node:zlib'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { instant } from '../../src/core/time.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient } from '../support/raw-client.ts'
import { exchangesOf, operate, type Tap, TapUpstream, until } from './support.ts'

let folder: string
let upstream: TapUpstream
let gate: TestGateway
let token: string
let client: RawClient
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ng-forwarded-'))
  writeFileSync(join(folder, 'secret'), 'the-real-one', { mode: 0o600 })
  writeFileSync(join(folder, 'keys.yaml'), 'keys: []', { mode: 0o600 })
  upstream = await TapUpstream.start()
  gate = await TestGateway.start({
    more: 'purposes: { ticket: { header: x-ticket, source: manual } }',
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}", credential: { header: x-upstream-key, valueFile: ${folder}/secret } }
  rules:
    - { allow: { paths: ["/plain/**"] }, scope: base:read }
    - { allow: { paths: ["/small/**"] }, scope: base:read, if: "request.headers[?'x-amount'].orValue('') == '1'" }
    - { allow: { paths: ["/near/**"] }, scope: base:read, if: "request.headers[?'x-forwarded-for'].orValue('') == '10.0.0.1'" }
    - { allow: { paths: ["/mine/**"] }, scope: base:read, if: "'authorization' in request.headers || 'x-ticket' in request.headers || 'x_upstream_key' in request.headers" }
    - { allow: { paths: ["/host/**"] }, scope: base:read, if: "request.headers.host == 'api.test'" }`,
  })
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  rmSync(folder, { recursive: true, force: true })
})
afterEach(() => client.close())

async function send(path: string, lines: readonly string[] = []): Promise<void> {
  token = await gate.token()
  client = await RawClient.connect(gate.target)
  client.push(`GET ${path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`)
}

/** The request as it arrived upstream, or the status it was refused with. */
async function outcome(path: string, lines: readonly string[] = []): Promise<Tap | number> {
  await send(path, lines)
  return Promise.race([upstream.tap(path), client.head().then(({ status }) => status)])
}
async function arrived(path: string, lines: readonly string[]): Promise<readonly (readonly [string, string])[]> {
  const tap = await outcome(path, lines)
  if (typeof tap === 'number') throw new Error(`refused with ${tap}`)
  const { rawHeaders } = tap.message
  return rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase().replaceAll('_', '-'), rawHeaders[i + 1] ?? ''] as const] : []))
}

test('[WIRE4] [WIRE13] an alias of the injected header, of an API key or of a purpose does not go upstream', async () => {
  const headers = await arrived('/plain/a', ['X_Upstream_Key: forged', 'X-Upstream_Key: forged', 'X_Ticket: OPS-1', 'X_Other: theirs'])
  expect(headers.filter(([name]) => name === 'x-upstream-key')).toEqual([['x-upstream-key', 'the-real-one']])
  expect(headers.filter(([name]) => name === 'x-ticket')).toEqual([])
  expect(headers.filter(([name]) => name === 'x-other')).toEqual([['x-other', 'theirs']])
})

describe('a condition on headers', () => {
  test('[DEC5] holds on one that goes upstream', async () => {
    expect(await arrived('/small/a', ['X-Amount: 1'])).toContainEqual(['x-amount', '1'])
    expect(await arrived('/host/a', [])).toContainEqual(['host', 'api.test'])
  })

  test('[DEC5] [WIRE6] does not see one that the request itself nominates away', async () => expect(await outcome('/small/b', ['X-Amount: 1', 'Connection: x-amount'])).toBe(403))
  test('[DEC5] [WIRE5] does not see what a caller says of forwarding', async () => expect(await outcome('/near/a', ['X-Forwarded-For: 10.0.0.1'])).toBe(403))
  test('[DEC5] [WIRE13] does not see credentials, purposes or aliases that stay here', async () => expect(await outcome('/mine/a', ['X-Ticket: OPS-1', 'X_Upstream_Key: forged'])).toBe(403))
})

describe('an event stream with nothing to spare', () => {
  const EVENT = 'data: a\n\n'
  const STREAMS: readonly (readonly [string, object, Buffer])[] = [
    ['of a length', { 'content-length': '1000' }, Buffer.from(EVENT)],
    ['of a content coding', { 'content-encoding': 'gzip' }, Buffer.concat([gzipSync(EVENT), Buffer.from('\n\n')])],
  ]

  async function streaming(path: string, headers: object, body: Buffer): Promise<string> {
    await send(path)
    const tap = await upstream.tap(path)
    tap.answer.writeHead(200, { 'content-type': 'text/event-stream', ...headers })
    tap.answer.write(body)
    expect((await client.head()).status).toBe(200)
    await until(() => client.bodyBytes === body.length, 'the first event')
    return (await gate.session(token)).id
  }

  test.each(STREAMS)('[WIRE10] %s is cut by a reset, never as if it were whole', async (name, headers, body) => {
    const session = await streaming(`/plain/cut-${name.length}`, headers, body)
    await operate(gate, session, 'terminate')
    expect(await client.ended).toBe('reset')
  })

  test.each(STREAMS)('[WIRE10] %s gets no heartbeat while it is frozen', async (name, headers, body) => {
    const session = await streaming(`/plain/beat-${name.length}`, headers, body)
    await operate(gate, session, 'freeze')
    const [exchange] = exchangesOf(gate, session)
    for (const seconds of [0, 20, 40]) exchange?.channel.tick(instant(Date.now() + seconds * 1_000))
    await gate.ops('/healthz')
    expect([exchange?.state, exchange?.kind, client.bodyBytes]).toEqual(['frozen', 'sse', body.length])
  })

  test('[WIRE10] one that has room gets it, between two events', async () => {
    const session = await streaming('/plain/beat', {}, Buffer.from(EVENT))
    await operate(gate, session, 'freeze')
    for (const seconds of [0, 20]) exchangesOf(gate, session)[0]?.channel.tick(instant(Date.now() + seconds * 1_000))
    await until(() => client.bodyBytes === EVENT.length + 3, 'the heartbeat')
  })
})
