// Which of our keys signs at an instant, and which are published: each before it signs, for as long as verifiers may hold an older set of keys, and
// until nothing it signed counts any more. Knows no store and no file. SPEC: CTX5
import { after, duration, type Instant } from '../core/time.ts'
import type { PublicKey, SigningKey } from './signing-key.ts'

/** A key is published for so long before it signs: every gateway has it by then, and so has whoever asked for the keys lately. */
export const LEAD = duration(5 * 60_000)
/** Nothing that is signed counts for longer. */
export const SIGNED_LIFE_MAX = duration(5 * 60_000)
/** Keys of a ring. */
const KEYS_MAX = 16

/** `since`: when it was made, or first seen here. */
export type RingKey = { readonly key: SigningKey; readonly since: Instant }

/** In their order; the first of a ring signs at once, for before it there was none. */
type Entry = RingKey & { readonly signsFrom: Instant }

export class KeyRing {
  #entries: readonly Entry[] = []

  /** @param first what signs until a later one does */
  constructor(first: RingKey) {
    this.#entries = [{ ...first, signsFrom: first.since }]
  }

  /** The newest is not added again. @throws RangeError where too many came too soon */
  add({ key, since }: RingKey): void {
    if (this.#newest.key.id === key.id) return
    if (this.#entries.length >= KEYS_MAX) throw new RangeError(`more than ${KEYS_MAX} keys are in use at a time`)
    this.#entries = [...this.#entries, { key, since, signsFrom: after(since, LEAD) }]
  }

  /** The one that signs now. */
  signing(now: Instant): SigningKey {
    const entries = this.#entries
    for (let i = entries.length - 1; i > 0; i--) {
      const entry = entries[i]
      if (entry !== undefined && entry.signsFrom <= now) return entry.key
    }
    return (entries[0] as Entry).key // as below
  }

  get #newest(): Entry { return this.#entries.at(-1) as Entry } // there is always one: `clear` leaves the last

  /** When the newest was made. */
  get newest(): Instant { return this.#newest.since }

  published(now: Instant): readonly PublicKey[] {
    const keys = this.#entries.filter((_, i) => !this.#isOver(i, now)).map(({ key }) => key.public)
    return keys.filter((one, i) => keys.findIndex(({ kid }) => kid === one.kid) === i)
  }

  /** Forgets those that nothing stands on any more. @returns their ids */
  clear(now: Instant): readonly string[] {
    const over = this.#entries.filter((_, i) => this.#isOver(i, now))
    if (over.length > 0) this.#entries = this.#entries.filter(entry => !over.includes(entry))
    return over.map(({ key }) => key.id)
  }

  /** The next one has signed for so long that whatever this one signed is over, wherever clocks and sets of keys are a little behind. */
  #isOver(i: number, now: Instant): boolean {
    const next = this.#entries[i + 1]
    return next !== undefined && after(after(next.signsFrom, SIGNED_LIFE_MAX), LEAD) <= now
  }
}
