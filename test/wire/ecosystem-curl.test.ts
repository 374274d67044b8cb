// curl, h2load and wrk as callers of the whole gateway, over HTTP/1.1, HTTP/2 with TLS and HTTP/2 by prior knowledge: what they send and get is unchanged.
// SPEC: WIRE7, WIRE8, WIRE16, WIRE19
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { testAuthority } from '../support/tls.ts'

const MIB = 1_048_576
const LARGE = 64 * MIB
const PIECE = patternAt(0, MIB)
const PAGE = patternAt(0, 10_000)
const ZIPPED = gzipSync(PAGE)

const PROGRAMS = { curl: inject('curl'), h2load: inject('h2load'), wrk: inject('wrk') }
const missing = (program: keyof typeof PROGRAMS): boolean => PROGRAMS[program] === null

/** What a program printed, and how it ended. */
type Ran = { readonly code: number; readonly out: string; readonly err: string }

function run(program: keyof typeof PROGRAMS, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(PROGRAMS[program] ?? program, [...args], { timeout: 50_000, maxBuffer: 8 * MIB, encoding: 'latin1' }, (error, out, err) => {
      if (error !== null && typeof error.code === 'string') reject(error)
      else resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err })
    })
  })
}

/** An ordinary file server: whole and in parts, plain and zipped; and a place that takes uploads and says what they were. */
async function serve(message: IncomingMessage, answer: ServerResponse): Promise<void> {
  const path = message.url ?? ''
  if (message.method === 'PUT') {
    const hash = createHash('sha256')
    let bytes = 0
    for await (const chunk of message as AsyncIterable<Buffer>) { // without an encoding
      hash.update(chunk)
      bytes += chunk.length
    }
    return void answer.end(`${bytes} ${hash.digest('hex')}`)
  }
  if (path === '/large') {
    answer.writeHead(200, { 'content-length': LARGE, 'content-type': 'application/octet-stream' })
    return pipeline(function* () { for (let at = 0; at < LARGE; at += MIB) yield PIECE }, answer).catch(() => undefined)
  }
  if (path === '/zipped') return void answer.writeHead(200, { 'content-encoding': 'gzip', vary: 'accept-encoding', 'content-length': ZIPPED.length, etag: '"z"' }).end(ZIPPED)
  const range = /^bytes=(\d+)-(\d+)$/.exec(message.headers.range ?? '')
  if (range === null) return void answer.writeHead(200, { 'content-length': PAGE.length, 'accept-ranges': 'bytes', etag: '"p"' }).end(message.method === 'HEAD' ? undefined : PAGE)
  const [from, to] = [Number(range[1]), Number(range[2])]
  if (from >= PAGE.length) return void answer.writeHead(416, { 'content-range': `bytes */${PAGE.length}`, 'content-length': 0 }).end()
  answer.writeHead(206, { 'content-range': `bytes ${from}-${to}/${PAGE.length}`, 'content-length': to - from + 1 }).end(PAGE.subarray(from, to + 1))
}

let upstream: Server
let shared: Http2Server
let gate: TestGateway
let token = ''
let caFile = ''
let large = ''
let largeDigest = ''
const directory = mkdtempSync(join(tmpdir(), 'narrowgate-curl-'))
const file = (name: string): string => join(directory, name)
const digestOf = async (name: string): Promise<string> => {
  const hash = createHash('sha256')
  await pipeline(createReadStream(name), hash)
  return hash.digest('hex')
}
const portOf = (name: string): number => gate.gateway.front.bound.get(name)?.address.port ?? 0

