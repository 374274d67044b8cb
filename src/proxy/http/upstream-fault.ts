// From an undici or socket error to the reason a caller is told. SPEC: WIRE12
import type { Reason } from '../../core/reason.ts'

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '')

export function upstreamFault(error: Error): Extract<Reason, `upstream_${string}`> {
  const code = codeOf(error)
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'upstream_timeout'
  if (code.startsWith('HPE_') || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || code === 'UND_ERR_HEADERS_OVERFLOW' || error.name === 'HTTPParserError') return 'upstream_malformed'
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET') return 'upstream_reset'
  return 'upstream_unavailable'
}
