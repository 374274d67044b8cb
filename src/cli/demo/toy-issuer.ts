// A token issuer for the demo: makes an Ed25519 key at start and signs access tokens for whoever asks on loopback. A TOY: it authenticates
// nobody, and its key dies with the process. It publishes its keys as real issuers do (RFC 7517); tokens follow RFC 9068 and RFC 8037.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { originOf } from './loopback.ts'

const AUDIENCE = 'narrowgate-demo'
const KEY_ID = 'toy-1'
const LIFETIME_S = 8 * 3600

export const AGENT = 'agent-7'

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
const partOf = (value: object): string => base64url(new TextEncoder().encode(JSON.stringify(value)))

async function keyPair(): Promise<{ readonly privateKey: CryptoKey; readonly publicKey: CryptoKey }> {
  const made = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
  if ('privateKey' in made) return made
  throw new TypeError('Ed25519 gave one key')
}

export class ToyIssuer {
  readonly origin: string
  readonly #server: Server
  readonly #privateKey: CryptoKey
  readonly #keys: string

  private constructor(server: Server, privateKey: CryptoKey, keys: string) {
    this.#server = server
    this.#privateKey = privateKey
    this.#keys = keys
    this.origin = originOf(server)
    server.on('request', (request, response) => void this.#serve(request, response))
  }

  static async start(): Promise<ToyIssuer> {
    const { privateKey, publicKey } = await keyPair()
    const { kty, crv, x } = await crypto.subtle.exportKey('jwk', publicKey)
    const keys = JSON.stringify({ keys: [{ kty, crv, x, kid: KEY_ID, alg: 'EdDSA', use: 'sig' }] })
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new ToyIssuer(server, privateKey, keys)
  }

  /** An access token for `subject`, good for eight hours. */
  async token(subject: string): Promise<string> {
    const iat = Math.floor(Date.now() / 1000)
    const claims = { iss: this.origin, aud: AUDIENCE, sub: subject, client_id: 'demo', jti: crypto.randomUUID(), iat, exp: iat + LIFETIME_S }
    const signed = `${partOf({ alg: 'EdDSA', typ: 'at+jwt', kid: KEY_ID })}.${partOf(claims)}`
    const signature = await crypto.subtle.sign('Ed25519', this.#privateKey, new TextEncoder().encode(signed))
    return `${signed}.${base64url(new Uint8Array(signature))}`
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume()
    const { pathname, searchParams } = new URL(request.url ?? '/', this.origin)
    if (pathname === '/keys') response.writeHead(200, { 'content-type': 'application/json' }).end(this.#keys)
    else if (pathname === '/token') response.writeHead(200, { 'content-type': 'text/plain' }).end(`${await this.token(searchParams.get('sub') ?? AGENT)}\n`)
    else response.writeHead(404).end()
  }
}
