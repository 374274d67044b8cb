// Callers that prove a key: DPoP proofs made with jose, client certificates on their connections, over HTTP/1.1 and HTTP/2; and the configuration that
// asks for either. For tests only.
import { once } from 'node:events'
import { type IncomingMessage, request as plainRequest } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { request as tlsRequest } from 'node:https'
import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose'
import { expect } from 'vitest'
import { type Instant, instant } from '../../src/core/time.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { sha256 } from '../../src/runtime/id.ts'
import type { GatewayPlan, TestGateway } from './gateway.ts'
import type { RecordingUpstream } from './recording-upstream.ts'
import { type Certificate, testAuthority } from './tls.ts'

export type Members = { readonly [name: string]: unknown }
/** What a proof says otherwise; a member that is undefined is left out. */
export type ProofChanges = { readonly header?: Members; readonly claims?: Members }

const known = (members: Members): Members => JSON.parse(JSON.stringify(members)) as Members // drops what is undefined
export const seconds = (shift = 0): number => Math.floor(Date.now() / 1000) + shift

/** Runs so many milliseconds ahead: what was opened before is that much older then. */
export class AheadClock extends SystemClock {
  ahead = 0
  override now(): Instant { return instant(super.now() + this.ahead) }
}

/** A caller's key, and the proofs that it makes. */
export class DpopKey {
  readonly thumbprint: string
  readonly publicJwk: JWK
  readonly privateJwk: JWK
  readonly #key: CryptoKey

  private constructor(key: CryptoKey, publicJwk: JWK, privateJwk: JWK, thumbprint: string) {
    this.#key = key
    this.publicJwk = publicJwk
    this.privateJwk = privateJwk
    this.thumbprint = thumbprint
  }

  static async make(): Promise<DpopKey> {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const publicJwk = await exportJWK(publicKey)
    return new DpopKey(privateKey, publicJwk, await exportJWK(privateKey), await calculateJwkThumbprint(publicJwk))
  }

  proof(method: string, uri: string, token: string, { header = {}, claims = {} }: ProofChanges = {}): Promise<string> {
    const full = known({ typ: 'dpop+jwt', alg: 'ES256', jwk: this.publicJwk, ...header }) as JWTHeaderParameters // with an `alg` of its own
    return new SignJWT(known({ jti: crypto.randomUUID(), htm: method, htu: uri, iat: seconds(), ath: sha256(token), ...claims })).setProtectedHeader(full).sign(this.#key)
  }
}

export const WIRES = ['HTTP/1.1', 'HTTP/2'] as const
export type Wire = (typeof WIRES)[number]

/** Two gateways over one Redis, and one with the embedded store. */
export const WHERE = ['a', 'b', 'alone'] as const
export type Where = (typeof WHERE)[number]
export const PLACES: readonly (readonly [Where, Wire])[] = WHERE.flatMap(where => WIRES.map(wire => [where, wire] as const))

export type Headers = { readonly [name: string]: string | readonly string[] }
export type Sent = { readonly method?: string; readonly path: string; readonly host?: string; readonly headers?: Headers }
/** Every `WWW-Authenticate` line; the reason that a problem names, else an empty text. */
export type Heard = { readonly status: number; readonly challenges: readonly string[]; readonly reason: string; readonly json: Members }
export type Way = { readonly listener?: string; readonly wire?: Wire; readonly leaf?: Certificate | null; /** The address it connects from. */ readonly from?: string }

function heard(status: number, raw: readonly string[], chunks: readonly Buffer[]): Heard {
  const text = Buffer.concat(chunks).toString('utf8')
  const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Members
  return { status, challenges: raw.filter((_, i) => raw[i - 1]?.toLowerCase() === 'www-authenticate' && i % 2 === 1), reason: typeof json['reason'] === 'string' ? json['reason'] : '', json }
}

const lined = (headers: Headers): Record<string, string | string[]> => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]))
const secure = (gate: TestGateway, listener: string): string | null => (listener === 'main' ? (gate.target.tls?.ca ?? null) : null)
const shown = ({ leaf = null, from }: Way) => ({ ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }), ...(from === undefined ? {} : { localAddress: from }) })

