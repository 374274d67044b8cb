// Host patterns: an exact name or address, or `*.suffix`; lower case, without port. SPEC: CFG3, DEC2
import { parseCidr } from '../../conditions/cidr.ts'
import type { HostPattern } from '../../core/route.ts'

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/

const isName = (host: string): boolean => host.length <= 253 && host.split('.').every(label => LABEL.test(label))

const isSix = (host: string): boolean => /^\[[0-9a-f:.]+\]$/.test(host) && parseCidr(host.slice(1, -1)) !== null

/** The pattern, or what is wrong with it. */
export function hostPattern(written: string | undefined): HostPattern | string {
  if (written === undefined) return { is: 'any' }
  const host = written.toLowerCase()
  if (isSix(host)) return { is: 'exact', host }
  if (/:\d*$/.test(host)) return 'a host has no port and no scheme'
  if (host.startsWith('*.')) return isName(host.slice(2)) ? { is: 'suffix', suffix: host.slice(1) } : `'${written}' is not a host suffix`
  if (host.includes('*')) return 'a `*` stands only at the beginning of a host, for any number of labels: *.example.com'
  return isName(host) ? { is: 'exact', host } : `'${written}' is not a host name`
}

export const hostKey = (host: HostPattern): string => (host.is === 'exact' ? host.host : host.is === 'suffix' ? `*${host.suffix}` : '')
