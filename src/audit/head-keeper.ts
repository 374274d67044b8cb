// Keeps the trail's head where the trail is not: in the store, under the name of the gateway that writes it, each second when it moved and at shutdown.
// With it a missing last line is found. SPEC: AUD6, AUD11
import type { Head } from './record.ts'

/** Under what a store of one gateway kept it before gateways had names. */
const UNNAMED = 'trail.head'
const nameOf = (gateway: string): string => `${UNNAMED}:${gateway}`

export type HeadStore = {
  keep(name: string, value: string): Promise<void>
  kept(name: string): Promise<string | null>
}

type HeadPorts = {
  /** Whose trail it is; the same at each start. */
  readonly gateway: string
  readonly store: HeadStore
  readonly trail: { readonly head: Head }
  /** The store did not take it; it is tried again a second later. */
  readonly failed: (cause: unknown) => void
}

const EVERY_MS = 1_000

/**
 * The head as the store keeps it, or null when there is none.
 * @param gateway whose trail it is; null: of one that never had a name
 * @throws TypeError when what is kept is no head
 */
export async function keptHead(store: Pick<HeadStore, 'kept'>, gateway: string | null): Promise<Head | null> {
  const text = (gateway === null ? null : await store.kept(nameOf(gateway))) ?? (await store.kept(UNNAMED))
  if (text === null) return null
  const { file, seq, hash } = JSON.parse(text) as { readonly [name: string]: unknown } // checked on the next line
  if (typeof file !== 'string' || typeof seq !== 'number' || typeof hash !== 'string') throw new TypeError('the kept trail head is not a head')
  return { file, seq, hash }
}

export class HeadKeeper {
  readonly #ports: HeadPorts
  readonly #timer: NodeJS.Timeout
  #saved = ''
  #saving: Promise<void> | null = null

  constructor(ports: HeadPorts) {
    this.#ports = ports
    this.#timer = setInterval(() => void this.saveNow(), EVERY_MS).unref()
  }

  /** Never rejects; one at a time. */
  saveNow(): Promise<void> {
    this.#saving ??= this.#save().finally(() => (this.#saving = null))
    return this.#saving
  }

  /** Saves the head as it is now. Call it after the trail's last write and before the store closes. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#saving
    await this.saveNow()
  }

  async #save(): Promise<void> {
    const value = JSON.stringify(this.#ports.trail.head)
    if (value === this.#saved) return
    try {
      await this.#ports.store.keep(nameOf(this.#ports.gateway), value)
      this.#saved = value
    } catch (error) {
      this.#ports.failed(error)
    }
  }
}
