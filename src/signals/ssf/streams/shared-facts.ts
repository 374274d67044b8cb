// What all gateways have to know of a stream that one of them manages: whom its tokens are for, under which id it is known, and what the transmitter
// sends along on push, which is made once for all. Kept with the data set, and read again and again. SPEC: SSF5, SSF10
import { newKeyText } from '../../../runtime/id.ts'
import type { SessionStore } from '../../../sessions/store.ts'
import { jsonIn, membersOf, textIn, textsIn } from './json.ts'
import type { OurStream } from './management.ts'

export type Facts = Pick<OurStream, 'id' | 'audience'>
type Kept = Pick<SessionStore, 'keep' | 'keepFirst' | 'kept'>

function factsIn(text: string | null): Facts | null {
  const of = membersOf(jsonIn(text ?? ''))
  const id = of === null ? null : textIn(of, 'id')
  return of === null || id === null ? null : { id, audience: textsIn(of, 'audience') ?? [] }
}

export class SharedFacts {
  readonly #source: string
  readonly #store: Kept
  readonly #makesHeader: boolean
  #facts: Facts | null = null
  #authorization: string | null

  /** @param authorization that of a file @param makesHeader one is made where there is none */
  constructor(source: string, store: Kept, authorization: string | null, makesHeader: boolean) {
    this.#source = source
    this.#store = store
    this.#authorization = authorization
    this.#makesHeader = makesHeader && authorization === null
  }

  get stream(): Facts | null { return this.#facts }
  get authorization(): string | null { return this.#authorization }

  /** Rejects where the store does not answer; what was known stays, and a data set that lost it gets it again. */
  async read(): Promise<void> {
    if (this.#makesHeader) this.#authorization = await this.header()
    const kept = await this.#store.kept(this.#streamName)
    if (kept === null && this.#facts !== null) await this.#store.keepFirst(this.#streamName, JSON.stringify(this.#facts))
    this.#facts = factsIn(kept) ?? this.#facts
  }

  /** What the transmitter is told to send along; null where nothing is. */
  async header(): Promise<string | null> {
    if (!this.#makesHeader) return this.#authorization
    return this.#store.keepFirst(`ssf.authorization.${this.#source}`, this.#authorization ?? `Bearer ${newKeyText()}`)
  }

  /** Of the stream as it was found or made. Rejects where the store does not take it. */
  async told({ id, audience }: OurStream): Promise<void> {
    this.#facts = { id, audience }
    await this.#store.keep(this.#streamName, JSON.stringify(this.#facts))
  }

  get #streamName(): string { return `ssf.stream.${this.#source}` }
}
