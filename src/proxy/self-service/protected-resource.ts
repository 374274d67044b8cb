// What a route asks of credentials, for callers that have to find out (RFC 9728): its document at the well-known place, for anybody, and the challenges
// that point there. Made once for a configuration; never asked of an upstream, whose own would speak of another resource.
// Tells of scopes only those that a baseline gives: what an elevation adds is told by a challenge. SPEC: WIRE25
import type { ProviderSettings, Settings } from '../../config/settings.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import { type Cors, type Route, routeOf, routesAt } from '../../core/route.ts'
import { PROOF_ALGORITHMS } from '../../identity/dpop/algorithms.ts'
import type { Ask } from '../ask.ts'
import { challengesOf, type Scheme, schemeShown } from '../challenge.ts'
import { corsHeaders } from '../http/cors.ts'
import { signInAsked } from '../step-up-text.ts'
import { ownHead } from '../own-answer.ts'

const METADATA = '/.well-known/oauth-protected-resource'
const METADATA_SEGMENTS = 2
export const isMetadata = (path: string): boolean => path === METADATA || path.startsWith(`${METADATA}/`)
/** A reload shows within this. */
const KEPT_FOR = 'public, max-age=60'
/** Longest path that a challenge repeats. */
const PATH_MAX = 1_024

type Resource = {
  readonly schemes: readonly Scheme[]
  readonly cors: readonly Cors[]
  /** The document behind its first member, with the last brace. */
  readonly told: string
}

type TokenProvider = Extract<ProviderSettings, { readonly possession: unknown }>
const takesTokens = (provider: ProviderSettings): provider is TokenProvider => provider.is === 'jwt' || provider.is === 'introspection'
/** Credentials in `Authorization` that prove no key by DPoP. */
const takesBearer = (provider: ProviderSettings): boolean =>
  takesTokens(provider) ? provider.possession.dpop !== 'required' : provider.is === 'sessionToken' || provider.is === 'jwtSvid' || provider.is === 'kubernetes' || (provider.is === 'apiKey' && provider.header === 'authorization')

function schemesOf(providers: readonly ProviderSettings[]): readonly Scheme[] {
  const dpop = providers.some(provider => provider.is === 'sessionToken' || (takesTokens(provider) && provider.possession.dpop !== 'off')) // a broker may bind its tokens to a key
  return [...(providers.some(takesBearer) ? ['Bearer' as const] : []), ...(dpop ? ['DPoP' as const] : [])]
}

/** Without elements it stays away (RFC 9728 §3.2). */
const listed = (name: string, values: readonly string[]): object => (values.length === 0 ? {} : { [name]: [...new Set(values)] })

