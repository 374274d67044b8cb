// How one message of a caller goes upstream, and what becomes of what comes back: all that a relay is told of MCP beside the message itself. SPEC: MCP6
import type { McpRoute } from '../../core/call.ts'
import type { Reason } from '../../core/reason.ts'
import { nameOf } from '../http/header-names.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { Message, MessageId } from './message.ts'
import type { ServerMessage, Sieve } from './sieve.ts'

export type RelayPlan = {
  readonly message: Message
  readonly mcp: McpRoute
  /** In this order. */
  readonly sieves: readonly Sieve[]
  /** Why its request is not let go on, as everything open is when it is admitted; null where it is. */
  readonly obstacle: () => Reason | null
  /** What the headers of the request become, names and values in turn, before they are signed. */
  readonly goesUp: (headers: readonly string[]) => readonly string[]
  /** What the head of the answer becomes; null where there is none that may be passed. */
  readonly comesDown: (head: ResponseHead) => ResponseHead | null
  /** What an event on its stream is called to the caller; null where it is called nothing. */
  readonly eventName: (id: string) => string | null
  /** Told when the head of a stream goes to the caller. */
  readonly begins: () => void
  /** Told of what came and will never be told, where its exchange was cut. */
  readonly unsaid: (messages: readonly ServerMessage[]) => void
  /** May the answer to another request than its own go on? Asked when it would be handed on, each time. */
  readonly answers: (id: MessageId) => boolean
}

/** Of the older protocol; the newer one knows nothing that outlives a request. */
const OLD: ReadonlySet<string> = new Set(['mcp-session-id', 'last-event-id'])
const ENCODING = 'accept-encoding'
/** Of its body as it came (RFC 9530): what goes up is written anew. */
const DIGESTS: ReadonlySet<string> = new Set(['content-digest', 'repr-digest', 'digest', 'content-md5'])

/** What every message goes up with: an answer that can be read, and nothing of a protocol that is not its own. */
export function headersUp({ era }: Message, headers: readonly string[]): readonly string[] {
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const { dashed } = nameOf(name)
    if (dashed !== ENCODING && !DIGESTS.has(dashed) && !(era === 'modern' && OLD.has(dashed))) out.push(name, headers[i + 1] ?? '')
  }
  out.push(ENCODING, 'identity')
  return out
}

const noOther = (): boolean => false
const asItIs = (id: string): string => id
const ignore = (): void => {}

export const planOf = (message: Message, mcp: McpRoute, more: Partial<RelayPlan> = {}): RelayPlan =>
  ({ message, mcp, sieves: [], obstacle: () => null, unsaid: () => {}, goesUp: headers => headersUp(message, headers), comesDown: head => head, begins: ignore, answers: noOther, eventName: asItIs, ...more })
