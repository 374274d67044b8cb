// The body of a request, made only where there is one. It ends only when it is whole; one whose caller went away fails. SPEC: WIRE7
import { Readable } from 'node:stream'

/** Who fills it. */
interface BodySource {
  /** There is room for more. */
  wanted(): void
}

export class RequestBody extends Readable {
  readonly #source: BodySource

  constructor(source: BodySource) {
    super()
    this.#source = source
  }

  override _read(): void { this.#source.wanted() }

  /** An error that nobody waits for is told to nobody: thrown, it would end the process. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(this.listenerCount('error') > 0 ? error : null)
  }
}

/** Of every request without one: ended, and nothing is ever told of it. */
export const NO_BODY: Readable = Readable.from([]).resume()
