// What becomes of each message of a server on its way to the caller: passed, changed, or dropped; and what the gateway adds. Every message passes all sieves of
// its exchange, in their order, behind an open gate and in the turn in which it is handed on. SPEC: MCP6
import type { MessageId } from './message.ts'

export type JsonObject = { readonly [member: string]: unknown }

export type ServerMessage = {
  readonly is: 'answer' | 'request' | 'notification'
  /** null for notifications. */
  readonly id: MessageId | null
  /** Empty for answers. */
  readonly method: string
  /** As JSON.parse reads it. */
  readonly value: JsonObject
  /** Its bytes as they came, or null where it was changed or made here: then it is written anew. */
  readonly bytes: Buffer | null
}

export interface Sieve {
  /** @returns what the caller gets in its place, or null for nothing. Must not throw and must not wait. */
  pass(message: ServerMessage): ServerMessage | null
  /** Something changed for the session or its tools (its stamp moved, or it goes on behind a freeze): what the caller is told of that now, on a stream. */
  changed(): readonly ServerMessage[]
}

/** A notification of the gateway's own. */
export const notification = (method: string, params: JsonObject = {}): ServerMessage => ({ is: 'notification', id: null, method, value: { jsonrpc: '2.0', method, params }, bytes: null })

/** The same message with another value. */
export const rewritten = (message: ServerMessage, value: JsonObject): ServerMessage => ({ ...message, value, bytes: null })
