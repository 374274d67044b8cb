// Everything the agents' demo runs: a real MCP server with runbooks (SDK), a toy issuer, the real gateway with config/demo-agent.yaml, an agent that is a client of
// the SDK, an operator and somebody on call. All of it on loopback; its state directory is removed at the end.
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { z } from 'zod'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { freePort } from '../../src/cli/demo/loopback.ts'
import { ToyIssuer } from '../../src/cli/demo/toy-issuer.ts'
import { formatProblem } from '../../src/config/problem.ts'
import { ConfigSource, processEnvironment } from '../../src/config/source.ts'
import { openGateway } from '../../src/gateway.ts'
import type { Gateway } from '../../src/running-gateway.ts'
import { type McpPeer, startModernServer } from '../support/mcp/modern-server.ts'
import { Runbooks, said, type ToolDefinition, TOOLS } from '../support/mcp/runbooks.ts'

const CONFIG_FILE = fileURLToPath(new URL('../../config/demo-agent.yaml', import.meta.url))
const AGENT = 'sre-bot'
const CLOSE_WITHIN_MS = 4_000
const ANSWER_WITHIN_MS = 5_000
const STEP_MS = 30
/** Of a rehearsal that nobody stops. */
const STEPS = 600

export const INCIDENT = 'INC-42'
/** Where a call says what it is for. */
export const TICKET_META = 'narrowgate.dev/ticket'

const token = (): string => `nga_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`
const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

const WRITING = z.object({ incident: z.string(), text: z.string() })

/** Goes on, and tells of each step, until it is over or nobody wants it any more. */
const REHEARSE: ToolDefinition = {
  name: 'runbook_rehearse', description: 'Rehearses a new runbook of an incident, step by step', input: WRITING, annotations: { readOnlyHint: false },
  run: async (runbooks, args, call) => {
    const work = runbooks.begin(WRITING.parse(args).incident, call)
    for (let i = 0; i < STEPS && work.cancelledAt === 0; i++) {
      await work.step()
      await pause(STEP_MS)
    }
    work.finish()
    return said(await work.outcome())
  },
}

export type SetUp = {
  readonly gateway: Gateway
  readonly server: McpPeer
  readonly agent: Client
  /** Told of each change of the list of tools, with the names in it. */
  readonly lists: readonly (readonly string[])[]
  readonly operator: AdminClient
  /** Somebody on call, who approves. */
  readonly oncall: AdminClient
  readonly secrets: readonly string[]
  /** Heads and bodies of all that the gateway answered to the agent, as they came. */
  readonly answered: readonly string[]
  readonly urls: { readonly mcp: string; readonly admin: string; readonly ops: string }
  readonly stateDir: string
  readonly close: () => Promise<void>
}

async function gatewayOf(variables: ReadonlyMap<string, string>): Promise<Gateway> {
  const own = processEnvironment()
  const source = new ConfigSource(CONFIG_FILE, { ...own, variable: name => variables.get(name) ?? own.variable(name) })
  const loaded = source.load()
  if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join('\n'))
  return openGateway({ settings: loaded.settings, source })
}

/** As `fetch`, and keeps what is answered, piece by piece: some answers have no end. */
const keeping = (answered: string[]) => async (url: string | URL, init?: RequestInit): Promise<Response> => {
  const response = await fetch(url, init)
  answered.push(JSON.stringify([...response.headers]))
  const at = answered.push('') - 1
  const decoder = new TextDecoder()
  void (async () => {
    for await (const piece of response.clone().body ?? []) answered[at] += decoder.decode(piece, { stream: true })
  })().catch(() => undefined) // cut, as the story has it
  return response
}

/** @param lists gets the names of the tools whenever the gateway says that the list is another one */
async function agentOf(url: string, bearer: string, lists: (readonly string[])[], answered: string[]): Promise<Client> {
  const agent = new Client({ name: 'sre-bot', version: '1.0.0' }, {
    versionNegotiation: { mode: { pin: '2026-07-28' } },
    listChanged: { tools: { onChanged: (error, tools) => void (error === null && lists.push((tools ?? []).map(({ name }) => name))) } },
  })
  await agent.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: keeping(answered), requestInit: { headers: { authorization: `Bearer ${bearer}` } } }))
  return agent
}

export async function setUp(): Promise<SetUp> {
  const stateDir = await mkdtemp(join(tmpdir(), 'narrowgate-demo-agent-'))
  const closers: (() => Promise<unknown>)[] = [() => rm(stateDir, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const closeOne of closers.splice(0).reverse()) await Promise.race([closeOne(), pause(CLOSE_WITHIN_MS, undefined, { ref: false })])
  }
  try {
    const server = await startModernServer({ runbooks: new Runbooks([...TOOLS.filter(({ name }) => name.startsWith('runbook_')), REHEARSE]) })
    closers.push(() => server.close())
    const issuer = await ToyIssuer.start()
    closers.push(() => issuer.close())
    const [operator, oncall, operators] = [token(), token(), join(stateDir, 'operators.json')]
    await writeFile(operators, JSON.stringify({ tokens: [
      { name: 'olga', sha256: digest(operator), roles: ['operator'], identity: 'https://login.example|olga' },
      { name: 'ann', sha256: digest(oncall), roles: ['approver'], identity: 'https://login.example|ann' },
    ] }), { mode: 0o600 })
    const port = async (name: string, usual: string): Promise<readonly [string, string]> => [name, await freePort(process.env[name] ?? usual)]
    const gateway = await gatewayOf(new Map([
      ['NARROWGATE_DEMO_STATE', stateDir], ['NARROWGATE_DEMO_ISSUER', issuer.origin], ['NARROWGATE_DEMO_UPSTREAM', server.origin], ['NARROWGATE_DEMO_OPERATORS', operators],
      await port('NARROWGATE_DEMO_PORT', '8080'), await port('NARROWGATE_DEMO_ADMIN_PORT', '9443'), await port('NARROWGATE_DEMO_OPS_PORT', '9464'),
    ]))
    closers.push(() => gateway.close('demo'))
    const urls = { mcp: `http://${gateway.front.address('main')}/mcp`, admin: `http://${gateway.front.address('admin')}`, ops: `http://${gateway.front.address('ops')}` }
    const bearer = await issuer.token(AGENT)
    const [lists, answered]: [(readonly string[])[], string[]] = [[], []]
    const agent = await agentOf(urls.mcp, bearer, lists, answered)
    closers.push(() => agent.close())
    const person = (own: string): AdminClient => new AdminClient({ url: new URL(urls.admin), token: own, timeoutMs: ANSWER_WITHIN_MS })
    return { gateway, server, agent, lists, operator: person(operator), oncall: person(oncall), secrets: [bearer, operator, oncall], answered, urls, stateDir, close }
  } catch (error) {
    await close()
    throw error
  }
}
