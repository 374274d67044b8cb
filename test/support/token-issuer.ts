// An identity provider for tests: makes keys, signs access tokens, writes a JWKS file, or serves JWKS and metadata on a loopback port.
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, type JWTHeaderParameters } from 'jose'

export type Algorithm = 'EdDSA' | 'ES256'
export type TokenClaims = { readonly [name: string]: unknown }

type Signer = { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: JSONWebKeySet['keys'][number] }

/** Where metadata is served: OpenID Connect, RFC 8414, both or nowhere. */
export type Metadata = 'openid' | 'oauth' | 'both' | 'none'

export type IssuerOptions = {
  /** Ignored once `serve` gave it a loopback address. */
  readonly issuer?: string
  readonly audience?: string
  readonly algorithm?: Algorithm
}

export type SignOptions = {
  /** Added to `alg`, `typ: 'at+jwt'` and `kid`; a member that is undefined is left out. */
  readonly header?: TokenClaims
  /** Milliseconds since the epoch that `iat` and `exp` are taken from. */
  readonly now?: number
  /** Seconds between `iat` and `exp`. */
  readonly lifetime?: number
}

async function makeSigner(algorithm: Algorithm, kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' } }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

export class TokenIssuer {
  issuer: string
  readonly audience: string
  readonly algorithm: Algorithm
  metadata: Metadata = 'both'
  /** Overrides what metadata says its issuer is. */
  claimedIssuer: string | null = null
  /** Answers everything with 503 while true. */
  down = false
  /** Paths asked for, in order. */
  readonly requests: string[] = []
  #signers: readonly [Signer, ...Signer[]]
  #made = 1
  #server: Server | null = null

  private constructor(signer: Signer, { issuer = 'https://login.example', audience = 'narrowgate', algorithm = 'EdDSA' }: IssuerOptions) {
    this.issuer = issuer
    this.audience = audience
    this.algorithm = algorithm
    this.#signers = [signer]
  }

  static async create(options: IssuerOptions = {}): Promise<TokenIssuer> {
    return new TokenIssuer(await makeSigner(options.algorithm ?? 'EdDSA', 'key-1'), options)
  }

  /** The keys it publishes, newest first. */
  jwks(): JSONWebKeySet {
    return { keys: this.#signers.map(({ jwk }) => jwk) }
  }

  /** Signs with a new key from now on; `keepOld` leaves the former ones published. */
  async rotate({ keepOld = false } = {}): Promise<void> {
    const signer = await makeSigner(this.algorithm, `key-${++this.#made}`)
    this.#signers = keepOld ? [signer, ...this.#signers] : [signer]
  }

  /**
   * An access token: `iss`, `aud`, `sub: 'agent-1'`, `client_id: 'client-1'`, `iat` and `exp` unless `claims` say otherwise; a claim that is
   * undefined is left out. No `jti` unless asked for.
   */
  async sign(claims: TokenClaims = {}, { header = {}, now = Date.now(), lifetime = 600 }: SignOptions = {}): Promise<string> {
    const iat = Math.floor(now / 1000)
    const payload = { iss: this.issuer, aud: this.audience, sub: 'agent-1', client_id: 'client-1', iat, exp: iat + lifetime, ...claims }
    return this.signText(JSON.stringify(payload), header)
  }

  /** Signs any payload text, also one that is not a claims set. */
  async signText(payload: string, header: TokenClaims = {}): Promise<string> {
    const [{ kid, privateKey }] = this.#signers
    const full = JSON.parse(JSON.stringify({ alg: this.algorithm, typ: 'at+jwt', kid, ...header })) as JWTHeaderParameters // drops what is undefined
    return new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader(full).sign(privateKey)
  }

  async writeJwks(file: string): Promise<void> {
    await writeFile(file, JSON.stringify(this.jwks()))
  }

  /** Listens on a loopback port and makes that its issuer; `path` is appended to it. Returns the issuer. */
  async serve(path = ''): Promise<string> {
    const server = createServer((request, response) => this.#respond(request.url ?? '/', path, response))
    this.#server = server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo // a TCP listener's
    this.issuer = `http://127.0.0.1:${port}${path}`
    return this.issuer
  }

  get jwksUri(): string {
    return `${new URL(this.issuer).origin}/keys`
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }

  #respond(url: string, path: string, response: ServerResponse): void {
    this.requests.push(url)
    if (this.down) return answer(response, 503, {})
    const served: { readonly [url: string]: readonly Metadata[] } = {
      [`${path}/.well-known/openid-configuration`]: ['openid', 'both'],
      [`/.well-known/oauth-authorization-server${path}`]: ['oauth', 'both'],
    }
    if (url === '/keys') return answer(response, 200, this.jwks())
    if (served[url]?.includes(this.metadata)) return answer(response, 200, { issuer: this.claimedIssuer ?? this.issuer, jwks_uri: this.jwksUri })
    answer(response, 404, {})
  }
}
