// Where the credentials of one upstream come from, and who takes them back. Asks; keeps none of them. Its errors name the place and a standard word, never a
// text of an answer. What others need to take one back is sealed with the secret that is shown there. SPEC: CRD2-CRD5
import type { BrokeredSettings, OAuthClient, RevokeSettings } from '../../config/compile/credential.ts'
import type { Instant } from '../../core/time.ts'
import { Circuit, CIRCUIT } from '../../identity/circuit.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type HttpAnswer, type HttpAsk, type HttpClient, HttpFault, type HttpLimits } from '../../runtime/http-client.ts'
import { Seal } from '../../runtime/sealing.ts'
import { readSecretFile } from '../../runtime/secret-file.ts'
import { type SecretWitness, WatchedSecret } from '../../runtime/watched-secret.ts'
import { leaseIn, revocationBody } from './lease.ts'
import { clientCredentialsRequest, errorIn, exchangeRequest, type Obtained, revocationRequest, type Sent, type Shown, tokenIn } from './oauth.ts'

const BYTES = 64 * 1024
/** Secrets of a source that may have sealed what waits: the newest, and those it followed. */
const SEALS_MAX = 4
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json' }

/** Why nothing was obtained. */
export type SourceFault = 'unreachable' | 'slow' | 'refused' | 'malformed' | 'nothing_to_exchange'

export class SourceError extends Error {
  readonly fault: SourceFault
  /** Worth another attempt soon: it speaks of the place, not of what was asked. */
  readonly passing: boolean

  constructor(fault: SourceFault, message: string, passing: boolean) {
    super(message)
    this.name = 'SourceError'
    this.fault = fault
    this.passing = passing
  }
}

/** What taking one back needs. */
export type Revocable = { readonly token: string; readonly lease: string | null }
/** `key` names the key it is sealed with. */
export type Sealed = { readonly key: string; readonly text: string }

type Tools = { readonly clock: Clock; readonly http: Pick<HttpClient, 'ask'> }
type Files = { readonly ca: WatchedSecret | null; readonly file: string | null; readonly secret: string }

const clientOf = ({ obtain }: BrokeredSettings): OAuthClient | null => (obtain.is === 'lease' ? null : obtain.client)
export const secretFileOf = (settings: BrokeredSettings): string | null => (settings.obtain.is === 'lease' ? settings.obtain.tokenFile : (clientOf(settings)?.secretFile ?? null))

function faultOf(error: unknown): SourceError {
  if (error instanceof SourceError) return error
  if (!(error instanceof HttpFault)) return new SourceError('unreachable', 'it could not be asked', true)
  const { code, status, message } = error
  if (code === 'timeout') return new SourceError('slow', message, true)
  if (code === 'unreachable' || code === 'cancelled') return new SourceError('unreachable', message, true)
  return code === 'status' ? new SourceError('refused', message, status >= 500 || status === 429) : new SourceError('malformed', message, false)
}

export class Source {
  readonly upstream: string
  readonly settings: BrokeredSettings
  readonly #tools: Tools
  readonly #ca: WatchedSecret | null
  readonly #secret: WatchedSecret | null
  readonly #circuit: Circuit
  /** The newest first. */
  #seals: readonly Seal[] = []

  /** @param before what it follows: it opens what that could open @throws SecretFileError where a file cannot be read */
  static async open(upstream: string, settings: BrokeredSettings, tools: Tools, witness: Pick<SecretWitness, 'unread'>, before: Source | null = null): Promise<Source> {
    const { caFile } = settings
    const file = secretFileOf(settings)
    const [trusted, secret] = [caFile === null ? '' : await readSecretFile(caFile), file === null ? '' : await readSecretFile(file)]
    const ca = caFile === null ? null : new WatchedSecret(caFile, trusted, { unread: witness.unread, changed: () => undefined })
    return new Source(upstream, settings, tools, { ca, file, secret }, witness, before)
  }

  private constructor(upstream: string, settings: BrokeredSettings, tools: Tools, { ca, file, secret }: Files, { unread }: Pick<SecretWitness, 'unread'>, before: Source | null) {
    this.upstream = upstream
    this.settings = settings
    this.#tools = tools
    this.#ca = ca
    this.#secret = file === null ? null : new WatchedSecret(file, secret, { unread, changed: value => this.#sealWith(value) })
    this.#circuit = new Circuit(tools.clock, CIRCUIT.cooldown)
    this.#seals = before === null ? [] : before.#seals
    if (file !== null) this.#sealWith(secret)
  }

  close(): void {
    this.#secret?.close()
    this.#ca?.close()
  }

  /** Whether its files are what they must be. @throws SecretFileError */
  async check(): Promise<void> {
    for (const file of [this.settings.caFile, secretFileOf(this.settings)]) if (file !== null) await readSecretFile(file)
  }

