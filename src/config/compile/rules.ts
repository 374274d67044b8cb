// The rules of one route: selectors, what they need, and the combinations that would not mean what they say. SPEC: CFG3, DEC2, DEC4
import { methodFault } from '../../core/method.ts'
import type { RequiredAuthentication } from '../../core/authentication.ts'
import type { McpRoute } from '../../core/call.ts'
import type { Condition } from '../../core/condition.ts'
import { type PathPattern, pathPattern } from '../../core/path-pattern.ts'
import type { Rule } from '../../core/route.ts'
import type { Path } from '../source-map.ts'
import { ruleCondition } from './conditions.ts'
import type { Compilation } from './context.ts'
import { decisionOf, routeDecision } from './pdps.ts'
import { aftereffectOf, notAfterOf, onHitOf, ratesOf, stepUpOf } from './risk.ts'
import { argumentFaults, callsOf } from './mcp-rules.ts'
import { messagesOf } from './messages.ts'
import { compilePath, namesOf } from './path.ts'

type WrittenRoute = Compilation['config']['routes'][number]
type WrittenRule = WrittenRoute['rules'][number]

/** The pattern at a place; what is wrong with it is reported. */
export function pathAt({ report }: Compilation, path: Path, written: string): PathPattern | null {
  const pattern = compilePath(written)
  if (typeof pattern !== 'string') return pattern
  report.error(path, `path pattern: ${pattern}`)
  return null
}

const NEEDS_SESSION = ['scope', 'if', 'requireAuth', 'inspect', 'stepUp', 'after', 'decision'] as const

function combinations({ report }: Compilation, path: Path, rule: WrittenRule, { notAfter }: WrittenRoute): void {
  if ((rule.allow === undefined) === (rule.deny === undefined)) report.error(path, 'a rule has exactly one of `allow` and `deny`')
  if (rule.deny !== undefined) {
    for (const key of NEEDS_SESSION) if (rule[key] !== undefined) report.errorAtKey([...path, key], `\`${key}\` has no meaning with \`deny\`, which refuses whatever its selector matches`)
    if (rule.anonymous) report.errorAtKey([...path, 'anonymous'], '`anonymous` has no meaning with `deny`')
  }
  else if (rule.onHit !== undefined) report.errorAtKey([...path, 'onHit'], '`onHit` has a meaning only with `deny`; `onMiss` of the route is for requests that no rule knows')
  if (!rule.anonymous) return
  for (const key of [...NEEDS_SESSION, 'notAfter'] as const) if (rule[key] !== undefined) report.errorAtKey([...path, key], `an anonymous rule has no session, so \`${key}\` would never be asked`)
  if (notAfter !== undefined) report.errorAtKey([...path, 'anonymous'], 'whoever has a taint of `notAfter` of the route gets here all the same, without a credential', 'put the rule on a route of its own')
}

function authenticationOf({ report }: Compilation, { requireAuth }: WrittenRule, path: Path): RequiredAuthentication | null {
  if (requireAuth === undefined) return null
  const { acr, maxAge } = requireAuth
  if (acr === undefined && maxAge === undefined) report.errorAtKey(path, '`requireAuth` asks for nothing', 'write `acr`, `maxAge` or both, or leave it out')
  return { acr: acr ?? [], maxAge: maxAge ?? null }
}

type Selector = NonNullable<WrittenRule['allow']>

/** Also the extended CONNECT of RFC 8441 counts as a GET. */
function methodsAt({ report }: Compilation, { methods, upgrade, grpc }: Selector, place: Path): void {
  methods?.forEach((method, i) => {
    const fault = methodFault(method)
    if (fault === 'method_refused') report.error([...place, 'methods', i], `${method} is never forwarded`)
    else if (fault === 'unsupported_method') report.error([...place, 'methods', i], `${method} is no registered method, and never forwarded`, 'write one of the IANA registry, such as GET, QUERY or PROPFIND')
    else if (upgrade !== undefined && grpc === undefined && method !== 'GET') report.error([...place, 'methods', i], `a WebSocket is opened by GET, so with \`upgrade\` ${method} never matches`, 'leave `methods` out')
  })
}

const GRPC_METHOD = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\/(?:[A-Za-z_]\w*|\*)$/

