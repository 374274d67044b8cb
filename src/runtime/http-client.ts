// Fetches small JSON documents (keys, metadata) from places the operator named. Every wait and size has a limit; no redirect is followed,
// no proxy of the environment is used, nothing of a caller's request is sent.
import { Agent, request } from 'undici'
import type { Dispatcher } from 'undici'
import type { Duration } from '../core/time.ts'

type HttpFaultCode = 'unreachable' | 'timeout' | 'status' | 'too_large' | 'encoded' | 'not_json'

/** `status` is the answer's, 0 where there was none. */
export class HttpFault extends Error {
  readonly code: HttpFaultCode
  readonly status: number

  constructor(code: HttpFaultCode, message: string, status = 0, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'HttpFault'
    this.code = code
    this.status = status
  }
}

export type HttpLimits = {
  /** For the whole exchange: connect, head and body. */
  readonly timeout: Duration
  /** Longest body, in bytes. */
  readonly bytes: number
}

const CONNECTIONS_PER_ORIGIN = 4
const HEADERS = { accept: 'application/json, application/jwk-set+json', 'accept-encoding': 'identity', 'user-agent': 'narrowgate' }

async function textOf(body: Dispatcher.ResponseData['body'], max: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    const bytes = Buffer.from(chunk as Uint8Array) // undici streams bytes; its type says any
    length += bytes.length
    if (length > max) throw new HttpFault('too_large', `the answer is longer than ${max} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HttpFault('not_json', `${where} did not answer with JSON`, 200)
  }
}

export class HttpClient {
  readonly #agent = new Agent({ connections: CONNECTIONS_PER_ORIGIN, pipelining: 1, maxHeaderSize: 16 * 1024 })

  /** The JSON value of a 200 answer; anything else throws HttpFault. */
  async getJson(url: URL, limits: HttpLimits): Promise<unknown> {
    const where = `${url.origin}${url.pathname}`
    const signal = AbortSignal.timeout(limits.timeout)
    try {
      const { statusCode, headers, body } = await request(url, { method: 'GET', headers: HEADERS, dispatcher: this.#agent, signal })
      const fault = this.#headFault(where, statusCode, headers, limits)
      if (fault !== null) {
        body.on('error', () => {}).destroy() // the rest of the answer is of no interest
        throw fault
      }
      return parsed(await textOf(body, limits.bytes), where)
    } catch (error) {
      if (error instanceof HttpFault) throw error
      if (signal.aborted) throw new HttpFault('timeout', `${where} did not answer within ${limits.timeout} ms`, 0, error)
      throw new HttpFault('unreachable', `${where} cannot be reached`, 0, error)
    }
  }

  /** Ends its connections; requests under way fail. */
  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  #headFault(where: string, status: number, headers: Dispatcher.ResponseData['headers'], limits: HttpLimits): HttpFault | null {
    if (status !== 200) return new HttpFault('status', `${where} answered ${status}`, status)
    const encoding = headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') return new HttpFault('encoded', `${where} answered in a content coding`, status)
    if (Number(headers['content-length'] ?? 0) > limits.bytes) return new HttpFault('too_large', `the answer of ${where} is longer than ${limits.bytes} bytes`, status)
    return null
  }
}