function membersOf(routes: readonly Route[], providers: readonly ProviderSettings[], baseline: ReadonlySet<string>): object {
  const tokens = providers.filter(takesTokens)
  const schemes = schemesOf(providers)
  const dpop = schemes.includes('DPoP')
  const asked = routes.flatMap(({ rules }) => rules.flatMap(({ scope }) => scope ?? []))
  const [only, second] = routes
  return {
    ...listed('authorization_servers', tokens.flatMap(({ issuer }) => (issuer !== null && /^https?:\/\//.test(issuer) ? issuer : []))),
    ...listed('scopes_supported', asked.filter(scope => baseline.has(scope))),
    ...listed('bearer_methods_supported', schemes.length === 0 ? [] : ['header']),
    ...listed('dpop_signing_alg_values_supported', dpop ? [...PROOF_ALGORITHMS.keys()] : []),
    ...(dpop ? { dpop_bound_access_tokens_required: !schemes.includes('Bearer') } : {}),
    ...(tokens.some(({ possession }) => possession.mtls !== 'off') ? { tls_client_certificate_bound_access_tokens: true } : {}),
    ...(only === undefined || second !== undefined ? {} : { resource_name: only.name }),
  }
}

/** Of a JSON object: what stands behind a first member, with the last brace. */
function behind(members: object): string {
  const text = JSON.stringify(members).slice(1)
  return text === '}' ? text : `,${text}`
}

const UNKNOWN: Resource = { schemes: [], cors: [], told: '}' }

/** The resources of one configuration. */
export class Resources {
  readonly #resources = new Map<Route | readonly Route[], Resource>()

  constructor({ policy: { routes, table, sessions }, providers }: Pick<Settings, 'policy' | 'providers'>) {
    const baseline = new Set<string>(sessions.baseline.flatMap(({ scopes }) => scopes))
    const made = (of: readonly Route[]): Resource => {
      const taken = [...new Set(of.flatMap(({ authn }) => authn))].flatMap(name => providers.get(name) ?? [])
      return { schemes: schemesOf(taken), cors: of.flatMap(({ cors }) => cors ?? []), told: behind(membersOf(of, taken, baseline)) }
    }
    for (const route of routes) this.#resources.set(route, made([route]))
    for (const host of [...table.exact.values(), ...table.suffixes.map(suffix => suffix.routes), table.anyHost]) this.#resources.set(host, made(host))
  }

  /** Of a route, or of all routes of a host together. */
  of(what: Route | readonly Route[]): Resource { return this.#resources.get(what) ?? UNKNOWN }
}


/** The segments by which a path stands in a route: what is behind them is within the resource. */
const placeOf = ({ path: { parts } }: Route, segments: readonly string[]): readonly string[] => segments.slice(0, parts.length)
const pathOf = (segments: readonly string[]): string => segments.map(segment => `/${segment}`).join('')

/** Answers, or says why not. */
export function answerMetadata(ask: Ask): Reason | null {
  const { arrival: { method, answer, body }, head: { origin }, target, encodedSlash, world: { resources, settings: { policy: { table } } } } = ask
  if ((method !== 'GET' && method !== 'HEAD') || encodedSlash) return 'no_route'
  const segments = target.segments.slice(METADATA_SEGMENTS)
  const found = segments.length === 0 ? (routesAt(table, target.host) ?? 'wrong_host') : routeOf(table, { ...target, segments })
  if (typeof found === 'string') return found
  if (answer.gone || answer.status !== 0) return null
  const { cors, told } = resources.of(found)
  const readers = cors.find(({ origins }) => origin !== null && origins.includes(origin)) ?? cors[0]
  const bytes = Buffer.from(`{"resource":${JSON.stringify(`${ask.origin}${'rules' in found ? pathOf(placeOf(found, segments)) : ''}`)}${told}`)
  body.resume()
  answer.sendWhole(ownHead(200, ['content-type', 'application/json', 'cache-control', KEPT_FOR, ...(readers === undefined ? [] : corsHeaders(readers, origin))], bytes.length), bytes)
  return null
}

/** Where to read of the resource that a request was for; of the whole host where it met no route or a path would say too much. */
function metadataOf(ask: Ask): string {
  const { place, target, world: { settings: { policy: { table } } } } = ask
  const whole = `${ask.origin}${METADATA}`
  if (place === null) return whole
  const segments = placeOf(place.route, target.segments)
  const path = segments.length === 0 || routeOf(table, { ...target, segments }) === place.route ? pathOf(segments) : target.path
  return path.length > PATH_MAX ? whole : `${whole}${path}`
}

/** Values of `WWW-Authenticate` for a refused request. */
export function challengesFor(ask: Ask, reason: Reason): readonly string[] {
  if (REASONS[reason].challenge === 'none') return []
  const { place, arrival, target, credentialFault: fault, world: { resources, settings: { policy: { table } } } } = ask
  const { schemes } = resources.of(place?.route ?? routesAt(table, target.host) ?? [])
  const { scope = null } = place?.rule ?? {}
  const requireAuth = reason !== 'step_up_required' ? (place?.rule?.requireAuth ?? null) : ask.stepUp === null ? null : signInAsked(ask.stepUp, arrival.at)
  return challengesOf(reason, { schemes, shown: schemeShown(arrival.headers), fault, scope, requireAuth, metadata: metadataOf(ask) })
}
