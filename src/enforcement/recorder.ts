// What enforcement needs of the record: an interface, so that the order "recorded, then dispatched" is visible where it is kept.
// SPEC: AUD2
import type { Grant } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { Exchange, Inquiry } from './exchange.ts'
import type { Witness } from './reassess.ts'

export interface Recorder extends Witness {
  /** Buffers the record of an admission. Throws when the trail cannot take it. */
  opened(exchange: Exchange): void
  /** Hands everything buffered to the operating system in one write. Throws when that fails. */
  flush(): void
  /** The intent of an elevated request on stable storage, before it is admitted. Rejects when that fails. */
  intended(inquiry: Inquiry, grant: Grant, until: Instant): Promise<void>
  /** Intended or admitted and recorded, but its right ended before the dispatch. */
  notDispatched(exchange: Pick<Inquiry, 'id' | 'live'>, reason: Reason): void
  /** The whole answer was handed to the caller's socket. */
  completed(exchange: Exchange, status: number): void
}
