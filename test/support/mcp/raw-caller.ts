// A caller of MCP that says what a test says, byte for byte, and reads whatever comes: JSON or events. For tests only.
import { setTimeout as after } from 'node:timers/promises'
import type { TestGateway } from '../gateway.ts'
import { ENDPOINT } from './modern-server.ts'
import { VERSIONS } from './clients.ts'

export type Json = { readonly [member: string]: unknown }
export type Told = { readonly status: number; readonly headers: Headers; readonly messages: readonly Json[]; /** The last one with an id, or nothing. */ readonly answer: Json; readonly text: string }

const ACCEPT = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** Messages of an event stream, or of a body that is one message. */
function messagesIn(text: string): readonly Json[] {
  const datas = text.startsWith('{') ? [text] : text.split(/\r?\n/).filter(line => line.startsWith('data:')).map(line => line.slice(5).trim())
  return datas.filter(data => data !== '').map(data => JSON.parse(data) as Json) // what servers of tests write
}

/** An event stream that stays open. */
export class Heard {
  readonly status: number
  readonly headers: Headers
  ended = false
  #text = ''
  readonly #closing: AbortController

  constructor(response: Response, closing: AbortController) {
    this.status = response.status
    this.headers = response.headers
    this.#closing = closing
    void this.#read(response)
  }

  get text(): string { return this.#text }
  get messages(): readonly Json[] { return messagesIn(this.#text.slice(0, this.#text.lastIndexOf('\n\n') + 2)) }
  close(): void { this.#closing.abort() }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder()
    try {
      for await (const chunk of response.body ?? []) this.#text += decoder.decode(chunk as Uint8Array, { stream: true }) // bytes, as fetch gives them
    } catch {} // it was cut, or closed here
    this.ended = true
  }

  /** The first message that fits. */
  async hear(what: string, fits: (message: Json) => boolean, ms = 5_000): Promise<Json> {
    for (const deadline = performance.now() + ms; performance.now() < deadline; await after(5)) {
      const found = this.messages.find(fits)
      if (found !== undefined) return found
    }
    throw new Error(`not heard within ${ms} ms: ${what}; heard was ${this.#text}`)
  }
}

export class RawCaller {
  readonly token: string
  readonly #gate: TestGateway
  readonly #version: string
  #session: string | null = null
  #next = 1

  constructor(gate: TestGateway, token: string, era: keyof typeof VERSIONS) {
    this.#gate = gate
    this.token = token
    this.#version = VERSIONS[era]
  }

  get url(): string { return `http://127.0.0.1:${this.#gate.target.port}${ENDPOINT}` }
  get session(): string | null { return this.#session }

  #headers(more: { readonly [name: string]: string } = {}): { readonly [name: string]: string } {
    return { ...ACCEPT, authorization: `Bearer ${this.token}`, 'mcp-protocol-version': this.#version, ...(this.#session === null ? {} : { 'mcp-session-id': this.#session }), ...more }
  }

  /** Begins a session of the older protocol. */
  async initialize(capabilities: Json = {}): Promise<Told> {
    const told = await this.send({ jsonrpc: '2.0', id: this.#next++, method: 'initialize', params: { protocolVersion: this.#version, capabilities, clientInfo: { name: 'agent', version: '1' } } })
    this.#session = told.headers.get('mcp-session-id')
    if (told.status === 200) await this.send({ jsonrpc: '2.0', method: 'notifications/initialized' })
    return told
  }

  async send(message: Json, headers: { readonly [name: string]: string } = {}): Promise<Told> {
    const response = await fetch(this.url, { method: 'POST', headers: this.#headers(headers), body: JSON.stringify(message) })
    const text = await response.text()
    const messages = text === '' ? [] : messagesIn(text)
    return { status: response.status, headers: response.headers, messages, answer: messages.findLast(({ id, method }) => id !== undefined && method === undefined) ?? {}, text }
  }

  /** A request of the older protocol. */
  ask(method: string, params: Json = {}, headers: { readonly [name: string]: string } = {}): Promise<Told> {
    return this.send({ jsonrpc: '2.0', id: this.#next++, method, params }, headers)
  }

  /** A request of the newer protocol, with all that it has to say of itself. */
  askAlone(method: string, params: Json = {}, name: string | null = null): Promise<Told> {
    return this.send({ jsonrpc: '2.0', id: this.#next++, method, params: { ...params, _meta: metaOf(this.#version) } }, { 'mcp-method': method, ...(name === null ? {} : { 'mcp-name': name }) })
  }

  /** Hears what comes until it is closed. */
  async open(method: 'GET' | 'POST' | 'DELETE', message: Json | null = null, headers: { readonly [name: string]: string } = {}): Promise<Heard> {
    const closing = new AbortController()
    const response = await fetch(this.url, { method, headers: this.#headers(headers), signal: closing.signal, ...(message === null ? {} : { body: JSON.stringify(message) }) })
    return new Heard(response, closing)
  }
}

export const metaOf = (version: string): Json => ({ 'io.modelcontextprotocol/protocolVersion': version, 'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } } })
