// The configuration after compilation: what each room is built from. Files named in it are read by their rooms, at start and at reload.
// SPEC: CFG1
import type { SubjectCondition } from '../core/condition.ts'
import type { ConnectorSettings } from './compile/connectors.ts'
import type { BrokeredSettings } from './compile/credential.ts'
import type { Ejection, HealthCheck, UpstreamAddress, UpstreamTls } from './compile/upstreams.ts'
import type { ContextSettings, SignatureSettings, TransactionSettings } from './compile/upstream-identity.ts'
import type { Policy } from '../core/policy.ts'
import type { PrincipalKind } from '../core/principal.ts'
import type { PurposeKind } from '../core/purpose.ts'
import type { Duration } from '../core/time.ts'
import type { ChannelSettings } from './compile/notify.ts'
import type { DecisionSettings } from './compile/decisions.ts'
import type { NewsHookSettings } from './compile/news-hooks.ts'
import type { PdpSettings } from './compile/pdps.ts'
import type { ScoreSettings } from './compile/scores.ts'
import type { LogoutSettings, SsfSettings } from './compile/ssf.ts'
import type { TransmitSettings } from './compile/transmit.ts'

export const SERVICES = ['proxy', 'keys', 'admin', 'health', 'metrics', 'signals', 'decisions'] as const
export type Service = (typeof SERVICES)[number]

export const HTTP_PROTOCOLS = ['http1', 'http2'] as const
export type HttpProtocol = (typeof HTTP_PROTOCOLS)[number]

export type ListenerSettings = {
  readonly name: string
  /** Empty listens on every address. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly serves: readonly Service[]
  readonly tls: {
    readonly certFile: string
    readonly keyFile: string
    /** Whose certificates clients may show; null where they are not asked for one. */
    readonly clients: {
      /** Null only with `trustDomains`. */
      readonly caFile: string | null
      readonly crlFile: string | null
      /** By whose bundles alone SPIFFE ids count; empty where they count like any other name. */
      readonly trustDomains: readonly { readonly name: string; readonly bundleFile: string }[]
    } | null
  } | null
  /** In which form listed proxies tell of their callers' certificates; null where they do not. */
  readonly forwardedCertificates: 'xfcc' | 'client-cert' | null
  /** With TLS chosen by ALPN; HTTP/2 in clear text is taken by prior knowledge. Only `http1` where callers are not served. */
  readonly protocols: readonly HttpProtocol[]
  /** Every connection begins with a PROXY v2 header, and comes from one of `trustedProxies`. */
  readonly proxyProtocol: boolean
}

/** Which claims mean what. `subjectCase` fold: whom its issuer names in other letters is the same. */
export type ClaimNames = { readonly tenant: string | null; readonly owner: string | null; readonly client: string | null; readonly device: string | null; readonly subjectCase: 'exact' | 'fold' }

type Provider = { readonly name: string; readonly kind: PrincipalKind; readonly claims: ClaimNames }

/** Whether its tokens may, or must, name a key (`cnf`) that the caller proves to hold: by a DPoP proof or by a client certificate. */
export type Possession = { readonly dpop: 'off' | 'optional' | 'required'; readonly mtls: 'off' | 'optional' | 'required' }

type WrittenKeys = { readonly is: 'file'; readonly file: string } | { readonly is: 'uri'; readonly uri: string }
/** Where its keys are; `discovery` asks the issuer (OIDC, then RFC 8414) on first use. */
export type KeySource = WrittenKeys | { readonly is: 'discovery' }

export type JwtSettings = Provider & {
  readonly is: 'jwt'
  readonly issuer: string
  readonly audience: readonly string[]
  readonly keys: KeySource
  readonly algorithms: readonly string[]
  /** Accepted `typ` header values, lower case, without `application/`; default `at+jwt`. */
  readonly types: readonly string[]
  readonly clockTolerance: Duration
  readonly possession: Possession
}

