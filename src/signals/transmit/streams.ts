// The streams that receivers have here, one each, as every gateway sees them: they lie in the store, and one gateway at a time changes one. Tells nothing
// itself. SPEC: TRM4
import { duration, type Instant, instant } from '../../core/time.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { type Choice, EVERYBODY } from './subjects.ts'
import { type Stream, streamIn } from './stream.ts'

/** Somebody else changes it, for longer than is waited for. */
export class StreamBusy extends Error {}

export type Change<T> = { /** null where there is to be none. */ readonly stream: Stream | null; readonly answer: T }

const HELD_FOR = duration(5_000)
const TRIES = 20
const TRIED_EVERY_MS = 100
const CHOICES_KNOWN = 64

/** Whoever is told may tell, too, under the same name: what is known of that stream of theirs lies at `ssf.stream`. */
const placeOfStream = (receiver: string): string => `ssf.told.${receiver}`
/** The one before stays until the stream says that another counts. */
const placeOf = (receiver: string, number: number): string => `ssf.subjects.${receiver}.${number % 2}`

const pause = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms))

export class Streams {
  readonly #store: SessionStore
  /** The last change of each, whatever came of it: those of one gateway follow each other. */
  readonly #changes = new Map<string, Promise<unknown>>()
  readonly #choices = new BoundedMap<string, { readonly of: string; readonly choice: Choice }>(CHOICES_KNOWN)

  constructor(store: SessionStore) {
    this.#store = store
  }

  async read(receiver: string): Promise<Stream | null> { return streamIn(await this.#store.kept(placeOfStream(receiver))) }

  /** @throws StreamBusy, and what `work` throws: then nothing is changed */
  change<T>(receiver: string, work: (stream: Stream | null) => Promise<Change<T>>): Promise<T> {
    const before = this.#changes.get(receiver) ?? Promise.resolve()
    const changed = before.then(() => this.#alone(receiver, work))
    this.#changes.set(receiver, changed.catch(() => undefined))
    return changed
  }

  async #alone<T>(receiver: string, work: (stream: Stream | null) => Promise<Change<T>>): Promise<T> {
    const bucket = `ssf-manage/${receiver}`
    for (let left = TRIES; (await this.#store.share({ bucket, wanted: 1, limit: 1, for: HELD_FOR })) < 1; left--) {
      if (left <= 0) throw new StreamBusy(`somebody else changes the stream of ${receiver}`)
      await pause(TRIED_EVERY_MS)
    }
    try {
      const stream = await this.read(receiver)
      const change = await work(stream)
      if (change.stream !== stream) await this.#store.keep(placeOfStream(receiver), change.stream === null ? '' : JSON.stringify(change.stream))
      return change.answer
    } finally {
      await this.#store.share({ bucket, wanted: 0, limit: 1, for: HELD_FOR }).catch(() => undefined) // it runs out by itself
    }
  }

  /** Whom it wants to hear of. @throws where that cannot be read */
  async choiceOf(receiver: string, { id, choice }: Stream): Promise<Choice> {
    if (choice === 0) return EVERYBODY
    const of = `${id}/${choice}`
    const known = this.#choices.get(receiver)
    if (known?.of === of) return known.choice
    const kept = JSON.parse((await this.#store.kept(placeOf(receiver, choice))) ?? 'null') as { readonly of: string; readonly choice: Choice } | null // as `choose` wrote it
    if (kept?.of !== of) throw new StreamBusy(`whom the stream of ${receiver} wants to hear of is being changed`)
    this.#choices.set(receiver, kept)
    return kept.choice
  }

  /** For the change number that the stream has then. */
  async choose(receiver: string, { id }: Stream, number: number, choice: Choice): Promise<void> {
    await this.#store.keep(placeOf(receiver, number), JSON.stringify({ of: `${id}/${number}`, choice }))
  }

  /** When its receiver last asked about it, as it was noted; 0 where it never did. */
  async seenAt(receiver: string): Promise<Instant> { return instant(Number((await this.#store.kept(`ssf.seen.${receiver}`)) ?? 0)) }
  async seen(receiver: string, at: Instant): Promise<void> { await this.#store.keep(`ssf.seen.${receiver}`, String(at)) }
}
