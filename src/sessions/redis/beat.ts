// One connection's life as the ear of a shard: subscribed, then a heartbeat after the other, each sent when the one before was answered and dealt with.
// It ends at the first thing that goes wrong; its late answers never count. SPEC: STO15
import type { Clock } from '../../runtime/clock.ts'
import type { Wire } from './link.ts'

export type BeatOwner = {
  readonly clock: Clock
  /** Subscribed, checked and ready to ask. */
  open(): Promise<Wire>
  ask(link: Wire): Promise<unknown>
  /** Deals with an answer. @returns milliseconds until the next one is asked for; 0 at once */
  answered(beat: Beat, answer: unknown, sentAt: number): Promise<number>
  /** It has been silent for a while: another connection may help. */
  late(beat: Beat): void
  ended(beat: Beat, cause: unknown): void
}

export type BeatTimes = { readonly hedgeAfter: number; readonly deadAfter: number }

export class Beat {
  readonly #owner: BeatOwner
  readonly #times: BeatTimes
  #link: Wire | null = null
  #ended = false
  #wake: () => void = () => {}
  /** Something arrived out of order: the next heartbeat is not waited for. */
  #urgent = false

  constructor(owner: BeatOwner, times: BeatTimes) {
    this.#owner = owner
    this.#times = times
    void this.#run()
  }

  get link(): Wire | null { return this.#link }
  get isOver(): boolean { return this.#ended }

  /** Asks now instead of at the next tick. */
  hurry(): void {
    this.#urgent = true
    this.#wake()
  }

  end(cause: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#link?.destroy()
    this.#wake()
    this.#owner.ended(this, cause)
  }

  async #run(): Promise<void> {
    try {
      const link = await this.#owner.open()
      this.#link = link
      if (this.#ended) return link.destroy()
      link.onDown = cause => this.end(cause)
      while (!this.#ended) await this.#pause(await this.#once(link))
    } catch (error) {
      this.end(error)
    }
  }

  async #once(link: Wire): Promise<number> {
    this.#urgent = false
    const sentAt = this.#owner.clock.elapsed()
    const hedge = setTimeout(() => this.#owner.late(this), this.#times.hedgeAfter)
    const dead = setTimeout(() => this.end(new Error('no heartbeat was answered within the lease')), this.#times.deadAfter)
    try {
      const answer = await this.#owner.ask(link)
      clearTimeout(hedge)
      clearTimeout(dead)
      if (this.#owner.clock.elapsed() - sentAt > this.#times.deadAfter) this.end(new Error('a heartbeat was answered too late to prove anything'))
      if (this.#ended) return 0
      return await this.#owner.answered(this, answer, sentAt)
    } finally {
      clearTimeout(hedge)
      clearTimeout(dead)
    }
  }

  #pause(ms: number): Promise<void> {
    if (ms === 0 || this.#urgent || this.#ended) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#wake = resolve
    return promise.finally(() => clearTimeout(timer))
  }
}