export type ApiKeySettings = Provider & {
  readonly is: 'apiKey'
  /** Lower-case header name; `authorization` means a Bearer value. */
  readonly header: string
  readonly keysFile: string
}

export type IntrospectionSettings = Provider & {
  readonly is: 'introspection'
  readonly url: string
  readonly clientId: string
  readonly clientSecretFile: string
  /** PEM certificates to trust; null trusts the system's. */
  readonly caFile: string | null
  /** What answers must name; null leaves it open, and principals are then of `introspection:<name>`. */
  readonly issuer: string | null
  /** JWTs that name `issuer` are asked about too; never those of another issuer. */
  readonly jwt: boolean
  /** Answers must hold one of each list that is not empty; not both are. */
  readonly audience: readonly string[]
  readonly clients: readonly string[]
  /** How long an answer counts. */
  readonly freshness: Duration
  readonly clockTolerance: Duration
  readonly possession: Possession
}

export type JwtSvidSettings = Provider & {
  readonly is: 'jwtSvid'
  readonly trustDomain: string
  /** Patterns of SPIFFE ids, of which one must fit; empty takes the whole trust domain. */
  readonly ids: readonly string[]
  /** What `iss` must be; null for SVIDs that name none. */
  readonly issuer: string | null
  readonly audience: readonly string[]
  readonly keys: WrittenKeys
  readonly algorithms: readonly string[]
  readonly clockTolerance: Duration
}

export type KubernetesSettings = Provider & {
  readonly is: 'kubernetes'
  readonly issuer: string
  readonly audience: readonly string[]
  readonly keys: KeySource
  readonly algorithms: readonly string[]
  readonly clockTolerance: Duration
  /** Asks the cluster whether the token and its pod are still there; null trusts the signature until the token's end. */
  readonly review: { readonly url: string; readonly tokenFile: string; readonly caFile: string | null; readonly freshness: Duration } | null
}

/** Sessions that brokers opened; who they are is in their records. */
export type SessionTokenSettings = Provider & { readonly is: 'sessionToken' }

export type MtlsSettings = Provider & {
  readonly is: 'mtls'
  /** What of a certificate names its holder: its SPIFFE id, its whole subject, or one of its DNS names. */
  readonly by: 'spiffe' | 'subjects' | 'dnsNames'
  /** Patterns of SPIFFE ids, names as RFC 4514 writes them, or DNS names; at least one. */
  readonly names: readonly string[]
}

export type ProviderSettings = JwtSettings | ApiKeySettings | IntrospectionSettings | JwtSvidSettings | KubernetesSettings | MtlsSettings | SessionTokenSettings

/** `connect`: nothing was sent; `refused`: HTTP/2 said REFUSED_STREAM, or GOAWAY below the stream. */
export const RETRIABLE = ['connect', 'refused'] as const
export type Retriable = (typeof RETRIABLE)[number]

export type UpstreamSettings = {
  readonly name: string
  /** Scheme, host and port of the first address, for logs. */
  readonly origin: string
  /** At least one, none twice. */
  readonly addresses: readonly UpstreamAddress[]
  /** Null speaks in clear text. */
  readonly tls: UpstreamTls | null
  readonly protocol: HttpProtocol
  /** Its routes serve that. */
  readonly serves: 'http' | 'mcp'
  /** The one path of it, of an endpoint of MCP; null where the path of a request goes on. */
  readonly endpoint: string | null
  /** Longest wait for the response head. */
  readonly timeout: Duration
  /** Connections at most. */
  readonly connections: number
  /** Streams at most on one HTTP/2 connection. */
  readonly streams: number
  readonly health: HealthCheck | null
  readonly ejection: Ejection | null
  /** 0 attempts beyond the first: never. */
  readonly retries: { readonly attempts: number; readonly on: readonly Retriable[] }
  /** How often names are looked up again. */
  readonly resolve: Duration
  /** A PROXY v2 header opens every connection, which then serves one caller's address; never with HTTP/2. */
  readonly proxyProtocol: boolean
  /** A header injected from a file: lower-case name. */
  readonly inject: { readonly header: string; readonly valueFile: string } | null
  /** What is obtained for it, one grant at a time; null where nothing is. Never with `inject`. */
  readonly brokered: BrokeredSettings | null
  readonly transaction: TransactionSettings | null
  readonly signature: SignatureSettings | null
}

