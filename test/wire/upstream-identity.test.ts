// What upstreams are told of a request and how they can tell that we said it: tokens and signatures as they arrive, over HTTP/1.1, HTTP/2, gRPC and
// WebSocket, verified with nothing but the key set that the gateway publishes. Whole gateways, real sockets. SPEC: CTX1-CTX4, CTX7-CTX9
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/core/session.ts'
import type { PublicKey } from '../../src/upstream/signing-key.ts'
import { newKeyPem, signingKeyOf } from '../../src/upstream/signing-key.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { type RecordedRequest, RecordingUpstream } from '../support/recording-upstream.ts'
import { isDigestOf, type ReadMessage, verified } from '../support/signed-message.ts'
import { until } from './support.ts'

let gate: TestGateway
let upstream: RecordingUpstream
let http2: Http2Server
let folder: string
const streams: (readonly string[])[] = []
const own = newKeyPem()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ng-identity-'))
  writeFileSync(join(folder, 'own.pem'), own)
  writeFileSync(join(folder, 'secret'), 'injected-7f3a')
  upstream = await RecordingUpstream.start()
  http2 = createServer()
  http2.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
    streams.push(raw)
    stream.respond(headers['content-type'] === 'application/grpc' ? { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' } : { ':status': 200 }, { endStream: true })
    stream.resume()
  })
  http2.listen(0, '127.0.0.1')
  await once(http2, 'listening')
  const h2 = `http://127.0.0.1:${(http2.address() as AddressInfo).port}`
  gate = await TestGateway.start({
    upstream, listener: 'protocols: [http1, http2]',
    routes: `
- name: told
  match: { host: told.test }
  upstream: { url: "${upstream.origin}", txnToken: { audience: prod.example, life: 2m }, sign: { keyFile: context } }
  rules:
    - { allow: { paths: ["/echo/open"] }, anonymous: true }
    - { allow: { paths: ["/echo/extra"] }, scope: extra:use }
    - { allow: { paths: ["/echo/judged"] }, scope: base:read, inspect: json }
    - { allow: { paths: ["/socket"], upgrade: websocket }, scope: base:read }
    - { allow: {}, scope: base:read }
- name: fixed
  match: { host: fixed.test }
  upstream: { url: "${upstream.origin}", txnToken: { audience: prod.example, scope: "orders stock" } }
  rules: [{ allow: {}, scope: base:read }]
- name: own
  match: { host: own.test, path: "/echo/out/**" }
  upstream: { url: "${upstream.origin}", credential: { header: x-secret, valueFile: ${folder}/secret }, sign: { keyFile: ${folder}/own.pem, keyId: edge-1, tag: orders, expires: 5s, components: ["@method", "@target-uri", x-secret, x-two, content-digest] } }
  rewrite: { host: upstream, path: { from: /echo/out, to: /echo/in } }
  rules: [{ allow: {}, scope: base:read }]
- { name: bare, match: { host: bare.test }, upstream: { url: "${upstream.origin}", sign: { keyFile: ${folder}/own.pem, keyId: edge-1 } }, rules: [{ allow: {}, scope: base:read }] }
- name: two
  match: { host: two.test }
  upstream: { url: "${h2}", protocol: http2, txnToken: { audience: prod.example }, sign: { keyFile: context, components: ["@method", "@authority", "@scheme", "@path", "@query", narrowgate-context, txn-token, grpc-timeout] } }
  rules: [{ allow: {}, scope: base:read }]
- name: plain
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {}, scope: base:read }]`,
    elevations: 'long: { adds: [extra:use, extra:more], for: 10m, purpose: [ticket] }\nbrief: { adds: [extra:use], for: 4s, purpose: [ticket] }',
    more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
  })
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  http2.close()
  rmSync(folder, { recursive: true, force: true })
})

const keySet = async (): Promise<{ readonly keys: readonly PublicKey[] }> => (await gate.ask('GET', '/.narrowgate/jwks.json')).json as unknown as { readonly keys: readonly PublicKey[] } // what it serves there

async function seen(host: string, path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET', body = ''): Promise<RecordedRequest> {
  const before = upstream.requests.length
  const { status, text } = await gate.ask(method, path, { host, ...headers }, body)
  expect([status, text], text).toEqual([200, text])
  const got = upstream.requests[before]
  if (got === undefined) throw new Error('nothing arrived')
  return got
}

