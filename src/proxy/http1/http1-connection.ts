// One connection of a caller that speaks HTTP/1.1: one request at a time, judged when its turn comes and behind all that came with its head; an
// answer for what cannot be parsed; an end that the caller can read its last answer before. SPEC: WIRE3, WIRE7, WIRE8, WIRE14
import type { Socket } from 'node:net'
import type { Reason } from '../../core/reason.ts'
import type { Instant } from '../../core/time.ts'
import { BAD } from '../../http1/field-block.ts'
import { faultText } from './fault-text.ts'
import { type ArrivalOwner, Http1Arrival } from './http1-arrival.ts'
import type { Http1Caller, Http1Room } from './http1-room.ts'
import { KeptOctets } from './kept-octets.ts'
import { RequestBody } from './request-body.ts'
import { RequestParser, type RequestReader } from './request-parser.ts'

/** Requests one connection may have sent ahead of their answers. */
const PIPELINED_MAX = 32
const DISCARDED_BYTES = 262_144
const DISCARDED_FOR = 2_000
const DRAINED_FOR = 10_000
/** An idle connection is kept this much longer than it is told, for a request that is under way. */
const IDLE_MARGIN = 1_000
/** Its time begins with the next look. */
const UNSET = -1

export class Http1Connection implements ArrivalOwner, RequestReader {
  readonly socket: Socket
  readonly raw: Socket
  readonly caller: Http1Caller
  closing = false
  readonly #room: Http1Room
  readonly #parser: RequestParser
  readonly #kept: KeptOctets
  #current: Http1Arrival | null = null
  /** It was not handed over yet. */
  #fresh = false
  /** What is left of the request's body is of no use to anybody. */
  #discards = false
  /** Bytes that are still read of what is dropped. */
  #discarded = Infinity
  #resuming = false
  /** Its last word is said. */
  #leaving = false
  #gone = false
  #served = false
  /** All of an answer is written, and the system has not taken it. */
  #ending = false
  #since: number
  #timer: NodeJS.Timeout | null = null

