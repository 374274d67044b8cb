// The certificate a request's caller showed, whoever brought it here: what it says, and whether one of its kind counts as a client's at all. Never
// whether it is believed: that is what the handshake, or the proxy that forwards it, has proven. SPEC: BND4, SES1
import type { Instant } from '../../core/time.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import { sha256 } from '../../runtime/id.ts'
import { type SpiffeId, spiffeIdOf } from './spiffe-id.ts'
import { CERTIFICATE_MAX, readX509, type X509 } from './x509.ts'

/** From a handshake of our own, or from the header of a listed proxy. */
type CertificateSource = 'tls' | 'xfcc' | 'client-cert'

export type ClientCertificate = {
  /** Base64url SHA-256 of the DER: `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string
  /** RFC 4514 in one form, so that a reordered name is another one; null where a proxy told a digest only. */
  readonly subject: string | null
  readonly issuer: string | null
  /** Upper-case hexadecimal. */
  readonly serial: string | null
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly notBefore: Instant | null
  /** From then on it is expired. */
  readonly notAfter: Instant | null
  /** The one id of an X.509-SVID; null for any other certificate. */
  readonly spiffe: SpiffeId | null
  readonly source: CertificateSource
}

/** What exactly was wrong: for the log and the operator, not for the caller. */
export type CertificateFault =
  // what it says
  | 'malformed' | 'too_long' | 'expired' | 'not_yet_valid' | 'authority_as_leaf' | 'purpose_refused' | 'svid_names' | 'svid_usage'
  // whether the handshake proved it
  | 'unknown_authority' | 'self_signed' | 'chain_refused' | 'signature_invalid' | 'revoked' | 'revocation_unknown' | 'unverified'
  // how it was forwarded
  | 'several_headers' | 'ambiguous' | 'thumbprint_missing' | 'disagreeing'

type CertificateRefused = { readonly is: 'refused'; readonly fault: CertificateFault }
type CertificateShown = { readonly is: 'shown'; readonly certificate: ClientCertificate }
export type CertificateRead = CertificateShown | CertificateRefused

export const refused = (fault: CertificateFault): CertificateRefused => ({ is: 'refused', fault })

/** Certificates remembered; what one says never changes. */
const REMEMBERED = 2_048
const remembered = new BoundedMap<string, CertificateShown>(REMEMBERED)

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const isSpiffe = (uri: string): boolean => /^spiffe:/i.test(uri)

/** The id among alternative names, or why they are those of no workload: an SVID has one URI (X509-SVID §2). */
export function svidOf(uris: readonly string[]): SpiffeId | null | CertificateRefused {
  if (!uris.some(isSpiffe)) return null
  const [uri = ''] = uris
  return (uris.length === 1 ? spiffeIdOf(uri) : null) ?? refused('svid_names')
}

function faultOf({ isAuthority, keyUsage, purposes }: X509, isSvid: boolean): CertificateFault | null {
  if (isAuthority || keyUsage?.signsCertificates === true) return 'authority_as_leaf'
  if (purposes !== null && !purposes.includes(CLIENT_AUTH)) return 'purpose_refused'
  return isSvid && keyUsage?.signs !== true ? 'svid_usage' : null
}

function leafOf(der: Buffer, source: CertificateSource): CertificateRead {
  const read = readX509(der)
  if (read === null) return refused('malformed')
  const svid = svidOf(read.uris)
  const fault = faultOf(read, svid !== null)
  if (fault !== null) return refused(fault)
  if (svid !== null && 'is' in svid) return svid
  const { thumbprint, subject, issuer, serial, uris, dnsNames, notBefore, notAfter } = read
  return { is: 'shown', certificate: { thumbprint, subject, issuer, serial, uris, dnsNames, notBefore, notAfter, spiffe: svid, source } }
}

/** What the DER of a leaf says, whatever the time is. */
export function readLeaf(der: Buffer, source: CertificateSource): CertificateRead {
  if (der.length > CERTIFICATE_MAX) return refused('too_long')
  const id = `${source} ${sha256(der)}`
  const known = remembered.get(id)
  if (known !== undefined) return known
  const answer = leafOf(der, source)
  if (answer.is === 'shown') remembered.set(id, answer)
  return answer
}

/** The same where the certificate is in force now; asked again for each request, for a connection may outlive it. */
export function timely(answer: CertificateRead, now: Instant): CertificateRead {
  if (answer.is === 'refused') return answer
  const { notBefore, notAfter } = answer.certificate
  if (notBefore !== null && now < notBefore) return refused('not_yet_valid')
  return notAfter !== null && now >= notAfter ? refused('expired') : answer
}
