// What an exchange and its place upstream tell each other: one pair of interfaces for every protocol that is spoken to an upstream.
// SPEC: WIRE12, ENF10
import type { Reason } from '../core/reason.ts'

/** What goes upstream, ready to be written. Headers and trailers are names and values in turn everywhere here. */
export type UpstreamRequest = {
  readonly method: string
  /** The canonical path and query. */
  readonly path: string
  /** `host` first. Framing (`content-length`, `transfer-encoding`) and connection headers are the connection's own doing. */
  readonly headers: readonly string[]
  /** Bytes of the body: 0 where there is none, null where it is not known before it ends. */
  readonly bodyLength: number | null
}

/** Why an answer cannot come, or not whole. */
export type UpstreamFault = Extract<Reason, `upstream_${string}`>

/** An exchange's place on a connection, from the moment that one is there. Nothing throws; behind `abort`, or the end, nothing has an effect. */
export interface Sending {
  /** Hands bytes of the body to the socket. @returns false when it takes no more for now: `drained` tells when it does again */
  write(chunk: Buffer): boolean
  /** The body is whole. */
  end(trailers: readonly string[]): void
  /** Nothing more of the answer is told until `resume`; the peer feels it. */
  pause(): void
  resume(): void
  /** Gives the place up now: HTTP/1.1 destroys the connection, HTTP/2 resets the stream with CANCEL. Nothing is told any more. */
  abort(): void
}

export type AnswerHead = { readonly status: number; /** Reason phrase; empty in HTTP/2. */ readonly text: string; readonly headers: readonly string[] }

/** The exchange's side. At most one of `ended`, `failed` is told, last. */
export interface UpstreamHandler {
  /** Address the request counts as coming from; null for a question of the gateway's own, which is never sent elsewhere. */
  readonly source: string | null
  /**
   * A connection is there and nothing was written to it: asked once, in the turn in which the head is written.
   * @returns null when it is not to be sent after all
   */
  outgoing(sending: Sending): UpstreamRequest | null
  drained(): void
  /** An interim answer: 1xx, but neither 100 nor 101. */
  informed(head: AnswerHead): void
  answered(head: AnswerHead): void
  data(chunk: Buffer): void
  ended(trailers: readonly string[]): void
  failed(fault: UpstreamFault): void
}
