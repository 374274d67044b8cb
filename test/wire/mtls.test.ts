// Callers that prove themselves by a client certificate and nothing else, on two gateways over one Redis: who they are, how long they stay it, and what ends
// with the certificate, its authority or its session. SPEC: SES19, BND4, S1
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { type Authority, type Certificate, ClientAuthority, CLIENT_LEAF, type Leaf, type LeafWords, svidLeaf, testAuthority } from '../support/tls.ts'
import { TapUpstream, until } from './support.ts'

const SVC_DEPLOY = 'CN=svc-deploy,O=Example'
const workload = (name: string, namespace = 'prod'): string => `spiffe://example.org/ns/${namespace}/sa/${name}`

let server: RedisServer
let upstream: TapUpstream
let pair: GatewayPair
let alone: TestGateway
let site: Authority
let authority: ClientAuthority
let stranger: ClientAuthority
let deploy: Leaf
beforeAll(async () => {
  ;[server, upstream, site, authority, stranger] = await Promise.all([RedisServer.start(), TapUpstream.start(), testAuthority(), ClientAuthority.create('CI'), ClientAuthority.create('Stranger')])
  deploy = await authority.issue({ subject: '/O=Example/CN=svc-deploy' })
  pair = await TestGateway.pair(server, { ...plan(), store: 'lease: 1s, hold: { requests: 5s, streams: 30s }' })
  alone = await TestGateway.start({ ...plan(), issuer: pair.a.issuer })
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([upstream.close(), server.dispose()])
})

/** Each gateway has a file of authorities of its own, for each reloads alone. */
const plan = (): GatewayPlan => ({
  routes: '', tls: true,
  config: ({ directory, issuer }) => {
    copyFileSync(authority.cert.certFile, join(directory, 'clients.crt'))
    return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${site.server.certFile}, keyFile: ${site.server.keyFile}, clients: { caFile: ${directory}/clients.crt } } }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy], forwardedCertificates: xfcc }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  trustedProxies: [127.0.0.2/32]
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
  ci: { mtls: { subjects: ["${SVC_DEPLOY}"] }, kind: ci }
  mesh: { mtls: { spiffe: ["spiffe://example.org/ns/*/sa/api", "spiffe://example.org/ns/*/sa/batch"] } }