/** gRPC over HTTP/2: a method is a POST to `/package.Service/Method`, in exactly this case. */
function grpcPaths({ report }: Compilation, selector: Selector, place: Path): readonly PathPattern[] {
  for (const key of ['methods', 'paths', 'upgrade'] as const) {
    if (selector[key] !== undefined) report.errorAtKey([...place, key], `\`${key}\` has no meaning with \`grpc\`, which says method and path itself`, 'make two rules of them')
  }
  return (selector.grpc ?? []).flatMap((method, i) => {
    if (GRPC_METHOD.test(method)) return pathPattern(`/${method}`)
    report.error([...place, 'grpc', i], 'expected a gRPC method', 'write package.Service/Method, or package.Service/* for all of a service')
    return []
  })
}

function inspectOf({ config, report }: Compilation, { inspect }: WrittenRule, { upgrade, grpc }: Selector, servesMcp: boolean, path: Path): Rule['inspect'] {
  if (inspect === undefined) return null
  if (upgrade !== undefined || grpc !== undefined) report.errorAtKey([...path, 'inspect'], 'only bodies of plain requests are JSON that can be read whole')
  if (servesMcp) report.errorAtKey([...path, 'inspect'], 'messages of MCP are always read', 'conditions read them as `mcp`')
  const { inspectBytes, inspectTimeout } = config.server.limits
  return { maxBytes: inspectBytes, timeout: inspectTimeout }
}

function conditionOf(c: Compilation, written: WrittenRule, servesMcp: boolean, path: Path, params: ReadonlySet<string>): Condition | null {
  const condition = ruleCondition(c, [...path, 'if'], written.if, params)
  if (condition?.readsBody === true && written.inspect === undefined) c.report.errorAtKey([...path, 'if'], 'nobody reads the `body` that it asks for', 'add `inspect: json`')
  if (condition?.readsMcp === true && !servesMcp) c.report.errorAtKey([...path, 'if'], 'there is no `mcp` on a route that does not serve it', 'write `mcp: {}` on the route')
  return condition
}

function rule(c: Compilation, route: WrittenRoute, { own, ofRoute, mcp }: OfRoute, written: WrittenRule, path: Path, position: number): Rule {
  combinations(c, path, written, route)
  const effect = written.deny === undefined ? 'allow' : 'deny'
  const selector = written.deny ?? written.allow ?? {}
  const place = [...path, effect]
  methodsAt(c, selector, place)
  const isGrpc = selector.grpc !== undefined
  const paths = isGrpc ? grpcPaths(c, selector, place) : selector.paths?.flatMap((text, i) => pathAt(c, [...place, 'paths', i], text) ?? []) ?? null
  const params = new Set([...(own === null ? [] : namesOf(own)), ...(paths ?? []).flatMap(namesOf)])
  const calls = callsOf(c, selector, mcp !== null, place)
  argumentFaults(c, written.if, calls, mcp, [...path, 'if'])
  return {
    name: `${route.name}#${position}`,
    effect, paths,
    methods: isGrpc ? new Set(['POST']) : selector.methods === undefined ? null : new Set(selector.methods),
    upgrade: selector.upgrade ?? null,
    anonymous: written.anonymous,
    scope: written.scope ?? null,
    calls,
    condition: conditionOf(c, written, mcp !== null, path, params),
    messages: messagesOf(c, written, [...path, 'messages']),
    requireAuth: authenticationOf(c, written, [...path, 'requireAuth']),
    inspect: inspectOf(c, written, selector, mcp !== null, path),
    atEnd: written.atEnd === 'cut' ? null : written.atEnd.finish,
    record: written.record, label: written.label ?? null,
    stepUp: stepUpOf(c, written, [...path, 'stepUp']),
    after: aftereffectOf(c, route, written, [...path, 'after']),
    onHit: onHitOf(c, written.onHit, [...path, 'onHit']),
    notAfter: notAfterOf(c, written.notAfter, [...path, 'notAfter']),
    rates: ratesOf(c, written.rates, [...path, 'rates']),
    decision: decisionOf(c, ofRoute, written, path, params),
  }
}

type OfRoute = { readonly own: PathPattern | null; readonly ofRoute: Rule['decision']; readonly mcp: McpRoute | null }

export function rulesOf(c: Compilation, route: WrittenRoute, own: PathPattern | null, mcp: McpRoute | null, path: Path): readonly Rule[] {
  const ofRoute = routeDecision(c, route, [...path, 'decision'], new Set(own === null ? [] : namesOf(own)))
  return route.rules.map((written, i) => rule(c, route, { own, ofRoute, mcp }, written, [...path, 'rules', i], i + 1))
}
