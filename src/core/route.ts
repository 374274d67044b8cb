// Routes and rules as compiled, and which of them a target meets: exact host before suffix before none, then the longer literal prefix.
// No falling through to another route; within one, the first rule whose selector matches decides. SPEC: DEC2-DEC4
import type { RequiredAuthentication } from './authentication.ts'
import { type Call, type CallSelector, coverageOf, inLowerCase, isTemplate, type McpRoute, selectsCall, traitsOf } from './call.ts'
import type { Condition, TextExpression } from './condition.ts'
import type { Evaluation, Target } from './evaluation.ts'
import type { RuleDecision } from './external.ts'
import { isCommonMethod } from './method.ts'
import { coversPath, lowerCase, NO_PARAMS, type PathParams, type PathPattern, paramsOf, type Reading } from './path-pattern.ts'
import type { RuleStepUp } from './step-up.ts'
import type { Scope, ScopeName } from './scope.ts'
import type { TaintName } from './taint.ts'
import type { Duration } from './time.ts'

/** Null sets no bound; `maxBytes` is set wherever `fields` holds something. */
export type MessageRules = {
  /** Of one whole message. */
  readonly maxBytes: number | null
  readonly perSecond: number | null
  /** By JSON pointer (RFC 6901) the texts that may stand there; each must be there. Where it holds something, only JSON text messages pass. */
  readonly fields: ReadonlyMap<string, ReadonlySet<string>>
}

/** What follows from requests that a rule refuses, or that no rule knows. */
export type OnHit = {
  /** Points, for each. */
  readonly addRisk: number
  /** With so many within that time; 1 is each. */
  readonly strikes: number
  readonly within: Duration
  readonly act: 'none' | 'narrow' | 'freeze' | 'terminate' | 'lock'
  /** Of a freeze or a lock; null as long as sessions are frozen, or until an operator lifts it. */
  readonly for: Duration | null
}

/** What an allowed request leaves behind, before its first byte goes upstream. */
export type Aftereffect = {
  /** What is left of the session at most. */
  readonly shorten: Duration | null
  readonly taint: { readonly name: TaintName; readonly of: 'session' | 'principal'; readonly for: Duration | null } | null
  /** `to` null leaves the baseline. */
  readonly narrow: { readonly to: Scope | null } | null
}

/** What protects from load, approximately: see the port's `share`. */
export type RateLimit = { readonly requests: number | null; readonly bytes: number | null; readonly per: Duration; readonly burst: number; readonly by: 'principal' | 'session' | 'tenant' | 'everyone' }

export type Rule = {
  /** `<route>#<position>`, from 1: what logs call it. */
  readonly name: string
  readonly effect: 'allow' | 'deny'
  /** Upper case; null covers the common ones, a denial every one. GET covers HEAD, never an upgrade. */
  readonly methods: ReadonlySet<string> | null
  readonly paths: readonly PathPattern[] | null
  readonly upgrade: string | null
  /** On routes of MCP, and only there: which messages it means. */
  readonly calls: CallSelector | null
  readonly anonymous: boolean
  readonly scope: ScopeName | null
  readonly condition: Condition | null
  /** What a WebSocket's messages from the caller must keep to; null where they are not looked at. */
  readonly messages: MessageRules | null
  /** What it asks of the caller's sign-in; null asks nothing. Never with `anonymous`. */
  readonly requireAuth: RequiredAuthentication | null
  /** Its body is JSON that conditions and limits read, and is read whole before the decision. */
  readonly inspect: { readonly maxBytes: number; readonly timeout: Duration } | null
  /** What is whole already may finish for so long behind an end by time, window or limit; null ends it. */
  readonly atEnd: Duration | null
  /** What of its bodies is on record. */
  readonly record: 'off' | 'digests' | 'bodies'
  /** What logs call what it touches; null for nothing. */
  readonly label: string | null
  /** null asks for nothing. */
  readonly stepUp: RuleStepUp | null
  readonly after: Aftereffect | null
  /** Of a denial. */
  readonly onHit: OnHit | null
  /** Taints with which nobody gets here. */
  readonly notAfter: readonly TaintName[]
  readonly rates: readonly RateLimit[]
  /** Who outside has to let it as well; null for nobody. Never with `anonymous`. */
  readonly decision: RuleDecision | null
}

export type HostPattern = { readonly is: 'exact'; readonly host: string } | { readonly is: 'suffix'; readonly suffix: string } | { readonly is: 'any' }

/** Origins as browsers write them, compared exactly; header names in lower case. */
export type Cors = { readonly origins: readonly string[]; readonly headers: readonly string[]; readonly maxAge: Duration; readonly credentials: boolean; /** What pages have to read of answers. */ readonly exposed: readonly string[] }

