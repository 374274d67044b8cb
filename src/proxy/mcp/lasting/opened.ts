// What the handles in a caller's message stand for, opened before anything is asked of a rule: its protocol session, the task it is about, the tasks it wants to
// hear of. A request about a task counts as the call of the tool that the task came from. What is none of the session's goes nowhere. SPEC: MCP10, MCP11
import type { Call } from '../../../core/call.ts'
import { sha256 } from '../../../runtime/id.ts'
import { writeJson } from '../../../runtime/strict-json.ts'
import type { Ask } from '../../ask.ts'
import { onlyValue } from '../../http/head.ts'
import type { Handles, Owner, TaskOrigin } from './handles.ts'
import { fault, type Message, type MessageFault } from '../message.ts'

export type OpenedTask = { readonly handle: string; readonly origin: TaskOrigin }

export type Opened = {
  readonly owner: Owner
  /** As the upstream calls it; null where the message belongs to none. */
  readonly session: string | null
  /** The event behind which its stream goes on, likewise; null where it begins. */
  readonly event: string | null
  /** What a request is about; null for every other message. */
  readonly task: OpenedTask | null
  /** Handles of all tasks that it names, by what the upstream calls them. */
  readonly named: ReadonlyMap<string, string>
}

/** What opens a task for whoever asks; null where there is none, or it is over here. */
export type OpenTask = (owner: Owner, handle: string) => TaskOrigin | null

type Json = ReadonlyMap<string, unknown>
type Reading = { readonly message: Message; readonly task: OpenedTask | null; readonly named: ReadonlyMap<string, string> }

export const RELATED_TASK = 'io.modelcontextprotocol/related-task'
const ABOUT_TASKS: ReadonlySet<string> = new Set(['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel'])
/** Tasks that one stream may be asked to tell of. */
const LISTENED_MAX = 256
const NO_NAMES: ReadonlyMap<string, string> = new Map()

const isMap = (value: unknown): value is Json => value instanceof Map

/** A copy with what stands at a place put anew; every step of the way there is an object. */
function put(value: Json, [name = '', ...rest]: readonly string[], what: unknown): Json {
  const inner = value.get(name)
  return new Map(value).set(name, rest.length === 0 ? what : put(isMap(inner) ? inner : new Map(), rest, what))
}

function at(value: Json, path: readonly string[]): unknown {
  let found: unknown = value
  for (const name of path) found = isMap(found) ? found.get(name) : undefined
  return found
}

const unknownTask = ({ id }: Message): MessageFault => fault('task_unknown', 'the task is none of this session', id)

function withParams(message: Message, params: Json): Message {
  return { ...message, params, value: message.value === null ? null : new Map(message.value).set('params', params) }
}

const callOfTask = ({ tool: name, args, digest, grant: under }: TaskOrigin, method: string): Call => ({ kind: 'tool', method, name, args, digest, under })

function aboutTask(message: Message, open: (handle: string) => TaskOrigin | null): Reading | MessageFault {
  const handle = message.params.get('taskId')
  const origin = typeof handle === 'string' ? open(handle) : null
  if (origin === null || typeof handle !== 'string') return unknownTask(message)
  const renamed = withParams(message, put(message.params, ['taskId'], origin.id))
  return { message: { ...renamed, call: callOfTask(origin, message.method), own: null }, task: { handle, origin }, named: new Map([[origin.id, handle]]) }
}

function listening(message: Message, open: (handle: string) => TaskOrigin | null): Reading | MessageFault {
  const path = ['notifications', 'taskIds']
  const handles: unknown = at(message.params, path)
  if (handles === undefined) return { message, task: null, named: NO_NAMES }
  if (!Array.isArray(handles) || handles.length > LISTENED_MAX) return fault('message_malformed', `'taskIds' is a list of at most ${LISTENED_MAX}`, message.id, -32_602)
  const named = new Map<string, string>()
  for (const handle of handles as readonly unknown[]) { // an array of whatever JSON has
    const origin = typeof handle === 'string' ? open(handle) : null
    if (origin === null || typeof handle !== 'string') return unknownTask(message)
    named.set(origin.id, handle)
  }
  return { message: withParams(message, put(message.params, path, [...named.keys()])), task: null, named }
}

