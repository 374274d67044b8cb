// What is legal but rarely meant. `--strict` makes these errors. SPEC: CFG9
import { isCommonMethod } from '../../core/method.ts'
import type { PathPattern } from '../../core/path-pattern.ts'
import type { Policy } from '../../core/policy.ts'
import type { Route, Rule } from '../../core/route.ts'
import type { StoreSettings, UpstreamSettings } from '../settings.ts'
import type { Compilation } from './context.ts'
import { isLoopback } from './listeners.ts'
import { hidesCalls, mcpWarnings } from './mcp-warnings.ts'
import { includes, overlap } from './path.ts'

const methodsInclude = (a: Rule, b: Rule): boolean => {
  const { methods } = a
  if (methods === null) return a.effect === 'deny' || b.methods === null || [...b.methods].every(isCommonMethod)
  return b.methods !== null && [...b.methods].every(method => methods.has(method) || (method === 'HEAD' && methods.has('GET')))
}

const pathsInclude = (route: Route, a: Rule, b: Rule): boolean => {
  const { paths } = a
  if (paths === null) return true
  const wanted: readonly PathPattern[] = b.paths ?? [route.path]
  return wanted.every(path => paths.some(pattern => includes(pattern, path)))
}

/** Does an earlier rule match whatever a later one matches? Only what is plain to see: no unions of several rules. */
function hides(route: Route, earlier: Rule, later: Rule): boolean {
  if (earlier.calls !== null && later.calls !== null) return hidesCalls(earlier.calls, later.calls)
  return (earlier.upgrade === later.upgrade || (earlier.effect === 'deny' && earlier.upgrade === null)) && methodsInclude(earlier, later) && pathsInclude(route, earlier, later)
}

function ruleWarnings({ report, config }: Compilation, route: Route, i: number): void {
  route.rules.forEach((rule, k) => {
    const path = ['routes', i, 'rules', k, rule.effect]
    const hiding = route.rules.slice(0, k).find(earlier => hides(route, earlier, rule))
    if (hiding !== undefined) report.warn(path, `rule ${rule.name} is never reached: rule ${hiding.name} matches everything it would match`)
    const key = config.routes[i]?.rules[k]?.[rule.effect]?.grpc === undefined ? 'paths' : 'grpc'
    rule.paths?.forEach((pattern, n) => {
      if (!overlap(route.path, pattern)) report.warn([...path, key, n], `'${pattern.source}' lies outside of the route's own path ${route.path.source}`)
    })
  })
  const open = route.rules.findIndex(rule => rule.effect === 'allow' && rule.scope === null && !rule.anonymous)
  if (open >= 0 && route.authn.length > 1) {
    report.warn(['routes', i, 'rules', open, 'allow'], `any credential of ${route.authn.join(', ')} may use rule ${route.name}#${open + 1}`, 'name the providers in `authn`, or give the rule a scope')
  }
}

/** Only an issuer tells how its caller signed in. */
function signInWarnings({ report, config: { authn } }: Compilation, { authn: names, rules }: Route, i: number): void {
  const told = names.some(name => authn[name]?.jwt !== undefined || authn[name]?.introspection !== undefined)
  rules.forEach(({ requireAuth }, k) => {
    if (requireAuth !== null && !told) report.warn(['routes', i, 'rules', k, 'requireAuth'], 'no credential that counts here tells how its caller signed in, so the rule refuses everyone', 'name a `jwt` or `introspection` provider in `authn`')
  })
}

/** Where one half of it is there, the other is meant. */
function brokerWarnings({ report, config: { authn, brokers } }: Compilation, { routes }: Policy): void {
  const takes = routes.some(route => route.authn.some(name => authn[name]?.sessionToken !== undefined))
  const [first] = Object.keys(brokers)
  if (first !== undefined && !takes) report.warn(['brokers', first], 'no route takes the tokens of sessions that brokers open', 'name a provider with `sessionToken` in the `authn` of a route')
  if (first !== undefined) return
  for (const [name, { sessionToken }] of Object.entries(authn)) if (sessionToken !== undefined) report.warn(['authn', name, 'sessionToken'], 'nobody opens such sessions', 'name who may under `brokers`')
}

function tenantWarnings({ report, config: { sessions: { bind } } }: Compilation, { tenant }: Route, i: number): void {
  if (tenant !== null && bind.tenant === 'off') report.warn(['routes', i, 'tenant'], 'nobody looks at the tenant: `sessions.bind.tenant` is off')
}

/** gRPC's own directory of everything a server has. */
const isReflection = ({ parts: [first] }: PathPattern): boolean => first?.is === 'literal' && first.text.startsWith('grpc.reflection.')

