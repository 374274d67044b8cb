// What a subscription of the newer protocol looks like on its stream: each message names the request it belongs to, and its end is an answer. Pure. SPEC: MCP8, MCP13
import type { MessageId } from '../message.ts'
import type { JsonObject, ServerMessage } from '../sieve.ts'

export const LISTEN = 'subscriptions/listen'
/** Nothing is told before this. */
export const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
export const MESSAGE_EVENT = 'event: message\n'

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null

/** An event on its own. @param json in one line */
export const eventText = (json: string, lead = MESSAGE_EVENT): Buffer => Buffer.from(`${lead}data: ${json}\n\n`)

/** What ends it so that nobody takes it for broken. */
export const subscriptionOver = (id: MessageId): JsonObject => ({ jsonrpc: '2.0', id, result: { resultType: 'complete', _meta: { [SUBSCRIPTION]: id } } })

/** As one of its own. */
export function stamped(message: ServerMessage, id: MessageId): ServerMessage {
  const params = isObject(message.value['params']) ? message.value['params'] : {}
  const meta = isObject(params['_meta']) ? params['_meta'] : {}
  return { ...message, value: { ...message.value, params: { ...params, _meta: { ...meta, [SUBSCRIPTION]: id } } } }
}
