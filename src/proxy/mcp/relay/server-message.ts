// A message of a server, as JSON.parse reads it, which is how callers read it. What is none is passed to nobody. Pure. SPEC: MCP6
import type { MessageId } from '../message.ts'
import type { JsonObject, ServerMessage } from '../sieve.ts'

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)
const isId = (value: unknown): value is MessageId => typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))

/** Deeper than anybody means: what is written anew so deep takes seconds. */
const DEPTH_MAX = 256
const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [34, 92, 91, 93, 123, 125]

/** Where the string that begins there ends; the end of the text where it does not. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let before = at
    while (text.charCodeAt(before - 1) === BACKSLASH) before--
    if ((at - before) % 2 === 0) return at
  }
  return text.length
}

function isTooDeep(text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) depth++
    else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth--
    if (depth > DEPTH_MAX) return true
  }
  return false
}

/** The value of a text; undefined where it is no JSON, or too deep. */
export function jsonOf(text: string): unknown {
  if (isTooDeep(text)) return undefined
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
