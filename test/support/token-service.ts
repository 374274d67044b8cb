// Whoever gives credentials for upstreams, on loopback: a real authorization server (oidc-provider) with client credentials, token exchange (RFC 8693),
// introspection and revocation (RFC 7009), and a toy that gives leases as Vault does. A test says how each place answers; all that is asked is kept. For tests only.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeJwt } from 'jose'
import type { Configuration as ProviderWords, Provider } from 'oidc-provider'
import { quietly } from './identity-provider.ts'

/** Of every client here; secrets that no caller, log or record may ever show. */
export const CLIENT_SECRET = 'a-client-secret-of-the-gateway-alone'
export const LEASE_SECRET = 'hvs.a-secret-for-leases-of-the-gateway-alone'
const CLIENT = 'gateway'
const LIFETIME = 600
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const EXCHANGED = ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'scope']

/** `serve` as it should; `hang` takes the request and says nothing; a number is an answer of that status; a text is the body of a 200. */
export type Behaviour = 'serve' | 'hang' | number | { readonly body: string }
export type Asked = { readonly path: string; readonly body: string; readonly headers: IncomingMessage['headers']; readonly status: number }
export type Lease = { readonly id: string; readonly token: string; over: boolean }

type Claims = { readonly [name: string]: unknown }
const claimsOf = (token: unknown): Claims => (typeof token === 'string' && token.split('.').length === 3 ? decodeJwt(token) : {})

/** Who it is of, and who acts. */
function claimed(params: Claims): Claims {
  const { subject_token: subject, actor_token: actor, audience } = params
  return { ...(subject === undefined ? {} : { sub: claimsOf(subject)['sub'] ?? 'opaque' }), ...(actor === undefined ? {} : { act: { sub: claimsOf(actor)['sub'], sid: claimsOf(actor)['sid'] } }), ...(audience === undefined ? {} : { audience_asked: audience }) }
}

const WORDS: ProviderWords = {
  clients: [{ client_id: CLIENT, client_secret: CLIENT_SECRET, redirect_uris: [], response_types: [], grant_types: ['client_credentials', EXCHANGE], scope: 'crm:read' }],
  scopes: ['crm:read'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  extraTokenClaims: ctx => claimed((ctx.oidc.params ?? {}) as Claims),
  ttl: { ClientCredentials: LIFETIME },
  features: {
    devInteractions: { enabled: false }, clientCredentials: { enabled: true }, resourceIndicators: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true }, revocation: { enabled: true, allowedPolicy: (_, { clientId }, token) => clientId === token.clientId },
  },
}

async function provider(issuer: string): Promise<Provider> {
  const made = await quietly(issuer, WORDS)
  made.registerGrantType(EXCHANGE, async ctx => {
    const { client, params } = ctx.oidc
    const { scope = 'crm:read' } = params as { readonly scope?: string } // a form
    const token = new made.ClientCredentials({ client, scope })
    ctx.oidc.entity('ClientCredentials', token)
    ctx.body = { access_token: await token.save(), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', token_type: 'Bearer', expires_in: token.expiration }
  }, EXCHANGED)
  return made
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer) // no encoding is set
  return Buffer.concat(chunks)
}

export class TokenService {
  readonly origin: string
  /** How a path answers; those that are not here serve. */
  readonly behaviours = new Map<string, Behaviour>()
  readonly asked: Asked[] = []
  readonly leases: Lease[] = []
  /** Seconds that leases live. */
  leaseLife = 600
  readonly #server: Server
  readonly #inner: Server

  private constructor(server: Server, inner: Server) {
    this.#server = server
    this.#inner = inner
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}` // a TCP listener's
  }

  static async start(): Promise<TokenService> {
    let serve: (request: IncomingMessage, response: ServerResponse) => void = () => {}
    const server = createServer((request, response) => serve(request, response))
    const inner = createServer()
    for (const each of [server, inner]) {
      each.listen(0, '127.0.0.1')
      await once(each, 'listening')
    }
    const service = new TokenService(server, inner)
    const answer = (await provider(service.origin)).callback()
    inner.on('request', (request, response) => void answer(request, response))
    serve = (request, response) => void service.#serve(request, response)
    return service
  }

  at(path: string): readonly Asked[] { return this.asked.filter(asked => asked.path === path) }

  /** What the authorization server says of a token. */
  async introspect(token: string): Promise<Claims & { readonly active: boolean }> {
    const answer = await fetch(`http://127.0.0.1:${(this.#inner.address() as AddressInfo).port}/token/introspection`, {
      method: 'POST', body: new URLSearchParams({ token }), headers: { authorization: `Basic ${btoa(`${CLIENT}:${CLIENT_SECRET}`)}`, host: new URL(this.origin).host },
    })
    return (await answer.json()) as Claims & { readonly active: boolean } // RFC 7662
  }

  /** An upstream that asks whether what it is shown counts, as somebody calls it who is not the gateway. */
  async direct(authorization: string): Promise<200 | 401> {
    const token = authorization.replace(/^Bearer /, '')
    const lease = this.leases.find(each => each.token === token)
    return (lease === undefined ? (await this.introspect(token)).active : !lease.over) ? 200 : 401
  }

  async close(): Promise<void> {
    for (const server of [this.#server, this.#inner]) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request)
    const path = request.url ?? ''
    const behaviour = this.behaviours.get(path) ?? 'serve'
    const note = (status: number): void => void this.asked.push({ path, body: body.toString(), headers: request.headers, status })
    if (behaviour === 'hang') return note(0)
    if (typeof behaviour === 'number') {
      note(behaviour)
      response.writeHead(behaviour).end()
    } else if (typeof behaviour === 'object') {
      note(200)
      response.writeHead(200, { 'content-type': 'application/json' }).end(behaviour.body)
    } else if (path.startsWith('/v1/')) this.#leases(request, body.toString(), response, note)
    else await this.#forward(request, body, response, note)
  }

  async #forward(request: IncomingMessage, body: Buffer, response: ServerResponse, note: (status: number) => void): Promise<void> {
    const { port } = this.#inner.address() as AddressInfo
    const headers = Object.fromEntries(Object.entries(request.headers).flatMap(([name, value]) => (typeof value === 'string' && !/^(?:connection|content-length|transfer-encoding|host|keep-alive)$/.test(name) ? [[name, value]] : [])))
    const answer = await fetch(`http://127.0.0.1:${port}${request.url ?? ''}`, { method: request.method ?? 'GET', headers, ...(body.length === 0 ? {} : { body: new Uint8Array(body) }) })
    const text = await answer.text()
    note(answer.status)
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' }).end(text)
  }

  #leases(request: IncomingMessage, body: string, response: ServerResponse, note: (status: number) => void): void {
    const say = (status: number, answer: object | null): void => {
      note(status)
      response.writeHead(status, { 'content-type': 'application/json' }).end(answer === null ? '' : JSON.stringify(answer))
    }
    if (request.headers['x-vault-token'] !== LEASE_SECRET) return say(403, { errors: ['permission denied'] })
    if (request.url === '/v1/creds/crm') {
      const lease: Lease = { id: `creds/crm/${crypto.randomUUID()}`, token: `v.${crypto.randomUUID()}`, over: false }
      this.leases.push(lease)
      return say(200, { lease_id: lease.id, lease_duration: this.leaseLife, data: { token: lease.token } })
    }
    const { lease_id: id } = JSON.parse(body) as { readonly lease_id?: string } // what the gateway is configured to send
    const lease = this.leases.find(each => each.id === id)
    if (lease !== undefined) lease.over = true
    return say(lease === undefined ? 400 : 204, null)
  }
}
