// A real identity provider on loopback (oidc-provider): access tokens as JWTs or opaque, bound to a DPoP key or a client certificate or to nothing, refreshed,
// introspected, revoked. Its clients are openid-client's over sockets of their own; people sign in with a jar of cookies in place of a browser. For tests only.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request as plainRequest, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, request as tlsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { exportJWK, generateKeyPair } from 'jose'
import type { AccessToken, ClientCredentials, ClientMetadata, Configuration as ProviderWords, KoaContextWithOIDC, Provider } from 'oidc-provider'
import * as openid from 'openid-client'
import type { GatewayPlan, TestGateway } from './gateway.ts'
import type { Authority, Certificate, ClientAuthority } from './tls.ts'

const AUDIENCE = 'narrowgate'
export const FORMS = ['jwt', 'opaque'] as const
export type Form = (typeof FORMS)[number]
/** What a token is asked for (RFC 8707); its audience and its form follow from it. */
const resourceOf = (form: Form, audience = AUDIENCE): string => `https://${audience}.example/${form}`

/** Of every client. */
export const SECRET = 'a-secret-that-every-client-of-a-test-has'
/** The gateway's own name there, by which it asks about opaque tokens. */
const GATEWAY = 'gateway'
const REDIRECT = 'https://app.example/callback'
const SCOPE = 'base:read'
const LIFETIME = 600
const FOR_PEOPLE = ['authorization_code', 'refresh_token']
/** How long the gateway believes an answer about an opaque token. */
export const FRESHNESS = 1_000

/** `batch` and `runner` are machines, `runner` known by its certificate; `console` and `reports` act for people, and answers about opaque tokens name the sign-in of `console` alone. */
const CLIENTS: readonly ClientMetadata[] = [
  { client_id: GATEWAY, client_secret: SECRET, redirect_uris: [], response_types: [], grant_types: [] },
  { client_id: 'batch', client_secret: SECRET, redirect_uris: [], response_types: [], grant_types: ['client_credentials'] },
  {
    client_id: 'runner', redirect_uris: [], response_types: [], grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=runner', tls_client_certificate_bound_access_tokens: true,
  },
  { client_id: 'console', client_secret: SECRET, redirect_uris: [REDIRECT], grant_types: FOR_PEOPLE, backchannel_logout_uri: REDIRECT, backchannel_logout_session_required: true },
  { client_id: 'reports', client_secret: SECRET, redirect_uris: [REDIRECT], grant_types: FOR_PEOPLE },
]

const tlsSocketOf = ({ req: { socket } }: KoaContextWithOIDC): TLSSocket | null => (socket instanceof TLSSocket ? socket : null)

/** Of people the one sign-in that several clients share; of machines who they are, which introspection does not say by itself. */
function claimsOf(token: AccessToken | ClientCredentials): { readonly [name: string]: unknown } {
  return token.kind === 'AccessToken' ? { sid: token.sessionUid } : { sub: token.clientId }
}

async function wordsOf(aliases: { readonly [endpoint: string]: string }): Promise<ProviderWords> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return {
    clients: CLIENTS,
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'rs-1' }] },
    cookies: { keys: [SECRET] },
    scopes: ['openid', 'offline_access'],
    discovery: { mtls_endpoint_aliases: aliases },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    rotateRefreshToken: () => true,
    pkce: { required: () => true },
    clientAuthMethods: ['client_secret_basic', 'tls_client_auth'],
    extraTokenClaims: (_, token) => claimsOf(token),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    ttl: { AccessToken: LIFETIME, ClientCredentials: LIFETIME, AuthorizationCode: 60, Grant: 3_600, IdToken: LIFETIME, Interaction: 60, RefreshToken: 3_600, Session: 3_600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_, { clientId }, token) => clientId === GATEWAY || clientId === token.clientId },
      revocation: { enabled: true, allowedPolicy: (_, { clientId }, token) => clientId === token.clientId },
      mTLS: {
        enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true,
        getCertificate: ctx => tlsSocketOf(ctx)?.getPeerX509Certificate(),
        certificateAuthorized: ctx => tlsSocketOf(ctx)?.authorized === true,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && tlsSocketOf(ctx)?.getPeerX509Certificate()?.subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => {
          const [, audience = resource, form = 'jwt'] = /^https:\/\/(.+)\.example\/(.+)$/.exec(resource) ?? [] // what has another address is an audience by it
          return { scope: SCOPE, audience, accessTokenTTL: LIFETIME, accessTokenFormat: form === 'jwt' ? 'jwt' : 'opaque' }
        },
      },
    },
  }
}

