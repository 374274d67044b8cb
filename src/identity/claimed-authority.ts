// Whose word a credential says it is, before anything is verified: it chooses who is asked and proves nothing.
// SPEC: SES10, SES15
import { spiffeIdOf } from './certificate/spiffe-id.ts'
import { headerBytes, isCompact, payloadBytes, readPart } from './jwt-shape.ts'

/** The issuer under which JWT-SVIDs of a trust domain are known: they need no `iss`. */
export const authorityOf = (trustDomain: string): string => `spiffe://${trustDomain}`

/** Three parts, the first of which is a JSON object: an opaque token may hold two dots as well. */
export const isJwt = (text: string): boolean => isCompact(text) && readPart(headerBytes(text)).is !== 'none'

/** Null for what is no JWT; else its `iss`, or of a JWT without any the trust domain of the SPIFFE id it names, or empty. */
export function claimedAuthority(text: string): string | null {
  if (!isJwt(text)) return null
  const payload = readPart(payloadBytes(text))
  if (payload.is !== 'object') return ''
  const { value } = payload
  if (Object.hasOwn(value, 'iss')) return typeof value['iss'] === 'string' ? value['iss'] : ''
  const id = Object.hasOwn(value, 'sub') && typeof value['sub'] === 'string' ? spiffeIdOf(value['sub']) : null
  return id === null ? '' : authorityOf(id.trustDomain)
}
