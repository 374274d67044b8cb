// Lists of tools, prompts and resources on their way to a caller: only what its session may do now, in the server's order, page by page, with the gateway's own
// tools behind the first. They are for convenience: whatever they say, each call is judged. SPEC: MCP12, MCP14
import { type Call, coversName, type Glob, type McpRoute } from '../../../core/call.ts'
import type { Route, Rule } from '../../../core/route.ts'
import { earlier, FOREVER, type Instant } from '../../../core/time.ts'
import { definitionDigest, isObject } from './definition.ts'
import { callOf, type Message, NO_ARGUMENTS, ownToolOf } from '../message.ts'
import { ownCache } from './own-cache.ts'
import { type JsonObject, rewritten, type ServerMessage, type Sieve } from '../sieve.ts'
import type { Supposing } from './supposing.ts'
import type { ToolPins } from './tool-pins.ts'

/** `member`: where a result has the entries. `by`: what an entry is called by, and with which method. */
type ListKind = { readonly member: 'tools' | 'prompts' | 'resources' | 'resourceTemplates'; readonly by: 'name' | 'uri' | 'uriTemplate'; readonly method: string }

const LISTS: ReadonlyMap<string, ListKind> = new Map([
  ['tools/list', { member: 'tools', by: 'name', method: 'tools/call' }],
  ['prompts/list', { member: 'prompts', by: 'name', method: 'prompts/get' }],
  ['resources/list', { member: 'resources', by: 'uri', method: 'resources/read' }],
  ['resources/templates/list', { member: 'resourceTemplates', by: 'uriTemplate', method: 'resources/read' }],
])

export const listOf = ({ is, method }: Message): ListKind | null => (is === 'request' ? (LISTS.get(method) ?? null) : null)

/** Of JSON-RPC, from a server that has no tools. */
const NO_METHOD = -32_601
/** Milliseconds for which what the gateway lists alone may be kept. */
const OWN_KEPT = 60_000
/** Entries of one page that are looked at, for each costs time in which nobody is served; those beyond are not shown, which counts as one. */
const ENTRIES_MAX = 10_000

/** Why an entry is not shown, beside that it may not be called. */
export type DroppedEntry = 'unnamed' | 'twice' | 'own' | 'changed' | 'beyond'

export type ListPorts = {
  readonly supposing: Supposing
  readonly pins: Pick<ToolPins, 'take'>
  /** Definitions of the tools that are the gateway's own, for this session; none where they are not offered. */
  readonly own: () => readonly JsonObject[]
  readonly dropped: (what: DroppedEntry, name: string) => void
}

/** `call`: what it would be called as. */
type Entry = { readonly item: JsonObject; readonly call: Call }
type Shown = Entry & { readonly until: Instant }

const resource = (uri: string): Call => ({ kind: 'resource', method: 'resources/read', name: uri, args: NO_ARGUMENTS, digest: null })
/** Which one is not known: conditions on the address are asked about none. */
const SOME_RESOURCE = resource('')

const mayCover = ({ parts: [first = '', ...rest] }: Glob, prefix: string): boolean => first.startsWith(prefix) || (rest.length > 0 && prefix.startsWith(first))
const coversAll = ({ parts: [first = '', ...rest] }: Glob, prefix: string): boolean => rest.length > 0 && rest.every(part => part === '') && prefix.startsWith(first)

/** By the first rule that permits some address that begins so; not beyond one that means all of them. */
export function templateUntil(rules: readonly Rule[], prefix: string, supposing: Pick<Supposing, 'untilBy'>): Instant | null {
  for (const rule of rules) {
    const { resources, methods } = rule.calls ?? { resources: null, methods: null }
    const whole = methods !== null && methods.some(glob => coversName(glob, 'resources/read'))
    if (!whole && !(resources ?? []).some(glob => mayCover(glob, prefix))) continue
    const until = supposing.untilBy(rule, SOME_RESOURCE)
    if (until !== null) return until
    if (whole || (resources ?? []).some(glob => coversAll(glob, prefix))) return null
  }
  return null
}

export class ListSieve implements Sieve {
  readonly #route: () => Route | null
  readonly #mcp: McpRoute
  readonly #message: Message
  readonly #kind: ListKind
  readonly #ports: ListPorts

