// What lies behind a gateway, as its callers and operators see it: second attempts, limits, identity, rewriting behind the decision, PROXY headers on
// both sides, and a reload that leaves alone what did not change. SPEC: CFG10, WIRE8, WIRE20, WIRE21, WIRE23, WIRE24
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { localProxyHeader, proxyHeader } from '../../src/upstream/proxy-protocol.ts'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { testAuthority } from '../support/tls.ts'
import { until } from './support.ts'

const stops: (() => unknown)[] = []
afterEach(async () => { for (const stop of stops.splice(0).reverse()) await stop() })

async function start(plan: GatewayPlan): Promise<TestGateway> {
  const gate = await TestGateway.start(plan)
  stops.push(() => gate.stop())
  return gate
}

async function recording(): Promise<RecordingUpstream> {
  const upstream = await RecordingUpstream.start()
  stops.push(() => upstream.close())
  return upstream
}

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stops.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port // it listens on TCP
}

/** A port that nobody listens on. */
async function nowhere(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // as above
  await new Promise(resolve => server.close(resolve))
  return port
}

const routeTo = (upstream: string, more = ''): string => `
- name: api
  match: { host: api.test }
  upstream: ${upstream}${more === '' ? '' : `\n  ${more}`}
  rules: [{ allow: {}, scope: base:read }]`

const bearer = async (gate: TestGateway): Promise<{ readonly authorization: string }> => ({ authorization: `Bearer ${await gate.token()}` })
const sample = async (gate: TestGateway, row: string): Promise<string | undefined> => (await gate.ops('/metrics')).text.split('\n').find(line => line.startsWith(row))?.split(' ').at(-1)

describe('addresses', () => {
  test('[WIRE20] a dead one costs no caller anything: it is counted, left out, and shown', async () => {
    const upstream = await recording()
    const gate = await start({ routes: routeTo(`{ addresses: [{ url: "http://127.0.0.1:${await nowhere()}" }, { url: "${upstream.origin}" }], ejection: { failures: 2, for: 1h } }`) })
    const headers = await bearer(gate)
    for (let i = 0; i < 10; i++) expect((await gate.ask(i % 2 === 0 ? 'GET' : 'POST', `/a${i}`, headers, i % 2 === 0 ? '' : 'body')).status).toBe(200)
    expect([upstream.requests.length, await sample(gate, 'narrowgate_upstream_retries_total{upstream="route:api",on="connect"}'), await sample(gate, 'narrowgate_upstream_ejections_total{upstream="route:api"}')]).toEqual([10, '2', '1'])
    const shown = (await gate.ops('/metrics')).text.split('\n').filter(line => line.startsWith('narrowgate_upstream_addresses{upstream="route:api"'))
    expect(shown.map(line => line.split(' ').at(-1))).toEqual(['1', '1']) // one well, one out
  })

  test('[WIRE8, WIRE20] where none can be reached the answer is 502, where every connection is in use 503, each by its word', async () => {
    const upstream = await recording()
    const gate = await start({
      upstream,
      routes: `${routeTo(`{ url: "http://127.0.0.1:${await nowhere()}" }`)}
- name: full
  match: { host: full.test }
  upstream: { url: "${upstream.origin}", connections: 1 }
  rules: [{ allow: {}, scope: base:read }]`,
    })
    const headers = await bearer(gate)
    expect(await gate.ask('GET', '/', headers)).toMatchObject({ status: 502, json: { reason: 'upstream_unavailable' } })
    const first = gate.ask('GET', '/gate/one', { ...headers, host: 'full.test' })
    await until(() => upstream.requests.length === 1, 'the first is there')
    expect(await gate.ask('GET', '/', { ...headers, host: 'full.test' })).toMatchObject({ status: 503, json: { reason: 'upstream_busy' } })
    upstream.release('one')
    expect([(await first).status, (await gate.ask('GET', '/', { ...headers, host: 'full.test' })).status, upstream.requests.length]).toEqual([200, 200, 2])
  })

  test('[WIRE20] who waits for a stream of an HTTP/2 upstream waits no longer than its timeout', async () => {
    const silent = await listening(createServer(socket => void socket.resume()))
    const gate = await start({ routes: routeTo(`{ url: "http://127.0.0.1:${silent}", protocol: http2, timeout: 300ms }`) })
    const headers = await bearer(gate)
    const began = performance.now()
    const answers = await Promise.all([gate.ask('GET', '/', headers), gate.ask('POST', '/', headers, 'body')])
    expect(answers.map(({ status, json }) => [status, json['reason']])).toEqual([[504, 'upstream_timeout'], [504, 'upstream_timeout']])
    expect(performance.now() - began).toBeLessThan(3_000)
  })

  test('[WIRE20] a caller that goes away while a connection is being made never reaches the upstream', async () => {
    const { caFile } = await testAuthority()
    const ends: Promise<unknown>[] = []
    let bytes = ''
    const stalled = await listening(createServer(socket => {
      ends.push(once(socket, 'close'))
      socket.on('data', (chunk: Buffer) => (bytes += chunk.toString('latin1')))
    }))
    const gate = await start({ routes: routeTo(`{ url: "https://127.0.0.1:${stalled}", tls: { caFile: ${caFile} } }`) })
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', '/never-to-be-seen', await bearer(gate)))
    await until(() => ends.length === 1 && bytes !== '', 'the handshake began')
    client.close()
    await ends[0]
    expect([bytes.includes('never-to-be-seen'), gate.parts.inflight.size, await sample(gate, 'narrowgate_upstream_connections_busy{upstream="route:api"}')]).toEqual([false, 0, '0'])
  })
})

