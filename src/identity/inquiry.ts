// Asks a service outside what it knows of a credential. Whatever is not one JSON object, read the same by every parser, in time and in size, is
// silence; and silence refuses. The credential is in the body only: no error, log or address holds it. SPEC: SES16
import { duration } from '../core/time.ts'
import type { Claims } from '../core/principal.ts'
import type { Clock } from '../runtime/clock.ts'
import { type HttpClient, HttpFault, type HttpLimits, type HttpPost, type Lane } from '../runtime/http-client.ts'
import { Circuit, CIRCUIT } from './circuit.ts'
import { readPart } from './jwt-shape.ts'

export const INQUIRY_LIMITS: HttpLimits = { timeout: duration(3_000), bytes: 64 * 1024 }

/** The same for what is open, which is held for half a second only. */
const OPEN_COOLDOWN = 200

export type InquiryTools = {
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'post'>
  /** Hears why nothing was told, at most once a cooldown. */
  readonly notice: (error: Error) => void
}

type Told = { readonly is: 'told'; readonly answer: Claims } | { readonly is: 'silence' }

const SILENCE: Told = { is: 'silence' }

/** Does the failure speak of the place, rather than of what was asked? */
const isOfPlace = (error: unknown): boolean =>
  !(error instanceof HttpFault) || error.code === 'unreachable' || error.code === 'timeout' || error.status >= 500 || error.status === 429

export class Inquiry {
  readonly #url: URL
  readonly #tools: InquiryTools
  /** What strangers' questions run into closes nothing for what is open. */
  readonly #circuits: { readonly [L in Lane]: Circuit }
  #noticedAt = -Infinity

  constructor(url: URL, tools: InquiryTools) {
    this.#url = url
    this.#tools = tools
    this.#circuits = { new: new Circuit(tools.clock, CIRCUIT.cooldown), open: new Circuit(tools.clock, OPEN_COOLDOWN) }
  }

  /** Never rejects. `post` is made when the place may be asked. */
  async ask(lane: Lane, post: () => Promise<HttpPost>): Promise<Told> {
    const circuit = this.#circuits[lane]
    if (!circuit.enter()) return SILENCE
    try {
      const text = await this.#posted(await post(), lane)
      circuit.answered()
      return this.#read(text)
    } catch (error) {
      if (isOfPlace(error)) circuit.failed()
      else circuit.answered()
      if (error instanceof Error) this.#tell(error)
      return SILENCE
    }
  }

  /** Once more where a connection kept open turns out to be gone: asking changes nothing there. */
  async #posted(post: HttpPost, lane: Lane): Promise<string> {
    try {
      return await this.#tools.http.post(this.#url, post, INQUIRY_LIMITS, lane)
    } catch (error) {
      if (!(error instanceof HttpFault) || error.code !== 'unreachable') throw error
      return this.#tools.http.post(this.#url, post, INQUIRY_LIMITS, lane)
    }
  }

  #read(text: string): Told {
    const part = readPart(Buffer.from(text))
    if (part.is === 'object') return { is: 'told', answer: part.value }
    this.#tell(new Error(`${this.#url.origin}${this.#url.pathname} did not answer with ${part.is === 'ambiguous' ? 'unambiguous JSON' : 'a JSON object'}`))
    return SILENCE
  }

  #tell(error: Error): void {
    const now = this.#tools.clock.elapsed()
    if (now - this.#noticedAt < CIRCUIT.cooldown) return
    this.#noticedAt = now
    this.#tools.notice(error)
  }
}
