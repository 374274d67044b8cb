// Listeners: addresses, what each serves, and the rule that operators' tokens never cross a network in clear text. SPEC: CFG3, CFG7
import { parseCidr } from '../../conditions/cidr.ts'
import { HTTP_PROTOCOLS, type ListenerSettings, type Service } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'

type Address = { readonly host: string; readonly port: number }

/** `host:port`, `[v6]:port` or `:port`; null where it is none of them. */
function addressOf(text: string): Address | null {
  const [, six, plain = '', digits = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port > 65_535) return null
  if (six !== undefined) return parseCidr(six) === null ? null : { host: six.toLowerCase(), port }
  return { host: plain.toLowerCase(), port }
}

const LOOPBACK_V4 = parseCidr('127.0.0.0/8')

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || (LOOPBACK_V4 !== null && parseCidr(host)?.bits === 32 && host.startsWith('127.'))

const serving = (name: string, host: string, port: number, serves: readonly Service[]): ListenerSettings => ({ name, host, port, serves, tls: null, forwardedCertificates: null, protocols: ['http1'], proxyProtocol: false })

const DEFAULTS: readonly ListenerSettings[] = [
  serving('main', '', 8080, ['proxy', 'keys']),
  serving('admin', '127.0.0.1', 9443, ['admin']),
  serving('ops', '', 9464, ['health', 'metrics']),
]

type Written = NonNullable<Compilation['config']['server']['listeners']>[number]

const servesCallers = ({ serves }: Written): boolean => serves.some(service => service === 'proxy' || service === 'keys')

function protocolsOf({ report }: Compilation, written: Written, path: Path): ListenerSettings['protocols'] {
  const { protocols, tls } = written
  const callers = servesCallers(written)
  if (protocols === undefined) return callers && tls !== undefined ? ['http1', 'http2'] : ['http1']
  const other = protocols.findIndex(protocol => protocol !== 'http1')
  if (!callers && other >= 0) report.error([...path, 'protocols', other], 'only listeners that serve `proxy` or `keys` speak HTTP/2', 'leave `protocols` out')
  return HTTP_PROTOCOLS.filter(protocol => protocols.includes(protocol))
}

function proxyProtocolOf({ config, report }: Compilation, written: Written, path: Path): boolean {
  if (!written.proxyProtocol) return false
  if (!servesCallers(written)) report.error([...path, 'proxyProtocol'], 'only listeners that serve `proxy` or `keys` read PROXY headers', 'leave `proxyProtocol` out')
  else if (config.server.trustedProxies.length === 0) report.error([...path, 'proxyProtocol'], '`proxyProtocol` believes no peer, because `server.trustedProxies` is empty', 'name the address blocks of your load balancers in `server.trustedProxies`')
  return true
}

function clientsOf(c: Compilation, { tls, serves }: Written, path: Path): NonNullable<ListenerSettings['tls']>['clients'] {
  if (tls?.clients === undefined) return null
  const at = [...path, 'tls', 'clients']
  if (!serves.some(service => service === 'proxy' || service === 'admin' || service === 'decisions')) c.report.error(at, 'only listeners that serve `proxy`, `admin` or `decisions` ask for client certificates', 'leave `clients` out')
  const { caFile, crlFile, trustDomains = {} } = tls.clients
  if (caFile === undefined && tls.clients.trustDomains === undefined) c.report.error(at, '`clients` needs `caFile`, `trustDomains`, or both')
  return {
    caFile: existingOrNone(c, [...at, 'caFile'], caFile), crlFile: existingOrNone(c, [...at, 'crlFile'], crlFile),
    trustDomains: Object.entries(trustDomains).map(([name, file]) => ({ name, bundleFile: existing(c, [...at, 'trustDomains', name], file) })),
  }
}

function forwardedOf({ config, report }: Compilation, { forwardedCertificates: form, serves }: Written, path: Path): ListenerSettings['forwardedCertificates'] {
  if (form === undefined) return null
  const at = [...path, 'forwardedCertificates']
  if (!serves.includes('proxy')) report.error(at, 'only listeners that serve `proxy` read forwarded certificates', 'leave it out')
  else if (config.server.trustedProxies.length === 0) report.error(at, '`forwardedCertificates` believes no peer, because `server.trustedProxies` is empty', 'name the address blocks of your proxies in `server.trustedProxies`')
  return form
}

