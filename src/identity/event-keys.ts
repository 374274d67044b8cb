// The keys of somebody who tells of events. News that is refused is not sent again, so that no key is called unknown on the word of a list that may be
// old: then the sender is told to try again. SPEC: SSF2
import { errors, type JWTVerifyGetKey } from 'jose'
import type { Clock } from '../runtime/clock.ts'
import { type HttpClient, HttpFault, type HttpLimits } from '../runtime/http-client.ts'
import { keysUrl, metadataUrls } from './discovery.ts'
import { Cooldown, FETCH_LIMITS, type Keys, type KeyTools, KeysUnavailable, RemoteKeys } from './keys.ts'

type Tools = { readonly clock: Clock; readonly http: Pick<HttpClient, 'ask'>; readonly notice: (error: Error) => void }

/** JSON over connections that trust these certificates; null those of the system. */
function jsonFrom(http: Tools['http'], ca: string | null): KeyTools['http'] {
  return {
    async getJson(url: URL, limits: HttpLimits): Promise<unknown> {
      const { text } = await http.ask(url, { method: 'GET', body: null, headers: {}, ca, statuses: [200] }, limits, 'open')
      try {
        return JSON.parse(text)
      } catch {
        throw new HttpFault('not_json', `${url.origin}${url.pathname} did not answer with JSON`, 200)
      }
    },
  }
}

export class EventKeys implements Keys {
  readonly #placeOf: () => Promise<URL>
  readonly #tools: KeyTools
  readonly #cooldown: Cooldown
  #place = ''
  #keys: RemoteKeys | null = null
  #fetchedAt = -Infinity

  /** @param placeOf where its keys are now; asked each time. It rejects where that is not known */
  constructor(placeOf: () => Promise<URL>, { clock, http, notice }: Tools, ca: string | null) {
    this.#placeOf = placeOf
    this.#cooldown = new Cooldown(clock)
    const json = jsonFrom(http, ca)
    const getJson = async (url: URL, limits: HttpLimits): Promise<unknown> => {
      const set = await json.getJson(url, limits)
      this.#fetchedAt = clock.elapsed()
      return set
    }
    this.#tools = { clock, notice, http: { getJson } }
  }

  readonly fingerprintOf = (): string => ''

  readonly find: JWTVerifyGetKey = async (header, token) => {
    const asked = this.#tools.clock.elapsed()
    const keys = await this.#current()
    try {
      return await keys.find(header, token)
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey && this.#fetchedAt < asked) throw new KeysUnavailable('its keys may have changed since they were fetched', error)
      throw error
    }
  }

  async #current(): Promise<RemoteKeys> {
    const place = await this.#cooldown.run(() => this.#located())
    if (this.#keys === null || this.#place !== place.href) {
      this.#place = place.href
      this.#keys = new RemoteKeys(place, this.#tools)
    }
    return this.#keys
  }

  async #located(): Promise<URL> {
    try {
      return await this.#placeOf()
    } catch (error) {
      if (error instanceof Error) this.#tools.notice(error)
      throw error instanceof KeysUnavailable ? error : new KeysUnavailable('where its keys are is not known', error)
    }
  }
}

/** Of an issuer as OpenID Connect has it; what was found is asked for anew after an hour. */
const KNOWN_FOR = 3_600_000

export function openidKeys(issuer: string, tools: Tools): Keys {
  const json = jsonFrom(tools.http, null)
  let known: { readonly place: URL; readonly until: number } | null = null
  const placeOf = async (): Promise<URL> => {
    if (known === null || tools.clock.elapsed() >= known.until) known = { place: keysUrl(await json.getJson(metadataUrls(issuer)[0], FETCH_LIMITS), issuer), until: tools.clock.elapsed() + KNOWN_FOR }
    return known.place
  }
  return new EventKeys(placeOf, tools, null)
}
