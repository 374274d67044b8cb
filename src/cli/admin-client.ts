// Asks the admin API, as its contract says. Every wait has a limit; what goes wrong becomes an exit code. Never prints the token. SPEC: ADM10
import type { BodyFor, OperationName, ParamsOf, QueryFor } from '../admin/contract.ts'
import { OPERATIONS, type Operation } from '../admin/contract.ts'
import { Failure, exitOfStatus } from './exit-code.ts'

export type Json = { readonly [member: string]: unknown }

type Asked<N extends OperationName> = {
  readonly params: ParamsOf<N>
  readonly body: BodyFor<N>
  readonly query: QueryFor<N>
}

type AdminServer = { readonly url: URL; /** null for operations that ask for none. */ readonly token: string | null; readonly timeoutMs: number }

const ANSWER_MAX = 64 * 1024 * 1024

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

export function jsonOf(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = null
  }
  return isJson(value) ? value : {}
}

function pathOf(operation: Operation, params: { readonly [name: string]: string }, query: object): string {
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams(Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))).toString()
  return search === '' ? path : `${path}?${search}`
}

export function unreachable(error: unknown, { url, timeoutMs }: Pick<AdminServer, 'url' | 'timeoutMs'>): Failure {
  if (error instanceof Error && error.name === 'TimeoutError') return new Failure('timedOut', `${url.origin} did not answer within ${timeoutMs} ms`)
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message || ('code' in error.cause ? String(error.cause.code) : error.cause.name)}` : ''
  return new Failure('unreachable', `${url.origin} can not be reached${cause}`)
}

const wordsOf = (status: number, body: Json): string => (typeof body['detail'] === 'string' ? body['detail'] : `the gateway answered ${status}`)

export class AdminClient {
  readonly #server: AdminServer

  constructor(server: AdminServer) {
    this.#server = server
  }

  /** The answer's body. @throws Failure for every answer that is not a success */
  async ask<N extends OperationName>(name: N, { params, body, query }: Asked<N>): Promise<Json> {
    const operation: Operation = OPERATIONS[name]
    const text = operation.takes === 'json' ? JSON.stringify(body) : null
    const { status, json } = await this.send(operation, pathOf(operation, params, query as object), text) // queries are objects by the contract
    if (status >= 400) throw new Failure(exitOfStatus(status), wordsOf(status, json))
    return json
  }

  /** Status and body, whatever they are. @throws Failure `unreachable`, `timedOut` */
  async send({ method, takes }: Operation, path: string, body: string | null): Promise<{ readonly status: number; readonly json: Json }> {
    const { status, text } = await this.#guarded(async () => {
      const response = await fetch(new URL(path, this.#server.url), { method, headers: this.#headers(body === null ? null : takes), body, redirect: 'error', signal: AbortSignal.timeout(this.#server.timeoutMs) })
      if (Number(response.headers.get('content-length') ?? 0) > ANSWER_MAX) throw new Failure('failure', 'the answer is too large')
      return { status: response.status, text: await response.text() }
    })
    return { status, json: jsonOf(text) }
  }

  /** The lines of an event stream, until it ends or the caller stops. @throws Failure */
  async *lines(path: string): AsyncGenerator<string> {
    const response = await this.#guarded(() => fetch(new URL(path, this.#server.url), { headers: this.#headers(null), redirect: 'error' }))
    if (!response.ok) throw new Failure(exitOfStatus(response.status), wordsOf(response.status, jsonOf(await response.text())))
    const decoder = new TextDecoder()
    let held = ''
    for await (const chunk of response.body ?? []) {
      const lines = (held + decoder.decode(chunk, { stream: true })).split('\n')
      held = lines.pop() ?? ''
      yield* lines
    }
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof Failure ? error : unreachable(error, this.#server)
    }
  }

  #headers(takes: Operation['takes'] | null): { readonly [name: string]: string } {
    const authorization = this.#server.token === null ? {} : { authorization: `Bearer ${this.#server.token}` }
    return { accept: 'application/json', ...authorization, ...(takes === null || takes === 'none' ? {} : { 'content-type': `application/${takes}` }) }
  }
}
