// Our keys as they lie with the data set: each under its number, made once whoever makes it, so that every gateway has the same. A new one is due when
// the newest is old; one that nothing stands on any more is wiped. SPEC: CTX5
import { after, type Duration, type Instant, instant, later } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { type ContextKeys, Looking, STORE_LOOK } from './context-keys.ts'
import { KeyRing } from './key-ring.ts'
import { newKeyPem, type PublicKey, type SigningKey, signingKeyOf } from './signing-key.ts'

/** Named values that live with the data set, as a store keeps them. */
export interface KeptValues {
  keep(name: string, value: string): Promise<void>
  keepFirst(name: string, value: string): Promise<string>
  kept(name: string): Promise<string | null>
}

type Ports = { readonly store: KeptValues; readonly clock: Clock; readonly log: Log }
type Kept = { readonly pem: string; readonly at: Instant }

const nameOf = (number: number): string => `context.key.${number}`
/** The least number that is still of use: where looking begins. */
const OLDEST = 'context.key.oldest'
/** Its only key, before there were several. */
const BEFORE = 'context.key'
const WIPED = 'wiped'
/** Numbers read in one look. */
const AHEAD_MAX = 1_000

function keptOf(name: string, text: string): Kept {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'pem' in value && 'at' in value && typeof value.pem === 'string' && typeof value.at === 'number') return { pem: value.pem, at: instant(value.at) }
  } catch {
    // said below
  }
  throw new Error(`what the store keeps under ${name} is no key`)
}

const textOf = (kept: Kept): string => JSON.stringify(kept)

export class StoredKeys implements ContextKeys {
  readonly #ports: Ports
  readonly #rotate: Duration | null
  readonly #ring: KeyRing
  readonly #looking: Looking
  /** What lies under each number that is of use, and which key that is. */
  readonly #numbers = new Map<number, { readonly text: string; readonly id: string }>()
  #next: number

  /** @internal use `open` */
  constructor(ports: Ports, rotate: Duration | null, number: number, text: string) {
    const { pem, at } = keptOf(nameOf(number), text)
    const key = signingKeyOf(pem)
    this.#ports = ports
    this.#rotate = rotate
    this.#ring = new KeyRing({ key, since: at })
    this.#numbers.set(number, { text, id: key.id })
    this.#next = number + 1
    this.#looking = new Looking(STORE_LOOK, () => this.look(), error => ports.log.warn({ error: String(error) }, 'the keys of Narrowgate-Context could not be looked at'))
  }

  /** @param rotate age at which a key makes way for another; null keeps it @throws Error where the store fails, or keeps something else under a key's name */
  static async open(ports: Ports, rotate: Duration | null): Promise<StoredKeys> {
    const { store, clock } = ports
    let number = await oldestIn(store)
    let text = await store.kept(nameOf(number))
    for (let i = 0; text === WIPED && i < AHEAD_MAX; i++) text = await store.kept(nameOf(++number))
    if (text === null) text = await store.keepFirst(nameOf(number), textOf({ pem: (await store.kept(BEFORE)) ?? newKeyPem(), at: clock.now() }))
    const keys = new StoredKeys(ports, rotate, number, text)
    await keys.look().catch((error: unknown) => {
      keys.stop()
      throw error
    })
    return keys
  }

  get signing(): SigningKey { return this.#ring.signing(this.#ports.clock.now()) }
  get published(): readonly PublicKey[] { return this.#ring.published(this.#ports.clock.now()) }

  fresh(): Promise<void> { return this.#looking.fresh() }
  stop(): void { this.#looking.stop() }

  /** Takes in what others made, makes one where it is due, wipes what is over. @throws where the store fails */
  async look(): Promise<void> {
    const { store, clock } = this.#ports
    this.#next = Math.max(this.#next, await oldestIn(store)) // behind the loss of a data set others may be further
    for (let i = 0; i < AHEAD_MAX; i++) {
      const text = await store.kept(nameOf(this.#next))
      if (text === null) break
      this.#take(text)
    }
    const now = clock.now()
    if (this.#rotate !== null && after(this.#ring.newest, this.#rotate) <= now) this.#take(await store.keepFirst(nameOf(this.#next), textOf({ pem: newKeyPem(), at: now })))
    for (const id of this.#ring.clear(now)) await this.#wipe(id)
  }

  async named(): Promise<void> {
    const { store, clock } = this.#ports
    for (const [number, { text, id }] of this.#numbers) {
      const theirs = await store.keepFirst(nameOf(number), text)
      if (theirs === text || theirs === WIPED) continue
      const { pem } = keptOf(nameOf(number), theirs)
      this.#ring.add({ key: signingKeyOf(pem), since: clock.now() })
      this.#ports.log.warn({ kid: id }, 'the data set came with a key of its own for Narrowgate-Context; both are published')
    }
    await store.keep(OLDEST, String(Math.min(...this.#numbers.keys())))
  }

  #take(text: string): void {
    const number = this.#next
    if (text !== WIPED) {
      const { pem, at } = keptOf(nameOf(number), text)
      const key = signingKeyOf(pem)
      this.#ring.add({ key, since: later(at, this.#ring.newest) })
      this.#numbers.set(number, { text, id: key.id })
      this.#ports.log.info({ kid: key.id }, 'another key will sign Narrowgate-Context; it is published already')
    }
    this.#next = number + 1
  }

  async #wipe(id: string): Promise<void> {
    const { store } = this.#ports
    for (const [number, kept] of this.#numbers) {
      if (kept.id !== id) continue
      this.#numbers.delete(number)
      await store.keep(nameOf(number), WIPED)
      await store.keep(OLDEST, String(number + 1))
    }
  }
}

async function oldestIn(store: KeptValues): Promise<number> {
  const number = Number((await store.kept(OLDEST)) ?? 0)
  return Number.isSafeInteger(number) && number >= 0 ? number : 0
}
