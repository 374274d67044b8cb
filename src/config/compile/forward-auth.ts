// Forward authentication: which proxies may ask, and how they are known. SPEC: CFG3, FWA1
import { parseCidr } from '../../conditions/cidr.ts'
import type { FORWARD_PROXIES } from '../schema/decisions.ts'
import type { ListenerSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existingOrNone } from './context.ts'

export type ForwardProxy = (typeof FORWARD_PROXIES)[number]

export type ForwardAuthSettings = {
  readonly from: ReadonlySet<ForwardProxy>
  /** Address blocks; null asks for the token alone. */
  readonly peers: readonly string[] | null
  /** Null goes by the address alone. */
  readonly tokenFile: string | null
  readonly forwardedCertificates: ListenerSettings['forwardedCertificates']
  readonly headers: {
    /** In lower case. */
    readonly address: string
    /** Likewise; null where they tell of no upgrades. */
    readonly upgrade: string | null
    readonly inject: boolean
  }
}

const AT: Path = ['decisions', 'forwardAuth']

export function forwardAuthOf(c: Compilation): ForwardAuthSettings | null {
  const written = c.config.decisions.forwardAuth
  if (written === undefined) return null
  const { from, peers = null, tokenFile, forwardedCertificates = null, headers } = written
  if (peers === null && tokenFile === undefined) c.report.errorAtKey(AT, 'it needs `peers`, `tokenFile`, or both: nothing says who may ask')
  peers?.forEach((block, i) => {
    if (parseCidr(block) === null) c.report.error([...AT, 'peers', i], `'${block}' is not an address block such as 10.0.0.0/8`)
  })
  const { address, upgrade = null, inject } = headers
  for (const [key, name] of [['address', address], ['upgrade', upgrade]] as const) {
    if (name?.startsWith('narrowgate-') === true) c.report.error([...AT, 'headers', key], 'headers that begin with `Narrowgate-` are the gateway’s own')
  }
  return { from: new Set(from), peers, tokenFile: existingOrNone(c, [...AT, 'tokenFile'], tokenFile), forwardedCertificates, headers: { address, upgrade, inject } }
}
