// What one event writes: each part under an id of its own, so that it is written once by however many do it. What the store did not take is not done.
// SPEC: OUT1, OUT3
import type { AnchorRef, LockEffect, Selector } from '../../core/anchor.ts'
import type { OutsideEvent } from '../../core/outside.ts'
import type { RefusalReason } from '../../core/reason.ts'
import type { Session } from '../../core/session.ts'
import type { AnchorNews, SessionNews } from '../../core/signal.ts'
import type { Instant } from '../../core/time.ts'
import { lockIdOf } from '../../runtime/id.ts'
import type { Applied } from '../../sessions/doing.ts'
import type { Ledger } from '../../sessions/ledger.ts'
import type { Position, SessionStore } from '../../sessions/store.ts'
import { signalOf, speaker } from './names.ts'

export type WritePorts = { readonly ledger: Pick<Ledger, 'applyToSession' | 'applyToAnchor' | 'applyToLock'>; readonly store: Pick<SessionStore, 'enforced'> }

/** What counts as written: in the store, or also what is in force here from memory and owed to it. */
type Kept = 'stored' | 'owed'
type Locking = { readonly effect: LockEffect; readonly reason: RefusalReason; readonly until: Instant | null }

export class Writes {
  readonly #ports: WritePorts
  readonly #event: OutsideEvent
  readonly #least: Kept
  /** The last of each part of the store. */
  readonly #positions = new Map<string, Position>()

  constructor(ports: WritePorts, event: OutsideEvent, least: Kept = 'stored') {
    this.#ports = ports
    this.#event = event
    this.#least = least
  }

  #signed(part: string) {
    const { note, type } = this.#event
    return { id: signalOf(this.#event, part), by: speaker(this.#event), note: note === '' ? type : note }
  }

  /** @returns whether it is that life of the session still. @throws where the store does not take it */
  async session({ key, id: life }: Session, part: string, news: SessionNews): Promise<boolean> {
    const { rejected } = this.#taken(await this.#ports.ledger.applyToSession(key, { ...news, ...this.#signed(part), life }))
    return rejected?.rejected !== 'session_ended'
  }

  /** @throws where the store does not take it */
  async lock(selector: Selector, part: string, locking: Locking): Promise<void> {
    const signed = this.#signed(part)
    this.#taken(await this.#ports.ledger.applyToLock(selector, { kind: 'lock.set', lock: lockIdOf(`${signed.id}/${selector.kind}:${selector.value}`), selector, ...locking, ...signed }))
  }

  /** @throws where the store does not take it */
  async anchor(ref: AnchorRef, part: string, news: AnchorNews) {
    return this.#taken(await this.#ports.ledger.applyToAnchor(ref, { ...news, ...this.#signed(part) }))
  }

  /** Does every gateway act on all of it? */
  async enforced(): Promise<boolean> {
    const all = await Promise.all([...this.#positions.values()].map(position => this.#ports.store.enforced(position)))
    return all.every(({ gateways }) => gateways.acknowledged + gateways.expired >= gateways.total)
  }

  #taken<R>(applied: Applied<R>): Applied<R> {
    const { position, assumed } = applied
    if (assumed !== null && this.#least === 'stored') throw new Error('the store does not take it; it is in force here')
    const last = position === null ? undefined : this.#positions.get(position.epoch)
    if (position !== null && (last === undefined || last.sequence < position.sequence)) this.#positions.set(position.epoch, position)
    return applied
  }
}
