// Asks one policy decision point (AuthZEN Authorization API 1.0). An answer is 200, JSON that every parser reads the same, with a `decision` that is true or
// false: whatever else comes, and whatever does not come in time, is silence, and silence never lets anything go. No redirect is followed; its metadata is
// believed only as far as it speaks of the place that was configured. SPEC: PEP3
import type { PdpSettings } from '../../config/compile/pdps.ts'
import type { Claims } from '../../core/principal.ts'
import { duration, type Instant } from '../../core/time.ts'
import { Circuit, CIRCUIT } from '../../identity/circuit.ts'
import { readPart } from '../../identity/jwt-shape.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type HttpAnswer, type HttpClient, HttpFault, type HttpLimits, type Lane } from '../../runtime/http-client.ts'

/** Why nothing was said. */
export type Silence = 'timeout' | 'unreachable' | 'status' | 'unauthorized' | 'malformed' | 'metadata' | 'busy' | 'circuit'
export type Said = { readonly is: 'said'; readonly decision: boolean; readonly context: Claims } | { readonly is: 'silence'; readonly why: Silence }

export type PdpTools = {
  readonly clock: Clock
  readonly http: Pick<HttpClient, 'ask'>
  /** Hears why nothing was said, at most once a cooldown. */
  readonly notice: (pdp: string, cause: Error) => void
}

const BYTES_MAX = 256 * 1024
/** Questions on their way at once, in each lane. */
const ASKING_MAX = 256
/** What is open is held for a moment only. */
const OPEN_COOLDOWN = 200
const METADATA: HttpLimits = { timeout: duration(1_000), bytes: 64 * 1024 }
/** Metadata is asked for again after so long, in milliseconds, while what was said before counts. */
const METADATA_FOR = 3_600_000
/** One that could not be read is not asked for again for so long. */
const METADATA_PAUSE = 250
const WELL_KNOWN = '/.well-known/authzen-configuration'
const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i

/** `obligations`: those that it says it may ask for; null where it does not say. */
type Place = { readonly endpoint: URL; readonly obligations: readonly string[] | null; readonly readAt: number }
type Lanes<T> = { readonly [L in Lane]: T }

const silence = (why: Silence): Said => ({ is: 'silence', why })

class Unsaid extends Error {
  readonly why: Silence

  constructor(why: Silence, message: string) {
    super(message)
    this.why = why
  }
}

function objectIn({ type, text }: HttpAnswer, where: string, why: Silence): Claims {
  const part = type !== null && JSON_TYPE.test(type) ? readPart(Buffer.from(text)) : null
  if (part?.is === 'object') return part.value
  throw new Unsaid(why, `${where} did not answer with an object of application/json that has one reading`)
}

function whyOf(error: unknown): Silence {
  if (error instanceof Unsaid) return error.why
  if (!(error instanceof HttpFault)) return 'unreachable'
  if (error.code === 'timeout' || error.code === 'unreachable') return error.code
  if (error.code !== 'status') return 'malformed'
  return error.status === 401 || error.status === 403 ? 'unauthorized' : 'status'
}

/** Does it speak of the place, rather than of what was asked? */
function isOfPlace(error: unknown): boolean {
  if (error instanceof Unsaid) return error.why === 'metadata' // else it answered, and nobody is to shut the others out by what they make it say
  return !(error instanceof HttpFault) || error.code === 'unreachable' || error.code === 'timeout' || error.status >= 500 || error.status === 429
}

/** Where metadata of an identifier lies (§9.2.1): its path comes behind the well-known one. */
function metadataOf(identifier: string): URL {
  const url = new URL(identifier)
  return new URL(`${WELL_KNOWN}${url.pathname === '/' ? '' : url.pathname.replace(/\/$/, '')}`, url.origin)
}

function obligationsIn({ supported_obligations: told }: Claims): readonly string[] | null {
  return Array.isArray(told) && told.length <= 64 && told.every(each => typeof each === 'string') ? told : null
}

export class Pdp {
  readonly name: string
  readonly #settings: PdpSettings
  readonly #tools: PdpTools
  readonly #ca: string | null
  readonly #headers: { readonly [name: string]: string }
  readonly #circuits: Lanes<Circuit>
  readonly #asking: { [L in Lane]: number } = { new: 0, open: 0 }
  #place: Place | null = null
  #looking: Promise<Place> | null = null
  #failedAt = -Infinity
  #noticedAt = -Infinity

  /** `token` and `ca` are what the settings' files hold. */
  constructor(settings: PdpSettings, files: { readonly token: string | null; readonly ca: string | null }, tools: PdpTools) {
    this.name = settings.name
    this.#settings = settings
    this.#tools = tools
    this.#ca = files.ca
    this.#headers = { accept: 'application/json', ...(files.token === null ? {} : { authorization: `Bearer ${files.token}` }) }
    this.#circuits = { new: new Circuit(tools.clock, CIRCUIT.cooldown), open: new Circuit(tools.clock, OPEN_COOLDOWN) }
  }