/** The task that a message says it belongs to. What answers the server, or tells it something, may also name a task of the caller's own, which stays as it is. */
function related(reading: Reading, open: (handle: string) => TaskOrigin | null): Reading | MessageFault {
  const { message, named } = reading
  if (message.value === null) return reading
  const path = [message.is === 'answer' ? 'result' : 'params', '_meta', RELATED_TASK, 'taskId']
  const handle = at(message.value, path)
  if (handle === undefined) return reading
  const origin = typeof handle === 'string' ? open(handle) : null
  if (origin === null || typeof handle !== 'string') return message.is === 'request' ? unknownTask(message) : reading
  const value = put(message.value, path, origin.id)
  const params = value.get('params')
  return { ...reading, message: { ...message, value, params: isMap(params) ? params : message.params }, named: new Map(named).set(origin.id, handle) }
}

function tasksIn(message: Message, open: (handle: string) => TaskOrigin | null): Reading | MessageFault {
  if (message.method === 'tasks/list') return fault('method_unknown', 'tasks are not listed: their handles are what a caller has of them', message.id, -32_601)
  const reading = ABOUT_TASKS.has(message.method) ? aboutTask(message, open) : message.method === 'subscriptions/listen' ? listening(message, open) : { message, task: null, named: NO_NAMES }
  return 'reason' in reading ? reading : related(reading, open)
}

function sessionIn({ arrival }: Ask, { era, id }: Message, owner: Owner, handles: Handles): string | null | MessageFault {
  const handle = era === 'modern' ? null : onlyValue(arrival.headers, 'mcp-session-id')
  if (handle === false) return fault('message_malformed', 'Mcp-Session-Id stands twice', id)
  if (handle === null) return null
  return handles.sessionIn(owner, handle) ?? fault('stream_unknown', 'this session of the protocol is not one of the caller, or is over: initialize anew', id)
}

/** A server may keep the events of all its sessions in one place: whose they are is known here. */
function eventIn({ arrival }: Ask, { is, id }: Message, owner: Owner, handles: Handles): string | null | MessageFault {
  const handle = is === 'stream' ? onlyValue(arrival.headers, 'last-event-id') : null
  if (handle === false) return fault('message_malformed', 'Last-Event-ID stands twice', id)
  if (handle === null) return null
  return handles.eventIn(owner, handle) ?? fault('stream_unknown', 'this event is none that the caller was told of, or its session is over', id)
}

/** Was its message read for the life and the route that it stands on now? A reload may have come meanwhile, or another life of its session. */
export const isStillFor = ({ opened, live, place }: Ask): boolean => opened !== null && place?.route.mcp != null && opened.owner.route === place.route.name && opened.owner.session === (live?.record.id ?? '')

/** Reads the handles of a message that was read, once. @returns why it goes no further */
export function openHandles(ask: Ask, handles: Handles, open: OpenTask): MessageFault | null {
  const { message, live, place, readBody } = ask
  if (message === null || place === null) return null
  const owner: Owner = { session: live?.record.id ?? '', route: place.route.name }
  const session = sessionIn(ask, message, owner, handles)
  if (session !== null && typeof session !== 'string') return session
  const event = eventIn(ask, message, owner, handles)
  if (event !== null && typeof event !== 'string') return event
  const reading = message.value === null ? { message, task: null, named: NO_NAMES } : tasksIn(message, handle => open(owner, handle))
  if ('reason' in reading) return reading
  if (reading.message !== message && reading.message.value !== null && readBody !== null) {
    const bytes = Buffer.from(writeJson(reading.message.value))
    ask.readBody = { inspected: { value: reading.message.value, digest: sha256(bytes) }, bytes, size: readBody.size }
  }
  ask.message = reading.message
  ask.opened = { owner, session, event, task: reading.task, named: reading.named }
  return null
}
