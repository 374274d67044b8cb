// Which inbound headers never go upstream, which may stand only once, and which a request may not nominate away. SPEC: WIRE3-WIRE6
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect']
const FORWARDING = ['forwarded', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-original-host']
const OVERRIDES = ['x-original-url', 'x-rewrite-url', 'x-http-method-override', 'x-method-override', 'x-http-method']
const CERTIFICATES = ['client-cert', 'client-cert-chain', 'x-arr-clientcert', 'x-client-cert', 'x-client-certificate', 'ssl-client-cert', 'ssl-client-verify']
const MINTED = ['txn-token']

const DROPPED: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...FORWARDING, ...OVERRIDES, ...CERTIFICATES, ...MINTED, 'host', 'authorization', 'via', 'max-forwards', 'http2-settings'])
const DROPPED_PREFIXES = ['narrowgate-', 'x-forwarded-', 'x-ssl-', 'x-tls-client', 'x-envoy-']

/** Is this header (lower case) of the gateway's own doing, so that a caller's copy is dropped unread? */
export function isDropped(name: string): boolean {
  if (DROPPED.has(name)) return true
  const first = name.charCodeAt(0)
  if (first !== 110 && first !== 120) return false // n, x
  return DROPPED_PREFIXES.some(prefix => name.startsWith(prefix))
}

export const RESPONSE_HOP_BY_HOP: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'proxy-authentication-info'])

const SINGLE: ReadonlySet<string> = new Set(['host', 'authorization', 'content-length', 'transfer-encoding', 'content-type', 'expect', 'upgrade'])
/** Must it stand at most once? */
export const isSingle = (name: string): boolean => SINGLE.has(name) || name.startsWith('narrowgate-')

const NOMINABLE_NEVER: ReadonlySet<string> = new Set([
  'host', 'authorization', 'cookie', 'content-length', 'content-type', 'content-encoding', 'via', 'txn-token', 'dpop', 'date', 'range', 'origin',
  ...FORWARDING, ...OVERRIDES, ...CERTIFICATES,
])
/** May a request name it in `Connection` and so have it removed? */
export const isNominable = (name: string): boolean => !NOMINABLE_NEVER.has(name) && !DROPPED_PREFIXES.some(prefix => name.startsWith(prefix))

const TRAILER_NEVER: ReadonlySet<string> = new Set(['content-length', 'content-encoding', 'content-type', 'content-range', 'authorization', 'set-cookie', 'host', 'cache-control', 'www-authenticate'])
export const isTrailerAllowed = (name: string): boolean => !TRAILER_NEVER.has(name) && !RESPONSE_HOP_BY_HOP.has(name) && !name.startsWith('narrowgate-')
