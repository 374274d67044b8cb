// One message of a caller on its way to a server of MCP, and back: passes what may pass through the gate and carries out what enforcement tells it. Where
// it is cut, the caller reads why and the server is told to stop. It decides nothing. SPEC: MCP6, MCP8, MCP9, ENF2, ENF5, ENF6
import type { Grant } from '../../../core/decision.ts'
import type { Reason } from '../../../core/reason.ts'
import type { Instant } from '../../../core/time.ts'
import type { Relay } from '../../../enforcement/admit.ts'
import type { Exchange } from '../../../enforcement/exchange.ts'
import { WIRE } from '../../../enforcement/exchange-recorder.ts'
import type { AnswerHead, Sending, UpstreamFault, UpstreamHandler, UpstreamRequest } from '../../../upstream/handler.ts'
import type { Upstream } from '../../../upstream/upstream.ts'
import type { Answer } from '../../arrival.ts'
import type { Ask } from '../../ask.ts'
import type { Departing } from '../../departures.ts'
import { interimHead, trailersOf } from '../../http/response-head.ts'
import type { HeldBytes } from './answer-body.ts'
import { lastWords } from './last-words.ts'
import { MessageUpload } from './message-upload.ts'
import type { Dropped } from './outflow.ts'
import type { RelayPlan } from '../plan.ts'
import { Reply, type ReplyOwner } from './reply.ts'

/** What relays of MCP have in common. */
export interface McpRelayOwner {
  /** A message of the server went nowhere. */
  dropped(relay: McpRelay, why: Dropped): void
  /** Its request may still be under way upstream, and is not wanted any more. */
  cancel(relay: McpRelay, reason: Reason): void
  failed(error: unknown): void
}

/** Ticks behind a resume in which a fault is still put down to the freeze: a paused socket tells of its peer's end only when it is read empty. */
const THAW = 4
const NO_TRAILERS: readonly string[] = []
const NO_WORDS: Buffer = Buffer.alloc(0)
/** Ends that say nothing against the request itself. */
const GOES_ON: ReadonlySet<Reason> = new Set<Reason>([...WIRE].filter(reason => reason !== 'upstream_timeout'))

export class McpRelay implements Relay, UpstreamHandler, Departing, ReplyOwner {
  readonly ask: Ask
  readonly plan: RelayPlan
  readonly upstream: Upstream
  readonly path: string
  exchange: Exchange | null = null
  /** The head that went upstream; empty before. */
  sent: readonly string[] = []
  readonly #answer: Answer
  readonly #owner: McpRelayOwner
  readonly #reply: Reply
  #sending: Sending | null = null
  #upload: MessageUpload | null = null
  #dispatched = false
  #over = false
  /** Bytes of the answer's body that came. */
  #received = 0
  /** When bytes were last seen to move, as far as the ticks tell. */
  #moved = 0
  #bytesAtTick = 0
  #thaw = 0

  constructor(ask: Ask, plan: RelayPlan, upstream: Upstream, path: string, held: HeldBytes, owner: McpRelayOwner) {
    this.ask = ask
    this.plan = plan
    this.upstream = upstream
    this.path = path
    this.#answer = ask.arrival.answer
    this.#owner = owner
    this.#reply = new Reply(this.#answer, plan, held, this)
  }