function grpcWarnings({ report, config }: Compilation, { rules, upstream }: Route, i: number, upstreams: ReadonlyMap<string, UpstreamSettings>): void {
  rules.forEach(({ effect, scope, paths }, k) => {
    const path = ['routes', i, 'rules', k, effect]
    const grpc = config.routes[i]?.rules[k]?.[effect]?.grpc
    const reflection = paths?.findIndex(isReflection) ?? -1
    if (effect === 'allow' && scope === null && reflection >= 0) {
      report.warn([...path, grpc === undefined ? 'paths' : 'grpc', reflection], 'without a scope every caller may list all services and methods of the upstream', 'give the rule a scope, or leave reflection out')
    }
    if (effect === 'allow' && grpc !== undefined && upstreams.get(upstream)?.protocol === 'http1') {
      report.warn([...path, 'grpc'], 'the upstream of the route is spoken to in HTTP/1.1, which carries no gRPC', 'write `protocol: grpc` in the upstream')
    }
  })
}

function scopeWarnings({ report, config }: Compilation, policy: Policy): void {
  const used = new Set(policy.routes.flatMap(({ rules }) => rules.flatMap(({ scope }) => scope ?? [])))
  const granted = new Set([...[...policy.profiles.values()].flatMap(({ adds }) => adds), ...policy.sessions.baseline.flatMap(({ scopes }) => scopes)])
  for (const [name, { adds }] of Object.entries(config.elevations)) {
    adds.forEach((scope, i) => {
      if (!used.has(scope)) report.warn(['elevations', name, 'adds', i], `no rule uses the scope '${scope}'`)
    })
  }
  config.routes.forEach(({ rules }, i) => rules.forEach(({ scope }, k) => {
    if (scope !== undefined && !granted.has(scope)) report.warn(['routes', i, 'rules', k, 'scope'], `nothing grants the scope '${scope}': no profile adds it and no baseline holds it`)
  }))
}

function purposeWarnings({ report }: Compilation, policy: Policy): void {
  for (const { name, purposes } of policy.profiles.values()) {
    const ways = new Set(purposes.map(kind => policy.purposes.get(kind)?.from.is))
    const stated = purposes.length > 0 && [...ways].every(way => way === 'header' || way === 'meta')
    if (stated) report.warn(['elevations', name, 'purpose'], `the purpose is only stated in ${ways.has('meta') ? '`_meta`' : 'a header'}: the caller can write there what it likes`)
  }
}

/** A sum is counted where bodies are read: elsewhere nothing is let. */
function sumWarnings({ report }: Compilation, { profiles, routes }: Policy): void {
  for (const { name, adds, limits } of profiles.values()) {
    if (limits.sum === null) continue
    const rules = routes.flatMap(route => route.rules).filter(({ scope }) => scope !== null && adds.includes(scope))
    const unread = rules.filter(({ inspect }) => inspect === null)
    const path = ['elevations', name, 'limits', 'sum']
    if (rules.length > 0 && unread.length === rules.length) report.errorAtKey(path, 'no rule reads the bodies it is counted from', 'write `inspect: json` in the rules of its scopes')
    else for (const rule of unread) report.warn(path, `the rule ${rule.name} reads no body, so the elevation carries nothing there`)
  }
}

function storeWarnings({ report, config }: Compilation, { home, macKeyFiles }: StoreSettings): void {
  if (home.is === 'embedded') return
  const path = ['store', 'redis']
  const far = home.nodes.findIndex(({ host }) => !isLoopback(host))
  // Not at `url`: a problem shows its line, and this one holds the password.
  if (home.password !== null) report.warn(path, 'the password of Redis is part of `url`', 'keep it in a file of its own and name that with `passwordFile`')
  if (home.tls === null && far >= 0) report.warn(config.store.redis?.nodes === undefined ? path : [...path, 'nodes', far], 'Redis is reached without TLS: whoever stands between can read and change sessions', 'write a rediss:// URL, or `tls` beside `nodes`')
  if (macKeyFiles.length === 0) report.warn(path, 'records in Redis carry no signature: whoever may write there can give rights', 'name a key with `store.macKeyFile`')
}

export function warn(c: Compilation, policy: Policy, store: StoreSettings, upstreams: ReadonlyMap<string, UpstreamSettings>): void {
  policy.routes.forEach((route, i) => {
    ruleWarnings(c, route, i)
    signInWarnings(c, route, i)
    grpcWarnings(c, route, i, upstreams)
    tenantWarnings(c, route, i)
    mcpWarnings(c, route, i, policy)
  })
  brokerWarnings(c, policy)
  scopeWarnings(c, policy)
  purposeWarnings(c, policy)
  sumWarnings(c, policy)
  storeWarnings(c, store)
  if (c.config.sessions.credentialEnd === 'ignore') c.report.warn(['sessions', 'credentialEnd'], 'open exchanges outlive their credential, up to `sessions.max`')
  for (const name of Object.keys(c.config.upstreams)) {
    if (!policy.routes.some(({ upstream }) => upstream === name)) c.report.warn(['upstreams', name], `no route uses the upstream '${name}'`)
  }
}
