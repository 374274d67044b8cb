// One protected API: its connections, kept in a free list so that a dispatch never searches, and what is injected towards it.
// Every exchange has a connection of its own; one that was cut or answered with broken framing is not used again. SPEC: WIRE12, ENF10
import { X509Certificate } from 'node:crypto'
import type { Readable } from 'node:stream'
import { Client, type Dispatcher } from 'undici'
import type { Reason } from '../core/reason.ts'
import type { UpstreamSettings } from '../config/settings.ts'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'

/** What goes upstream, ready to be written. Headers are names and values in turn. */
export type UpstreamRequest = {
  readonly method: string
  /** The canonical path and query. */
  readonly path: string
  readonly headers: readonly string[]
  readonly body: Readable | null
}

export type Connection = Client
/** Pauses, resumes and aborts one answer. */
export type AnswerController = Dispatcher.DispatchController

export interface UpstreamHandler extends Dispatcher.DispatchHandler {
  /** Set while the exchange has a connection. */
  connection: Connection | null
  outgoing(): UpstreamRequest
  /** No connection could be had. */
  refused(reason: Reason): void
}

const IDLE_KEPT = 128
const KEEP_ALIVE = 4_000
const CONNECT_TIMEOUT_MAX = 10_000
/** How long ends that nobody waits for may hold the event loop in one turn, in milliseconds. */
const BEHIND_SLICE = 0.5
/** Longest wait of the first of them, in milliseconds, while ever more come. */
const BEHIND_AT_LAST = 500
/** Heard by nobody: one for all, as the trace of each would cost more than the rest. */
const GIVEN_UP = new Error('given up')

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false // not PEM, or not of a certificate
  }
}

async function readAuthority(file: string): Promise<string> {
  const pem = await readSecretFile(file)
  if (!isCertificate(pem)) throw new SecretFileError(file, 'is not a certificate in PEM')
  return pem
}

export class Upstream {
  readonly name: string
  readonly settings: UpstreamSettings
  readonly origin: string
  /** What its certificate must name. */
  readonly servername: string
  readonly inject: { readonly header: string; readonly value: string } | null
  readonly #free: Client[] = []
  readonly #ca: string | null
  /** At most one for each connection. */
  #behind: (() => void)[] = []
  /** How many there were in the turn before, and since when the first of them waits. */
  #behindBefore = 0
  #behindSince = 0
  #used = 0
  #closed = false

  /** @internal use `open` */
  constructor(settings: UpstreamSettings, ca: string | null, injected: string | null) {
    this.name = settings.name
    this.settings = settings
    this.origin = settings.origin
    this.servername = new URL(settings.origin).hostname
    this.#ca = ca
    this.inject = settings.inject === null || injected === null ? null : { header: settings.inject.header, value: injected }
  }

  /** @throws SecretFileError when a file it names cannot be read, or holds no certificate where one is wanted */
  static async open(settings: UpstreamSettings): Promise<Upstream> {
    const ca = settings.caFile === null ? null : await readAuthority(settings.caFile)
    const injected = settings.inject === null ? null : await readSecretFile(settings.inject.valueFile)
    return new Upstream(settings, ca, injected)
  }

  /** Connections that carry an exchange now. */
  get busy(): number { return this.#used }

  /** Sends the handler's request. Called by admit alone. */
  dispatch(handler: UpstreamHandler): void {
    if (this.#used >= this.settings.connections || this.#closed) return handler.refused('upstream_busy')
    const { method, path, headers, body } = handler.outgoing()
    const client = this.#free.pop() ?? this.#connect()
    this.#used++
    handler.connection = client
    // undici types methods as a closed list and headers as mutable; `servername` is read but not typed.
    const options = { method: method as Dispatcher.HttpMethod, path, headers: headers as string[], body, servername: this.servername }
    client.dispatch(options, handler)
  }

  /**
   * Ends soon what was sent whole, a few at a time and behind a cut of many: to give up a connection takes longer than to end an answer,
   * and no byte of it counts any more.
   * @param end aborts the answer and releases the handler
   */
  endBehind(end: () => void): void {
    if (this.#behind.push(end) > 1) return
    this.#behindBefore = 1
    this.#behindSince = performance.now()
    setImmediate(() => this.#endSome())
  }

  #endSome(): void {
    const now = performance.now()
    const grows = this.#behind.length > this.#behindBefore && now - this.#behindSince < BEHIND_AT_LAST
    let done = 0
    while (!grows && done < this.#behind.length && performance.now() - now < BEHIND_SLICE) this.#behind[done++]?.()
    this.#behind = this.#behind.slice(done)
    this.#behindBefore = this.#behind.length
    if (this.#behind.length > 0) setImmediate(() => this.#endSome())
  }

  /** Gives the handler's connection back; `reusable` only after a whole, well-framed answer. */
  release(handler: UpstreamHandler, reusable: boolean): void {
    const client = handler.connection
    if (client === null) return
    handler.connection = null
    this.#used--
    if (reusable && !this.#closed && this.#free.length < IDLE_KEPT && !client.destroyed && !client.closed) this.#free.push(client)
    else void client.destroy(GIVEN_UP).catch(() => undefined)
  }

  #connect(): Client {
    return new Client(this.origin, {
      pipelining: 1, allowH2: false, keepAliveTimeout: KEEP_ALIVE, headersTimeout: 0, bodyTimeout: 0,
      connect: { timeout: Math.min(this.settings.timeout, CONNECT_TIMEOUT_MAX), ...(this.#ca === null ? {} : { ca: this.#ca }) },
    })
  }

  /** Lets running exchanges finish; nothing new is taken. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#free.splice(0).map(client => client.destroy().catch(() => undefined)))
  }
}
