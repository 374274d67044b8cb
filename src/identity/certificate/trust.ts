// Whether a forwarded certificate counts: only from a listed proxy, only in the one form that the operator says it writes (it may pass on a caller's
// header of the other form), on plain connections and TLS alike. SPEC: BND4, WIRE5
import type { Instant } from '../../core/time.ts'
import type { Presented } from '../credential.ts'
import { readClientCert } from './client-cert.ts'
import { type CertificateRead, timely } from './client-certificate.ts'
import { readXfcc } from './xfcc.ts'

export type ForwardedForm = 'xfcc' | 'client-cert'

const XFCC = 'x-forwarded-client-cert'
const LEAF = 'client-cert'
const CHAIN = 'client-cert-chain'

/** Headers by which proxies tell of certificates, lower case: no inbound one goes on, from whomever. */
export const CERTIFICATE_HEADERS: readonly string[] = [
  XFCC, LEAF, CHAIN, 'x-arr-clientcert', 'x-client-cert', 'x-client-certificate', 'x-forwarded-tls-client-cert', 'x-forwarded-tls-client-cert-info',
  'ssl-client-cert', 'ssl-client-verify', 'ssl-client-subject-dn', 'ssl-client-issuer-dn', 'ssl-client-s-dn', 'ssl-client-i-dn', 'ssl-client-serial', 'ssl-client-fingerprint',
  'x-client-cert-present', 'x-client-cert-chain-verified', 'x-client-cert-error', 'x-client-cert-hash', 'x-client-cert-serial-number', 'x-client-cert-spiffe',
  'x-client-cert-uri-sans', 'x-client-cert-dnsname-sans', 'x-client-cert-valid-not-before', 'x-client-cert-valid-not-after', 'x-client-cert-issuer-dn', 'x-client-cert-subject-dn',
  'x-client-cert-leaf', 'x-client-cert-chain',
  'x-amzn-mtls-clientcert', 'x-amzn-mtls-clientcert-serial-number', 'x-amzn-mtls-clientcert-issuer', 'x-amzn-mtls-clientcert-subject', 'x-amzn-mtls-clientcert-validity', 'x-amzn-mtls-clientcert-leaf',
  'cf-client-cert-der-base64', 'cf-client-cert-sha256',
]

const valuesOf = (presented: readonly Presented[], name: string): readonly string[] => presented.filter(({ header }) => header === name).map(({ value }) => value)

/**
 * The certificate of the proxy's caller; null where none was told or nobody is asked.
 * @param presented all lines of the headers named in `CERTIFICATE_HEADERS`, at least those of `form`
 * @param listed is the peer of the connection one of the proxies that are believed?
 */
export function forwardedCertificate(presented: readonly Presented[], listed: boolean, form: ForwardedForm, now: Instant): CertificateRead | null {
  if (!listed) return null
  const lines = valuesOf(presented, form === 'xfcc' ? XFCC : LEAF)
  const chain = form === 'xfcc' ? [] : valuesOf(presented, CHAIN)
  if (lines.length === 0 && chain.length === 0) return null
  return timely(form === 'xfcc' ? readXfcc(lines) : readClientCert(lines, chain), now)
}
