// The chunked coding (RFC 9112 §7.1) taken off a body as it comes: data is handed on as it lies in the chunk that was read, never copied.
// Strict: hexadecimal digits, well-formed extensions of limited length, CRLF only. SPEC: WIRE3, WIRE12
import { BAD, type BlockLimits, FieldBlock } from './field-block.ts'
import { CR, hexOf, LF, TEXT } from './octets.ts'

type ChunkLimits = { /** Of all extensions of one chunk, in bytes. */ readonly extensions: number; readonly trailers: BlockLimits }

/** 13 digits reach 2^52: every size is exact. */
const SIZE_DIGITS = 13
const SEMICOLON = 59
const EXTENSIONS = /^(?:;[!#$%&'*+\-.^_`|~\w]+(?:=(?:[!#$%&'*+\-.^_`|~\w]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*$/

type State = 'size' | 'extension' | 'size end' | 'data' | 'data end' | 'data line end' | 'trailers' | 'whole'

export class ChunkedBody {
  readonly #limits: ChunkLimits
  readonly #trailers: FieldBlock
  #state: State = 'size'
  #digits = 0
  #left = 0
  #extensions = ''

  constructor(limits: ChunkLimits) {
    this.#limits = limits
    this.#trailers = new FieldBlock(limits.trailers, 'none')
  }

  get whole(): boolean { return this.#state === 'whole' }
  /** Its trailers are too large or too many. */
  get overflowed(): boolean { return this.#trailers.overflowed }

  begin(): void {
    this.#beginChunk('size')
    this.#trailers.begin()
  }

  /** How many of these octets are data that may be handed on now; `took` is told once they were. */
  dataIn(chunk: Buffer, from: number): number {
    return this.#state === 'data' ? Math.min(this.#left, chunk.length - from) : 0
  }

  took(bytes: number): void {
    this.#left -= bytes
    if (this.#left === 0) this.#state = 'data end'
  }

  /** Reads what is not data. @returns where data begins, the body or the chunk ends; or BAD */
  read(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length && at !== BAD && this.#state !== 'data' && this.#state !== 'whole') at = this.#step(chunk, at)
    return at
  }

  trailers(): string[] { return this.#trailers.fields() }

  #step(chunk: Buffer, at: number): number {
    const octet = chunk[at] ?? 0
    switch (this.#state) {
      case 'size': return this.#readSize(octet, at)
      case 'extension': return this.#readExtension(octet, at)
      case 'size end': return octet === LF ? this.#beginData(at + 1) : BAD
      case 'data end': return this.#expect(octet, CR, at, 'data line end')
      case 'data line end': return this.#expect(octet, LF, at, 'size')
      case 'trailers': return this.#readTrailers(chunk, at)
      case 'data': case 'whole': return at
    }
  }

  #readSize(octet: number, at: number): number {
    const digit = hexOf(octet)
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit
      return ++this.#digits > SIZE_DIGITS ? BAD : at + 1
    }
    if (this.#digits === 0 || (octet !== CR && octet !== SEMICOLON)) return BAD
    this.#state = octet === CR ? 'size end' : 'extension'
    if (octet === SEMICOLON) this.#extensions = ';'
    return at + 1
  }

  #readExtension(octet: number, at: number): number {
    if (octet === CR) {
      this.#state = 'size end'
      return EXTENSIONS.test(this.#extensions) ? at + 1 : BAD
    }
    if (TEXT[octet] !== 1 || this.#extensions.length >= this.#limits.extensions) return BAD
    this.#extensions += String.fromCharCode(octet)
    return at + 1
  }

  #beginData(at: number): number {
    this.#state = this.#left === 0 ? 'trailers' : 'data'
    return at
  }

  #expect(octet: number, expected: number, at: number, next: 'data line end' | 'size'): number {
    if (octet !== expected) return BAD
    this.#beginChunk(next)
    return at + 1
  }

  #beginChunk(state: State): void {
    this.#state = state
    this.#digits = this.#left = 0
    this.#extensions = ''
  }

  #readTrailers(chunk: Buffer, from: number): number {
    const at = this.#trailers.read(chunk, from)
    if (at !== BAD && this.#trailers.whole) this.#state = 'whole'
    return at
  }
}
