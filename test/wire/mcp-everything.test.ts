// The reference server of MCP behind a gateway, used by the SDK's client with all that a client can do: everything comes back as it does without the gateway.
// SPEC: MCP6, MCP11
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { type Everything, startEverything } from '../support/mcp/everything.ts'
import { mcpPlan, urlOf } from '../support/mcp/gateway.ts'
import { ENDPOINT } from '../support/mcp/modern-server.ts'
import { seen } from '../support/mcp/runbooks.ts'

type Wired = { readonly client: Client; readonly heard: string[] }

async function connected(url: string, token: string): Promise<Wired> {
  const heard: string[] = []
  const client = new Client({ name: 'agent', version: '1.0.0' }, { capabilities: { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } } })
  client.setRequestHandler(CreateMessageRequestSchema, () => ({ model: 'none', role: 'assistant', content: { type: 'text', text: 'as a model would' } }))
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ada', check: true } }))
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///srv/agent', name: 'agent' }] }))
  client.fallbackNotificationHandler = async ({ method }) => void heard.push(method)
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${token}` } } }))
  return { client, heard }
}

/** Times and names that are made anew each time. */
const steady = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll(/\d{1,2}:\d{2}:\d{2}(?: [AP]M)?|\d{4}-\d{2}-\d{2}T[\d:.]+Z/g, 'then').replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'id'))

let server: Everything
let gate: TestGateway
let ways: readonly [Wired, Wired]
beforeAll(async () => {
  server = await startEverything()
  gate = await TestGateway.start(mcpPlan(server))
  ways = [await connected(`${server.origin}${ENDPOINT}`, ''), await connected(urlOf(gate), await gate.token())]
  for (const { client } of ways) await vi.waitFor(async () => expect((await client.listTools()).tools.map(({ name }) => name)).toContain('simulate-research-query')) // depends on the client
})
afterAll(async () => {
  await Promise.allSettled(ways.map(({ client }) => client.close()))
  await gate.stop()
  await server.close()
})

/** The same both ways. */
async function same(ask: (wired: Wired) => Promise<unknown>): Promise<unknown> {
  const [direct, through] = (await Promise.all(ways.map(ask))).map(steady)
  expect(through).toEqual(direct)
  return through
}

describe('server-everything', () => {
  it('[MCP6] its lists', async () => {
    expect(await same(({ client }) => client.listTools())).toMatchObject({ tools: expect.arrayContaining([expect.objectContaining({ name: 'echo' })]) })
    await same(({ client }) => client.listPrompts())
    await same(({ client }) => client.listResources())
    await same(({ client }) => client.listResourceTemplates())
  })

  it.each([
    ['echo', { message: 'hello' }], ['get-sum', { a: 2, b: 40 }], ['get-tiny-image', {}], ['get-structured-content', { location: 'Chicago' }], ['get-annotated-message', { messageType: 'debug', includeImage: true }],
    ['get-resource-links', { count: 3 }], ['get-resource-reference', { resourceType: 'Text', resourceId: 1 }], ['get-roots-list', {}], ['trigger-sampling-request', { prompt: 'what?', maxTokens: 10 }], ['trigger-elicitation-request', {}],
    ['get-sum', { a: 'two' }], ['no-such-tool', {}],
  ])('[MCP6] its tool %s with %j', async (name, args) => {
    await same(({ client }) => client.callTool({ name, arguments: args }).catch((error: unknown) => String(error)))
  })

  it('[MCP6] its long operation with each step', async () => {
    const result = await same(async ({ client }) => {
      const steps: unknown[] = []
      const done = await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }, CallToolResultSchema, { onprogress: ({ progress, total }) => steps.push([progress, total]) })
      return [steps, done.content]
    })
    expect(result).toEqual([[[1, 4], [2, 4], [3, 4], [4, 4]], expect.anything()])
  })

  it('[MCP6] its prompts, completions and resources', async () => {
    await same(({ client }) => client.getPrompt({ name: 'simple-prompt' }))
    await same(({ client }) => client.getPrompt({ name: 'args-prompt', arguments: { city: 'Kyoto' } }))
    await same(({ client }) => client.complete({ ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'department', value: 'S' } }))
    await same(({ client }) => client.readResource({ uri: 'demo://resource/dynamic/text/1' }))
  })

  it('[MCP6] its news of a resource that somebody subscribed to', async () => {
    const uri = 'demo://resource/dynamic/text/2'
    for (const { client, heard } of ways) {
      await client.subscribeResource({ uri })
      await client.callTool({ name: 'toggle-subscriber-updates', arguments: {} })
      await seen('news of it', () => (heard.includes('notifications/resources/updated') ? true : null))
      await client.callTool({ name: 'toggle-subscriber-updates', arguments: {} })
    }
  })

  it('[MCP11] its task, to the result', async () => {
    const told = await same(async ({ client }) => {
      const kinds = new Set<string>()
      for await (const message of client.experimental.tasks.callToolStream({ name: 'simulate-research-query', arguments: { topic: 'gateways' } })) kinds.add(message.type)
      return [...kinds]
    })
    expect(told).toEqual(['taskCreated', 'taskStatus', 'result'])
  })
})
