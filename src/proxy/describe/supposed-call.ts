// A message of MCP that nobody sent, read as one that somebody did: for whoever asks what would become of it. SPEC: EXP1, MCP2
import type { Call, McpRoute } from '../../core/call.ts'
import type { SupposedMessage } from '../../enforcement/supposed.ts'
import { readStrictJson } from '../../runtime/strict-json.ts'
import { messageOf } from '../mcp/message.ts'

/** What it touches; a text says why that cannot be told. */
export function supposedCall({ method, name, args }: SupposedMessage, mcp: McpRoute): Call | string {
  const params = { ...(name === undefined ? {} : { [method.startsWith('resources/') ? 'uri' : 'name']: name }), ...(args === undefined ? {} : { arguments: args }) }
  const id = method.startsWith('notifications/') ? {} : { id: 0 }
  const read = messageOf(readStrictJson(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...id, method, params }))), mcp)
  if ('reason' in read) return read.detail
  return args === undefined ? { ...read.call, args: null } : read.call
}
