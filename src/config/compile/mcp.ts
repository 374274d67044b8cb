// `mcp` of a route, and the rule that carries the protocol itself. SPEC: CFG3, MCP3
import { globOf, type McpRoute, type ToolTraits } from '../../core/call.ts'
import type { Rule } from '../../core/route.ts'
import { type MCP_VERSIONS, mcp as form } from '../schema/mcp.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

type WrittenRoute = Compilation['config']['routes'][number]
type Written = NonNullable<WrittenRoute['mcp']>

/** Of JSON-RPC and of MCP: taken, or never to be sent. */
const RESERVED = { from: -32_768, to: -32_000, coaz: -32_001 }
const MESSAGE_MOST = 64 * 1024 * 1024

/** Carries what no rule says anything of and touches nothing: lists are filtered and messages of streams judged one by one. */
const protocolRule = (route: string): Rule => ({
  name: `${route}#protocol`, effect: 'allow', methods: null, paths: null, upgrade: null, calls: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, inspect: null, atEnd: null, record: 'off', label: null,
  stepUp: null, after: null, onHit: null, notAfter: [], rates: [], decision: null,
})

type WrittenArgs = NonNullable<Written['tools']>[number]['args']

/** Only what is one text in a header can be repeated there. */
const REPEATED: ReadonlySet<string> = new Set(['string', 'int', 'bool'])

function argsOf(report: Compilation['report'], written: WrittenArgs, path: Path): ToolTraits['args'] {
  if (written === undefined) return null
  const headers = new Set<string>()
  return new Map(Object.entries(written).map(([name, said]) => {
    if (typeof said === 'string') return [name, { type: said, required: true, header: null }]
    const { type, required, header = null } = said
    if (header !== null && !REPEATED.has(type)) report.error([...path, name, 'header'], `a header repeats no ${type}`, 'only `string`, `int` and `bool` stand in one')
    if (header !== null && headers.size === headers.add(header.toLowerCase()).size) report.error([...path, name, 'header'], `there is 'Mcp-Param-${header}' already`)
    return [name, { type, required, header }]
  }))
}

function traitsOf({ report }: Compilation, { tools = [] }: Written, path: Path): readonly ToolTraits[] {
  return tools.map((written, i) => {
    if (written.digest !== undefined && written.match.includes('*')) report.errorAtKey([...path, 'tools', i, 'digest'], 'a definition is of one tool', 'name it without `*`')
    return { match: globOf(written.match), class: written.class ?? null, labels: written.labels ?? [], args: argsOf(report, written.args, [...path, 'tools', i, 'args']), digest: written.digest?.slice('sha256:'.length) ?? null }
  })
}

function codeOf({ report }: Compilation, { denialCode }: Written, path: Path): number {
  if (denialCode === 'coaz') return RESERVED.coaz
  if (denialCode >= RESERVED.from && denialCode <= RESERVED.to) report.error([...path, 'denialCode'], `codes from ${RESERVED.from} to ${RESERVED.to} are reserved`, 'write another one, such as 40300, or `coaz`')
  return denialCode
}

function pageOf({ report }: Compilation, { approvalPage }: Written, path: Path): string | null {
  if (approvalPage === undefined) return null
  const at = [...path, 'approvalPage']
  if (!approvalPage.includes('{elevation}')) report.error(at, 'the page must name the elevation: `{elevation}`')
  if (!/^https:\/\/[^\s]+$|^http:\/\/(?:localhost|127\.0\.0\.1)(?::\d+)?\/[^\s]*$/.test(approvalPage)) report.error(at, 'expected an https URL')
  return approvalPage
}

function originsOf({ report }: Compilation, { origins = [] }: Written, path: Path): readonly string[] {
  origins.forEach((origin, i) => {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) report.error([...path, 'origins', i], 'expected an origin as browsers write it, such as https://app.example')
  })
  return origins
}

/** Of a route that serves MCP; null of any other. */
export function mcpOf(c: Compilation, route: WrittenRoute, upstream: UpstreamSettings | null, path: Path): McpRoute | null {
  const at = [...path, 'mcp']
  if (route.mcp === undefined && upstream?.serves !== 'mcp') return null
  const written = route.mcp ?? form.parse({})
  if (route.mode === 'observe') c.report.error([...path, 'mode'], '`observe` cannot be used on a route of MCP, whose lists and calls would tell different things')
  route.rules.forEach((rule, i) => {
    if (rule.anonymous) c.report.errorAtKey([...path, 'rules', i, 'anonymous'], 'messages of MCP belong to a session', 'give its callers credentials')
  })
  if (written.messageBytes > MESSAGE_MOST) c.report.error([...at, 'messageBytes'], 'at most 64MiB')
  const { offerElevation } = written
  return {
    versions: written.versions satisfies readonly (typeof MCP_VERSIONS)[number][], denyAs: written.denyAs, denialCode: codeOf(c, written, at),
    offers: offerElevation === false ? null : { prefix: offerElevation === true ? '' : offerElevation.prefix },
    approvalPage: pageOf(c, written, at), origins: originsOf(c, written, at), messageBytes: written.messageBytes, messageTimeout: written.messageTimeout,
    tools: traitsOf(c, written, at), onChange: written.onChange,
    record: written.record.arguments === 'digests' ? null : { redact: written.record.redact ?? [] },
    protocol: protocolRule(route.name),
  }
}