sessions: { baseline: [{ scopes: [status:read] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: deploy
    match: { host: deploy.test }
    upstream: { url: "${upstream.origin}" }
    authn: [login, ci]
    rules: [{ allow: { methods: [GET], paths: [/status, /status/**] }, scope: status:read }, { allow: { methods: [GET], paths: [/v1/secrets/**] }, scope: secrets:read }]
  - name: mesh
    match: { host: mesh.test }
    upstream: { url: "${upstream.origin}" }
    authn: [mesh]
    rules: [{ allow: { methods: [GET], paths: [/base/**] }, scope: status:read }, { allow: { methods: [GET], paths: [/extra/**] }, scope: extra:use }]
elevations:
  long: { adds: [extra:use], for: 10m }
`
  },
})

type Headers = { readonly [name: string]: string }
type Heard = { readonly status: number; readonly reason: string; readonly json: { readonly [name: string]: unknown } }
const portOf = (gate: TestGateway, listener: string): number => gate.gateway.front.bound.get(listener)?.address.port ?? 0

/** A connection that shows a certificate, or resumes a session. */
async function dial(gate: TestGateway, leaf: Certificate | null, session?: Buffer): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: portOf(gate, 'main'), ca: site.ca, ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }), ...(session === undefined ? {} : { session }) })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

async function said(response: IncomingMessage): Promise<Heard> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  const text = Buffer.concat(chunks).toString('utf8')
  const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Heard['json'] // an object
  return { status: response.statusCode ?? 0, reason: typeof json['reason'] === 'string' ? json['reason'] : '', json }
}

/** One request on a connection, which stays; whatever reaches the upstream is answered with `ok`. */
async function over(socket: TLSSocket, host: string, path: string, headers: Headers = {}, body = ''): Promise<Heard> {
  const sent = request({ createConnection: () => socket, method: body === '' ? 'GET' : 'POST', path, headers: { host, connection: 'keep-alive', ...headers } })
  sent.end(body)
  let heard: Heard | null = null
  const answer = once(sent, 'response').then(([response]) => said(response as IncomingMessage)).then(all => (heard = all)) // what the event carries
  await until(() => heard !== null || upstream.taps.has(path), `an outcome of ${path}`)
  upstream.taps.get(path)?.answer.end('ok')
  return answer
}

async function call(gate: TestGateway, leaf: Certificate | null, host: string, path: string, headers: Headers = {}, body = ''): Promise<Heard> {
  const socket = await dial(gate, leaf)
  try {
    return await over(socket, host, path, headers, body)
  } finally {
    socket.destroy()
  }
}

let turn = 0
const fresh = (path: string): string => `${path}/${++turn}`
/** `200`, or the status and the reason of a refusal. */
const outcome = async (gate: TestGateway, leaf: Certificate | null, host: string, path: string, headers: Headers = {}): Promise<string> => {
  const { status, reason } = await call(gate, leaf, host, fresh(path), headers)
  return status === 200 ? '200' : `${status} ${reason}`
}
const onBoth = async (leaf: Certificate | null, host: string, path: string): Promise<readonly string[]> => [await outcome(pair.a, leaf, host, path), await outcome(pair.b, leaf, host, path)]
const sessionOf = async (gate: TestGateway, leaf: Certificate, host: string): Promise<string> => String((await call(gate, leaf, host, '/.narrowgate/session')).json['id'])
const svid = (name: string, more: Pick<LeafWords, 'from' | 'to'> = {}, namespace = 'prod'): Promise<Leaf> => authority.issue({ ...more, subject: '/O=Example/CN=workload', extensions: svidLeaf(workload(name, namespace)) })

/** A download that has begun, and when its caller lost it. */
async function download(gate: TestGateway, leaf: Certificate, host: string, path: string) {
  const socket = await dial(gate, leaf)
  const sent = request({ createConnection: () => socket, path, headers: { host } })
  sent.on('error', () => {})
  sent.end()
  const tap = await upstream.tap(path)
  tap.begin(null)
  tap.send()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  let [bytes, lostAt] = [0, 0]
  response.on('data', (chunk: Buffer) => (bytes += chunk.length))
  response.on('error', () => {})
  response.on('close', () => (lostAt = Date.now()))
  await until(() => bytes === tap.sent, 'the first bytes')
  return { tap, socket, bytes: () => bytes, lostAt: () => lostAt, ended: () => until(() => lostAt !== 0 && tap.abortedAt !== 0, 'the end of the download') }
}

describe('a certificate alone', () => {
  test('[S1.a, SES19] svc-deploy proves itself by mTLS and reads GET /status on its baseline', async () => {
    for (const gate of [pair.a, pair.b, alone]) {
      expect((await call(gate, deploy, 'deploy.test', '/status')).status).toBe(200)
      upstream.taps.delete('/status')
      expect(await outcome(gate, deploy, 'deploy.test', '/v1/secrets')).toBe('403 elevation_required')
      expect(await outcome(gate, null, 'deploy.test', '/status')).toBe('401 no_credential')
    }
    expect(await sessionOf(pair.b, deploy, 'deploy.test')).toBe(await sessionOf(pair.a, deploy, 'deploy.test'))
    const records = (await pair.trail()).filter(({ kind, route }) => route === 'deploy' && (kind === 'exchange.opened' || kind === 'request.refused'))
    expect(records.map(({ kind, subject }) => `${String(kind)} ${String(subject)}`)).toEqual(['exchange.opened', 'request.refused', 'exchange.opened', 'request.refused'].map(kind => `${kind} x509:CN=CI|${SVC_DEPLOY}`))
  })

  test('[SES19] counts over HTTP/2 likewise', async () => {
    const session = connectHttp2(`https://127.0.0.1:${portOf(pair.a, 'main')}`, { ca: site.ca, cert: deploy.cert, key: deploy.key })
    const stream = session.request({ ':path': '/status/h2', ':authority': 'deploy.test' })
    ;(await upstream.tap('/status/h2')).answer.end('ok')
    const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders] // what the event carries
    session.destroy()
    expect(head[':status']).toBe(200)
  })

  test('[SES19, SES15] never stands in for a header that is wrong', async () => {
    const junk = { authorization: 'Bearer junk' }
    const [bad, basic] = [await outcome(pair.a, deploy, 'deploy.test', '/status', junk), await outcome(pair.a, deploy, 'deploy.test', '/status', { authorization: 'Basic dTpw' })]
    expect([bad, basic]).toEqual(['401 credential_invalid', '401 no_credential'])
    const ended = await pair.a.issuer.sign({}, { now: Date.now() - 7_200_000, lifetime: 60 })
    expect(await outcome(pair.b, deploy, 'deploy.test', '/status', { authorization: `Bearer ${ended}` })).toBe('401 credential_expired')
    expect((await call(pair.a, deploy, 'deploy.test', '/.narrowgate/session', junk)).status).toBe(401)
    expect(await outcome(pair.a, deploy, 'deploy.test', '/status', { authorization: `Bearer ${await pair.a.token()}` })).toBe('200')
  })

  test('[SES19, SES11] of another name, another order of it, or another authority is refused', async () => {
    const others = [
      await authority.issue({ subject: '/O=Other/CN=svc-deploy' }), await authority.issue({ subject: '/CN=svc-deploy' }), await authority.issue({ subject: '/CN=svc-deploy/O=Example' }),
      await stranger.issue({ subject: '/O=Example/CN=svc-deploy' }), await authority.issue({ subject: '/O=Example/CN=svc-deploy', extensions: [...CLIENT_LEAF.slice(0, 2), 'extendedKeyUsage=serverAuth'] }),
      await authority.issue({ subject: '/O=Example/CN=svc-deploy', from: new Date(Date.now() - 7_200_000), to: new Date(Date.now() - 3_600_000) }),
    ]
    for (const leaf of others) expect(await onBoth(leaf, 'deploy.test', '/status')).toEqual(['401 credential_invalid', '401 credential_invalid'])
  })

  test('[SES19] told by a listed proxy counts as if it had come here; told by anybody else it is nothing', async () => {
    const told = `By=spiffe://example.org/proxy;Hash=${'ab'.repeat(32)};URI=${workload('api')}`
    const ask = async (from: string, value: string): Promise<string> => {
      const path = fresh('/base')
      const sent = request({ host: '127.0.0.1', localAddress: from, port: portOf(pair.a, 'inner'), path, headers: { host: 'mesh.test', 'x-forwarded-client-cert': value }, agent: false })
      sent.end()
      let heard: Heard | null = null
      const answer = once(sent, 'response').then(([response]) => said(response as IncomingMessage)).then(all => (heard = all)) // what the event carries
      await until(() => heard !== null || upstream.taps.has(path), `an outcome of ${path}`)
      upstream.taps.get(path)?.answer.end('ok')
      const { status, reason } = await answer
      return status === 200 ? '200' : `${status} ${reason}`
    }
    expect(await ask('127.0.0.2', told)).toBe('200')
    expect(await ask('127.0.0.1', told)).toBe('401 no_credential')
    expect(await ask('127.0.0.2', told.replace('sa/api', 'sa/other'))).toBe('401 credential_invalid')
    expect(await ask('127.0.0.2', `${told},URI=${workload('api')}`)).toBe('401 credential_invalid')
  })
})

describe('a workload', () => {
  test('[SES19, SES2, BND1] keeps its session and its elevation when its SVID is rotated; another workload has neither', async () => {
    const [first, rotated, batch, other] = [await svid('api'), await svid('api'), await svid('batch'), await svid('other')]
    expect(await onBoth(first, 'mesh.test', '/base')).toEqual(['200', '200'])
    expect(await onBoth(first, 'mesh.test', '/extra')).toEqual(['403 elevation_required', '403 elevation_required'])
    const asked = await call(pair.a, first, 'mesh.test', '/.narrowgate/elevations', { 'content-type': 'application/json' }, JSON.stringify({ profile: 'long' }))
    expect([asked.status, asked.reason]).toEqual([201, ''])
    expect(await onBoth(first, 'mesh.test', '/extra')).toEqual(['200', '200'])
    expect(await onBoth(rotated, 'mesh.test', '/extra')).toEqual(['200', '200'])
    expect(await sessionOf(pair.b, rotated, 'mesh.test')).toBe(await sessionOf(pair.a, first, 'mesh.test'))
    expect(await onBoth(batch, 'mesh.test', '/extra')).toEqual(['403 elevation_required', '403 elevation_required'])
    expect(await sessionOf(pair.a, batch, 'mesh.test')).not.toBe(await sessionOf(pair.a, first, 'mesh.test'))
    expect(await onBoth(other, 'mesh.test', '/base')).toEqual(['401 credential_invalid', '401 credential_invalid'])
    expect(await onBoth(deploy, 'mesh.test', '/base')).toEqual(['401 credential_invalid', '401 credential_invalid'])
  })

  test('[SES19, SES6] what is open ends with the certificate, unless a rotated one came before', async () => {
    const end = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 4_000)
    const [api, batch] = [await svid('api', { to: end }, 'brief'), await svid('batch', { to: end }, 'brief')]
    const next = await svid('batch', { to: new Date(end.getTime() + 3_600_000) }, 'brief')
    const [left, renewed] = [await download(pair.a, api, 'mesh.test', fresh('/base')), await download(pair.b, batch, 'mesh.test', fresh('/base'))]
    const socket = await dial(pair.a, api)
    expect((await over(socket, 'mesh.test', fresh('/base'))).status).toBe(200)
    expect(await outcome(pair.b, next, 'mesh.test', '/base')).toBe('200')
    expect(left.lostAt()).toBe(0)
    await left.ended()
    expect(left.lostAt()).toBeGreaterThanOrEqual(end.getTime() - 50)
    expect(left.lostAt()).toBeLessThan(end.getTime() + 1_500)
    expect((await over(socket, 'mesh.test', fresh('/base'))).reason).toBe('credential_invalid') // on a connection from before
    expect(await onBoth(api, 'mesh.test', '/base')).toEqual(['401 credential_invalid', '401 credential_invalid'])
    const before = renewed.tap.sent
    renewed.tap.send()
    await until(() => renewed.bytes() > before, 'more of the download')
    expect(renewed.lostAt()).toBe(0)
    renewed.socket.destroy()
    socket.destroy()
  })

  test('[SES19, SES6] stays refused after its session is revoked, on both gateways, with every certificate of before', async () => {
    const [first, second] = [await svid('batch'), await svid('batch')]
    expect(await onBoth(first, 'mesh.test', '/base')).toEqual(['200', '200'])
    const open = await download(pair.b, first, 'mesh.test', fresh('/base'))
    const { status } = await pair.a.admin('POST', `/v1/sessions/${await sessionOf(pair.a, first, 'mesh.test')}/terminate`, { reason: 'test' })
    expect(status).toBe(200)
    await open.ended()
    for (const leaf of [first, second]) expect(await onBoth(leaf, 'mesh.test', '/base')).toEqual(['401 credential_revoked', '401 credential_revoked'])
    const later = await svid('batch', { from: new Date(Date.now() + 1_000) })
    const starts = Math.ceil(Date.now() / 1_000) * 1_000 + 1_000
    await until(() => Date.now() > starts, 'the first moment of the certificate')
    expect(await onBoth(later, 'mesh.test', '/base')).toEqual(['200', '200'])
    expect(await outcome(pair.a, first, 'mesh.test', '/base')).toBe('401 credential_revoked')
  })
})

