// A gateway in front of an MCP server that is as lax as one can be: it answers whatever it is sent, in either era, and keeps it. For tests only.
import { TestGateway, type GatewayPlan } from '../support/gateway.ts'
import { listen, type Listener } from '../support/mcp/listener.ts'
import { requestOnce, type RawResponse } from '../support/raw-client.ts'

export const MODERN = '2026-07-28'
export const LEGACY = '2025-11-25'
const META = { 'io.modelcontextprotocol/protocolVersion': MODERN, 'io.modelcontextprotocol/clientCapabilities': {} }

export type Told = RawResponse & { readonly json: { readonly [member: string]: unknown }; readonly error: { readonly code: number; readonly message: string; readonly data: { readonly [member: string]: unknown } } }

async function answer(request: Request): Promise<Response> {
  const { id = null } = (await request.json().catch(() => ({}))) as { readonly id?: unknown } // whatever it is
  return Response.json({ jsonrpc: '2.0', id, result: { resultType: 'complete', content: [{ type: 'text', text: 'done' }] } })
}

/** Headers, names and values in turn, of what is sent so since 2026-07-28. */
const modernHeaders = (method: string, name: string | null): readonly string[] => ['MCP-Protocol-Version', MODERN, 'Mcp-Method', method, ...(name === null ? [] : ['Mcp-Name', name])]

const nameIn = (method: string, params: { readonly [member: string]: unknown }): string | null => {
  const name = method === 'resources/read' ? params['uri'] : method === 'tools/call' || method === 'prompts/get' ? params['name'] : null
  return typeof name === 'string' && /^[\x21-\x7e]*$/.test(name) ? name : null
}

export class LaxStage {
  readonly gate: TestGateway
  readonly server: Listener
  readonly token: string

  private constructor(gate: TestGateway, server: Listener, token: string) {
    this.gate = gate
    this.server = server
    this.token = token
  }

  /** @param mcp YAML of the route's `mcp`; @param rules YAML of each; @param route further YAML of it */
  static async start({ mcp = '{}', rules, route = '', match = '{ host: api.test, path: /mcp }', ...plan }: Partial<GatewayPlan> & { readonly mcp?: string; readonly rules: readonly string[]; readonly route?: string; readonly match?: string }): Promise<LaxStage> {
    const server = await listen(answer)
    const routes = `- name: tools\n  match: ${match}\n  upstream: { url: "${server.origin}/mcp", protocol: mcp }\n  mcp: ${mcp}\n${route === '' ? '' : `  ${route}\n`}  rules:\n${rules.map(rule => `    - ${rule}`).join('\n')}`
    const gate = await TestGateway.start({ routes, ...plan })
    return new LaxStage(gate, server, await gate.token())
  }

  /** What has reached the server. */
  get seen(): Listener['received'] { return this.server.received }

  /** Bytes as they are, behind a head with the token. @param headers in turn, beside those that every one has; a name with an empty value leaves that out */
  async raw(body: string | Buffer, headers: readonly string[] = [], { method = 'POST', token = this.token, path = '/mcp' } = {}): Promise<Told> {
    const bytes = Buffer.from(body)
    const given = new Set(headers.filter((_, i) => i % 2 === 0).map(name => name.toLowerCase()))
    const own = ['Host', 'api.test', ...(token === '' ? [] : ['Authorization', `Bearer ${token}`]), 'Accept', 'application/json, text/event-stream', 'Content-Type', 'application/json', 'Content-Length', String(bytes.length), 'Connection', 'close']
    const lines: string[] = []
    for (let i = 0; i < own.length; i += 2) if (!given.has((own[i] ?? '').toLowerCase())) lines.push(`${own[i] ?? ''}: ${own[i + 1] ?? ''}`)
    for (let i = 0; i < headers.length; i += 2) if (headers[i + 1] !== '') lines.push(`${headers[i] ?? ''}: ${headers[i + 1] ?? ''}`)
    const response = await requestOnce(this.gate.target, Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]))
    const text = response.body.toString('utf8')
    const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Told['json'] // what the gateway writes
    return { ...response, json, error: (json['error'] ?? {}) as Told['error'] }
  }

  /** A request of 2026-07-28. */
  modern(method: string, params: { readonly [member: string]: unknown } = {}, headers: readonly string[] = []): Promise<Told> {
    return this.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: META } }), [...modernHeaders(method, nameIn(method, params)), ...headers])
  }

  /** A request of 2025-11-25, without a session of its protocol. */
  legacy(method: string, params: { readonly [member: string]: unknown } = {}, headers: readonly string[] = []): Promise<Told> {
    return this.raw(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }), ['MCP-Protocol-Version', LEGACY, ...headers])
  }

  async stop(): Promise<void> {
    await this.gate.stop()
    await this.server.close()
  }
}
