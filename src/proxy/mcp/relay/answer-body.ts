// The body of a server's answer as it comes: events one by one, anything else when all of it is there. What is kept of it counts with the bodies that are
// held of its session. SPEC: MCP6
import type { Reason } from '../../../core/reason.ts'
import type { ResponseHead } from '../../http/response-head.ts'
import { GatheredBytes } from '../../../runtime/gathered-bytes.ts'
import type { InspectedBytes } from '../../http/inspected-bytes.ts'
import { type EventName, EventParser, type ServerEvent } from './event-parser.ts'
import { mediaTypeOf, type WholeAnswer, wholeAnswer } from './whole-answer.ts'

/** How much of its session's share an exchange has. */
export class HeldBytes {
  readonly #memory: InspectedBytes
  readonly #session: string
  readonly #largest: number
  #held = 0

  /** @param largest message that its route takes */
  constructor(memory: InspectedBytes, session: string, largest: number) {
    this.#memory = memory
    this.#session = session
    this.#largest = largest
  }

  /** It holds so many bytes now. @returns false where that is more than it may */
  are(bytes: number): boolean {
    if (bytes > this.#held && !this.#memory.take(bytes - this.#held, this.#session, this.#largest)) return false
    if (bytes < this.#held) this.#memory.give(this.#held - bytes, this.#session)
    this.#held = bytes
    return true
  }
}

export class AnswerBody {
  /** Its body is an event stream that can be read. */
  readonly isEvents: boolean
  readonly #head: ResponseHead
  readonly #most: number
  readonly #events: EventParser
  #misread = false
  readonly #gathered = new GatheredBytes()
  #size = 0

  /** @param most bytes of one message @param takes false for an event that is no message */
  constructor(head: ResponseHead, most: number, takes: (event: ServerEvent) => boolean, nameOf: EventName) {
    this.#head = head
    this.#most = most
    this.isEvents = !head.encoded && mediaTypeOf(head) === 'text/event-stream'
    this.#events = new EventParser(most, event => {
      if (!this.#misread && !takes(event)) this.#misread = true
    }, nameOf)
  }

  /** Bytes of what is not whole. */
  get waiting(): number { return this.isEvents ? this.#events.waiting : this.#size }

  take(chunk: Buffer): Reason | null {
    if (this.isEvents) return this.#events.read(chunk) && !this.#misread ? null : 'upstream_malformed'
    this.#size += chunk.length
    if (this.#size > this.#most) return 'upstream_malformed'
    this.#gathered.add(chunk)
    return null
  }

  /** What came to its end; null where it may not be passed. */
  whole(): WholeAnswer | null { return wholeAnswer(this.#head, this.#gathered.take()) }
}
