// An upstream on bare sockets: records the exact bytes of each request and answers whatever bytes a script says, broken ones above all.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export type RawExchange = {
  /** Request line and headers exactly as they came, up to and with the empty line. */
  readonly head: string
  readonly socket: Socket
  readonly arrivedAt: number
  /** Everything that came on this connection so far. */
  readonly bytes: () => Buffer
}

/** Asked once per request head; the script writes, ends or resets the socket as it likes. */
export type Script = (exchange: RawExchange) => void

/** Writes these bytes and leaves the connection open. */
export const answers = (bytes: string): Script => ({ socket }) => void socket.write(Buffer.from(bytes, 'latin1'))
/** Writes these bytes, then FIN. */
export const answersAndEnds = (bytes: string): Script => ({ socket }) => void socket.end(Buffer.from(bytes, 'latin1'))
/** Writes these bytes, then RST. */
export const answersAndResets = (bytes: string): Script => ({ socket }) => void socket.write(Buffer.from(bytes, 'latin1'), () => socket.resetAndDestroy())
export const neverAnswers: Script = () => undefined

const OK = 'HTTP/1.1 200 OK\r\n'

/** Answers whose framing or syntax is broken: each must become a 502 where no head was relayed yet, and the connection must not be used again. */
export const BROKEN: ReadonlyMap<string, Script> = new Map([
  ['two different Content-Length', answers(`${OK}Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello`)],
  ['Content-Length with Transfer-Encoding', answers(`${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)],
  ['Transfer-Encoding that does not end in chunked', answers(`${OK}Transfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)],
  ['negative Content-Length', answers(`${OK}Content-Length: -5\r\n\r\nhello`)],
  ['Content-Length that is no number', answers(`${OK}Content-Length: 0x5\r\n\r\nhello`)],
  ['header line without colon', answers(`${OK}Content-Length 5\r\n\r\nhello`)],
  ['header name with a space', answers(`${OK}Content Length: 5\r\n\r\nhello`)],
  ['NUL in a header value', answers(`${OK}X-A: a\x00b\r\nContent-Length: 5\r\n\r\nhello`)],
  ['no status line', answers('hello\r\n\r\n')],
  ['status that is no number', answers('HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n')],
  ['another protocol', answers('SSH-2.0-OpenSSH_9.2\r\n')],
  ['nothing, then FIN', answersAndEnds('')],
  ['half a head, then FIN', answersAndEnds(`${OK}Content-Le`)],
  ['half a head, then RST', answersAndResets(`${OK}Content-Le`)],
])

/** Answers that break after a good head: the caller must see that the body is not complete. */
export const BROKEN_BODY: ReadonlyMap<string, Script> = new Map([
  ['shorter than its Content-Length, then FIN', answersAndEnds(`${OK}Content-Length: 10\r\n\r\nhello`)],
  ['shorter than its Content-Length, then RST', answersAndResets(`${OK}Content-Length: 10\r\n\r\nhello`)],
  ['chunked without the last chunk, then FIN', answersAndEnds(`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`)],
  ['chunk size that is no number', answersAndEnds(`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n`)],
  ['chunk longer than it says', answersAndEnds(`${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n`)],
])

/** A whole answer with more behind it: the rest must never become anybody's answer. */
export const surplus = (more: string): Script => answers(`${OK}Content-Length: 2\r\n\r\nok${more}`)

export class RawUpstream {
  readonly exchanges: RawExchange[] = []
  script: Script
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(script: Script) {
    this.script = script
    this.#server = createServer(socket => this.#onConnection(socket))
  }

  static async start(script: Script): Promise<RawUpstream> {
    const upstream = new RawUpstream(script)
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get origin(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the upstream is not listening')
    return `http://127.0.0.1:${address.port}`
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #onConnection(socket: Socket): void {
    const chunks: Buffer[] = []
    let read = 0
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined) // how it ended is the script's business
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      const all = Buffer.concat(chunks)
      const end = all.indexOf('\r\n\r\n', read)
      if (end === -1) return
      const exchange: RawExchange = { head: all.subarray(read, end + 4).toString('latin1'), socket, arrivedAt: performance.now(), bytes: () => Buffer.concat(chunks) }
      read = all.length
      this.exchanges.push(exchange)
      this.script(exchange)
    })
  }
}
