// A transmitter of shared signals on a loopback port: metadata, keys, management of streams, verification, push with retries and poll with long polls.
// It keeps to SSF 1.0, RFC 8935 and RFC 8936, save where a test has it misbehave. For tests only.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, type JWTHeaderParameters } from 'jose'

export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
export const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
export const STREAM_UPDATED = 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated'
const SUPPORTED = ['session-revoked', 'token-claims-change', 'session-established', 'session-presented', 'credential-change', 'assurance-level-change', 'device-compliance-change', 'risk-level-change'].map(name => CAEP + name)

type Json = { readonly [name: string]: unknown }
type Delivery = { readonly method: string; readonly endpoint_url?: string; readonly authorization_header?: string }
export type TransmitterStream = {
  readonly stream_id: string
  events_requested: readonly string[]
  delivery: Delivery
  description: string
  status: 'enabled' | 'paused' | 'disabled'
  reason: string
  /** What is to be taken yet, by `jti`, in order. */
  readonly queue: Map<string, string>
}

/** What a test may change at any time. */
export type Conduct = {
  /** Answers everything with this status; 0 behaves. */
  down: number
  retryAfter: string | null
  /** So many requests that need a token are answered with 401. */
  unauthorized: number
  /** Polls are answered, at once, with more to come and nothing in it. */
  neverEnds: boolean
  /** Polls are answered with more than was asked for. */
  overfull: boolean
  /** Bytes added to each answer to a poll. */
  padding: number
  /** What its metadata says its issuer is; null the truth. */
  claimedIssuer: string | null
  /** Forgets no event for being acknowledged. */
  deaf: boolean
  /** Verification events are sent with another state. */
  wrongState: boolean
  /** Verification is asked for, and not done. */
  noVerification: boolean
  /** Metadata is only where it was before it was a standard. */
  legacy: boolean
  defaultSubjects: 'ALL' | 'NONE' | null
  /** Of each stream; null everything that was asked for. */
  delivered: readonly string[] | null
  /** Seconds; null leaves them out. */
  minVerificationInterval: number | null
  inactivityTimeout: number | null
  /** What it answers to a subject that is to be added. */
  subjectStatus: number
  /** What it answers to the client's credentials; null a token of its own. */
  grant: Json | null
  /** Creates no second stream. */
  oneStream: boolean
}

export type Asked = { readonly method: string; readonly path: string; readonly authorization: string; readonly body: Json; status: number }
export type PushAnswer = { readonly status: number; readonly text: string; readonly headers: Headers }

const LONG_POLL = 30_000
const PUSH_TRIES = 20

export class SsfTransmitter {
  readonly audience: string
  readonly conduct: Conduct = {
    down: 0, retryAfter: null, unauthorized: 0, neverEnds: false, overfull: false, padding: 0, claimedIssuer: null, deaf: false, wrongState: false, noVerification: false, legacy: false,
    defaultSubjects: 'ALL', delivered: null, minVerificationInterval: null, inactivityTimeout: null, oneStream: false, subjectStatus: 200, grant: null,
  }
  readonly streams = new Map<string, TransmitterStream>()
  /** In order. */
  readonly asked: Asked[] = []
  /** `jti` of what was acknowledged, as often as it was; by 202 or by poll. */
  readonly acknowledged: string[] = []
  /** What was refused, by `jti`. */
  readonly refused = new Map<string, Json>()
  readonly subjects: Json[] = []
  /** Tokens that were given for the client's credentials, newest last. */
  readonly tokens: string[] = []
  /** Of long polls that wait now. */
  waiting = 0
  mostWaiting = 0
  readonly #server: Server
  readonly #path: string
  readonly #key: CryptoKey
  readonly #jwk: JSONWebKeySet['keys'][number]
  readonly #alg: string
  #wake = Promise.withResolvers<void>()
  #closed = false
  #released = false

