// One disk flush for everything that asked for one in the same turn, and one at a time: who comes while it runs shares the next.
// Never blocks the event loop; never forgets a failure: after one, nothing is called durable again. SPEC: STO7
import { StoreFault } from '../store-fault.ts'

const endOfTurn = (): Promise<void> => new Promise(resolve => void setImmediate(resolve))

export class SharedSync {
  readonly #flush: () => Promise<void>
  #next: Promise<void> | null = null
  #last: Promise<void> = Promise.resolve()
  #failure: StoreFault | null = null

  /** @param flush returns when all that was written before it was called is on stable storage. */
  constructor(flush: () => Promise<void>) {
    this.#flush = flush
  }

  /** The first failure of the disk; the kernel may have dropped the pages it could not write, so a later success proves nothing. */
  get failure(): StoreFault | null {
    return this.#failure
  }

  /** Settles once everything written before the call is on stable storage. @throws StoreFault `not_durable` */
  synced(): Promise<void> {
    if (this.#next === null) {
      this.#next = this.#last.then(endOfTurn).then(() => this.#run())
      this.#last = this.#next.catch(() => undefined)
    }
    return this.#next
  }

  /** Settles when nothing is under way, whatever came of it. */
  async idle(): Promise<void> {
    while (this.#next !== null) await this.#last
    await this.#last
  }

  async #run(): Promise<void> {
    this.#next = null // what is written from here on may miss this flush
    if (this.#failure !== null) throw this.#failure
    try {
      await this.#flush()
    } catch (error) {
      this.#failure = new StoreFault('not_durable', 'the change stands and is enforced, but the disk did not confirm it', error)
      throw this.#failure
    }
  }
}
