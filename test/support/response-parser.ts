// Reads HTTP/1.1 responses out of bytes as they come, strictly: what does not parse is a fault, never guessed. For tests only.
export type RawHead = {
  readonly version: string
  readonly status: number
  readonly reason: string
  /** As sent: order, case and duplicates kept. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export type RawResponse = RawHead & {
  readonly body: Buffer
  readonly trailers: RawHead['headers']
  readonly framing: 'none' | 'sized' | 'chunked' | 'until close'
  /** Whether its framing says that nothing is missing. */
  readonly complete: boolean
  /** Heads of 1xx answers that came before it. */
  readonly informational: readonly RawHead[]
}

type Phase = 'head' | 'sized' | 'chunk size' | 'chunk data' | 'chunk end' | 'trailers' | 'until close' | 'done'

const LF = 10

function fields(lines: readonly string[]): RawHead['headers'] {
  return lines.map(line => {
    const colon = line.indexOf(':')
    if (colon < 1) throw new Error(`not a header line: ${JSON.stringify(line)}`)
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
  })
}

/** First value of a header, any case; null when it is not there. */
export const headerOf = ({ headers }: { readonly headers: RawHead['headers'] }, name: string): string | null =>
  headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1] ?? null

/** One response; feed it until `done`, the rest of the bytes belongs to the next. */
export class ResponseParser {
  head: RawHead | null = null
  done = false
  readonly #bodiless: boolean
  readonly #informational: RawHead[] = []
  readonly #body: Buffer[] = []
  #bodyBytes = 0
  #pending: Buffer = Buffer.alloc(0)
  #phase: Phase = 'head'
  #left = 0
  #framing: RawResponse['framing'] = 'none'
  #lines: string[] = []
  #trailers: RawHead['headers'] = []

  /** @param method of the request: answers to HEAD have no body */
  constructor(method: string) {
    this.#bodiless = method === 'HEAD'
  }

  get bodyBytes(): number {
    return this.#bodyBytes
  }

  /** Takes what belongs to this response and returns the rest. */
  feed(chunk: Buffer): Buffer {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    while (!this.done && this.#step()) continue
    if (!this.done) return Buffer.alloc(0)
    const rest = this.#pending
    this.#pending = Buffer.alloc(0)
    return rest
  }

  /** The connection ended: what is there is all there will be. */
  finish(): RawResponse {
    if (this.head === null) throw new Error(`the connection ended before a response head; ${this.#pending.length} bytes: ${JSON.stringify(this.#pending.toString('latin1').slice(0, 200))}`)
    return { ...this.head, body: Buffer.concat(this.#body), trailers: this.#trailers, framing: this.#framing, complete: this.done, informational: this.#informational }
  }

  /** A clean end of the connection completes a body that is framed by it. */
  closedCleanly(): void {
    if (this.#phase === 'until close') this.#end()
  }

  #step(): boolean {
    if (this.#phase === 'sized' || this.#phase === 'chunk data' || this.#phase === 'until close') return this.#take()
    const line = this.#line()
    if (line === null) return false
    if (this.#phase === 'chunk size') this.#chunk(line)
    else if (this.#phase === 'chunk end') this.#chunkEnd(line)
    else if (line !== '') this.#lines.push(line)
    else if (this.#phase === 'head') this.#headEnd()
    else this.#trailersEnd()
    return true
  }

  #line(): string | null {
    const end = this.#pending.indexOf(LF)
    if (end === -1) return null
    const line = this.#pending.subarray(0, end + 1).toString('latin1')
    if (!line.endsWith('\r\n')) throw new Error(`a line ends without CR: ${JSON.stringify(line)}`)
    this.#pending = this.#pending.subarray(end + 1)
    return line.slice(0, -2)
  }

  #take(): boolean {
    if (this.#pending.length === 0) return false
    const part = this.#pending.subarray(0, this.#left)
    this.#body.push(part)
    this.#bodyBytes += part.length
    this.#left -= part.length
    this.#pending = this.#pending.subarray(part.length)
    if (this.#left > 0) return false
    if (this.#phase === 'chunk data') this.#phase = 'chunk end'
    else this.#end()
    return true
  }

  #headEnd(): void {
    const [first = '', ...rest] = this.#lines
    this.#lines = []
    const match = /^HTTP\/(\d\.\d) (\d{3})(?: (.*))?$/.exec(first)
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(first)}`)
    const head: RawHead = { version: match[1] ?? '', status: Number(match[2]), reason: match[3] ?? '', headers: fields(rest) }
    if (head.status < 200 && head.status !== 101) this.#informational.push(head)
    else this.#frame(head)
  }

  #frame(head: RawHead): void {
    this.head = head
    const length = headerOf(head, 'content-length')
    if (this.#bodiless || head.status === 101 || head.status === 204 || head.status === 304) return this.#end()
    if (headerOf(head, 'transfer-encoding')?.toLowerCase() === 'chunked') return this.#begin('chunked', 'chunk size', 0)
    if (length === null) return this.#begin('until close', 'until close', Infinity)
    this.#begin('sized', 'sized', Number(length))
    if (this.#left === 0) this.#end()
  }

  #begin(framing: RawResponse['framing'], phase: Phase, left: number): void {
    this.#framing = framing
    this.#phase = phase
    this.#left = left
  }

  #chunk(line: string): void {
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`)
    this.#left = Number.parseInt(line, 16)
    this.#phase = this.#left === 0 ? 'trailers' : 'chunk data'
  }

  #chunkEnd(line: string): void {
    if (line !== '') throw new Error(`a chunk is longer than it says: ${JSON.stringify(line)}`)
    this.#phase = 'chunk size'
  }

  #trailersEnd(): void {
    this.#trailers = fields(this.#lines)
    this.#end()
  }

  #end(): void {
    this.#phase = 'done'
    this.done = true
  }
}