const messageOf = ({ method, url, rawHeaders }: RecordedRequest): ReadMessage => ({ method, scheme: 'http', path: url, headers: rawHeaders.flat() })
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

async function transactionIn(got: Pick<RecordedRequest, 'header'>): Promise<JWTPayload> {
  expect(got.header('txn-token')).toHaveLength(1)
  const keys = createLocalJWKSet((await keySet()) as unknown as JSONWebKeySet) // its keys are read-only
  return (await jwtVerify(got.header('txn-token')[0] ?? '', keys, { audience: 'prod.example', issuer: 'narrowgate', typ: 'txntoken+jwt', algorithms: ['EdDSA'] })).payload
}

describe('the tokens', () => {
  test('[CTX1] the context names actors, outermost first, and the ticket of an elevation by its canonical name', async () => {
    const token = await gate.token({ act: { sub: 'orchestrator', act: { sub: 'person', iss: 'https://staff.example' } } })
    await gate.elevate(token, 'long', 'T-1')
    const got = await seen('told.test', '/echo/extra', { ...bearer(token), 'narrowgate-ticket': 'T-1' })
    const context = decodeJwt(got.header('narrowgate-context')[0] ?? '')
    expect(context).toMatchObject({
      aud: 'route:told', profile: 'long', purpose: { ticket: 'T-1' }, ticket: 'manual//T-1', scope: 'extra:more extra:use',
      act: { iss: gate.issuer.issuer, sub: 'orchestrator', act: { iss: 'https://staff.example', sub: 'person' } },
    })
    expect(context['approval']).toBeUndefined()
  })

  test('[CTX3, CTX4] a Txn-Token, exactly one and ours, says for which domain, what for, by whom, and what stands behind it', async () => {
    const token = await gate.token()
    const { id } = await gate.session(token)
    const elevation = await gate.elevate(token, 'long', 'T-2')
    const got = await seen('told.test', '/echo/extra', { ...bearer(token), 'narrowgate-ticket': 'T-2', 'txn-token': 'forged', 'Txn_Token': 'x' }).catch(() => null)
    expect(got).toBeNull() // under a spelling that may be read as it, nothing goes
    const payload = await transactionIn(await seen('told.test', '/echo/extra', { ...bearer(token), 'narrowgate-ticket': 'T-2', 'txn-token': 'forged' }))
    expect(payload).toMatchObject({
      sub: `${gate.issuer.issuer}|agent-1`, req_wl: 'narrowgate', scope: 'extra:more extra:use',
      tctx: { session: id, grant: elevation, elevation, profile: 'long', purpose: { ticket: 'T-2' }, ticket: 'manual//T-2' }, rctx: { source: '127.0.0.1' },
    })
    expect([(payload.exp ?? 0) - (payload.iat ?? 0), String(payload['txn']).length]).toEqual([120, 43])
    expect(JSON.stringify(payload)).not.toContain(token.slice(-20))
  })

  test('[CTX4] on the baseline it has the scope that the rule asks for, or what the upstream is configured with; one transaction is the same one for every upstream', async () => {
    const token = await gate.token()
    const one = await transactionIn(await seen('told.test', '/echo/a', bearer(token)))
    const two = await transactionIn(await seen('fixed.test', '/echo/a', bearer(token)))
    expect([one['scope'], two['scope'], (two.exp ?? 0) - (two.iat ?? 0)]).toEqual(['base:read', 'orders stock', 30])
    expect(one['txn']).toBe(two['txn'])
    expect((await transactionIn(await seen('told.test', '/echo/a', bearer(await gate.token({ sub: 'other' })))))['txn']).not.toBe(one['txn'])
  })

  test('[CTX2] neither speaks for longer than its elevation lasts, and both are used again meanwhile', async () => {
    const token = await gate.token({ sub: 'brief' })
    const id = await gate.elevate(token, 'brief', 'T-3')
    const headers = { ...bearer(token), 'narrowgate-ticket': 'T-3' }
    const [one, two] = [await seen('told.test', '/echo/extra', headers), await seen('told.test', '/echo/extra', headers)]
    const state = gate.parts.mirror.byId((await gate.session(token)).id as SessionId)?.record.elevations.find(each => String(each.id) === id)?.state // as it was given out
    const end = state?.is === 'active' ? state.until : 0
    for (const name of ['narrowgate-context', 'txn-token']) {
      expect(decodeJwt(one.header(name)[0] ?? '').exp, name).toBeLessThanOrEqual(end / 1000)
      expect(two.header(name), name).toEqual(one.header(name))
    }
  })

  test('[CTX2] a session that changed is told of by others', async () => {
    const token = await gate.token({ sub: 'changing' })
    const one = await seen('told.test', '/echo/a', bearer(token))
    await gate.elevate(token, 'long', 'T-4')
    const two = await seen('told.test', '/echo/a', bearer(token))
    expect((await transactionIn(two))['txn']).not.toBe((await transactionIn(one))['txn'])
  })

  test('[CTX3, WIRE13] an upstream that wants none gets none, and nobody\'s request has none', async () => {
    const token = await gate.token()
    const plain = await seen('api.test', '/echo/a', { ...bearer(token), 'txn-token': 'forged' })
    expect([plain.header('txn-token'), plain.header('signature'), plain.header('narrowgate-context').length]).toEqual([[], [], 1])
    const open = await seen('told.test', '/echo/open')
    expect([open.header('txn-token'), open.header('narrowgate-context')]).toEqual([[], []])
  })
})

