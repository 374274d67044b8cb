// How a refusal is told to whoever sent a message, or what was none. SPEC: MCP7
import type { McpRoute } from '../../core/call.ts'
import type { Ask } from '../ask.ts'
import type { MessageFault, OwnTool } from './message.ts'
import type { RpcForm } from './rpc-refusal.ts'

/** How a request on a route of MCP is told that it is refused, also where no message of it was read; null elsewhere. */
export function rpcFormOf({ place, message, elicited, carrier }: Ask): RpcForm | null {
  const mcp = place?.route.mcp ?? null
  if (mcp === null || carrier !== null) return null // a proxy that asks for its caller reads no messages
  const { denialCode, denyAs, offers } = mcp
  return {
    id: message?.is === 'request' ? message.id : null, era: message?.era ?? 'legacy', denialCode, code: null, data: null,
    asks: offers === null ? null : `${offers.prefix}request_elevation` satisfies `${string}${OwnTool}`, asResult: denyAs === 'result' && message?.method === 'tools/call', elicited,
  }
}

/** The same for what is no message that could be read. */
export const faultForm = ({ denialCode }: McpRoute, { id, code, data }: MessageFault): RpcForm => ({ id, era: 'legacy', denialCode, code, data, asks: null, asResult: false, elicited: null })
