// Where an answer ends, and what becomes of its connection, as its head says (RFC 9112 §6.3, §9.3). Two readings mean none. SPEC: WIRE12
import { type Duration, duration } from '../../core/time.ts'
import { CONNECTION, CONTENT_LENGTH, LENGTH, tokens, TRANSFER_ENCODING } from '../../http1/framing-fields.ts'

type AnswerBody = 'none' | 'sized' | 'chunked' | 'until close'

const TIMEOUT = /^timeout\s*=\s*"?(\d{1,6})"?$/i
/** In seconds; null where there is none. */
const timeoutIn = (value: string): number | null => {
  const seconds = value.split(',').map(part => TIMEOUT.exec(part.trim())?.[1]).find(found => found !== undefined)
  return seconds === undefined ? null : Number(seconds)
}

export class Framing {
  body: AnswerBody = 'none'
  length = 0
  /** The connection may carry another exchange when this one is whole. */
  reusable = false
  /** How long the upstream keeps it open when it is idle; null where it did not say. */
  keepAlive: Duration | null = null
  /** The field of the transfer coding; -1 where there is none. */
  codingAt = -1
  #lengths = 0
  #codings = 0
  #chunked = false
  #close = false
  #keep = false

  /** @returns false when it has no one reading */
  read(minor: number, status: number, headers: readonly string[], toHead: boolean): boolean {
    this.length = this.#lengths = this.#codings = 0
    this.#chunked = this.#close = this.#keep = false
    this.keepAlive = null
    this.codingAt = -1
    for (let i = 0; i < headers.length; i += 2) if (!this.#field(headers[i] ?? '', headers[i + 1] ?? '', i / 2)) return false
    if (this.#lengths + this.#codings > 1 || (this.#codings === 1 && (!this.#chunked || minor === 0))) return false
    const keeps = !this.#close && (minor === 1 || this.#keep)
    if (status < 200) return this.#codings === 0 && this.length === 0 && keeps // with more to come it can be neither sized nor the last
    this.body = this.#bodyOf(status, toHead)
    // A 204 that announces a body may well send one, and it would be taken for the next answer.
    const doubtful = status === 204 && (this.#codings > 0 || this.length > 0)
    this.reusable = keeps && !doubtful && this.body !== 'until close'
    return true
  }

  #bodyOf(status: number, toHead: boolean): AnswerBody {
    if (toHead || status === 204 || status === 304) return 'none'
    if (this.#chunked) return 'chunked'
    if (this.#lengths === 0) return 'until close'
    return this.length === 0 ? 'none' : 'sized'
  }

  #field(name: string, value: string, place: number): boolean {
    switch (name.length) {
      case CONNECTION: return this.#connection(name.toLowerCase(), value)
      case CONTENT_LENGTH: return name.toLowerCase() !== 'content-length' || this.#contentLength(value)
      case TRANSFER_ENCODING: return name.toLowerCase() !== 'transfer-encoding' || this.#transferEncoding(value, place)
      default: return true
    }
  }

  #connection(name: string, value: string): true {
    if (name === 'connection') {
      for (const token of tokens(value)) {
        if (token === 'close') this.#close = true
        if (token === 'keep-alive') this.#keep = true
      }
    }
    const seconds = name === 'keep-alive' ? timeoutIn(value) : null
    if (seconds !== null) this.keepAlive = duration(seconds * 1000)
    return true
  }

  #contentLength(value: string): boolean {
    this.#lengths++
    this.length = Number(value)
    return LENGTH.test(value)
  }

  #transferEncoding(value: string, place: number): true {
    this.#codings++
    this.codingAt = place
    this.#chunked = value.toLowerCase() === 'chunked'
    return true
  }
}
