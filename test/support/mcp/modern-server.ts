// A real MCP server of 2026-07-28 on loopback (@modelcontextprotocol/server): stateless, every request by itself, streams by `subscriptions/listen`. For tests
// only.
import { acceptedContent, completable, createMcpHandler, InMemoryServerEventBus, inputRequired, McpServer, ResourceTemplate, type ServerContext } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { listen, type Listener } from './listener.ts'
import { Runbooks, type ToolCall, type ToolDefinition } from './runbooks.ts'

export const ENDPOINT = '/mcp'

/** A server as tests see it, of either era. */
export type McpPeer = {
  readonly origin: string
  readonly url: string
  readonly runbooks: Runbooks
  readonly received: Listener['received']
  /** Tells everybody who listens that the list of tools is another one. */
  readonly tellTools: () => void
  /** The same of a runbook. */
  readonly tellUpdated: (incident: string) => void
  readonly close: () => Promise<void>
}

export type ServerPlan = { readonly runbooks?: Runbooks }

/** Thrown where a person must be asked first: the call comes again with the answer. */
class Unasked extends Error {
  readonly question: string

  constructor(question: string) {
    super(question)
    this.question = question
  }
}

const CONFIRMED = z.object({ confirmed: z.boolean() })

function callOf({ mcpReq }: ServerContext): ToolCall {
  const token = mcpReq._meta?.progressToken
  return {
    signal: mcpReq.signal,
    progress: async (progress, message) => {
      if (token !== undefined) await mcpReq.notify({ method: 'notifications/progress', params: { progressToken: token, progress, message } })
    },
    rest: () => {},
    confirm: async question => {
      if (mcpReq.inputResponses === undefined) throw new Unasked(question)
      return acceptedContent(mcpReq.inputResponses, 'confirm', CONFIRMED)?.confirmed === true
    },
  }
}

function addTool(server: McpServer, runbooks: Runbooks, tool: ToolDefinition): void {
  const { name, input, annotations } = tool
  server.registerTool(name, { description: runbooks.descriptionOf(tool), inputSchema: input, annotations }, async (args, context) => {
    try {
      return await runbooks.run(tool, args, callOf(context))
    } catch (error) {
      if (error instanceof Unasked) return inputRequired({ inputRequests: { confirm: inputRequired.elicit({ message: error.question, requestedSchema: CONFIRMED }) } })
      throw error
    }
  })
}

function made(runbooks: Runbooks): McpServer {
  const server = new McpServer({ name: 'runbooks', version: '1.0.0' }, { capabilities: { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: { listChanged: true }, completions: {} } })
  for (const tool of runbooks.tools) addTool(server, runbooks, tool)
  const list = () => ({ resources: [...runbooks.texts.keys()].map(incident => ({ uri: `runbook://${incident}`, name: incident })) })
  server.registerResource('runbook', new ResourceTemplate('runbook://{incident}', { list }), { mimeType: 'text/plain' }, async (uri, { incident }) => ({ contents: [{ uri: uri.href, text: runbooks.texts.get(String(incident)) ?? '' }] }))
  const incident = completable(z.string(), value => [...runbooks.texts.keys()].filter(each => each.startsWith(value)))
  server.registerPrompt('triage', { description: 'How to begin with an incident', argsSchema: z.object({ incident }) }, async args => ({ messages: [{ role: 'user', content: { type: 'text', text: `Triage ${args.incident}` } }] }))
  return server
}

/** Besides what every peer has, how many streams listen. */
export type ModernPeer = McpPeer & { readonly listeners: () => number }

export async function startModernServer({ runbooks = new Runbooks() }: ServerPlan = {}): Promise<ModernPeer> {
  const bus = new InMemoryServerEventBus()
  const handler = createMcpHandler(() => made(runbooks), { legacy: 'reject', bus })
  const { origin, received, close } = await listen(handler.fetch)
  return {
    origin, url: `${origin}${ENDPOINT}`, runbooks, received,
    listeners: () => bus.listenerCount,
    tellTools: () => handler.notify.toolsChanged(),
    tellUpdated: incident => handler.notify.resourceUpdated(`runbook://${incident}`),
    close: async () => {
      await handler.close()
      await close()
    },
  }
}