describe('identity', () => {
  test('[WIRE21] an upstream with another name, or of another authority, is refused to the caller and gets no byte of the request', async () => {
    const authority = await testAuthority()
    const wrong = await authority.issue('wrong', ['DNS:wrong.example'])
    const asked: string[] = []
    const server = createHttpsServer({ cert: wrong.cert, key: wrong.key }, ({ url }, answer) => {
      asked.push(url ?? '')
      answer.end('ok')
    })
    server.on('tlsClientError', () => undefined)
    const url = `https://127.0.0.1:${await listening(server)}`
    const routes = ['', `tls: { caFile: ${authority.caFile} }`, `tls: { caFile: ${authority.caFile}, serverName: wrong.example }`].map((tls, i) => `
- name: r${i}
  match: { host: r${i}.test }
  upstream: { url: "${url}"${tls === '' ? '' : `, ${tls}`} }
  rules: [{ allow: {}, scope: base:read }]`).join('')
    const gate = await start({ routes })
    const headers = await bearer(gate)
    const answers = await Promise.all([0, 1, 2].map(i => gate.ask('GET', `/${i}`, { ...headers, host: `r${i}.test` })))
    expect([answers.map(({ status, json }) => [status, json['reason']]), asked]).toEqual([[[502, 'upstream_unavailable'], [502, 'upstream_unavailable'], [200, undefined]], ['/2']])
  })
})

describe('rewriting', () => {
  test('[WIRE24] the judge and the record know the caller\'s host and path, the upstream reads the rewritten ones', async () => {
    const upstream = await recording()
    const gate = await start({
      upstream,
      routes: `
- name: api
  match: { host: api.test, path: "/public/v1/**" }
  upstream: { url: "${upstream.origin}" }
  rewrite: { host: upstream, path: { from: /public/v1, to: /internal } }
  rules:
    - { allow: { paths: ["/public/v1/open/**"] }, scope: base:read, if: 'request.path.startsWith("/public/v1/")' }
    - { allow: { paths: ["/internal/**"] }, scope: base:read }`,
    })
    const headers = await bearer(gate)
    const passed = await gate.ask('GET', '/public/v1/open/%C3%A9?x=1&y=%2F', headers)
    expect(passed.status).toBe(200)
    expect(upstream.requests.map(({ url }) => url)).toEqual(['/internal/open/%C3%A9?x=1&y=%2F'])
    const [seen] = upstream.requests
    expect([seen?.header('host'), seen?.header('x-forwarded-host')]).toEqual([[upstream.origin.slice('http://'.length)], ['api.test']])
    const records = (await gate.trail()).filter(line => line['kind'] === 'exchange.opened')
    expect(records.map(line => [line['host'], line['path']])).toEqual([['api.test', '/public/v1/open/%C3%A9']])
    expect([(await gate.ask('GET', '/public/v1/secret', headers)).status, (await gate.ask('GET', '/internal/open/x', headers)).status, upstream.requests.length]).toEqual([403, 404, 1])
  })
})

