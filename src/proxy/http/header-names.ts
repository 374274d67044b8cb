// What is known of a header by its name: which inbound ones never go upstream, which may stand only once, which a request may not nominate away,
// and which of an answer never come back. Names met before cost one look-up. SPEC: WIRE3-WIRE6, WIRE11, WIRE22
import { CERTIFICATE_HEADERS } from '../../identity/certificate/trust.ts'

const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect']
const FORWARDING = ['forwarded', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-original-host', 'front-end-https']
/** Whom other proxies let through: an upstream may believe them. */
const IDENTITIES = ['remote-user', 'x-remote-user', 'proxy']
const OVERRIDES = ['x-original-url', 'x-rewrite-url', 'x-http-method-override', 'x-method-override', 'x-http-method', 'x-original-uri', 'x-original-method', 'x-http-path-override']
/** A proof is made for us alone (RFC 9449); a context token is ours to mint. */
const OURS = ['dpop', 'txn-token']
/** What makes an upstream take a request for another one, or its caller for somebody else; lower case. */
export const MISLEADING: readonly string[] = [...IDENTITIES, ...OVERRIDES, ...OURS, 'authorization']

const DROPPED: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...FORWARDING, ...IDENTITIES, ...OVERRIDES, ...CERTIFICATE_HEADERS, ...OURS, 'host', 'authorization', 'max-forwards', 'http2-settings'])
const DROPPED_PREFIXES = ['narrowgate-', 'x-forwarded-', 'x-ssl-', 'x-tls-client', 'x-envoy-', 'x-auth-request-']

function isDropped(name: string): boolean {
  if (DROPPED.has(name)) return true
  const first = name.charCodeAt(0)
  if (first !== 110 && first !== 120) return false // n, x
  return DROPPED_PREFIXES.some(prefix => name.startsWith(prefix))
}

const SINGLE: ReadonlySet<string> = new Set([
  'host', 'authorization', 'content-length', 'transfer-encoding', 'content-type', 'expect', 'upgrade', 'max-forwards', 'origin', 'access-control-request-method',
])
/** What `readHead` looks at. */
const TELLING: ReadonlySet<string> = new Set([...SINGLE, 'connection', 'keep-alive', 'proxy-connection', 'te', 'via', 'early-data'])
/** What HTTP/2 has no place for (RFC 9113 §8.2.2). */
const OF_CONNECTION: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** An upstream's own way around the gateway (RFC 7838) stays here with what is hop-by-hop. */
const NOT_ANSWERED: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'proxy-authentication-info', 'alt-svc'])
/** What `responseHead` looks at. */
const ANSWERING: ReadonlySet<string> = new Set(['connection', 'transfer-encoding', 'content-length', 'content-type', 'content-encoding', 'cache-control'])
const OF_CORS: ReadonlySet<string> = new Set(['access-control-allow-origin', 'access-control-allow-credentials', 'access-control-allow-methods', 'access-control-allow-headers', 'access-control-max-age'])

/** Framing, routing, credentials, conditions and how an answer is to be read (RFC 9110 §6.5.1): too late in a trailer. */
const TRAILER_NEVER: ReadonlySet<string> = new Set([
  ...SINGLE, ...NOT_ANSWERED, 'content-encoding', 'content-range', 'content-location', 'content-disposition', 'cookie', 'set-cookie', 'cache-control', 'www-authenticate', 'authentication-info', 'dpop', 'via', 'early-data',
  'range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'pragma', 'age', 'date', 'expires', 'location', 'retry-after', 'vary', 'strict-transport-security', ...OF_CORS,
])