  private constructor(server: Server, path: string, audience: string, alg: string, key: CryptoKey, jwk: JSONWebKeySet['keys'][number]) {
    this.#server = server
    this.#path = path
    this.audience = audience
    this.#alg = alg
    this.#key = key
    this.#jwk = jwk
  }

  /** @param path of its issuer */
  static async start({ path = '', audience = 'https://gateway.example/ssf', alg = 'ES256', port = 0 } = {}): Promise<SsfTransmitter> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const server = createServer()
    const transmitter = new SsfTransmitter(server, path, audience, alg, privateKey, { ...(await exportJWK(publicKey)), kid: 'ssf-1', alg, use: 'sig' })
    server.on('request', (request, response) => void transmitter.#answer(request, response).catch(() => response.destroy()))
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return transmitter
  }

  get origin(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }
  get issuer(): string { return this.origin + this.#path }
  get jwks(): JSONWebKeySet { return { keys: [this.#jwk] } }
  writeJwks(file: string): Promise<void> { return writeFile(file, JSON.stringify(this.jwks)) }

  /** Its only stream, or the one of an audience's delivery. */
  get stream(): TransmitterStream {
    const [stream] = this.streams.values()
    if (stream === undefined) throw new Error('it has no stream')
    return stream
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake.resolve()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  // ---- tokens

  /** Any claims, signed; a member that is undefined is left out. */
  signClaims(claims: Json, header: Json = {}): Promise<string> {
    const full = JSON.parse(JSON.stringify({ alg: this.#alg, typ: 'secevent+jwt', kid: 'ssf-1', ...header })) as JWTHeaderParameters // drops what is undefined
    return new CompactSign(new TextEncoder().encode(JSON.stringify(claims))).setProtectedHeader(full).sign(this.#key)
  }

  /** Claims of a security event token. @param event its type: of CAEP where it is no URI */
  claims(event: string, subject: Json, details: Json = {}, more: Json = {}): Json {
    const type = event.includes(':') ? event : CAEP + event
    return { iss: this.issuer, aud: this.audience, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), sub_id: subject, events: { [type]: details }, ...more }
  }

  // ---- delivery

  /** Queues an event for every stream and begins to deliver it. @returns its `jti` */
  async emit(event: string, subject: Json, details: Json = {}, more: Json = {}): Promise<string> {
    const claims = this.claims(event, subject, details, more)
    const jti = String(claims['jti'])
    const token = await this.signClaims(claims)
    for (const stream of this.streams.values()) if (stream.status === 'enabled' || event === STREAM_UPDATED) this.#queue(stream, jti, token)
    return jti
  }

  /** Queues any text under any name. */
  queue(jti: string, token: string, stream = this.stream): void { this.#queue(stream, jti, token) }

  /** One attempt at an endpoint. */
  async push(url: string, token: string, headers: { readonly [name: string]: string } = {}): Promise<PushAnswer> {
    const answer = await fetch(url, { method: 'POST', body: token, headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json', ...headers } })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  }

  /** It changes the status by itself, and says so. */
  async turn(status: TransmitterStream['status'], { silently = false } = {}): Promise<void> {
    for (const stream of this.streams.values()) stream.status = status
    for (const { stream_id: id } of silently ? [] : this.streams.values()) await this.emit(STREAM_UPDATED, { format: 'opaque', id }, { status })
  }

  /** Answers every poll that waits. */
  releasePolls(): void {
    this.#released = true
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
    setImmediate(() => { this.#released = false })
  }

  /** Asked for under a path, in order. */
  askedFor(path: string, method: string | null = null): readonly Asked[] { return this.asked.filter(one => one.path.startsWith(path) && (method === null || one.method === method)) }

  #queue(stream: TransmitterStream, jti: string, token: string): void {
    stream.queue.set(jti, token)
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
    if (stream.delivery.method === 'urn:ietf:rfc:8935') void this.#pushAll(stream, jti, token)
  }

  async #pushAll({ queue, delivery: { endpoint_url: url = '', authorization_header: authorization } }: TransmitterStream, jti: string, token: string): Promise<void> {
    for (let tries = 0; tries < PUSH_TRIES && !this.#closed && queue.has(jti); tries++) {
      const answer = await this.push(url, token, authorization === undefined ? {} : { authorization }).catch(() => null)
      if (answer?.status === 202) {
        this.acknowledged.push(jti)
        queue.delete(jti)
      } else if (answer?.status === 400) {
        this.refused.set(jti, JSON.parse(answer.text) as Json)
        queue.delete(jti)
      } else await sleep(50 * 2 ** Math.min(tries, 5))
    }
  }

  // ---- what is asked of it

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.origin)
    const asked: Asked = { method: request.method ?? '', path: url.pathname, authorization: request.headers.authorization ?? '', body: await bodyOf(request), status: 0 }
    this.asked.push(asked)
    const send = (status: number, body: unknown = null, padding = 0): void => {
      asked.status = status
      const retry = this.conduct.retryAfter === null || status < 400 ? {} : { 'retry-after': this.conduct.retryAfter }
      response.writeHead(status, { 'content-type': 'application/json', ...retry }).end(body === null ? undefined : JSON.stringify(body) + ' '.repeat(padding))
    }
    if (this.conduct.down !== 0) return send(this.conduct.down, {})
    if (url.pathname === '/keys') return send(200, this.jwks)
    if (url.pathname.includes('/.well-known/')) return this.#metadata(url.pathname, send)
    if (url.pathname === '/token') return this.#token(asked, send)
    if (this.conduct.unauthorized > 0 && this.conduct.unauthorized--) return send(401, {})
    await this.#managed(asked, url.searchParams.get('stream_id'), send, response)
  }

  #metadata(path: string, send: Send): void {
    const [base, place] = [this.origin, this.conduct.legacy ? 'risc' : 'ssf']
    if (path !== `/.well-known/${place}-configuration${this.#path.replace(/\/$/, '')}`) return send(404, {})
    send(200, {
      spec_version: '1_0', issuer: this.conduct.claimedIssuer ?? this.issuer, jwks_uri: `${base}/keys`, delivery_methods_supported: ['urn:ietf:rfc:8935', 'urn:ietf:rfc:8936'],
      configuration_endpoint: `${base}/streams`, status_endpoint: `${base}/status`, add_subject_endpoint: `${base}/subjects/add`, remove_subject_endpoint: `${base}/subjects/remove`,
      verification_endpoint: `${base}/verify`, ...(this.conduct.defaultSubjects === null ? {} : { default_subjects: this.conduct.defaultSubjects }),
    })
  }

  #token({ authorization }: Asked, send: Send): void {
    if (!authorization.startsWith('Basic ')) return send(401, { error: 'invalid_client' })
    if (this.conduct.grant !== null) return send(200, this.conduct.grant)
    this.tokens.push(`token-${this.tokens.length + 1}`)
    send(200, { access_token: this.tokens.at(-1), token_type: 'Bearer', expires_in: 3600 })
  }

  async #managed({ method, path, body }: Asked, id: string | null, send: Send, response: ServerResponse): Promise<void> {
    if (path === '/streams' && method === 'POST') return this.#create(body, send)
    if (path === '/streams' && method === 'GET' && id === null) return send(200, [...this.streams.values()].map(each => this.#shown(each)))
    const stream = this.streams.get(id ?? textOf(body['stream_id'] ?? path.split('/')[2]))
    if (stream === undefined) return send(404, {})
    if (path === '/streams' && method === 'PATCH') {
      Object.assign(stream, { ...(body['events_requested'] === undefined ? {} : { events_requested: body['events_requested'] }), ...(body['delivery'] === undefined ? {} : { delivery: body['delivery'] }) })
      return send(200, this.#shown(stream))
    }
    if (path === '/streams') return method === 'GET' ? send(200, this.#shown(stream)) : send(405, {})
    if (path === '/status') return send(200, { stream_id: stream.stream_id, status: stream.status, reason: stream.reason })
    if (path === '/subjects/add') return this.#addSubject(body, send)
    if (path === '/verify') return this.#verify(stream, body, send)
    if (path.startsWith('/poll/')) return this.#poll(stream, body, send, response)
    send(404, {})
  }

  #create(body: Json, send: Send): void {
    if (this.conduct.oneStream && this.streams.size > 0) return send(409, {})
    const id = randomUUID()
    const asked = (body['delivery'] ?? { method: 'urn:ietf:rfc:8936' }) as Delivery // the test's own gateway wrote it
    const delivery = asked.method === 'urn:ietf:rfc:8936' ? { method: asked.method, endpoint_url: `${this.origin}/poll/${id}` } : asked
    const stream: TransmitterStream = { stream_id: id, events_requested: (body['events_requested'] ?? []) as readonly string[], delivery, description: textOf(body['description']), status: 'enabled', reason: '', queue: new Map() }
    this.streams.set(id, stream)
    send(201, this.#shown(stream))
  }

  #addSubject(body: Json, send: Send): void {
    const { subjectStatus } = this.conduct
    if (subjectStatus === 200) this.subjects.push(body)
    send(subjectStatus)
  }

  /** Nobody is shown what was given it to send along. */
  #shown({ stream_id, description, events_requested, delivery: { method, endpoint_url } }: TransmitterStream): Json {
    const { delivered, minVerificationInterval, inactivityTimeout } = this.conduct
    return {
      stream_id, description, iss: this.issuer, aud: this.audience, delivery: { method, endpoint_url }, events_supported: SUPPORTED, events_requested, events_delivered: delivered ?? events_requested,
      ...(minVerificationInterval === null ? {} : { min_verification_interval: minVerificationInterval }), ...(inactivityTimeout === null ? {} : { inactivity_timeout: inactivityTimeout }),
    }
  }

  async #verify(stream: TransmitterStream, { state }: Json, send: Send): Promise<void> {
    send(204)
    if (this.conduct.noVerification) return
    const said = this.conduct.wrongState ? 'another' : state
    const claims = this.claims(VERIFICATION, { format: 'opaque', id: stream.stream_id }, said === undefined ? {} : { state: said })
    this.#queue(stream, String(claims['jti']), await this.signClaims(claims))
  }

  async #poll(stream: TransmitterStream, { maxEvents, returnImmediately = false, ack = [], setErrs = {} }: Json, send: Send, response: ServerResponse): Promise<void> {
    const gone = once(response, 'close')
    for (const jti of ack as readonly string[]) this.#acknowledged(stream, jti)
    for (const [jti, fault] of Object.entries(setErrs as { readonly [jti: string]: Json })) {
      this.refused.set(jti, fault)
      stream.queue.delete(jti)
    }
    if (this.conduct.neverEnds) return send(200, { sets: {}, moreAvailable: true })
    const until = performance.now() + LONG_POLL
    while (stream.queue.size === 0 && returnImmediately !== true && performance.now() < until && !this.#closed && !this.#released && !response.destroyed) {
      this.mostWaiting = Math.max(this.mostWaiting, ++this.waiting)
      await Promise.race([gone, this.#wake.promise, sleep(until - performance.now(), undefined, { ref: false })])
      this.waiting--
    }
    const most = typeof maxEvents === 'number' && !this.conduct.overfull ? maxEvents : Infinity
    const sets = Object.fromEntries([...stream.queue].slice(0, most))
    send(200, { sets, ...(stream.queue.size > most ? { moreAvailable: true } : {}) }, this.conduct.padding)
  }

  #acknowledged(stream: TransmitterStream, jti: string): void {
    this.acknowledged.push(jti)
    if (!this.conduct.deaf) stream.queue.delete(jti)
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

type Send = (status: number, body?: unknown, padding?: number) => void

async function bodyOf(request: IncomingMessage): Promise<Json> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  try {
    return text === '' ? {} : (JSON.parse(text) as Json)
  } catch {
    return { text }
  }
}
