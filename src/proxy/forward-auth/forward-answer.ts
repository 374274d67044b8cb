// The way back to the proxy that asked: a refusal in its words, or the one answer that lets the request through, which only the relay gives. Whatever else
// a request could be answered with is none here: it is refused. SPEC: FWA3
import type { ServerResponse } from 'node:http'
import type { ForwardProxy } from '../../config/compile/forward-auth.ts'
import type { Answer } from '../arrival.ts'
import { problem, type RefusalText, refusalText } from '../refusal.ts'

/** nginx passes 401 and 403 on, and takes any other status but a success for a fault of the authoriser. */
const statusFor = (proxy: ForwardProxy, status: number): number => (proxy === 'nginx' && status !== 401 && status < 500 ? 403 : status)

export class ForwardAnswer implements Answer {
  status = 0
  ended = false
  finished = false
  readonly full = false
  readonly #response: ServerResponse
  readonly #proxy: ForwardProxy
  readonly #told: (outcome: 'allowed' | 'refused') => void
  readonly #listeners = new Set<() => void>()
  #over = false

  constructor(response: ServerResponse, proxy: ForwardProxy, told: (outcome: 'allowed' | 'refused') => void) {
    this.#response = response
    this.#proxy = proxy
    this.#told = told
    response.once('finish', () => this.#close(true))
    response.once('close', () => this.#close(false))
  }

  get gone(): boolean { return this.#over || this.#response.destroyed }
  get waiting(): number { return this.#over ? 0 : this.#response.writableLength }

  onClose(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Lets the request through. Called only behind an open gate, in the same turn. @param headers names and values in turn */
  allow(headers: readonly string[]): void {
    if (this.status !== 0 || this.gone) return
    this.#told('allowed')
    this.#send(200, [...headers, 'cache-control', 'no-store', 'content-length', '0'], '')
  }

  refuse(text: RefusalText): void {
    if (this.status !== 0 || this.gone) return
    const { status, headers, body } = problem(text)
    this.#told('refused')
    this.#send(statusFor(this.#proxy, status), headers, body)
  }

  cut(): void { this.#response.destroy() }
  farewell(): void { this.cut() }
  last(): void { this.#response.shouldKeepAlive = false }

  // ---- what only an upstream's answer has, or one of the gateway's own

  sendHead(): void { this.refuse(refusalText('internal_error')) }
  sendWhole(): void { this.refuse(refusalText('internal_error')) }
  send(): boolean { return true }
  finish(): void {}
  onDrain(): void {}
  proceed(): void {}
  inform(): void {}
  hold(): void {}
  release(): void {}
  heartbeat(): void {}

  #send(status: number, headers: readonly string[], body: Buffer | string): void {
    this.status = status
    this.ended = true
    try {
      this.#response.writeHead(status, [...headers])
      this.#response.end(body)
    } catch {
      this.#response.destroy() // a value that no header can hold: nothing was said, which no proxy takes for a yes
    }
  }

  #close(finished: boolean): void {
    if (this.#over) return
    this.finished = finished
    this.#over = true
    for (const listener of this.#listeners) listener()
  }
}
