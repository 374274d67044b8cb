// Lets in messages of senders who have not shown yet who they are: so many bodies at once, in all and from one part of the network, and so many messages of one
// source in a second. Beyond that they are told to come again, before anything of them is read or verified. SPEC: SSF2, LGO2
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sourcePrefix } from '../audit/source-prefix.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'

const AT_ONCE = { all: 256, source: 64 } as const
/** Seconds of a source's rate that it may use at once. */
const BURST = 10
const BUSY_FOR = 1

/** Of networks that may use all of a source's rate before its own senders find none left: any of them may be strangers. */
const NETWORKS = 10
const BUCKETS_MAX = 10_000

type Bucket = { readonly level: number; readonly at: number }
/** Whoever enters leaves. `wait`: seconds. */
export type Entrance = { readonly is: 'in'; readonly leave: () => void } | { readonly is: 'full'; readonly wait: number }

export class Doorway {
  readonly #clock: Pick<Clock, 'elapsed'>
  readonly #inside = new Map<string, number>()
  /** By the names of sources, which are configured, and by networks of each. */
  readonly #buckets = new BoundedMap<string, Bucket>(BUCKETS_MAX)
  #count = 0

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock
  }

  /** @param address whence it comes. @param shown who sends it has shown that already: then it is nobody else's rate that is used */
  enter({ name, perSecond }: { readonly name: string; readonly perSecond: number }, address: string, shown: 'shown' | 'stranger'): Entrance {
    const from = sourcePrefix(address)
    if (this.#count >= AT_ONCE.all || (this.#inside.get(from) ?? 0) >= AT_ONCE.source) return { is: 'full', wait: BUSY_FOR }
    const rates = shown === 'shown' ? [[name, perSecond] as const] : [[`${name} ${from}`, perSecond] as const, [name, NETWORKS * perSecond] as const] // no name has a space
    const now = this.#clock.elapsed()
    const levels = rates.map(([of, rate]) => this.#levelOf(of, rate, now))
    const wait = Math.max(...levels.map((level, i) => Math.ceil((1 - level) / (rates[i]?.[1] ?? 1))))
    rates.forEach(([of], i) => { this.#buckets.set(of, { level: (levels[i] ?? 0) - (wait > 0 ? 0 : 1), at: now }) })
    if (wait > 0) return { is: 'full', wait }
    this.#count++
    this.#inside.set(from, (this.#inside.get(from) ?? 0) + 1)
    return { is: 'in', leave: () => this.#leave(from) }
  }

  #levelOf(name: string, perSecond: number, now: number): number {
    const { level, at } = this.#buckets.get(name) ?? { level: perSecond * BURST, at: now }
    return Math.min(perSecond * BURST, level + ((now - at) * perSecond) / 1_000)
  }

  #leave(from: string): void {
    this.#count--
    const left = (this.#inside.get(from) ?? 1) - 1
    if (left === 0) this.#inside.delete(from)
    else this.#inside.set(from, left)
  }
}

/** What is answered: `json` null is nothing. */
export type Reply = { readonly status: number; readonly headers: { readonly [name: string]: string }; readonly json: unknown }

export function reply(request: IncomingMessage, response: ServerResponse, { status, headers, json }: Reply): void {
  if (response.destroyed) return
  request.resume() // what was not read is discarded, so that the answer is
  const body = json === null ? '' : JSON.stringify(json)
  const close = request.complete ? {} : { connection: 'close' }
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store', ...(json === null ? {} : { 'content-type': 'application/json' }), ...close, ...headers }).end(body)
}
