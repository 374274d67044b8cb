// A supervised connection for calls: opened when needed, thrown away when it fails, another one made. Nothing waits longer than its patience and
// nothing is sent twice. SPEC: STO17
import { StoreFault } from '../store-fault.ts'
import type { FunctionName } from './library.ts'
import { LinkLost, type Wire } from './link.ts'

const WAITING_MAX = 10_000

export class Lane {
  readonly #open: () => Promise<Wire>
  readonly #patience: number
  #link: Wire | null = null
  #opening: Promise<Wire> | null = null
  #waiting = 0
  #closed = false

  /** @param patience longest wait for a connection, in milliseconds */
  constructor(open: () => Promise<Wire>, patience: number) {
    this.#open = open
    this.#patience = patience
  }

  /** @throws StoreFault; LinkLost where it is not known whether it was done */
  async call(name: FunctionName, key: string, args: readonly (string | number)[]): Promise<unknown> {
    return (await this.#ready()).call(name, key, args)
  }

  /** The next call opens another connection: this one speaks with the wrong server. */
  renew(): void {
    this.#link?.destroy()
    this.#link = null
  }

  close(): void {
    this.#closed = true
    this.renew()
  }

  async #ready(): Promise<Wire> {
    if (this.#closed) throw new StoreFault('closed', 'the store is closed')
    if (this.#link !== null && !this.#link.isDown) return this.#link
    if (this.#waiting >= WAITING_MAX) throw new LinkLost(`${WAITING_MAX} calls wait for a connection to Redis`)
    this.#waiting++
    try {
      return await this.#within(this.#opened())
    } finally {
      this.#waiting--
    }
  }

  #opened(): Promise<Wire> {
    this.#opening ??= this.#open().then(link => {
      if (this.#closed) link.destroy()
      this.#link = link
      return link
    }).finally(() => (this.#opening = null))
    return this.#opening
  }

  async #within(opening: Promise<Wire>): Promise<Wire> {
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new LinkLost(`no connection to Redis within ${this.#patience} ms`)), this.#patience)
    try {
      return await Promise.race([opening, promise])
    } finally {
      clearTimeout(timer)
    }
  }
}
