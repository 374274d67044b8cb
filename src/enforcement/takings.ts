// The store's counters as this gateway takes from them. What it took of late is said again to a store that may have lost it, under the same request ids,
// before anybody takes more. Never counts by itself. SPEC: LIM1, STO12, STO16
import { setTimeout as pause } from 'node:timers/promises'
import type { Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { SessionStore, Taking } from '../sessions/store.ts'
import { StoreFault, StoreFull } from '../sessions/store-fault.ts'

/** Takings that are remembered, and for how long at least, in milliseconds: longer than any server lags behind the one it takes over from. */
const REMEMBERED = 16_384
const REMEMBERED_FOR = 10_000
const AT_ONCE = 64
/** Longest wait for a store that is out of reach, and between two questions, in milliseconds. */
const PATIENCE = 2_000
const AGAIN_AFTER = 25

/** `holds`: of it, what was not given back; all that was asked for until the answer is there. */
export type Taken = Omit<Taking, 'amount'> & { readonly asked: number; readonly at: Instant; holds: number; answered: boolean; returned: boolean; answer: Promise<unknown> }

type Counters = Pick<SessionStore, 'take' | 'takeAgain' | 'give' | 'taken'>

export class Takings {
  readonly #store: Counters
  readonly #clock: Clock
  readonly #recent: Taken[] = []
  #next = 0

  constructor(store: Counters, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** The answer is in `answer` and then in `holds`: how much of it was given. @throws StoreFull when too many were made in too short a time to be said again */
  ask({ amount, ...taking }: Taking): Taken {
    const taken: Taken = { ...taking, asked: amount, at: this.#clock.now(), holds: amount, answered: false, returned: false, answer: SETTLED }
    this.#remember(taken)
    taken.answer = this.#take(taken, { ...taking, amount })
    return taken
  }

  /** A store that does not answer, or does not count yet, is asked again for a while. */
  async #take(taken: Taken, taking: Taking): Promise<void> {
    for (const started = this.#clock.elapsed(); ;) {
      try {
        const given = await this.#store.take(taking)
        if (!taken.returned) taken.holds = given
        taken.answered = true
        return
      } catch (error) {
        if (taken.returned || !(error instanceof StoreFault) || error.code !== 'unreachable' || this.#clock.elapsed() - started > PATIENCE) throw error
      }
      await pause(AGAIN_AFTER)
    }
  }

  /** Gives so much of it back, once; not waited for: what is lost of it stays taken. */
  back(taken: Taken, amount = taken.holds): Promise<void> {
    if (taken.returned || amount === 0) return SETTLED
    taken.returned = true
    taken.holds -= amount
    const give = (): Promise<void> => this.#store.give(taken.counter, taken.request, amount)
    return taken.answer.then(give, give).catch(() => undefined)
  }

  /** How much of a counter is taken, by all gateways. */
  of(counter: string): Promise<number> { return this.#store.taken(counter) }

  /** What was taken of late, to a store that lost it or still has it; who waits for an answer yet asks for himself, behind all that. Rejects when the store does. */
  async sayAgain(): Promise<void> {
    const now = this.#clock.now()
    const standing = this.#recent.filter(({ answered, holds, forgetAt }) => answered && holds > 0 && forgetAt > now)
    for (let i = 0; i < standing.length; i += AT_ONCE) {
      await Promise.all(standing.slice(i, i + AT_ONCE).map(({ counter, request, limit, forgetAt, holds }) => this.#store.takeAgain({ counter, request, limit, forgetAt, amount: holds })))
    }
  }

  /** In the first place that is free behind the last one: what holds nothing needs none, and one caller who gets nothing takes nobody else's. */
  #remember(taken: Taken): void {
    for (let i = 0; i < REMEMBERED; i++) {
      const at = (this.#next + i) % REMEMBERED
      const there = this.#recent[at]
      if (there !== undefined && taken.at - there.at < REMEMBERED_FOR && !(there.answered && there.holds === 0)) continue
      this.#recent[at] = taken
      this.#next = (at + 1) % REMEMBERED
      return
    }
    throw new StoreFull(`${REMEMBERED} takings were made within ${REMEMBERED_FOR} ms; no more can be said again`)
  }
}

const SETTLED: Promise<void> = Promise.resolve()
