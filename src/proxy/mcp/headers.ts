// What the headers of a message say, against what it says itself: whoever routes, limits or logs by `Mcp-*` must see what was judged. The body counts; headers
// that say something else, stand twice or are written so that only some servers read them refuse it. Pure. SPEC: MCP5
import type { McpRoute, ToolTraits } from '../../core/call.ts'
import { traitsOf } from '../../core/call.ts'
import { nameOf } from '../http/header-names.ts'
import { type Era, fault, type MessageFault, type Params, type Read } from './message.ts'

/** The version from which on every request stands alone. */
export const MODERN = '2026-07-28'
export const eraOf = (version: string): Era => (version === MODERN ? 'modern' : 'legacy')

/** HeaderMismatch (2026-07-28). */
export const MISMATCH = -32_020
const INVALID_PARAMS = -32_602

const OURS = 'mcp-'
const PARAM = 'mcp-param-'
const SENTINEL = /^=\?base64\?(.*)\?=$/s
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const DECIMAL = /^-?\d{1,32}(?:\.\d{1,32})?$/
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const META = 'io.modelcontextprotocol/'
/** What `Mcp-Name` repeats of the parameters. */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'], ['prompts/get', 'name'], ['resources/read', 'uri'], ['tasks/get', 'taskId'], ['tasks/update', 'taskId'], ['tasks/cancel', 'taskId'],
])

/** Its headers of MCP by lower-case name; null where one stands twice, or may be read as another. */
export function mcpLines(headers: readonly string[]): ReadonlyMap<string, string> | null {
  const lines = new Map<string, string>()
  for (let i = 0; i < headers.length; i += 2) {
    const { lower, dashed } = nameOf(headers[i] ?? '')
    if (!dashed.startsWith(OURS)) continue
    if (lines.has(lower) || (lower !== dashed && !lower.startsWith(PARAM))) return null
    lines.set(lower, headers[i + 1] ?? '')
  }
  return lines
}

/** What a value says; null where it is none. */
function decoded(value: string): string | null {
  const [, base64] = SENTINEL.exec(value) ?? []
  if (base64 === undefined) return value
  if (!BASE64.test(base64)) return null
  try {
    return UTF8.decode(Buffer.from(base64, 'base64'))
  } catch {
    return null // no UTF-8
  }
}

const metaOf = (params: Params): Params | null => {
  const meta = params.get('_meta')
  return meta instanceof Map ? meta : null
}

/** The version that a message names in itself; null where it names none. */
const claimedVersion = (params: Params): unknown => metaOf(params)?.get(`${META}protocolVersion`) ?? null

function versionMismatch({ params, method }: Read, version: string): boolean {
  const claimed = claimedVersion(params)
  return claimed === null ? method === 'initialize' && eraOf(version) === 'modern' : claimed !== version
}

/** What each request since 2026-07-28 has to say of itself. */
const saysTooLittle = ({ params }: Read): boolean => claimedVersion(params) === null || !(metaOf(params)?.get(`${META}clientCapabilities`) instanceof Map)

/** @param required the header has to be there, where there is something for it to say */
function nameMismatch({ method, params }: Read, lines: ReadonlyMap<string, string>, required: boolean): boolean {
  const line = lines.get('mcp-name')
  const member = NAMED_BY.get(method)
  const said = member === undefined ? undefined : params.get(member)
  if (line === undefined) return required && said !== undefined
  return decoded(line) !== said
}

function methodMismatch({ method }: Read, lines: ReadonlyMap<string, string>, required: boolean): boolean {
  const line = lines.get('mcp-method')
  return line === undefined ? required : line !== method
}

function says(value: string, argument: unknown): boolean {
  const text = decoded(value)
  if (text === null) return false
  if (typeof argument === 'number') return DECIMAL.test(text) && Number(text) === argument
  return typeof argument === 'boolean' ? text === String(argument) : text === argument
}

/** Arguments that a header repeats, as far as the route says which. */
function paramMismatch({ call: { args } }: Read, traits: ToolTraits | null, lines: ReadonlyMap<string, string>, required: boolean): boolean {
  for (const [name, { header }] of traits?.args ?? []) {
    if (header === null) continue
    const line = lines.get(PARAM + header.toLowerCase())
    const argument = args instanceof Map ? (args.get(name) ?? null) : null
    if (line === undefined ? required && argument !== null : !says(line, argument)) return true
  }
  return false
}

/** @param version of `MCP-Protocol-Version`, or empty */
export function headerFault(read: Read, lines: ReadonlyMap<string, string>, version: string, mcp: McpRoute): MessageFault | null {
  if (read.is === 'answer') return lines.has('mcp-method') || lines.has('mcp-name') ? fault('header_mismatch', 'an answer has no method and no name', null, MISMATCH) : null
  const isModern = eraOf(version) === 'modern'
  const required = isModern && read.is === 'request'
  if (versionMismatch(read, version)) return fault('header_mismatch', 'MCP-Protocol-Version is not the version of the message', read.id, MISMATCH)
  if (required && saysTooLittle(read)) return fault('message_malformed', `\`_meta\` has \`${META}protocolVersion\` and \`${META}clientCapabilities\``, read.id, INVALID_PARAMS)
  if (methodMismatch(read, lines, required)) return fault('header_mismatch', 'Mcp-Method is not the method of the message', read.id, MISMATCH)
  if (nameMismatch(read, lines, required)) return fault('header_mismatch', 'Mcp-Name is not what the message names', read.id, MISMATCH)
  return paramMismatch(read, traitsOf(mcp, read.call), lines, required) ? fault('header_mismatch', 'a header Mcp-Param-… is not what the tool is called with', read.id, MISMATCH) : null
}