  get revoke(): RevokeSettings | null { return this.settings.revoke }
  /** Does it show the gateway's own word? */
  get wantsContext(): boolean {
    const { obtain } = this.settings
    return obtain.is === 'exchange' && (obtain.subject === 'context' || obtain.actor === 'context')
  }

  /** @throws SourceError */
  async obtain(shown: Shown): Promise<Obtained> {
    const ask = this.#request(shown)
    if (!this.#circuit.enter()) throw new SourceError('unreachable', 'it did not answer lately, and is not asked for a moment', true)
    const askedAt = this.#tools.clock.now()
    try {
      const obtained = this.#read(await this.#asked(ask.url, ask.ask), askedAt)
      this.#circuit.answered()
      return obtained
    } catch (error) {
      const fault = faultOf(error)
      if (fault.passing || fault.fault === 'malformed') this.#circuit.failed() // what it gives and nobody can read lives on there
      else this.#circuit.answered()
      throw fault
    }
  }

  /** Resolves when whoever gave it confirms that it is over. @throws SourceError */
  async takeBack({ token, lease }: Revocable): Promise<void> {
    const { revoke } = this
    if (revoke === null) return
    const { settings: { obtain } } = this
    const sent = revoke.is === 'rfc7009' ? revocationRequest(token, clientOf(this.settings), this.#secretText) : { body: revocationBody(revoke.body, lease ?? ''), headers: obtain.is === 'lease' ? this.#leaseHeaders(obtain.header) : JSON_HEADERS }
    const ask: HttpAsk = { method: revoke.is === 'call' ? revoke.method : 'POST', ...sent, ca: this.#ca?.value ?? null, statuses: revoke.is === 'call' ? [200, 204] : [200] }
    try {
      await this.#tools.http.ask(new URL(revoke.url), ask, this.#limits, 'open')
    } catch (error) {
      throw faultOf(error)
    }
  }

  /** @throws Error where there is no secret to seal with */
  seal(revocable: Revocable, about: string): Sealed {
    const [newest] = this.#seals
    if (newest === undefined) throw new Error('there is no secret to seal with')
    return { key: newest.name, text: newest.seal(JSON.stringify(revocable), about) }
  }

  /** null where it was sealed with a secret that is not known here. */
  open({ key, text }: Sealed, about: string): Revocable | null {
    const opened = this.#seals.find(({ name }) => name === key)?.open(text, about) ?? null
    return opened === null ? null : (JSON.parse(opened) as Revocable) // sealed by the function above, and unchanged
  }

  get #secretText(): string { return this.#secret?.value ?? '' }
  get #limits(): HttpLimits { return { timeout: this.settings.timeout, bytes: BYTES } }

  #sealWith(secret: string): void {
    const newest = new Seal(secret, `narrowgate/brokered/${this.upstream}`)
    this.#seals = [newest, ...this.#seals.filter(({ name }) => name !== newest.name)].slice(0, SEALS_MAX)
  }

  #leaseHeaders(header: string): Sent['headers'] { return { ...JSON_HEADERS, [header]: this.#secretText } }

  #request(shown: Shown): { readonly url: URL; readonly ask: HttpAsk } {
    const { obtain } = this.settings
    if (obtain.is === 'lease') {
      const { method, body, header } = obtain
      return { url: new URL(obtain.url), ask: { method, body: method === 'GET' ? null : (body ?? '{}'), headers: this.#leaseHeaders(header), ca: this.#ca?.value ?? null, statuses: [200, 201] } }
    }
    const sent = obtain.is === 'exchange' ? exchangeRequest(obtain, this.#secretText, shown) : clientCredentialsRequest(obtain, this.#secretText)
    if (sent === null) throw new SourceError('nothing_to_exchange', 'the caller showed no token that could be exchanged', false)
    return { url: new URL(obtain.url), ask: { method: 'POST', ...sent, ca: this.#ca?.value ?? null, statuses: [200, 400, 401] } }
  }

  /** Once more where a connection kept open turns out to be gone. */
  async #asked(url: URL, ask: HttpAsk): Promise<HttpAnswer> {
    try {
      return await this.#tools.http.ask(url, ask, this.#limits, 'new')
    } catch (error) {
      if (!(error instanceof HttpFault) || error.code !== 'unreachable') throw error
      return this.#tools.http.ask(url, ask, this.#limits, 'new')
    }
  }

  /** Its life is counted from before it was asked for. */
  #read({ status, text }: HttpAnswer, askedAt: Instant): Obtained {
    const { obtain } = this.settings
    if (status >= 400) throw new SourceError('refused', `it answered ${status} ${errorIn(text) ?? 'without a standard error'}`, false)
    const read = obtain.is === 'lease' ? leaseIn(text, obtain, askedAt) : tokenIn(text, obtain.is === 'exchange' ? obtain.requestedTokenType : null, askedAt)
    if (typeof read === 'string') throw new SourceError('malformed', read, false)
    return read
  }
}
