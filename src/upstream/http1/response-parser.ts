// Answers of HTTP/1.1 out of octets as they come, one after the other: as strict as llhttp or stricter, and nothing is repaired.
// It can be halted behind anything it tells, and goes on at that very octet. One for a connection's whole life. SPEC: WIRE12
import type { Duration } from '../../core/time.ts'
import { ChunkedBody } from '../../http1/chunked-body.ts'
import { BAD, FieldBlock } from '../../http1/field-block.ts'
import { framesAgain } from '../../http1/framing-fields.ts'
import type { AnswerHead } from '../handler.ts'
import { Framing } from './framing.ts'

export type ResponseLimits = {
  /** Of a head, in bytes; of a head or of trailers, in fields. */
  readonly head: number
  readonly fields: number
  /** Of the trailers, and of the extensions of one chunk, in bytes. */
  readonly trailers: number
  readonly extensions: number
  /** Interim answers in front of one answer. */
  readonly interim: number
}

export const RESPONSE_LIMITS: ResponseLimits = { head: 64 * 1024, fields: 256, trailers: 16 * 1024, extensions: 1024, interim: 32 }

/** Who is told. Any of it may halt the parser. */
export interface AnswerReader {
  informed(head: AnswerHead): void
  answered(head: AnswerHead): void
  data(chunk: Buffer): void
  ended(trailers: readonly string[]): void
}

type Phase = 'idle' | 'head' | 'sized' | 'chunked' | 'until close' | 'whole'

const NONE: readonly string[] = []
const CONTINUE = 100
const SWITCHING_PROTOCOLS = 101
/** RFC 9110 §15.3.6. */
const RESET_CONTENT = 205

export class ResponseParser {
  readonly #limits: ResponseLimits
  readonly #reader: AnswerReader
  readonly #block: FieldBlock
  readonly #framing = new Framing()
  #chunked: ChunkedBody | null = null
  #phase: Phase = 'idle'
  #toHead = false
  #halted = false
  #left = 0
  /** Its status has no content, whatever its framing says. */
  #contentless = false
  #interim = 0
  #trailers: readonly string[] = NONE

  constructor(reader: AnswerReader, limits: ResponseLimits) {
    this.#reader = reader
    this.#limits = limits
    this.#block = new FieldBlock({ bytes: limits.head, fields: limits.fields }, 'status')
  }

  /** All of it has come; its end is told at the next `read`. */
  get whole(): boolean { return this.#phase === 'whole' }
  /** The connection may be used again behind this answer. */
  get reusable(): boolean { return this.#framing.reusable }
  get keepAlive(): Duration | null { return this.#framing.keepAlive }

  /** @param toHead it answers a HEAD request */
  begin(toHead: boolean): void {
    this.#phase = 'head'
    this.#toHead = toHead
    this.#interim = 0
    this.#trailers = NONE
    this.#block.begin()
  }

  /** Nothing more is told until `proceed`. */
  halt(): void { this.#halted = true }
  proceed(): void { this.#halted = false }

  /** @returns how many octets it took: not all of them when it is halted or the answer is over; or BAD */
  read(chunk: Buffer): number {
    let at = 0
    while (at !== BAD && !this.#halted && this.#phase !== 'idle') {
      if (this.#phase === 'whole') this.#end()
      else if (at === chunk.length) break
      else at = this.#step(chunk, at)
    }
    return at
  }

  /** The upstream closed its side. @returns whether the answer is whole by that, or was before */
  close(): boolean {
    if (this.#phase === 'until close') this.#phase = 'whole'
    return this.#phase === 'whole'
  }

  #step(chunk: Buffer, at: number): number {
    switch (this.#phase) {
      case 'head': return this.#readHead(chunk, at)
      case 'sized': return this.#readSized(chunk, at)
      case 'chunked': return this.#readChunked(chunk, at)
      case 'until close': return this.#hand(chunk, at, chunk.length)
      case 'idle': case 'whole': return at
    }
  }

  #readHead(chunk: Buffer, from: number): number {
    const block = this.#block
    const at = block.read(chunk, from)
    if (at === BAD || !block.whole) return at
    const head: AnswerHead = { status: block.status, text: block.reason, headers: block.fields() }
    if (head.status < 100 || head.status > 599 || head.status === SWITCHING_PROTOCOLS) return BAD
    if (!this.#framing.read(block.minor, head.status, head.headers, this.#toHead)) return BAD
    if (this.#framing.codingAt >= 0 && block.endsInTab(this.#framing.codingAt)) return BAD // llhttp does not take that for chunked
    if (head.status >= 200) this.#beginBody(head)
    else if (++this.#interim > this.#limits.interim) return BAD
    else this.#inform(head)
    return at
  }

  #inform(head: AnswerHead): void {
    this.#block.begin()
    if (head.status !== CONTINUE) this.#reader.informed(head)
  }

  #beginBody(head: AnswerHead): void {
    const { body, length } = this.#framing
    this.#left = length
    this.#contentless = head.status === RESET_CONTENT
    this.#phase = body === 'none' ? 'whole' : body
    if (body === 'chunked') this.#beginChunks()
    this.#reader.answered(head)
  }

  #beginChunks(): void {
    const { extensions, trailers, fields } = this.#limits
    this.#chunked ??= new ChunkedBody({ extensions, trailers: { bytes: trailers, fields } })
    this.#chunked.begin()
  }

  #readSized(chunk: Buffer, from: number): number {
    const to = Math.min(chunk.length, from + this.#left)
    this.#left -= to - from
    if (this.#left === 0) this.#phase = 'whole'
    return this.#hand(chunk, from, to)
  }

  #readChunked(chunk: Buffer, from: number): number {
    const chunked = this.#chunked
    if (chunked === null) return BAD
    const data = chunked.dataIn(chunk, from)
    if (data > 0) {
      chunked.took(data)
      return this.#hand(chunk, from, from + data)
    }
    const at = chunked.read(chunk, from)
    if (at === BAD || !chunked.whole) return at
    const trailers = chunked.trailers()
    if (framesAgain(trailers)) return BAD
    this.#trailers = trailers
    this.#phase = 'whole'
    return at
  }

  #hand(chunk: Buffer, from: number, to: number): number {
    if (this.#contentless) return BAD
    this.#reader.data(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to))
    return to
  }

  #end(): void {
    const trailers = this.#trailers
    this.#phase = 'idle'
    this.#trailers = NONE
    this.#reader.ended(trailers)
  }
}
