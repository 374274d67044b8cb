// Real MCP clients of both SDKs as one kind of caller: they list, call, read, listen, are asked, and keep every notification they hear and every answer of HTTP
// they get. For tests only.
import { Client as ModernClient, SdkHttpError, StreamableHTTPClientTransport as ModernTransport, type OAuthClientProvider as ModernProvider } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import type { OAuthClientProvider as LegacyProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { seen } from './runbooks.ts'

export const ERAS = ['modern', 'legacy'] as const
export type Era = (typeof ERAS)[number]
export const VERSIONS: { readonly [E in Era]: string } = { modern: '2026-07-28', legacy: '2025-11-25' }

export type Heard = { readonly method: string; readonly params: { readonly [name: string]: unknown } }
/** An answer of HTTP; of its body what has come so far. */
export type Answered = { readonly method: string; readonly status: number; readonly headers: Headers; readonly text: () => string }
type Args = { readonly [name: string]: unknown }
type Result = { readonly [member: string]: unknown }
export type CallOptions = { readonly signal?: AbortSignal; readonly onprogress?: (step: { readonly progress: number; readonly message?: string | undefined }) => void; readonly timeout?: number; readonly resetTimeoutOnProgress?: boolean }

export type ClientPlan = {
  readonly token: string
  /** Beside `Authorization`. */
  readonly headers?: { readonly [name: string]: string }
  /** What the person at the client says to questions; without it nobody can be asked. */
  readonly confirm?: (question: string) => boolean
  /** What the person does with a page it is sent to; without it no page can be shown. */
  readonly visit?: (url: string) => Promise<'accept' | 'decline' | 'cancel'>
  /** In place of a fixed token. */
  readonly authProvider?: ModernProvider | LegacyProvider
}

/** A connected client of either era. */
export type Caller = {
  readonly era: Era
  readonly heard: readonly Heard[]
  readonly answers: readonly Answered[]
  readonly errors: readonly Error[]
  readonly tools: () => Promise<readonly string[]>
  readonly describe: () => Promise<readonly Result[]>
  readonly call: (name: string, args?: Args, options?: CallOptions) => Promise<Result>
  readonly resources: () => Promise<readonly string[]>
  readonly read: (uri: string) => Promise<Result>
  readonly prompts: () => Promise<readonly string[]>
  readonly prompt: (name: string, args: { readonly [name: string]: string }) => Promise<Result>
  readonly complete: (prompt: string, argument: string, value: string) => Promise<readonly string[]>
  /** Is told of changes: of the list of tools, and of these resources. Ends with the client, or by what is returned. */
  readonly listen: (resources?: readonly string[]) => Promise<() => Promise<void>>
  /** Waits for the `count`th notification of that method. */
  readonly hear: (method: string, count?: number) => Promise<Heard>
  /** Of old, its protocol session; null otherwise. */
  readonly sessionId: () => string | null
  /** Ends the protocol session, where there is one, and every stream. */
  readonly close: () => Promise<void>
}

const CONFIRMATION = { action: 'accept' } as const

function recording(answers: Answered[]): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (url, init) => {
    const response = await fetch(url, init)
    let text = ''
    const decoder = new TextDecoder()
    void (async () => {
      for await (const piece of response.clone().body ?? []) text += decoder.decode(piece, { stream: true })
    })().catch(() => undefined) // cut
    answers.push({ method: init?.method ?? 'GET', status: response.status, headers: response.headers, text: () => text })
    return response
  }
}

type Question = { readonly message: string; readonly mode?: string | undefined; readonly url?: string }

/** What a person answers. */
async function told({ confirm, visit }: ClientPlan, { message, mode, url = '' }: Question): Promise<{ action: 'accept' | 'decline' | 'cancel'; content?: { confirmed: boolean } }> {
  if (mode === 'url') return { action: (await visit?.(url)) ?? 'cancel' }
  return confirm?.(message) === true ? { ...CONFIRMATION, content: { confirmed: true } } : { action: 'decline' }
}

const isAsked = ({ confirm, visit }: ClientPlan): boolean => confirm !== undefined || visit !== undefined
const capabilitiesOf = (plan: ClientPlan) => (isAsked(plan) ? { elicitation: { ...(plan.confirm === undefined ? {} : { form: {} }), ...(plan.visit === undefined ? {} : { url: {} }) } } : {})
const headersOf = ({ token, headers }: ClientPlan) => ({ requestInit: { headers: { ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...headers } } })

const hearing = (heard: readonly Heard[]) => (method: string, count = 1): Promise<Heard> =>
  seen(`${method}, ${count} times; heard were ${heard.map(each => each.method).join(', ')}`, () => heard.filter(each => each.method === method)[count - 1])

const TOLD_OF = ['notifications/tools/list_changed', 'notifications/resources/list_changed', 'notifications/prompts/list_changed', 'notifications/resources/updated', 'notifications/message'] as const

