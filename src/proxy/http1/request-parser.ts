// Requests of HTTP/1.1 and 1.0 out of octets as they come, one after the other: as strict as llhttp or stricter, and nothing is repaired. It stops
// behind each request until the next is asked for, can be halted behind anything it tells, and goes on at that very octet. SPEC: WIRE3
import { METHODS } from 'node:http'
import { methodFault } from '../../core/method.ts'
import type { Reason } from '../../core/reason.ts'
import { ChunkedBody } from '../../http1/chunked-body.ts'
import { BAD, FieldBlock } from '../../http1/field-block.ts'
import { framesAgain } from '../../http1/framing-fields.ts'
import { CR, LF } from '../../http1/octets.ts'
import { RequestFraming } from './request-framing.ts'

export type RequestLimits = {
  /** Of a head, in bytes, its request line too; of a head or of trailers, in fields. */
  readonly head: number
  readonly fields: number
}

/** Who is told. Any of it may halt the parser. */
export interface RequestReader {
  /** A head is there, to be read from the parser itself. */
  arrived(): void
  data(chunk: Buffer): void
  /** Told once, also where there is no body. */
  ended(trailers: readonly string[]): void
}

/** `given up`: the octets from here on are not HTTP any more. */
type Phase = 'before' | 'line end' | 'head' | 'sized' | 'chunked' | 'whole' | 'given up'

const TRAILERS_MAX = 16_384
const EXTENSIONS_MAX = 1_024
const [SLASH, ASTERISK] = ['/', '*']
/** Any other form than that of a path: a scheme of letters, and an authority of what may stand in one. */
const ABSOLUTE = /^[A-Za-z]+:\/\/[\w.!~*'()%;:&=+$,[\]-]*(?:@[\w.!~*'()%;:&=+$,[\]-]*)?(?:[/?]|$)/
/** Methods of no registry that are refused as such; any other word is no request. */
const ODD: ReadonlySet<string> = new Set(METHODS)
const NONE: readonly string[] = []

export class RequestParser {
  readonly framing = new RequestFraming()
  method = ''
  target = ''
  /** The second digit of the version. */
  minor = 1
  /** Names and values in turn, as they came. */
  headers: readonly string[] = NONE
  /** Why it took no more. */
  fault: Reason = 'bad_request'
  readonly #limits: RequestLimits
  readonly #reader: RequestReader
  readonly #block: FieldBlock
  #chunked: ChunkedBody | null = null
  #phase: Phase = 'before'
  #halted = false
  #left = 0

  constructor(reader: RequestReader, limits: RequestLimits) {
    this.#reader = reader
    this.#limits = limits
    this.#block = new FieldBlock({ bytes: limits.head, fields: limits.fields }, 'request')
  }

  /** Nothing of this request is to come. */
  get whole(): boolean { return this.#phase === 'whole' || this.#phase === 'given up' }
  /** In the middle of a head. */
  get inHead(): boolean { return this.#phase === 'head' }
  get halted(): boolean { return this.#halted }

  /** The next request. */
  begin(): void {
    this.#phase = 'before'
    this.#halted = false
    this.#block.begin()
  }

  /** Nothing more is told until `proceed`. */
  halt(): void { this.#halted = true }
  proceed(): void { this.#halted = false }

  /** @returns how many octets it took: not all of them when it is halted or the request is over; or BAD */
  read(chunk: Buffer): number {
    let at = 0
    while (at < chunk.length && at !== BAD && !this.#halted && !this.whole) at = this.#step(chunk, at)
    return at
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#phase) {
      case 'before': return this.#skip(chunk, at)
      case 'line end': return this.#endLine(chunk[at], at)
      case 'head': return this.#readHead(chunk, at)
      case 'sized': return this.#readSized(chunk, at)
      case 'chunked': return this.#readChunked(chunk, at)
      case 'whole': case 'given up': return at
    }
  }

  /** Empty lines in front of a request are not part of it (RFC 9112 §2.2). */
  #skip(chunk: Buffer, at: number): number {
    const empty = chunk[at] === CR
    this.#phase = empty ? 'line end' : 'head'
    return empty ? at + 1 : at
  }

  #endLine(octet: number | undefined, at: number): number {
    this.#phase = 'before'
    return octet === LF ? at + 1 : this.#refuse('bad_request')
  }

  #readHead(chunk: Buffer, from: number): number {
    const block = this.#block
    const at = block.read(chunk, from)
    if (at === BAD) return this.#refuse(block.overflowed ? 'headers_too_large' : 'bad_request')
    if (!block.whole) return at
    this.method = block.method
    this.target = block.target
    this.minor = block.minor
    this.headers = block.fields()
    const fault = hasForm(this.method, this.target) ? this.framing.read(this.method, this.minor, this.headers) : 'bad_request'
    if (fault !== null) return this.#refuse(fault)
    if (this.framing.content === 'chunked' && block.endsInTab(this.framing.codingAt)) return this.#refuse('bad_request')
    this.#beginBody()
    return at
  }

  #beginBody(): void {
    const { content, length, upgrades } = this.framing
    this.#left = length
    this.#phase = upgrades ? 'given up' : content === 'none' ? 'whole' : content
    if (content === 'chunked') this.#beginChunks()
    this.#reader.arrived()
    if (content === 'none') this.#reader.ended(NONE)
  }

  #beginChunks(): void {
    const { head, fields } = this.#limits
    this.#chunked ??= new ChunkedBody({ extensions: EXTENSIONS_MAX, trailers: { bytes: Math.min(head, TRAILERS_MAX), fields } })
    this.#chunked.begin()
  }

  #readSized(chunk: Buffer, from: number): number {
    const to = Math.min(chunk.length, from + this.#left)
    this.#left -= to - from
    if (this.#left === 0) this.#phase = 'whole'
    this.#reader.data(chunk.subarray(from, to))
    if (this.#left === 0) this.#reader.ended(NONE)
    return to
  }

  #readChunked(chunk: Buffer, from: number): number {
    const chunked = this.#chunked
    if (chunked === null) return BAD
    const data = chunked.dataIn(chunk, from)
    if (data > 0) {
      chunked.took(data)
      this.#reader.data(chunk.subarray(from, from + data))
      return from + data
    }
    const at = chunked.read(chunk, from)
    if (at === BAD) return this.#refuse(chunked.overflowed ? 'headers_too_large' : 'bad_request')
    if (!chunked.whole) return at
    const trailers = chunked.trailers()
    if (trailers.length > 0 && (framesAgain(trailers) || isOfConnection(trailers))) return this.#refuse('bad_request')
    this.#phase = 'whole'
    this.#reader.ended(trailers)
    return at
  }

  #refuse(fault: Reason): number {
    this.fault = fault
    return BAD
  }
}

/** A method anybody knows, and a path, the asterisk or an absolute URL, as far as a parser is asked. */
function hasForm(method: string, target: string): boolean {
  if (methodFault(method) === 'unsupported_method' && !ODD.has(method)) return false
  return target.startsWith(SLASH) || target === ASTERISK || ABSOLUTE.test(target) || method === 'CONNECT'
}

/** Some parsers heed them where they stand too late. */
const isOfConnection = (trailers: readonly string[]): boolean => trailers.some((name, i) => i % 2 === 0 && /^(?:proxy-)?connection$/i.test(name))