async function overHttp1(gate: TestGateway, way: Way, { method = 'GET', path, host = 'api.test', headers = {} }: Sent): Promise<Heard> {
  const { listener = 'main' } = way
  const ca = secure(gate, listener)
  const options = { host: '127.0.0.1', port: portOf(gate, listener), method, path, headers: { host, ...lined(headers) }, agent: false, ...shown(way) } as const
  const sent = ca === null ? plainRequest(options) : tlsRequest({ ...options, ca, servername: 'api.test' })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  return heard(response.statusCode ?? 0, response.rawHeaders, chunks)
}

const portOf = (gate: TestGateway, listener: string): number => gate.gateway.front.bound.get(listener)?.address.port ?? 0

/** A connection that stays, for requests one after the other. */
export function http2To(gate: TestGateway, way: Way = {}): ClientHttp2Session {
  const { listener = 'main' } = way
  const ca = secure(gate, listener)
  const session = connectHttp2(`${ca === null ? 'http' : 'https'}://127.0.0.1:${portOf(gate, listener)}`, { ...(ca === null ? {} : { ca, servername: 'api.test' }), ...shown(way) })
  session.on('error', () => {})
  return session
}

export async function overHttp2(session: ClientHttp2Session, { method = 'GET', path, host = 'api.test', headers = {} }: Sent): Promise<Heard> {
  const stream = session.request({ ':method': method, ':path': path, ':authority': host, ...lined(headers) }, { endStream: true })
  const [head, , raw] = (await once(stream, 'response')) as [IncomingHttpHeaders, number, readonly string[]] // what the event carries
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer) // no encoding is set
  return heard(Number(head[':status']), raw, chunks)
}

/** One request on a connection of its own. */
export async function call(gate: TestGateway, way: Way, sent: Sent): Promise<Heard> {
  if ((way.wire ?? 'HTTP/1.1') === 'HTTP/1.1') return overHttp1(gate, way, sent)
  const session = http2To(gate, way)
  try {
    return await overHttp2(session, sent)
  } finally {
    session.destroy()
  }
}

/** Sessions that a gateway knows of, in memory or in the store. */
export async function sessionsOf(gate: TestGateway): Promise<readonly string[]> {
  const { json } = await gate.admin('GET', '/v1/sessions?state=any&limit=500')
  if (json['more'] !== false) throw new Error('there are more sessions than one answer tells')
  const sessions = json['sessions'] as readonly { readonly id: string }[] // as the contract has it
  return sessions.map(({ id }) => id).toSorted()
}

/** Asks, hears `told`, and nothing came of it: no session in any memory or store, not an octet upstream. */
export async function comesToNothing(gates: readonly TestGateway[], upstream: RecordingUpstream, asked: () => Promise<Heard>, told: object, what = ''): Promise<void> {
  const traces = async (): Promise<unknown> => [await Promise.all(gates.map(sessionsOf)), upstream.requests.length, upstream.receivedBytes]
  const before = await traces()
  expect(await asked(), what).toMatchObject(told)
  expect(await traces(), what).toEqual(before)
}

type Files = { readonly caFile: string; readonly crlFile: string | null }

/** `main`: TLS that asks for certificates of `clients`, and believes 127.0.0.2 what it tells in `x-forwarded-client-cert`. `inner`: plain, and `Client-Cert`. */
export async function possessionPlan(clients: Files | null = null): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  const asked = clients === null ? '' : `, clients: { caFile: ${clients.caFile}${clients.crlFile === null ? '' : `, crlFile: ${clients.crlFile}`} }`
  return {
    routes: '', tls: true,
    config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${certFile}, keyFile: ${keyFile}${asked} }, forwardedCertificates: xfcc }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2], forwardedCertificates: client-cert }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  trustedProxies: [127.0.0.2/32]
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json, dpop: optional, mtls: optional }, kind: agent }
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
routes:
  - { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, scope: base:read }] }
`,
  }
}