  /**
   * Never rejects.
   * @param text made when it may be asked, of the instant and the obligations that it says it may ask for
   */
  async ask(evaluation: string, lane: Lane, text: (at: Instant, advertised: readonly string[] | null) => string): Promise<Said> {
    if (this.#asking[lane] >= ASKING_MAX) return silence('busy')
    const circuit = this.#circuits[lane]
    if (!circuit.enter()) return silence('circuit')
    this.#asking[lane]++
    try {
      const said = await this.#asked(evaluation, lane, text)
      circuit.answered()
      return said
    } catch (error) {
      if (isOfPlace(error)) circuit.failed()
      else circuit.answered()
      this.#tell(error)
      return silence(whyOf(error))
    } finally {
      this.#asking[lane]--
    }
  }

  async #asked(evaluation: string, lane: Lane, text: (at: Instant, advertised: readonly string[] | null) => string): Promise<Said> {
    const { endpoint, obligations } = await this.#found()
    const body = text(this.#tools.clock.now(), obligations)
    const answer = await this.#posted(endpoint, { body, headers: { ...this.#headers, 'content-type': 'application/json', 'x-request-id': evaluation } }, lane)
    const where = `${endpoint.origin}${endpoint.pathname}`
    const said = objectIn(answer, where, 'malformed')
    const { decision, context = {} } = said
    const isContext = typeof context === 'object' && context !== null && !Array.isArray(context)
    if (typeof decision !== 'boolean' || !isContext) throw new Unsaid('malformed', `${where} answered without a decision`)
    return { is: 'said', decision, context: context as Claims } // an object of a parsed JSON text
  }

  /** Once more where a connection kept open turns out to be gone, in what is left of the time: asking changes nothing there. */
  async #posted(endpoint: URL, { body, headers }: { readonly body: string; readonly headers: { readonly [name: string]: string } }, lane: Lane): Promise<HttpAnswer> {
    const { clock, http } = this.#tools
    const deadline = clock.elapsed() + this.#settings.timeout
    const post = (): Promise<HttpAnswer> => {
      const timeout = duration(Math.max(1, Math.floor(deadline - clock.elapsed())))
      return http.ask(endpoint, { method: 'POST', body, headers, ca: this.#ca, statuses: [200] }, { timeout, bytes: BYTES_MAX }, lane)
    }
    try {
      return await post()
    } catch (error) {
      if (!(error instanceof HttpFault) || error.code !== 'unreachable') throw error
      return post()
    }
  }

  // ---- metadata

  /** Where it is asked, as it says itself. */
  #found(): Promise<Place> | Place {
    const known = this.#place
    if (known === null) return this.#look()
    if (this.#tools.clock.elapsed() - known.readAt > METADATA_FOR) void this.#look().catch(() => undefined) // what was said before counts until then
    return known
  }

  #look(): Promise<Place> {
    if (this.#looking !== null) return this.#looking
    const { clock } = this.#tools
    if (clock.elapsed() - this.#failedAt < METADATA_PAUSE) return Promise.reject(new Unsaid('metadata', 'its metadata could not be read just now'))
    const looking = this.#read().then(place => (this.#place = place), (error: unknown) => {
      this.#failedAt = clock.elapsed()
      throw error instanceof HttpFault ? new Unsaid('metadata', error.message) : error
    }).finally(() => { this.#looking = null })
    this.#looking = looking
    return looking
  }

  async #read(): Promise<Place> {
    const { url, discover } = this.#settings
    const readAt = this.#tools.clock.elapsed()
    if (!discover) return { endpoint: new URL(url), obligations: null, readAt }
    const at = metadataOf(url)
    const answer = await this.#tools.http.ask(at, { method: 'GET', body: null, headers: { accept: 'application/json' }, ca: this.#ca, statuses: [200] }, METADATA, 'new')
    const where = `${at.origin}${at.pathname}`
    const told = objectIn(answer, where, 'metadata')
    if (told['policy_decision_point'] !== url) throw new Unsaid('metadata', `${where} speaks of another policy decision point than ${url}`)
    const { access_evaluation_endpoint: written } = told
    const endpoint = typeof written === 'string' && written.length <= 2_048 ? URL.parse(written) : null
    const isOurs = endpoint !== null && endpoint.username === '' && endpoint.password === '' && (endpoint.protocol === 'https:' || endpoint.origin === at.origin)
    if (!isOurs) throw new Unsaid('metadata', `${where} names no evaluation endpoint that can be asked`)
    return { endpoint, obligations: obligationsIn(told), readAt }
  }

  #tell(error: unknown): void {
    const now = this.#tools.clock.elapsed()
    if (now - this.#noticedAt < CIRCUIT.cooldown) return
    this.#noticedAt = now
    this.#tools.notice(this.name, error instanceof Error ? error : new Error(String(error)))
  }
}
