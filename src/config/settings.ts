// The configuration after compilation: what each room is built from. Files named in it are read by their rooms, at start and at reload.
// SPEC: CFG1
import type { Policy } from '../core/policy.ts'
import type { PrincipalKind } from '../core/principal.ts'
import type { Duration } from '../core/time.ts'

export const SERVICES = ['proxy', 'keys', 'admin', 'health', 'metrics'] as const
export type Service = (typeof SERVICES)[number]

export type ListenerSettings = {
  readonly name: string
  /** Empty listens on every address. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly serves: readonly Service[]
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
}

export type ClaimNames = { readonly tenant: string | null; readonly owner: string | null; readonly client: string | null }

type Provider = { readonly name: string; readonly kind: PrincipalKind; readonly claims: ClaimNames }

export type JwtSettings = Provider & {
  readonly is: 'jwt'
  readonly issuer: string
  readonly audience: readonly string[]
  /** Where its keys are; `discovery` asks the issuer (OIDC, then RFC 8414) on first use. */
  readonly keys: { readonly is: 'file'; readonly file: string } | { readonly is: 'uri'; readonly uri: string } | { readonly is: 'discovery' }
  readonly algorithms: readonly string[]
  /** Accepted `typ` header values, lower case, without `application/`; default `at+jwt`. */
  readonly types: readonly string[]
  readonly clockTolerance: Duration
}

export type ApiKeySettings = Provider & {
  readonly is: 'apiKey'
  /** Lower-case header name; `authorization` means a Bearer value. */
  readonly header: string
  readonly keysFile: string
}

export type ProviderSettings = JwtSettings | ApiKeySettings

export type UpstreamSettings = {
  readonly name: string
  /** Scheme, host and port, no path: `http://deploy:8080`. */
  readonly origin: string
  readonly caFile: string | null
  /** Longest wait for the response head. */
  readonly timeout: Duration
  /** Connections at most. */
  readonly connections: number
  /** A header injected from a file: lower-case name. */
  readonly inject: { readonly header: string; readonly valueFile: string } | null
}

export type LimitSettings = {
  readonly headerBytes: number
  readonly bodyBytes: number
  readonly headersTimeout: Duration
  readonly idleTimeout: Duration
  readonly connections: number
  readonly mirroredSessions: number
}

/** A database of this process alone. */
export type EmbeddedHome = {
  readonly is: 'embedded'
  /** A file under stateDir, or `:memory:` (needs `ephemeral`). */
  readonly file: string
}

export type RedisHome = {
  readonly is: 'redis'
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** The server, the sentinels, or some nodes of the cluster; lower case, IPv6 without brackets. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  /** Null speaks in clear text; with all of it null the system's authorities and the host's own name count. */
  readonly tls: { readonly caFile: string | null; readonly certFile: string | null; readonly keyFile: string | null; readonly serverName: string | null } | null
  readonly username: string | null
  /** Written out in the URL; null where it is in a file or not needed. */
  readonly password: string | null
  readonly passwordFile: string | null
  /** The name the sentinels know the master by, and how they know us; null in the other modes. */
  readonly sentinel: { readonly master: string; readonly username: string | null; readonly passwordFile: string | null } | null
  /** 0 in a cluster. */
  readonly database: number
  /** Before every key: `ng`. */
  readonly prefix: string
  readonly shards: number
  /** `min-replicas-max-lag` of the servers: with the lease it bounds how long an old master may be believed. */
  readonly maxLag: Duration
}

export type StoreSettings = {
  readonly home: EmbeddedHome | RedisHome
  /** How long an answer of the store may be believed; of no effect with the embedded one, which is never out of reach. */
  readonly lease: Duration
  /** Longest wait for a lapsed store: of a new request, and of an open exchange. */
  readonly hold: { readonly requests: Duration; readonly streams: Duration }
  /** At most two: the first signs, each verifies; empty signs nothing. */
  readonly macKeyFiles: readonly string[]
}

export type Settings = {
  readonly digest: string
  readonly policy: Policy
  readonly stateDir: string
  readonly ephemeral: boolean
  /** Processes behind the listeners: 1 with the embedded store. */
  readonly workers: number
  readonly listeners: readonly ListenerSettings[]
  /** CIDR blocks whose forwarding headers are believed; empty trusts nobody. */
  readonly trustedProxies: readonly string[]
  readonly limits: LimitSettings
  readonly drain: { readonly delay: Duration; readonly timeout: Duration }
  readonly providers: ReadonlyMap<string, ProviderSettings>
  readonly upstreams: ReadonlyMap<string, UpstreamSettings>
  readonly admin: { readonly tokenFile: string | null; readonly breakGlassTokenFile: string | null }
  readonly store: StoreSettings
  readonly context: { readonly keyFile: string | null; readonly issuer: string }
  readonly audit: {
    readonly trail: { readonly file: string; readonly fsync: boolean; readonly maxBytes: number }
    readonly noise: { readonly file: string; readonly maxBytes: number }
  }
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}