describe('PROXY headers', () => {
  const HEADER = proxyHeader({ address: '203.0.113.9', port: 4_711 }, { address: '127.0.0.1', port: 443 }) ?? Buffer.alloc(0)

  const behindProxy = (upstream: string, trusted: string): GatewayPlan => ({
    routes: '[]',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  trustedProxies: ["${trusted}"]
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], proxyProtocol: true }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream}", proxyProtocol: ${upstream.endsWith('#') ? 'true' : 'false'} }
    rules: [{ allow: {}, scope: base:read, if: 'source.inCidr("203.0.113.9/32")' }]
`.replace('#"', '"'),
  })

  async function answered(gate: TestGateway, first: Buffer): Promise<number> {
    const client = await RawClient.connect(gate.target)
    stops.push(() => client.close())
    client.push(Buffer.concat([first, Buffer.from(request('GET', '/x', await bearer(gate)))]))
    return (await client.response()).status
  }

  test('[WIRE23] of a listed proxy make the named address the peer, in conditions and towards the upstream; the proxy\'s own connection is the proxy\'s', async () => {
    const upstream = await recording()
    const gate = await start(behindProxy(upstream.origin, '127.0.0.0/8'))
    expect([await answered(gate, HEADER), await answered(gate, localProxyHeader())]).toEqual([200, 403])
    expect(upstream.requests.map(seen => seen.header('x-forwarded-for'))).toEqual([['203.0.113.9']])
  })

  test('[WIRE23] of anybody else drop the connection before a request is read', async () => {
    const upstream = await recording()
    const gate = await start(behindProxy(upstream.origin, '192.0.2.0/24'))
    const client = await RawClient.connect(gate.target)
    client.push(Buffer.concat([HEADER, Buffer.from(request('GET', '/x', await bearer(gate)))]))
    expect(await client.ended).not.toBe('closed here')
    expect([client.received, upstream.requests.length]).toEqual([0, 0])
  })

  test('[WIRE23] open every connection to an upstream that wants them, name the caller to the byte, and no connection serves two requests', async () => {
    const opened: string[] = []
    const port = await listening(createServer(socket => socket.once('data', (bytes: Buffer) => {
      opened.push(`${bytes.toString('hex', 0, 24)} ${bytes.toString('latin1', 28, 31)}`)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })))
    const gate = await start(behindProxy(`http://127.0.0.1:${port}#`, '127.0.0.0/8'))
    expect([await answered(gate, HEADER), await answered(gate, HEADER)]).toEqual([200, 200])
    const expected = '0d0a0d0a000d0a515549540a2111000ccb0071097f000001 GET'
    expect(opened).toEqual([expected, expected])
  })
})

describe('a reload', () => {
  test('[CFG10, WIRE20] keeps the connections of an upstream that did not change, and closes those of one that is gone', async () => {
    const [kept, gone] = [await recording(), await recording()]
    const gate = await start({
      upstream: kept,
      routes: `${routeTo(`{ url: "${kept.origin}" }`)}
- name: gone
  match: { host: gone.test }
  upstream: { url: "${gone.origin}" }
  rules: [{ allow: {}, scope: base:read }]`,
    })
    const headers = await bearer(gate)
    await gate.ask('GET', '/one', headers)
    await gate.ask('GET', '/one', { ...headers, host: 'gone.test' })
    const before = kept.connections.length
    const text = readFileSync(gate.configFile, 'utf8')
    writeFileSync(gate.configFile, text.replace('host: gone.test', 'host: gone.test, path: /other').replace(gone.origin, kept.origin))
    expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200)
    await until(() => gone.connections.every(({ socket }) => socket.destroyed), 'the one that is gone is left')
    await gate.ask('GET', '/two', headers)
    expect([kept.connections.length, kept.requests.length]).toEqual([before, 2])
  })
})
