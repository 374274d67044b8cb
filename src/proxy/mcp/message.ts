// A message of MCP as a caller sends it, read so that no server can read it as another: JSON-RPC 2.0 by exact names, one message at a time, and what it
// touches. Pure. SPEC: MCP1, MCP2
import type { Call, CallKind, McpRoute } from '../../core/call.ts'
import type { Reason } from '../../core/reason.ts'
import { sha256 } from '../../runtime/id.ts'
import { writeJson } from '../../runtime/strict-json.ts'
import { Names } from './spelling.ts'
import { uriFault } from './uri.ts'

/** `modern` since 2026-07-28: every request stands alone. */
export type Era = 'modern' | 'legacy'

export type MessageId = string | number
export type Params = ReadonlyMap<string, unknown>

/** A tool of the gateway's own, by which a session asks for more. */
export const OWN_TOOLS = ['request_elevation', 'elevation_status', 'release_elevation'] as const
export type OwnTool = (typeof OWN_TOOLS)[number]

export type Message = {
  readonly era: Era
  /** As the request names it; empty where it names none. */
  readonly version: string
  /** `answer` to a question of the server. `stream` and `end` have no body: GET and DELETE of the older protocol. */
  readonly is: 'request' | 'notification' | 'answer' | 'stream' | 'end'
  /** null for notifications and what has no body. */
  readonly id: MessageId | null
  readonly method: string
  readonly params: Params
  /** All of it; null where there is no body. */
  readonly value: ReadonlyMap<string, unknown> | null
  readonly call: Call
  /** What it calls is answered here. */
  readonly own: OwnTool | null
}

/** Why a message is refused; `code` of JSON-RPC, null for that of the reason. */
export type MessageFault = { readonly reason: Reason; readonly detail: string; readonly code: number | null; readonly data: object | null; readonly id: MessageId | null }

export const fault = (reason: Reason, detail: string, id: MessageId | null = null, code: number | null = null, data: object | null = null): MessageFault => ({ reason, detail, code, data, id })

/** The protocol itself: what touches nothing, or only what is judged one by one. */
const PROTOCOL: ReadonlySet<string> = new Set([
  'initialize', 'ping', 'server/discover', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'logging/setLevel', 'subscriptions/listen',
  'notifications/initialized', 'notifications/cancelled', 'notifications/progress', 'notifications/roots/list_changed',
])
/** Methods of the protocol that touch something, or may. */
const TOUCHING = ['tools/call', 'prompts/get', 'resources/read', 'resources/subscribe', 'resources/unsubscribe', 'completion/complete', 'tasks/get', 'tasks/result', 'tasks/list', 'tasks/update', 'tasks/cancel']
const METHODS = new Names([...PROTOCOL, ...TOUCHING])
/** Members of `params`, of `_meta` and of references that are read here or by rules. */
const MEMBERS = new Names(['name', 'arguments', 'uri', '_meta', 'taskId', 'task', 'cursor', 'ref', 'argument', 'context', 'requestState', 'inputResponses', 'requestId', 'notifications', 'protocolVersion', 'capabilities', 'clientInfo', 'level'])
const META = new Names(['progressToken', ...['protocolVersion', 'clientCapabilities', 'clientInfo', 'logLevel', 'subscriptionId', 'related-task'].map(name => `io.modelcontextprotocol/${name}`)])
const REFERENCE = new Names(['type', 'name', 'uri'])

const METHOD = /^[\x21-\x7e]{1,128}$/
const TOOL_NAME = /^[\x21-\x7e]{1,256}$/
const PROMPT_NAME = /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/
/** As JSON-RPC and MCP have it where what a method is asked with is wrong. */
const INVALID_PARAMS = -32_602
const NOTIFICATIONS = 'notifications/'
/** Of a request; beyond that nobody needs them. */
const ID_LENGTH = 256
/** Resources that one subscription names. */
const SUBSCRIPTIONS_MAX = 1_000
const NO_PARAMS: Params = new Map()
export const NO_ARGUMENTS: ReadonlyMap<string, unknown> = new Map()

const REQUEST: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params'])
const ANSWER: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'result', 'error'])

const isMap = (value: unknown): value is ReadonlyMap<string, unknown> => value instanceof Map
const isId = (value: unknown): value is MessageId => (typeof value === 'string' && value.length <= ID_LENGTH) || Number.isSafeInteger(value)
const hasOnly = (value: ReadonlyMap<string, unknown>, names: ReadonlySet<string>): boolean => [...value.keys()].every(name => names.has(name))

export const plainCall = (kind: CallKind, method: string): Call => ({ kind, method, name: '', args: NO_ARGUMENTS, digest: null })

const digestOf = (args: unknown): string => sha256(writeJson(args))

function named(kind: 'tool' | 'prompt', method: string, name: unknown, args: unknown): Call | string {
  const pattern = kind === 'tool' ? TOOL_NAME : PROMPT_NAME
  if (typeof name !== 'string' || !pattern.test(name)) return `'${method}' names nothing that can be a ${kind}: 1 to 256 visible ASCII characters`
  if (args !== undefined && !isMap(args)) return `the arguments of '${method}' are no object`
  return { kind, method, name, args: args ?? NO_ARGUMENTS, digest: args === undefined ? null : digestOf(args) }
}

