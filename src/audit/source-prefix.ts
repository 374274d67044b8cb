// The network a caller's address stands in: IPv4 /24, IPv6 /48. Many addresses of one caller count as one.
// SPEC: AUD9

const UNKNOWN = 'unknown'

function v4(address: string): string {
  const parts = address.split('.')
  if (parts.length !== 4 || parts.some(part => !/^[0-9]{1,3}$/.test(part) || Number(part) > 255)) return UNKNOWN
  return `${parts.slice(0, 3).map(Number).join('.')}.0/24`
}

/** The groups before `::`, filled up with zeros when the gap begins among the first three. */
function v6(address: string): string {
  const gap = address.indexOf('::')
  const head = (gap < 0 ? address : address.slice(0, gap)).split(':').filter(group => group !== '')
  const groups = head.slice(0, 3)
  if (head.length > 8 || (gap < 0 && head.length !== 8) || groups.some(group => !/^[0-9a-f]{1,4}$/i.test(group))) return UNKNOWN
  while (groups.length < 3) groups.push('0')
  return `${groups.map(group => Number.parseInt(group, 16).toString(16)).join(':')}::/48`
}

const MAPPED = /^::ffff:([0-9.]+)$/i

/** @param source an IP address as the socket names it; anything else is `unknown` */
export function sourcePrefix(source: string): string {
  if (source.length > 64) return UNKNOWN
  const mapped = MAPPED.exec(source)?.[1]
  if (mapped !== undefined) return v4(mapped)
  return source.includes(':') ? v6(source.split('%', 1)[0] ?? source) : v4(source)
}
