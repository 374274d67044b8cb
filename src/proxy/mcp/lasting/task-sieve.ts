// Tasks in what a server says: each is told by its handle, those of others are told to nobody. A call that became a task is held in the book before its caller
// hears of it. SPEC: MCP11
import type { TaskOrigin } from './handles.ts'
import type { Message } from '../message.ts'
import { type OpenedTask, RELATED_TASK } from './opened.ts'
import { type JsonObject, rewritten, type ServerMessage, type Sieve } from '../sieve.ts'

/** What the sieve asks of the gateway, for the session and the route of its exchange. */
export interface TaskDesk {
  /** null where a caller cannot be given what the server calls it, or nothing was admitted. */
  handleFor(call: Omit<TaskOrigin, 'grant'>): string | null
  /** From now on it is watched over. @param ttl milliseconds that its server keeps it; null where it does not say @returns whether it is */
  holds(id: string, handle: string, ttl: number | null): boolean
  /** Of a task that is open here. */
  known(id: string): string | null
  settled(id: string): void
  /** Nobody will hear of it: where it is not watched over, its server is told to stop. */
  unheard(id: string): void
  /** In place of the answer. */
  refusal(): JsonObject
}

const TERMINAL: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled'])
/** What a server says of a task that it does not know. */
const INVALID_PARAMS = -32_602
const NEWS: ReadonlySet<string> = new Set(['notifications/tasks', 'notifications/tasks/status'])
const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)
const member = (value: JsonObject, name: string): JsonObject | null => (isObject(value[name]) ? value[name] : null)

/** Either era writes it in its way: milliseconds. */
function ttlIn({ ttl, ttlMs }: JsonObject): number | null {
  const said = ttlMs ?? ttl
  return typeof said === 'number' && Number.isFinite(said) ? said : null
}

/** The task that a call has become, in either era. */
function taskIn(result: JsonObject): JsonObject | null {
  const legacy = member(result, 'task')
  return result['resultType'] === 'task' ? result : legacy !== null && typeof legacy['taskId'] === 'string' ? legacy : null
}

/** Tasks are not listed here, whatever a server of the older protocol offers. */
function withoutList(message: ServerMessage, result: JsonObject): ServerMessage {
  const capabilities = member(result, 'capabilities')
  const tasks = capabilities === null ? null : member(capabilities, 'tasks')
  if (capabilities === null || tasks === null || tasks['list'] === undefined) return message
  const { list: _, ...left } = tasks
  return rewritten(message, { ...message.value, result: { ...result, capabilities: { ...capabilities, tasks: left } } })
}

export class TaskSieve implements Sieve {
  readonly #message: Message
  readonly #about: OpenedTask | null
  readonly #named: ReadonlyMap<string, string>
  readonly #desk: TaskDesk
  #unheard = false

  /** @param about the task that the request is about @param named handles of all that it names, by what the server calls them */
  constructor(message: Message, about: OpenedTask | null, named: ReadonlyMap<string, string>, desk: TaskDesk) {
    this.#message = message
    this.#about = about
    this.#named = named
    this.#desk = desk
  }

  changed(): readonly ServerMessage[] { return [] }

  pass(message: ServerMessage): ServerMessage | null {
    switch (message.is) {
      case 'answer': return this.#answer(message)
      case 'notification': return this.#notification(message)
      case 'request': return this.#related(message, 'params', 'drop')
    }
  }

  /** Work that began while its call was cut. */
  unsaid({ is, id, value }: ServerMessage): void {
    const result = is === 'answer' && id === this.#message.id ? member(value, 'result') : null
    const task = result === null || this.#message.method !== 'tools/call' ? null : taskIn(result)
    if (typeof task?.['taskId'] === 'string') this.#desk.unheard(task['taskId'])
  }

  /** Named in the request itself, or open here. */
  #handleOf(id: unknown): string | null { return typeof id === 'string' ? (this.#named.get(id) ?? this.#desk.known(id)) : null }

  // ---- answers

