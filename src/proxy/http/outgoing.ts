// The head a request goes upstream with: the caller's end-to-end headers, then ours. Names the caller nominated, forged or authenticates with
// are gone. SPEC: WIRE3-WIRE6, WIRE13
import { isDropped } from './header-names.ts'

export type Inbound = {
  readonly rawHeaders: readonly string[]
  readonly nominated: ReadonlySet<string>
  /** Further names (lower case, with dashes) that stay here: API-key headers, purpose headers, the injected one. */
  readonly kept: ReadonlySet<string>
  /** The authority the decision was made on. */
  readonly authority: string
}

type Forwarding = Inbound & {
  readonly source: string
  readonly secure: boolean
  readonly inject: { readonly header: string; readonly value: string } | null
  readonly context: string | null
}

const forwardedNode = (source: string): string => (source.includes(':') ? `"[${source}]"` : source)

/** A name as an upstream may read it that makes no difference between underscores and dashes. */
export const dashed = (lower: string): string => (lower.includes('_') ? lower.replaceAll('_', '-') : lower)

/** Names and values the caller's request goes on with. A name that stays here stays under every spelling. */
export function endToEnd({ rawHeaders, nominated, kept, authority }: Inbound): string[] {
  const headers: string[] = ['host', authority]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const lower = name.toLowerCase()
    const read = dashed(lower)
    if (isDropped(read) || kept.has(read) || (nominated.size > 0 && nominated.has(lower))) continue
    headers.push(name, rawHeaders[i + 1] ?? '')
  }
  return headers
}

export function outgoingHeaders(forwarding: Forwarding): readonly string[] {
  const { authority, source, secure, inject, context } = forwarding
  const headers = endToEnd(forwarding)
  const scheme = secure ? 'https' : 'http'
  headers.push('x-forwarded-for', source, 'x-forwarded-proto', scheme, 'x-forwarded-host', authority, 'forwarded', `for=${forwardedNode(source)};host="${authority}";proto=${scheme}`, 'via', '1.1 narrowgate')
  if (context !== null) headers.push('narrowgate-context', context)
  if (inject !== null) headers.push(inject.header, inject.value)
  return headers
}