/** It warns of what is right for a test: a store in memory, and a Node newer than those it knows. */
export async function quietly(issuer: string, words: ProviderWords): Promise<Provider> {
  const { warn } = console
  console.warn = () => {}
  try {
    const { default: Made } = await import('oidc-provider')
    return new Made(issuer, words)
  } finally {
    console.warn = warn
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port // a TCP listener's
}

type Sent = { readonly url: string; readonly method: string; readonly headers: { readonly [name: string]: string } }

async function exchange(trust: string, leaf: Certificate | null, { url, method, headers }: Sent, body: Buffer): Promise<Response> {
  const options = { method, headers: { ...headers, ...(body.length === 0 ? {} : { 'content-length': body.length }) }, agent: false } as const
  const sent = url.startsWith('https:') ? tlsRequest(url, { ...options, ca: trust, ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }) }) : plainRequest(url, options)
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // what the event carries
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer) // no encoding is set
  const heard = new Headers()
  for (let i = 0; i < response.rawHeaders.length; i += 2) heard.append(response.rawHeaders[i] ?? '', response.rawHeaders[i + 1] ?? '')
  return new Response(response.statusCode === 204 ? null : Buffer.concat(chunks), { status: response.statusCode ?? 500, headers: heard })
}

/** A connection of its own for each request, with a certificate or none; what was sent is kept. */
export class ClientWire {
  readonly sent: Sent[] = []
  readonly #trust: string
  readonly #leaf: Certificate | null

  constructor(trust: string, leaf: Certificate | null = null) {
    this.#trust = trust
    this.#leaf = leaf
  }

