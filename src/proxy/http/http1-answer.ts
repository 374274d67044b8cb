// The caller's half of an exchange in HTTP/1.1: head, body and end of the answer on its socket, held back, ended politely or reset as told,
// and the gateway's own refusals, readable also while a body is still coming. Decides nothing. SPEC: ENF6, ENF10, WIRE7, WIRE8, WIRE10
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import { type Answer, WITH_HEAD } from '../arrival.ts'
import { problem, type RefusalText } from '../refusal.ts'
import { reset } from '../reset.ts'
import { EventBoundary } from '../sse/event-boundary.ts'
import type { ResponseHead } from './response-head.ts'

const HEARTBEAT = 15_000
const DRAINED_BYTES = 65_536
const DISCARDED_BYTES = 262_144
const DISCARDED_FOR = 2_000
const DRAINED_FOR = 10_000

export class Http1Answer implements Answer {
  status = 0
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  /** Under the response, also where TLS lies between: only it can be reset. */
  readonly #raw: Socket
  #events: EventBoundary | null = null
  #held = false
  #corked = false
  #beat = 0

  constructor(request: IncomingMessage, response: ServerResponse, raw: Socket) {
    this.#request = request
    this.#response = response
    this.#raw = raw
  }

  get gone(): boolean { return this.#response.destroyed }
  get ended(): boolean { return this.#response.writableEnded }
  get finished(): boolean { return this.#response.writableFinished }
  /** The listener has answered a body that broke its framing: nothing comes behind that. */
  get #forestalled(): boolean { return this.#response.headersSent && this.status === 0 }
  get waiting(): number { return this.#response.writableLength }
  get full(): boolean { return this.#response.writableNeedDrain }

  onClose(listener: () => void): () => void {
    this.#response.on('close', listener) // comes once, and `once` would wrap it for each request
    return () => this.#response.off('close', listener)
  }

  onDrain(listener: () => void): void {
    this.#response.on('drain', listener)
  }

  proceed(): void {
    if (!this.gone && !this.#forestalled) this.#response.writeContinue()
  }

  inform(status: number, headers: readonly string[]): void {
    if (this.gone || this.status !== 0 || this.#forestalled || this.#request.httpVersion === '1.0') return
    const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1] ?? ''}\r\n`] : []))
    this.#response.socket?.write(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`, 'latin1')
  }

  sendHead(head: ResponseHead): void {
    if (this.#forestalled) return
    this.#writeHead(head)
    if (head.length === null || head.length > WITH_HEAD) process.nextTick(flushHead, this.#response)
  }

  sendWhole(head: ResponseHead, body: Buffer): void {
    if (this.#forestalled) return
    this.#writeHead(head)
    if (this.#request.method === 'HEAD') this.#response.end()
    else this.#response.end(body.toString('latin1'), 'latin1')
  }

  send(chunk: Buffer): boolean {
    if (this.#forestalled) return true
    this.#events?.follow(chunk)
    return this.#response.write(chunk)
  }

  finish(trailers: readonly string[]): void {
    if (this.#forestalled) return
    if (trailers.length > 0) this.#response.addTrailers(pairs(trailers))
    this.#response.end()
  }

  hold(): void {
    this.#held = true
    this.#cork()
    this.#beat = 0
  }

  release(): void {
    this.#held = false
    this.#uncork()
  }

  heartbeat(now: Instant): void {
    if (this.#beat === 0) this.#beat = now
    if (this.#events?.at !== true || now - this.#beat < HEARTBEAT || this.#response.writableLength > 0) return
    this.#uncork()
    this.#response.write(':\n\n')
    process.nextTick(() => { if (this.#held) this.#cork() }) // a chunk leaves its own cork at the end of the turn
    this.#beat = now
  }

  /** A whole end where an event stream stands between two events and nothing waits; else a reset, which drops what waits. */
  cut(_reason: Reason, politely: boolean): void {
    if (politely && this.#events?.at === true && this.#response.writableLength === 0 && this.#raw.writableLength === 0) {
      this.release()
      this.#response.end()
    } else reset(this.#raw, this.#request.socket)
  }

  last(): void {
    if (!this.#response.headersSent) this.#response.setHeader('connection', 'close')
  }

  refuse(text: RefusalText, contentLength: number | null, close: boolean): void {
    const [request, response] = [this.#request, this.#response]
    if (response.headersSent || response.destroyed) return
    this.release()
    const { status, headers, body } = problem(text)
    const unread = contentLength !== 0 && !request.complete
    const drains = contentLength !== null && contentLength <= DRAINED_BYTES && text.reason !== 'request_timeout'
    if (close || (unread && !drains)) headers.push('connection', 'close')
    response.writeHead(status, headers)
    if (unread && (!drains || close)) return linger(request, response, body)
    if (unread) drain(request)
    else request.resume()
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  #cork(): void {
    if (!this.#corked) this.#response.socket?.cork()
    this.#corked = true
  }

  #uncork(): void {
    if (this.#corked) this.#response.socket?.uncork()
    this.#corked = false
  }

  #writeHead(head: ResponseHead): void {
    this.status = head.status
    if (head.eventStream && head.length === null && !head.encoded) this.#events = new EventBoundary() // else nothing can be added, and only its own end is an end
    this.#response.writeHead(head.status, head.text, head.headers)
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return list
}

function flushHead(response: ServerResponse): void {
  if (response.headersSent && !response.writableEnded && !response.destroyed) response.flushHeaders()
}

/** The connection is kept for whoever sends the rest; not for a body that never comes. */
function drain(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroySoon(), DRAINED_FOR)
  request.once('close', () => clearTimeout(timer))
  request.resume()
}

/** The whole answer goes out, then the rest of the body is read for a while so that the caller can read it before the close. */
function linger(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  if (request.method === 'HEAD') response.flushHeaders()
  else response.write(bytes)
  let left = DISCARDED_BYTES
  const stop = (): void => {
    clearTimeout(timer)
    request.off('data', discard)
    response.end()
    response.socket?.destroySoon()
  }
  const discard = (chunk: Buffer): void => {
    left -= chunk.length
    if (left <= 0) request.pause() // not closed yet: a reset could overtake the answer
  }
  const timer = setTimeout(stop, DISCARDED_FOR)
  request.on('data', discard).resume()
  request.once('end', stop)
  request.once('error', stop)
  response.once('close', () => clearTimeout(timer))
}
