// Records read since the last heartbeat that proved everything up to it: should the history part, they may come from the other branch. SPEC: STO16
import type { RecordRef } from '../../core/record.ts'
import { refText } from './entry.ts'

const REMEMBERED = 10_000

export class Loaded {
  /** When each was read, on the elapsed scale, in that order. */
  readonly #read = new Map<string, { readonly ref: RecordRef; readonly at: number }>()
  /** When one more than can be remembered was read. */
  #overflow = -Infinity

  add(ref: RecordRef, at: number): void {
    const name = refText(ref)
    this.#read.delete(name)
    if (this.#read.size < REMEMBERED) this.#read.set(name, { ref, at })
    else this.#overflow = at
  }

  /** What was read before a heartbeat was sent is part of the history it was answered from. */
  proven(sentAt: number): void {
    for (const [name, { at }] of this.#read) {
      if (at >= sentAt) break
      this.#read.delete(name)
    }
    if (this.#overflow < sentAt) this.#overflow = -Infinity
  }

  /** null when they were too many to be remembered. */
  get refs(): readonly RecordRef[] | null {
    return this.#overflow > -Infinity ? null : [...this.#read.values()].map(({ ref }) => ref)
  }
}
