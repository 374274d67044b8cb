// From a request on a route of MCP to the message in it: its era, its headers, its body. What the headers say has to be what the body says, for it is the
// body that is judged. Reads nothing for a caller without a session. SPEC: MCP1, MCP5, RULES 7
import type { McpRoute } from '../../core/call.ts'
import type { Route } from '../../core/route.ts'
import { readStrictJson, writeJson } from '../../runtime/strict-json.ts'
import { sha256 } from '../../runtime/id.ts'
import type { Ask } from '../ask.ts'
import { onlyValue } from '../http/head.ts'
import type { InspectedBytes } from '../http/inspected-bytes.ts'
import { isAnnouncedAsJson } from '../http/inspection.ts'
import { readWhole } from '../http/read-whole.ts'
import { eraOf, headerFault, mcpLines, MISMATCH } from './headers.ts'
import { fault, type Message, type MessageFault, messageOf, plainCall, type Read } from './message.ts'

/** Of a request that names none. */
const UNNAMED = '2025-03-26'
const PARSE_ERROR = -32_700
const UNSUPPORTED_VERSION = -32_022
/** What versions before 2026-07-28 had. */
const GONE: ReadonlySet<unknown> = new Set(['ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'])
const NO_PARAMS = new Map<string, unknown>()
/** `application/json` alone: other kinds of JSON are no messages. */
const JSON_TYPE = /^application\/json *(?:;|$)/i

type Lines = ReadonlyMap<string, string>

const isModernOnly = ({ versions }: McpRoute): boolean => versions.every(version => eraOf(version) === 'modern')

/** What a refusal for its method says of others (RFC 9110 §15.5.6). */
export const methodsOf = (mcp: McpRoute): string => (isModernOnly(mcp) ? 'POST' : 'POST, GET, DELETE')

/** A page may call from the host itself, or where the route says so. Where the route takes any host its name is the caller's word, and no page is of it. */
function isForeign({ head: { origin }, origin: own }: Ask, { host }: Route, { origins }: McpRoute): boolean {
  return origin !== null && !origins.includes(origin) && (host.is === 'any' || origin !== own)
}

const unsupported = ({ versions }: McpRoute, requested: string): MessageFault => fault('version_unsupported', `version ${JSON.stringify(requested)} is not served here`, null, UNSUPPORTED_VERSION, { supported: versions, requested })

/** Longest version that an answer repeats. */
const VERSION_LENGTH = 64

function versionFault(mcp: McpRoute, lines: Lines, read: Read | null): MessageFault | null {
  const version = lines.get('mcp-protocol-version') ?? null
  const isInitialize = read?.method === 'initialize'
  if (version !== null || (read !== null && !isInitialize)) {
    const asked = (version ?? UNNAMED).slice(0, VERSION_LENGTH)
    return mcp.versions.includes(asked) ? null : unsupported(mcp, asked)
  }
  const wanted = read?.params.get('protocolVersion')
  return isInitialize && isModernOnly(mcp) ? unsupported(mcp, typeof wanted === 'string' ? wanted.slice(0, VERSION_LENGTH) : UNNAMED) : null
}

function withoutBody({ arrival: { method }, head: { contentLength } }: Ask, mcp: McpRoute, lines: Lines): Message | MessageFault {
  const version = lines.get('mcp-protocol-version') ?? ''
  if (method !== 'GET' && method !== 'DELETE') return fault('method_refused', 'MCP knows POST, and of old GET and DELETE')
  if (eraOf(version) === 'modern' || isModernOnly(mcp)) return fault('method_refused', 'this version of MCP knows only POST')
  const unserved = versionFault(mcp, lines, null)
  if (unserved !== null) return unserved
  if (contentLength !== 0) return fault('message_malformed', `${method} has no body`)
  if (lines.has('mcp-method') || lines.has('mcp-name')) return fault('header_mismatch', 'there is no message that the headers could name', null, MISMATCH)
  const is = method === 'GET' ? 'stream' : 'end'
  return { era: 'legacy', version, is, id: null, method: is, params: NO_PARAMS, value: null, call: plainCall('protocol', is), own: null }
}

/** What its head says already. */
function headFault(ask: Ask, mcp: McpRoute): MessageFault | null {
  const { head, place, target } = ask
  if (place === null || isForeign(ask, place.route, mcp)) return fault('origin_refused', 'the route does not serve pages of this origin')
  if (target.query !== '') return fault('message_malformed', 'an endpoint of MCP has no query') // no rule reads it
  return head.upgrade === null ? null : fault('message_malformed', 'messages of MCP come in plain requests')
}

/** Reads the message, once. @returns why there is none */
export async function readMessage(ask: Ask, mcp: McpRoute, memory: InspectedBytes): Promise<MessageFault | null> {
  const { arrival, head, live } = ask
  const early = headFault(ask, mcp)
  if (early !== null) return early
  const lines = mcpLines(arrival.headers)
  if (lines === null) return fault('header_mismatch', 'a header Mcp-… stands twice, or is written as none is', null, MISMATCH)
  if (arrival.method !== 'POST') {
    const bare = withoutBody(ask, mcp, lines)
    if ('reason' in bare) return bare
    ask.message = bare
    return null
  }
  if (!isAnnouncedAsJson(arrival.headers) || !JSON_TYPE.test(onlyValue(arrival.headers, 'content-type') || '')) return fault('body_malformed', 'a message is `application/json` in UTF-8, not encoded', null, PARSE_ERROR)
  if ((head.contentLength ?? 0) > mcp.messageBytes) return fault('body_too_large', 'the message is larger than the limit')
  if (head.contentLength === 0) return fault('message_malformed', 'there is no message', null, PARSE_ERROR)
  if (live === null) return fault('no_credential', 'messages belong to a session')
  if (ask.readBody !== null) return ask.readBody.size > mcp.messageBytes ? fault('body_too_large', 'the message is larger than the limit') : take(ask, mcp, lines, ask.readBody.bytes) // its route was none of MCP until a reload
  if (arrival.expectsContinue) arrival.answer.proceed()
  const bytes = await readWhole(arrival, { maxBytes: mcp.messageBytes, timeout: mcp.messageTimeout }, memory, live.record.key)
  if (typeof bytes === 'string') return fault(bytes, 'the message could not be read')
  return take(ask, mcp, lines, bytes)
}

function take(ask: Ask, mcp: McpRoute, lines: Lines, bytes: Buffer): MessageFault | null {
  const value = readStrictJson(bytes)
  if (value === undefined) return fault('message_malformed', 'the body is no JSON that has one reading', null, PARSE_ERROR)
  const read = messageOf(value, mcp)
  const version = lines.get('mcp-protocol-version') ?? ''
  if (eraOf(version) === 'modern' && value instanceof Map && GONE.has(value.get('method'))) return fault('method_unknown', 'this version has no such method', read.id)
  if ('reason' in read) return read
  const unserved = versionFault(mcp, lines, read)
  if (unserved !== null) return { ...unserved, id: read.is === 'request' ? read.id : null }
  if (read.is === 'answer' && eraOf(version) === 'modern') return fault('message_malformed', 'servers of this version ask nothing that would be answered so')
  const mismatch = headerFault(read, lines, version, mcp)
  if (mismatch !== null) return mismatch
  ask.message = { ...read, era: eraOf(version), version }
  const written = Buffer.from(writeJson(read.value))
  ask.readBody = { inspected: { value: read.value, digest: sha256(written) }, bytes: written, size: bytes.length }
  return null
}
