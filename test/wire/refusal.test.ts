// A refusal can be read, also by a caller who is still sending: a small body is read to its end and the connection kept, a big one is answered and
// discarded for a while before the connection ends. Nothing of either goes upstream. SPEC: WIRE8, WIRE9, WIRE7
import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { truncateSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { pause, planFor, TapUpstream } from './support.ts'

const run = promisify(execFile)
const curl = inject('curl')
const HUGE = 100_000_000
const DRAINED = 65_536
const DISCARDED = 262_144
const DISCARDED_FOR = 2_000
const SLACK = 3_000

let upstream: TapUpstream
const gates = new Map<string, TestGateway>()
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gates.set('http', await TestGateway.start(planFor(upstream)))
  gates.set('https', await TestGateway.start(planFor(upstream, { tls: true })))
})
afterAll(async () => {
  for (const gate of gates.values()) await gate.stop()
  await upstream.close()
})

const gateOf = (scheme = 'http'): TestGateway => gates.get(scheme) as TestGateway // both were started
const bearer = async (gate = gateOf()): Promise<string> => `Bearer ${await gate.token()}`
const problemIn = ({ body }: RawResponse): unknown => JSON.parse(body.toString())
const REFUSED = { type: 'urn:narrowgate:reason:elevation_required', status: 403, reason: 'elevation_required' }

describe.skipIf(curl === null)('curl uploads 100 MB', () => {
  const uploads = [
    ['sized, at once', ['-H', 'Expect:']], ['sized, waiting for 100', []], ['chunked, at once', ['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked']], ['chunked, waiting for 100', ['-H', 'Transfer-Encoding: chunked']],
  ] as const

  async function upload(gate: TestGateway, scheme: string, path: string, more: readonly string[]): Promise<{ readonly status: number; readonly body: string }> {
    const file = join(gate.directory, 'huge')
    writeFileSync(file, '')
    truncateSync(file, HUGE)
    const { caFile } = await testAuthority()
    const url = `${scheme}://api.test:${gate.target.port}${path}`
    const args = ['-sS', '--http1.1', '--max-time', '30', '--cacert', caFile, '--resolve', `api.test:${gate.target.port}:127.0.0.1`, '-X', 'POST', '-T', file, '-H', `Authorization: ${await bearer(gate)}`, '-H', 'Host: api.test', '-w', '\n%{http_code}']
    const { stdout } = await run(curl ?? '', [...args, ...more, url])
    const at = stdout.lastIndexOf('\n')
    return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) }
  }

  test.each(['http', 'https'].flatMap(scheme => uploads.map(([how, args]) => [how, scheme, args] as const)))('[WIRE8][WIRE9] %s over %s, and reads why it was refused', async (_, scheme, args) => {
    const path = '/curl/extra'
    const { status, body } = await upload(gateOf(scheme), scheme, path, args)
    expect(status).toBe(403)
    expect(JSON.parse(body)).toMatchObject(REFUSED)
    expect(upstream.taps.has(path)).toBe(false)
  })

  test.each(['http', 'https'])('[WIRE7][WIRE8] and reads that it was too much, found out in the middle, over %s', async scheme => {
    const path = `/curl-${scheme}/base`
    const { status, body } = await upload(gateOf(scheme), scheme, path, ['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked'])
    expect([status, (JSON.parse(body) as { readonly reason: string }).reason]).toEqual([413, 'body_too_large'])
    expect(upstream.taps.get(path)?.bodyEnded).toBe(false)
  })
})

test.each([1, DRAINED])('[WIRE8] a body of %d bytes that is still to come is read to its end, and the connection serves the next request', async length => {
  const authorization = await bearer()
  const client = await RawClient.connect(gateOf().target)
  for (let i = 0; i < 3; i++) {
    client.push(request('POST', '/small/extra', { authorization, 'content-length': String(length) }))
    const refused = await client.response('POST')
    expect([refused.status, headerOf(refused, 'connection')]).toEqual([403, 'keep-alive'])
    expect(problemIn(refused)).toMatchObject(REFUSED)
    client.push('x'.repeat(length))
  }
  client.push(request('GET', '/.narrowgate/session', { authorization }))
  expect((await client.response()).status).toBe(200)
  client.close()
})