  get source(): string { return this.ask.sourceAddress }
  get status(): number { return this.#answer.status }
  /** The request has its answer. */
  get isAnswered(): boolean { return this.#reply.isAnswered }
  get passes(): boolean { return this.exchange?.open === true }
  get #frozenLately(): boolean { return this.exchange?.state === 'frozen' || this.#thaw > 0 }

  // ---- admission

  obstacle(grant: Grant): Reason | null {
    const { readBody, place, world } = this.ask
    const { bodyBytes } = world.settings.limits
    const size = readBody?.size ?? 0
    if (size > (place?.rule?.inspect?.maxBytes ?? Infinity) || (bodyBytes > 0 && size > bodyBytes)) return 'body_too_large'
    return this.ask.isTooEarly(grant) ? 'too_early' : this.plan.obstacle()
  }

  /** Its message was read before it had a rule. */
  inspect(): Promise<Reason | null> { return Promise.resolve('internal_error') }
  bearer(): string | null { return this.ask.bearer() }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
    this.#moved = exchange.openedAt
    this.#answer.onClose(() => this.#callerDone())
  }

  dispatch(): void {
    this.#dispatched = true
    this.upstream.send(this)
  }

  refused(reason: Reason): void {
    if (this.exchange !== null && this.exchange.state !== 'ended') return this.ask.end(this.exchange, reason)
    this.#over = true
    this.ask.refuse(this, reason)
  }

  // ---- to the upstream

  /** The connection is there and nothing was written to it yet: what the gate holds back now is not sent at all. */
  outgoing(sending: Sending): UpstreamRequest | null {
    const { exchange, ask } = this
    if (this.#over || exchange === null) return null
    if (!this.passes) this.doubt()
    if (!this.#over && (!this.passes || exchange.finishUntil !== null)) ask.end(exchange, exchange.reason ?? 'stale') // what only finishes is not sent once more
    if (this.#over) return null
    const headers = ask.outgoing(this)
    if (this.#over) return null
    this.sent = headers
    this.#sending = sending
    const body = ask.readBody?.bytes ?? null
    if (body === null) exchange.whole = true
    else this.#uploads(body, sending)
    return { method: ask.arrival.method, path: this.path, headers, bodyLength: body?.length ?? 0 }
  }

  #uploads(body: Buffer, sending: Sending): void {
    this.#upload?.stop()
    const upload = new MessageUpload(body, sending, this)
    this.#upload = upload
    process.nextTick(() => upload.release()) // behind the head
  }

  drained(): void { this.#upload?.drained() }
  pays(piece: Buffer): boolean { return this.exchange?.pays(piece.length) === true && this.exchange.taped('up', piece) }
  handing(piece: Buffer): void { this.exchange?.passedUp(piece) }

  handed(): void {
    if (this.exchange !== null) this.exchange.whole = true
  }

  // ---- from the upstream

  informed(head: AnswerHead): void {
    if (!this.#over && !this.#reply.begun && this.passes) this.#answer.inform(head.status, this.ask.told(interimHead(head)))
  }

  answered(head: AnswerHead): void {
    if (this.#over) return
    const read = this.ask.responseHead(this, head)
    const made = read === null ? null : this.plan.comesDown(read)
    if (made === null) return this.end('upstream_malformed')
    this.#guarded(() => this.#reply.begins(made))
    if (this.exchange !== null) this.exchange.kind = this.#reply.isStream ? 'sse' : 'download'
  }

  data(chunk: Buffer): void {
    if (this.#over) return
    this.#received += chunk.length
    this.#guarded(() => this.#reply.takes(chunk))
  }

  ended(trailers: readonly string[]): void {
    if (this.#over) return
    this.#sending = null
    if (this.#frozenLately && this.#reply.delimitedByClose) return this.end('frozen_peer_closed')
    this.#guarded(() => this.#reply.ends(trailers.length === 0 ? NO_TRAILERS : this.ask.told(trailersOf(trailers))))
  }

  failed(fault: UpstreamFault): void {
    this.#sending = null
    if (!this.#over) this.end(this.#frozenLately ? 'frozen_peer_closed' : fault)
  }

  // ---- what the reply asks and tells

  paysDown(piece: Buffer): boolean { return this.exchange?.pays(piece.length) === true && this.exchange.taped('down', piece) }
  headSent(): void { this.ask.headSent(this) }
  leaving(): void { this.ask.leaving(this) }
  depart(): void { this.#guarded(() => this.#reply.depart()) }
  dropped(why: Dropped): void { this.#owner.dropped(this, why) }

  waits(): void {
    this.#sending?.pause()
    if (!this.#answer.full) this.doubt()
  }

  roomier(): void {
    if (!this.#over && this.exchange?.state === 'open') this.#guarded(() => this.#goOn())
  }

  #goOn(): void {
    if (this.#reply.goesOn()) this.#sending?.resume()
  }

  // ---- the four verbs

  freeze(): void {
    this.#sending?.pause()
    this.#answer.hold()
    this.#thaw = THAW
  }

  resume(): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    if (exchange.state === 'open') this.#answer.release()
    if (!this.#dispatched) return
    this.#upload?.release()
    this.#reply.changed()
    this.#goOn()
  }

  cut(reason: Reason): void {
    const { exchange } = this
    if (this.#over || exchange === null) return
    this.#over = true
    const asked = this.#stopUpstream()
    const { begun, isAnswered } = this.#reply
    if (!WIRE.has(reason)) this.plan.unsaid(this.#reply.unsaid)
    this.#reply.stop()
    if (asked && !isAnswered && !GOES_ON.has(reason)) this.#owner.cancel(this, reason)
    if (begun) return WIRE.has(reason) ? this.#answer.cut(reason, false) : this.#answer.farewell(isAnswered ? NO_WORDS : lastWords(this.ask, exchange, reason))
    this.#answer.release()
    this.ask.refuse(this, reason)
  }

  /** @returns whether its request may be under way there */
  #stopUpstream(): boolean {
    const whole = this.#upload?.finished ?? true
    this.#upload?.stop()
    if (this.#sending !== null) {
      if (this.#reply.headed && whole) this.upstream.endBehind(this.#sending) // the request is long there
      else this.#sending.abort()
    } else if (this.#dispatched && !this.#reply.headed) this.upstream.withdraw(this)
    this.#sending = null
    return this.sent.length > 0 && whole
  }

  // ---- limits and peers

  doubt(): void {
    if (this.exchange?.state === 'open') this.ask.doubt(this.exchange)
  }

  end(reason: Reason): void {
    if (this.exchange !== null) this.ask.end(this.exchange, reason)
  }

  /** A fault in what looks at messages ends this exchange, and no other. */
  #guarded(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#owner.failed(error)
      this.end('internal_error')
    }
  }

  /** Housekeeping, a few times a second: time limits of an exchange that stands, signs of life of one that is frozen. */
  tick(now: Instant): void {
    const { exchange } = this
    if (exchange === null || this.#over || !this.#dispatched) return
    const bytes = exchange.bytesUp + exchange.bytesDown + this.#received
    if (bytes !== this.#bytesAtTick) {
      this.#bytesAtTick = bytes
      this.#moved = now
    }
    if (exchange.state === 'frozen') {
      this.#moved = now
      if (this.#reply.begun) this.#answer.heartbeat(now)
      return
    }
    if (this.#thaw > 0 && !this.#answer.full) this.#thaw--
    const idle = now - this.#moved
    if ((this.#answer.full || this.#upload?.finished === false) && idle > this.ask.world.settings.limits.idleTimeout) return this.end('request_timeout')
    if (!this.#reply.begun && idle > this.upstream.settings.timeout) this.end('upstream_timeout')
  }

  #callerDone(): void {
    if (this.#over || this.exchange === null) return
    if (!this.#answer.finished || !this.#reply.begun) return this.end(this.#frozenLately ? 'frozen_peer_closed' : 'caller_closed')
    this.#over = true
    this.#upload?.stop()
    this.#sending?.abort()
    this.#reply.stop()
    this.ask.completed(this)
  }
}
