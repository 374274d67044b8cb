// A store behind the port that tells of every call before it is made and after it was answered, and waits for whoever listens.
// What the listener itself asks of the store is not told. For tests only.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { SessionStore } from '../../src/sessions/store.ts'

/** The nth call since the tap was set, counted from 0, and on which side of it we are. */
export type Moment = { readonly call: number; readonly side: 'before' | 'after'; readonly name: string; readonly first: unknown }
export type Listener = (moment: Moment) => Promise<void> | void

export class StoreTap {
  #listener: Listener | null = null
  #calls = 0
  /** Calls of the listener itself are made in here; those that others make meanwhile are told like any. */
  readonly #telling = new AsyncLocalStorage<true>()

  /** Calls told since the listener was set. */
  get calls(): number { return this.#calls }

  listen(listener: Listener | null): void {
    this.#listener = listener
    this.#calls = 0
  }

  wrap(store: SessionStore): SessionStore {
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        const call = (...args: unknown[]): unknown => Reflect.apply(member, target, args)
        return ASYNC.has(String(name)) ? (...args: unknown[]) => this.#told(String(name), args, call) : call
      },
    })
  }

  async #told(name: string, args: readonly unknown[], call: (...args: unknown[]) => unknown): Promise<unknown> {
    const listener = this.#listener
    if (listener === null || this.#telling.getStore() === true) return call(...args)
    const at = { call: this.#calls++, name, first: args[0] }
    await this.#tell(listener, { ...at, side: 'before' })
    const answer = await call(...args)
    await this.#tell(listener, { ...at, side: 'after' })
    return answer
  }

  async #tell(listener: Listener, moment: Moment): Promise<void> {
    await this.#telling.run(true, () => listener(moment))
  }
}

/** What a request may wait for; the rest of the port is the gateway's own housekeeping. */
const ASYNC: ReadonlySet<string> = new Set(['load', 'commit', 'commitRestrictive', 'lastSeen', 'kept', 'tiedTo', 'find', 'list'])