function resource(method: string, uri: unknown, isTemplate = false): Call | string {
  if (typeof uri !== 'string') return `'${method}' names no resource`
  const fault = uriFault(uri, isTemplate)
  return fault === null ? { kind: 'resource', method, name: uri, args: NO_ARGUMENTS, digest: null } : `the URI ${fault}`
}

function completion(params: Params): Call | string {
  const ref = params.get('ref')
  if (!isMap(ref)) return "'completion/complete' refers to nothing"
  if (REFERENCE.isAnyMisspelt(ref)) return 'a member of `ref` may be read as another one'
  switch (ref.get('type')) {
    case 'ref/prompt': return named('prompt', 'completion/complete', ref.get('name'), undefined)
    case 'ref/resource': return resource('completion/complete', ref.get('uri'), true)
    default: return "'completion/complete' refers to what is neither a prompt nor a resource"
  }
}

/** What it is told of on a stream is judged one by one; here only that it can be. */
function listening(method: string, params: Params): Call | string {
  const asked = params.get('notifications')
  const uris = isMap(asked) ? (asked.get('resourceSubscriptions') ?? []) : []
  if (!Array.isArray(uris) || uris.length > SUBSCRIPTIONS_MAX) return `resources are subscribed to in a list of at most ${SUBSCRIPTIONS_MAX}`
  const fault = uris.map(uri => (typeof uri === 'string' ? uriFault(uri) : 'is no text')).find(each => each !== null) ?? null
  return fault === null ? plainCall('protocol', method) : `the URI ${fault}`
}

/** What a method touches; a text says why that cannot be told. */
export function callOf(method: string, params: Params): Call | string {
  switch (method) {
    case 'tools/call': return named('tool', method, params.get('name'), params.get('arguments'))
    case 'prompts/get': return named('prompt', method, params.get('name'), params.get('arguments'))
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe': return resource(method, params.get('uri'))
    case 'completion/complete': return completion(params)
    case 'subscriptions/listen': return listening(method, params)
    default: return plainCall(PROTOCOL.has(method) ? 'protocol' : 'unknown', method)
  }
}

/** The gateway's own tool of that name, where the route offers them. */
export function ownToolOf({ offers }: McpRoute, call: Call): OwnTool | null {
  if (offers === null || call.method !== 'tools/call' || !call.name.startsWith(offers.prefix)) return null
  return OWN_TOOLS.find(name => call.name === `${offers.prefix}${name}`) ?? null
}

export type Read = Omit<Message, 'era' | 'version'>

const isError = (value: unknown): boolean => isMap(value) && Number.isSafeInteger(value.get('code')) && typeof value.get('message') === 'string'

function answer(value: ReadonlyMap<string, unknown>): Read | MessageFault {
  const id = value.get('id')
  if (!hasOnly(value, ANSWER) || !isId(id) || value.has('result') === value.has('error')) return fault('message_malformed', 'an answer has an id and either a result or an error')
  if (value.has('error') ? !isError(value.get('error')) : !isMap(value.get('result'))) return fault('message_malformed', 'a result is an object, and an error has a code and a message')
  return { is: 'answer', id, method: 'answer', params: NO_PARAMS, value, call: plainCall('protocol', 'answer'), own: null }
}

/** What else than it says its members could be taken for. */
function spellingFault(method: string, params: Params): string | null {
  if (!METHOD.test(method) || METHODS.isMisspelt(method)) return 'the method is written as none is'
  const meta = params.get('_meta')
  if (meta !== undefined && !isMap(meta)) return '`_meta` is no object'
  return MEMBERS.isAnyMisspelt(params) || (meta !== undefined && META.isAnyMisspelt(meta)) ? 'a member of `params` or `_meta` may be read as another one' : null
}

/** @param value as strict JSON is read */
export function messageOf(value: unknown, mcp: McpRoute): Read | MessageFault {
  if (Array.isArray(value)) return fault('message_malformed', 'messages come one at a time')
  if (!isMap(value) || value.get('jsonrpc') !== '2.0') return fault('message_malformed', 'the body is no message of JSON-RPC 2.0')
  if (!value.has('method')) return answer(value)
  const [id, method, params = NO_PARAMS] = [value.get('id'), value.get('method'), value.get('params')]
  const known = isId(id) ? id : null
  if (!hasOnly(value, REQUEST) || typeof method !== 'string' || !isMap(params) || (value.has('id') && known === null)) return fault('message_malformed', 'the message has other members than `jsonrpc`, `id`, `method` and `params`, or of another type', known)
  const misspelt = spellingFault(method, params)
  if (misspelt !== null) return fault('message_malformed', misspelt, known)
  if (method.startsWith(NOTIFICATIONS) !== (known === null)) return fault('message_malformed', 'requests have an id, and notifications have none', known)
  const called = callOf(method, params)
  if (typeof called === 'string') return fault('message_malformed', called, known, INVALID_PARAMS)
  const own = ownToolOf(mcp, called)
  const call: Call = own === null ? called : { ...called, kind: 'protocol' }
  return { is: known === null ? 'notification' : 'request', id: known, method, params, value, call, own }
}
