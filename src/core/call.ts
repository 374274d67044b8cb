// What one message of MCP asks for, as the judge sees it: which tool, prompt or resource it touches, by exact names, and with what. The core knows no
// wire: who reads messages is proxy/mcp/. Also what a route says of its tools, which no server may change. SPEC: MCP2, MCP3
import type { Rule } from './route.ts'
import { lowerCase, type Reading } from './path-pattern.ts'
import type { Duration } from './time.ts'

/** `protocol`: what touches nothing itself, such as lists and pings. `unknown`: a method that nothing is known of. */
export type CallKind = 'tool' | 'prompt' | 'resource' | 'protocol' | 'unknown'

type PlainCall = {
  readonly kind: CallKind
  /** Of JSON-RPC; `stream` and `end` for the GET and DELETE of the older protocol, `answer` for what answers the server. */
  readonly method: string
  /** Of the tool or prompt, or the URI; empty for the other kinds. */
  readonly name: string
  /** As JSON, objects as Maps; null where nobody knows them yet: asked what it might do. `forgotten` where a task came from a call with more than its handle holds: what asks for them is refused. */
  readonly args: ReadonlyMap<string, unknown> | 'forgotten' | null
  /** Base64url SHA-256 of them as they go upstream; null where there are none. */
  readonly digest: string | null
}

/** Carries one message after the other, each judged by itself: it lives on while its session may do less. */
export const carriesMany = (call: Call | null): boolean => call !== null && call.kind === 'protocol' && (call.method === 'stream' || call.method === 'subscriptions/listen')

/** What is asked about a task: it belongs to the call that the task came from, and is no new one. */
type TaskCall = PlainCall & { /** What carried that: the id of an elevation, or `baseline`. */ readonly under: string }

export type Call = PlainCall | TaskCall

/** What carried the call that this one belongs to; null where it is one of its own. */
export const underOf = (call: Call | null): string | null => (call !== null && 'under' in call ? call.under : null)

/** A tool of the gateway's own: nothing of it goes upstream. */
export const staysHere = (call: Call | null): boolean => call !== null && call.kind === 'protocol' && call.method === 'tools/call'

/** Text in which each `*` stands for any run of characters. */
export type Glob = { readonly source: string; readonly parts: readonly string[]; /** For names in lower case. */ readonly lower: readonly string[] }

export const globOf = (source: string): Glob => ({ source, parts: source.split('*'), lower: lowerCase(source).split('*') })

/** Exactly, letter by letter; linear in the name. @param reading `lower` for a name in lower case */
export function coversName(glob: Glob, name: string, reading: Reading = 'exact'): boolean {
  const [first = '', ...rest] = reading === 'exact' ? glob.parts : glob.lower
  const last = rest.pop()
  if (last === undefined) return name === first
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false
  let at = first.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return at <= name.length - last.length
}

const BLANK = /\{[^{}]*\}/g
/** What stands for a blank: no pattern has it. */
const ANYTHING = '\0'

/** Its name has blanks, such as `repo://{owner}/{path}`: it is about every address that fills them. */
export const isTemplate = ({ kind, name }: Call): boolean => kind === 'resource' && name.includes('{')

/** Does it cover some address of a template, as far as its ends tell? */
function mayCover({ parts, lower }: Glob, template: string, reading: Reading): boolean {
  const [own, its] = [reading === 'exact' ? parts : lower, template.replace(BLANK, ANYTHING).split(ANYTHING)]
  const [[first = '', last = ''], [begin = '', end = '']] = [[own[0], own.at(-1)], [its[0], its.at(-1)]]
  return (first.startsWith(begin) || begin.startsWith(first)) && (last.endsWith(end) || end.endsWith(last))
}

/** All addresses of a template, some of them, or none. */
export function coverageOf(selector: CallSelector, { method, name }: Call, reading: Reading = 'exact'): 'all' | 'some' | 'none' {
  const globs = selector.resources ?? []
  if ((selector.methods !== null && isCovered(selector.methods, method, 'exact')) || isCovered(globs, name.replace(BLANK, ANYTHING), reading)) return 'all'
  return globs.some(glob => mayCover(glob, name, reading)) ? 'some' : 'none'
}

const isCovered = (globs: readonly Glob[], name: string, reading: Reading): boolean => globs.some(glob => coversName(glob, name, reading))

export const TOOL_CLASSES = ['read', 'write', 'irreversible', 'admin'] as const
export type ToolClass = (typeof TOOL_CLASSES)[number]

export const ARGUMENT_TYPES = ['string', 'int', 'double', 'bool', 'list', 'map'] as const
export type ArgumentType = (typeof ARGUMENT_TYPES)[number]

