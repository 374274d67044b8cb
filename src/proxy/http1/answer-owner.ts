// What an answer of HTTP/1.1 asks of its request and of its connection. SPEC: WIRE15
import type { Socket } from 'node:net'
import type { Instant } from '../../core/time.ts'

/** The request it answers. */
export type Asked = {
  readonly method: string
  readonly version: string
  readonly expectsContinue: boolean
  readonly complete: boolean
  /** The caller wants the connection to go on. */
  readonly keeps: boolean
}

/** The connection's side. */
export interface AnswerOwner {
  readonly socket: Socket
  /** Under it where TLS lies between: only it can be reset. */
  readonly raw: Socket
  /** Its lines on a connection that goes on. */
  readonly keepAlive: string
  /** Nothing comes behind this answer. */
  readonly closing: boolean
  /** Called with the last octets of an answer, when the system has them. */
  readonly flushed: (error?: Error | null) => void
  now(): Instant
  /** What is left of the request's body is read for a while and dropped. */
  drain(): void
  /** Likewise, and then the connection ends. */
  linger(): void
}