/** What the upstream is told instead, after the decision. */
export type Rewrite = {
  readonly host: { readonly is: 'preserve' } | { readonly is: 'upstream' } | { readonly is: 'name'; /** With its port where it was written. */ readonly host: string }
  /** Canonical, without a last slash, so that the root is empty: `to + path.slice(from.length)`, and `/` where that is empty. */
  readonly path: { readonly from: string; readonly to: string } | null
}

export type Route = {
  readonly name: string
  readonly host: HostPattern
  readonly path: PathPattern
  readonly upstream: string
  /** Providers whose credentials count here, in order. */
  readonly authn: readonly string[]
  readonly mode: 'enforce' | 'observe'
  /** How old knowledge may be on rules without scope; 0 means the lease decides. */
  readonly staleness: Duration
  readonly encodedSlash: 'reject' | 'opaque'
  readonly upstreamFolds: { readonly case: boolean; readonly params: boolean }
  /** Null: the gateway answers no preflight, and OPTIONS is a method like any other. */
  readonly cors: Cors | null
  /** Null leaves host and path as they were judged. */
  readonly rewrite: Rewrite | null
  /** What its upstream is shown is obtained for one grant alone: what is open goes over to no other. */
  readonly brokered: boolean
  /** The caller's own `Authorization` goes upstream as it came. */
  readonly passthrough: boolean
  /** Whose things a request of it touches: the session's own tenant, or `sessions.bind.tenant` has its say. Null does not ask. */
  readonly tenant: TextExpression | null
  /** What follows from requests that no rule knows. */
  readonly onMiss: OnHit | null
  readonly notAfter: readonly TaintName[]
  readonly rates: readonly RateLimit[]
  /** null where it is plain HTTP. */
  readonly mcp: McpRoute | null
  readonly rules: readonly Rule[]
}

export type Place = { readonly route: Route; readonly rule: Rule | null; readonly params: PathParams }

export type RouteTable = {
  readonly exact: ReadonlyMap<string, readonly Route[]>
  /** Longest suffix first. */
  readonly suffixes: readonly { readonly suffix: string; readonly routes: readonly Route[] }[]
  readonly anyHost: readonly Route[]
  /** A pattern has a literal that an upstream may know in another case. */
  readonly mixedCase: boolean
}

const byPrecedence = (a: Route, b: Route): number =>
  b.path.literalPrefix - a.path.literalPrefix || b.path.literals - a.path.literals || Number(a.path.tail) - Number(b.path.tail)

function grouped(routes: readonly Route[], keyOf: (route: Route) => string | null): Map<string, Route[]> {
  const groups = new Map<string, Route[]>()
  for (const route of routes) {
    const key = keyOf(route)
    if (key === null) continue
    const group = groups.get(key)
    if (group) group.push(route)
    else groups.set(key, [route])
  }
  for (const group of groups.values()) group.sort(byPrecedence)
  return groups
}

export function routeTable(routes: readonly Route[]): RouteTable {
  const suffixes = grouped(routes, ({ host }) => (host.is === 'suffix' ? host.suffix : null))
  return {
    exact: grouped(routes, ({ host }) => (host.is === 'exact' ? host.host : null)),
    suffixes: [...suffixes].map(([suffix, list]) => ({ suffix, routes: list })).sort((a, b) => b.suffix.length - a.suffix.length),
    anyHost: grouped(routes, ({ host }) => (host.is === 'any' ? '' : null)).get('') ?? [],
    mixedCase: routes.some(({ path, rules }) => [path, ...rules.flatMap(({ paths }) => paths ?? [])].some(({ source }) => lowerCase(source) !== source)),
  }
}

const onHost = (routes: readonly Route[], target: Target, reading: Reading): Route | null => routes.find(route => coversPath(route.path, target.segments, reading)) ?? null

/** Every route of a served host; the same array for each host of a pattern. */
export function routesAt({ exact, suffixes, anyHost }: RouteTable, host: string): readonly Route[] | null {
  const own = exact.get(host)
  if (own) return own
  for (const { suffix, routes } of suffixes) if (host.endsWith(suffix) && host.length > suffix.length) return routes
  return anyHost.length === 0 ? null : anyHost
}

/** The one route of a target, `no_route` on a served host, or `wrong_host`. */
export function routeOf(table: RouteTable, target: Target, reading: Reading = 'exact'): Route | 'no_route' | 'wrong_host' {
  const routes = routesAt(table, target.host)
  return routes === null ? 'wrong_host' : (onHost(routes, target, reading) ?? 'no_route')
}

