// Which peers are believed when they say for whom they call: listed blocks of addresses, matched without parsing them again. SPEC: WIRE5, WIRE23
import { BlockList, isIP } from 'node:net'

const lists = new WeakMap<readonly string[], BlockList>()

function listOf(blocks: readonly string[]): BlockList {
  const known = lists.get(blocks)
  if (known !== undefined) return known
  const list = new BlockList()
  for (const block of blocks) {
    const [address = '', bits] = block.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  lists.set(blocks, list)
  return list
}

/** An IPv4 address that came as a mapped IPv6 one, as itself. */
export const plainAddress = (address: string): string => (address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address)

/** @param blocks one list for as long as it stays the same list: what was made of it is kept */
export function isListed(blocks: readonly string[], address: string): boolean {
  const family = isIP(address)
  return family !== 0 && listOf(blocks).check(address, family === 6 ? 'ipv6' : 'ipv4')
}