describe('the key set', () => {
  test('[CTX7] public halves alone, at both places, for a minute', async () => {
    for (const path of ['/.narrowgate/jwks.json', '/.well-known/jwks.json']) {
      const answer = await gate.ask('GET', path, { host: 'nobody.test' })
      expect([answer.status, answer.headers['cache-control']], path).toEqual([200, 'public, max-age=60'])
      expect(answer.json['keys']).toEqual([{ kty: 'OKP', crv: 'Ed25519', x: expect.any(String) as string, kid: expect.any(String) as string, alg: 'EdDSA', use: 'sig' }])
    }
  })
})

describe('the signature', () => {
  const DEFAULT = ['@method', '@authority', '@path', '@query']

  test('[CTX8] covers what is written, and its key is in the key set', async () => {
    const before = Math.floor(Date.now() / 1000)
    const { keys } = await keySet()
    const got = await seen('told.test', '/echo/a?b=c&d', bearer(await gate.token()))
    const read = verified(messageOf(got), keys)
    expect(read).toMatchObject({ components: [...DEFAULT, 'narrowgate-context'], keyid: keys[0]?.kid, alg: 'ed25519', tag: 'narrowgate' })
    expect([(read?.created ?? 0) - before < 5, (read?.expires ?? 0) - (read?.created ?? 0)]).toEqual([true, 30])
    expect(verified({ ...messageOf(got), path: '/echo/a?b=c' }, keys)).toBeNull()
    expect(verified({ ...messageOf(got), headers: messageOf(got).headers.map(value => (value === 'told.test' ? 'other.test' : value)) }, keys)).toBeNull()
  })

  test('[CTX8] what a request does not have is not covered: nobody\'s has no context', async () => {
    expect(verified(messageOf(await seen('told.test', '/echo/open')), (await keySet()).keys)?.components).toEqual(DEFAULT)
  })

  test('[CTX8] the caller\'s own signatures stay here, and go to an upstream whose requests are not signed', async () => {
    const token = await gate.token()
    const forged = { signature: 'narrowgate=:AAAA:', 'signature-input': 'narrowgate=("@method");created=1' }
    const got = await seen('told.test', '/echo/a', { ...bearer(token), ...forged })
    expect(verified(messageOf(got), (await keySet()).keys)).not.toBeNull()
    expect([got.header('signature').length, got.header('signature-input').length]).toEqual([1, 1])
    const plain = await seen('api.test', '/echo/a', { ...bearer(token), ...forged })
    expect([plain.header('signature'), plain.header('signature-input')]).toEqual([[forged.signature], [forged['signature-input']]])
  })

  test('[CTX8] with a key of its own: over the host and path that were rewritten, every line of a header, and the injected credential, none of which is in the key set', async () => {
    const got = await seen('own.test', '/echo/out/x?y', { ...bearer(await gate.token()), 'x-two': 'a' })
    const read = verified(messageOf(got), [{ ...signingKeyOf(own).public, kid: 'edge-1' }])
    expect([got.url, got.header('host')[0]]).toEqual(['/echo/in/x?y', upstream.origin.slice('http://'.length)])
    expect(read).toMatchObject({ components: ['@method', '@target-uri', 'x-secret', 'x-two'], keyid: 'edge-1', tag: 'orders' })
    expect((read?.expires ?? 0) - (read?.created ?? 0)).toBe(5)
    expect((await keySet()).keys.some(({ x }) => x === signingKeyOf(own).public.x)).toBe(false)
  })

  test('[CTX8] a key of its own is read again at a reload', async () => {
    const other = newKeyPem()
    writeFileSync(join(folder, 'own.pem'), other)
    expect((await gate.gateway.reload('test')).ok).toBe(true)
    const got = await seen('bare.test', '/echo/x', bearer(await gate.token()))
    expect(verified(messageOf(got), [{ ...signingKeyOf(other).public, kid: 'edge-1' }])).not.toBeNull()
    writeFileSync(join(folder, 'own.pem'), 'junk')
    expect((await gate.gateway.reload('test')).ok).toBe(false)
  })

  test('[CTX9] a body that was read whole goes with its own digest, covered, in place of the caller\'s', async () => {
    const digest = 'sha-256=:AAAA:'
    const got = await seen('told.test', '/echo/judged', { ...bearer(await gate.token()), 'content-type': 'application/json', 'content-digest': digest }, 'POST', '{ "a" : 1 }')
    const read = verified(messageOf(got), (await keySet()).keys)
    expect([got.body().toString(), got.header('content-digest').length, isDigestOf(got.header('content-digest')[0] ?? '', got.body())]).toEqual(['{"a":1}', 1, true])
    expect(read?.components).toEqual(['@method', '@authority', '@path', '@query', 'content-digest', 'narrowgate-context'])
    const streamed = await seen('told.test', '/echo/a', { ...bearer(await gate.token()), 'content-digest': digest }, 'POST', 'whatever')
    expect(streamed.header('content-digest')).toEqual([digest])
    expect(verified(messageOf(streamed), (await keySet()).keys)?.components).toContain('content-digest') // the caller's word, as it was written
  })

  test('[CTX8] a WebSocket begins with a signed request', async () => {
    const arrived = Promise.withResolvers<ReadMessage>()
    upstream.upgrades(({ method = '', url = '', rawHeaders }, socket) => {
      arrived.resolve({ method, scheme: 'http', path: url, headers: rawHeaders })
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    })
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', '/socket?a=1', { host: 'told.test', ...bearer(await gate.token()), connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' }))
    const message = await arrived.promise
    client.close()
    expect(verified(message, (await keySet()).keys)).toMatchObject({ components: [...DEFAULT, 'narrowgate-context'] })
    expect(message.headers.filter(name => name.toLowerCase() === 'txn-token')).toHaveLength(1)
  })

  test.each(['HTTP/2', 'gRPC'])('[CTX8, CTX3] over %s', async kind => {
    const before = streams.length
    const grpc = { 'content-type': 'application/grpc', te: 'trailers', 'grpc-timeout': '5S' }
    await gate.ask('POST', '/pkg.Service/Call?x', { host: 'two.test', ...bearer(await gate.token()), ...(kind === 'gRPC' ? grpc : {}) }, 'body')
    await until(() => streams.length > before, 'the stream')
    const fields = streams[before] ?? []
    const of = (name: string): string => fields[fields.indexOf(name) + 1] ?? ''
    const headers = ['host', of(':authority'), ...fields.filter((_, i) => !(fields[i - (i % 2)] ?? '').startsWith(':'))]
    const read = verified({ method: of(':method'), scheme: of(':scheme'), path: of(':path'), headers }, (await keySet()).keys)
    expect(read?.components).toEqual(['@method', '@authority', '@scheme', '@path', '@query', 'narrowgate-context', 'txn-token', ...(kind === 'gRPC' ? ['grpc-timeout'] : [])])
  })
})
