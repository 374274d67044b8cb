// The token that opens a transmitter's management and its polls: one of a file, or one that a client of ours asks for (RFC 6749 §4.4) and that is
// used until shortly before its end. One that was refused is never sent again. Told to nobody else; no error tells it. SPEC: SSF8
import { duration } from '../../../core/time.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { type HttpAnswer, type HttpClient, HttpFault, type HttpLimits } from '../../../runtime/http-client.ts'
import { readSecretFile, SecretFileError } from '../../../runtime/secret-file.ts'
import { jsonIn, membersOf, secondsIn, textIn } from './json.ts'

/** With what their files held when the configuration was loaded. */
export type OpenAccess =
  | { readonly is: 'none' }
  | { readonly is: 'token'; readonly file: string; readonly token: string }
  | { readonly is: 'oauth'; readonly tokenUrl: URL; readonly clientId: string; readonly clientSecret: string; readonly scope: string }

type Token = { readonly text: string; /** On the clock's `elapsed` scale. */ readonly until: number }
export type HttpTools = { readonly http: Pick<HttpClient, 'ask'>; readonly clock: Clock; /** PEM; null trusts the system's. */ readonly ca: string | null }

const TOKEN_LIMITS = { timeout: duration(5_000), bytes: 64 * 1024 } as const
const TOKEN = /^[\x21-\x7e]{1,8192}$/
/** Not used so shortly before its end, in milliseconds; one without an end is asked for anew after as long. */
const MARGIN = 30_000
const ENDLESS_FOR = 300_000

/** @throws SecretFileError */
export async function tokenIn(file: string): Promise<string> {
  const text = await readSecretFile(file)
  if (!TOKEN.test(text)) throw new SecretFileError(file, 'holds no token of visible characters on one line')
  return text
}

/** As RFC 6749 §2.3.1 has it: both are form-encoded first. */
function basicOf({ clientId, clientSecret }: Extract<OpenAccess, { is: 'oauth' }>): string {
  const encoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)
  return `Basic ${Buffer.from(`${encoded(clientId)}:${encoded(clientSecret)}`).toString('base64')}`
}

export class Access {
  readonly #open: OpenAccess
  readonly #tools: HttpTools
  #token: Token | null = null
  #asking: Promise<Token> | null = null

  constructor(open: OpenAccess, tools: HttpTools) {
    this.#open = open
    this.#tools = tools
    if (open.is === 'token') this.#token = { text: open.token, until: Infinity }
  }

  /** What is sent along; null where nothing is. @throws HttpFault, SecretFileError */
  async token(): Promise<string | null> {
    if (this.#open.is === 'none') return null
    if (this.#token !== null && this.#tools.clock.elapsed() < this.#token.until) return this.#token.text
    this.#asking ??= this.#ask().finally(() => { this.#asking = null })
    this.#token = await this.#asking
    return this.#token.text
  }

  /** That one was refused. */
  refused(token: string): void {
    if (this.#token?.text === token) this.#token = null
  }

  async #ask(): Promise<Token> {
    const open = this.#open
    if (open.is === 'oauth') return this.#granted(open)
    return { text: open.is === 'token' ? await tokenIn(open.file) : '', until: Infinity } // the file may hold another by now
  }

  async #granted(client: Extract<OpenAccess, { is: 'oauth' }>): Promise<Token> {
    const { http, clock, ca } = this.#tools
    const askedAt = clock.elapsed()
    const body = new URLSearchParams({ grant_type: 'client_credentials', ...(client.scope === '' ? {} : { scope: client.scope }) }).toString()
    const headers = { authorization: basicOf(client), 'content-type': 'application/x-www-form-urlencoded' }
    const { text } = await http.ask(client.tokenUrl, { method: 'POST', body, headers, ca, statuses: [200] }, TOKEN_LIMITS, 'open')
    const answer = membersOf(jsonIn(text)) ?? {}
    const token = textIn(answer, 'access_token') ?? ''
    if (!TOKEN.test(token) || textIn(answer, 'token_type')?.toLowerCase() !== 'bearer') throw new HttpFault('not_json', `${client.tokenUrl.origin} answered with no bearer token`, 200)
    const lives = secondsIn(answer, 'expires_in')
    return { text: token, until: askedAt + (lives === null ? ENDLESS_FOR : Math.max(lives - MARGIN, lives / 2)) }
  }
}

/** What a transmitter is asked for with such a token. */
export type Call = { readonly method: 'GET' | 'POST' | 'PATCH'; readonly url: URL; /** Sent as JSON; null sends none. */ readonly body: object | null; readonly statuses: readonly number[] }

/** Asks a transmitter. A token that it refuses is replaced once. */
export class Caller {
  readonly #access: Access
  readonly #tools: HttpTools

  constructor(access: Access, tools: HttpTools) {
    this.#access = access
    this.#tools = tools
  }

  /** @throws HttpFault, SecretFileError */
  async ask(call: Call, limits: HttpLimits, cancel: AbortSignal): Promise<HttpAnswer> {
    const token = await this.#access.token()
    try {
      return await this.#sent(call, token, limits, cancel)
    } catch (error) {
      if (token === null || !(error instanceof HttpFault) || error.status !== 401) throw error
      this.#access.refused(token)
    }
    const other = await this.#access.token()
    try {
      return await this.#sent(call, other, limits, cancel)
    } catch (error) {
      if (other !== null && error instanceof HttpFault && error.status === 401) this.#access.refused(other)
      throw error
    }
  }

  #sent({ method, url, body, statuses }: Call, token: string | null, limits: HttpLimits, cancel: AbortSignal): Promise<HttpAnswer> {
    const { http, ca } = this.#tools
    const headers = { accept: 'application/json', ...(body === null ? {} : { 'content-type': 'application/json' }), ...(token === null ? {} : { authorization: `Bearer ${token}` }) }
    return http.ask(url, { method, body: body === null ? null : JSON.stringify(body), headers, ca, statuses }, limits, 'open', cancel)
  }
}