function listener(c: Compilation, written: Written, path: Path): ListenerSettings {
  const address = addressOf(written.address)
  if (address === null) c.report.error([...path, 'address'], `'${written.address}' is not an address`, 'write host:port, [v6]:port, or :port')
  const { host, port } = address ?? { host: '', port: 0 }
  const tls = written.tls === undefined ? null : {
    certFile: existing(c, [...path, 'tls', 'certFile'], written.tls.certFile),
    keyFile: existing(c, [...path, 'tls', 'keyFile'], written.tls.keyFile),
    clients: clientsOf(c, written, path),
  }
  if (address !== null && written.serves.includes('admin') && tls === null && !isLoopback(host)) {
    c.report.error([...path, 'address'], 'an admin listener that is not on a loopback address needs `tls`')
  }
  if (address !== null && written.serves.includes('decisions') && tls === null && !isLoopback(host)) {
    c.report.error([...path, 'address'], 'a listener that serves `decisions` and is not on a loopback address needs `tls`')
  }
  const alone = written.serves.find(service => service === 'signals' || service === 'decisions')
  if (alone !== undefined && new Set(written.serves).size > 1) c.report.error([...path, 'serves'], `a listener that serves \`${alone}\` serves nothing else`, alone === 'signals' ? 'whoever sends news has a listener of its own' : 'whoever asks for decisions has a listener of its own')
  const callers = written.serves.find(service => service === 'proxy' || service === 'keys')
  const others = written.serves.find(service => service !== 'proxy' && service !== 'keys')
  if (callers !== undefined && others !== undefined) c.report.error([...path, 'serves'], `a listener does not serve both \`${callers}\` and \`${others}\``, 'callers and operators have listeners of their own')
  return { name: written.name, host, port, serves: [...new Set(written.serves)], tls, forwardedCertificates: forwardedOf(c, written, path), protocols: protocolsOf(c, written, path), proxyProtocol: proxyProtocolOf(c, written, path) }
}

const isEverywhere = (host: string): boolean => host === '' || host === '0.0.0.0' || host === '::'

/** Two hosts that would want the same socket: the same one, or one of them every address. */
const collide = (a: ListenerSettings, b: ListenerSettings): boolean => a.port !== 0 && a.port === b.port && (a.host === b.host || isEverywhere(a.host) || isEverywhere(b.host))

/** The listener that a connection to this address would find, as far as that is plain to see; null for none. */
export function listenerAt({ config: { server: { listeners } } }: Compilation, host: string, port: number): string | null {
  const all = listeners === undefined ? DEFAULTS : listeners.flatMap(({ name, address }) => ({ name, ...(addressOf(address) ?? { host: '', port: 0 }) }))
  const same = (own: string): boolean => own === host || (isLoopback(host) && (isEverywhere(own) || own === 'localhost')) || (host === 'localhost' && isLoopback(own))
  return all.find(own => own.port !== 0 && own.port === port && same(own.host))?.name ?? null
}

export function listenersOf(c: Compilation): readonly ListenerSettings[] {
  const { listeners } = c.config.server
  if (listeners === undefined) return DEFAULTS
  const made = listeners.map((written, i) => listener(c, written, ['server', 'listeners', i]))
  made.forEach((one, i) => {
    const same = made.slice(0, i).find(other => collide(one, other))
    if (same !== undefined) c.report.error(['server', 'listeners', i, 'address'], `listener '${same.name}' has this address already`)
    if (made.slice(0, i).some(({ name }) => name === one.name)) c.report.error(['server', 'listeners', i, 'name'], `there is a listener '${one.name}' already`)
  })
  if (!made.some(({ serves }) => serves.includes('proxy'))) c.report.errorAtKey(['server', 'listeners'], 'no listener serves `proxy`')
  return made
}

export function trustedProxiesOf({ config, report }: Compilation): readonly string[] {
  config.server.trustedProxies.forEach((block, i) => {
    if (parseCidr(block) === null) report.error(['server', 'trustedProxies', i], `'${block}' is not an address block such as 10.0.0.0/8`)
  })
  return config.server.trustedProxies
}
