// A TCP or TLS client that sends exactly the bytes it is given and sees exactly what comes back: bytes, their times, FIN or RST.
// It can stop reading, and count what still arrives. For tests only.
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type RawHead, type RawResponse, ResponseParser } from './response-parser.ts'

export { headerOf, type RawHead, type RawResponse } from './response-parser.ts'

export type Target = { readonly port: number; readonly host?: string; /** The address it connects from. */ readonly from?: string; readonly tls?: { readonly ca: string; readonly servername?: string; /** What it proves itself with. */ readonly leaf?: { readonly cert: string; readonly key: string } | null } }
/** How the other side ended the connection: politely, by a reset, or not at all before we closed it. */
export type Ending = 'fin' | 'reset' | 'closed here'

const DEADLINE = 10_000

const octets = (data: string | Uint8Array): Uint8Array => (typeof data === 'string' ? Buffer.from(data, 'latin1') : data)

async function within<T>(wait: Promise<T>, ms: number, what: () => string): Promise<T> {
  const timer = Promise.withResolvers<never>()
  const handle = setTimeout(() => timer.reject(new Error(`not within ${ms} ms: ${what()}`)), ms)
  try {
    return await Promise.race([wait, timer.promise])
  } finally {
    clearTimeout(handle)
  }
}

export class RawClient {
  /** Settles when the connection is over, and how. Never rejects. */
  readonly ended: Promise<Ending>
  /** `performance.now()` of the last byte received; 0 before the first. */
  lastByteAt = 0
  readonly #socket: Socket
  #received = 0
  #chunks: Buffer[] = []
  #unread: Buffer[] = []
  #fault: Error | null = null
  #parser: ResponseParser | null = null
  #ending: Ending | null = null
  #sawFin = false
  #wake = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    const over = Promise.withResolvers<Ending>()
    this.ended = over.promise
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => (this.#sawFin = true))
    socket.on('error', (error: NodeJS.ErrnoException) => (this.#ending ??= error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : null))
    socket.on('close', () => {
      this.#ending ??= this.#sawFin ? 'fin' : 'closed here'
      if (this.#ending === 'fin') this.#parser?.closedCleanly()
      over.resolve(this.#ending)
      this.#signal()
    })
  }

  static async connect({ port, host = '127.0.0.1', from, tls }: Target): Promise<RawClient> {
    const socket = tls ? connectTls({ port, host, ca: tls.ca, servername: tls.servername ?? 'api.test', ALPNProtocols: ['http/1.1'], ...(tls.leaf ? { cert: tls.leaf.cert, key: tls.leaf.key } : {}) }) : connectTcp({ port, host, ...(from === undefined ? {} : { localAddress: from }) })
    socket.setNoDelay(true)
    const client = new RawClient(socket)
    await once(socket, tls ? 'secureConnect' : 'connect')
    return client
  }

  /** Bytes received so far, framing included. */
  get received(): number {
    return this.#received
  }

  /** Everything received so far. */
  bytes(): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  /** A place in the stream; `receivedSince` counts from it. */
  mark(): number {
    return this.#received
  }

  receivedSince(mark: number): number {
    return this.#received - mark
  }

  /** Strings are latin-1: one character, one octet. Settles when the bytes are handed to the system, or the connection is over. */
  async send(data: string | Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return
    const sent = Promise.withResolvers<void>()
    this.#socket.write(octets(data), () => sent.resolve())
    await Promise.race([sent.promise, this.ended])
  }

  /** Writes without waiting; false when the system's buffer is full. */
  push(data: string | Uint8Array): boolean {
    return !this.#socket.destroyed && this.#socket.write(octets(data))
  }

  /** Stops reading: the rest stays in the buffers of both systems and whatever is between. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Half-closes: we send no more. */
  end(): void {
    this.#socket.end()
  }

  /** Closes at once; with `reset`, by RST (TCP only). */
  close(how: 'close' | 'reset' = 'close'): void {
    if (how === 'reset') this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  /** Waits until `holds` is true; asked again at every piece that arrives and when the connection ends. */
  async until(holds: () => boolean, ms = DEADLINE): Promise<void> {
    await within(this.#untilHolds(holds), ms, () => `received ${this.#received} bytes, ${this.#ending ?? 'connection open'}: ${JSON.stringify(this.bytes().subarray(-200).toString('latin1'))}`)
  }

  /** The head of the response that is arriving; its body goes on behind it. */
  async head(method = 'GET', ms = DEADLINE): Promise<RawHead> {
    const parser = this.#current(method)
    await this.until(() => parser.head !== null || this.#ending !== null, ms)
    return parser.head ?? parser.finish()
  }

  /** Decoded bytes of the body that is arriving. */
  get bodyBytes(): number {
    return this.#parser?.bodyBytes ?? 0
  }

  /** The next response, whole or as far as it came before the connection ended (`complete: false`). */
  async response(method = 'GET', ms = DEADLINE): Promise<RawResponse> {
    const parser = this.#current(method)
    await this.until(() => parser.done || this.#ending !== null, ms)
    if (this.#fault !== null) throw this.#fault
    this.#parser = null
    return parser.finish()
  }

  async #untilHolds(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#fault !== null) throw this.#fault
      if (this.#ending !== null) throw new Error(`the connection ended (${this.#ending}) first`)
      await this.#wake.promise
    }
  }

  #current(method: string): ResponseParser {
    if (this.#parser !== null) return this.#parser
    const parser = new ResponseParser(method)
    this.#parser = parser
    this.#feed(parser, Buffer.concat(this.#unread.splice(0)))
    if (this.#ending === 'fin') parser.closedCleanly()
    return parser
  }

  /** What does not parse is told to whoever waits. */
  #feed(parser: ResponseParser, chunk: Buffer): void {
    try {
      const rest = parser.feed(chunk)
      if (rest.length > 0) this.#unread.push(rest)
    } catch (error) {
      this.#fault = error instanceof Error ? error : new Error(String(error))
    }
  }

  #onData(chunk: Buffer): void {
    this.#received += chunk.length
    this.lastByteAt = performance.now()
    this.#chunks.push(chunk)
    if (this.#parser === null || this.#parser.done) this.#unread.push(chunk)
    else this.#feed(this.#parser, chunk)
    this.#signal()
  }

  #signal(): void {
    const wake = this.#wake
    this.#wake = Promise.withResolvers<void>()
    wake.resolve()
  }
}

/** The bytes of a request; `Host`, and `Content-Length` where there is a body, are added unless given. */
export function request(method: string, path: string, headers: Readonly<Record<string, string>> = {}, body = ''): string {
  const given = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), `${name}: ${value}`]))
  if (!given.has('host')) given.set('host', 'Host: api.test')
  if (body !== '' && !given.has('content-length') && !given.has('transfer-encoding')) given.set('content-length', `Content-Length: ${Buffer.byteLength(body, 'latin1')}`)
  return `${method} ${path} HTTP/1.1\r\n${[...given.values()].join('\r\n')}\r\n\r\n${body}`
}

/** One connection, these bytes, one response. The connection is closed behind it; `ending` tells how it ended if the other side was first. */
export async function requestOnce(target: Target, bytes: string | Uint8Array, ms = DEADLINE): Promise<RawResponse & { readonly ending: Ending | 'still open' }> {
  const client = await RawClient.connect(target)
  try {
    await client.send(bytes)
    const method = Buffer.from(octets(bytes).subarray(0, 5)).toString('latin1') === 'HEAD ' ? 'HEAD' : 'GET'
    const response = await client.response(method, ms)
    const turn = Promise.withResolvers<'still open'>()
    setTimeout(() => turn.resolve('still open'), 50)
    return { ...response, ending: await Promise.race([client.ended, turn.promise]) }
  } finally {
    client.close()
  }
}
