// What a relay asks of the request it carries, and what it tells it. SPEC: WIRE9, WIRE15
import type { Grant } from '../../core/decision.ts'
import type { Reason } from '../../core/reason.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import type { AnswerHead } from '../../upstream/handler.ts'
import type { HttpRelay } from './relay.ts'
import type { ResponseHead } from './response-head.ts'

export interface RelayOwner {
  /** Address the request counts as coming from. */
  readonly sourceAddress: string
  isTooEarly(grant: Grant): boolean
  /** Of the request, those that may go on. */
  trailersUp(): readonly string[]
  /** The token its caller showed. */
  bearer(): string | null
  /** Fields of the upstream's, but for those that tell what it was shown. */
  told(fields: readonly string[]): readonly string[]
  doubt(exchange: Exchange): void
  /** Ends the exchange for a reason that came up on the wire. */
  end(exchange: Exchange, reason: Reason): void
  /** Answers with a refusal; the response head has not begun. */
  refuse(relay: HttpRelay, reason: Reason): void
  /** The upstream's head as the caller gets it; null where its framing is broken. */
  responseHead(relay: HttpRelay, head: AnswerHead): ResponseHead | null
  /** Names and values of the head that goes upstream. Asked once, when a connection is there. */
  outgoing(relay: HttpRelay): readonly string[]
  headSent(relay: HttpRelay): void
  /** Its answer is whole: it departs with the others of this turn. */
  leaving(relay: HttpRelay): void
  /** The whole answer was handed to the caller's socket. */
  completed(relay: HttpRelay): void
}
