// The address a request counts as coming from: the peer's own, or what a listed trusted proxy says of it. SPEC: WIRE5
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { onlyValue } from '../http/head.ts'

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

const plain = (address: string): string => (address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address)
const has = (list: BlockList, address: string): boolean => isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** Walks `X-Forwarded-For` from the right over trusted hops; what the first untrusted one claims further left counts for nothing. */
export function sourceOf(request: IncomingMessage, trusted: readonly string[]): string {
  const peer = plain(request.socket.remoteAddress ?? '')
  if (trusted.length === 0) return peer
  const list = listOf(trusted)
  if (!has(list, peer)) return peer
  const forwarded = onlyValue(request.rawHeaders, 'x-forwarded-for')
  if (forwarded === null || forwarded === false) return peer
  const hops = forwarded.split(',').map(hop => hop.trim())
  for (let i = hops.length - 1; i >= 0; i--) {
    const hop = plain(hops[i] ?? '')
    if (isIP(hop) === 0) return peer
    if (!has(list, hop) || i === 0) return hop
  }
  return peer
}
