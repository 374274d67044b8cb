// Upstreams, by name or written out in a route. SPEC: CFG3
import { duration as milliseconds } from '../../core/time.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl } from './url.ts'

type Written = Compilation['config']['upstreams'][string]
type WrittenRoute = Compilation['config']['routes'][number]

/** Headers that frame or route a message, or that only the gateway writes. */
const NOT_INJECTABLE = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|narrowgate-.*)$/

const DEFAULT = { timeout: 30_000, connections: 10_000 } as const

function originOf(c: Compilation, path: Path, text: string): string {
  const url = httpUrl(text)
  if (url !== null && url.pathname === '/' && url.search === '' && url.hash === '' && !/[?#]/.test(text)) return url.origin
  c.report.error(path, url === null ? 'expected an http or https URL without credentials' : 'an upstream has no path, query or fragment', 'such as http://deploy:8080')
  return ''
}

function upstream(c: Compilation, name: string, written: Written, path: Path): UpstreamSettings {
  const origin = originOf(c, [...path, 'url'], written.url)
  const { credential, tls } = written
  if (tls !== undefined && origin.startsWith('http:')) c.report.errorAtKey([...path, 'tls'], '`tls` is for an https upstream')
  if (credential !== undefined && NOT_INJECTABLE.test(credential.header)) c.report.error([...path, 'credential', 'header'], `the header '${credential.header}' cannot be set`)
  return {
    name, origin,
    caFile: existingOrNone(c, [...path, 'tls', 'caFile'], tls?.caFile),
    timeout: written.timeout,
    connections: written.connections,
    inject: credential === undefined ? null : { header: credential.header, valueFile: existing(c, [...path, 'credential', 'valueFile'], credential.valueFile) },
  }
}

export function namedUpstreams(c: Compilation): Map<string, UpstreamSettings> {
  return new Map(Object.entries(c.config.upstreams).map(([name, written]) => [name, upstream(c, name, written, ['upstreams', name])]))
}

/** The upstream of a route; one that is written out there is added under `route:<name>`. Null where there is none of that name. */
export function upstreamOf(c: Compilation, upstreams: Map<string, UpstreamSettings>, route: WrittenRoute, path: Path): UpstreamSettings | null {
  const { upstream: written, name } = route
  if (typeof written === 'string' && !written.includes('://')) {
    const found = upstreams.get(written)
    if (found === undefined) c.report.error(path, `there is no upstream '${written}'`, didYouMean(written, upstreams.keys()) ?? 'name one of `upstreams`, or write a URL')
    return found ?? null
  }
  const own = `route:${name}`
  const made = typeof written === 'string'
    ? { name: own, origin: originOf(c, path, written), caFile: null, timeout: milliseconds(DEFAULT.timeout), connections: DEFAULT.connections, inject: null }
    : upstream(c, own, written, path)
  upstreams.set(own, made)
  return made
}
