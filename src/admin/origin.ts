// Keeps web pages from driving the admin listener: no foreign Origin, no cross-site fetch, and on plain HTTP only names of this machine,
// so that a name somebody else's DNS points here is no way in. SPEC: ADM15
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { AdminFault } from './fault.ts'

const isEncrypted = ({ socket }: IncomingMessage): boolean => 'encrypted' in socket && socket.encrypted === true

/** The name in a Host header, without port and brackets; null for what is none. */
function nameOf(host: string): string | null {
  const [, six, name] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?$/.exec(host) ?? []
  return six ?? name?.toLowerCase() ?? null
}

/** An address can't be rebound; `localhost` is never asked of foreign DNS. */
const isOwnName = (name: string): boolean => isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')

/** @throws AdminFault `wrong_host`, `cross_origin` or `bad_request` */
export function assertOwnOrigin(request: IncomingMessage): void {
  const { host = '', origin } = request.headers
  const name = nameOf(host)
  if (name === null) throw new AdminFault('bad_request', 'the Host header is not a host')
  const secure = isEncrypted(request)
  if (!secure && !isOwnName(name)) throw new AdminFault('wrong_host', 'over plain HTTP the admin listener answers to addresses and localhost only')
  const own = `${secure ? 'https' : 'http'}://${host.toLowerCase()}`
  if (origin !== undefined && origin.toLowerCase() !== own) throw new AdminFault('cross_origin', 'requests from pages of another origin are refused')
  const site = request.headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw new AdminFault('cross_origin', 'requests from pages of another site are refused')
}
