// Providers of identity: whose tokens and keys count. SPEC: CFG3, SES1
import type { ApiKeySettings, ClaimNames, JwtSettings, ProviderSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

type Written = Compilation['config']['authn'][string]
type WrittenJwt = NonNullable<Written['jwt']>

const claimNames = ({ claims }: Written): ClaimNames => ({ tenant: claims.tenant ?? null, owner: claims.owner ?? null, client: claims.client ?? null })

function keysOf(c: Compilation, path: Path, { issuer, jwksFile, jwksUri }: WrittenJwt): JwtSettings['keys'] {
  if (jwksFile !== undefined && jwksUri !== undefined) c.report.errorAtKey([...path, 'jwksUri'], 'only one of `jwksFile` and `jwksUri` can be given')
  if (jwksFile !== undefined) return { is: 'file', file: existing(c, [...path, 'jwksFile'], jwksFile) }
  const place = [...path, jwksUri === undefined ? 'issuer' : 'jwksUri']
  const url = httpUrl(jwksUri ?? issuer)
  if (url === null) {
    c.report.error(place, jwksUri === undefined ? 'keys are discovered at the issuer, so it must be an http or https URL' : 'expected an http or https URL', jwksUri === undefined ? 'or give `jwksFile` or `jwksUri`' : null)
  } else if (url.protocol === 'http:' && !isLoopbackUrl(url)) c.report.warn(place, 'keys are fetched without TLS: whoever stands between can replace them')
  return jwksUri === undefined ? { is: 'discovery' } : { is: 'uri', uri: jwksUri }
}

function jwtProvider(c: Compilation, name: string, written: Written, jwt: WrittenJwt): JwtSettings {
  return {
    is: 'jwt', name, kind: written.kind, claims: claimNames(written),
    issuer: jwt.issuer,
    audience: typeof jwt.audience === 'string' ? [jwt.audience] : jwt.audience,
    keys: keysOf(c, ['authn', name, 'jwt'], jwt),
    algorithms: [...new Set(jwt.algorithms)],
    types: [...new Set(jwt.typ.map(type => type.toLowerCase().replace(/^application\//, '')))],
    clockTolerance: jwt.clockTolerance,
  }
}

function apiKeyProvider(c: Compilation, name: string, written: Written, apiKey: NonNullable<Written['apiKey']>): ApiKeySettings {
  return {
    is: 'apiKey', name, kind: written.kind, claims: claimNames(written),
    header: apiKey.header,
    keysFile: existing(c, ['authn', name, 'apiKey', 'keysFile'], apiKey.keysFile),
  }
}

export function providersOf(c: Compilation): ReadonlyMap<string, ProviderSettings> {
  const providers = new Map<string, ProviderSettings>()
  for (const [name, written] of Object.entries(c.config.authn)) {
    const { jwt, apiKey } = written
    if ((jwt === undefined) === (apiKey === undefined)) c.report.errorAtKey(['authn', name], `provider '${name}' needs exactly one of \`jwt\` and \`apiKey\``)
    if (jwt !== undefined) providers.set(name, jwtProvider(c, name, written, jwt))
    else if (apiKey !== undefined) providers.set(name, apiKeyProvider(c, name, written, apiKey))
  }
  return providers
}
