// Credentials of every kind, made with real keys, and a gateway that takes them: all kinds on one route, each alone on one of its own. What is refused
// is refused over a real socket, and leaves nothing but its record and its count. For tests only.
import { createPublicKey, createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { sha256 } from '../../src/runtime/id.ts'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { headerOf, RawClient, type Target } from '../support/raw-client.ts'
import { ClientAuthority, type Leaf, testAuthority } from '../support/tls.ts'
import { type Answerer, raw, Service } from '../unit/identity/service.ts'

export type Members = { readonly [name: string]: unknown }

export const part = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url')
export const seconds = (shift = 0): number => Math.floor(Date.now() / 1000) + shift
/** The bytes of each part, as text. */
export const partsOf = (token: string): readonly [header: string, payload: string, signature: string] => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  return [Buffer.from(header, 'base64url').toString(), Buffer.from(payload, 'base64url').toString(), signature]
}

/** Signs any texts, also those that no library would. */
export class Signer {
  readonly kid: string
  readonly jwk: Members
  readonly publicPem: string
  readonly #key: KeyObject

  constructor(kid: string) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.kid = kid
    this.#key = privateKey
    this.jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' }
    this.publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString()
  }

  signature(input: string, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363'): Buffer {
    return createSign('sha256').update(input).sign({ key: this.#key, dsaEncoding })
  }

  compact(header: string, payload: string): string {
    const input = `${part(header)}.${part(payload)}`
    return `${input}.${part(this.signature(input))}`
  }
}

export const SIGNED = ['jwt', 'kubernetes', 'jwtSvid'] as const
export type SignedKind = (typeof SIGNED)[number]
/** Kinds whose claims somebody says. */
export const CLAIMED = [...SIGNED, 'introspection'] as const
export type ClaimedKind = (typeof CLAIMED)[number]

export const ISSUERS = { jwt: 'https://login.example', kubernetes: 'https://cluster.example', jwtSvid: undefined, introspection: 'https://login.example' } as const
/** Has the keys of the first, and is another. */
export const SIBLING = 'https://sibling.example'
export const SVID = 'spiffe://example.org/ns/prod/sa/deploy'
export const API_KEY = 'Correct-horse_battery+staple/9=='
/** The subject of the certificate that counts, as RFC 4514 writes it. */
export const SUBJECT = 'CN=admin,O=x'
const POD = { namespace: 'prod', serviceaccount: { name: 'deploy', uid: 'u-sa' }, pod: { name: 'deploy-0', uid: 'u-pod' } }

const ABOUT: { readonly [K in ClaimedKind]: Members } = {
  jwt: { sub: 'agent-1', client_id: 'client-1' },
  kubernetes: { sub: 'system:serviceaccount:prod:deploy', 'kubernetes.io': POD },
  jwtSvid: { sub: SVID },
  introspection: { active: true, sub: 'agent-1', client_id: 'client-1', token_type: 'Bearer' },
}

let made = 0
/** What a good one says: a session of its own each time. */
export function claimsOf(kind: ClaimedKind, changes: Members = {}): Members {
  const pod = kind === 'kubernetes' ? { 'kubernetes.io': { ...POD, pod: { ...POD.pod, uid: `u-${++made}` } } } : {}
  return { iss: ISSUERS[kind], aud: kind === 'introspection' ? 'narrowgate' : ['narrowgate'], jti: `t-${++made}`, iat: seconds(-5), exp: seconds(600), ...ABOUT[kind], ...pod, ...changes }
}

/** Headers of a request, as lines. */
export type Lines = readonly string[]
export const bearer = (text: string): Lines => [`Authorization: Bearer ${text}`]
export type Shown = { readonly host?: string; readonly lines: Lines; readonly leaf?: Leaf | null; readonly path?: string }
export type Heard = { readonly status: number; readonly reason: string; readonly challenges: readonly string[]; readonly type: string | null; readonly session: string }

export type Refusal = { readonly reason: unknown; readonly challenge: RegExp }
const ERROR = /^Bearer realm="narrowgate", error="invalid_token", error_description="[^"]+", resource_metadata="https?:\/\/[^"]+"$/
export const INVALID: Refusal = { reason: 'credential_invalid', challenge: ERROR }
export const OVER: Refusal = { reason: 'credential_expired', challenge: ERROR }
export const NONE: Refusal = { reason: 'no_credential', challenge: /^Bearer realm="narrowgate", resource_metadata="https?:\/\/[^"]+"$/ }
export const PROOF: Refusal = { reason: 'credential_invalid', challenge: /^DPoP realm="narrowgate", error="invalid_dpop_proof", .*algs="ES256 / }

export type Attack = readonly [what: string, shown: Shown, refusal?: Refusal]
/** Attacks at a time. */
const TOGETHER = 16

/** An introspection endpoint (RFC 7662): it knows its client, takes a form, and says of each token what it was told to. */
export class IntrospectionServer {
  readonly service: Service
  /** Answers by token, as they are sent. */
  readonly tokens = new Map<string, string>()
  /** Of every other token. */
  otherwise = '{"active":false}'

  private constructor(service: Service) {
    this.service = service
    service.answer = (response, asked) => {
      const known = asked.method === 'POST' && asked.headers.authorization === `Basic ${Buffer.from('gate:secret').toString('base64')}`
      const token = new URLSearchParams(asked.body).get('token')
      raw(known && token !== null ? (this.tokens.get(token) ?? this.otherwise) : '{}', known ? 200 : 401)(response, asked)
    }
  }

  static async start(): Promise<IntrospectionServer> { return new IntrospectionServer(await Service.start()) }
  get asked(): number { return this.service.asked.length }
}

const SIGNERS = { jwt: new Signer('login-1'), kubernetes: new Signer('cluster-1'), jwtSvid: new Signer('mesh-1') } as const
const HOSTS = { jwt: '[login]', kubernetes: '[twin-cluster]', jwtsvid: '[twin-mesh]', introspection: '[opaque]', apikey: '[keys]', mtls: '[subjects]', names: '[names]', svids: '[svids]', sibling: '[sibling]', all: '[login, opaque, cluster, mesh, keys, subjects]' } as const

async function planOf(introspection: IntrospectionServer, clients: ClientAuthority, more: string): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  return {
    routes: '', tls: true,
    config: ({ directory, upstream }) => {
      const put = (name: string, text: string): string => {
        writeFileSync(join(directory, name), text, { mode: 0o600 })
        return join(directory, name)
      }
      const keys = (kind: SignedKind): string => put(`${kind}.json`, JSON.stringify({ keys: [SIGNERS[kind].jwk] }))
      const [login, cluster, mesh] = [keys('jwt'), keys('kubernetes'), keys('jwtSvid')]
      const common = (issuer: string, file: string): string => `issuer: "${issuer}", audience: narrowgate, jwksFile: ${file}`
      return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${certFile}, keyFile: ${keyFile}, clients: { caFile: ${clients.cert.certFile} } } }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  limits: { headerBytes: 160KiB }
authn:
  login: { jwt: { ${common(ISSUERS.jwt, login)}, dpop: optional, mtls: optional } }
  sibling: { jwt: { ${common(SIBLING, login)} } }
  opaque: { introspection: { url: "${introspection.service.url}", clientId: gate, clientSecretFile: ${put('secret', 'secret')}, issuer: "${ISSUERS.introspection}", audience: narrowgate, clients: [client-1] } }
  cluster: { kubernetes: { ${common(ISSUERS.kubernetes, cluster)} } }
  twin-cluster: { kubernetes: { ${common(ISSUERS.jwt, login)} } }
  mesh: { jwtSvid: { trustDomain: example.org, audience: narrowgate, jwksFile: ${mesh} } }
  twin-mesh: { jwtSvid: { trustDomain: example.org, ${common(ISSUERS.jwt, login)} } }
  keys: { apiKey: { keysFile: ${put('keys.yaml', `keys: [{ id: one, sha256: ${sha256(API_KEY)}, subject: one }]`)} } }
  subjects: { mtls: { subjects: ["${SUBJECT}"] } }
  names: { mtls: { dnsNames: [admin.example] } }
  svids: { mtls: { spiffe: ["spiffe://example.org/admin"] } }
${more.replaceAll('SECRET', `${directory}/secret`)}
sessions: { baseline: [{ scopes: [base:read] }] }
telemetry: { logs: { level: silent } }
routes:
${Object.entries(HOSTS).map(([name, authn]) => `  - { name: ${name}, match: { host: ${name}.test }, upstream: "${upstream.origin}", authn: ${authn}, rules: [{ allow: {}, scope: base:read }] }`).join('\n')}
${[...more.matchAll(/^ {2}(x-[\w-]+):/gm)].map(([, name = '']) => `  - { name: ${name}, match: { host: ${name}.test }, upstream: "${upstream.origin}", authn: [${name}], rules: [{ allow: {}, scope: base:read }] }`).join('\n')}
`
    },
  }
}

type Record = { readonly [name: string]: unknown }

export class TokenWorld {
  readonly gate: TestGateway
  readonly introspection: IntrospectionServer
  readonly clients: ClientAuthority
  readonly signers = SIGNERS
  #sources = 0

  private constructor(gate: TestGateway, introspection: IntrospectionServer, clients: ClientAuthority) {
    this.gate = gate
    this.introspection = introspection
    this.clients = clients
  }

  /** @param more further providers whose names begin with `x-`, as YAML; each gets a route of its own */
  static async start(more = ''): Promise<TokenWorld> {
    const [introspection, clients] = await Promise.all([IntrospectionServer.start(), ClientAuthority.create('Clients')])
    return new TokenWorld(await TestGateway.start(await planOf(introspection, clients, more)), introspection, clients)
  }

  async stop(): Promise<void> {
    await this.gate.stop()
    await this.introspection.service.close()
  }

  /** Header and claims as texts: `undefined` leaves a member out. */
  texts(kind: SignedKind, header: Members = {}, claims: Members = {}): readonly [header: string, claims: string] {
    const typ = kind === 'jwt' ? 'at+jwt' : undefined
    return [JSON.stringify({ alg: 'ES256', typ, kid: SIGNERS[kind].kid, ...header }), JSON.stringify(claimsOf(kind, claims))]
  }

  signed(kind: SignedKind, header: Members = {}, claims: Members = {}): string { return SIGNERS[kind].compact(...this.texts(kind, header, claims)) }

  /** A token of the kind, from its issuer: signed, or known to it. */
  token(kind: ClaimedKind, claims: Members = {}): string {
    return kind === 'introspection' ? this.opaque(JSON.stringify(claimsOf(kind, claims))) : this.signed(kind, {}, claims)
  }

  /** A token of which the endpoint says this. */
  opaque(answer: string): string {
    const token = `opaque-${++made}-${part(sha256(String(made)))}`
    this.introspection.tokens.set(token, answer)
    return token
  }

  ask({ host = 'all.test', lines, leaf = null, path = '/x' }: Shown, from?: string): Promise<Heard> {
    return ask(this.#target(leaf, from), `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`)
  }

  /** It passes, and is one session in every one of these spellings; the name of that. */
  async passes(...spellings: readonly Shown[]): Promise<string> {
    const sessions = new Set<string>()
    for (const shown of spellings) {
      expect((await this.ask(shown)).status, `the control: ${JSON.stringify(shown.lines)}`).toBe(200)
      sessions.add((await this.ask({ ...shown, path: '/.narrowgate/session' })).session)
    }
    expect([...sessions]).toEqual([expect.stringMatching(/^ses_/)])
    return [...sessions][0] ?? ''
  }

  /** Each is refused with the right challenge, counted, and on record without its text; no session is opened, no octet goes upstream. */
  async refuses(attacks: readonly Attack[]): Promise<void> {
    const { length } = await this.#noise()
    const told: (readonly [source: string | undefined, attack: Attack])[] = []
    for (let at = 0; at < attacks.length; at += TOGETHER) {
      const some = attacks.slice(at, at + TOGETHER).map(attack => [(attack[1].leaf ?? null) === null ? this.#source() : undefined, attack] as const)
      const [before, counted] = [await this.traces(), this.#refused()]
      await Promise.all(some.map(([from, attack]) => this.#isRefused(from, attack)))
      expect([await this.traces(), this.#refused()], some.map(([, [what]]) => what).join('\n')).toEqual([before, counted + some.length])
      told.push(...some)
    }
    const lines = (await this.#noise(length)).toString().split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Record) // each is an object
    for (const [source, [what, shown, { reason } = INVALID]] of told) {
      if (source === undefined) continue // of a certificate's holder: it came over TLS, from the one address of all
      const found = lines.filter(line => line['source'] === source)
      expect(found, what).toEqual([expect.objectContaining({ kind: 'request.refused', reason, session: null, subject: null, credential: null, fault: expect.any(String) })])
      for (const text of shown.lines.map(line => line.slice(line.lastIndexOf(' ') + 1)).filter(({ length }) => length > 20)) expect(JSON.stringify(found), what).not.toContain(text.slice(0, 200))
    }
  }

  async traces(): Promise<readonly unknown[]> {
    const { parts: { mirror, metrics }, upstream: { requests, receivedBytes } } = this.gate
    const opened = (await metrics.sessionsOpened.get()).values.reduce((sum, { value }) => sum + value, 0)
    return [mirror.size, opened, requests.length, receivedBytes]
  }

  /** The noise lane behind so many octets. */
  async #noise(from = 0): Promise<Buffer> {
    await this.gate.parts.noise.flush()
    const file = join(this.gate.directory, 'state', 'noise.jsonl')
    return existsSync(file) ? readFileSync(file).subarray(from) : Buffer.alloc(0)
  }

  async #isRefused(from: string | undefined, [what, shown, refusal = INVALID]: Attack): Promise<void> {
    const { status, reason, challenges, type } = await this.ask(shown, from)
    const refused = { status: 401, reason: refusal.reason, type: 'application/problem+json', challenges: expect.arrayContaining([expect.stringMatching(refusal.challenge)]) }
    expect({ status, reason, type, challenges }, what).toEqual(refused)
  }

  #refused(): number { return this.gate.parts.metrics.requests.rows().reduce((sum, { labels: { code }, value }) => sum + (code === '401' ? value : 0), 0) }

  /** A network of its own: of each the first refusals are told whole. */
  #source(): string { return `127.${1 + (++this.#sources >> 8)}.${this.#sources & 255}.9` }

  #target(leaf: Leaf | null, from: string | undefined): Target {
    const { tls } = this.gate.target
    if (leaf !== null) return { ...this.gate.target, tls: { ca: tls?.ca ?? '', servername: '', leaf } }
    return { port: this.gate.gateway.front.bound.get('inner')?.address.port ?? 0, ...(from === undefined ? {} : { from }) }
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

async function ask(target: Target, bytes: string): Promise<Heard> {
  const client = await RawClient.connect(target)
  try {
    await client.send(bytes)
    const response = await client.response()
    const text = response.body.toString()
    const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Record // an object
    const challenges = response.headers.filter(([name]) => name.toLowerCase() === 'www-authenticate').map(([, value]) => value)
    return { status: response.status, reason: textOf(json['reason']), challenges, type: headerOf(response, 'content-type'), session: textOf(json['id']) }
  } finally {
    client.close()
  }
}

/** Answers of a place that is asked for keys or about tokens, and never tells what it should. */
export const NONSENSE: ReadonlyMap<string, Answerer> = new Map<string, Answerer>([
  ['error', raw('{}', 503)], ['page', raw('<html>keys</html>')], ['nothing', raw('')], ['list', raw('[]')], ['number', raw('7')], ['half', raw('{"active":true,"keys":[')], ['empty', raw('{}')], ['other-form', raw('{"keys":"all","active":"yes"}')],
  ['huge', raw(`{"keys":[],"active":true,"x":"${'x'.repeat(300 * 1024)}"}`)], ['elsewhere', raw('', 302, { location: 'http://127.0.0.1:1/' })], ['endless', response => void response.writeHead(200, { 'content-length': '100' }).write('{')], ['slow', () => {}], ['hang-up', response => void response.destroy()],
])
