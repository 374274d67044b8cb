// The cases of test/cases/bypasses.json about HTTP/2, upgrades and early data, through a whole gateway before an upstream that falls for everything:
// held to the case's own oracle, and in the end nothing was asked of the upstream without a right. SPEC: WIRE3, WIRE16, WIRE18, WIRE22
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { TestGateway } from '../support/gateway.ts'
import { HostileUpstream } from '../support/hostile-upstream.ts'
import { http2Bytes, http2Exchange, type Http2Outcome, http2OutcomeOf } from '../support/http2-exchange.ts'
import { block, type Field, FLAG, FRAME, frame, FrameClient, headers, indexed, requestFields, windowUpdate } from '../support/http2-frames.ts'
import { headerOf, RawClient, type RawResponse, requestOnce, type Target } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { until } from './support.ts'

let gate: TestGateway
let upstream: HostileUpstream
let sockets: WebSocketServer
let secure: Target
let token: string

beforeAll(async () => {
  const { server: { certFile, keyFile }, ca } = await testAuthority()
  upstream = await HostileUpstream.start()
  sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  const socketsAt = (sockets.address() as { readonly port: number }).port // it listens on a port
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", protocols: [http1, http2], serves: [proxy] }
    - { name: secure, address: "127.0.0.1:0", serves: [proxy], tls: { certFile: ${certFile}, keyFile: ${keyFile} } }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:read] }]
upstreams:
  api: { url: "${upstream.origin}", timeout: 5s }
  sockets: { url: "http://127.0.0.1:${socketsAt}", timeout: 5s }
telemetry: { logs: { level: silent } }
elevations:
  root: { adds: [admin:all], for: 10m }
