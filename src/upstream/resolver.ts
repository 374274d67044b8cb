// The addresses behind one name: looked up again and again, so that an upstream may move. What is an address already is never looked up.
// A look-up that fails, or finds nothing, changes nothing. SPEC: WIRE20
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Duration } from '../core/time.ts'
import type { Endpoint } from './endpoint.ts'

/** Addresses of one name that are used. */
const ADDRESSES_MAX = 64

export class Resolver {
  readonly #host: string
  readonly #make: (at: string) => Endpoint
  readonly #changed: () => void
  readonly #timer: NodeJS.Timeout | null
  #known: ReadonlyMap<string, Endpoint>
  #asking = false
  #stopped = false

  /** Until the first answer the name itself is dialled. */
  constructor(host: string, every: Duration, make: (at: string) => Endpoint, changed: () => void) {
    this.#host = host
    this.#make = make
    this.#changed = changed
    this.#known = new Map([[host, make(host)]])
    const isName = isIP(host) === 0
    this.#timer = isName ? setInterval(() => void this.#ask(), every).unref() : null
    if (isName) void this.#ask()
  }

  get endpoints(): readonly Endpoint[] { return [...this.#known.values()] }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  async #ask(): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    const found = await lookup(this.#host, { all: true }).catch(() => []) // what is known stays
    this.#asking = false
    if (found.length > 0 && !this.#stopped) this.#take([...new Set(found.map(({ address }) => address))].slice(0, ADDRESSES_MAX))
  }

  #take(addresses: readonly string[]): void {
    if (addresses.length === this.#known.size && addresses.every(address => this.#known.has(address))) return
    const before = this.#known
    this.#known = new Map(addresses.map(address => [address, before.get(address) ?? this.#make(address)]))
    for (const [address, endpoint] of before) if (!this.#known.has(address)) endpoint.retire()
    this.#changed()
  }
}