/** What the configuration says of tools; what their server says of them counts for nothing. */
export type ToolTraits = {
  readonly match: Glob
  readonly class: ToolClass | null
  readonly labels: readonly string[]
  /** By name; a call whose arguments are of other types, or others, is refused. null where they are not known. */
  readonly args: ReadonlyMap<string, { readonly type: ArgumentType; readonly required: boolean; /** What follows `Mcp-Param-` in the header that repeats it; null where none does. */ readonly header: string | null }> | null
  /** Of the definition that counts; null where the first one seen does. */
  readonly digest: string | null
}

/** Which calls a rule means; null where that kind is not meant. */
export type CallSelector = {
  readonly tools: readonly Glob[] | null
  /** Of those tools, only these; null for all. */
  readonly classes: ReadonlySet<ToolClass> | null
  readonly labels: ReadonlySet<string> | null
  readonly prompts: readonly Glob[] | null
  readonly resources: readonly Glob[] | null
  /** Methods by name, whatever they touch. */
  readonly methods: readonly Glob[] | null
}

/** How a route serves MCP. */
export type McpRoute = {
  /** Protocol versions taken, newest first. */
  readonly versions: readonly string[]
  /** How a refused call is told: as an error of JSON-RPC, or as the result of a tool, which its model reads. */
  readonly denyAs: 'error' | 'result'
  /** Code of JSON-RPC for what the policy refuses. */
  readonly denialCode: number
  /** What the names of the tools begin with by which a session asks for elevations; null where they are not offered. */
  readonly offers: { readonly prefix: string } | null
  /** Where people decide on what a refused call needs, with `{elevation}`; null where a refused call is refused. */
  readonly approvalPage: string | null
  /** Pages that may call, as browsers write them; the host itself always may. */
  readonly origins: readonly string[]
  /** Of one message, either way. */
  readonly messageBytes: number
  readonly messageTimeout: Duration
  readonly tools: readonly ToolTraits[]
  /** What a definition does that is not the accepted one any more. */
  readonly onChange: 'off' | 'alarm' | 'hide' | 'freeze'
  /** What of arguments is on record beside their digest: null for nothing, else their values but for what these pointers (RFC 6901) and names hide. */
  readonly record: { readonly redact: readonly string[] } | null
  /** Carries what is not ruled otherwise of the protocol itself: a live session is all it asks for. */
  readonly protocol: Rule
}

/** The first entry that covers a tool; null where none does. */
export const traitsOf = ({ tools }: McpRoute, call: Call, reading: Reading = 'exact'): ToolTraits | null => (call.kind === 'tool' ? (tools.find(({ match }) => coversName(match, call.name, reading)) ?? null) : null)

function isTool({ tools, classes, labels }: CallSelector, mcp: McpRoute, call: Call, reading: Reading): boolean {
  if (tools === null || !isCovered(tools, call.name, reading)) return false
  if (classes === null && labels === null) return true
  const traits = traitsOf(mcp, call, reading)
  if (traits === null) return false
  return (classes === null || (traits.class !== null && classes.has(traits.class))) && (labels === null || traits.labels.some(label => labels.has(label)))
}

export function selectsCall(selector: CallSelector, mcp: McpRoute, call: Call, reading: Reading = 'exact'): boolean {
  if (selector.methods !== null && isCovered(selector.methods, call.method, 'exact')) return true
  switch (call.kind) {
    case 'tool': return isTool(selector, mcp, call, reading)
    case 'prompt': return selector.prompts !== null && isCovered(selector.prompts, call.name, reading)
    case 'resource': return selector.resources !== null && isCovered(selector.resources, call.name, reading)
    case 'protocol':
    case 'unknown': return false
  }
}

/** The call as a server knows it that makes no difference between cases. */
export const inLowerCase = (call: Call): Call => ({ ...call, name: lowerCase(call.name) })

/** Does what a tool is called with fit what the configuration says of it? What is not known yet fits. */
export function argumentsFit(traits: ToolTraits | null, { args }: Call): boolean {
  const declared = traits?.args ?? null
  if (declared === null || args === null || args === 'forgotten') return true // those fitted when its task was made
  for (const name of args.keys()) if (!declared.has(name)) return false
  for (const [name, { type, required }] of declared) {
    const value = args.get(name)
    if (value === undefined ? required : !isOf(type, value)) return false
  }
  return true
}

function isOf(type: ArgumentType, value: unknown): boolean {
  switch (type) {
    case 'string': return typeof value === 'string'
    case 'int': return Number.isSafeInteger(value)
    case 'double': return typeof value === 'number'
    case 'bool': return typeof value === 'boolean'
    case 'list': return Array.isArray(value)
    case 'map': return value instanceof Map
  }
}
