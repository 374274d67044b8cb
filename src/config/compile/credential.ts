// What upstreams are shown: exactly one way to come by it, places that nobody reads on the way, and a secret wherever something has to be sealed. SPEC: CFG3, CRD1
import type { Duration } from '../../core/time.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { type Compilation, existing, existingOrNone } from './context.ts'
import { httpUrl, isLoopbackUrl } from './url.ts'

/** How the gateway is known where it asks. */
export type OAuthClient = { readonly id: string; readonly secretFile: string; readonly auth: 'basic' | 'post' }

type Wanted = { readonly url: string; readonly scope: string | null; readonly audience: string | null; readonly resource: string | null }
export type ClientCredentialsSettings = Wanted & { readonly is: 'clientCredentials'; readonly client: OAuthClient }
export type ExchangeSettings = Wanted & { readonly is: 'exchange'; readonly client: OAuthClient | null; readonly subject: 'caller' | 'context'; readonly actor: 'none' | 'context'; readonly requestedTokenType: string | null }

/** `body` is JSON text; null sends none. `token`, `lease` and `ttl` are JSON pointers into the answer. */
export type LeaseSettings = {
  readonly is: 'lease'
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly body: string | null
  readonly tokenFile: string
  /** Lower case. */
  readonly header: string
  readonly token: string
  readonly lease: string
  readonly ttl: string | null
}

/** `call`: `body` is JSON text in which `{lease}` stands for the lease. */
export type RevokeSettings = { readonly url: string; readonly alarmAfter: Duration } & ({ readonly is: 'rfc7009' } | { readonly is: 'call'; readonly method: 'POST' | 'PUT'; readonly body: string })

export type BrokeredSettings = {
  /** Lower case. */
  readonly header: string
  readonly prefix: string
  /** Of each answer. */
  readonly timeout: Duration
  readonly caFile: string | null
  readonly obtain: ClientCredentialsSettings | ExchangeSettings | LeaseSettings
  /** null leaves it to its own end. */
  readonly revoke: RevokeSettings | null
}

type Written = NonNullable<Compilation['config']['upstreams'][string]['credential']>
type WrittenRoute = Compilation['config']['routes'][number]
type Kind = 'valueFile' | 'clientCredentials' | 'exchange' | 'lease'

const KINDS: readonly Kind[] = ['valueFile', 'clientCredentials', 'exchange', 'lease']
/** Headers that frame or route a message, or that only the gateway writes. */
const NOT_INJECTABLE = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|narrowgate-.*)$/
const LEASE = '{lease}'

function place({ report }: Compilation, path: Path, text: string): string {
  const url = httpUrl(text)
  if (url === null || text.includes('#')) report.error(path, 'expected an https URL without credentials and fragment')
  else if (url.protocol === 'http:' && !isLoopbackUrl(url)) report.error(path, 'secrets are sent there, and must not be read on the way', 'write https:// instead of http://')
  return text
}

const wantedOf = ({ scope, audience, resource }: { readonly scope?: string | undefined; readonly audience?: string | undefined; readonly resource?: string | undefined }): Omit<Wanted, 'url'> => ({ scope: scope ?? null, audience: audience ?? null, resource: resource ?? null })

function byClientCredentials(c: Compilation, written: NonNullable<Written['clientCredentials']>, path: Path): ClientCredentialsSettings {
  const { tokenUrl, clientId, clientSecretFile, auth } = written
  return { is: 'clientCredentials', url: place(c, [...path, 'tokenUrl'], tokenUrl), client: { id: clientId, secretFile: existing(c, [...path, 'clientSecretFile'], clientSecretFile), auth }, ...wantedOf(written) }
}

function byExchange(c: Compilation, written: NonNullable<Written['exchange']>, path: Path): ExchangeSettings {
  const { url, clientId, clientSecretFile, auth, subject, actor, requestedTokenType = null } = written
  if ((clientId === undefined) !== (clientSecretFile === undefined)) c.report.errorAtKey(path, '`clientId` and `clientSecretFile` go together', 'name both, or none of them')
  const secretFile = existingOrNone(c, [...path, 'clientSecretFile'], clientSecretFile)
  return { is: 'exchange', url: place(c, [...path, 'url'], url), client: clientId === undefined || secretFile === null ? null : { id: clientId, secretFile, auth }, ...wantedOf(written), subject, actor, requestedTokenType }
}

function byLease(c: Compilation, { tokenFile, header, obtain }: NonNullable<Written['lease']>, path: Path): LeaseSettings {
  const { url, method, body, token, lease, ttl = null } = obtain
  if (method === 'GET' && body !== undefined) c.report.error([...path, 'obtain', 'body'], 'GET sends no body', 'write `method: POST`, or leave `body` out')
  if (NOT_INJECTABLE.test(header)) c.report.error([...path, 'header'], `the header '${header}' cannot be set`)
  return { is: 'lease', url: place(c, [...path, 'obtain', 'url'], url), method, body: body === undefined ? null : JSON.stringify(body), tokenFile: existing(c, [...path, 'tokenFile'], tokenFile), header, token, lease, ttl }
}

function obtainOf(c: Compilation, written: Written, path: Path): BrokeredSettings['obtain'] | null {
  const { clientCredentials, exchange, lease } = written
  if (clientCredentials !== undefined) return byClientCredentials(c, clientCredentials, [...path, 'clientCredentials'])
  if (exchange !== undefined) return byExchange(c, exchange, [...path, 'exchange'])
  return lease === undefined ? null : byLease(c, lease, [...path, 'lease'])
}

