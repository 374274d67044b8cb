// The server that the conformance suite expects of 2026-07-28: stateless, asks by `input_required`, tells of changes by `subscriptions/listen`, checks the
// headers of parameters. For tests only.
import {
  acceptedContent, CLIENT_CAPABILITIES_META_KEY, type ClientCapabilities, createMcpHandler, createRequestStateCodec, fromJsonSchema, hostHeaderValidationResponse, inputRequired, type InputRequests, inputResponse, localhostAllowedHostnames, McpServer, ProtocolError,
  type ServerContext, type ServerNotifier,
} from '@modelcontextprotocol/server'
import { listen, type Listener } from '../listener.ts'
import { COMPLETION, contentsOf, type Fixture, FIXTURES, type Json, messagesOf, NOTHING, PROMPTS, RESOURCES, TEMPLATES, text } from './fixtures.ts'

const STATES = createRequestStateCodec<string>({ key: 'a key that only the tests of this project use, of 32 bytes and more' })
/** How long a list may be kept by who asked for it, in ms. */
const LIST_MS = 60_000

const form = (message: string, name: string) => inputRequired.elicit({ message, requestedSchema: { type: 'object', properties: { [name]: { type: 'string' } }, required: [name] } })
const CONFIRM = inputRequired.elicit({ message: 'Please confirm', requestedSchema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] } })
const asked = (inputRequests: InputRequests): Json => inputRequired({ inputRequests })
const sampling = (says: string, maxTokens: number) => inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: says } }], maxTokens })

/** Asks until the answer is there. */
function answered({ mcpReq: { inputResponses } }: ServerContext, key: string, request: InputRequests[string], goOn: (says: string) => Json | Promise<Json>): Json | Promise<Json> {
  const view = inputResponse(inputResponses, key)
  return view.kind === 'missing' ? asked({ [key]: request }) : goOn(JSON.stringify(view))
}

const NAME = form('What is your name?', 'name')

function greeted(context: ServerContext): Json {
  const name = acceptedContent<{ name: string }>(context.mcpReq.inputResponses, 'user_name')?.name
  return typeof name === 'string' ? text(`Hello, ${name}!`) : asked({ user_name: NAME })
}

async function stated({ mcpReq }: ServerContext, says: string): Promise<Json> {
  if (mcpReq.requestState<string>() === 'confirm') return text(says)
  return inputRequired({ inputRequests: { confirm: CONFIRM }, requestState: await STATES.mint('confirm') })
}

async function several({ mcpReq }: ServerContext): Promise<Json> {
  if (['user_name', 'greeting', 'client_roots'].every(key => inputResponse(mcpReq.inputResponses, key).kind !== 'missing')) return text('all is there')
  return inputRequired({ inputRequests: { user_name: NAME, greeting: sampling('Generate a greeting', 50), client_roots: inputRequired.listRoots() }, requestState: await STATES.mint('several') })
}

async function rounds({ mcpReq }: ServerContext): Promise<Json> {
  const state = mcpReq.requestState<string>()
  if (state === 'round 1') return inputRequired({ inputRequests: { step2: form('Step 2: What is your favorite color?', 'color') }, requestState: await STATES.mint('round 2') })
  if (state === 'round 2') return text('both steps done')
  return inputRequired({ inputRequests: { step1: form('Step 1: What is your name?', 'name') }, requestState: await STATES.mint('round 1') })
}

function capable({ mcpReq: { envelope, inputResponses } }: ServerContext): Json {
  const can = (envelope as { readonly [key: string]: ClientCapabilities } | undefined)?.[CLIENT_CAPABILITIES_META_KEY] ?? {} // the SDK says no more of it
  const wanted = { ...('sampling' in can ? { capital: sampling('What is the capital of France?', 100) } : {}), ...('elicitation' in can ? { user_name: NAME } : {}) }
  return inputResponses === undefined && Object.keys(wanted).length > 0 ? asked(wanted) : text('done')
}

