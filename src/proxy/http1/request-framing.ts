// Where a request ends, what becomes of its connection, and what it asks of the connection itself, as its head says (RFC 9112 §6.3, §9.3).
// Two readings mean none. SPEC: WIRE3
import type { Reason } from '../../core/reason.ts'
import { CONNECTION, CONTENT_LENGTH, LENGTH, tokens, TRANSFER_ENCODING } from '../../http1/framing-fields.ts'

type RequestContent = 'none' | 'sized' | 'chunked'

const [EXPECT, UPGRADE, PROXY_CONNECTION] = [6, 7, 16]
const LOWER = 32
const [LETTER_C, LETTER_E, LETTER_P, LETTER_T, LETTER_U] = [99, 101, 112, 116, 117]

export class RequestFraming {
  content: RequestContent = 'none'
  length = 0
  /** The caller wants the connection to go on behind the answer. */
  keeps = false
  /** Waits for 100 before it sends its body. */
  expectsContinue = false
  /** Asks for WebSocket, and for nothing else. */
  upgrades = false
  /** Which field is the transfer coding, where there is one. */
  codingAt = 0
  #lengths = 0
  #codings = 0
  #chunked = false
  #close = false
  #keep = false
  #switches = false
  #upgrades = 0
  #websocket = false
  #expectations = 0
  #continues = false

  /** @returns why it is refused; null where all is well */
  read(method: string, minor: number, headers: readonly string[]): Extract<Reason, 'bad_request' | 'method_refused' | 'expectation_failed'> | null {
    this.#begin()
    for (let i = 0; i < headers.length; i += 2) if (!this.#field(headers[i] ?? '', headers[i + 1] ?? '', i / 2)) return 'bad_request'
    if (this.#lengths + this.#codings > 1 || (this.#codings === 1 && (!this.#chunked || minor === 0))) return 'bad_request'
    if (method === 'CONNECT') return 'method_refused'
    if (minor === 1 && this.#expectations > 0) {
      if (!this.#continues) return 'expectation_failed'
      this.expectsContinue = this.#expectations === 1
    }
    this.keeps = !this.#close && (minor === 1 || this.#keep)
    this.content = this.#chunked ? 'chunked' : this.length > 0 ? 'sized' : 'none'
    this.upgrades = this.#switches && this.#websocket && this.#upgrades === 1
    return this.upgrades && this.content !== 'none' ? 'bad_request' : null // no handshake has a body
  }

  #begin(): void {
    this.length = this.#lengths = this.#codings = this.#upgrades = this.#expectations = 0
    this.#chunked = this.#close = this.#keep = this.#switches = this.#websocket = this.#continues = this.expectsContinue = false
  }

  #field(name: string, value: string, at: number): boolean {
    const first = name.charCodeAt(0) | LOWER
    switch (name.length) {
      case EXPECT: return first !== LETTER_E || name.toLowerCase() !== 'expect' || this.#expect(value)
      case UPGRADE: return first !== LETTER_U || name.toLowerCase() !== 'upgrade' || this.#upgrade(value)
      case CONNECTION: return first !== LETTER_C || name.toLowerCase() !== 'connection' || this.#connection(value)
      case PROXY_CONNECTION: return first !== LETTER_P || name.toLowerCase() !== 'proxy-connection' || this.#proxyConnection(value)
      case CONTENT_LENGTH: return first !== LETTER_C || name.toLowerCase() !== 'content-length' || this.#contentLength(value)
      case TRANSFER_ENCODING: return first !== LETTER_T || name.toLowerCase() !== 'transfer-encoding' || this.#transferEncoding(value, at)
      default: return true
    }
  }

  #expect(value: string): true {
    this.#expectations++
    this.#continues = value.toLowerCase() === '100-continue'
    return true
  }

  #upgrade(value: string): true {
    this.#upgrades++
    this.#websocket = value.toLowerCase() === 'websocket'
    return true
  }

  #connection(value: string): true {
    if (value === 'keep-alive') this.#keep = true
    else {
      for (const token of tokens(value)) {
        if (token === 'close') this.#close = true
        else if (token === 'keep-alive') this.#keep = true
        else if (token === 'upgrade') this.#switches = true
      }
    }
    return true
  }

  /** Nobody's standard, and read by some: whoever says here that it leaves is believed. */
  #proxyConnection(value: string): true {
    this.#close ||= tokens(value).includes('close')
    return true
  }

  #contentLength(value: string): boolean {
    this.#lengths++
    this.length = Number(value)
    return LENGTH.test(value)
  }

  #transferEncoding(value: string, at: number): true {
    this.#codings++
    this.codingAt = at
    this.#chunked = value.toLowerCase() === 'chunked'
    return true
  }
}