/** All that is known of one spelling. */
export type Name = {
  readonly lower: string
  /** As an upstream may read it that makes no difference between a dash and other punctuation. */
  readonly dashed: string
  /** It is a name at all. */
  readonly valid: boolean
  /** An upstream may read it as a header of the gateway's or one that stands once. */
  readonly alias: boolean
  /** Of the gateway's own doing: a caller's copy is dropped unread. */
  readonly dropped: boolean
  /** Stands at most once. */
  readonly single: boolean
  readonly telling: boolean
  readonly ofConnection: boolean
  /** Goes back to the caller. */
  readonly answered: boolean
  readonly answering: boolean
  readonly ofCors: boolean
  readonly trailer: boolean
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const PLAIN = /^[0-9a-z-]+$/

/** A name (lower case) as an upstream may read it that makes no difference between a dash and other punctuation, as CGI does. */
export const dashed = (lower: string): string => (PLAIN.test(lower) ? lower : lower.replace(/[^0-9a-z-]/g, '-'))

function read(spelling: string): Name {
  const lower = spelling.toLowerCase()
  const plain = dashed(lower)
  const dropped = isDropped(plain)
  const ours = plain.startsWith('narrowgate-')
  const single = SINGLE.has(plain) || ours
  const answered = !NOT_ANSWERED.has(lower) && !ours
  return {
    lower, dashed: plain, valid: TOKEN.test(lower), alias: plain !== lower && (dropped || single), dropped, single, telling: TELLING.has(lower), ofConnection: OF_CONNECTION.has(lower),
    answered, answering: ANSWERING.has(lower), ofCors: OF_CORS.has(lower), trailer: TOKEN.test(lower) && answered && !dropped && !TRAILER_NEVER.has(plain),
  }
}

const USUAL = [
  ...DROPPED, ...TELLING, ...NOT_ANSWERED, ...ANSWERING, ...OF_CORS, ...TRAILER_NEVER, 'accept', 'accept-encoding', 'accept-language', 'accept-ranges', 'access-control-expose-headers', 'access-control-request-headers', 'allow', 'content-language',
  'content-security-policy', 'etag', 'grpc-accept-encoding', 'grpc-encoding', 'grpc-message', 'grpc-status', 'grpc-timeout', 'last-event-id', 'last-modified', 'link', 'mcp-protocol-version', 'mcp-session-id', 'priority', 'referer',
  'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-fetch-dest', 'sec-fetch-mode', 'sec-fetch-site', 'sec-websocket-extensions', 'sec-websocket-key', 'sec-websocket-protocol', 'sec-websocket-version', 'server', 'tracestate',
  'traceparent', 'user-agent', 'x-content-type-options', 'x-powered-by', 'x-request-id',
]
const capital = (name: string): string => name.replace(/(?:^|-)[a-z]/g, letters => letters.toUpperCase())
const KNOWN = new Map<string, Name>(USUAL.flatMap(name => [name, capital(name)]).map(spelling => [spelling, read(spelling)]))
/** The usual ones are there from the start, so that a stranger who fills the rest makes nobody else slow. */
const KNOWN_MAX = KNOWN.size + 1_024
const REMEMBERED_LENGTH = 64

export function nameOf(spelling: string): Name {
  const known = KNOWN.get(spelling)
  if (known !== undefined) return known
  const name = read(spelling)
  if (KNOWN.size < KNOWN_MAX && spelling.length <= REMEMBERED_LENGTH) KNOWN.set(spelling, name)
  return name
}

const NOMINABLE_NEVER: ReadonlySet<string> = new Set([
  'host', 'authorization', 'cookie', 'content-length', 'content-type', 'content-encoding', 'via', 'txn-token', 'dpop', 'date', 'range', 'origin', 'max-forwards', 'early-data', 'access-control-request-method',
  ...FORWARDING, ...OVERRIDES, ...CERTIFICATE_HEADERS,
])
/** May a request name it (lower case) in `Connection` and so have it removed? Under no spelling that an upstream may read as another. */
export function isNominable(lower: string): boolean {
  const plain = dashed(lower)
  return !NOMINABLE_NEVER.has(plain) && !DROPPED_PREFIXES.some(prefix => plain.startsWith(prefix))
}

const NONE: readonly string[] = []

/** Trailers that may go on, either way. @param kept names (lower case, with dashes) that stay here besides */
export function endToEndTrailers(trailers: readonly string[], kept: ReadonlySet<string>): readonly string[] {
  if (trailers.length === 0) return NONE
  const passed: string[] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const spelling = trailers[i] ?? ''
    const name = nameOf(spelling)
    if (name.trailer && !kept.has(name.dashed)) passed.push(spelling, trailers[i + 1] ?? '')
  }
  return passed
}
