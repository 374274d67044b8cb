// Providers of identity: whose tokens and keys count. SPEC: CFG3, SES1
import type { ApiKeySettings, ClaimNames, IntrospectionSettings, JwtSettings, JwtSvidSettings, KeySource, KubernetesSettings, MtlsSettings, Possession, ProviderSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

type Written = Compilation['config']['authn'][string]
type Of<K extends 'jwt' | 'apiKey' | 'introspection' | 'jwtSvid' | 'kubernetes' | 'mtls'> = NonNullable<Written[K]>
/** One provider as far as it is the same for every kind. */
export type Common = { readonly c: Compilation; readonly at: Path; readonly name: string; readonly kind: Written['kind']; readonly claims: ClaimNames }

const namesOf = ({ claims, subjectCase = 'exact' }: Written): ClaimNames => ({ tenant: claims.tenant ?? null, owner: claims.owner ?? null, client: claims.client ?? null, device: claims.device ?? null, subjectCase })
const own = ({ name, kind, claims }: Common) => ({ name, kind, claims })
const listOf = (written: string | readonly string[] | undefined): readonly string[] => (typeof written === 'string' ? [written] : (written ?? []))

function keysOf({ c, at }: Common, { issuer, jwksFile, jwksUri }: Of<'jwt'> | Of<'kubernetes'>): KeySource {
  if (jwksFile !== undefined && jwksUri !== undefined) c.report.errorAtKey([...at, 'jwksUri'], 'only one of `jwksFile` and `jwksUri` can be given')
  if (jwksFile !== undefined) return { is: 'file', file: existing(c, [...at, 'jwksFile'], jwksFile) }
  const place = [...at, jwksUri === undefined ? 'issuer' : 'jwksUri']
  const url = httpUrl(jwksUri ?? issuer)
  if (url === null) {
    c.report.error(place, jwksUri === undefined ? 'keys are discovered at the issuer, so it must be an http or https URL' : 'expected an http or https URL', jwksUri === undefined ? 'or give `jwksFile` or `jwksUri`' : null)
  } else keysInClear(c, place, url)
  return jwksUri === undefined ? { is: 'discovery' } : { is: 'uri', uri: jwksUri }
}

function keysInClear({ report }: Compilation, place: Path, url: URL): void {
  if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.warn(place, 'keys are fetched without TLS: whoever stands between can replace them')
}

/** One key at most can be asked for of every token. */
function possessionOf({ c, at }: Common, written: Of<'jwt'> | Of<'introspection'>): Possession {
  const { dpop = null, mtls = null } = written
  if (dpop === 'required' && mtls === 'required') c.report.error([...at, 'mtls'], 'a token names one key: `dpop` and `mtls` cannot both be required', 'make one of them optional')
  return { dpop: dpop ?? 'off', mtls: mtls ?? 'off' }
}

export function jwtProvider(common: Common, jwt: Of<'jwt'>): JwtSettings {
  return {
    is: 'jwt', ...own(common),
    issuer: jwt.issuer,
    audience: listOf(jwt.audience),
    keys: keysOf(common, jwt),
    algorithms: [...new Set(jwt.algorithms)],
    types: [...new Set(jwt.typ.map(type => type.toLowerCase().replace(/^application\//, '')))],
    clockTolerance: jwt.clockTolerance,
    possession: possessionOf(common, jwt),
  }
}

function apiKeyProvider(common: Common, { header, keysFile }: Of<'apiKey'>): ApiKeySettings {
  return { is: 'apiKey', ...own(common), header, keysFile: existing(common.c, [...common.at, 'keysFile'], keysFile) }
}

function introspectionProvider(common: Common, written: Of<'introspection'>): IntrospectionSettings {
  const { c, at, name } = common
  const { url, clientId, clientSecretFile, caFile, issuer = null, jwt, audience, clients = [], freshness, clockTolerance } = written
  const parsed = httpUrl(url)
  if (parsed === null) c.report.error([...at, 'url'], 'expected an http or https URL')
  else if (parsed.protocol === 'http:' && !isLoopbackUrl(parsed)) c.report.warn([...at, 'url'], 'tokens are asked about without TLS: whoever stands between can read them and say what they are')
  if (audience === undefined && clients.length === 0) c.report.errorAtKey(at, `provider '${name}' needs \`audience\` or \`clients\`: the issuer vouches for tokens of every resource`)
  if (jwt && issuer === null) c.report.error([...at, 'jwt'], 'JWTs are asked about by their issuer', 'name it with `issuer`')
  return {
    is: 'introspection', ...own(common),
    url, clientId,
    clientSecretFile: existing(c, [...at, 'clientSecretFile'], clientSecretFile),
    caFile: existingOrNone(c, [...at, 'caFile'], caFile),
    issuer, jwt,
    audience: listOf(audience),
    clients, freshness, clockTolerance,
    possession: possessionOf(common, written),
  }
}

function bundleOf({ c, at, name }: Common, { jwksFile, jwksUri }: Of<'jwtSvid'>): JwtSvidSettings['keys'] {
  if ((jwksFile === undefined) === (jwksUri === undefined)) c.report.errorAtKey(at, `provider '${name}' needs exactly one of \`jwksFile\` and \`jwksUri\``)
  if (jwksUri === undefined) return { is: 'file', file: jwksFile === undefined ? '' : existing(c, [...at, 'jwksFile'], jwksFile) }
  const url = httpUrl(jwksUri)
  if (url === null) c.report.error([...at, 'jwksUri'], 'expected an http or https URL')
  else keysInClear(c, [...at, 'jwksUri'], url)
  return { is: 'uri', uri: jwksUri }
}

function jwtSvidProvider(common: Common, written: Of<'jwtSvid'>): JwtSvidSettings {
  const { trustDomain, ids = [], issuer = null, audience, algorithms, clockTolerance } = written
  ids.forEach((id, i) => {
    if (!id.startsWith(`spiffe://${trustDomain}/`)) common.c.report.error([...common.at, 'ids', i], `'${id}' is not of the trust domain ${trustDomain}`)
  })
  return { is: 'jwtSvid', ...own(common), trustDomain, ids, issuer, audience: listOf(audience), keys: bundleOf(common, written), algorithms: [...new Set(algorithms)], clockTolerance }
}

/** What API servers call themselves where nothing else is said; the issuer is their default. */
const API_SERVER = /^(https:\/\/)?kubernetes\.default(\.svc(\.cluster\.local)?)?\/?$/

function reviewOf({ c, at }: Common, { tokenReview }: Of<'kubernetes'>): KubernetesSettings['review'] {
  if (tokenReview === undefined) return null
  const { url, tokenFile, caFile, freshness } = tokenReview
  const path = [...at, 'tokenReview']
  const parsed = httpUrl(url)
  if (parsed === null || (parsed.protocol === 'http:' && !isLoopbackUrl(parsed))) c.report.error([...path, 'url'], 'expected an https URL: the gateway’s own token is sent there')
  return { url, tokenFile: existing(c, [...path, 'tokenFile'], tokenFile), caFile: existingOrNone(c, [...path, 'caFile'], caFile), freshness }
}

function kubernetesProvider(common: Common, written: Of<'kubernetes'>): KubernetesSettings {
  const { issuer, algorithms, clockTolerance } = written
  const audience = listOf(written.audience)
  if (audience.some(name => name === issuer || API_SERVER.test(name))) {
    common.c.report.error([...common.at, 'audience'], 'this is the audience of the API server: such tokens are good for the whole cluster', 'ask for a token with an audience of your own')
  }
  return { is: 'kubernetes', ...own(common), issuer, audience, keys: keysOf(common, written), algorithms: [...new Set(algorithms)], clockTolerance, review: reviewOf(common, written) }
}

const FORMS = ['spiffe', 'subjects', 'dnsNames'] as const

export function mtlsProvider(common: Common, written: Of<'mtls'>): MtlsSettings {
  const { c, at, name } = common
  const [by = 'spiffe', other] = FORMS.filter(form => written[form] !== undefined)
  if (written[by] === undefined || other !== undefined) c.report.errorAtKey(at, `provider '${name}' needs exactly one of ${FORMS.map(form => `\`${form}\``).join(', ')}`)
  return { is: 'mtls', ...own(common), by, names: [...new Set(written[by])] }
}

/** A route that counts on certificates nobody is asked for would refuse everybody, or everybody without a token. */
function certificatesAreAsked({ config, report }: Compilation): void {
  const asks = config.server.listeners?.some(({ serves, tls, forwardedCertificates }) => serves.includes('proxy') && (tls?.clients !== undefined || forwardedCertificates !== undefined))
  if (asks === true || config.decisions.forwardAuth?.forwardedCertificates !== undefined) return
  const hint = 'give a listener that serves `proxy` either `tls.clients` or `forwardedCertificates`'
  const told = (name: string): string => `provider '${name}' knows callers by certificates, but no listener asks for any`
  const isMtls = (name: string): boolean => Object.hasOwn(config.authn, name) && config.authn[name]?.mtls !== undefined
  config.routes.forEach(({ authn }, i) => authn?.forEach((name, j) => {
    if (isMtls(name)) report.error(['routes', i, 'authn', j], told(name), hint)
  }))
  if (config.routes.every(({ authn }) => authn !== undefined)) return
  for (const name of Object.keys(config.authn).filter(isMtls)) report.errorAtKey(['authn', name, 'mtls'], told(name), hint) // routes that name nobody take everybody
}

const KINDS = ['jwt', 'apiKey', 'introspection', 'jwtSvid', 'kubernetes', 'mtls', 'sessionToken'] as const

function providerOf(common: (kind: (typeof KINDS)[number]) => Common, { jwt, apiKey, introspection, jwtSvid, kubernetes, mtls, sessionToken }: Written): ProviderSettings | null {
  if (jwt !== undefined) return jwtProvider(common('jwt'), jwt)
  if (apiKey !== undefined) return apiKeyProvider(common('apiKey'), apiKey)
  if (introspection !== undefined) return introspectionProvider(common('introspection'), introspection)
  if (jwtSvid !== undefined) return jwtSvidProvider(common('jwtSvid'), jwtSvid)
  if (kubernetes !== undefined) return kubernetesProvider(common('kubernetes'), kubernetes)
  if (mtls !== undefined) return mtlsProvider(common('mtls'), mtls)
  return sessionToken === undefined ? null : { is: 'sessionToken', ...own(common('sessionToken')) }
}

const issuerOf = ({ jwt, introspection }: Written): string | null => jwt?.issuer ?? introspection?.issuer ?? null

/** Whether subjects of this issuer are known in small letters. */
export const subjectCaseOf = ({ config }: Compilation, issuer: string): ClaimNames['subjectCase'] =>
  Object.values(config.authn).some(written => written.subjectCase === 'fold' && issuerOf(written) === issuer) ? 'fold' : 'exact'

/** A name that nobody is known by would stand for nobody. */
function writtenAsKnown(c: Compilation, path: Path, identity: string): void {
  const at = identity.indexOf('|')
  if (at < 0 || subjectCaseOf(c, identity.slice(0, at)) === 'exact') return
  const known = identity.slice(0, at) + identity.slice(at).toLowerCase()
  if (known !== identity) c.report.error(path, `subjects of ${identity.slice(0, at)} are known in small letters`, `write ${known}`)
}

/** One issuer's subjects are read alike everywhere, and everything that names them names them so. */
function foldedAlike(c: Compilation): void {
  for (const [name, written] of Object.entries(c.config.authn)) {
    if (written.subjectCase === undefined) continue
    const path: Path = ['authn', name, 'subjectCase']
    if (written.jwt === undefined && written.introspection === undefined) c.report.error(path, 'only subjects of `jwt` and `introspection` may be folded: the others have one spelling')
  }
  for (const [name, written] of Object.entries(c.config.authn)) {
    const issuer = issuerOf(written)
    if (issuer !== null && written.subjectCase !== 'fold' && subjectCaseOf(c, issuer) === 'fold') c.report.errorAtKey(['authn', name], `another provider folds subjects of ${issuer}`, 'give this one `subjectCase: fold` too')
  }
  c.config.identities.forEach((set, i) => set.forEach((identity, j) => writtenAsKnown(c, ['identities', i, j], identity)))
  for (const [name, { who = [] }] of Object.entries(c.config.brokers)) who.forEach((identity, i) => writtenAsKnown(c, ['brokers', name, 'who', i], identity))
}

export function providersOf(c: Compilation): ReadonlyMap<string, ProviderSettings> {
  const providers = new Map<string, ProviderSettings>()
  for (const [name, written] of Object.entries(c.config.authn)) {
    if (KINDS.filter(kind => written[kind] !== undefined).length !== 1) {
      c.report.errorAtKey(['authn', name], `provider '${name}' needs exactly one of ${KINDS.map(kind => `\`${kind}\``).join(', ')}`)
    }
    const provider = providerOf(kind => ({ c, at: ['authn', name, kind], name, kind: written.kind, claims: namesOf(written) }), written)
    if (provider !== null) providers.set(name, provider)
  }
  certificatesAreAsked(c)
  foldedAlike(c)
  return providers
}
