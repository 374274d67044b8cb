// From an error of node's client to the reason a caller is told. SPEC: WIRE12, WIRE18
import type { UpstreamFault } from '../../upstream/handler.ts'

const RESET: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

export function upstreamFault(error: Error): UpstreamFault {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code.startsWith('HPE_')) return 'upstream_malformed'
  if (code === 'ETIMEDOUT') return 'upstream_timeout'
  return RESET.has(code) ? 'upstream_reset' : 'upstream_unavailable'
}
