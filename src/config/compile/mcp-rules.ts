// What rules of a route of MCP say of messages, checked against what the route says of its tools: selectors, and the arguments that conditions read.
// SPEC: CFG3, MCP2-MCP4
import { argumentsRead } from '../../conditions/compile.ts'
import { type CallSelector, type Glob, globOf, type McpRoute, selectsCall, type ToolTraits, traitsOf } from '../../core/call.ts'
import { didYouMean } from '../spelling.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

type Selector = NonNullable<Compilation['config']['routes'][number]['rules'][number]['allow']>

const CALLS = ['tools', 'classes', 'labels', 'prompts', 'resources', 'mcp'] as const
const HTTP = ['methods', 'paths', 'grpc', 'upgrade'] as const

const globsOf = (texts: readonly string[] | undefined): readonly Glob[] | null => texts?.map(globOf) ?? null

/** Which messages a rule means; null on routes that serve none. */
export function callsOf({ report }: Compilation, selector: Selector, servesMcp: boolean, place: Path): CallSelector | null {
  for (const key of servesMcp ? HTTP : CALLS) {
    if (selector[key] !== undefined) report.errorAtKey([...place, key], servesMcp ? `\`${key}\` has no meaning on a route of MCP, whose messages all look the same to HTTP` : `\`${key}\` has a meaning only on a route of MCP`, servesMcp ? 'choose by `tools`, `prompts`, `resources` or `mcp`' : 'write `mcp: {}` on the route, or `protocol: mcp` on its upstream')
  }
  if (!servesMcp) return null
  const { tools, classes, labels, prompts, resources, mcp } = selector
  for (const key of ['classes', 'labels'] as const) if (selector[key] !== undefined && tools === undefined) report.errorAtKey([...place, key], `\`${key}\` says which of the \`tools\` are meant`, 'add `tools: ["*"]` for all of them')
  if (tools === undefined && prompts === undefined && resources === undefined && mcp === undefined) report.error(place, 'the selector chooses no message', 'name `tools`, `prompts`, `resources` or `mcp`')
  return { tools: globsOf(tools), classes: classes === undefined ? null : new Set(classes), labels: labels === undefined ? null : new Set(labels), prompts: globsOf(prompts), resources: globsOf(resources), methods: globsOf(mcp) }
}

/** What is known of each tool that a rule can mean; null where it may mean others, or what is no tool. */
function toolsMeant(calls: CallSelector, mcp: McpRoute): readonly ToolTraits[] | null {
  const { tools, prompts, resources, methods } = calls
  if (tools === null || prompts !== null || resources !== null || methods !== null || tools.some(({ parts }) => parts.length > 1)) return null
  const meant = tools.map(({ source }) => ({ kind: 'tool', method: 'tools/call', name: source, args: null, digest: null }) as const).filter(call => selectsCall(calls, mcp, call)).map(call => traitsOf(mcp, call))
  return meant.every(traits => traits !== null) ? meant : null
}

/** A condition reads only arguments that a tool of its rule takes, where that is known of all of them. */
export function argumentFaults({ report }: Compilation, condition: string | undefined, calls: CallSelector | null, mcp: McpRoute | null, path: Path): void {
  if (condition === undefined || calls === null || mcp === null) return
  const meant = toolsMeant(calls, mcp)
  if (meant === null || meant.length === 0 || meant.some(({ args }) => args === null)) return
  const known = new Set(meant.flatMap(({ args }) => [...(args?.keys() ?? [])]))
  for (const [name, at] of argumentsRead(condition)) {
    if (!known.has(name)) report.errorInside(path, at, `condition, column ${at + 1}: no tool of the rule takes an argument '${name}'`, didYouMean(name, known) ?? 'declare it under `args` of the tool in `mcp.tools`')
  }
}