const big = [['sized', { 'content-length': String(DRAINED + 1) }, 'x'], ['chunked', { 'transfer-encoding': 'chunked' }, '1\r\nx\r\n']] as const

test.each(big)('[WIRE8] a big body (%s) that never comes: the answer at once, the end of the connection after two seconds', async (_, framing, first) => {
  const client = await RawClient.connect(gateOf().target)
  const begun = performance.now()
  client.push(request('POST', '/big/extra', { authorization: await bearer(), ...framing }) + first)
  const refused = await client.response('POST')
  expect([refused.status, headerOf(refused, 'connection')]).toEqual([403, 'close'])
  expect(problemIn(refused)).toMatchObject(REFUSED)
  expect(performance.now() - begun).toBeLessThan(DISCARDED_FOR)
  expect(await client.ended).toBe('fin')
  expect(performance.now() - begun).toBeGreaterThan(DISCARDED_FOR - 100)
  expect(performance.now() - begun).toBeLessThan(DISCARDED_FOR + SLACK)
})

test.each(['http', 'https'])('[WIRE8] a caller that sends megabytes before it reads finds its answer all the same, over %s; 256 KiB of them are read', async scheme => {
  const gate = gateOf(scheme)
  const authorization = await bearer(gate)
  const sockets: Socket[] = []
  const listen = (message: unknown): void => void sockets.push((message as { readonly socket: Socket }).socket) // as node:net documents the channel
  subscribe('net.server.socket', listen)
  const client = await RawClient.connect(gate.target)
  client.pause()
  client.push(request('POST', '/big/extra', { authorization, 'content-length': String(HUGE) }))
  void client.send(Buffer.alloc(4 * 1024 * 1024))
  await pause(DISCARDED_FOR / 2)
  unsubscribe('net.server.socket', listen)
  client.resume()
  const refused = await client.response('POST')
  expect([refused.status, refused.complete]).toEqual([403, true])
  await client.ended
  const read = sockets.map(({ bytesRead }) => bytesRead).filter(bytes => bytes > DISCARDED / 2)
  expect(read).toHaveLength(1)
  expect(read[0]).toBeGreaterThan(DISCARDED)
  expect(read[0]).toBeLessThan(2 * DISCARDED)
})

test.each([['small', 10], ['big', HUGE]])('[WIRE8] a caller that waits for 100 Continue with a %s body gets its refusal, and no 100', async (_, length) => {
  const client = await RawClient.connect(gateOf().target)
  client.push(request('POST', '/expects/extra', { authorization: await bearer(), expect: '100-continue', 'content-length': String(length) }))
  const refused = await client.response('POST')
  expect([refused.status, refused.informational]).toEqual([403, []])
  expect(client.bytes().toString('latin1').startsWith('HTTP/1.1 403')).toBe(true)
  client.close()
})

test('[WIRE9] what refused it decides the challenge', async () => {
  const gate = gateOf()
  const asked = async (path: string, authorization: string | null): Promise<unknown> => {
    const { status, headers, json } = await gate.ask('GET', path, authorization === null ? {} : { authorization })
    return { status, challenge: headers['www-authenticate'] ?? null, type: headers['content-type'], cache: headers['cache-control'], reason: json['reason'] }
  }
  const json = { type: 'application/problem+json', cache: 'no-store' }
  const metadata = 'resource_metadata="http://api.test/.well-known/oauth-protected-resource"'
  expect(await asked('/x/base', null)).toEqual({ ...json, status: 401, challenge: `Bearer realm="narrowgate", ${metadata}`, reason: 'no_credential' })
  expect(await asked('/x/base', 'Bearer a.b.c')).toMatchObject({ ...json, status: 401, challenge: expect.stringContaining('error="invalid_token"'), reason: 'credential_invalid' })
  expect(await asked('/x/extra', await bearer())).toEqual({ ...json, status: 403, challenge: `Bearer realm="narrowgate", error="insufficient_scope", scope="extra:use", ${metadata}`, reason: 'elevation_required' })
  expect(await asked('/x/other', await bearer())).toEqual({ ...json, status: 403, challenge: null, reason: 'no_rule' })
})
