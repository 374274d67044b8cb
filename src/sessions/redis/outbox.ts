// Facts of one shard on their way to a trail: one gateway at a time drains it, the others ask again when its hold is over. SPEC: STO9, RULES 23
import type { Fact } from '../../core/fact.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Outgoing, Position } from '../store.ts'
import { refOf } from './entry.ts'

/** How long a drainer that says nothing more keeps the others away, in milliseconds. */
const HELD_FOR = 5_000

export class Outbox {
  readonly #member: string
  readonly #clock: Clock
  /** Somebody else drains until then, on the elapsed scale. */
  #heldUntil = 0
  /** Entries in it, as far as this gateway was told. */
  length = 0

  constructor(member: string, clock: Clock) {
    this.#member = member
    this.#clock = clock
  }

  /** @param call asks the library. @returns whole commits, oldest first; the first one whole even if it is longer */
  async drain(limit: number, positionOf: (id: string) => Position, call: (args: readonly (string | number)[]) => Promise<unknown>): Promise<readonly Outgoing[]> {
    if (this.#clock.elapsed() < this.#heldUntil) return []
    const [said, more, ...rows] = (await call([this.#member, limit, HELD_FOR])) as readonly [string, string | number, ...(readonly [string, readonly string[]])[]] // as `drain` returns it
    if (said === 'HELD') {
      this.#heldUntil = this.#clock.elapsed() + Number(more)
      return []
    }
    this.length = Number(more)
    const out: Outgoing[] = []
    for (const [id, [, ref = '', , facts = '[]']] of rows) {
      const all = JSON.parse(facts) as readonly Fact[] // written by commit
      if (out.length > 0 && out.length + all.length > limit) break
      out.push(...all.map((fact, part) => ({ position: positionOf(id), ref: refOf(ref), fact, part })))
    }
    return out
  }
}