describe('an authority that is reloaded away', () => {
  const reload = async (gate: TestGateway, ...authorities: readonly ClientAuthority[]): Promise<void> => {
    writeFileSync(join(gate.directory, 'clients.crt'), authorities.map(({ cert }) => readFileSync(cert.certFile, 'utf8')).join(''))
    const loaded = await gate.gateway.reload('test')
    expect(loaded.ok).toBe(true)
  }

  test('[SES19, BND4] cuts what its certificates hold open, where it was reloaded, and refuses them from then on', async () => {
    const [here, there] = [await download(pair.a, deploy, 'deploy.test', fresh('/status')), await download(pair.b, deploy, 'deploy.test', fresh('/status'))]
    const resumed = await dial(pair.a, deploy)
    let session: Buffer | null = null
    resumed.on('session', (ticket: Buffer) => (session = ticket))
    expect((await over(resumed, 'deploy.test', fresh('/status'))).status).toBe(200)
    await until(() => session !== null, 'a ticket to resume the session with')
    await reload(pair.a, stranger)
    await here.ended()
    expect(await outcome(pair.a, deploy, 'deploy.test', '/status')).toBe('401 credential_invalid')
    const again = await dial(pair.a, deploy, session ?? undefined)
    expect((await over(again, 'deploy.test', fresh('/status'))).reason).toBe('credential_invalid')
    again.destroy()
    expect(await outcome(pair.b, deploy, 'deploy.test', '/status')).toBe('200')
    expect(there.lostAt()).toBe(0)
    await reload(pair.b, stranger)
    await there.ended()
    expect(await onBoth(deploy, 'deploy.test', '/status')).toEqual(['401 credential_invalid', '401 credential_invalid'])
    await Promise.all([pair.a, pair.b].map(gate => reload(gate, authority, stranger)))
    expect(await onBoth(deploy, 'deploy.test', '/status')).toEqual(['200', '200'])
  })

  test('[SES19, CFG10] and a certificate that another pattern no longer names ends with the reload', async () => {
    const api = await svid('api')
    const open = await download(pair.a, api, 'mesh.test', fresh('/base'))
    writeFileSync(pair.a.configFile, readFileSync(pair.a.configFile, 'utf8').replace('"spiffe://example.org/ns/*/sa/api", ', ''))
    expect((await pair.a.gateway.reload('test')).ok).toBe(true)
    await open.ended()
    expect(await onBoth(api, 'mesh.test', '/base')).toEqual(['401 credential_invalid', '200'])
  })
})
