// What a route shows to each side: to pages of other origins (CORS), and to its upstream in place of the host and path that were judged.
// SPEC: CFG3, WIRE19, WIRE24
import type { McpRoute } from '../../core/call.ts'
import type { PathPattern } from '../../core/path-pattern.ts'
import type { Cors, Rewrite } from '../../core/route.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'
import { hostPattern } from './host.ts'
import { compilePath } from './path.ts'
import { httpUrl } from './url.ts'

type Written = Compilation['config']['routes'][number]
type WrittenCors = NonNullable<Written['cors']>
/** What pages need to read of a refusal for its next step (RFC 6750, RFC 9449 §8), and of the older protocol of MCP for every step. */
const EXPOSED = ['www-authenticate', 'dpop-nonce']
const EXPOSED_BY_MCP = [...EXPOSED, 'mcp-session-id']

type WrittenPath = NonNullable<NonNullable<Written['rewrite']>['path']>

/** As browsers write it (RFC 6454 §6.2): without a default port, path or slash; null where it is none. */
function originIn(text: string): string | null {
  const url = httpUrl(text)
  if (url === null || url.href !== `${url.origin}/` || text.endsWith('/')) return null
  const host = hostPattern(url.hostname)
  return typeof host !== 'string' && host.is === 'exact' ? url.origin : null
}

function originsOf({ report }: Compilation, { origins }: WrittenCors, path: Path): readonly string[] {
  const read = origins.flatMap((text, i) => {
    const origin = originIn(text)
    if (origin === null) report.error([...path, i], 'expected an origin: scheme, host and port', 'name each one as browsers send it, such as https://app.example')
    return origin ?? []
  })
  return [...new Set(read)]
}

export function corsOf(c: Compilation, { cors }: Written, mcp: McpRoute | null, path: Path): Cors | null {
  if (cors === undefined) return null
  const any = cors.headers.indexOf('*')
  if (any >= 0) c.report.error([...path, 'headers', any], '`*` does not stand for every header', 'name each of them')
  return { origins: originsOf(c, cors, [...path, 'origins']), headers: [...new Set(cors.headers)], maxAge: cors.maxAge, credentials: cors.credentials, exposed: mcp === null ? EXPOSED : EXPOSED_BY_MCP }
}

function hostOf({ report }: Compilation, written: string, path: Path): Rewrite['host'] {
  if (written === 'preserve' || written === 'upstream') return { is: written }
  const host = written.toLowerCase()
  const [, name = host, port] = /^(.*[^:]):(\d{1,5})$/.exec(host) ?? []
  const pattern = hostPattern(name)
  if (typeof pattern === 'string' || pattern.is !== 'exact' || Number(port ?? 1) > 65_535) report.error(path, 'expected `preserve`, `upstream` or a host', 'such as crm.internal or crm.internal:8443')
  return { is: 'name', host }
}

const isLiteral = ({ parts, tail }: PathPattern): boolean => !tail && parts.every(({ is }) => is === 'literal')

/** A semicolon or an escaped ASCII character would make another path of it for an upstream that decodes or cuts. */
const NOT_PLAIN = /;|%[0-7]/

/** Canonical and without patterns; null where it is not, which is reported. */
function literalAt({ report }: Compilation, path: Path, written: string): PathPattern | null {
  const pattern = compilePath(written)
  if (typeof pattern === 'string') report.error(path, `path: ${pattern}`)
  else if (!isLiteral(pattern)) report.error(path, 'only literal segments can be rewritten: no `{name}`, `*` or `**`')
  else if (NOT_PLAIN.test(pattern.source)) report.error(path, 'a rewritten path holds no `;` and no escaped ASCII character')
  else return pattern
  return null
}

const isPrefix = (from: PathPattern, of: PathPattern): boolean =>
  from.parts.every((part, i) => {
    const other = of.parts[i]
    return part.is === 'literal' && other?.is === 'literal' && other.text === part.text
  })

const bare = ({ source }: PathPattern): string => (source === '/' ? '' : source)

function pathOf(c: Compilation, written: WrittenPath, own: PathPattern | null, path: Path): Rewrite['path'] {
  const from = literalAt(c, [...path, 'from'], written.from)
  const to = literalAt(c, [...path, 'to'], written.to)
  if (from === null || to === null || own === null) return null
  if (!isPrefix(from, own)) c.report.error([...path, 'from'], `'${from.source}' does not begin every path of the route, ${own.source}`, 'write whole segments from the beginning of `match.path`, up to its first pattern')
  if (from.source === to.source) c.report.error([...path, 'to'], 'both are the same', 'leave `path` out')
  return { from: bare(from), to: bare(to) }
}

/** Null where nothing is rewritten. @param own the route's path, null where it could not be read */
export function rewriteOf(c: Compilation, { rewrite }: Written, own: PathPattern | null, path: Path): Rewrite | null {
  if (rewrite === undefined) return null
  const host = hostOf(c, rewrite.host, [...path, 'host'])
  const to = rewrite.path === undefined ? null : pathOf(c, rewrite.path, own, [...path, 'path'])
  return host.is === 'preserve' && to === null ? null : { host, path: to }
}
