// Finds an issuer's keys through its metadata: OpenID Connect Discovery 1.0 §4, then RFC 8414 §3. Asked on first use, never at start;
// the metadata must name exactly the configured issuer. SPEC: SES13
import type { JWTVerifyGetKey } from 'jose'
import { HttpFault } from '../runtime/http-client.ts'
import { Cooldown, FETCH_LIMITS, type KeyTools, KeysUnavailable, RemoteKeys } from './keys.ts'

/** Where an issuer's metadata may be, in the order asked. */
export function metadataUrls(issuer: string): readonly [URL, URL] {
  const base = issuer.replace(/\/$/, '')
  const { origin, pathname } = new URL(base)
  return [new URL(`${base}/.well-known/openid-configuration`), new URL(`${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`)]
}

/** The `jwks_uri` of metadata. Throws KeysUnavailable when it is another issuer's, or names no place as safe as the issuer's own. */
export function keysUrl(metadata: unknown, issuer: string): URL {
  if (typeof metadata !== 'object' || metadata === null) throw new KeysUnavailable('the metadata is not an object')
  if (!('issuer' in metadata) || metadata.issuer !== issuer) throw new KeysUnavailable(`the metadata is not of the issuer ${issuer}`)
  const uri = 'jwks_uri' in metadata && typeof metadata.jwks_uri === 'string' ? metadata.jwks_uri : ''
  const url = URL.canParse(uri) ? new URL(uri) : null
  const safe = url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && issuer.startsWith('http:')))
  if (!safe) throw new KeysUnavailable('the metadata names no usable jwks_uri')
  return url
}

export class DiscoveredKeys {
  readonly #issuer: string
  readonly #tools: KeyTools
  readonly #cooldown: Cooldown
  #keys: RemoteKeys | null = null
  #pending: Promise<RemoteKeys> | null = null

  constructor(issuer: string, tools: KeyTools) {
    this.#issuer = issuer
    this.#tools = tools
    this.#cooldown = new Cooldown(tools.clock)
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    const keys = this.#keys ?? (await this.#discover())
    try {
      return await keys.find(header, token)
    } catch (error) {
      if (error instanceof KeysUnavailable && !keys.fresh && this.#keys === keys) this.#keys = null // the keys may have moved
      throw error
    }
  }

  readonly fingerprintOf = (): string => ''

  /** One attempt at a time, however many wait for it. */
  #discover(): Promise<RemoteKeys> {
    this.#pending ??= this.#cooldown.run(() => this.#ask()).finally(() => {
      this.#pending = null
    })
    return this.#pending
  }

  async #ask(): Promise<RemoteKeys> {
    try {
      this.#keys = new RemoteKeys(keysUrl(await this.#metadata(), this.#issuer), this.#tools)
      return this.#keys
    } catch (error) {
      if (error instanceof Error) this.#tools.notice(error)
      throw error instanceof KeysUnavailable ? error : new KeysUnavailable('the metadata could not be fetched', error)
    }
  }

  async #metadata(): Promise<unknown> {
    const [openid, oauth] = metadataUrls(this.#issuer)
    try {
      return await this.#tools.http.getJson(openid, FETCH_LIMITS)
    } catch (error) {
      if (!(error instanceof HttpFault)) throw error
      return this.#tools.http.getJson(oauth, FETCH_LIMITS)
    }
  }
}
