// The issuers of whose principals a provider vouches, as its settings tell. SPEC: SES20
import type { ProviderSettings } from '../config/settings.ts'
import { spiffePatternOf } from './certificate/spiffe-id.ts'
import { authorityOf } from './claimed-authority.ts'

export function issuersOf(provider: ProviderSettings): readonly (string | null)[] {
  switch (provider.is) {
    case 'jwt':
    case 'kubernetes': return [provider.issuer]
    case 'introspection': return [provider.issuer ?? `introspection:${provider.name}`]
    case 'jwtSvid': return [authorityOf(provider.trustDomain), provider.issuer]
    case 'mtls': return provider.by === 'spiffe' ? provider.names.map(text => authorityOf(spiffePatternOf(text)?.trustDomain ?? '')) : []
    case 'apiKey': return [`api-key:${provider.name}`]
    case 'sessionToken': return []
  }
}
