// The server that the conformance suite expects of 2025-11-25: sessions, streams that are closed and resumed, questions to the client on the stream of a call. For
// tests only.
import { randomUUID } from 'node:crypto'
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { WebStandardStreamableHTTPServerTransport as Transport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import {
  CallToolRequestSchema, CompleteRequestSchema, CreateMessageResultSchema, ElicitResultSchema, GetPromptRequestSchema, ListPromptsRequestSchema, ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema, ListToolsRequestSchema, McpError, ReadResourceRequestSchema, type ServerNotification, type ServerRequest, SetLevelRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { listen, type Listener } from '../listener.ts'
import { COMPLETION, contentsOf, type Fixture, FIXTURES, type Json, messagesOf, NOTHING, pause, PROMPTS, RESOURCES, TEMPLATES, text, type Turn } from './fixtures.ts'

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** How soon a client whose stream was closed should be back, in ms. */
const RETRY_MS = 100
const LOCAL = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/

const required = (...names: string[]): Json => ({ type: 'object', properties: Object.fromEntries(names.map(name => [name, { type: 'string' }])), required: names })

async function elicited({ sendRequest }: Extra, message: string, requestedSchema: Json): Promise<Json> {
  const { action, content = {} } = await sendRequest({ method: 'elicitation/create', params: { mode: 'form', message, requestedSchema: requestedSchema as { type: 'object'; properties: {} } } }, ElicitResultSchema) // the suite says which
  return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`)
}

const DEFAULTS: Json = {
  type: 'object', required: [],
  properties: {
    name: { type: 'string', default: 'John Doe' }, age: { type: 'integer', default: 30 }, score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' }, verified: { type: 'boolean', default: true },
  },
}

const titled = (kind: string) => [1, 2, 3].map(i => ({ const: `value${i}`, title: `${['First', 'Second', 'Third'][i - 1]} ${kind}` }))
const ENUMS: Json = {
  type: 'object', required: [],
  properties: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] }, titledSingle: { type: 'string', oneOf: titled('Option') },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } }, titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
  },
}

async function logged(_: Turn, { sendNotification }: Extra): Promise<Json> {
  for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
    await sendNotification({ method: 'notifications/message', params: { level: 'info', data } })
    await pause()
  }
  return text('done')
}

async function sampled({ args }: Turn, { sendRequest }: Extra): Promise<Json> {
  const { content } = await sendRequest({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: { type: 'text', text: String(args['prompt']) } }], maxTokens: 100 } }, CreateMessageResultSchema)
  return text(`LLM response: ${'text' in content ? content.text : ''}`)
}

const ASKING: readonly Fixture<Extra>[] = [
  { name: 'test_tool_with_logging', description: 'Logs', run: logged },
  { name: 'test_sampling', description: 'Asks a model', inputSchema: required('prompt'), run: sampled },
  { name: 'test_elicitation', description: 'Asks a person', inputSchema: required('message'), run: ({ args }, extra) => elicited(extra, String(args['message']), required('username', 'email')) },
  { name: 'test_elicitation_sep1034_defaults', description: 'Asks with defaults', run: (_, extra) => elicited(extra, 'Defaults', DEFAULTS) },
  { name: 'test_elicitation_sep1330_enums', description: 'Asks for one of some', run: (_, extra) => elicited(extra, 'Enums', ENUMS) },
  {
    name: 'test_reconnection', description: 'Closes its stream and goes on',
    run: async (_, { closeSSEStream }) => {
      closeSSEStream?.()
      await pause()
      return text('resumed')
    },
  },
]

const ALL: readonly Fixture<Extra>[] = [...FIXTURES, ...ASKING]

function found<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new McpError(-32_602, `there is no ${what}`)
  return value
}

function addTools(server: Server): void {
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: ALL.map(({ name, description, inputSchema = NOTHING }) => ({ name, description, inputSchema })) }))
  server.setRequestHandler(CallToolRequestSchema, ({ params: { name, arguments: args = {}, _meta } }, extra) => {
    const progress = async (done: number): Promise<void> => {
      if (_meta?.progressToken !== undefined) await extra.sendNotification({ method: 'notifications/progress', params: { progressToken: _meta.progressToken, progress: done, total: 100 } })
    }
    return found(ALL.find(each => each.name === name), name).run({ args, progress }, extra)
  })
}

function made(): Server {
  const server = new Server({ name: 'conformance', version: '1.0.0' }, { capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true }, logging: {}, completions: {} } })
  addTools(server)
  server.setRequestHandler(ListResourcesRequestSchema, () => ({ resources: [...RESOURCES] }))
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [...TEMPLATES] }))
  server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) => found(contentsOf(uri), uri))
  for (const schema of [SubscribeRequestSchema, UnsubscribeRequestSchema, SetLevelRequestSchema]) server.setRequestHandler(schema, () => ({}))
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts: [...PROMPTS] }))
  server.setRequestHandler(GetPromptRequestSchema, ({ params: { name, arguments: args = {} } }) => found(messagesOf(name, args), name))
  server.setRequestHandler(CompleteRequestSchema, () => COMPLETION)
  return server
}

export async function startLegacySuiteServer(): Promise<Listener> {
  const transports = new Map<string, Transport>()
  const begin = async (): Promise<Transport> => {
    const transport: Transport = new Transport({
      sessionIdGenerator: randomUUID, eventStore: new InMemoryEventStore(), retryInterval: RETRY_MS,
      onsessioninitialized: id => void transports.set(id, transport),
      onsessionclosed: id => void transports.delete(id),
    })
    await made().connect(transport)
    return transport
  }
  return listen(async request => {
    if (!LOCAL.test(request.headers.get('host') ?? '')) return new Response(null, { status: 403 })
    const id = request.headers.get('mcp-session-id')
    const transport = id === null ? await begin() : transports.get(id)
    return transport === undefined ? Response.json({ jsonrpc: '2.0', id: null, error: { code: -32_000, message: 'there is no such session' } }, { status: 404 }) : transport.handleRequest(request)
  })
}
