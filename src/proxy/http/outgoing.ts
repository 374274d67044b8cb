// The head a request goes upstream with: the caller's end-to-end headers, then ours. Names the caller nominated, forged or authenticates with
// are gone. Framing and connection headers are the upstream connection's own doing. SPEC: WIRE3-WIRE6, WIRE13, WIRE22, CTX3
import type { Arrival } from '../arrival.ts'
import type { Source } from '../describe/source.ts'
import type { Head } from './head.ts'
import { endToEndTrailers, type Name, nameOf } from './header-names.ts'
import { forwardsLeft } from './max-forwards.ts'
import type { Via } from './via.ts'

export type Inbound = {
  readonly headers: readonly string[]
  readonly head: Pick<Head, 'version' | 'authority' | 'nominated' | 'trailers' | 'maxForwards'>
  /** Further names (lower case, with dashes) that stay here: API-key headers, purpose headers, the injected one. */
  readonly kept: ReadonlySet<string>
}

export type Forwarding = Inbound & Pick<Arrival, 'method' | 'secure'> & {
  /** The `Host` the upstream gets; null for the authority the decision was made on. */
  readonly host: string | null
  readonly source: Source
  readonly via: Via
  readonly inject: { readonly header: string; readonly value: string } | null
  /** The caller's own `Authorization` goes on. */
  readonly passthrough: boolean
  readonly context: string | null
  readonly transaction: string | null
}

/** A name that stays here stays under every spelling. */
const stays = ({ lower, dashed, dropped }: Name, { kept, head: { nominated } }: Inbound): boolean =>
  dropped || (kept.size > 0 && kept.has(dashed)) || (nominated.size > 0 && (nominated.has(lower) || nominated.has(dashed)))

/** Names and values the caller's request goes on with, as conditions see them. */
export function endToEnd(inbound: Inbound): readonly string[] {
  const { headers } = inbound
  const passed: string[] = ['host', inbound.head.authority]
  for (let i = 0; i < headers.length; i += 2) {
    const spelling = headers[i] ?? ''
    if (!stays(nameOf(spelling), inbound)) passed.push(spelling, headers[i + 1] ?? '')
  }
  return passed
}

const node = (address: string): string => (address.includes(':') ? `"[${address}]"` : address)

/** Who it came from and through whom, in both forms, nearest last. */
function pushForwarded(to: string[], { source: { address, hops }, secure, head: { authority } }: Forwarding): void {
  const scheme = secure ? 'https' : 'http'
  const here = `;host="${authority}";proto=${scheme}`
  const through = hops.length === 0 ? '' : `, ${hops.join(', ')}`
  const forwarded = hops.length === 0 ? '' : `${hops.map(hop => `, for=${node(hop)}`).join('')}`
  to.push('x-forwarded-for', address + through, 'x-forwarded-proto', scheme, 'x-forwarded-host', authority, 'forwarded', `for=${node(address)}${forwarded}${here}`)
}

export function outgoingHeaders(forwarding: Forwarding): readonly string[] {
  const { headers, head, method, host, via, inject, passthrough, context, transaction } = forwarding
  const out: string[] = ['host', host ?? head.authority]
  for (let i = 0; i < headers.length; i += 2) {
    const spelling = headers[i] ?? ''
    const name = nameOf(spelling)
    if ((!stays(name, forwarding) && name.lower !== 'content-length') || (passthrough && name.lower === 'authorization')) out.push(spelling, headers[i + 1] ?? '')
  }
  pushForwarded(out, forwarding)
  out.push('via', via.entries[head.version])
  if (head.trailers) out.push('te', 'trailers')
  const left = head.maxForwards === null ? null : forwardsLeft(method, head.maxForwards)
  if (typeof left === 'number' && left > 0) out.push('max-forwards', String(left - 1))
  if (context !== null) out.push('narrowgate-context', context)
  if (transaction !== null) out.push('txn-token', transaction)
  if (inject !== null) out.push(inject.header, inject.value)
  return out
}

/** Trailers of a request that may go upstream. @param kept as of the head */
export const trailersUp = endToEndTrailers
