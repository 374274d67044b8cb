// A gateway in front of an MCP server of tests, and callers of it in both eras: reading is for every session, writing needs an elevation. For tests only.
import { type GatewayPlan, TestGateway } from '../gateway.ts'
import { type Caller, type ClientPlan, connect, type Era } from './clients.ts'
import { startLegacyServer } from './legacy-server.ts'
import { ENDPOINT, type McpPeer, type ServerPlan, startModernServer } from './modern-server.ts'

export type McpPlan = Partial<GatewayPlan> & {
  /** YAML of the route's `mcp`. */
  readonly mcp?: string
  /** Rules in front of those that let everybody read. */
  readonly rules?: readonly string[]
}

/** `writing` adds the scope that `runbook_write` and `runbook_delete` need. */
export function mcpPlan(peer: Pick<McpPeer, 'origin'>, { mcp = '{}', rules = [], ...more }: McpPlan = {}): GatewayPlan {
  return {
    routes: `
- name: runbooks
  match: { path: ${ENDPOINT} }
  upstream: { url: "${peer.origin}${ENDPOINT}", protocol: mcp }
  mcp: ${mcp}
  rules:
${[...rules, '{ allow: { tools: [runbook_write, runbook_delete] }, scope: runbooks:write }', '{ allow: { tools: ["*"], prompts: ["*"], resources: ["*"], mcp: ["tasks/*"] } }'].map(rule => `    - ${rule}`).join('\n')}`,
    elevations: 'writing: { adds: [runbooks:write], for: 10m }',
    ...more,
  }
}

export const startServer: { readonly [E in Era]: (plan?: ServerPlan) => Promise<McpPeer> } = { modern: startModernServer, legacy: startLegacyServer }

export const urlOf = ({ target: { port } }: TestGateway): string => `http://127.0.0.1:${port}${ENDPOINT}`

/** A server, a gateway in front of it, and whoever calls; all of it ends with `stop`. */
export class McpStage {
  readonly era: Era
  readonly peer: McpPeer
  readonly gate: TestGateway
  readonly #callers: Caller[] = []

  private constructor(era: Era, peer: McpPeer, gate: TestGateway) {
    this.era = era
    this.peer = peer
    this.gate = gate
  }

  static async start(era: Era, plan: McpPlan = {}): Promise<McpStage> {
    const peer = await startServer[era]()
    return new McpStage(era, peer, await TestGateway.start(mcpPlan(peer, plan)))
  }

  /** A client with a token of its own, through the gateway. */
  async caller(claims: { readonly [name: string]: unknown } = {}, plan: Partial<ClientPlan> = {}): Promise<Caller & { readonly token: string }> {
    const token = plan.token ?? (await this.gate.token(claims))
    return { ...(await this.#kept(urlOf(this.gate), { ...plan, token })), token }
  }

  /** The same client without the gateway. */
  direct(plan: Partial<ClientPlan> = {}): Promise<Caller> { return this.#kept(this.peer.url, { token: '', ...plan }) }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#callers.map(caller => caller.close()))
    await this.gate.stop()
    await this.peer.close()
  }

  async #kept(url: string, plan: ClientPlan): Promise<Caller> {
    const caller = await connect[this.era](url, plan)
    this.#callers.push(caller)
    return caller
  }
}
