// Agents of a scenario: real clients of both MCP SDKs at both gateways, and the MCP server behind the route of an example that serves it. For tests only.
import { InsufficientScopeError } from '@modelcontextprotocol/client'
import type { TestGateway } from '../support/gateway.ts'
import { type Caller, type ClientPlan, connectLegacy, connectModern, type Era } from '../support/mcp/clients.ts'
import { startLegacyServer } from '../support/mcp/legacy-server.ts'
import { type McpPeer, startModernServer } from '../support/mcp/modern-server.ts'
import type { Runbooks } from '../support/mcp/runbooks.ts'
import type { Setting } from './callers.ts'
import type { Adapted, Line } from './stage.ts'

export const startServer = (era: Era, runbooks?: Runbooks): Promise<McpPeer> => (era === 'modern' ? startModernServer : startLegacyServer)(runbooks === undefined ? {} : { runbooks })

/** The routes of an example that serve MCP lead to that server. */
export function useTools({ url }: McpPeer): (example: Adapted) => void {
  return example => {
    const { routes } = example as { readonly routes: { upstream: unknown; readonly match: { host?: string }; readonly rules: readonly { readonly allow?: { readonly tools?: object } }[] }[] } // an example has routes
    for (const route of routes) {
      if (!route.rules.some(({ allow }) => allow?.tools !== undefined)) continue
      route.upstream = { url, protocol: 'mcp' }
      delete route.match.host // the SDKs' clients name the address
    }
  }
}

export const agentAt = ({ target: { port } }: TestGateway, era: Era, plan: ClientPlan): Promise<Caller> =>
  (era === 'modern' ? connectModern : connectLegacy)(`http://127.0.0.1:${port}/mcp`, plan)

/** Waits for what no socket of a test tells, so many milliseconds at most. @returns whether it came */
export async function within(bound: number, holds: () => boolean): Promise<boolean> {
  for (const until = performance.now() + bound; !holds();) {
    if (performance.now() > until) return false
    await new Promise(resolve => setImmediate(resolve))
  }
  return true
}

/** A call of `work` that goes on at this agent, and what is seen of it. */
export type Running = { readonly steps: () => number; /** What became of it. */ readonly told: Promise<string>; readonly cancelled: () => boolean }

/** Begins it; resolves when it has told of three steps. */
export async function begin(agent: Caller, { runbooks }: McpPeer, name: string): Promise<Running> {
  let steps = 0
  const ended = told(agent.call('work', { name, steps: 1000, everyMs: 10 }, { onprogress: () => void steps++, timeout: 60_000 }))
  const work = await runbooks.work(name)
  if (!(await within(5_000, () => steps >= 3))) throw new Error(`'${name}' told of ${steps} steps`)
  return { steps: () => steps, told: ended, cancelled: () => work.cancelledAt > 0 }
}

/** What records of its tools a session has: each names the tool and the digest of its arguments. */
export function toolsOf(lines: readonly Line[], kind: string, name: string): readonly Line[] {
  return lines.filter(line => line['kind'] === kind && (line['mcp'] as Line | undefined)?.['name'] === name)
}

export const DIGEST = /^[\w-]{43}$/

/** Of these, what stands in the trail or the metrics of either gateway, or in what they answered to those agents. */
export async function toldOf(setting: Setting, agents: readonly Caller[], secrets: readonly string[]): Promise<readonly string[]> {
  const metrics = await Promise.all([setting.a, setting.b].map(async gate => (await gate.ops('/metrics')).text))
  const told = [JSON.stringify(await setting.trail()), ...metrics, ...agents.flatMap(({ answers }) => answers.flatMap(({ headers, text }) => [JSON.stringify([...headers]), text()]))]
  return secrets.filter(secret => told.some(text => text.includes(secret)))
}

/** What servers were shown of who calls: nobody else may see it. */
export const shownTo = ({ received }: McpPeer): readonly string[] => received.flatMap(({ headers }) => headers['narrowgate-context'] ?? []).flat()

/** The reason that a refusal names, as the SDKs hand it on: in the data of an error of JSON-RPC, or in the body of an answer of HTTP. */
export function reasonIn(error: unknown): string {
  if (error instanceof InsufficientScopeError) return 'elevation_required' // what the challenge says of that; the client does not hand the body on
  const { data, message } = error as { readonly data?: { readonly reason?: unknown; readonly text?: string }; readonly message: string } // the SDKs throw errors alone
  if (typeof data?.reason === 'string') return data.reason
  return /"reason":"([a-z_]+)"/.exec(data?.text ?? message)?.[1] ?? message
}

/** What became of a call: the text it was answered with, or the word it was refused with. */
export async function told(call: Promise<{ readonly [member: string]: unknown }>): Promise<string> {
  try {
    const { content } = (await call) as { readonly content: readonly { readonly text?: string }[] } // a tool's result has it
    return content[0]?.text ?? ''
  } catch (error) {
    return reasonIn(error)
  }
}
