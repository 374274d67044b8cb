// The head a request goes upstream with: the caller's end-to-end headers, then ours. Names the caller nominated, forged or authenticates with
// are gone. SPEC: WIRE3-WIRE6, WIRE13
import { isDropped } from './header-names.ts'

export type Forwarding = {
  readonly rawHeaders: readonly string[]
  readonly nominated: ReadonlySet<string>
  /** Further names (lower case) that stay here: API-key headers, purpose headers, the injected one. */
  readonly kept: ReadonlySet<string>
  /** The authority the decision was made on. */
  readonly authority: string
  readonly source: string
  readonly secure: boolean
  readonly inject: { readonly header: string; readonly value: string } | null
  readonly context: string | null
}

const forwardedNode = (source: string): string => (source.includes(':') ? `"[${source}]"` : source)

export function outgoingHeaders({ rawHeaders, nominated, kept, authority, source, secure, inject, context }: Forwarding): readonly string[] {
  const headers: string[] = ['host', authority]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const lower = name.toLowerCase()
    if (isDropped(lower) || kept.has(lower) || (nominated.size > 0 && nominated.has(lower))) continue
    headers.push(name, rawHeaders[i + 1] ?? '')
  }
  const scheme = secure ? 'https' : 'http'
  headers.push('x-forwarded-for', source, 'x-forwarded-proto', scheme, 'x-forwarded-host', authority, 'forwarded', `for=${forwardedNode(source)};host="${authority}";proto=${scheme}`, 'via', '1.1 narrowgate')
  if (context !== null) headers.push('narrowgate-context', context)
  if (inject !== null) headers.push(inject.header, inject.value)
  return headers
}
