// A gateway in front of a real MCP server, with the gateway's own tools, an approval page, and operators who decide; and messages of 2026-07-28 as raw text. For
// tests only.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../src/runtime/id.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import type { Era } from '../support/mcp/clients.ts'
import { type McpPlan, mcpPlan, McpStage } from '../support/mcp/gateway.ts'
import { ENDPOINT } from '../support/mcp/modern-server.ts'

type Json = { readonly [member: string]: unknown }

const OPERATORS = { ann: ['approver', 'ops|ann'], olga: ['operator', 'ops|olga'] } as const
const tokenOf = (who: keyof typeof OPERATORS): string => `nga_${who.padEnd(43, '0')}`
const VERSION = '2026-07-28'
const MCP = 'io.modelcontextprotocol'

export const PAGE = 'https://gate.example/approve/{elevation}'
export const PLAN: McpPlan = {
  mcp: `{ offerElevation: true, approvalPage: "${PAGE}", record: { arguments: values, redact: [/patient/number, ssn] } }`,
  rules: ['{ allow: { tools: [quick] }, scope: quick:use }', '{ allow: { tools: [work] }, scope: work:use }', '{ allow: { tools: [big] }, scope: big:use }'],
  elevations: `
writing: { title: "Write runbooks", adds: [runbooks:write], for: 10m, purpose: [ticket], approval: { by: approver, within: 10m } }
quickly: { adds: [quick:use], for: 10m, max: 2h, params: { rows: { type: number, required: true } } }
freely: { adds: [work:use], for: 10m }
one: { adds: [big:use], for: 10m, approval: { by: approver } }
other: { adds: [big:use], for: 10m, approval: { by: approver } }`,
}

/** A folder with operators. */
function made(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ng-asking-'))
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), `${tokenOf('olga')}\n`, { mode: 0o600 })
  const tokens = (['ann', 'olga'] as const).map(name => ({ name, sha256: sha256(tokenOf(name)), roles: [OPERATORS[name][0]], identity: OPERATORS[name][1] }))
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens }), { mode: 0o600 })
  return directory
}

const planIn = (directory: string): McpPlan => ({ ...PLAN, directory, more: `admin: { auth: { tokenFile: "${directory}/operators.json" } }\npurposes: { ticket: { header: x-ticket, meta: acme/ticket, source: manual } }` })

/** One message, its headers what its body says. */
export type Sent = { readonly token: string; readonly method?: string; readonly params?: Json; readonly meta?: Json; readonly headers?: { readonly [name: string]: string }; readonly capabilities?: Json; readonly id?: number | null }

export class AskingStage {
  readonly mcp: McpStage
  readonly gate: TestGateway
  readonly #directory: string
  #ids = 0

  private constructor(mcp: McpStage, gate: TestGateway, directory: string) {
    this.mcp = mcp
    this.gate = gate
    this.#directory = directory
  }

  static async start(era: Era = 'modern', more: McpPlan = {}): Promise<AskingStage> {
    const directory = made()
    const mcp = await McpStage.start(era, { ...planIn(directory), ...more })
    return new AskingStage(mcp, mcp.gate, directory)
  }

  /** Another gateway of the same installation, in front of the same server. */
  static async beside({ mcp, gate: { issuer, upstream } }: AskingStage, store: string): Promise<AskingStage> {
    const directory = made()
    return new AskingStage(mcp, await TestGateway.start(mcpPlan(mcp.peer, { ...planIn(directory), store, issuer, upstream })), directory)
  }

  async stop(): Promise<void> {
    await (this.gate === this.mcp.gate ? this.mcp.stop() : this.gate.stop())
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async ticket(name: string, state: 'open' | 'ended' = 'open'): Promise<string> {
    await this.gate.admin('POST', `/v1/anchors/ticket/${name}`, { state, reason: 'test' })
    return name
  }

  send({ token, method = 'tools/call', params = {}, meta = {}, headers = {}, capabilities = {}, id = ++this.#ids }: Sent): Promise<Answer> {
    const body = { jsonrpc: '2.0', ...(id === null ? {} : { id }), method, params: { ...params, _meta: { [`${MCP}/protocolVersion`]: VERSION, [`${MCP}/clientCapabilities`]: capabilities, ...meta } } }
    const { name = params['uri'] } = params
    const own = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': VERSION, 'mcp-method': method, ...(typeof name === 'string' ? { 'mcp-name': name } : {}) }
    return this.gate.ask('POST', ENDPOINT, { ...own, ...headers }, JSON.stringify(body))
  }

  /** Calls a tool and reads its result. */
  async call(token: string, name: string, args: Json = {}, more: Partial<Sent> = {}): Promise<{ readonly answer: Answer; readonly told: Json; readonly failed: unknown }> {
    const answer = await this.send({ token, params: { name, arguments: args }, ...more })
    const { structuredContent, isError } = (answer.json['result'] ?? {}) as { structuredContent?: Json; isError?: boolean } // a tool's result has these
    return { answer, told: structuredContent ?? {}, failed: isError }
  }

  async #operate(who: keyof typeof OPERATORS, path: string, body: Json): Promise<number> {
    const port = this.gate.gateway.front.bound.get('admin')?.address.port
    const { status } = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: { authorization: `Bearer ${tokenOf(who)}`, 'content-type': 'application/json' }, body: JSON.stringify({ reason: 'test', ...body }) })
    return status
  }

  async approve(id: string): Promise<number> {
    const { json: { shown } } = await this.gate.admin('GET', `/v1/elevations/${id}`)
    return this.#operate('ann', `/v1/elevations/${id}/approve`, { shown })
  }

  deny(id: string): Promise<number> { return this.#operate('ann', `/v1/elevations/${id}/deny`, {}) }

  /** An operator's verb on the session of a token. */
  async verb(token: string, verb: string): Promise<number> {
    return this.#operate('olga', `/v1/sessions/${(await this.gate.session(token)).id}/${verb}`, {})
  }

  /** Elevations of the session, as it reads them itself. */
  async elevations(token: string): Promise<readonly Json[]> {
    const { json } = await this.gate.ask('GET', '/.narrowgate/session', { authorization: `Bearer ${token}` })
    return json['elevations'] as readonly Json[] // as the answer has them
  }

  /** Bodies that reached the server for this tool. */
  reached(tool: string): readonly Json[] {
    return this.mcp.peer.received.flatMap(({ body }) => ((body?.['params'] as Json | undefined)?.['name'] === tool && body !== null ? [body] : [])) // messages, as they were let through
  }
}
