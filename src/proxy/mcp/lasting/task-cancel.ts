// The gateway's own word to a server that a task is to stop: what a caller would send, in the way of its era, with the head that the request went with. SPEC: MCP11, MCP9
import { newNonce } from '../../../runtime/id.ts'
import type { Upstream } from '../../../upstream/upstream.ts'
import { type Errand, errandHeaders } from '../relay/errand.ts'
import { asHeader } from './protocol-session.ts'
import type { McpRelay } from '../relay/relay.ts'

const META = 'io.modelcontextprotocol/'
const METHOD = 'tasks/cancel'

/** As the request showed it, or as it is now where its file has another one since. */
function shown(sent: readonly string[], { settings: { brokered }, inject }: Upstream): string[] {
  const headers = errandHeaders(sent, inject?.header.toLowerCase() ?? brokered?.header.toLowerCase() ?? null)
  return inject === null ? headers : headers.map((value, i) => (i % 2 === 1 && headers[i - 1] === inject.header.toLowerCase() ? inject.value : value))
}

/** @param relay of a request about the task */
export function cancelOf(id: string, { plan: { message: { era, version } }, path, sent, upstream }: McpRelay): Errand {
  const own = { jsonrpc: '2.0', id: `narrowgate-${newNonce()}`, method: METHOD }
  const headers = shown(sent, upstream)
  if (era === 'legacy') return { path, headers, body: Buffer.from(JSON.stringify({ ...own, params: { taskId: id } })) }
  const _meta = { [`${META}protocolVersion`]: version, [`${META}clientCapabilities`]: { extensions: { [`${META}tasks`]: {} } } }
  headers.push('mcp-method', METHOD, 'mcp-name', asHeader(id))
  return { path, headers, body: Buffer.from(JSON.stringify({ ...own, params: { taskId: id, _meta } })) }
}
