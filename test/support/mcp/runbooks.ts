// What the MCP servers of tests serve, the same in both eras: runbooks, tools that read and change them, and work that goes on until a test lets it end
// or it is cancelled. For tests only.
import { setTimeout as after } from 'node:timers/promises'
import { z } from 'zod'

/** Any question waits for this long. */
const PATIENCE = 10_000
const TICK = 5

/** What a call of a tool has besides its arguments. */
export type ToolCall = {
  readonly signal: AbortSignal
  /** Tells the caller, if it wants to be told. */
  readonly progress: (done: number, message: string) => Promise<void>
  /** Of old: ends the stream of the call, which goes on; its caller comes back for the rest. */
  readonly rest: () => void
  /** Asks the person at the caller, by its era's way. */
  readonly confirm: (question: string) => Promise<boolean>
}

export type ToolResult = { content: { type: 'text'; text: string }[]; isError?: boolean } // as mutable as the SDKs' own

/** One tool; what it does to the world is for the gateway's configuration to say, these annotations are what a server claims. */
export type ToolDefinition = {
  readonly name: string
  readonly description: string
  readonly input: z.ZodObject
  readonly annotations: { readonly readOnlyHint: boolean }
  readonly run: (runbooks: Runbooks, args: { readonly [name: string]: unknown }, call: ToolCall) => Promise<ToolResult>
}

export const said = (text: string, isError = false): ToolResult => ({ content: [{ type: 'text', text }], ...(isError ? { isError } : {}) })

/** A call of `work` that is under way. */
export class Work {
  readonly #ended = Promise.withResolvers<string>()
  readonly #call: ToolCall
  #steps = 0
  /** `performance.now()` when its server was told that nobody wants it any more; 0 until then. */
  cancelledAt = 0
  ended = false

  constructor(call: ToolCall) {
    this.#call = call
    const cancelled = (): void => {
      this.cancelledAt = performance.now()
      this.#ended.resolve('cancelled')
    }
    if (call.signal.aborted) cancelled()
    else call.signal.addEventListener('abort', cancelled, { once: true })
  }

  /** Tells its caller of one more step. */
  step(): Promise<void> { return this.#call.progress(++this.#steps, `step ${this.#steps}`) }

  /** Sends its caller away for a while. */
  rest(): void { this.#call.rest() }

  finish(text = 'done'): void { this.#ended.resolve(text) }

  /** `cancelled`, or the text it was finished with. */
  async outcome(): Promise<string> {
    const text = await this.#ended.promise
    this.ended = true
    return text
  }
}

/** Polls what no socket of a test tells. */
export async function seen<T>(what: string, look: () => T | null | undefined): Promise<T> {
  for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; await after(TICK)) {
    const found = look()
    if (found !== null && found !== undefined) return found
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`)
}

export class Runbooks {
  readonly texts = new Map([['inc-1', 'restart the ledger'], ['inc-2', 'drain the queue']])
  /** Calls of tools in their order, as `name incident`. */
  readonly calls: string[] = []
  readonly tools: readonly ToolDefinition[]
  readonly #works = new Map<string, Work>()
  readonly #descriptions = new Map<string, string>()

  constructor(tools: readonly ToolDefinition[] = TOOLS) {
    this.tools = tools
  }

  /** What a tool says of itself from now on. */
  redefine(name: string, description: string): void { this.#descriptions.set(name, description) }

  descriptionOf({ name, description }: ToolDefinition): string { return this.#descriptions.get(name) ?? description }

  async run(tool: ToolDefinition, args: { readonly [name: string]: unknown }, call: ToolCall): Promise<ToolResult> {
    this.calls.push([tool.name, ...('incident' in args ? [String(args['incident'])] : [])].join(' '))
    return tool.run(this, args, call)
  }

  begin(name: string, call: ToolCall): Work {
    const work = new Work(call)
    this.#works.set(name, work)
    return work
  }

  /** The work of that name, when its call has arrived. */
  work(name: string): Promise<Work> { return seen(`a call of work '${name}'`, () => this.#works.get(name)) }
}

const incident = z.string().describe('The incident it is for')

async function work(runbooks: Runbooks, args: { readonly [name: string]: unknown }, call: ToolCall): Promise<ToolResult> {
  const { name, steps, everyMs } = z.object(WORK).parse(args)
  const under = runbooks.begin(name, call)
  void (async () => {
    for (let i = 0; i < steps && !under.ended && under.cancelledAt === 0; i++) {
      await under.step()
      await after(everyMs)
    }
    if (steps > 0) under.finish()
  })()
  return said(await under.outcome())
}

const WORK = { name: z.string(), steps: z.int().min(0).max(1000).default(0).describe('Ends by itself after so many; 0 is for until it is told'), everyMs: z.int().min(1).max(10_000).default(50) }

export const TOOLS: readonly ToolDefinition[] = [
  {
    name: 'runbook_read', description: 'Reads the runbook of an incident', input: z.object({ incident }), annotations: { readOnlyHint: true },
    run: async ({ texts }, args) => {
      const text = texts.get(String(args['incident']))
      return text === undefined ? said('there is no such runbook', true) : said(text)
    },
  },
  {
    name: 'runbook_write', description: 'Writes the runbook of an incident', input: z.object({ incident, text: z.string() }), annotations: { readOnlyHint: false },
    run: async ({ texts }, args) => {
      texts.set(String(args['incident']), String(args['text']))
      return said('written')
    },
  },
  {
    name: 'runbook_delete', description: 'Deletes the runbook of an incident when a person confirms it', input: z.object({ incident }), annotations: { readOnlyHint: false },
    run: async ({ texts }, args, { confirm }) => {
      if (!(await confirm(`Delete the runbook of ${String(args['incident'])}?`))) return said('not deleted')
      texts.delete(String(args['incident']))
      return said('deleted')
    },
  },
  { name: 'work', description: 'Works until it is told to end, and tells of its progress', input: z.object(WORK), annotations: { readOnlyHint: true }, run: work },
  {
    name: 'big', description: 'Answers with so many characters', input: z.object({ length: z.int().min(0).max(16_777_216) }), annotations: { readOnlyHint: true },
    run: async (_, args) => said('0123456789abcdef'.repeat(Math.ceil(Number(args['length']) / 16)).slice(0, Number(args['length']))),
  },
  {
    name: 'fail', description: 'Fails', input: z.object({}), annotations: { readOnlyHint: true },
    run: () => Promise.reject(new Error('it failed')),
  },
]
