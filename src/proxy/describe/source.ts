// The address a request counts as coming from: the peer's own, or what listed trusted proxies say of it, in `Forwarded`, `X-Forwarded-For` or both.
// What cannot be read, stands twice or disagrees counts for nothing. SPEC: WIRE5
import { isIP } from 'node:net'
import type { Arrival } from '../arrival.ts'
import { onlyValue } from '../http/head.ts'
import { isListed, plainAddress } from '../trusted.ts'
import { forwardedFor } from './forwarded.ts'

export type Source = {
  readonly address: string
  /** The trusted proxies it came through, the nearest last; none where the peer itself is the source. */
  readonly hops: readonly string[]
}

const NO_HOPS: readonly string[] = []
/** Proxies in a row that are believed. */
const HOPS_MAX = 32

function listed(value: string): readonly (string | null)[] {
  return value.split(',').map(hop => {
    const address = plainAddress(hop.trim())
    return isIP(address) === 0 ? null : address
  })
}

/** Walks from the right over trusted hops; what the first untrusted one claims further left counts for nothing. */
function walked(claimed: readonly (string | null)[], trusted: readonly string[], peer: string): Source | null {
  const hops = [peer]
  for (let i = claimed.length - 1; i >= 0 && hops.length <= HOPS_MAX; i--) {
    const hop = claimed[i] ?? null
    if (hop === null) return null
    const address = plainAddress(hop)
    if (i === 0 || !isListed(trusted, address)) return { address, hops: hops.reverse() }
    hops.push(address)
  }
  return null
}

/** How the caller reached the first of us: as a listed proxy in front says it did, where that is said once and clearly; else as it came here. */
export function schemeOf({ peer, headers, secure }: Pick<Arrival, 'peer' | 'headers' | 'secure'>, trusted: readonly string[]): 'http' | 'https' {
  const here = secure ? 'https' : 'http'
  if (trusted.length === 0 || !isListed(trusted, plainAddress(peer))) return here
  const told = onlyValue(headers, 'x-forwarded-proto')
  return told === 'https' || told === 'http' ? told : here
}

const agree = (one: Source, other: Source): boolean => one.address === other.address && one.hops.join() === other.hops.join()

export function sourceOf({ peer: remote, headers }: Pick<Arrival, 'peer' | 'headers'>, trusted: readonly string[]): Source {
  const peer = plainAddress(remote)
  const itself = { address: peer, hops: NO_HOPS }
  if (trusted.length === 0) return itself
  if (!isListed(trusted, peer)) return itself
  const [old, standard] = [onlyValue(headers, 'x-forwarded-for'), onlyValue(headers, 'forwarded')]
  if (old === false || standard === false || (old === null && standard === null)) return itself
  const [byOld, byStandard] = [old === null ? null : walked(listed(old), trusted, peer), standard === null ? null : walked(forwardedFor(standard) ?? [], trusted, peer)]
  if (old === null || standard === null) return byOld ?? byStandard ?? itself
  return byOld !== null && byStandard !== null && agree(byOld, byStandard) ? byOld : itself
}
