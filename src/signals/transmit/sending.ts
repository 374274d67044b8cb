// What waits for a stream, signed for the way, and done with when its receiver has it, or says that it is wrong. SPEC: TRM3, TRM5
import type { EventSigner } from '../../identity/event-signer.ts'
import type { Log } from '../../runtime/log.ts'
import type { Metrics } from '../../runtime/metrics.ts'
import { ITEMS_AT_ONCE } from '../../sessions/items.ts'
import type { Item, SessionStore } from '../../sessions/store.ts'
import { queueOf, type Stream } from './stream.ts'

export type SendingPorts = {
  readonly store: SessionStore
  readonly signer: () => EventSigner
  readonly metrics: Pick<Metrics, 'ssfTold' | 'ssfQueue'>
  readonly log: Log
}

/** Faults of one receiver that the log knows of; it may make up any number. */
const SAID_MAX = 16
/** Pieces of what waited: more than the longest queue has. */
const CLEARED_MAX = 100_000

export type Letter = { readonly jti: string; readonly event: string; readonly jws: string }

type Claims = { readonly events?: object; readonly [claim: string]: unknown }

const eventOf = ({ events }: Claims): string => Object.keys(events ?? {})[0]?.split('/').at(-1) ?? ''

export class Sending {
  readonly #ports: SendingPorts
  /** What each said that is wrong: the log says each once. */
  readonly #said = new Map<string, Set<string>>()

  constructor(ports: SendingPorts) {
    this.#ports = ports
  }

  /** The oldest, signed. */
  async next(receiver: string, stream: Stream, limit: number): Promise<{ readonly letters: readonly Letter[]; readonly more: boolean }> {
    const { store, metrics } = this.#ports
    const { items, length } = await store.waiting(queueOf(receiver, stream), limit)
    metrics.ssfQueue.set({ receiver }, length)
    return { letters: await Promise.all(items.map(item => this.#letter(item))), more: length > items.length }
  }

  async #letter({ id, text }: Item): Promise<Letter> {
    const claims = JSON.parse(text) as Claims // as it was put there
    return { jti: id, event: eventOf(claims), jws: await this.#ports.signer().sign(claims) }
  }

  sent(receiver: string, { event }: Letter): void { this.#ports.metrics.ssfTold.inc({ receiver, event, outcome: 'sent' }) }

  async done(receiver: string, stream: Stream, jtis: readonly string[]): Promise<void> {
    for (let i = 0; i < jtis.length; i += ITEMS_AT_ONCE) await this.#ports.store.dequeue(queueOf(receiver, stream), jtis.slice(i, i + ITEMS_AT_ONCE))
  }

  /** Sent again it would be as wrong: it is done with. */
  async refused(receiver: string, stream: Stream, event: string, jtis: readonly string[], err: string): Promise<void> {
    const { metrics, log } = this.#ports
    metrics.ssfTold.inc({ receiver, event, outcome: 'refused' }, jtis.length)
    const said = this.#said.get(receiver) ?? new Set()
    if (!said.has(err) && said.size < SAID_MAX) log.warn({ receiver, event, err }, 'a receiver says that what it is told is wrong')
    if (said.size < SAID_MAX) this.#said.set(receiver, said.add(err))
    await this.done(receiver, stream, jtis)
  }

  /** There is nothing for it any more: a bounded piece at a time, until all is gone. */
  async clear(receiver: string, stream: Stream): Promise<void> {
    for (let pieces = 0; pieces < CLEARED_MAX; pieces++) {
      const { items } = await this.#ports.store.waiting(queueOf(receiver, stream), ITEMS_AT_ONCE)
      if (items.length === 0) break
      await this.done(receiver, stream, items.map(({ id }) => id))
    }
    this.#ports.metrics.ssfQueue.set({ receiver }, 0)
  }
}
