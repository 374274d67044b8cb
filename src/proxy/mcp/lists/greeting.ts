// What a server says of itself as a protocol begins: in a version that the route serves, and with what the gateway adds to it. SPEC: MCP12, MCP13
import type { McpRoute } from '../../../core/call.ts'
import { isObject } from './definition.ts'
import type { Message } from '../message.ts'
import { ownCache } from './own-cache.ts'
import { type JsonObject, rewritten, type ServerMessage, type Sieve } from '../sieve.ts'

/** Of JSON-RPC, for a version that is not served. */
const UNSUPPORTED = -32_022
const LISTED = ['tools', 'prompts', 'resources'] as const

export const isGreeting = ({ is, method }: Message): boolean => is === 'request' && (method === 'initialize' || method === 'server/discover')

export class GreetingSieve implements Sieve {
  readonly #mcp: McpRoute
  readonly #message: Message
  readonly #left: () => number

  /** @param left milliseconds for which what is said may be kept */
  constructor(mcp: McpRoute, message: Message, left: () => number) {
    this.#mcp = mcp
    this.#message = message
    this.#left = left
  }

  changed(): readonly ServerMessage[] { return [] }

  pass(message: ServerMessage): ServerMessage {
    const { result } = message.value
    if (message.is !== 'answer' || !isObject(result)) return message
    const said = this.#message.method === 'initialize' ? this.#initialized(result) : this.#discovered(result)
    return rewritten(message, said === null ? { jsonrpc: '2.0', id: message.id, error: { code: UNSUPPORTED, message: 'The server speaks no version of the protocol that is served here.', data: { supported: this.#mcp.versions } } } : { ...message.value, result: said })
  }

  #initialized(result: JsonObject): JsonObject | null {
    const { protocolVersion, capabilities } = result
    return typeof protocolVersion === 'string' && this.#mcp.versions.includes(protocolVersion) ? { ...result, capabilities: this.#capabilities(capabilities) } : null
  }

  #discovered(result: JsonObject): JsonObject | null {
    const { supportedVersions, capabilities } = result
    const served = Array.isArray(supportedVersions) ? supportedVersions.filter(version => typeof version === 'string' && this.#mcp.versions.includes(version)) : []
    return served.length === 0 ? null : ownCache({ ...result, supportedVersions: served, capabilities: this.#capabilities(capabilities) }, this.#message.era, this.#left())
  }

  /** Lists change with what a session may do, whatever the server does; what the gateway offers makes it one with tools. */
  #capabilities(told: unknown): JsonObject {
    const capabilities = isObject(told) ? told : {}
    const offered = this.#mcp.offers === null || isObject(capabilities['tools']) ? [] : [['tools', { listChanged: true }]]
    const listed = LISTED.flatMap(kind => (isObject(capabilities[kind]) ? [[kind, { ...capabilities[kind], listChanged: true }]] : []))
    return { ...capabilities, ...Object.fromEntries([...listed, ...offered]) }
  }
}