  constructor(socket: Socket, room: Http1Room) {
    this.socket = socket
    this.caller = room.owner.callerOf(socket)
    this.raw = this.caller.raw
    this.#room = room
    this.#parser = new RequestParser(this, room.parsing)
    this.#kept = new KeptOctets(room.parsing)
    this.#since = room.owner.clock.elapsed()
    socket.on('error', ignore)
    socket.on('data', this.#onData).on('drain', this.#onDrain).on('end', this.#onEnd).on('close', this.#onClose)
    socket.resume() // it may have been looked at, and paused
  }

  get secure(): boolean { return this.#room.owner.secure }
  get keepAlive(): string { return this.#room.keepAlive }
  now(): Instant { return this.#room.owner.clock.now() }

  // ---- what its listener asks

  /** Nothing comes behind the answer that is under way; without one it ends now. */
  close(): void {
    this.closing = true
    if (this.#current === null && !this.#parser.inHead) this.#leave('')
  }

  /** Asked about once a second: heads that do not come, answers that are not taken, connections that nobody uses. */
  look(now: number): void {
    const waits = this.#current !== null && !this.#discards
    if (this.#leaving || (waits && this.#current?.answer.ended !== true)) return
    if (waits !== this.#ending || this.#current?.answer.held === true) this.#since = UNSET // held, it is another's to end
    this.#ending = waits
    if (this.#since === UNSET) this.#since = now
    const { headersTimeout, idleTimeout } = this.#room.owner.limits
    const heading = this.#parser.inHead || !this.#served
    if (heading && now - this.#since > headersTimeout) this.fault('request_timeout')
    else if (!heading && now - this.#since > idleTimeout + IDLE_MARGIN) this.#leave('')
  }

  /** Refuses what cannot be a request any more, in words where nothing was said yet, and ends. */
  fault(reason: Reason): void {
    if (this.#leaving || this.socket.destroyed) return
    const answer = this.#current?.answer ?? null
    this.#room.owner.onFault(reason, this.caller.peer)
    if (answer !== null && !answer.unsaid) return void this.socket.destroy()
    answer?.overtake()
    this.#leave(faultText(reason))
  }

  // ---- from the socket

  readonly #onData = (chunk: Buffer): void => {
    if (this.#leaving) this.#drop(chunk.length)
    else if (this.#current !== null && (this.#parser.whole || this.#parser.halted)) this.#keep(chunk)
    else this.#read(chunk, false)
  }

  readonly #onDrain = (): void => { this.#current?.answer.drained() }

  /** Half an end is a whole one: who says no more is given what is on its way, and nothing else. */
  readonly #onEnd = (): void => {
    const current = this.#current
    if (this.#leaving) return
    this.closing = true
    if (this.#discards) this.#leave('')
    else if (this.#parser.inHead || current?.complete === false) this.fault('bad_request')
    else if (current === null) this.#leave('')
    else if (!current.answer.ended) this.socket.destroy()
  }

  readonly #onClose = (): void => {
    if (this.#gone) return
    this.#gone = this.#leaving = true
    this.#stopTimer()
    this.#tell(false)
    this.#room.onGone(this)
  }

  // ---- from the parser

  arrived(): void {
    this.#served = this.#fresh = true
    this.#kept.begun()
    this.#current = new Http1Arrival(this.#parser, this)
  }

  data(chunk: Buffer): void {
    const body = this.#current?.body
    if (this.#discards) this.#drop(chunk.length)
    else if (body instanceof RequestBody && !body.destroyed && !body.push(chunk)) this.#parser.halt()
  }

  ended(trailers: readonly string[]): void {
    const current = this.#current
    if (current === null) return
    current.trailers = trailers
    current.complete = true
    if (current.body instanceof RequestBody && !current.body.destroyed) current.body.push(null)
  }

  // ---- from the request and its answer

  wanted(): void {
    if (!this.#parser.halted || this.#resuming) return
    this.#resuming = true
    process.nextTick(this.#resume)
  }

  /** The system has all of the answer. */
  readonly flushed = (error?: Error | null): void => {
    const current = this.#current
    if ((error ?? null) !== null || current?.answer.ended !== true) return
    this.#tell(true)
    if (this.#leaving) return
    if (current.answer.closes || this.closing) this.#leave('')
    else if (current.complete) this.#turn()
    else if (!this.#discards) this.#discard(Infinity)
  }

  drain(): void {
    this.#stopTimer()
    this.#timer = setTimeout(() => this.#leave(''), DRAINED_FOR)
    this.#discard(Infinity)
  }

  linger(): void {
    this.#stopTimer()
    this.#timer = setTimeout(() => this.#leave(''), DISCARDED_FOR)
    this.closing = true
    this.#discard(DISCARDED_BYTES)
  }

  giveUp(): Buffer | null {
    if (this.#leaving || this.socket.destroyed) return null
    this.#gone = this.#leaving = true
    this.socket.off('data', this.#onData).off('drain', this.#onDrain).off('end', this.#onEnd).off('close', this.#onClose)
    this.#room.onGone(this)
    this.socket.resume() // behind this turn, in which somebody else begins to listen
    return this.#kept.take()
  }

  // ---- reading

  /** @param kept they were here before, and what is left of them comes back */
  #read(octets: Buffer, kept: boolean): void {
    const heading = this.#parser.inHead
    const taken = this.#parser.read(octets)
    if (taken === BAD) return this.#broken()
    const rest = octets.subarray(taken)
    if (kept && this.#kept.counted) this.#kept.putBack(rest)
    else if (rest.length > 0) this.#keep(rest)
    if (this.#current === null) {
      if (!heading && this.#parser.inHead) this.#since = this.#room.owner.clock.elapsed()
    } else if (this.#fresh) this.#handOver(this.#current)
    else if (this.#discards && this.#parser.whole) this.#discardedAll(this.#current)
  }

  /** What breaks behind an answer that is on its way does not harm it. */
  #broken(): void {
    if (this.#discards || this.#current?.answer.ended === true) this.#leave('')
    else this.fault(this.#parser.fault)
  }

  /** Behind all that came with it: a body that begins with broken framing was answered before, and its head goes nowhere. */
  #handOver(arrival: Http1Arrival): void {
    this.#fresh = false
    if (!this.socket.destroyed) this.#room.owner.onRequest(arrival)
  }

  /** What comes behind the request that is being answered, or behind more of its body than anybody reads. */
  #keep(octets: Buffer): void {
    this.#kept.add(octets, this.#parser.whole && !this.#parser.framing.upgrades)
    if (this.#kept.requests > PIPELINED_MAX) {
      this.#room.owner.onPipelined(this.caller.peer)
      this.socket.destroy()
    } else if (this.#parser.halted || this.#kept.length >= this.#room.parsing.head) this.socket.pause()
  }

  readonly #resume = (): void => {
    this.#resuming = false
    if (this.#leaving) return
    this.#parser.proceed()
    this.#goOn()
  }

  /** Reads what was kept, and then the socket. */
  #goOn(): void {
    const octets = this.#kept.take()
    if (octets.length > 0) this.#read(octets, true)
    if (!this.#leaving && !this.#parser.halted && this.#kept.length < this.#room.parsing.head && this.socket.isPaused()) this.socket.resume()
  }

  /** The next request's turn. */
  #turn(): void {
    this.#stopTimer()
    this.#current = null
    this.#discards = false
    this.#since = UNSET
    this.#parser.begin()
    this.#goOn()
  }

  #discard(bytes: number): void {
    this.#discards = true
    this.#discarded = bytes
    this.#since = UNSET
    this.#parser.proceed()
    this.#goOn()
  }

  #discardedAll({ answer }: Http1Arrival): void {
    if (this.closing || answer.closes) this.#leave('')
    else if (answer.finished) this.#turn()
  }

  #drop(bytes: number): void {
    this.#since = UNSET
    this.#discarded -= bytes
    if (this.#discarded <= 0) this.socket.pause() // not closed yet: a reset could overtake the answer
  }

  // ---- its end

  /** The last word, and for a while whatever the caller still says is read, so that it can be heard. */
  #leave(text: string): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#stopTimer()
    this.#timer = setTimeout(() => this.socket.destroy(), DISCARDED_FOR)
    if (this.#current?.answer.ended === false) this.#tell(false)
    this.#kept.take()
    if (!this.#discards) this.#discarded = DISCARDED_BYTES
    this.socket.end(text, 'latin1')
    if (this.#discarded > 0) this.socket.resume()
  }

  #tell(finished: boolean): void {
    const current = this.#current
    if (current === null) return
    current.answer.close(finished)
    if (!current.complete && current.body instanceof RequestBody) current.body.destroy(finished ? undefined : new Error('the caller went away'))
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

const ignore = (): void => {}
