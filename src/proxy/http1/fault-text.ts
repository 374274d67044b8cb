// The whole answer to what is no request, or none any more: a problem for whoever reads it, with nothing of the inside. SPEC: WIRE3, WIRE8
import { type Reason, REASONS } from '../../core/reason.ts'
import { statusLine } from './response-text.ts'

export function faultText(reason: Reason): string {
  const { status, says } = REASONS[reason]
  const body = JSON.stringify({ type: `urn:narrowgate:reason:${reason}`, title: reason.replaceAll('_', ' '), status, detail: says, reason })
  const text = Buffer.from(body).toString('latin1')
  return `${statusLine(status, '') ?? ''}Content-Type: application/problem+json\r\nContent-Length: ${text.length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${text}`
}