export type LimitSettings = {
  readonly headerBytes: number
  /** Fields of one head. */
  readonly headers: number
  readonly bodyBytes: number
  /** All bodies together that are read before their decision. */
  readonly inspectTotal: number
  readonly headersTimeout: Duration
  readonly idleTimeout: Duration
  readonly connections: number
  /** Open on one HTTP/2 connection of a caller. */
  readonly streamsPerConnection: number
  /** Open exchanges in all. */
  readonly exchanges: number
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

/** Whose signature counts for a purpose; `audience` is null where its words name none. */
/** `meta`: the member of `_meta` that holds it on routes of MCP; null where only its header does. */
export type SignedPurposeSettings = { readonly jwksFile: string; readonly audience: string | null; readonly meta: string | null }

export const OPERATOR_ROLES = ['viewer', 'approver', 'operator', 'broker', 'admin'] as const
export type OperatorRole = (typeof OPERATOR_ROLES)[number]

/** Whose credentials count on the admin listener, and which roles they give; a role is held where its condition is true, never in doubt. */
type OperatorsBy<P extends ProviderSettings> = { readonly provider: P; readonly roles: ReadonlyMap<OperatorRole, SubjectCondition> }

export type AdminSettings = {
  readonly tokenFile: string | null
  readonly breakGlassTokenFile: string | null
  readonly oidc: OperatorsBy<JwtSettings> | null
  readonly mtls: OperatorsBy<MtlsSettings> | null
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
  /** DPoP proofs must hold a nonce of ours. */
  readonly dpopNonces: boolean
  readonly limits: LimitSettings
  readonly drain: { readonly delay: Duration; readonly timeout: Duration }
  readonly providers: ReadonlyMap<string, ProviderSettings>
  readonly upstreams: ReadonlyMap<string, UpstreamSettings>
  /** Who tells of tickets, runs and the like, by name. */
  readonly connectors: ReadonlyMap<string, ConnectorSettings>
  /** Webhooks that tell of scores, by name. */
  readonly scores: ReadonlyMap<string, ScoreSettings>
  /** Webhooks that tell of changes in trust, by name. */
  readonly newsHooks: ReadonlyMap<string, NewsHookSettings>
  /** Who tells of changes in trust by Security Event Tokens, by name. */
  readonly ssf: ReadonlyMap<string, SsfSettings>
  /** Who tells of logouts (OIDC Back-Channel Logout), by name. */
  readonly logout: ReadonlyMap<string, LogoutSettings>
  /** What is told to others of what happens here; null for nothing. */
  readonly transmit: TransmitSettings | null
  /** Policy decision points that routes ask, by name. */
  readonly pdps: ReadonlyMap<string, PdpSettings>
  /** Decisions for others; null where no listener serves them. */
  readonly decisions: DecisionSettings | null
  /** Those that requests show in a signed header. */
  readonly signedPurposes: ReadonlyMap<PurposeKind, SignedPurposeSettings>
  readonly admin: AdminSettings
  /** Where people are told, and where links in notices lead; null without links. */
  readonly notify: { readonly channels: ReadonlyMap<string, ChannelSettings>; readonly publicUrl: string | null }
  readonly store: StoreSettings
  readonly context: ContextSettings
  readonly audit: {
    readonly trail: { readonly file: string; readonly fsync: boolean; readonly maxBytes: number }
    readonly noise: { readonly file: string; readonly maxBytes: number }
    readonly recording: { readonly file: string; readonly maxBytes: number }
  }
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}
