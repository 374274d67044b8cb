// One small call of an MCP tool (2026-07-28), as its client writes it and as its server answers it with JSON; and that call without anything between.
import { join } from 'node:path'
import type { Proxy, Row } from './row.ts'

const SCRIPT = join(import.meta.dirname, '../tool-call.lua')

export const TOOL = 'runbook_read'
export const ENDPOINT = '/mcp'
/** What the upstream answers to a call of that id. */
export const resultOf = (id: string): string => `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","content":[{"type":"text","text":"restart the ledger, then drain the queue"}]}}`

const BEFORE = '{"jsonrpc":"2.0","id":'
const BEHIND = `,"method":"tools/call","params":${JSON.stringify({
  name: TOOL, arguments: { incident: 'inc-42' },
  _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1.0.0' }, 'io.modelcontextprotocol/clientCapabilities': {} },
})}}`

/** What every row sends. */
export const CALL: Pick<Proxy, 'headers' | 'script'> = {
  headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': TOOL },
  script: () => ({ file: SCRIPT, args: [BEFORE, BEHIND] }),
}

/** Is the call answered with the result of the tool, and with nothing else? */
export async function answersCall(origin: string, headers: { readonly [name: string]: string }): Promise<boolean> {
  const response = await fetch(`${origin}${ENDPOINT}`, { method: 'POST', headers: { ...headers, ...CALL.headers, 'x-bench-call': '1', connection: 'close' }, body: `${BEFORE}1${BEHIND}`, signal: AbortSignal.timeout(2_000) })
  const text = await response.text()
  return response.status === 200 && text === resultOf('1')
}

/** No proxy, so no processor time of one. */
export const direct: Row = {
  name: 'direct',
  start: async (_, { address }) => {
    const origin = `http://${address}`
    if (!(await answersCall(origin, {}))) throw new Error('the upstream answers no call')
    return { origin, ...CALL, pids: [] }
  },
}
