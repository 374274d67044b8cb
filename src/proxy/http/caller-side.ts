// The caller's half of an exchange: head, body and end of the answer on the caller's socket, held back, ended politely or reset as told.
// Asked only behind an open gate, in the same turn; decides nothing. SPEC: ENF6, ENF10, WIRE7, WIRE10
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Instant } from '../../core/time.ts'
import { EventBoundary } from '../sse/event-boundary.ts'
import type { ResponseHead } from './response-head.ts'

const HEARTBEAT = 15_000
/** A body this short goes out with its head, in one write; the head of a longer one is sent ahead when the body is late. */
export const WITH_HEAD = 16_384

export class CallerSide {
  /** Of the head that was handed over, 0 before. */
  status = 0
  readonly #response: ServerResponse
  /** Under the response, also where TLS lies between: only it can be reset. */
  readonly #raw: Socket
  readonly #onDrain: () => void
  #events: EventBoundary | null = null
  #waitsForDrain = false
  #held = false
  #corked = false
  #beat = 0

  constructor(response: ServerResponse, raw: Socket, onDrain: () => void) {
    this.#response = response
    this.#raw = raw
    this.#onDrain = onDrain
  }

  get answered(): boolean { return this.status !== 0 }
  /** It takes nothing more for now. */
  get full(): boolean { return this.#response.writableNeedDrain }
  get finished(): boolean { return this.#response.writableFinished }

  sendHead(head: ResponseHead): void {
    this.#writeHead(head)
    if (head.length === null || head.length > WITH_HEAD) process.nextTick(flushHead, this.#response)
  }

  /** Head and body in one write. */
  sendWhole(head: ResponseHead, body: Buffer): void {
    this.#writeHead(head)
    this.#response.end(body.toString('latin1'), 'latin1')
  }

  /** @returns false when it is full now; `onDrain` is called when it is not any more */
  send(chunk: Buffer): boolean {
    this.#events?.follow(chunk)
    if (this.#response.write(chunk)) return true
    if (!this.#waitsForDrain) this.#response.on('drain', this.#onDrain)
    this.#waitsForDrain = true
    return false
  }

  finish(trailers: { readonly [name: string]: string }): void {
    if (Object.keys(trailers).length > 0) this.#response.addTrailers(trailers)
    this.#response.end()
  }

  /** What waits in this process stays here. */
  hold(): void {
    this.#held = true
    this.#cork()
    this.#beat = 0
  }

  release(): void {
    this.#held = false
    this.#uncork()
  }

  #cork(): void {
    if (!this.#corked) this.#response.socket?.cork()
    this.#corked = true
  }

  #uncork(): void {
    if (this.#corked) this.#response.socket?.uncork()
    this.#corked = false
  }

  /** A comment between two events, now and then, while it is held. */
  heartbeat(now: Instant): void {
    if (this.#beat === 0) this.#beat = now
    if (this.#events?.at !== true || now - this.#beat < HEARTBEAT || this.#response.writableLength > 0) return
    this.#uncork()
    this.#response.write(':\n\n')
    process.nextTick(() => { if (this.#held) this.#cork() }) // a chunk leaves its own cork at the end of the turn
    this.#beat = now
  }

  /** A whole end where an event stream stands between two events and nothing waits; else a reset, which drops what waits. */
  cut(politely: boolean): void {
    if (politely && this.#events?.at === true && this.#response.writableLength === 0 && this.#raw.writableLength === 0) {
      this.release()
      this.#response.end()
    } else if (!this.#raw.destroyed) this.#raw.resetAndDestroy()
  }

  #writeHead(head: ResponseHead): void {
    this.status = head.status
    if (head.eventStream && head.length === null && !head.encoded) this.#events = new EventBoundary() // else nothing can be added, and only its own end is an end
    this.#response.writeHead(head.status, head.text, head.headers)
  }
}

function flushHead(response: ServerResponse): void {
  if (response.headersSent && !response.writableEnded && !response.destroyed) response.flushHeaders()
}
