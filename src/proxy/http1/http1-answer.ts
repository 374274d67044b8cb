// The caller's half of an exchange in HTTP/1.1: head, body and end of the answer on its socket, held back, ended politely or reset as told,
// and the gateway's own refusals, readable also while a body is still coming. Decides nothing. SPEC: ENF6, ENF10, WIRE7, WIRE8, WIRE10
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import { type Answer, WITH_HEAD } from '../arrival.ts'
import type { ResponseHead } from '../http/response-head.ts'
import { problem, type RefusalText } from '../refusal.ts'
import { reset } from '../reset.ts'
import { EventBoundary } from '../sse/event-boundary.ts'
import type { AnswerOwner, Asked } from './answer-owner.ts'
import { framed, headLines, plainLines, statusLine } from './response-text.ts'

const HEARTBEAT = 15_000
/** Longest a polite end may take (RULES 17). */
const POLITE = 250
const DRAINED_BYTES = 65_536
const CLOSE = 'Connection: close\r\n'
const COMMENT: Buffer = Buffer.from(':\n\n')
const NO_TRAILERS: readonly string[] = []
const NO_WORDS: Buffer = Buffer.alloc(0)
const LAST_CHUNK = '0\r\n\r\n'
const ignore = (): void => {}

export class Http1Answer implements Answer {
  status = 0
  ended = false
  finished = false
  full = false
  readonly #asked: Asked
  readonly #owner: AnswerOwner
  #listener: () => void = ignore
  #others: (() => void)[] | null = null
  #drained: () => void = ignore
  /** Its head, as long as nothing of it was written. */
  #pending = ''
  /** It has a head, or the connection has answered in its place: nothing comes behind that. */
  #headed = false
  #bodyless = false
  #chunked = false
  /** Bytes still announced; null where its end tells. */
  #left: number | null = null
  #closes = false
  #continued = false
  #over = false
  #events: EventBoundary | null = null
  #held = false
  #corked = false
  #beat = 0

  constructor(asked: Asked, owner: AnswerOwner) {
    this.#asked = asked
    this.#owner = owner
  }

