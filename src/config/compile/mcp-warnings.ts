// What is legal on a route of MCP but rarely meant. SPEC: CFG9, MCP2, MCP3
import { type CallSelector, coversName, type Glob, type McpRoute } from '../../core/call.ts'
import type { Policy } from '../../core/policy.ts'
import type { Route, Rule } from '../../core/route.ts'
import type { Compilation } from './context.ts'

/** Every name that the one covers the other covers too: a pattern's own text stands for whatever it covers. */
const isWithin = (globs: readonly Glob[] | null, within: readonly Glob[] | null): boolean => globs === null || (within !== null && globs.every(({ source }) => within.some(glob => coversName(glob, source))))

/** Of the tools that two selectors mean: null is all of them. */
const isAmong = (some: ReadonlySet<string> | null, all: ReadonlySet<string> | null): boolean => all === null || (some !== null && [...some].every(one => all.has(one)))

/** Does an earlier selector mean whatever a later one means? Only what is plain to see. */
export function hidesCalls(earlier: CallSelector, later: CallSelector): boolean {
  const toolsHidden = later.tools === null || (isAmong(later.classes, earlier.classes) && isAmong(later.labels, earlier.labels) && isWithin(later.tools, earlier.tools))
  return toolsHidden && isWithin(later.prompts, earlier.prompts) && isWithin(later.resources, earlier.resources) && isWithin(later.methods, earlier.methods)
}

const isEverything = ({ source }: Glob): boolean => /^\*+$/.test(source)

/** Where it lets every tool be called, whatever it does. */
function opensAll({ effect, calls, scope, condition }: Rule): 'tools' | 'mcp' | null {
  if (effect === 'deny' || scope !== null || condition !== null || calls === null) return null
  if (calls.methods?.some(glob => coversName(glob, 'tools/call')) === true) return 'mcp'
  return calls.classes === null && calls.labels === null && calls.tools?.some(isEverything) === true ? 'tools' : null
}

function selectorWarnings({ report }: Compilation, { rules }: Route, { tools }: McpRoute, i: number): void {
  const [classes, labels] = [new Set(tools.map(entry => entry.class)), new Set(tools.flatMap(entry => entry.labels))]
  rules.forEach((rule, k) => {
    const path = ['routes', i, 'rules', k, rule.effect]
    const open = opensAll(rule)
    if (open !== null) report.warn([...path, open], 'any session may call every tool, those that the server adds later included', 'name the tools, say which `classes`, or give the rule a scope')
    for (const name of rule.calls?.classes ?? []) if (!classes.has(name)) report.warn([...path, 'classes'], `no entry of \`mcp.tools\` has the class '${name}'`)
    for (const name of rule.calls?.labels ?? []) if (!labels.has(name)) report.warn([...path, 'labels'], `no entry of \`mcp.tools\` has the label '${name}'`)
  })
}

function toolWarnings({ report }: Compilation, { rules }: Route, { tools }: McpRoute, i: number): void {
  tools.forEach(({ match }, k) => {
    const path = ['routes', i, 'mcp', 'tools', k, 'match']
    const hiding = tools.slice(0, k).findIndex(earlier => coversName(earlier.match, match.source))
    if (hiding >= 0) report.warn(path, `this entry never counts: entry ${hiding + 1} covers every tool that it covers`)
    const meant = match.parts.length > 1 || rules.some(({ calls }) => calls !== null && [...(calls.tools ?? [])].some(glob => coversName(glob, match.source)) || (calls?.methods?.some(glob => coversName(glob, 'tools/call')) ?? false))
    if (!meant) report.warn(path, `no rule means the tool '${match.source}', so nobody may call it`)
  })
}

export function mcpWarnings(c: Compilation, route: Route, i: number, { profiles }: Policy): void {
  const { mcp, cors, rules } = route
  if (mcp === null) return
  selectorWarnings(c, route, mcp, i)
  toolWarnings(c, route, mcp, i)
  const added = new Set([...profiles.values()].flatMap(({ adds }) => adds))
  const lifts = rules.some(({ scope }) => scope !== null && added.has(scope))
  if (mcp.offers !== null && !lifts) c.report.warn(['routes', i, 'mcp', 'offerElevation'], 'no profile adds a scope that a rule of the route asks for: there is nothing to ask for')
  if (mcp.approvalPage !== null && !lifts) c.report.warn(['routes', i, 'mcp', 'approvalPage'], 'no profile adds a scope that a rule of the route asks for: there is nothing to approve')
  for (const origin of cors?.origins ?? []) if (!mcp.origins.includes(origin)) c.report.warn(['routes', i, 'cors', 'origins'], `pages of ${origin} may ask, but their messages are refused`, 'name it under `mcp.origins` too')
}
