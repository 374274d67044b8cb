// Upstreams, by name or written out in a route. Connects to nothing and looks up no name. SPEC: CFG3, WIRE20, WIRE21
import { upstream as form } from '../schema/upstreams.ts'
import type { UpstreamAddress, UpstreamSettings, UpstreamTls } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { listenerAt } from './listeners.ts'
import { httpUrl } from './url.ts'

type Written = Compilation['config']['upstreams'][string]
type WrittenRoute = Compilation['config']['routes'][number]
/** One address as it is written, and where. */
type Place = { readonly url: string; readonly weight: number; readonly at: Path }

/** Headers that frame or route a message, or that only the gateway writes. */
const NOT_INJECTABLE = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|narrowgate-.*)$/

/** Scheme, host and port alone; anything else is reported. */
function originOf(c: Compilation, path: Path, text: string): URL | null {
  const url = httpUrl(text)
  if (url !== null && url.pathname === '/' && !/[?#]/.test(text)) return url
  c.report.error(path, url === null ? 'expected an http or https URL without credentials' : 'an upstream has no path, query or fragment', 'such as http://deploy:8080')
  return null
}

function placesOf({ report }: Compilation, { url, addresses }: Written, path: Path, urlPath: Path): readonly Place[] {
  if ((url === undefined) === (addresses === undefined)) report.errorAtKey(path, 'an upstream is named by exactly one of `url` and `addresses`', 'such as `url: http://deploy:8080`')
  if (url !== undefined) return [{ url, weight: 1, at: urlPath }]
  return (addresses ?? []).map(({ url: text, weight }, i) => ({ url: text, weight, at: [...path, 'addresses', i, 'url'] }))
}

const hostIn = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '')

const portIn = ({ port, protocol }: URL): number => (port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port))

type Reached = { readonly origin: string; readonly secure: boolean; readonly addresses: readonly UpstreamAddress[] }

/** Empty where nothing could be read, which is reported. */
function reached(c: Compilation, places: readonly Place[]): Reached {
  const seen = new Map<string, URL>()
  const addresses = places.flatMap(({ url: text, weight, at }) => {
    const url = originOf(c, at, text)
    if (url === null) return []
    const [first = url] = seen.values()
    if (url.protocol !== first.protocol) c.report.error(at, `the addresses of an upstream have one scheme, and the first has ${first.protocol}//`, 'make two upstreams of them')
    else if (seen.has(url.origin)) c.report.error(at, `the address ${url.origin} is there already`, 'give it a `weight` instead')
    seen.set(url.origin, url)
    const port = portIn(url)
    if (port === 0) c.report.error(at, 'port 0 cannot be reached')
    const own = listenerAt(c, hostIn(url), port)
    if (own !== null) c.report.error(at, `this is the gateway's own listener '${own}'`, 'an upstream is what the gateway protects')
    return [{ host: hostIn(url), port, weight }]
  })
  const [first] = seen.values()
  return { origin: first?.origin ?? '', secure: first?.protocol === 'https:', addresses }
}

function tlsOf(c: Compilation, { tls }: Written, { origin, secure }: Reached, path: Path): UpstreamTls | null {
  const at = [...path, 'tls']
  if (tls !== undefined && !secure && origin !== '') c.report.errorAtKey(at, '`tls` is for an https upstream', 'write https:// instead of http://')
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined)) c.report.errorAtKey(at, '`certFile` and `keyFile` go together', 'name both, or none of them')
  const file = (key: 'caFile' | 'certFile' | 'keyFile'): string | null => existingOrNone(c, [...at, key], tls?.[key])
  const made = { caFile: file('caFile'), certFile: file('certFile'), keyFile: file('keyFile'), serverName: tls?.serverName?.toLowerCase() ?? null }
  return secure ? made : null
}

function healthOf({ report }: Compilation, { health }: Written, path: Path): UpstreamSettings['health'] {
  if (health === undefined) return null
  if (health.timeout > health.every) report.error([...path, 'health', 'timeout'], '`timeout` is longer than `every`', 'an address is asked again only when it has answered')
  return health
}

function injectOf(c: Compilation, { credential }: Written, path: Path): UpstreamSettings['inject'] {
  if (credential === undefined) return null
  const at = [...path, 'credential']
  if (NOT_INJECTABLE.test(credential.header)) c.report.error([...at, 'header'], `the header '${credential.header}' cannot be set`)
  return { header: credential.header, valueFile: existing(c, [...at, 'valueFile'], credential.valueFile) }
}

function upstream(c: Compilation, name: string, written: Written, path: Path, urlPath: Path = [...path, 'url']): UpstreamSettings {
  const to = reached(c, placesOf(c, written, path, urlPath))
  const protocol = written.protocol === 'http1' ? 'http1' : 'http2'
  if (written.proxyProtocol && protocol === 'http2') c.report.error([...path, 'proxyProtocol'], 'a PROXY header names one caller, but an HTTP/2 connection serves many', 'write `protocol: http1`, or leave `proxyProtocol` out')
  return {
    name, protocol,
    origin: to.origin,
    addresses: to.addresses,
    tls: tlsOf(c, written, to, path),
    timeout: written.timeout,
    connections: written.connections,
    streams: written.streams,
    health: healthOf(c, written, path),
    ejection: written.ejection === false ? null : written.ejection,
    retries: { attempts: written.retries.attempts, on: [...new Set(written.retries.on)] },
    resolve: written.resolve,
    proxyProtocol: written.proxyProtocol,
    inject: injectOf(c, written, path),
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
  const made = typeof written === 'string' ? upstream(c, own, form.parse({ url: written }), path, path) : upstream(c, own, written, path)
  upstreams.set(own, made)
  return made
}
