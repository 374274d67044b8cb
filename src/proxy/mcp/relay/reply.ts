// What a server answers to one message, on its way to the caller: a stream of events message by message, anything else whole with its head. Each byte is
// handed on behind an open gate, in the turn in which the gate was asked. Knows no upstream. SPEC: MCP6, ENF2, ENF5
import type { Reason } from '../../../core/reason.ts'
import type { Exchange } from '../../../enforcement/exchange.ts'
import { type Answer, WITH_HEAD } from '../../arrival.ts'
import type { ResponseHead } from '../../http/response-head.ts'
import { AnswerBody, type HeldBytes } from './answer-body.ts'
import { type Dropped, Outflow } from './outflow.ts'
import type { RelayPlan } from '../plan.ts'
import type { ServerMessage } from '../sieve.ts'
import { sized, unsized, type WholeAnswer } from './whole-answer.ts'

export interface ReplyOwner {
  readonly exchange: Exchange | null
  /** The gate, in this turn. */
  readonly passes: boolean
  /** May this piece be handed to the caller? Asked last, behind an open gate; where the answer is no, `goesOn` is called or nothing more. */
  paysDown(piece: Buffer): boolean
  /** What waits may not go: nothing more is wanted for now. */
  waits(): void
  /** There may be room again. */
  roomier(): void
  headSent(): void
  /** All of it is there: it departs with the others of this turn. */
  leaving(): void
  end(reason: Reason): void
  dropped(why: Dropped): void
}

export class Reply {
  readonly #answer: Answer
  readonly #plan: RelayPlan
  readonly #held: HeldBytes
  readonly #owner: ReplyOwner
  readonly #outflow: Outflow
  #head: ResponseHead | null = null
  #body: AnswerBody | null = null
  /** What is no stream, when all of it is there. */
  #whole: WholeAnswer | null = null
  /** The upstream's part is over. */
  #trailers: readonly string[] | null = null
  #watchesDrain = false
  #over = false

  constructor(answer: Answer, plan: RelayPlan, held: HeldBytes, owner: ReplyOwner) {
    this.#answer = answer
    this.#plan = plan
    this.#held = held
    this.#owner = owner
    this.#outflow = new Outflow(plan, why => owner.dropped(why))
  }

  /** Its head went to the caller. */
  get begun(): boolean { return this.#answer.status !== 0 }
  /** The upstream's head is here. */
  get headed(): boolean { return this.#head !== null }
  get isStream(): boolean { return this.#body?.isEvents === true }
  get delimitedByClose(): boolean { return this.#head?.delimitedByClose === true }
  /** The request has its answer, on its way or here. */
  get isAnswered(): boolean { return this.#outflow.answered || this.#whole !== null }

  /** Messages that came and of which nothing went to the caller. */
  get unsaid(): readonly ServerMessage[] { return !this.begun && this.#whole?.is === 'message' ? [this.#whole.message] : this.#outflow.unsaid }

  // ---- what the upstream tells

  begins(head: ResponseHead): void {
    this.#body = new AnswerBody(head, this.#plan.mcp.messageBytes, event => this.#outflow.takes(event), this.#plan.eventName)
    this.#head = this.isStream ? unsized(head) : head
    if (this.isStream) this.#flow()
  }

  takes(chunk: Buffer): void {
    const fault = this.#body?.take(chunk) ?? null
    if (fault !== null) this.#owner.end(fault)
    else if (this.isStream) this.#flow()
    else this.#account()
  }

  ends(trailers: readonly string[]): void {
    this.#trailers = trailers
    if (this.isStream) return this.#flow()
    this.#whole = this.#body?.whole() ?? null
    if (this.#whole === null) this.#owner.end('upstream_malformed')
    else if (this.#owner.passes) this.#owner.leaving()
    else this.#owner.waits()
  }

  // ---- to the caller

  /** What its session may do is not what it was. */
  changed(): void {
    if (this.begun) this.#outflow.changed()
  }

  /** The gate is open, or there is room. @returns whether more may come */
  goesOn(): boolean {
    if (this.#whole !== null && !this.begun && this.#owner.passes) this.depart()
    else this.#pour()
    if (this.#over || !this.#outflow.isEmpty || !this.#owner.passes) return false
    this.#finish()
    return !this.#answer.full
  }

  #flow(): void {
    this.#pour()
    if (this.#over) return
    if (!this.begun || !this.#owner.passes || !this.#outflow.isEmpty) this.#owner.waits()
    else this.#finish()
  }

  #finish(): void {
    if (this.#trailers !== null && this.begun && !this.#answer.ended) this.#answer.finish(this.#trailers)
  }

  #pour(): void {
    if (!this.begun && this.isStream && this.#owner.passes) this.#begin()
    while (this.begun && !this.#over && this.#owner.passes && !this.#answer.full) {
      const piece = this.#outflow.next()
      if (piece === null || !this.#owner.paysDown(piece)) break
      this.#outflow.taken(piece)
      this.#owner.exchange?.passedDown(piece)
      if (!this.#answer.send(piece)) this.#watchDrain()
    }
    this.#account()
  }

  #begin(): void {
    if (this.#head === null) return
    this.#owner.exchange?.handedDown(0)
    this.#answer.sendHead(this.#head)
    this.#owner.headSent()
    this.#plan.begins()
    this.#outflow.changed()
  }

  /** What is whole goes with its head, when the turn in which its end came is over: what happened in it is asked for here. */
  depart(): void {
    if (this.#over || this.begun || this.#whole === null || this.#head === null) return
    if (!this.#owner.passes) return this.#owner.waits()
    const body = this.#whole.is === 'body' ? this.#whole.bytes : this.#outflow.sieved(this.#whole.message, null)
    if (body === null) return this.#owner.end('upstream_malformed')
    const first = body.subarray(0, WITH_HEAD)
    if (!this.#owner.paysDown(first)) return this.#owner.waits()
    const head = sized(this.#head, body.length)
    this.#owner.exchange?.passedDown(first)
    this.#owner.headSent()
    if (body.length > 0 && first.length === body.length) return this.#answer.sendWhole(head, body)
    this.#answer.sendHead(head)
    if (first.length > 0 && !this.#answer.send(first)) this.#watchDrain()
    this.#outflow.goesOn(body.subarray(first.length))
    this.#flow()
  }

  #watchDrain(): void {
    this.#owner.waits()
    if (!this.#watchesDrain) this.#answer.onDrain(() => this.#owner.roomier())
    this.#watchesDrain = true
  }

  /** What it keeps counts with what is kept for its session. */
  #account(): void {
    if (!this.#over && !this.#held.are((this.#body?.waiting ?? 0) + this.#outflow.bytes)) this.#owner.end('limit_reached')
  }

  /** Nothing of it goes on any more. */
  stop(): void {
    this.#over = true
    this.#outflow.clear()
    this.#held.are(0)
  }
}