const asking = (notify: () => ServerNotifier): readonly Fixture<ServerContext>[] => [
  { name: 'test_input_required_result_elicitation', description: 'Asks a person', run: (_, context) => greeted(context) },
  { name: 'test_input_required_result_sampling', description: 'Asks a model', run: (_, context) => answered(context, 'capital_question', sampling('What is the capital of France?', 100), text) },
  { name: 'test_input_required_result_list_roots', description: 'Asks for roots', run: (_, context) => answered(context, 'client_roots', inputRequired.listRoots(), text) },
  { name: 'test_input_required_result_request_state', description: 'Has state', run: (_, context) => stated(context, 'state-ok') },
  { name: 'test_input_required_result_tampered_state', description: 'Guards its state', run: (_, context) => stated(context, 'state-ok') },
  { name: 'test_input_required_result_multiple_inputs', description: 'Asks three at once', run: (_, context) => several(context) },
  { name: 'test_input_required_result_multi_round', description: 'Asks twice', run: (_, context) => rounds(context) },
  { name: 'test_input_required_result_capabilities', description: 'Asks what can be answered', run: (_, context) => capable(context) },
  { name: 'test_streaming_elicitation', description: 'Asks on a stream', run: (_, context) => greeted(context) },
  {
    name: 'test_logging_tool', description: 'Logs',
    run: async (_, { mcpReq }) => {
      await mcpReq.log('info', 'it runs')
      return text('done')
    },
  },
  { name: 'test_trigger_tool_change', description: 'Tells that tools changed', run: () => (notify().toolsChanged(), text('told')) },
  { name: 'test_trigger_prompt_change', description: 'Tells that prompts changed', run: () => (notify().promptsChanged(), text('told')) },
  { name: 'test_header_param', description: 'Has a parameter in a header', inputSchema: { type: 'object', properties: { region: { type: 'string', 'x-mcp-header': 'Region' } }, required: ['region'] }, run: ({ args }) => text(String(args['region'])) },
]

function addTools(server: McpServer, notify: () => ServerNotifier): void {
  const all: readonly Fixture<ServerContext>[] = [...FIXTURES, ...asking(notify)]
  for (const { name, description, inputSchema = NOTHING, run } of all) {
    server.registerTool(name, { description, inputSchema: fromJsonSchema<Json>(inputSchema) }, async (args, context) => {
      const token = context.mcpReq._meta?.progressToken
      const progress = async (done: number): Promise<void> => {
        if (token !== undefined) await context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken: token, progress: done, total: 100 } })
      }
      return (await run({ args, progress }, context)) as { content: never[] } // the suite says what
    })
  }
}

function found<T>(value: T | null, what: string): T {
  if (value === null) throw new ProtocolError(-32_602, `there is no ${what}`, { uri: what })
  return value
}

const ASKING_PROMPT = 'test_input_required_result_prompt'

function prompted(name: string, args: Json, context: ServerContext): Json | Promise<Json> {
  if (name !== ASKING_PROMPT) return found(messagesOf(name, args), name)
  return answered(context, 'user_context', form('What context should the prompt use?', 'context'), says => ({ messages: [{ role: 'user', content: { type: 'text', text: says } }] }))
}

function made(notify: () => ServerNotifier): McpServer {
  const server = new McpServer({ name: 'conformance', version: '1.0.0' }, { requestState: STATES, capabilities: { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: { listChanged: true }, completions: {}, logging: {} } })
  addTools(server, notify)
  const hints = { ttlMs: LIST_MS, cacheScope: 'public' } as const
  server.server.setRequestHandler('resources/list', () => ({ resources: [...RESOURCES] as never[], ...hints })) // the suite says what
  server.server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates: [...TEMPLATES] as never[], ...hints })) // likewise
  server.server.setRequestHandler('resources/read', ({ params: { uri } }) => ({ ...(found(contentsOf(uri), uri) as { contents: never[] }), ...hints })) // likewise
  server.server.setRequestHandler('prompts/list', () => ({ prompts: [...PROMPTS, { name: ASKING_PROMPT, description: 'Asks first' }] as never[], ...hints })) // likewise
  server.server.setRequestHandler('prompts/get', async ({ params: { name, arguments: args = {} } }, context) => (await prompted(name, args, context)) as { messages: never[] }) // likewise
  server.server.setRequestHandler('completion/complete', () => COMPLETION as { completion: { values: string[] } }) // likewise
  return server
}

export async function startModernSuiteServer(): Promise<Listener> {
  const handler = createMcpHandler(() => made(() => handler.notify), { legacy: 'reject' })
  const listener = await listen(async request => hostHeaderValidationResponse(request, localhostAllowedHostnames()) ?? handler.fetch(request))
  return {
    ...listener,
    close: async () => {
      await handler.close()
      await listener.close()
    },
  }
}
