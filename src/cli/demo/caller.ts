// The agent of the demo, as the gateway's callers are: requests with its token, feeds that stay open, a download.
// It counts events and holds no more of a feed than the one that is not complete yet.
import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'

export type Json = { readonly [member: string]: unknown }
export type Answer = { readonly status: number; readonly json: Json; readonly text: string }
export type Headers = { readonly [name: string]: string }
type FeedEnd = { /** As `performance.now()`. */ readonly at: number; readonly how: 'ended between two events' | 'reset' }

const ANSWER_WITHIN_MS = 5_000
const EVENT_BYTES_MAX = 16_384

export const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function jsonOf(text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    return isJson(value) ? value : {}
  } catch {
    return {}
  }
}

/** An open event feed: how many events came, and whether one was missing between them. */
export class Feed {
  first = 0
  last = 0
  count = 0
  /** Every event so far had the number after the one before it. */
  contiguous = true
  end: FeedEnd | null = null
  readonly #response: IncomingMessage
  #held = ''

  constructor(response: IncomingMessage) {
    this.#response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#take(text))
    response.on('error', () => {}) // a reset shows as an incomplete answer at `close`
    response.once('close', () => { this.end = { at: performance.now(), how: response.complete ? 'ended between two events' : 'reset' } })
  }

  close(): void {
    this.#response.destroy()
  }

  #take(text: string): void {
    const events = (this.#held + text).split('\n\n')
    this.#held = events.pop() ?? ''
    if (this.#held.length > EVENT_BYTES_MAX) this.close()
    for (const event of events) {
      const number = Number(/^id: (\d+)$/m.exec(event)?.[1] ?? 0)
      if (number > 0) this.#count(number)
    }
  }

  #count(number: number): void {
    if (this.count === 0) this.first = number
    else if (number !== this.last + 1) this.contiguous = false
    this.last = number
    this.count++
  }
}

export class Caller {
  readonly #origin: string
  readonly #token: string

  constructor(origin: string, token: string) {
    this.#origin = origin
    this.#token = token
  }

  async ask(method: string, path: string, { headers = {}, body = null }: { readonly headers?: Headers; readonly body?: Json | null } = {}): Promise<Answer> {
    const type = body === null ? {} : { 'content-type': 'application/json' }
    const response = await fetch(new URL(path, this.#origin), {
      method, headers: { authorization: `Bearer ${this.#token}`, ...type, ...headers }, body: body === null ? null : JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
    const text = await response.text()
    return { status: response.status, json: jsonOf(text), text }
  }

  /** A feed on a connection of its own, or the answer that refused it. */
  async watch(path: string, headers: Headers = {}): Promise<Feed | Answer> {
    const response = await this.#open(path, headers)
    if (response.statusCode === 200) return new Feed(response)
    const text = await textOf(response)
    return { status: response.statusCode ?? 0, json: jsonOf(text), text }
  }

  /** A whole body; what arrived before a cut is not given. @throws the system's error when it was cut */
  async download(path: string): Promise<string> {
    return textOf(await this.#open(path, {}))
  }

  async #open(path: string, headers: Headers): Promise<IncomingMessage> {
    const { hostname, port } = new URL(this.#origin)
    const sent = httpRequest({ hostname, port, path, agent: false, headers: { authorization: `Bearer ${this.#token}`, ...headers } })
    sent.setTimeout(ANSWER_WITHIN_MS, () => sent.destroy(new Error(`${path} was not answered`)))
    sent.end()
    sent.on('error', () => {}) // before the answer `once` rejects with it; after it the answer itself is incomplete
    const [response] = (await once(sent, 'response')) as [IncomingMessage] // the event's one argument
    sent.setTimeout(0)
    return response
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: string[] = []
  response.setEncoding('utf8')
  for await (const chunk of response) chunks.push(String(chunk))
  return chunks.join('')
}
