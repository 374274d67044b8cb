// A real nginx with `auth_request` in front of the forward-auth endpoint, by the very file that the documentation shows: what callers get, what the
// protected application gets, and what callers cannot make of it. SPEC: FWA1-FWA4
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { Nginx } from '../support/nginx.ts'
import { DpopKey, seconds, sessionsOf } from '../support/possession.ts'
import { headerOf, RawClient, type RawResponse, request } from '../support/raw-client.ts'
import { type RecordedRequest, RecordingUpstream } from '../support/recording-upstream.ts'
import { testAuthority } from '../support/tls.ts'
import { operate } from './support.ts'

const PROGRAM = inject('nginx')
const SECRET = 'a-secret-of-thirty-two-characters-or-more'
const CONF = readFileSync(new URL('../../config/forward-auth/nginx.conf', import.meta.url), 'utf8')

let app: RecordingUpstream
let gate: TestGateway
let nginx: Nginx
let ca: string

/** @throws where the file does not say that exactly once */
function put(text: string, said: string, instead: string): string {
  const parts = text.split(said)
  if (parts.length !== 2) throw new Error(`${said} stands ${parts.length - 1} times`)
  return parts.join(instead)
}

async function conf(address: string): Promise<(port: number, folder: string) => string> {
  const { server: { certFile, keyFile } } = await testAuthority()
  return (port, folder) => {
    writeFileSync(join(folder, 'token.conf'), `proxy_set_header Narrowgate-Forward-Token "${SECRET}";\n`)
    const changes = [
      ['server 127.0.0.1:9445;', `server ${address};`], ['server 127.0.0.1:3000;', `server ${new URL(app.origin).host};`], ['listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`], ['server_name api.example;', 'server_name api.test;'],
      ['/tls/tls.crt', certFile], ['/tls/tls.key', keyFile], ['/etc/nginx/narrowgate-token.conf', join(folder, 'token.conf')],
    ] as const
    return changes.reduce((text, [said, instead]) => put(text, said, instead), CONF)
  }
}

const config = ({ directory, issuer }: { readonly directory: string; readonly issuer: { readonly issuer: string } }): string => {
  writeFileSync(join(directory, 'token'), SECRET)
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: ask, address: "127.0.0.1:0", serves: [decisions] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
decisions: { forwardAuth: { from: [nginx], peers: [127.0.0.1/32], tokenFile: ${directory}/token } }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json, dpop: optional }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${app.origin}" } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { paths: ["/write/**"] }, scope: api:write }
      - { allow: { paths: ["/open/**"] }, anonymous: true }
      - { allow: { paths: ["/here/**"] }, scope: base:read, if: 'source.address == "127.0.0.1"' }
      - { allow: { paths: ["/base/**"] }, scope: base:read }
elevations: { writer: { adds: [api:write], for: 10m, limits: { uses: 2 } } }
`
}

beforeAll(async () => {
  if (PROGRAM === null) return
  ca = (await testAuthority()).ca
  app = await RecordingUpstream.start()
  gate = await TestGateway.start({ routes: '', config, upstream: app })
  nginx = await Nginx.start(PROGRAM, await conf(gate.gateway.front.address('ask')))
})
afterAll(async () => {
  if (PROGRAM === null) return
  await nginx.stop()
  await gate.stop()
  await app.close()
})

let turn = 0
const fresh = (place: string): string => `/${place}/n${++turn}`
type Headers = { readonly [name: string]: string }

async function through(text: string): Promise<RawResponse> {
  const client = await RawClient.connect({ port: nginx.port, tls: { ca } })
  await client.send(text)
  const response = await client.response()
  client.close()
  return response
}

/** What the caller gets, and every request that got to the application by this path. */
async function asked(method: string, path: string, headers: Headers = {}, body = ''): Promise<{ readonly status: number; readonly response: RawResponse; readonly got: readonly RecordedRequest[] }> {
  const response = await through(request(method, path, { host: 'api.test', ...headers }, body))
  return { status: response.status, response, got: app.requests.filter(({ url }) => url === path) }
}

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })

