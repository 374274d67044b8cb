// The keys that sign what upstreams are told, wherever they are kept. Somebody looks from time to time whether there are others. SPEC: CTX5, CTX6
import { type Duration, duration } from '../core/time.ts'
import type { PublicKey, SigningKey } from './signing-key.ts'

export interface ContextKeys {
  /** The one that signs now. */
  readonly signing: SigningKey
  /** What this gateway publishes now. */
  readonly published: readonly PublicKey[]
  /** Settles when it was looked lately, or could not be. Does not reject. */
  fresh(): Promise<void>
  /** Another data set gets what is in use. */
  named(): Promise<void>
  stop(): void
}

/** How old what is known of others' keys may be when something is signed that was asked for: well within the time in which a new key is only published. */
const FRESH_FOR = 120_000

/** Looks every so often; one look at a time. */
export class Looking {
  readonly #look: () => Promise<void>
  readonly #failed: (error: unknown) => void
  readonly #timer: NodeJS.Timeout
  #under: Promise<void> | null = null
  #lookedAt = performance.now()
  #told = false

  /** @param failed told once for each time that looking begins to fail */
  constructor(every: Duration, look: () => Promise<void>, failed: (error: unknown) => void) {
    this.#look = look
    this.#failed = failed
    this.#timer = setInterval(() => void this.now(), every).unref()
  }

  /** Does not reject. */
  now(): Promise<void> {
    return (this.#under ??= this.#once().finally(() => {
      this.#under = null
    }))
  }

  /** At once where it was looked lately. */
  fresh(): Promise<void> { return performance.now() - this.#lookedAt < FRESH_FOR ? DONE : this.now() }

  stop(): void { clearInterval(this.#timer) }

  async #once(): Promise<void> {
    try {
      await this.#look()
      this.#lookedAt = performance.now()
      this.#told = false
    } catch (error) {
      if (!this.#told) this.#failed(error)
      this.#told = true
    }
  }
}

const DONE = Promise.resolve()

/** Keys in the store are looked for so often, and files so often. */
export const STORE_LOOK = duration(10_000)
export const FILE_LOOK = duration(1_000)