  #answer(message: ServerMessage): ServerMessage | null {
    const result = member(message.value, 'result')
    if (this.#about !== null) return this.#aboutTask(message, result, this.#about)
    if (result === null) return message
    if (this.#message.method === 'initialize') return withoutList(message, result)
    const task = taskIn(result)
    if (task === null) return this.#related(message, 'result', 'strip')
    return this.#message.method === 'tools/call' ? this.#created(message, result, task) : null
  }

  #created(message: ServerMessage, result: JsonObject, task: JsonObject): ServerMessage | null {
    const { call: { name: tool, args, digest } } = this.#message
    const id = task['taskId']
    if (typeof id !== 'string' || args === null) return null
    const handle = this.#desk.handleFor({ id, tool, args, digest })
    if (handle === null) return null
    const isOver = TERMINAL.has(task['status'])
    if (!isOver && !this.#desk.holds(id, handle, ttlIn(task))) {
      if (!this.#unheard) this.#desk.unheard(id)
      this.#unheard = true
      return rewritten(message, this.#desk.refusal())
    }
    const told = { ...task, taskId: handle }
    const plain = rewritten(message, { ...message.value, result: task === result ? told : { ...result, task: told } })
    return this.#meta(plain, 'result', 'strip', new Map([[id, handle]]))
  }

  #aboutTask(message: ServerMessage, result: JsonObject | null, about: OpenedTask): ServerMessage | null {
    const { handle, origin: { id } } = about
    if (result === null) {
      const isUnknown = this.#message.method !== 'tasks/update' && member(message.value, 'error')?.['code'] === INVALID_PARAMS
      if (isUnknown || this.#message.method === 'tasks/result') this.#desk.settled(id)
      return message
    }
    const said = result['taskId']
    if (said !== undefined && said !== id) return null
    const isOver = TERMINAL.has(result['status']) || this.#message.method === 'tasks/result'
    if (isOver) this.#desk.settled(id)
    else if (said !== undefined && !this.#desk.holds(id, handle, ttlIn(result))) return rewritten(message, this.#desk.refusal())
    const told = said === undefined ? message : rewritten(message, { ...message.value, result: { ...result, taskId: handle } })
    return this.#related(told, 'result', 'strip')
  }

  // ---- what else it says

  #notification(message: ServerMessage): ServerMessage | null {
    const params = member(message.value, 'params')
    if (params === null) return message
    if (message.method === ACKNOWLEDGED) return this.#acknowledged(message, params)
    if (!NEWS.has(message.method)) return this.#related(message, 'params', 'drop')
    const id = params['taskId']
    const handle = typeof id === 'string' ? this.#desk.known(id) : null
    if (handle === null || typeof id !== 'string') return null
    if (TERMINAL.has(params['status'])) this.#desk.settled(id)
    return this.#related(rewritten(message, { ...message.value, params: { ...params, taskId: handle } }), 'params', 'drop')
  }

  #acknowledged(message: ServerMessage, params: JsonObject): ServerMessage {
    const asked = member(params, 'notifications')
    const ids: unknown = asked?.['taskIds']
    if (asked === null || ids === undefined) return message
    const handles = Array.isArray(ids) ? ids.map(id => this.#handleOf(id)).filter(handle => handle !== null) : []
    return rewritten(message, { ...message.value, params: { ...params, notifications: { ...asked, taskIds: handles } } })
  }

  #related(message: ServerMessage, of: 'params' | 'result', unknown: 'drop' | 'strip'): ServerMessage | null { return this.#meta(message, of, unknown, this.#named) }

  /** The task that a message says it belongs to. @param unknown what becomes of one that says so of a task of others */
  #meta(message: ServerMessage, of: 'params' | 'result', unknown: 'drop' | 'strip', named: ReadonlyMap<string, string>): ServerMessage | null {
    const inside = member(message.value, of)
    const meta = inside === null ? null : member(inside, '_meta')
    const relation = meta?.[RELATED_TASK]
    if (inside === null || meta === null || relation === undefined) return message
    const id = isObject(relation) ? relation['taskId'] : undefined
    const handle = typeof id === 'string' ? (named.get(id) ?? this.#handleOf(id)) : null
    if (handle === null && unknown === 'drop') return null
    const { [RELATED_TASK]: _, ...others } = meta
    const told = handle === null || !isObject(relation) ? others : { ...others, [RELATED_TASK]: { ...relation, taskId: handle } }
    return rewritten(message, { ...message.value, [of]: { ...inside, _meta: told } })
  }
}
