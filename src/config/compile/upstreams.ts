// Upstreams, by name or written out in a route. Connects to nothing and looks up no name. SPEC: CFG3, WIRE20, WIRE21
import type { Duration } from '../../core/time.ts'
import { upstream as form } from '../schema/upstreams.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { type Compilation, existingOrNone } from './context.ts'
import { credentialOf } from './credential.ts'
import { listenerAt } from './listeners.ts'
import { toldTo } from './upstream-identity.ts'
import { httpUrl } from './url.ts'

/** Host in lower case, IPv6 without brackets. */
export type UpstreamAddress = { readonly host: string; readonly port: number; /** Its share, from 1. */ readonly weight: number }

/** With all of it null the system's authorities and the host's own name count. */
export type UpstreamTls = { readonly caFile: string | null; readonly certFile: string | null; readonly keyFile: string | null; readonly serverName: string | null }

/** Asked of each address; any answer of 200 to 299 within `timeout` counts as healthy. */
export type HealthCheck = { readonly path: string; readonly every: Duration; readonly timeout: Duration; readonly healthyAfter: number; readonly unhealthyAfter: number }

/** So many faults in a row, of connecting, by a reset or as 502 to 504, take an address out; `atMost` is a percentage of the addresses. */
export type Ejection = { readonly failures: number; readonly for: Duration; readonly atMost: number }

type Written = Compilation['config']['upstreams'][string]
type WrittenRoute = Compilation['config']['routes'][number]
/** One address as it is written, and where. */
type Place = { readonly url: string; readonly weight: number; readonly at: Path }

/** Scheme, host and port alone, and of an endpoint its path; anything else is reported. */
function originOf(c: Compilation, path: Path, text: string, isEndpoint: boolean): URL | null {
  const url = httpUrl(text)
  if (url !== null && (url.pathname === '/' || (isEndpoint && PLAIN_PATH.test(url.pathname))) && !/[?#]/.test(text)) return url
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

/** One that every reader takes as it is. */
const PLAIN_PATH = /^(?:\/[A-Za-z0-9._~-]+)+\/?$/

type Reached = { readonly origin: string; readonly endpoint: string | null; readonly secure: boolean; readonly addresses: readonly UpstreamAddress[] }

/** Empty where nothing could be read, which is reported. */
function reached(c: Compilation, places: readonly Place[], isEndpoint: boolean): Reached {
  const seen = new Map<string, URL>()
  const addresses = places.flatMap(({ url: text, weight, at }) => {
    const url = originOf(c, at, text, isEndpoint)
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
  const endpoint = isEndpoint && first !== undefined && first.pathname !== '/' ? first.pathname : null
  return { origin: first?.origin ?? '', endpoint, secure: first?.protocol === 'https:', addresses }
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

function upstream(c: Compilation, name: string, written: Written, path: Path, urlPath: Path = [...path, 'url']): UpstreamSettings {
  const to = reached(c, placesOf(c, written, path, urlPath), written.protocol === 'mcp')
  const protocol = written.protocol === 'http1' || written.protocol === 'mcp' ? 'http1' : 'http2'
  if (written.proxyProtocol && protocol === 'http2') c.report.error([...path, 'proxyProtocol'], 'a PROXY header names one caller, but an HTTP/2 connection serves many', 'write `protocol: http1`, or leave `proxyProtocol` out')
  return {
    name, protocol, serves: written.protocol === 'mcp' ? 'mcp' : 'http',
    endpoint: to.endpoint,
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
    ...credentialOf(c, written.credential, [...path, 'credential']),
    ...toldTo(c, written, path),
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