beforeAll(async () => {
  upstream = createServer((message, answer) => void serve(message, answer).catch(() => answer.destroy())).listen(0, '127.0.0.1')
  shared = createHttp2Server((message, answer) => void serve(message as never, answer as never).catch(() => answer.destroy())) // of the forms of node:http2's compatibility
  shared.listen(0, '127.0.0.1')
  await Promise.all([once(upstream, 'listening'), once(shared, 'listening')])
  const authority = await testAuthority()
  ;({ caFile } = authority)
  const rules = '[{ allow: { paths: ["/**"] }, scope: base:read }]'
  const at = (server: Server | Http2Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}` // a TCP server's
  gate = await TestGateway.start({
    tls: true, routes: '',
    config: made => `
version: 1
stateDir: ${made.directory}/state
server:
  limits: { bodyBytes: 80MiB }
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy], tls: { certFile: ${authority.server.certFile}, keyFile: ${authority.server.keyFile} } }
    - { name: clear, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${made.issuer.issuer}", audience: narrowgate, jwksFile: ${made.directory}/jwks.json }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
upstreams:
  one: { url: "${at(upstream)}" }
  many: { url: "${at(shared)}", protocol: http2 }
routes:
  - { name: one, match: { host: api.test }, upstream: one, rules: ${rules} }
  - { name: many, match: { host: localhost }, upstream: many, rules: ${rules} }
`,
  })
  token = await gate.token()
  large = file('large')
  writeFileSync(large, Buffer.concat(Array.from({ length: LARGE / MIB }, () => PIECE)))
  largeDigest = await digestOf(large)
})
afterAll(async () => {
  await gate.stop()
  upstream.closeAllConnections()
  upstream.close()
  shared.close()
  rmSync(directory, { recursive: true, force: true })
})

const WAYS = [
  { way: 'HTTP/1.1 in clear text', listener: 'clear', scheme: 'http', flags: ['--http1.1'], version: '1.1' },
  { way: 'HTTP/1.1 over TLS', listener: 'main', scheme: 'https', flags: ['--http1.1'], version: '1.1' },
  { way: 'HTTP/2 over TLS', listener: 'main', scheme: 'https', flags: ['--http2'], version: '2' },
  { way: 'HTTP/2 by prior knowledge', listener: 'clear', scheme: 'http', flags: ['--http2-prior-knowledge'], version: '2' },
] as const

describe.skipIf(missing('curl')).each(WAYS.flatMap(way => ['api.test', 'localhost'].map(host => ({ ...way, host, to: host === 'api.test' ? 'HTTP/1.1' : 'HTTP/2' }))))('curl over $way to an upstream of $to', ({ listener, scheme, flags, version, host }) => {
  const NOTE = '\n%{http_code} %{http_version} %{size_download} %{size_upload} %{exitcode}'
  const curl = (path: string, ...more: readonly string[]): Promise<Ran> =>
    run('curl', ['-sS', ...flags, '--cacert', caFile, '--connect-to', `::127.0.0.1:${portOf(listener)}`, '-H', `Authorization: Bearer ${token}`, '-w', NOTE, ...more, `${scheme}://${host}${path}`])
  const noted = ({ out }: Ran): string => out.slice(out.lastIndexOf('\n') + 1)

  test('[WIRE7, WIRE16] 64 MiB come down and go up byte for byte', async () => {
    const down = file('down')
    expect(noted(await curl('/large', '-o', down))).toBe(`200 ${version} ${LARGE} 0 0`)
    expect(await digestOf(down)).toBe(largeDigest)
    const up = await curl('/large', '-T', large)
    expect([noted(up).slice(0, -2), up.out.split('\n')[0]]).toEqual([`200 ${version} ${up.out.split('\n')[0]?.length} ${LARGE}`, `${LARGE} ${largeDigest}`])
  })

  test('[WIRE7] an upload that waits for 100 Continue is told to go on', async () => {
    const asked = performance.now()
    const { err, out } = await curl('/small', '-X', 'PUT', '-H', 'Expect: 100-continue', '--expect100-timeout', '20', '--data-binary', `@${caFile}`, '-v')
    expect(err).toMatch(/< HTTP\/[12.]+ 100/)
    expect(out.split('\n')[0]).toBe(`${readFileSync(caFile).length} ${await digestOf(caFile)}`)
    expect(performance.now() - asked).toBeLessThan(10_000)
  })

  test('[WIRE11] a range is a part of the whole, and one beyond the end is a 416 with its own words', async () => {
    const part = await curl('/page', '-r', '100-299', '-D', '-', '-o', file('part'))
    expect(noted(part)).toBe(`206 ${version} 200 0 0`)
    expect(part.out.toLowerCase()).toContain('content-range: bytes 100-299/10000')
    expect(readFileSync(file('part')).equals(PAGE.subarray(100, 300))).toBe(true)
    const beyond = await curl('/page', '-r', '20000-20001', '-D', '-')
    expect([noted(beyond), beyond.out.toLowerCase()]).toEqual([`416 ${version} 0 0 0`, expect.stringContaining('content-range: bytes */10000')])
  })

  test('[WIRE19] HEAD has the head of the answer and nothing behind it', async () => {
    const head = await curl('/page', '-I')
    expect(noted(head)).toBe(`200 ${version} 0 0 0`)
    expect(head.out.toLowerCase()).toMatch(/content-length: 10000\r[^]*etag: "p"/)
  })

  test('[WIRE11] a compressed answer is passed as it is, and unpacked by curl is the page', async () => {
    const raw = await curl('/zipped', '-H', 'Accept-Encoding: gzip', '-D', '-', '-o', file('zipped'))
    expect(noted(raw)).toBe(`200 ${version} ${ZIPPED.length} 0 0`)
    expect(raw.out.toLowerCase()).toContain('content-encoding: gzip')
    expect(readFileSync(file('zipped')).equals(ZIPPED)).toBe(true)
    await curl('/zipped', '--compressed', '-o', file('page'))
    expect(readFileSync(file('page')).equals(PAGE)).toBe(true)
  })

  test('[WIRE7, WIRE8] an upload of 100 MB that is refused is answered, with or without its length, and curl reads why', async () => {
    const huge = file('huge')
    writeFileSync(huge, Buffer.alloc(100_000_000, 'x'))
    const chunked = version === '2' ? [] : [['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked']] // HTTP/2 has no such header
    for (const more of [['-H', 'Expect:'], ...chunked, []]) {
      const refused = await curl('/large', '-T', huge, ...more)
      expect([JSON.parse(refused.out.split('\n')[0] ?? ''), noted(refused).split(' ')[0]], refused.err).toMatchObject([{ reason: 'body_too_large' }, '413'])
    }
    const unknown = await run('curl', ['-sS', ...flags, '--cacert', caFile, '--connect-to', `::127.0.0.1:${portOf(listener)}`, '-H', 'Expect:', '-T', huge, `${scheme}://${host}/large`])
    expect(JSON.parse(unknown.out), unknown.err).toMatchObject({ reason: 'no_credential' })
  })
})

