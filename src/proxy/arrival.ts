// A request as any protocol brings it, and the way back to who sent it. The pipeline and the relays know these two and no protocol.
// SPEC: WIRE15
import type { Duplex, Readable } from 'node:stream'
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { CertificateRead } from '../identity/certificate/client-certificate.ts'
import type { ResponseHead } from './http/response-head.ts'
import type { RefusalText } from './refusal.ts'

/** Headers and trailers are names and values in turn, as received. */
export interface Arrival {
  readonly protocol: 'http1' | 'http2'
  /** `1.0`, `1.1` or `2`; hygiene refuses what is none of them. */
  readonly version: string
  readonly method: string
  /** The request target; `:path` of HTTP/2. */
  readonly target: string
  /** Without HTTP/2's pseudo headers; its authority stands in front as `host`. */
  readonly headers: readonly string[]
  /** `:protocol` of an extended CONNECT (RFC 8441), which then counts as a GET with that upgrade; null otherwise. */
  readonly connects: string | null
  /** Address of the peer. */
  readonly peer: string
  /** Came over TLS. */
  readonly secure: boolean
  /** The name the TLS client asked for; null where it named none. */
  readonly serverName: string | null
  /** What the client of its connection proved by TLS, when the connection began; null where it showed no certificate. */
  readonly certificate: CertificateRead | null
  /** Waits for 100 before it sends its body. */
  readonly expectsContinue: boolean
  readonly at: Instant
  readonly body: Readable
  /** Everything of it has arrived. */
  readonly complete: boolean
  /** Behind the body's end. */
  readonly trailers: readonly string[]
  readonly answer: Answer
  /**
   * Hands over the head that switches protocols, 101 with `upgrade` and `connection` in HTTP/1.1, 200 in HTTP/2; behind it the answer tells nothing more.
   * @returns null when the caller is gone, or asked for no other protocol
   */
  takeOver(headers: readonly string[]): CallerStream | null
}

/** The caller's bytes behind the switch of protocols, whatever protocol they come in. */
export type CallerStream = {
  readonly socket: Duplex
  /** What came behind the request's head already. */
  readonly head: Buffer
  /** Ends it now and drops what waits: a reset of the connection, or of its stream. Nothing where it is gone. */
  readonly reset: () => void
}

/** A body of at most so many bytes goes out with its head, in one write; the head of a longer one is sent ahead when the body is late. */
export const WITH_HEAD = 16_384

/** The way back. What hands bytes over is called only behind an open gate, in the same turn. Nothing throws. */
export interface Answer {
  /** Of the head that was handed over, 0 before. */
  readonly status: number
  /** Nothing can be said any more. */
  readonly gone: boolean
  /** Its end was handed over. */
  readonly ended: boolean
  /** Everything was handed to the socket, its end too. */
  readonly finished: boolean
  /** Bytes that wait in this process. */
  readonly waiting: number
  /** It takes nothing more for now. */
  readonly full: boolean
  /** Told once, when it is gone or finished. @returns takes the listener away */
  onClose(listener: () => void): () => void
  /** Told whenever it was full and is not any more. */
  onDrain(listener: () => void): void
  /** 100: the body may come. */
  proceed(): void
  /** An interim answer from the upstream. */
  inform(status: number, headers: readonly string[]): void
  sendHead(head: ResponseHead): void
  /** Head and body in one write. */
  sendWhole(head: ResponseHead, body: Buffer): void
  /** @returns false when it is full now */
  send(chunk: Buffer): boolean
  finish(trailers: readonly string[]): void
  /** What waits in this process stays here. */
  hold(): void
  release(): void
  /** A sign of life where the protocol has one, now and then, while it is held. */
  heartbeat(now: Instant): void
  /** Ends it now: politely where the protocol can and nothing waits, else by a reset, which drops what waits. */
  cut(reason: Reason, politely: boolean): void
  /** Ends it now: an event stream between two events, where nothing waits, with these bytes and a whole end within 250 ms; anything else by a reset, which drops what waits. */
  farewell(words: Buffer): void
  /** The gateway's own answer in the protocol's form. @param close the connection is not to be used again */
  refuse(text: RefusalText, contentLength: number | null, close: boolean): void
  /** The connection is not used again behind this answer. */
  last(): void
}