describe.skipIf(PROGRAM === null)('nginx with auth_request', () => {
  test('[FWA2, FWA3] passes on what the session may, with the word on its standing and without the credential, and its body with it', async () => {
    const [token, path] = [await gate.token(), fresh('base')]
    const { status, got } = await asked('POST', path, bearer(token), 'a body')
    expect([status, got.length, got[0]?.body().toString()]).toEqual([200, 1, 'a body'])
    expect([got[0]?.header('narrowgate-context')[0]?.split('.').length, got[0]?.header('authorization'), got[0]?.header('narrowgate-session'), got[0]?.header('narrowgate-forward-token')]).toEqual([3, [], [], []])
    const opened = (await gate.trail()).find(line => line['kind'] === 'exchange.opened' && line['path'] === path)
    expect(opened).toMatchObject({ method: 'POST', host: 'api.test', source: '127.0.0.1', session: (await gate.session(token)).id })
  })

  test('[FWA3, WIRE9] tells a caller without a credential what counts, and passes nothing on', async () => {
    const { status, response, got } = await asked('GET', fresh('base'))
    expect([status, got]).toEqual([401, []])
    expect(headerOf(response, 'www-authenticate')).toMatch(/^Bearer /)
  })

  test('[FWA3, ENF3] refuses the next request of a session that was terminated', async () => {
    const token = await gate.token()
    expect((await asked('GET', fresh('base'), bearer(token))).status).toBe(200)
    await operate(gate, (await gate.session(token)).id, 'terminate', { reason: 'test' })
    const { status, response, got } = await asked('GET', fresh('base'), bearer(token))
    expect([status, got]).toEqual([401, []])
    expect(headerOf(response, 'www-authenticate')).toContain('invalid_token')
  })

  test('[FWA3, ELV8] each request takes one use of an elevation, and none more is passed on', async () => {
    const token = await gate.token()
    expect((await asked('DELETE', fresh('write'), bearer(token))).status).toBe(403)
    await gate.elevate(token, 'writer')
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) statuses.push((await asked('DELETE', fresh('write'), bearer(token))).status)
    expect(statuses).toEqual([200, 200, 403])
  })

  test('[FWA2, BND2] a DPoP proof counts for the address that the caller sees, and once', async () => {
    const key = await DpopKey.make()
    const [token, path] = [await gate.token({ cnf: { jkt: key.thumbprint } }), fresh('base')]
    const proof = async (uri: string): Promise<Headers> => ({ authorization: `DPoP ${token}`, dpop: await key.proof('GET', uri, token, { claims: { iat: seconds(1) } }) }) // a store counts none from before it
    const headers = { ...(await proof(`https://api.test:${nginx.port}${path}`)), host: `api.test:${nginx.port}` }
    const first = await asked('GET', path, headers)
    expect([first.status, first.got.length, first.got[0]?.header('dpop')]).toEqual([200, 1, []])
    expect((await asked('GET', path, headers)).status).toBe(401)
    expect((await asked('GET', path, await proof(`http://${gate.gateway.front.address('ask')}/forward-auth/nginx`))).status).toBe(401)
  })

  test('[FWA1, FWA2] a caller that writes the proxy\'s own headers changes nothing about what is judged', async () => {
    const [token, path] = [await gate.token(), fresh('here')]
    const forged = { 'X-Original-Method': 'GET', 'X-Original-URL': 'https://api.test/open/x', 'X-Forwarded-For': '203.0.113.7', 'X-Real-IP': '203.0.113.7', 'X-Forwarded-Proto': 'http', 'X-Forwarded-Host': 'other.test', 'X-Forwarded-Uri': '/open/x', 'X-HTTP-Method-Override': 'DELETE', 'Remote-User': 'root', 'Narrowgate-Forward-Token': SECRET }
    const anonymous = await asked('DELETE', fresh('write'), forged)
    expect([anonymous.status, anonymous.got]).toEqual([401, []])
    const { status, got } = await asked('POST', path, { ...forged, ...bearer(token), 'Narrowgate-Context': 'forged', 'Narrowgate-Elevation': 'elv_forged' })
    expect([status, got.length, got[0]?.header('narrowgate-context')[0] === 'forged', got[0]?.header('narrowgate-elevation'), got[0]?.header('x-forwarded-for')]).toEqual([200, 1, false, [], ['127.0.0.1']])
    expect(['x-original-url', 'x-http-method-override', 'remote-user'].flatMap(name => got[0]?.header(name) ?? [])).toEqual([])
    const opened = (await gate.trail()).find(line => line['kind'] === 'exchange.opened' && line['path'] === path)
    expect(opened).toMatchObject({ method: 'POST', host: 'api.test', source: '127.0.0.1' })
    const open = await asked('GET', fresh('open'), { 'Narrowgate-Context': 'forged' })
    expect([open.status, open.got[0]?.header('narrowgate-context')]).toEqual([200, []])
  })

  test('[FWA2] what is judged is the host that nginx goes by, also where the caller names two', async () => {
    const path = fresh('base')
    const { status } = await through(`GET http://other.test${path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${await gate.token()}\r\nConnection: close\r\n\r\n`)
    expect([status, app.requests.filter(({ url }) => url === path)]).toEqual([403, []])
  })

  test('[FWA2, WIRE1] a path that can be read in two ways is refused before nginx reads it in its own', async () => {
    const token = await gate.token()
    const before = app.requests.length
    for (const path of ['/open/../write/x', '/base//x', '/base/%2e%2e/write/x', '/base/%2fx', '/base/%00']) {
      const { status } = await asked('GET', path, bearer(token))
      expect([400, 403], path).toContain(status)
    }
    expect(app.requests.length).toBe(before)
  })

  test('[FWA1] nobody reaches the question itself through nginx', async () => {
    const before = await sessionsOf(gate)
    expect((await asked('GET', '/.narrowgate-check', bearer(await gate.token()))).status).toBe(404)
    expect(await sessionsOf(gate)).toEqual(before)
  })

  test('[FWA3] where the gateway cannot be asked, nothing is passed on', async () => {
    const alone = await Nginx.start(PROGRAM ?? '', await conf('127.0.0.1:1'))
    try {
      const client = await RawClient.connect({ port: alone.port, tls: { ca } })
      const path = fresh('open')
      await client.send(request('GET', path, { host: 'api.test' }))
      const { status } = await client.response()
      client.close()
      expect([status, app.requests.filter(({ url }) => url === path)]).toEqual([500, []])
    } finally {
      await alone.stop()
    }
  })
})