describe('a crowd', () => {
  test.skipIf(missing('h2load')).each([['over TLS', 'main', 'https'], ['by prior knowledge', 'clear', 'http']] as const)('[WIRE16] of h2load %s has 5,000 answers to 5,000 requests', async (_way, listener, scheme) => {
    for (const host of ['api.test', 'localhost']) {
      const { out, code } = await run('h2load', ['-n', '5000', '-c', '20', '-m', '10', '-H', `:authority: ${host}`, '-H', `authorization: Bearer ${token}`, `${scheme}://127.0.0.1:${portOf(listener)}/page`])
      expect([code, /requests: .*/.exec(out)?.[0], /status codes: .*/.exec(out)?.[0]]).toEqual([0, 'requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout', 'status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx'])
    }
  })

  test.skipIf(missing('wrk'))('[WIRE7] of wrk meets no error', async () => {
    const { out, code } = await run('wrk', ['-t', '1', '-c', '20', '-d', '2s', '-H', 'Host: api.test', '-H', `Authorization: Bearer ${token}`, `http://127.0.0.1:${portOf('clear')}/page`])
    expect([code, Number(/(\d+) requests in/.exec(out)?.[1]) > 100]).toEqual([0, true])
    expect(out).not.toMatch(/Non-2xx|Socket errors/)
  })
})