routes:
  - name: sockets
    match: { host: api.test, path: /sockets/** }
    upstream: sockets
    rules:
      - { allow: { paths: [/sockets/public], upgrade: websocket }, scope: base:read }
      - { allow: { paths: [/sockets/admin], upgrade: websocket }, scope: admin:all }
      - { allow: { paths: [/sockets/**] }, scope: base:read }
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: [/public/ws], upgrade: websocket }, scope: base:read }
      - { allow: { paths: [/admin/ws], upgrade: websocket }, scope: admin:all }
      - { allow: { paths: [/admin/**] }, scope: admin:all }
      - { allow: { paths: [/**] }, scope: base:read }
`,
  })
  token = await gate.token()
  secure = { port: gate.gateway.front.bound.get('secure')?.address.port ?? 0, tls: { ca } }
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  for (const socket of sockets.clients) socket.terminate()
  sockets.close()
})
beforeEach(() => upstream.forget())

const carriers = (): readonly (readonly [target: Target, scheme: string])[] => [[gate.target, 'http'], [secure, 'https']]
const bearer = (): Field => ['authorization', `Bearer ${token}`]
const fieldsOf = (method: string, path: string, more: readonly Field[] = [], scheme = 'http'): readonly Field[] => requestFields(method, path, [bearer(), ...more], scheme)

/** A request that goes through shows that everything before it has arrived, or never will. */
async function seen(): Promise<readonly string[]> {
  for (const [target, scheme] of carriers()) expect(await http2Exchange(target, [http2Bytes(fieldsOf('GET', '/public/sentinel', [], scheme))])).toMatchObject({ status: 200, body: 'ok' })
  await until(() => gate.parts.inflight.size === 0, 'no exchange is open')
  expect([upstream.led, upstream.malformed]).toEqual([[], []])
  return upstream.received.filter(({ url }) => url !== '/public/sentinel').map(({ method, url, body }) => `${method} ${url} ${body}`)
}

/** RST_STREAM, the end of the connection, or 400; nothing of the inside. */
function refused({ broken, status, body, over }: Http2Outcome): void {
  expect(status === 400 || (status === 0 && (broken !== null || over)), `${broken} ${status}`).toBe(true)
  for (const inside of [token, String(upstream.port)]) expect(body).not.toContain(inside)
}

// ---- RST_OR_400

const MALFORMED: readonly (readonly [id: string, name: string, method: string, path: string, more: readonly Field[], body: string])[] = [
  ['H2-001', 'a path without its slash', 'POST', 'admin.Service/Delete', [], ''],
  ['H2-001', 'a path without its slash that would be protected with it', 'GET', 'admin/x', [], ''],
  ['H2-001', 'a path that is a whole URL', 'GET', 'http://api.test/admin/x', [], ''],
  ['H2-001', 'an empty path', 'GET', '', [], ''],
  ['H2-001', 'a path that begins with a dot', 'GET', './admin', [], ''],
  ['H2-003', 'a method that goes on as a request line', 'GET /admin HTTP/1.1', '/public/x', [], ''],
  ['H2-003', 'a method with a question mark', 'GET?', '/public/x', [], ''],
  ['H2-003', 'a method with a line of its own', 'GET / HTTP/1.1\r\nx: y\r\n\r\nGET', '/public/x', [], ''],
  ['H2-003', 'an empty method', '', '/public/x', [], ''],
  ['H2-006', 'more bytes than its length', 'POST', '/public/x', [['content-length', '0']], 'x'.repeat(40)],
  ['H2-006', 'fewer bytes than its length', 'POST', '/public/x', [['content-length', '50']], 'x'.repeat(40)],
  ['H2-006', 'a length and no bytes', 'POST', '/public/x', [['content-length', '5']], ''],
  ['H2-006', 'a length that is no number', 'POST', '/public/x', [['content-length', '+40']], 'x'.repeat(40)],
  ['H2-006', 'two lengths', 'POST', '/public/x', [['content-length', '40'], ['content-length', '0']], 'x'.repeat(40)],
  ['H2-008', 'Connection', 'GET', '/public/x', [['connection', 'narrowgate-subject']], ''],
  ['H2-008', 'Keep-Alive', 'GET', '/public/x', [['keep-alive', 'timeout=5']], ''],
  ['H2-008', 'Upgrade', 'GET', '/public/x', [['upgrade', 'websocket']], ''],
  ['H2-008', 'Proxy-Connection', 'GET', '/public/x', [['proxy-connection', 'close']], ''],
  ['H2-008', 'Transfer-Encoding', 'POST', '/public/x', [['transfer-encoding', 'chunked']], '0\r\n\r\nGET /admin/smuggled HTTP/1.1\r\n\r\n'],
  ['H2-008', 'TE other than trailers', 'GET', '/public/x', [['te', 'gzip']], ''],
]

describe('a malformed request over HTTP/2', () => {
  for (const [id, name, method, path, more, body] of MALFORMED) {
    test(`[${id}, WIRE16] with ${name} is reset or refused with 400, and never forwarded`, async () => {
      for (const [target, scheme] of carriers()) refused(await http2Exchange(target, [http2Bytes(fieldsOf(method, path, more, scheme), body)]))
      expect(await seen()).toEqual([])
    })
  }

  test('[H2-006, WIRE16] that breaks its length behind its head is reset, and nothing of what is too much goes upstream, nor an end', async () => {
    for (const [length, body] of [['10', 'x'.repeat(40)], ['50', 'x'.repeat(40)]] as const) {
      upstream.forget()
      const head = headers(1, fieldsOf('POST', '/public/cut', [['content-length', length]]), FLAG.endHeaders)
      refused(await http2Exchange(gate.target, [head, frame(FRAME.data, FLAG.endStream, 1, body)], () => until(() => gate.parts.inflight.size === 1, 'it is admitted')))
      const arrived = await seen()
      expect(arrived.length).toBeLessThanOrEqual(1)
      for (const one of arrived) expect(one.length).toBeLessThan('POST /public/cut '.length + Number(length))
    }
  })

  test('[H2-011, WIRE16] with a field without a name never carries that field any further: the parser leaves it out and tells nobody, so that there is nothing to refuse', async () => {
    for (const [target, scheme] of carriers()) {
      const fields = fieldsOf('GET', '/public/x', [['', 'x'], ['', 'forged'], ['a b', 'forged'], ['x', 'a\r\nnarrowgate-subject: forged'], ['y', 'forged\0b'], ['kept', 'yes']], scheme)
      expect(await http2Exchange(target, [http2Bytes(fields)])).toMatchObject({ status: 200 })
      const [received, ...others] = upstream.received
      expect([others, received?.fields.filter(([field, value]) => field === '' || /forged|narrowgate-subject/.test(value)), received?.fields.filter(([field]) => field === 'kept').length]).toEqual([[], [], 1])
      expect(await seen()).toEqual(['GET /public/x '])
      upstream.forget()
    }
  })
})

// ---- DENY

const connectFields = (path: string, scheme = 'http', protocol = 'websocket', more: readonly Field[] = [bearer()]): readonly Field[] =>
  [[':method', 'CONNECT'], [':protocol', protocol], [':scheme', scheme], [':authority', 'api.test'], [':path', path], ['sec-websocket-version', '13'], ...more]

describe('an extended CONNECT', () => {
  const asked = (target: Target, fields: readonly Field[]) => http2Exchange(target, [headers(1, fields, FLAG.endHeaders)])

  test('[H2-013, WIRE18] is judged as the same upgrade over HTTP/1.1 is: refused where no rule grants it', async () => {
    const upgrade = (path: string) => requestOnce(gate.target, `GET ${path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
    for (const path of ['/admin/ws', '/sockets/admin', '/public/other', '/sockets/other', '/public/../admin/ws', '/admin%2fws']) {
      const old = await upgrade(path)
      const { reason } = JSON.parse(old.body.toString()) as { readonly reason: string } // a refusal has one
      expect([400, 403]).toContain(old.status)
      for (const [target, scheme] of carriers()) expect(await asked(target, connectFields(path, scheme)), path).toMatchObject({ status: old.status, reason })
    }
    expect(await asked(gate.target, connectFields('/sockets/public', 'http', 'websocket', []))).toMatchObject({ status: 401 })
    expect([await seen(), sockets.clients.size]).toEqual([[], 0])
  })

  test('[H2-013, WIRE18] of another protocol than websocket is no tunnel, whatever a rule grants', async () => {
    for (const protocol of ['connect-udp', 'h2c', 'WEBSOCKET2', '']) {
      const { status, broken } = await asked(gate.target, connectFields('/sockets/public', 'http', protocol))
      expect(broken !== null || status >= 400, `${protocol} ${status}`).toBe(true)
    }
    expect([await seen(), sockets.clients.size]).toEqual([[], 0])
  })

  test('[H2-013, WIRE18] is a tunnel where a rule grants it, so that the cases above fail for their own reasons', async () => {
    const client = await FrameClient.connect(gate.target)
    const opened = once(sockets, 'connection')
    client.push(headers(1, connectFields('/sockets/public'), FLAG.endHeaders))
    await opened
    await client.first(({ type, stream }) => type === FRAME.headers && stream === 1)
    expect(http2OutcomeOf(client)).toMatchObject({ broken: null, body: '' })
    client.close()
    await until(() => sockets.clients.size === 0, 'the tunnel is over')
  })

  test('[UPG-003, WIRE18] to an upstream that switches without the accept that was asked for is refused with 502', async () => {
    for (const [target, scheme] of carriers()) expect(await asked(target, connectFields('/public/ws', scheme))).toMatchObject({ status: 502, reason: 'upstream_malformed' })
    expect(await seen()).toEqual(['GET /public/ws ', 'GET /public/ws '])
  })
})

describe('an upgrade over HTTP/1.1', () => {
  const ask = async (target: Target, bytes: string, behind: string | Buffer = ''): Promise<{ readonly answers: readonly RawResponse[]; readonly text: string }> => {
    const client = await RawClient.connect(target)
    client.push(Buffer.concat([Buffer.from(bytes, 'latin1'), Buffer.from(behind)]))
    const answers = [await client.response()]
    if (headerOf(answers[0] ?? { headers: [] }, 'connection') === 'close') await client.ended
    client.close()
    return { answers, text: client.bytes().toString('latin1') }
  }

  test('[UPG-001, WIRE16] to h2c is never answered with 101, nor is what comes behind it a tunnel', async () => {
    const bytes = `GET /public/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`
    const tunnelled = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0), headers(1, fieldsOf('GET', '/admin/x'))])
    for (const [target] of carriers()) {
      for (const behind of ['', tunnelled]) {
        const { text } = await ask(target, bytes, behind)
        expect(text).not.toMatch(/HTTP\/1\.1 101/)
      }
    }
    expect(upstream.received.flatMap(({ fields }) => fields.filter(([name]) => /^(?:upgrade|http2-settings)$/i.test(name)))).toEqual([])
    for (const one of await seen()) expect(one).toBe('GET /public/x ')
  })

  test('[UPG-003, WIRE18] to an upstream that switches without the accept that was asked for is refused with 502, and closed', async () => {
    for (const [target] of carriers()) {
      const { answers: [answer], text } = await ask(target, `GET /public/ws HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
      expect([answer?.status, headerOf(answer ?? { headers: [] }, 'connection'), text.includes(token), / 101 /.test(text)]).toEqual([502, 'close', false, false])
      expect(JSON.parse(answer?.body.toString() ?? '')).toMatchObject({ reason: 'upstream_malformed' })
    }
    expect(await seen()).toEqual(['GET /public/ws ', 'GET /public/ws '])
  })

  test('[UPG-006, WIRE19] CONNECT is refused and closed over HTTP/1.1, refused over HTTP/2, and nobody is dialled', async () => {
    const dialled: unknown[] = []
    const server = createServer(socket => {
      dialled.push(socket.remotePort)
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { readonly port: number } // it listens on a port
    for (const at of ['admin.internal:443', `127.0.0.1:${port}`, `127.0.0.1:${upstream.port}`, 'api.test:80']) {
      for (const [target] of carriers()) {
        const { answers: [answer], text } = await ask(target, `CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\nAuthorization: Bearer ${token}\r\n\r\n`, 'GET /admin/smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n')
        expect([Math.floor((answer?.status ?? 0) / 100), text.match(/HTTP\/1\.1 /g)?.length], at).toEqual([4, 1])
        const { status, reason } = await http2Exchange(target, [headers(1, [[':method', 'CONNECT'], [':authority', at], bearer()], FLAG.endHeaders)])
        expect([status, reason], at).toEqual([405, 'method_refused'])
      }
    }
    expect([await seen(), dialled]).toEqual([[], []])
    server.close()
  })
})

describe('early data', () => {
  test('[AZ-018, WIRE22] that another hop took is refused with 425 where a replay would do something, in both protocols', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      for (const [target, scheme] of carriers()) {
        expect(await http2Exchange(target, [http2Bytes(fieldsOf(method, '/public/x', [['early-data', '1']], scheme))]), method).toMatchObject({ status: 425, reason: 'too_early' })
        expect((await requestOnce(target, `${method} /public/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${token}\r\nEarly-Data: 1\r\nContent-Length: 0\r\n\r\n`)).status).toBe(425)
      }
    }
    expect(await seen()).toEqual([])
  })

  test('[AZ-018, WIRE22] is not taken by the listener itself: its tickets allow none', async () => {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${secure.port}`, '-servername', 'api.test', '-tls1_3', '-alpn', 'http/1.1'], { stdio: ['pipe', 'pipe', 'ignore'] })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')))
    child.stdin.write('GET /public/x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n') // the answer's end ends it
    await once(child, 'close')
    const tickets = said.match(/Max Early Data: \d+/g) ?? []
    expect([tickets.length > 0, tickets.filter(line => line !== 'Max Early Data: 0')]).toEqual([true, []])
  })
})

// ---- BUDGET

describe('a flood', () => {
  const honest = async (): Promise<FrameClient> => {
    const client = await FrameClient.connect(gate.target)
    client.push(headers(1, fieldsOf('GET', '/public/before')))
    await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 1 && flags === FLAG.endStream)
    return client
  }
  const servesOn = async (client: FrameClient): Promise<void> => {
    client.push(headers(3, fieldsOf('GET', '/public/behind')))
    await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 3 && flags === FLAG.endStream)
    expect(client.over).toBe(false)
    client.close()
  }

  test('[H2-016, WIRE16] of 800 streams that a window update of nothing breaks ends its connection, and hardly any of it is work', async () => {
    const other = await honest()
    const client = await FrameClient.connect(gate.target)
    for (let i = 0; i < 800 && !client.over; i++) {
      await client.pour(Buffer.concat([headers(2 * i + 1, fieldsOf('GET', `/public/reset${i}`)), windowUpdate(2 * i + 1, 0)]))
      if (i % 10 === 9) await new Promise(resolve => setImmediate(resolve))
    }
    await client.ended
    expect(client.frames.some(({ type }) => type === FRAME.goaway)).toBe(true)
    await servesOn(other)
    expect((await seen()).filter(one => one.includes('reset')).length).toBeLessThanOrEqual(10)
  })

  test('[H2-018, WIRE16] of one stored field, said again to 16 MiB, is reset at the limit of decoded bytes, and not forwarded', async () => {
    const other = await honest()
    const client = await FrameClient.connect(gate.target)
    const big: Field = ['x', 'y'.repeat(4_000)]
    client.push(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, Buffer.concat([block(fieldsOf('GET', '/public/stored')), block([big], true)])))
    await client.first(({ type, stream, flags }) => type === FRAME.data && stream === 1 && flags === FLAG.endStream)
    const before = process.memoryUsage().rss
    for (let stream = 3; stream < 43; stream += 2) client.push(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream, Buffer.concat([block(fieldsOf('GET', '/public/bomb')), ...Array.from({ length: 4_200 }, () => indexed(62))])))
    await client.until(() => client.over || client.frames.filter(({ type }) => type === FRAME.reset).length >= 20)
    expect(client.frames.filter(({ type }) => type === FRAME.reset).map(({ payload }) => payload.readUInt32BE(0)).every(code => code === 11)).toBe(true)
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000) // of 336 MB that it stands for
    await servesOn(other)
    expect((await seen()).filter(one => !/behind|before/.test(one))).toEqual(['GET /public/stored '])
    client.close()
  })
})