  get gone(): boolean { return this.#over || this.#owner.socket.destroyed }
  get waiting(): number { return this.#over ? 0 : this.#owner.socket.writableLength + this.#pending.length }
  /** Its connection is not used again. */
  get closes(): boolean { return this.#closes }
  get held(): boolean { return this.#held }
  /** Nothing was said of it yet. */
  get unsaid(): boolean { return !this.#headed && !this.#over }
  get #mute(): boolean { return this.status === 0 || this.ended || this.gone }

  onClose(listener: () => void): () => void {
    if (this.#listener === ignore) this.#listener = listener
    else (this.#others ??= []).push(listener)
    return () => this.#forget(listener)
  }

  onDrain(listener: () => void): void { this.#drained = listener }

  // ---- what the connection tells

  /** It is gone, or finished. */
  close(finished: boolean): void {
    if (this.#over) return
    this.finished = finished
    if (finished) this.release() // held behind its last octet: the connection's next answer is another exchange's
    this.#over = true
    this.full = false
    const [first, others] = [this.#listener, this.#others]
    first()
    if (others !== null) for (const listener of others) listener()
  }

  drained(): void {
    if (!this.full) return
    this.full = false
    this.#drained()
  }

  // ---- the answer

  proceed(): void {
    if (this.gone || this.#headed || this.#continued || !this.#asked.expectsContinue) return
    this.#continued = true
    this.#owner.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
  }

  inform(status: number, headers: readonly string[]): void {
    if (this.gone || this.#headed || this.#asked.version === '1.0') return
    const [line, lines] = [statusLine(status, ''), plainLines(headers)]
    if (line !== null && lines !== null) this.#owner.socket.write(`${line}${lines}\r\n`, 'latin1')
  }

  sendHead(head: ResponseHead): void {
    if (!this.#open(head)) return
    if (head.length === null || head.length > WITH_HEAD) process.nextTick(flushHead, this)
  }

  sendWhole(head: ResponseHead, body: Buffer): void {
    if (!this.#open(head)) return
    const text = this.#pending
    this.#pending = ''
    if (this.#bodyless) this.#lastNow(text)
    else if (this.#chunked) this.#lastNow(text + framed(body) + LAST_CHUNK)
    else if ((this.#left ?? body.length) === body.length) this.#lastNow(text + body.toString('latin1'))
    else this.#break()
  }

  send(chunk: Buffer): boolean {
    if (this.#mute || this.#bodyless) return true
    this.#events?.follow(chunk)
    if (chunk.length === 0) return !this.full // written, it would be the last chunk
    if (this.#left !== null) this.#left -= chunk.length
    if ((this.#left ?? 0) >= 0) return this.#write(chunk)
    this.#break()
    return true
  }

  finish(trailers: readonly string[]): void {
    if (this.#mute) return
    const lines = trailers.length === 0 || !this.#chunked ? '' : plainLines(trailers)
    if (lines === null || (this.#left ?? 0) !== 0) return void this.#break()
    const text = this.#pending
    this.#pending = ''
    this.#last(this.#chunked ? `${text}0\r\n${lines}\r\n` : text)
  }

  hold(): void {
    this.#held = true
    if (!this.#over) this.#cork()
    this.#beat = 0
  }

  release(): void {
    this.#held = false
    this.#uncork()
  }

  heartbeat(now: Instant): void {
    if (this.#beat === 0) this.#beat = now
    if (this.#events?.at !== true || now - this.#beat < HEARTBEAT || this.waiting > 0 || this.#mute) return
    this.#uncork()
    this.#write(COMMENT)
    if (this.#held) this.#cork()
    this.#beat = now
  }

  cut(_reason: Reason, politely: boolean): void {
    if (politely) this.farewell(NO_WORDS)
    else if (!this.#over) reset(this.#owner.raw, this.#owner.socket)
  }

  farewell(words: Buffer): void {
    const { socket, raw } = this.#owner
    if (this.#over) return
    if (this.#events?.at !== true || this.waiting > 0 || raw.writableLength > 0) return reset(raw, socket)
    this.release()
    if (words.length > 0) this.#write(words)
    this.finish(NO_TRAILERS)
    const late = setTimeout(reset, POLITE, raw, socket)
    this.onClose(() => clearTimeout(late))
  }

  last(): void {
    if (!this.#headed) this.#closes = true
  }

  refuse(text: RefusalText, contentLength: number | null, close: boolean): void {
    if (this.#headed || this.gone) return
    this.release()
    const { status, headers, body } = problem(text)
    const unread = contentLength !== 0 && !this.#asked.complete
    const drains = contentLength !== null && contentLength <= DRAINED_BYTES && text.reason !== 'request_timeout'
    this.#closes ||= close || (unread && !drains)
    if (!this.#begin(status, '', headers)) return
    const whole = this.#bodyless ? this.#pending : this.#pending + body.toString('latin1')
    this.#pending = ''
    if (unread && (!drains || close)) {
      this.#owner.socket.write(whole, 'latin1')
      return this.#owner.linger()
    }
    this.#last(whole)
    if (unread) this.#owner.drain()
  }

  /** The connection answers in its place: the request broke off in the middle. */
  overtake(): void {
    this.#headed = true
    this.release()
  }

  /** What is still not written of a head, when its body is late. */
  flush(): void {
    if (this.#pending === '' || this.gone) return
    this.#owner.socket.write(this.#pending, 'latin1')
    this.#pending = ''
  }

  // ---- to the socket

  #open(head: ResponseHead): boolean {
    if (this.#headed) return false
    this.status = head.status
    if (this.gone) return false
    if (head.eventStream && head.length === null && !head.encoded) this.#events = new EventBoundary() // else nothing can be added, and only its own end is an end
    return this.#begin(head.status, head.text, head.headers)
  }

  #begin(status: number, phrase: string, headers: readonly string[]): boolean {
    const line = statusLine(status, phrase)
    const lines = line === null ? null : headLines(headers, this.#owner.now())
    this.#headed = true
    if (line === null || lines === null) return this.#break()
    const { method, version, keeps, expectsContinue, complete } = this.#asked
    this.#bodyless = method === 'HEAD' || status === 204 || status === 304
    const untold = !this.#bodyless && lines.length === null
    this.#left = this.#bodyless ? 0 : lines.length
    this.#chunked = untold && version !== '1.0'
    const doubtful = status === 204 && (lines.length ?? 0) > 0 // somebody may wait for what it announces, and take the next answer for that
    this.#closes ||= doubtful || !keeps || this.#owner.closing || (untold && !this.#chunked) || (expectsContinue && !this.#continued && !complete)
    this.#pending = `${line}${lines.text}${this.#closes ? CLOSE : this.#owner.keepAlive}${this.#chunked ? 'Transfer-Encoding: chunked\r\n\r\n' : '\r\n'}`
    return true
  }

  #write(chunk: Buffer): boolean {
    const { socket } = this.#owner
    const head = this.#pending
    this.#pending = ''
    if (chunk.length <= WITH_HEAD && (this.#chunked || head !== '')) socket.write(head + (this.#chunked ? framed(chunk) : chunk.toString('latin1')), 'latin1')
    else this.#writeLong(head, chunk)
    this.full = socket.writableNeedDrain
    return !this.full
  }

  #writeLong(head: string, chunk: Buffer): void {
    const { socket } = this.#owner
    const before = this.#chunked ? `${head}${chunk.length.toString(16)}\r\n` : head
    if (before === '') return void socket.write(chunk)
    socket.cork()
    socket.write(before, 'latin1')
    socket.write(chunk)
    if (this.#chunked) socket.write('\r\n', 'latin1')
    socket.uncork()
  }

  /** @param text what is left to be written; its end is told of when the system has all of it */
  #last(text: string): void {
    const { socket, flushed } = this.#owner
    this.ended = true
    if (text === '' && socket.writableLength === 0) process.nextTick(flushed)
    else socket.write(text, 'latin1', flushed)
  }

  /** As `#last`. What the system takes at once is told at once: a callback costs a tick and an object for every answer. */
  #lastNow(text: string): void {
    const { socket, raw, flushed } = this.#owner
    if (socket !== raw || socket.writableLength > 0) return this.#last(text) // under TLS nothing is taken at once
    this.ended = true
    socket.write(text, 'latin1')
    if (socket.writableLength === 0) flushed(socket.errored) // refused at once, nothing waits either
    else socket.write('', 'latin1', flushed)
  }

  /** It cannot be written, or is not what its head announced: the caller sees that it is not whole. */
  #break(): false {
    this.#pending = ''
    reset(this.#owner.raw, this.#owner.socket)
    return false
  }

  #cork(): void {
    if (!this.#corked) this.#owner.socket.cork()
    this.#corked = true
  }

  #uncork(): void {
    if (this.#corked) this.#owner.socket.uncork()
    this.#corked = false
  }

  #forget(listener: () => void): void {
    if (this.#listener === listener) this.#listener = ignore
    else this.#others = this.#others?.filter(other => other !== listener) ?? null
  }
}

function flushHead(answer: Http1Answer): void { answer.flush() }