function revokeOf(c: Compilation, { lease, revoke }: Written, obtain: BrokeredSettings['obtain'], path: Path): RevokeSettings | null {
  if (lease !== undefined) {
    if (revoke !== undefined && revoke !== false) c.report.error([...path, 'revoke'], 'a lease is given back by `lease.revoke`', 'move it there')
    if (lease.revoke === undefined) return null
    const { url, method, body, alarmAfter } = lease.revoke
    const at = [...path, 'lease', 'revoke']
    const text = JSON.stringify(body)
    if (!text.includes(LEASE)) c.report.error([...at, 'body'], 'the body does not say which lease', 'write `{lease}` where its id stands')
    return { is: 'call', url: place(c, [...at, 'url'], url), method, body: text, alarmAfter }
  }
  if (revoke === undefined || revoke === false) return null
  if (obtain.is === 'exchange' && obtain.client === null) c.report.error([...path, 'revoke'], 'what revoking takes is sealed with the secret of the client, and there is none', 'name `clientId` and `clientSecretFile`')
  return { is: 'rfc7009', url: place(c, [...path, 'revoke', 'url'], revoke.url), alarmAfter: revoke.alarmAfter }
}

function brokeredOf(c: Compilation, written: Written, path: Path, header: string): BrokeredSettings | null {
  const obtain = obtainOf(c, written, path)
  if (obtain === null) return null
  const revoke = revokeOf(c, written, obtain, path)
  if (revoke === null) c.report.warn(path, 'what is obtained is not revoked when its elevation ends: it lives to its own end', obtain.is === 'lease' ? 'say how with `lease.revoke`' : 'name the revocation endpoint with `revoke`')
  return { header, prefix: written.prefix ?? 'Bearer ', timeout: written.timeout, caFile: existingOrNone(c, [...path, 'caFile'], written.caFile), obtain, revoke }
}

/** What a static one has no use for. */
function staticOnly(c: Compilation, written: Written, path: Path): void {
  for (const key of ['prefix', 'revoke', 'caFile'] as const) if (written[key] !== undefined) c.report.error([...path, key], `\`${key}\` is for credentials that are obtained`, 'the file holds the whole value of the header')
  if (written.header === undefined) c.report.errorAtKey(path, '`valueFile` needs a `header`', 'such as `header: authorization`')
}

export function credentialOf(c: Compilation, written: Written | undefined, path: Path): Pick<UpstreamSettings, 'inject' | 'brokered'> {
  if (written === undefined) return { inject: null, brokered: null }
  const { header = 'authorization', valueFile } = written
  const named = KINDS.filter(kind => written[kind] !== undefined)
  if (named.length !== 1) c.report.errorAtKey(path, 'a credential is exactly one of `valueFile`, `clientCredentials`, `exchange` and `lease`', named.length === 0 ? 'say where it comes from' : 'an upstream is shown one')
  if (NOT_INJECTABLE.test(header)) c.report.error([...path, 'header'], `the header '${header}' cannot be set`)
  if (valueFile === undefined) return { inject: null, brokered: brokeredOf(c, written, path, header) }
  staticOnly(c, written, path)
  return { inject: { header, valueFile: existing(c, [...path, 'valueFile'], valueFile) }, brokered: null }
}

// ---- what it means for a route

/** Of which kinds of callers there is a token that can be exchanged. */
export const SHOWS_TOKENS = ['jwt', 'introspection', 'jwtSvid', 'kubernetes'] as const

/** Is what its upstream is shown obtained for one grant at a time? Nobody's request has a grant of its own. */
export function isBrokered(c: Compilation, written: WrittenRoute, path: Path, upstream: UpstreamSettings | null): boolean {
  const { report, config: { authn } } = c
  const brokered = upstream?.brokered ?? null
  if (brokered === null) return false
  written.rules.forEach(({ anonymous, allow }, i) => {
    if (anonymous && allow !== undefined) report.error([...path, 'rules', i, 'anonymous'], 'what its upstream is shown is obtained for a session, and an anonymous request has none', 'give it a route of its own, with another upstream')
  })
  if (brokered.obtain.is !== 'exchange' || brokered.obtain.subject !== 'caller') return true
  const tokenless = (written.authn ?? Object.keys(authn)).find(name => authn[name] !== undefined && SHOWS_TOKENS.every(kind => authn[name]?.[kind] === undefined))
  if (tokenless !== undefined) report.warn(written.authn === undefined ? path : [...path, 'authn'], `callers of '${tokenless}' show no token that could be exchanged, and are refused here`, 'name others in `authn`, or exchange the gateway’s own word with `subject: context`')
  return true
}

/** Does the caller's own credential go upstream? Never beside one of ours in the same place. */
export function passesThrough({ report }: Compilation, { passthrough }: WrittenRoute, path: Path, upstream: UpstreamSettings | null): boolean {
  if (!passthrough) return false
  const at = [...path, 'passthrough']
  if ((upstream?.inject ?? upstream?.brokered)?.header === 'authorization') report.error(at, 'the upstream is shown a credential of its own in `Authorization`', 'give that another `header`, or leave `passthrough` out')
  else report.warn(at, 'the caller’s own credential goes to the upstream, which can use it wherever it counts')
  return true
}