  /** @param route under the configuration of now; null before the request is admitted */
  constructor(route: () => Route | null, mcp: McpRoute, message: Message, kind: ListKind, ports: ListPorts) {
    this.#route = route
    this.#mcp = mcp
    this.#message = message
    this.#kind = kind
    this.#ports = ports
  }

  changed(): readonly ServerMessage[] { return [] }

  pass(message: ServerMessage): ServerMessage {
    const { result, error } = message.value
    if (message.is !== 'answer') return message
    if (isObject(result)) return rewritten(message, { ...message.value, result: this.#filtered(result) })
    const own = isObject(error) && error['code'] === NO_METHOD ? this.#own() : []
    return own.length === 0 ? message : rewritten(message, { jsonrpc: '2.0', id: message.id, result: this.#alone(own) })
  }

  #filtered(result: JsonObject): JsonObject {
    const { member } = this.#kind
    const items = result[member]
    const shown = this.#permitted(this.#accepted(this.#named(this.#few(Array.isArray(items) ? items : []))))
    const until = shown.reduce((at, entry) => earlier(at, entry.until), FOREVER)
    const left = Math.max(0, Math.min(this.#ports.supposing.left(), until - this.#ports.supposing.now))
    return ownCache({ ...result, [member]: [...shown.map(({ item }) => item), ...this.#own()] }, this.#message.era, left)
  }

  #alone(tools: readonly JsonObject[]): JsonObject {
    const { era } = this.#message
    return ownCache(era === 'modern' ? { resultType: 'complete', tools, ttlMs: OWN_KEPT } : { tools }, era, this.#ports.supposing.left())
  }

  /** Behind the first page. */
  #own(): readonly JsonObject[] { return this.#kind.member === 'tools' && !this.#message.params.has('cursor') ? this.#ports.own() : [] }

  #few(items: readonly unknown[]): readonly unknown[] {
    if (items.length <= ENTRIES_MAX) return items
    this.#ports.dropped('beyond', '')
    return items.slice(0, ENTRIES_MAX)
  }

  /** With a name that can be called, each the first of its name, and none that the gateway itself answers to. */
  #named(items: readonly unknown[]): readonly Entry[] {
    const { by, method, member } = this.#kind
    const names = new Set<string>()
    return items.flatMap(item => {
      const name = isObject(item) ? item[by] : null
      const call = typeof name !== 'string' ? '' : member === 'resourceTemplates' ? resource(name) : callOf(method, new Map([[by, name]]))
      const why = typeof call === 'string' ? 'unnamed' : names.has(call.name) ? 'twice' : ownToolOf(this.#mcp, call) === null ? null : 'own'
      if (why !== null) this.#ports.dropped(why, typeof name === 'string' ? name : '')
      if (why !== null || typeof call === 'string' || !isObject(item)) return []
      names.add(call.name)
      return [{ item, call: { ...call, args: null } }]
    })
  }

  #permitted(entries: readonly Entry[]): readonly Shown[] {
    const { supposing } = this.#ports
    return entries.flatMap(({ item, call }) => {
      const until = this.#kind.member === 'resourceTemplates' ? templateUntil(this.#route()?.rules ?? [], prefixOf(call.name), supposing) : supposing.until(call)
      return until === null ? [] : [{ item, call, until }]
    })
  }

  /** Whatever is listed is compared, shown or not; what is not what was accepted is not shown. */
  #accepted(entries: readonly Entry[]): readonly Entry[] {
    const route = this.#route()
    if (this.#kind.member !== 'tools' || route === null) return entries
    const seen = entries.flatMap(({ item, call: { name } }) => {
      const digest = definitionDigest(item)
      return digest === null ? [] : [{ tool: name, digest }]
    })
    const [readable, changed] = [new Set(seen.map(({ tool }) => tool)), this.#ports.pins.take(route, this.#mcp, seen)]
    return entries.filter(({ call: { name } }) => {
      if (readable.has(name) && !changed.has(name)) return true
      this.#ports.dropped(readable.has(name) ? 'changed' : 'unnamed', name)
      return false
    })
  }
}

/** What every address of a template begins with. */
const prefixOf = (template: string): string => template.split('{', 1)[0] ?? ''
