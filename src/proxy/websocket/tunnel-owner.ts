// What a tunnel asks and tells of the exchange it carries. SPEC: WIRE18
import type { Reason } from '../../core/reason.ts'
import type { MessageRules } from '../../core/route.ts'
import type { AnswerHead } from '../../upstream/handler.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { CallerStream } from '../arrival.ts'

export interface TunnelOwner {
  /** The gate. */
  readonly passes: boolean
  readonly frozen: boolean
  /** Or was a moment ago: what a paused socket tells then may have happened before. */
  readonly frozenLately: boolean
  doubt(): void
  end(reason: Reason): void
  /** What the rule of this moment says of single messages. */
  rules(): MessageRules | null
  /** The connection is there and nothing was written to it: asked in the turn in which the head is. */
  mayAsk(): boolean
  relayed(head: AnswerHead): ResponseHead | null
  /** Both ends agreed. @returns the caller's bytes from now on; null when it is gone */
  takeOver(headers: readonly string[]): CallerStream | null
  /** An ordinary answer, whole. Asked behind an open gate. */
  answered(head: ResponseHead, body: Buffer): void
  /** May this piece be handed on? Asked last, behind an open gate; where the answer is no, the tunnel is thawed or cut. */
  pays(way: 'up' | 'down', piece: Buffer): boolean
  handedUp(bytes: Buffer): void
  handedDown(bytes: Buffer): void
  /** Both sides said good-bye and are gone. */
  left(): void
}
