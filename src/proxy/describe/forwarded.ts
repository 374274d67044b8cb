// RFC 7239 `Forwarded`, as far as it says from whom: strictly read, whole or not at all. SPEC: WIRE5
import { isIP } from 'node:net'

const PAIR = /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*")[ \t]*([;,]|$)/y
const NODE = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?$/

const unquoted = (value: string): string => (value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value)

/** The address of a node; null for `unknown`, an obfuscated one, or what is none. */
function addressOf(value: string): string | null {
  const node = NODE.exec(value)
  const six = node?.[1]
  const address = six ?? node?.[2] ?? ''
  return isIP(address) === (six === undefined ? 4 : 6) ? address : null
}

/** From whom, hop by hop, the nearest last; null for a hop that has or gives no address. The whole is null where it is malformed. */
export function forwardedFor(value: string): readonly (string | null)[] | null {
  const hops: (string | null)[] = []
  let names: string[] = []
  let from: string | null = null
  PAIR.lastIndex = 0
  for (;;) {
    const pair = PAIR.exec(value)
    if (pair === null) return null
    const [, name = '', held = '', behind = ''] = pair
    const lower = name.toLowerCase()
    if (names.includes(lower)) return null
    names.push(lower)
    if (lower === 'for') from = addressOf(unquoted(held))
    if (behind === ';') continue
    hops.push(from)
    if (behind === '') return hops
    names = []
    from = null
  }
}