  readonly fetch: openid.CustomFetch = async (url, { method, headers, body }) => {
    const sent = { url, method, headers }
    this.sent.push(sent)
    return exchange(this.#trust, this.#leaf, sent, Buffer.from(await new Response(body).arrayBuffer()))
  }

  /** The same octets of a head once more. */
  again(sent: Sent): Promise<Response> { return exchange(this.#trust, this.#leaf, sent, Buffer.alloc(0)) }
}

/** Cookies of a person; with the same ones every client is of the same sign-in. */
class Browser {
  readonly #cookies = new Map<string, string>()

  /** Goes where it is sent, as far as the client's own address. */
  async follow(from: URL): Promise<URL> {
    let at = from
    for (let hops = 0; hops < 12 && !at.href.startsWith(REDIRECT); hops++) {
      const { status, headers } = await fetch(at, { redirect: 'manual', headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') } })
      for (const [, name = '', value = ''] of headers.getSetCookie().map(line => /^([^=]+)=([^;]*)/.exec(line) ?? [])) this.#cookies.set(name, value)
      const location = headers.get('location')
      if (location === null) throw new Error(`the provider answers ${status} at ${at.href}`)
      at = new URL(location, at)
    }
    return at
  }
}

export type Tokens = { readonly access: string; readonly refresh: string; readonly id: string }
const tokensOf = ({ access_token, refresh_token = '', id_token = '' }: openid.TokenEndpointResponse): Tokens => ({ access: access_token, refresh: refresh_token, id: id_token })

/** A gateway for its tokens of both forms, over TLS that asks for certificates of `clients`: `/base/…` on the baseline, `/extra/…` on the elevation `long`. */
export const planFor = (issuer: string, site: Authority, clients: ClientAuthority, nonces = false): GatewayPlan => ({
  routes: '', tls: true,
  config: ({ directory, upstream }) => {
    writeFileSync(join(directory, 'secret'), SECRET, { mode: 0o600 })
    return `
version: 1
stateDir: ${directory}/state
server:
  dpopNonces: ${nonces}
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys], tls: { certFile: ${site.server.certFile}, keyFile: ${site.server.keyFile}, clients: { caFile: ${clients.cert.certFile} } } }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  idp: { jwt: { issuer: "${issuer}", audience: ${AUDIENCE}, dpop: optional, mtls: optional }, kind: agent }
  opaque:
    introspection: { url: "${issuer}/token/introspection", clientId: ${GATEWAY}, clientSecretFile: ${directory}/secret, issuer: "${issuer}", audience: ${AUDIENCE}, freshness: ${FRESHNESS}ms, dpop: optional, mtls: optional }
    kind: agent
sessions: { baseline: [{ scopes: [base:read] }] }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
routes:
  - { name: api, upstream: api, rules: [{ allow: { paths: [/base/**] }, scope: base:read }, { allow: { paths: [/extra/**] }, scope: extra:use }] }
elevations:
  long: { adds: [extra:use], for: 10m }
`
  },
})

export const originOf = ({ target }: TestGateway): string => `https://127.0.0.1:${target.port}`

async function said(response: Response, challenges: readonly openid.WWWAuthenticateChallenge[]): Promise<string> {
  if (response.status === 200) return '200'
  const { reason } = (await response.json()) as { readonly reason: string } // a problem
  return [response.status, reason, ...challenges.map(({ scheme, parameters }) => `${scheme} ${parameters.error}`)].join(' ')
}

/** `200`, or status and reason of a refusal, then the scheme and the error of each challenge, as the client reads them. */
export async function outcomeOf(asked: Promise<Response>): Promise<string> {
  try {
    return await said(await asked, [])
  } catch (error) {
    if (error instanceof openid.WWWAuthenticateChallengeError) return said(error.response, error.cause)
    throw error
  }
}

export class IdentityProvider {
  readonly issuer: string
  readonly #provider: Provider
  readonly #servers: readonly Server[]
  readonly #trust: string
  readonly #browsers = new Map<string, Browser>()

  private constructor(provider: Provider, servers: readonly Server[], trust: string) {
    this.issuer = provider.issuer
    this.#provider = provider
    this.#servers = servers
    this.#trust = trust
  }

  /** @param clients who issues the certificates that it knows clients by */
  static async start(site: Authority, clients: ClientAuthority): Promise<IdentityProvider> {
    let serve: (request: IncomingMessage, response: ServerResponse) => void = () => {}
    const plain = createServer((request, response) => serve(request, response))
    const { cert, key } = site.server
    const secure = createTlsServer({ cert, key, ca: clients.cert.cert, requestCert: true, rejectUnauthorized: false }, (request, response) => serve(request, response))
    const [port, securePort] = [await listen(plain), await listen(secure)]
    const provider = await quietly(`http://127.0.0.1:${port}`, await wordsOf({ token_endpoint: `https://127.0.0.1:${securePort}/token` }))
    const started = new IdentityProvider(provider, [plain, secure], site.ca)
    const answer = provider.callback()
    serve = (request, response) => void (request.url?.startsWith('/interaction/') === true ? started.#consent(request, response) : answer(request, response))
    return started
  }

  /** One of its clients, by discovery. */
  client(id: string, wire = new ClientWire(this.#trust)): Promise<openid.Configuration> {
    const known = id === 'runner'
    return openid.discovery(new URL(this.issuer), id, known ? { use_mtls_endpoint_aliases: true } : SECRET, known ? openid.TlsClientAuth() : openid.ClientSecretBasic(SECRET), {
      [openid.customFetch]: wire.fetch,
      execute: [openid.allowInsecureRequests],
    })
  }

  /** A machine's own token. */
  async ownToken(client: openid.Configuration, form: Form, proof: openid.DPoPOptions = {}, audience = AUDIENCE): Promise<string> {
    return tokensOf(await openid.clientCredentialsGrant(client, { resource: resourceOf(form, audience), scope: SCOPE }, proof)).access
  }

  /** A person's tokens by an authorization code. Whoever signed in before stays so, and another client is of the same sign-in. */
  async signIn(client: openid.Configuration, person: string, form: Form, proof: openid.DPoPOptions = {}): Promise<Tokens> {
    const browser = this.#browsers.get(person) ?? new Browser()
    this.#browsers.set(person, browser)
    const [pkceCodeVerifier, expectedState] = [openid.randomPKCECodeVerifier(), openid.randomState()]
    const asked = openid.buildAuthorizationUrl(client, {
      redirect_uri: REDIRECT, scope: `openid offline_access ${SCOPE}`, resource: resourceOf(form), prompt: 'consent', login_hint: person,
      state: expectedState, code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
    })
    return tokensOf(await openid.authorizationCodeGrant(client, await browser.follow(asked), { pkceCodeVerifier, expectedState }, {}, proof))
  }

  async refresh(client: openid.Configuration, { refresh }: Tokens, proof: openid.DPoPOptions = {}): Promise<Tokens> {
    return tokensOf(await openid.refreshTokenGrant(client, refresh, {}, proof))
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }

  /** Says yes to whatever the person is asked. */
  async #consent(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { params, prompt, session } = await this.#provider.interactionDetails(request, response)
    const accountId = session?.accountId ?? String(params['login_hint'])
    const grant = new this.#provider.Grant({ accountId, clientId: String(params['client_id']) })
    grant.addOIDCScope('openid offline_access')
    grant.addResourceScope(String(params['resource']), SCOPE)
    const consent = { grantId: await grant.save() }
    await this.#provider.interactionFinished(request, response, prompt.name === 'login' ? { login: { accountId }, consent } : { consent }, { mergeWithLastSubmission: false })
  }
}
