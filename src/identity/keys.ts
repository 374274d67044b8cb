// The public keys of one issuer: from a file, from a URL, or from where the issuer's own metadata says. Never from the token, never another
// issuer's. A fetch has a limit and a cooldown, and what was fetched is used no longer than an hour. SPEC: SES13
import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey, type RemoteJWKSet } from 'jose'
import { duration } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient, HttpLimits } from '../runtime/http-client.ts'
import { sha256 } from '../runtime/id.ts'

/** No key could be asked for: the place did not answer, or not with a key set. */
export class KeysUnavailable extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'KeysUnavailable'
  }
}

/** Finds the key for a protected header. Throws KeysUnavailable, or jose's errors for a header no key fits. */
export type Keys = {
  readonly find: JWTVerifyGetKey
  /** Changes when the key of this id does; the same for keys that are fetched, whose issuer says when they end. */
  readonly fingerprintOf: (keyId: string | null) => string
}

/** Milliseconds. */
export const KEY_TIMES = {
  /** For one fetch. */
  timeout: 5_000,
  /** After a fetch before an unknown key id may cause the next. */
  cooldown: 30_000,
  /** After a failed fetch before the next attempt. */
  failureCooldown: 5_000,
  /** Age at which keys are fetched anew, beside the work that uses them. */
  refresh: 10 * 60_000,
  /** Age after which they no longer count. */
  stale: 60 * 60_000,
} as const

export const FETCH_LIMITS: HttpLimits = { timeout: duration(KEY_TIMES.timeout), bytes: 256 * 1024 }

/** What keys are fetched with; `notice` hears of failures, at most one per cooldown. */
export type KeyTools = { readonly clock: Clock; readonly http: Pick<HttpClient, 'getJson'>; readonly notice: (error: Error) => void }

/** Refuses to start work again too soon after it failed. */
export class Cooldown {
  readonly #clock: Clock
  #failedAt = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Runs `work`, or throws KeysUnavailable while the last failure is recent. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#clock.elapsed() - this.#failedAt < KEY_TIMES.failureCooldown) throw new KeysUnavailable('the last attempt failed a moment ago')
    try {
      return await work()
    } catch (error) {
      this.#failedAt = this.#clock.elapsed()
      throw error
    }
  }
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'k', 'priv']

/** Keys that a credential of this key id may have been proved by: all of them where it names none. */
const fitting = (keys: readonly JWK[], keyId: string | null): readonly JWK[] => (keyId === null ? keys : keys.filter(({ kid }) => kid === keyId))

/** What of a key set counts. */
export type KeySelection = (set: unknown) => unknown
export const everyKey: KeySelection = set => set

/** Of a SPIFFE bundle the keys for JWT-SVIDs: `use` may be left out, any other use is another key. `use` goes, jose knows `sig` alone. */
export const svidKeys: KeySelection = set => {
  if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys)) return set
  const keys: readonly unknown[] = set.keys
  return {
    keys: keys.flatMap(key => {
      if (typeof key !== 'object' || key === null || !('use' in key)) return [key]
      const { use, ...rest } = key
      return use === 'jwt-svid' ? [rest] : []
    }),
  }
}

/** The keys of a JWKS text. Throws an Error that says what is wrong with it. */
export function keysOfText(text: string, selection: KeySelection = everyKey): Keys {
  let set: unknown
  try {
    set = selection(JSON.parse(text))
  } catch {
    throw new Error('is not JSON')
  }
  if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys) || set.keys.length === 0) {
    throw new Error('is not a JSON Web Key Set: { "keys": [...] } with at least one key')
  }
  const position = set.keys.findIndex(key => typeof key !== 'object' || key === null || PRIVATE_MEMBERS.some(member => member in key))
  if (position !== -1) throw new Error(`keys[${position}] is not a public key`)
  const keys: readonly JWK[] = set.keys
  const find = createLocalJWKSet({ keys: [...keys] } satisfies JSONWebKeySet)
  return { find: (header, token) => find(header, token), fingerprintOf: keyId => sha256(JSON.stringify(fitting(keys, keyId))) }
}

/** Keys fetched from one URL. */
export class RemoteKeys {
  readonly #tools: KeyTools
  readonly #set: RemoteJWKSet
  readonly #cooldown: Cooldown
  #fetchedAt = -Infinity

  constructor(url: URL, tools: KeyTools) {
    this.#tools = tools
    this.#cooldown = new Cooldown(tools.clock)
    this.#set = createRemoteJWKSet(url, {
      timeoutDuration: KEY_TIMES.timeout,
      cooldownDuration: KEY_TIMES.cooldown,
      cacheMaxAge: KEY_TIMES.stale,
      [customFetch]: () => this.#cooldown.run(() => this.#fetch(url)),
    })
  }

  /** False before the first fetch and when the keys are too old to count. */
  get fresh(): boolean {
    return this.#set.fresh
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    try {
      const key = await this.#set(header, token)
      this.#refresh()
      return key
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys || error instanceof errors.JOSENotSupported) throw error
      throw error instanceof KeysUnavailable ? error : new KeysUnavailable('the keys could not be fetched', error)
    }
  }

  readonly fingerprintOf = (): string => ''

  async #fetch(url: URL): Promise<Response> {
    try {
      const answer = Response.json(await this.#tools.http.getJson(url, FETCH_LIMITS))
      this.#fetchedAt = this.#tools.clock.elapsed()
      return answer
    } catch (error) {
      if (error instanceof Error) this.#tools.notice(error)
      throw error
    }
  }

  /** Fetches ageing keys anew without making anyone wait; a failure leaves the old ones in use until they are stale. */
  #refresh(): void {
    if (this.#set.reloading || this.#tools.clock.elapsed() - this.#fetchedAt < KEY_TIMES.refresh) return
    this.#set.reload().catch(() => {}) // told to `notice` already; the cooldown bounds attempts
  }
}

