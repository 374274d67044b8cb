// Messages of a server on their way to the caller, in order. Each passes the sieves when its first byte may go, not when it came, and no byte of it is kept
// ready: what waits is asked about again. Hands over nothing itself. SPEC: MCP6, MCP8, MCP9
import { BoundedMap } from '../../../runtime/bounded-map.ts'
import type { MessageId } from '../message.ts'
import type { ServerEvent } from './event-parser.ts'
import type { RelayPlan } from '../plan.ts'
import { jsonOf, serverMessageOf } from './server-message.ts'
import type { ServerMessage } from '../sieve.ts'
import { ACKNOWLEDGED, eventText, LISTEN, MESSAGE_EVENT, stamped } from './subscription.ts'

/** Why a message went nowhere; what sieves drop they count themselves. */
export type Dropped = 'other_answer' | 'second_answer' | 'no_message'

/** What goes on without being a message, or a message with the other lines of its event. */
type Waiting = { readonly message: null; readonly bytes: Buffer } | { readonly message: ServerMessage; readonly lead: string; readonly own: boolean }

/** Bytes that pass one look at the gate. */
const PIECE = 65_536
const NOTHING: Buffer = Buffer.alloc(0)
/** Answers to other requests that a stream remembers: many more than can be awaited at a time. */
const OTHERS_MAX = 1_024
const sizeOf = (waiting: Waiting): number => (waiting.message === null ? waiting.bytes : (waiting.message.bytes ?? NOTHING)).length

export class Outflow {
  readonly #plan: RelayPlan
  readonly #dropped: (why: Dropped) => void
  #waiting: Waiting[] = []
  /** Of a message that has begun. */
  #rest = NOTHING
  /** All of the first that waits, as it may go in this turn. */
  #offer = NOTHING
  #bytes = 0
  #answered = false
  /** Other requests that were answered here. */
  #others: BoundedMap<MessageId, true> | null = null
  /** It carries news of the session, and the caller has been told so. */
  #subscribed: boolean

  constructor(plan: RelayPlan, dropped: (why: Dropped) => void) {
    this.#plan = plan
    this.#dropped = dropped
    this.#subscribed = plan.message.is === 'stream'
  }

  get isEmpty(): boolean { return this.#waiting.length === 0 && this.#rest.length === 0 }
  /** Bytes that wait here. */
  get bytes(): number { return this.#bytes + this.#rest.length }
  /** The request's own answer has begun to go to the caller. */
  get answered(): boolean { return this.#answered }
  /** What waits and did not begin to go. */
  get unsaid(): readonly ServerMessage[] { return this.#waiting.flatMap(({ message }) => (message === null ? [] : [message])) }

  /** @returns false where it is no message */
  takes({ bytes, lead, type, data }: ServerEvent): boolean {
    if (data === null) this.#add({ bytes, message: null })
    else if (type !== '' && type !== 'message') this.#dropped('no_message') // no caller reads it
    else {
      const message = serverMessageOf(jsonOf(data), bytes)
      if (message === null) return false
      this.#add({ message, lead, own: false })
    }
    return true
  }

  /** What the sieves have to say of a change goes behind what waits, once of each kind. */
  changed(): void {
    const { message: { id, era }, sieves } = this.#plan
    if (!this.#subscribed) return
    for (const message of sieves.flatMap(sieve => sieve.changed())) {
      if (this.#waiting.some(waiting => waiting.message !== null && waiting.own && waiting.message.method === message.method)) continue
      this.#add({ message: era === 'modern' && id !== null ? stamped(message, id) : message, lead: MESSAGE_EVENT, own: true })
    }
  }

  /** The next bytes that may go, as everything is now. Asked behind an open gate; the next time they may be others, unless they are taken. */
  next(): Buffer | null {
    if (this.#rest.length > 0) return this.#rest.subarray(0, PIECE)
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const bytes = first.message === null ? first.bytes : this.sieved(first.message, first.lead)
      if (bytes !== null) {
        this.#offer = bytes
        return bytes.subarray(0, PIECE)
      }
      this.#shift()
    }
    return null
  }

  /** Those that were told last are handed on, in this turn. */
  taken({ length }: Buffer): void {
    if (this.#rest.length > 0) {
      this.#rest = this.#rest.subarray(length)
      return
    }
    this.#rest = this.#offer.subarray(length)
    this.#offer = NOTHING
    const first = this.#shift()
    if (first !== undefined && first.message !== null) this.#handed(first.message)
  }

  /** What the caller gets of a message; null for nothing. @param lead lines before its data; null where it is no event */
  sieved(message: ServerMessage, lead: string | null): Buffer | null {
    const barred = this.#barred(message, lead === null)
    let passed: ServerMessage | null = barred === null ? message : null
    for (const sieve of this.#plan.sieves) passed = passed === null ? null : sieve.pass(passed)
    if (barred !== null) this.#dropped(barred)
    if (passed === null) return null
    if (passed.bytes !== null) return passed.bytes
    const json = JSON.stringify(passed.value)
    return lead === null ? Buffer.from(json) : eventText(json, lead)
  }

  /** @param alone nothing else can be answered by it: an error may be without an id */
  #barred({ is, id }: ServerMessage, alone: boolean): Dropped | null {
    const { message, answers } = this.#plan
    if (is !== 'answer') return null
    if (message.is === 'request' && id === message.id) return this.#answered ? 'second_answer' : null
    if (id === null) return alone ? null : 'other_answer'
    return alone || !answers(id) ? 'other_answer' : this.#others?.has(id) === true ? 'second_answer' : null
  }

  #handed({ is, id, method }: ServerMessage): void {
    const { message } = this.#plan
    if (is === 'answer' && id === message.id) this.#answered = true
    else if (is === 'answer' && id !== null) (this.#others ??= new BoundedMap<MessageId, true>(OTHERS_MAX)).set(id, true)
    if (method !== ACKNOWLEDGED || message.method !== LISTEN || this.#subscribed) return
    this.#subscribed = true
    this.changed()
  }

  /** What is left of a body that has begun goes on behind it. */
  goesOn(rest: Buffer): void { this.#rest = rest }

  clear(): void {
    this.#waiting = []
    this.#rest = this.#offer = NOTHING
    this.#bytes = 0
  }

  #add(waiting: Waiting): void {
    this.#waiting.push(waiting)
    this.#bytes += sizeOf(waiting)
  }

  #shift(): Waiting | undefined {
    const first = this.#waiting.shift()
    if (first !== undefined) this.#bytes -= sizeOf(first)
    return first
  }
}
