// A gateway that tells others of what happens in it, a receiver that manages its stream and polls, and one that has it pushed: real sockets and signatures.
// For tests only.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose'
import type { GatewayPlan, TestGateway } from '../support/gateway.ts'

export const ISSUER = 'https://gw.example/narrowgate'
export const TOKEN = 'token-of-the-poller-0123456789'
export const NEXT_TOKEN = 'next-token-of-the-poller-0123456789'
export const PUSH_TOKEN = 'token-of-the-one-that-is-pushed-to'
export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
export const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'
export const [PUSH, POLL] = ['urn:ietf:rfc:8935', 'urn:ietf:rfc:8936']

export type TransmitPlan = {
  /** Further YAML of the receiver that polls, such as `tenants: [acme]`. */
  readonly receiver?: string
  /** Origin of the one that has it pushed. */
  readonly pushTo?: string
  /** Further YAML of `transmit`. */
  readonly transmit?: string
  /** Further top-level YAML. */
  readonly more?: string
  /** Who it is to its receivers, and where its listener for them is. */
  readonly issuer?: string
  readonly port?: number
}

export const transmitting = ({ receiver = '', pushTo = 'http://127.0.0.1:9', transmit = '', more = '', issuer: own = ISSUER, port = 0 }: TransmitPlan = {}): GatewayPlan => ({
  routes: '',
  config: ({ directory, issuer, upstream }) => {
    writeFileSync(join(directory, 'poller'), `${TOKEN}\n${NEXT_TOKEN}\n`)
    writeFileSync(join(directory, 'pushed'), PUSH_TOKEN)
    return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: news, address: "127.0.0.1:${port}", serves: [signals] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent, claims: { tenant: org } }
sessions: { baseline: [{ scopes: [api:base] }] }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    upstream: { url: "${upstream.origin}" }
    rules: [{ allow: { paths: [/base/**] }, scope: api:base }, { allow: { paths: [/extra/**] }, scope: api:extra }]
elevations: { fix: { adds: [api:extra], for: 10m, purpose: [task] } }
purposes: { task: { header: x-task, source: manual } }
signals:
  transmit:
    issuer: "${own}"
    receivers:
      - { name: poller, tokenFile: ${directory}/poller, audience: "https://siem.example"${receiver === '' ? '' : `, ${receiver}`} }
      - { name: pushed, tokenFile: ${directory}/pushed, audience: "https://idp.example", pushTo: ["${pushTo}"] }
    ${transmit}
${more}
`
  },
})

type Json = { readonly [name: string]: unknown }
export type Answered = { readonly status: number; readonly headers: Headers; readonly json: Json; readonly text: string }

/** Someone who manages a stream at a gateway. */
export class Receiver {
  readonly #gateway: TestGateway
  readonly #token: string
  stream = ''

  constructor(gateway: TestGateway, token = TOKEN) {
    this.#gateway = gateway
    this.#token = token
  }

  async ask(method: string, path: string, body: unknown = null, headers: { readonly [name: string]: string } = {}): Promise<Answered> {
    const response = await fetch(`http://${this.#gateway.gateway.front.address('news')}${path}`, {
      method, headers: { authorization: `Bearer ${this.#token}`, ...(body === null ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === null ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: text === '' ? {} : (JSON.parse(text) as Json) } // every body of ours is JSON
  }

  /** Sets its stream up. */
  async create(more: Json = {}): Promise<Answered> {
    const answer = await this.ask('POST', '/ssf/streams', more)
    const { stream_id: id } = answer.json
    if (typeof id === 'string') this.stream = id
    return answer
  }

  createPush(endpoint: string, more: Json = {}): Promise<Answered> { return this.create({ delivery: { method: PUSH, endpoint_url: endpoint, ...more } }) }

  setStatus(status: string): Promise<Answered> { return this.ask('POST', '/ssf/status', { stream_id: this.stream, status }) }

  poll(more: Json = {}): Promise<Answered> { return this.ask('POST', `/ssf/poll/${this.stream}`, { returnImmediately: true, ...more }) }

  /** Everything that waits, and acknowledged. */
  async drain(): Promise<readonly Told[]> {
    await this.#gateway.trail() // what happened is queued behind it
    const { json } = await this.poll()
    const sets = json['sets'] as { readonly [jti: string]: string } // an answer of ours
    await this.poll({ maxEvents: 0, ack: Object.keys(sets) })
    return Promise.all(Object.values(sets).map(set => readSet(this.#gateway, set)))
  }
}

/** What a SET says, behind its signature. */
export type Told = { readonly type: string; readonly event: Json; readonly claims: Json; readonly header: Json }

export async function readSet(gateway: TestGateway, set: string): Promise<Told> {
  const keys = await new Receiver(gateway).ask('GET', '/ssf/jwks.json')
  const { payload, protectedHeader } = await compactVerify(set, createLocalJWKSet(keys.json as unknown as JSONWebKeySet)) // a key set of ours
  const claims = JSON.parse(new TextDecoder().decode(payload)) as Json
  const [[type, event] = ['', {}]] = Object.entries(claims['events'] as { readonly [type: string]: Json }) // as SETs have it
  return { type, event, claims, header: { ...protectedHeader } }
}

export type Pushed = { readonly set: string; readonly headers: IncomingMessage['headers'] }

/** Takes what is pushed to it, as its test says: 202 unless told otherwise. */
export class PushTarget {
  readonly taken: Pushed[] = []
  /** Everything that came, taken or not. */
  seen = 0
  /** How long it takes to answer, in milliseconds. */
  slow = 0
  answers: (nth: number) => { readonly status: number; readonly body?: string } | 'never' = () => ({ status: 202 })
  readonly #server = createServer((request, response) => void this.#take(request, response))
  origin = ''

  static async start(): Promise<PushTarget> {
    const target = new PushTarget()
    target.#server.listen(0, '127.0.0.1')
    await once(target.#server, 'listening')
    target.origin = `http://127.0.0.1:${(target.#server.address() as AddressInfo).port}` // it listens on a port
    return target
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const answer = this.answers(this.seen++)
    if (answer === 'never') return
    if (this.slow > 0) await new Promise(resolve => setTimeout(resolve, this.slow))
    if (answer.status === 202) this.taken.push({ set: Buffer.concat(chunks).toString(), headers: request.headers })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body ?? '')
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
