// A message of a server, as JSON.parse reads it, which is how callers read it. What is none is passed to nobody. Pure. SPEC: MCP6
import type { MessageId } from '../message.ts'
import type { JsonObject, ServerMessage } from '../sieve.ts'

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)
const isId = (value: unknown): value is MessageId => typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))

/** The value of a text; undefined where it is no JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown // whatever it is is looked at before it is used
  } catch {
    return undefined
  }
}

/** null where it is no message of JSON-RPC 2.0; messages in an array are none: no version that is spoken here has them. @param bytes of it, as they go on */
export function serverMessageOf(value: unknown, bytes: Buffer): ServerMessage | null {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return null
  const { id = null, method } = value
  if (id !== null && !isId(id)) return null
  if (method !== undefined) return typeof method !== 'string' || Object.hasOwn(value, 'result') || Object.hasOwn(value, 'error') || (Object.hasOwn(value, 'id') && id === null) ? null : { is: id === null ? 'notification' : 'request', id, method, value, bytes }
  const told = Object.hasOwn(value, 'error')
  if (told === Object.hasOwn(value, 'result') || !(isObject(told ? value['error'] : value['result'])) || (id === null && !told)) return null
  return { is: 'answer', id, method: '', value, bytes }
}

/** Does it claim to be a message? */
export const claimsToBeMessage = (value: unknown): boolean => Array.isArray(value) || (isObject(value) && Object.hasOwn(value, 'jsonrpc'))
