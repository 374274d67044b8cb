// A policy decision point for tests, on a loopback port: tells its metadata, keeps what it was asked, and answers what the test says, or what a table of
// published decisions says. For tests only.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

type Json = { readonly [member: string]: unknown }
type Entity = { readonly type: string; readonly id: string; readonly properties: Json }
export type Question = { readonly subject: Entity; readonly action: { readonly name: string; readonly properties: Json }; readonly resource: Entity; readonly context: Json }
export type Asked = { readonly question: Question; readonly text: string; readonly path: string; readonly headers: IncomingHttpHeaders }

/** What is written: JSON of `body` unless that is text; `silent` writes nothing and keeps the connection, `reset` ends it. */
export type Reply = { readonly status?: number; readonly headers?: { readonly [name: string]: string }; readonly body: unknown } | 'silent' | 'reset'

export const permits = (context: Json = {}): Reply => ({ body: { decision: true, context } })
export const denies = (context: Json = {}): Reply => ({ body: { decision: false, context } })

const OBLIGATIONS = ['step-up', 'notification', 'session_termination', 'custom']

async function bodyOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer) // no encoding is set
  return Buffer.concat(chunks).toString('utf8')
}

function write(response: ServerResponse, reply: Exclude<Reply, string>): void {
  const { status = 200, headers = {}, body } = reply
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body))
}

export class AuthzenPdp {
  readonly asked: Asked[] = []
  /** Times its metadata was asked for. */
  looks = 0
  say: (asked: Asked) => Reply | Promise<Reply> = () => permits()
  /** Beside or in place of what its metadata says. */
  metadata: Json = {}
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  static async start(port = 0): Promise<AuthzenPdp> {
    const pdp = new AuthzenPdp()
    pdp.#server.listen(port, '127.0.0.1')
    await once(pdp.#server, 'listening')
    return pdp
  }

  get port(): number { return (this.#server.address() as AddressInfo).port } // it listens on TCP
  get url(): string { return `http://127.0.0.1:${this.port}` }
  get last(): Question {
    const last = this.asked.at(-1)
    if (last === undefined) throw new Error('nobody asked')
    return last.question
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url: path = '', headers } = request
    const text = await bodyOf(request)
    if (request.method === 'GET') {
      this.looks++
      return write(response, { body: { policy_decision_point: this.url, access_evaluation_endpoint: `${this.url}/access/v1/evaluation`, supported_obligations: OBLIGATIONS, ...this.metadata } })
    }
    const asked: Asked = { question: JSON.parse(text) as Question, text, path, headers } // what the gateway made
    this.asked.push(asked)
    const reply = await this.say(asked)
    if (reply === 'reset') request.socket.resetAndDestroy()
    else if (reply !== 'silent') write(response, reply)
  }
}

// ---- published decisions

type Written = { readonly type: string; readonly id: string; readonly ownerID?: string; readonly properties?: { readonly ownerID?: string } }
export type InteropCase = { readonly request: { readonly subject: Written; readonly action: { readonly name: string }; readonly resource: Written }; readonly expected: boolean }

export const INTEROP_FILES = ['api-gateway-decisions.json', 'todo-decisions-1_0-00.json', 'todo-decisions-1_0-01.json', 'todo-decisions-1_0-02.json'] as const

export function interopCases(file: (typeof INTEROP_FILES)[number]): readonly InteropCase[] {
  const { evaluation } = JSON.parse(readFileSync(join(import.meta.dirname, '../cases/authzen', file), 'utf8')) as { readonly evaluation: readonly InteropCase[] } // as published
  return evaluation
}

/** Drafts before the last have it beside the properties. */
export const ownerOf = ({ ownerID, properties }: Written): string | null => properties?.ownerID ?? ownerID ?? null

const nameOf = (subject: Written, action: string, resource: Written): string => JSON.stringify([subject.type, subject.id, action, resource.type, resource.id, ownerOf(resource)])

/** Answers a question of the table as it says, and any other not at all. */
export function decidesBy(cases: readonly InteropCase[]): (asked: Asked) => Reply {
  const table = new Map(cases.map(({ request: { subject, action, resource }, expected }) => [nameOf(subject, action.name, resource), expected] as const))
  return ({ question: { subject, action, resource } }) => {
    const expected = table.get(nameOf(subject, action.name, { type: resource.type, id: resource.id, properties: resource.properties }))
    return expected === undefined ? { status: 400, body: 'not in the table' } : { body: { decision: expected } }
  }
}