const methodFits = (rule: Rule, method: string): boolean =>
  rule.methods === null ? rule.effect === 'deny' || isCommonMethod(method) : rule.methods.has(method) || (method === 'HEAD' && rule.methods.has('GET'))

function fits(rule: Rule, action: Evaluation['action'], segments: readonly string[], reading: Reading): boolean {
  if (rule.upgrade !== action.upgrade && !(rule.effect === 'deny' && rule.upgrade === null)) return false
  return methodFits(rule, action.method) && (rule.paths === null || rule.paths.some(pattern => coversPath(pattern, segments, reading)))
}

export const firstRule = (route: Route, action: Evaluation['action'], segments: readonly string[], reading: Reading = 'exact'): Rule | null =>
  route.mcp !== null ? ruleOfCall(route.mcp, route.rules, action.call, 'exact') : (route.rules.find(rule => fits(rule, action, segments, reading)) ?? null)

/** The first that means any of its addresses, where that means all of them: else it would tell of what another rule is about. */
function ruleOfTemplate(rules: readonly Rule[], call: Call, reading: Reading): Rule | null {
  for (const rule of rules) {
    const covered = rule.calls === null ? 'none' : coverageOf(rule.calls, call, reading)
    if (covered !== 'none') return covered === 'all' ? rule : null
  }
  return null
}

/** Until its message was read there is none. */
function ruleOfCall(mcp: McpRoute, rules: readonly Rule[], call: Call | null, reading: Reading): Rule | null {
  if (call === null) return null
  if (isTemplate(call)) return ruleOfTemplate(rules, call, reading)
  return rules.find(({ calls }) => calls !== null && selectsCall(calls, mcp, call, reading)) ?? (call.kind === 'protocol' ? mcp.protocol : null)
}

/** Route, rule and path parameters of a request; null where no route has it. */
export function placeOf(route: Route, action: Evaluation['action'], target: Target): Place {
  const rule = firstRule(route, action, target.segments)
  const pattern = rule?.paths?.find(p => coversPath(p, target.segments))
  const own = paramsOf(route.path, target.segments)
  if (pattern === undefined) return { route, rule, params: own }
  const params = paramsOf(pattern, target.segments)
  return { route, rule, params: own === NO_PARAMS ? params : { ...own, ...params } }
}

const FOLDABLE = /[A-Z;]|%[C-F]/
/** Letters beyond ASCII, some of which are the plain ones in another case or form: ı, ſ, full width. */
const ESCAPED_LETTERS = /(?:%[89A-F][0-9A-F])+/g
/** Where parameters of a segment begin, also for an upstream that decodes first. */
const PARAMS = /;|%3B/

function folded(route: Route, segments: readonly string[]): readonly string[] {
  const { case: fold, params } = route.upstreamFolds
  const plain = params ? segments.map(segment => segment.split(PARAMS, 1)[0] ?? '').filter((segment, i, all) => segment !== '' || i === all.length - 1) : segments
  return fold ? plain.map(segment => lowerCase(segment.includes('%') ? segment.replace(ESCAPED_LETTERS, plainLetters) : segment)) : plain
}

const ASCII = /^[!-~]+$/

const plainLetters = (escaped: string): string => Array.from(decodeURIComponent(escaped), letter => {
  const plain = letter.normalize('NFKC').toUpperCase().toLowerCase()
  return ASCII.test(plain) ? plain : encodeURIComponent(letter)
}).join('')

/** Would a server that folds case take the name for one that another rule, or another entry of `mcp.tools`, is about? */
function isOtherwiseNamed({ route, rule }: Place, call: Call | null): boolean {
  const { mcp, rules } = route
  if (mcp === null || rule === null || call === null || call.name === '') return false
  const lower = inLowerCase(call)
  return ruleOfCall(mcp, rules, lower, 'lower') !== rule || traitsOf(mcp, lower, 'lower') !== traitsOf(mcp, call)
}

/** Would an upstream that folds case or drops `;params` meet another first-matching rule than the path itself meets? */
export function isAmbiguous(table: RouteTable, place: Place, action: Evaluation['action'], target: Target): boolean {
  const { route } = place
  const { case: fold, params } = route.upstreamFolds
  if (fold && isOtherwiseNamed(place, action.call)) return true
  if (!(fold || params) || !(FOLDABLE.test(target.path) || (fold && table.mixedCase))) return false
  const segments = folded(route, target.segments)
  const reading = fold ? 'lower' : 'exact'
  const other = routeOf(table, { ...target, segments }, reading)
  if (typeof other === 'string') return true
  return other !== route || firstRule(other, action, segments, reading) !== place.rule
}
