// Asks places the operator named for small documents: keys, metadata, and what they say of a credential. Every wait and size has a limit; no
// redirect is followed, no proxy of the environment is used, nothing of a caller's request is sent but what `post` is given. Errors name the
// place only.
import { Agent, request } from 'undici'
import type { Dispatcher } from 'undici'
import type { Duration } from '../core/time.ts'

type HttpFaultCode = 'unreachable' | 'timeout' | 'cancelled' | 'status' | 'too_large' | 'encoded' | 'not_json'

/** `status` is the answer's, 0 where there was none; `retryAfter` its header of that name, as sent. */
export class HttpFault extends Error {
  readonly code: HttpFaultCode
  readonly status: number
  readonly retryAfter: string | null

  constructor(code: HttpFaultCode, message: string, status = 0, cause?: unknown, retryAfter: string | null = null) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'HttpFault'
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
  }
}

export type HttpLimits = {
  /** For the whole exchange: connect, head and body. */
  readonly timeout: Duration
  /** Longest body, in bytes. */
  readonly bytes: number
}

/** For whom a place is asked: each has connections of its own, so that any number of new requests keeps no answer from what is open. */
export type Lane = 'new' | 'open'

/** What is sent, and which answers are taken. */
export type HttpAsk = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH'
  /** null sends none. */
  readonly body: string | null
  readonly headers: { readonly [name: string]: string }
  /** PEM certificates to trust; null trusts the system's. */
  readonly ca: string | null
  /** Answers taken; any other status is a fault. */
  readonly statuses: readonly number[]
}

/** What `post` sends. */
export type HttpPost = Omit<HttpAsk, 'method' | 'body'> & { readonly body: string }

/** `etag` and content type as sent, null without one. */
export type HttpAnswer = { readonly status: number; readonly etag: string | null; readonly type: string | null; readonly text: string }

const CONNECTIONS_PER_ORIGIN = 4
/** Of places that are asked about credentials, in each lane. */
const POSTS_PER_ORIGIN = 32
/** Sets of trusted certificates in use at once, by lane: more than a configuration and its successor name. */
const AUTHORITIES_MAX = 256
const HEADERS = { accept: 'application/json, application/jwk-set+json', 'accept-encoding': 'identity', 'user-agent': 'narrowgate' }

async function bytesOf(body: Dispatcher.ResponseData['body'], max: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    const bytes = Buffer.from(chunk as Uint8Array) // undici streams bytes; its type says any
    length += bytes.length
    if (length > max) throw new HttpFault('too_large', `the answer is longer than ${max} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

/** Bytes that are no UTF-8 would become the same replacement for different texts. */
function utf8(bytes: Buffer, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new HttpFault('not_json', `${where} did not answer in UTF-8`, 200)
  }
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HttpFault('not_json', `${where} did not answer with JSON`, 200)
  }
}

type Asking = { readonly dispatcher: Agent; readonly method: HttpAsk['method']; readonly headers: { readonly [name: string]: string }; readonly body: string | null; readonly statuses: readonly number[] }

function headFault(where: string, status: number, headers: Dispatcher.ResponseData['headers'], statuses: readonly number[], limits: HttpLimits): HttpFault | null {
  const retryAfter = headers['retry-after']
  if (!statuses.includes(status)) return new HttpFault('status', `${where} answered ${status}`, status, undefined, typeof retryAfter === 'string' ? retryAfter : null)
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') return new HttpFault('encoded', `${where} answered in a content coding`, status)
  if (Number(headers['content-length'] ?? 0) > limits.bytes) return new HttpFault('too_large', `the answer of ${where} is longer than ${limits.bytes} bytes`, status)
  return null
}

export class HttpClient {
  readonly #agent = new Agent({ connections: CONNECTIONS_PER_ORIGIN, pipelining: 1, maxHeaderSize: 16 * 1024 })
  /** By lane and the certificates they trust; nothing stands for the system's. */
  readonly #posting = new Map<string, Agent>()

  /** The JSON value of a 200 answer; anything else throws HttpFault. */
  async getJson(url: URL, limits: HttpLimits): Promise<unknown> {
    const { text } = await this.#ask(url, { dispatcher: this.#agent, method: 'GET', headers: HEADERS, body: null, statuses: [200] }, limits)
    return parsed(text, `${url.origin}${url.pathname}`)
  }

  /** The text of the answer; another status than those taken, or anything else that is wrong with it, throws HttpFault. */
  async post(url: URL, post: HttpPost, limits: HttpLimits, lane: Lane): Promise<string> {
    return (await this.ask(url, { method: 'POST', ...post }, limits, lane)).text
  }

  /** The answer as it came, whichever of the statuses it has; anything else throws HttpFault. @param cancel nobody wants the answer any more */
  ask(url: URL, { method, body, headers, ca, statuses }: HttpAsk, limits: HttpLimits, lane: Lane, cancel: AbortSignal | null = null): Promise<HttpAnswer> {
    return this.#ask(url, { dispatcher: this.#posts(ca, lane), method, headers: { ...HEADERS, ...headers }, body, statuses }, limits, cancel)
  }

  async #ask(url: URL, { statuses, ...asking }: Asking, limits: HttpLimits, cancel: AbortSignal | null = null): Promise<HttpAnswer> {
    const where = `${url.origin}${url.pathname}`
    const over = AbortSignal.timeout(limits.timeout)
    const signal = cancel === null ? over : AbortSignal.any([over, cancel])
    try {
      const { statusCode, headers, body } = await request(url, { ...asking, signal })
      const fault = headFault(where, statusCode, headers, statuses, limits)
      if (fault !== null) {
        body.on('error', () => {}).destroy() // the rest of the answer is of no interest
        throw fault
      }
      const { etag, 'content-type': type } = headers
      return { status: statusCode, etag: typeof etag === 'string' ? etag : null, type: typeof type === 'string' ? type : null, text: utf8(await bytesOf(body, limits.bytes), where) }
    } catch (error) {
      if (error instanceof HttpFault) throw error
      if (cancel?.aborted === true) throw new HttpFault('cancelled', `${where} is not asked any more`, 0, error)
      if (over.aborted) throw new HttpFault('timeout', `${where} did not answer within ${limits.timeout} ms`, 0, error)
      throw new HttpFault('unreachable', `${where} cannot be reached`, 0, error)
    }
  }

  #posts(ca: string | null, lane: Lane): Agent {
    const name = `${lane} ${ca ?? ''}`
    const known = this.#posting.get(name)
    if (known !== undefined) return known
    const [oldest] = this.#posting.size < AUTHORITIES_MAX ? [] : this.#posting
    if (oldest !== undefined && this.#posting.delete(oldest[0])) void oldest[1].close() // what it has under way is finished
    const agent = new Agent({ connections: POSTS_PER_ORIGIN, pipelining: 1, maxHeaderSize: 16 * 1024, ...(ca === null ? {} : { connect: { ca } }) })
    this.#posting.set(name, agent)
    return agent
  }

  /** Ends its connections; requests under way fail. */
  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), ...[...this.#posting.values()].map(agent => agent.destroy())])
  }
}