function modernCaller(client: ModernClient, transport: ModernTransport, kept: Pick<Caller, 'heard' | 'answers' | 'errors'>): Caller {
  const fresh = { cacheMode: 'refresh' } as const
  return {
    era: 'modern', ...kept, hear: hearing(kept.heard),
    tools: async () => (await client.listTools(undefined, fresh)).tools.map(({ name }) => name),
    describe: async () => (await client.listTools(undefined, fresh)).tools,
    call: (name, args = {}, options = {}) => client.callTool({ name, arguments: { ...args } }, options),
    resources: async () => (await client.listResources(undefined, fresh)).resources.map(({ uri }) => uri),
    read: uri => client.readResource({ uri }, fresh),
    prompts: async () => (await client.listPrompts(undefined, fresh)).prompts.map(({ name }) => name),
    prompt: (name, args) => client.getPrompt({ name, arguments: { ...args } }),
    complete: async (prompt, name, value) => (await client.complete({ ref: { type: 'ref/prompt', name: prompt }, argument: { name, value } })).completion.values,
    listen: async (resources = []) => {
      const subscription = await client.listen({ toolsListChanged: true, ...(resources.length === 0 ? {} : { resourceSubscriptions: [...resources] }) })
      return () => subscription.close()
    },
    sessionId: () => null,
    close: async () => {
      await client.close()
      await transport.close()
    },
  }
}

/** @throws what the SDK throws where the server, or the gateway, does not let it connect */
export async function connectModern(url: string, plan: ClientPlan): Promise<Caller & { readonly client: ModernClient }> {
  const [heard, answers, errors]: [Heard[], Answered[], Error[]] = [[], [], []]
  const client = new ModernClient({ name: 'agent', version: '1.0.0' }, { capabilities: capabilitiesOf(plan), versionNegotiation: { mode: { pin: VERSIONS.modern } } })
  if (isAsked(plan)) client.setRequestHandler('elicitation/create', ({ params }) => told(plan, params))
  for (const method of TOLD_OF) client.setNotificationHandler(method, ({ params }) => void heard.push({ method, params: { ...params } }))
  client.onerror = error => errors.push(error)
  const transport = new ModernTransport(new URL(url), { fetch: recording(answers), ...headersOf(plan), ...(plan.authProvider === undefined ? {} : { authProvider: plan.authProvider }) })
  await client.connect(transport)
  return { ...modernCaller(client, transport, { heard, answers, errors }), client }
}

function legacyCaller(client: LegacyClient, transport: LegacyTransport, kept: Pick<Caller, 'heard' | 'answers' | 'errors'>): Caller {
  return {
    era: 'legacy', ...kept, hear: hearing(kept.heard),
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    describe: async () => (await client.listTools()).tools,
    call: (name, args = {}, options = {}) => client.callTool({ name, arguments: { ...args } }, CallToolResultSchema, { ...options, ...(options.onprogress === undefined ? {} : { onprogress: options.onprogress }) }),
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: uri => client.readResource({ uri }),
    prompts: async () => (await client.listPrompts()).prompts.map(({ name }) => name),
    prompt: (name, args) => client.getPrompt({ name, arguments: { ...args } }),
    complete: async (prompt, name, value) => (await client.complete({ ref: { type: 'ref/prompt', name: prompt }, argument: { name, value } })).completion.values,
    listen: async (resources = []) => {
      await seen('the stream of the client', () => kept.answers.find(({ method, status }) => method === 'GET' && status === 200)) // opened behind `initialize`
      for (const uri of resources) await client.subscribeResource({ uri })
      return async () => {
        for (const uri of resources) await client.unsubscribeResource({ uri })
      }
    },
    sessionId: () => transport.sessionId ?? null,
    close: async () => {
      await transport.terminateSession()
      await client.close()
    },
  }
}

/** @throws likewise */
export async function connectLegacy(url: string, plan: ClientPlan): Promise<Caller & { readonly client: LegacyClient }> {
  const [heard, answers, errors]: [Heard[], Answered[], Error[]] = [[], [], []]
  const client = new LegacyClient({ name: 'agent', version: '1.0.0' }, { capabilities: capabilitiesOf(plan) })
  if (isAsked(plan)) client.setRequestHandler(ElicitRequestSchema, ({ params }) => told(plan, params))
  client.fallbackNotificationHandler = async ({ method, params }) => void heard.push({ method, params: { ...params } })
  client.onerror = error => errors.push(error)
  const transport = new LegacyTransport(new URL(url), { fetch: recording(answers), ...headersOf(plan), ...(plan.authProvider === undefined ? {} : { authProvider: plan.authProvider }), reconnectionOptions: { initialReconnectionDelay: 20, maxReconnectionDelay: 200, reconnectionDelayGrowFactor: 2, maxRetries: 3 } })
  await client.connect(transport)
  return { ...legacyCaller(client, transport, { heard, answers, errors }), client }
}

export const connect: { readonly [E in Era]: (url: string, plan: ClientPlan) => Promise<Caller> } = { modern: connectModern, legacy: connectLegacy }

/** How something ended: its result, or what a client makes of the refusal: HTTP's status or JSON-RPC's code, and its words. */
export async function endOf(asked: Promise<Result>): Promise<{ readonly result: Result } | { readonly code: number | null; readonly message: string }> {
  try {
    return { result: await asked }
  } catch (error) {
    const { message } = error as Error // the SDKs throw nothing else
    const code = error instanceof SdkHttpError ? error.status : error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : null
    return { code: code ?? null, message }
  }
}
