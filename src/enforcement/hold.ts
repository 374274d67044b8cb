// Requests that wait because nothing proves that what is known here is fresh: until it is, or as long as configured, whichever comes first.
// It decides nothing: who is let go is judged anew. Who goes away meanwhile is forgotten at once. SPEC: DEC8
import type { Duration } from '../core/time.ts'
import type { GateKeeper } from './exchange.ts'

export const HELD_MAX = 10_000
/** Looks for itself while anybody waits, in milliseconds: nobody has to tell. */
const LOOK_EVERY = 25
/** Let go in one turn of the event loop: each of them is judged in it, and the proof of freshness needs its turns too. */
const AT_ONCE = 64

/** An answer somebody waits for; `gone` when nobody does any more. */
interface Waiting {
  readonly gone: boolean
  /** @returns takes the listener away */
  onClose(listener: () => void): () => void
}

type Proof = Pick<GateKeeper, 'clock' | 'confirmedUntil'>
type Wait = { /** On the clock's `elapsed` scale. */ readonly deadline: number; readonly settle: (fresh: boolean) => void }

/** Is everything announced provably known here? Always so with a local store. */
export function isFresh({ clock, confirmedUntil }: Proof): boolean {
  const until = confirmedUntil()
  return until === Infinity || clock.elapsed() < until
}

export class Hold {
  readonly #proof: Proof
  readonly #patience: () => Duration
  readonly #onFull: () => void
  readonly #deadlines = new WeakMap<Waiting, number>()
  readonly #judgedFresh = new WeakSet<Waiting>()
  readonly #waits = new Map<Waiting, Wait>()
  #timer: NodeJS.Timeout | null = null

  /**
   * @param patience of one request, all its waits together
   * @param onFull told when one more than `HELD_MAX` would wait
   */
  constructor(proof: Proof, patience: () => Duration, onFull: () => void) {
    this.#proof = proof
    this.#patience = patience
    this.#onFull = onFull
  }

  get fresh(): boolean { return isFresh(this.#proof) }
  get size(): number { return this.#waits.size }

  /**
   * For a request that was found stale. Where knowledge is fresh it is let go at once, and once only: what refuses it then is no lapse.
   * @returns false when its patience is over, too many wait, or it went away
   */
  wait(caller: Waiting): Promise<boolean> {
    const now = this.#proof.clock.elapsed()
    const deadline = this.#deadlines.get(caller) ?? now + this.#patience()
    this.#deadlines.set(caller, deadline)
    if (caller.gone) return Promise.resolve(false)
    if (this.fresh) {
      const first = !this.#judgedFresh.has(caller)
      this.#judgedFresh.add(caller)
      return Promise.resolve(first)
    }
    if (deadline <= now) return Promise.resolve(false)
    if (this.#waits.size < HELD_MAX) return this.#join(caller, deadline)
    this.#onFull()
    return Promise.resolve(false)
  }

  /** The proof of freshness came back, or lapsed. */
  confirmed(): void {
    this.#look()
  }

  #join(caller: Waiting, deadline: number): Promise<boolean> {
    return new Promise(resolve => {
      const settle = (fresh: boolean): void => {
        forget()
        this.#leave(caller)
        resolve(fresh)
      }
      const forget = caller.onClose(() => settle(false))
      this.#waits.set(caller, { deadline, settle })
      this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
    })
  }

  #leave(caller: Waiting): void {
    this.#waits.delete(caller)
    if (this.#waits.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #look(): void {
    const { fresh } = this
    const now = this.#proof.clock.elapsed()
    let settled = 0
    for (const { deadline, settle } of this.#waits.values()) {
      if (!fresh && deadline > now) continue
      if (settled++ === AT_ONCE) return void setImmediate(() => this.#look())
      settle(fresh)
    }
  }
}
