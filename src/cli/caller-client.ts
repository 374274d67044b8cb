// Asks the gateway as one of its callers, under the reserved prefix, with the caller's own credential. Every answer has a limit of time; what goes wrong
// becomes an exit code. Never prints the token. SPEC: ADM24
import { jsonOf, type Json, unreachable } from './admin-client.ts'
import { type Exit, exitOfStatus, Failure } from './exit-code.ts'

type Gateway = { readonly url: URL; /** Read anew for each question: whoever renews it writes the file again. */ readonly token: () => Promise<string>; readonly timeoutMs: number }
export type Own = { readonly status: number; readonly json: Json }
export type OwnEvent = { readonly event: string; readonly data: Json }

/** Longest event that is read. */
const EVENT_MAX = 1024 * 1024

/** The gateway answered, and did not do what was asked. */
export class Refused extends Failure {
  readonly status: number

  constructor(status: number, says: string) {
    super(exitOfOwn(status), says)
    this.status = status
  }
}

function refusedBy({ status, json }: Own): Refused {
  const words = typeof json['detail'] === 'string' ? json['detail'] : `the gateway answered ${status}`
  const reason = typeof json['reason'] === 'string' ? ` (${json['reason']})` : ''
  return new Refused(status, `${words}${reason}`)
}

/** 421: no route of the gateway is for this host, as if there were nothing. */
const exitOfOwn = (status: number): Exit => (status === 421 ? 'notFound' : status === 502 || status === 503 || status === 504 ? 'unreachable' : exitOfStatus(status))

export class CallerClient {
  readonly #gateway: Gateway

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  /** The answer, where it is a success. @param path behind the prefix @throws Failure */
  async ask(method: 'GET' | 'POST', path: string, body: Json | null = null, key: string | null = null): Promise<Own> {
    const { url, timeoutMs } = this.#gateway
    const answer = await this.#guarded(async () => {
      const sent = body === null ? {} : { body: JSON.stringify(body) }
      const headers = { ...(await this.#headers()), ...(body === null ? {} : { 'content-type': 'application/json' }), ...(key === null ? {} : { 'idempotency-key': key }) }
      const response = await fetch(new URL(`/.narrowgate/${path}`, url), { method, headers, ...sent, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
      return { status: response.status, json: jsonOf(await response.text()) }
    })
    if (answer.status >= 400) throw refusedBy(answer)
    return answer
  }

  /** Events until the stream ends or is given up. @throws Failure where there is no stream, or it breaks */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<OwnEvent> {
    const response = await this.#guarded(async () => fetch(new URL(`/.narrowgate/${path}`, this.#gateway.url), { headers: await this.#headers(), redirect: 'error', signal }))
    if (!response.ok) throw refusedBy({ status: response.status, json: jsonOf(await response.text()) })
    const decoder = new TextDecoder()
    let held = ''
    const chunks = (response.body ?? new ReadableStream()).getReader()
    for (;;) {
      const { done, value } = await this.#guarded(() => chunks.read())
      if (done) return
      const frames = (held + decoder.decode(value as Uint8Array, { stream: true })).split('\n\n') // a body's chunks are bytes
      held = frames.pop() ?? ''
      if (held.length > EVENT_MAX) throw new Failure('failure', 'an event of the gateway is too long')
      for (const frame of frames) {
        const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? []
        if (event !== undefined && data !== undefined) yield { event, data: jsonOf(data) }
      }
    }
  }

  async #headers(): Promise<{ readonly [name: string]: string }> {
    return { accept: 'application/json, text/event-stream', authorization: `Bearer ${await this.#gateway.token()}` }
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof Failure ? error : unreachable(error, this.#gateway)
    }
  }
}
