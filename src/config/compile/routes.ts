// Routes: host and path patterns, upstream, providers; two routes that precedence cannot tell apart are an error. SPEC: CFG3, DEC2
import { pathPattern } from '../../core/path-pattern.ts'
import type { Route } from '../../core/route.ts'
import type { ProviderSettings, UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { textExpression } from './conditions.ts'
import type { Compilation } from './context.ts'
import { isBrokered, passesThrough } from './credential.ts'
import { corsOf, rewriteOf } from './facing.ts'
import { hostKey, hostPattern } from './host.ts'
import { mcpOf } from './mcp.ts'
import { namesOf, overlap } from './path.ts'
import { notAfterOf, onHitOf, ratesOf } from './risk.ts'
import { pathAt, rulesOf } from './rules.ts'
import { upstreamOf } from './upstreams.ts'

type Written = Compilation['config']['routes'][number]
type Providers = ReadonlyMap<string, ProviderSettings>
type Upstreams = Map<string, UpstreamSettings>

/** Stands for what could not be read, and meets nothing: one mistake is told once. */
const unreadable = (i: number): string => `?${i}`

function authnOf({ report, config }: Compilation, written: Written, path: Path, providers: Providers): readonly string[] {
  written.authn?.forEach((name, i) => {
    if (!(name in config.authn)) report.error([...path, 'authn', i], `there is no provider '${name}'`, didYouMean(name, Object.keys(config.authn)) ?? 'name one of `authn`')
  })
  const names = written.authn ?? [...providers.values()].flatMap(({ is, name }) => (is === 'sessionToken' ? [] : [name]))
  if (names.length === 0 && written.rules.some(rule => !rule.anonymous && rule.allow !== undefined)) {
    report.errorAtKey(path, `route '${written.name}' needs credentials, but no provider is configured`, 'add one under `authn`')
  }
  return [...new Set(names)]
}

function host({ report }: Compilation, path: Path, written: string | undefined, i: number): Route['host'] {
  const pattern = hostPattern(written)
  if (typeof pattern !== 'string') return pattern
  report.error(path, pattern)
  return { is: 'exact', host: unreadable(i) }
}

function limits({ report }: Compilation, written: Written, path: Path, upstream: UpstreamSettings | null): void {
  if (written.staleness > 0 && written.rules.some(rule => rule.scope !== undefined)) report.error([...path, 'staleness'], '`staleness` above 0s is only for routes without a rule that has a `scope`')
  if (written.mode === 'observe' && (upstream?.inject != null || upstream?.brokered != null)) report.error([...path, 'mode'], '`observe` cannot be used with an upstream that is given a credential')
}

function route(c: Compilation, written: Written, i: number, providers: Providers, upstreams: Upstreams): Route {
  const path: Path = ['routes', i]
  const own = pathAt(c, [...path, 'match', 'path'], written.match.path)
  const upstream = upstreamOf(c, upstreams, written, [...path, 'upstream'])
  limits(c, written, path, upstream)
  const mcp = mcpOf(c, written, upstream, path)
  return {
    name: written.name,
    host: host(c, [...path, 'match', 'host'], written.match.host, i),
    path: own ?? pathPattern(`/${unreadable(i)}`),
    upstream: upstream?.name ?? '',
    authn: authnOf(c, written, path, providers),
    mode: written.mode,
    staleness: written.staleness,
    encodedSlash: written.encodedSlash,
    upstreamFolds: { case: written.upstreamFolds.includes('case'), params: written.upstreamFolds.includes('params') },
    cors: corsOf(c, written, mcp, [...path, 'cors']),
    rewrite: rewriteOf(c, written, own, [...path, 'rewrite']),
    brokered: isBrokered(c, written, path, upstream),
    passthrough: passesThrough(c, written, path, upstream),
    onMiss: onHitOf(c, written.onMiss, [...path, 'onMiss']),
    notAfter: notAfterOf(c, written.notAfter, [...path, 'notAfter']),
    rates: ratesOf(c, written.rates, [...path, 'rates']),
    tenant: textExpression(c, [...path, 'tenant'], written.tenant, new Set(own === null ? [] : namesOf(own))),
    mcp,
    rules: rulesOf(c, written, own, mcp, path),
  }
}

/** Same host, same rank, and a path that both cover: which of them decides would depend on their order. */
const isTie = (a: Route, b: Route): boolean =>
  hostKey(a.host) === hostKey(b.host) && a.path.literalPrefix === b.path.literalPrefix && a.path.literals === b.path.literals &&
  a.path.tail === b.path.tail && overlap(a.path, b.path)

export function routesOf(c: Compilation, providers: Providers, upstreams: Upstreams): readonly Route[] {
  const routes: Route[] = []
  c.config.routes.forEach((written, i) => {
    const made = route(c, written, i, providers, upstreams)
    if (routes.some(({ name }) => name === made.name)) c.report.error(['routes', i, 'name'], `there is a route '${made.name}' already`)
    const tied = routes.find(other => isTie(other, made))
    if (tied !== undefined) c.report.errorAtKey(['routes', i, 'match'], `route '${made.name}' meets the same paths as route '${tied.name}', with the same precedence`, 'give one of them another host or a longer path')
    routes.push(made)
  })
  return routes
}
