// A real MCP server of 2025-11-25 on loopback (@modelcontextprotocol/sdk): a session per `initialize`, streams by GET that can be resumed, tasks. For tests only.
import { randomUUID } from 'node:crypto'
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks'
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js'
import { completable } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { WebStandardStreamableHTTPServerTransport as Transport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import { type ServerNotification, type ServerRequest, SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { listen } from './listener.ts'
import { ENDPOINT, type McpPeer, type ServerPlan } from './modern-server.ts'
import { Runbooks, said, type ToolCall } from './runbooks.ts'

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>
type Session = { readonly server: McpServer; readonly transport: Transport; readonly subscribed: Set<string> }

/** How soon a client that was sent away should be back, in ms. */
const RETRY_MS = 20
/** How long a task is kept, and how often its caller should ask, in ms. */
const TASK = { ttl: 60_000, pollInterval: 20 }

function callOf(server: McpServer, { signal, _meta, sendNotification, requestId, closeSSEStream }: Extra): ToolCall {
  const token = _meta?.progressToken
  return {
    signal,
    progress: async (progress, message) => {
      if (token !== undefined) await sendNotification({ method: 'notifications/progress', params: { progressToken: token, progress, message } })
    },
    rest: () => closeSSEStream?.(),
    confirm: async message => {
      const { action, content } = await server.server.elicitInput({ mode: 'form', message, requestedSchema: { type: 'object', properties: { confirmed: { type: 'boolean' } } } }, { relatedRequestId: requestId })
      return action === 'accept' && content?.['confirmed'] === true
    },
  }
}

/** `export` is a task: it ends when a test lets the work of its name end. */
function addTask(server: McpServer, runbooks: Runbooks): void {
  server.experimental.tasks.registerToolTask('export', { description: 'Exports all runbooks, as a task', inputSchema: { name: z.string() }, execution: { taskSupport: 'required' } }, {
    createTask: async ({ name }, { taskStore }) => {
      const task = await taskStore.createTask(TASK)
      const work = runbooks.begin(name, { signal: new AbortController().signal, progress: async () => {}, rest: () => {}, confirm: async () => false })
      void work.outcome().then(text => taskStore.storeTaskResult(task.taskId, 'completed', said(text))).catch(() => undefined) // cancelled meanwhile
      return { task }
    },
    getTask: async (_, { taskStore, taskId }) => taskStore.getTask(taskId),
    getTaskResult: async (_, { taskStore, taskId }) => (await taskStore.getTaskResult(taskId)) as ReturnType<typeof said>, // what `createTask` stored
  })
}

function addRest(server: McpServer, runbooks: Runbooks, subscribed: Set<string>): void {
  const list = () => ({ resources: [...runbooks.texts.keys()].map(incident => ({ uri: `runbook://${incident}`, name: incident })) })
  server.registerResource('runbook', new ResourceTemplate('runbook://{incident}', { list }), { mimeType: 'text/plain' }, async (uri, { incident }) => ({ contents: [{ uri: uri.href, text: runbooks.texts.get(String(incident)) ?? '' }] }))
  const incident = completable(z.string(), value => [...runbooks.texts.keys()].filter(each => each.startsWith(value)))
  server.registerPrompt('triage', { description: 'How to begin with an incident', argsSchema: { incident } }, async args => ({ messages: [{ role: 'user', content: { type: 'text', text: `Triage ${args.incident}` } }] }))
  server.server.setRequestHandler(SubscribeRequestSchema, async ({ params }) => {
    subscribed.add(params.uri)
    return {}
  })
  server.server.setRequestHandler(UnsubscribeRequestSchema, async ({ params }) => {
    subscribed.delete(params.uri)
    return {}
  })
}

function made(runbooks: Runbooks, subscribed: Set<string>): McpServer {
  const capabilities = { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: { listChanged: true }, completions: {}, logging: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  const server = new McpServer({ name: 'runbooks', version: '1.0.0' }, { capabilities, taskStore: new InMemoryTaskStore(), taskMessageQueue: new InMemoryTaskMessageQueue() })
  for (const tool of runbooks.tools) {
    const { name, input, annotations } = tool
    server.registerTool(name, { description: runbooks.descriptionOf(tool), inputSchema: input, annotations }, async (args: { readonly [name: string]: unknown }, extra: Extra) => runbooks.run(tool, args, callOf(server, extra)))
  }
  addTask(server, runbooks)
  addRest(server, runbooks, subscribed)
  return server
}

const refused = (status: number, message: string): Response => Response.json({ jsonrpc: '2.0', id: null, error: { code: -32_000, message } }, { status })

/** Its sessions, by their ids. */
class Sessions {
  readonly all = new Map<string, Session>()
  readonly #runbooks: Runbooks

  constructor(runbooks: Runbooks) {
    this.#runbooks = runbooks
  }

  readonly serve = async (request: Request): Promise<Response> => {
    const id = request.headers.get('mcp-session-id')
    const known = id === null ? await this.#begin() : this.all.get(id)
    return known === undefined ? refused(404, 'there is no such session') : known.transport.handleRequest(request)
  }

  async #begin(): Promise<Session> {
    const subscribed = new Set<string>()
    const server = made(this.#runbooks, subscribed)
    const transport: Transport = new Transport({
      sessionIdGenerator: randomUUID, eventStore: new InMemoryEventStore(), retryInterval: RETRY_MS,
      onsessioninitialized: id => void this.all.set(id, session),
      onsessionclosed: id => void this.all.delete(id),
    })
    const session = { server, transport, subscribed }
    await server.connect(transport)
    return session
  }
}

/** Besides what every peer has, the ids of its protocol sessions. */
export type LegacyPeer = McpPeer & { readonly sessions: () => readonly string[] }

export async function startLegacyServer({ runbooks = new Runbooks() }: ServerPlan = {}): Promise<LegacyPeer> {
  const sessions = new Sessions(runbooks)
  const { origin, received, close } = await listen(sessions.serve)
  return {
    origin, url: `${origin}${ENDPOINT}`, runbooks, received,
    sessions: () => [...sessions.all.keys()],
    tellTools: () => sessions.all.forEach(({ server }) => server.sendToolListChanged()),
    tellUpdated: incident => sessions.all.forEach(({ server, subscribed }) => {
      if (subscribed.has(`runbook://${incident}`)) void server.server.sendResourceUpdated({ uri: `runbook://${incident}` })
    }),
    close: async () => {
      for (const { server } of sessions.all.values()) await server.close()
      await close()
    },
  }
}
