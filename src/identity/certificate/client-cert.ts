// `Client-Cert` and `Client-Cert-Chain` (RFC 9440): the leaf as one byte sequence, its issuers as a list of them, in the order of the handshake. Parameters,
// second spellings of base64 and chains that do not lead from the leaf are refused. SPEC: BND4, SES1
import { type CertificateRead, readLeaf, refused } from './client-certificate.ts'
import { base64Bytes } from './pem.ts'
import { readX509 } from './x509.ts'

/** Longest leaf and longest chain read, in characters. */
const LEAF_MAX = 24 * 1024
const CHAIN_TEXT_MAX = 64 * 1024
/** Issuers in a chain. */
const CHAIN_MAX = 10

const BYTES = /^:([A-Za-z0-9+/]+={0,2}):$/

/** The bytes of an RFC 8941 byte sequence in its one form. */
function bytesOf(item: string): Buffer | null {
  const text = BYTES.exec(item)?.[1]
  return text === undefined ? null : base64Bytes(text)
}

/** Does each certificate of the chain carry the name that the one before it gives as its issuer's? */
function leadsFrom(issuer: string | null, items: readonly string[]): boolean | null {
  let expected = issuer
  for (const item of items) {
    const der = bytesOf(item)
    const link = der === null ? null : readX509(der)
    if (link === null) return null
    if (!link.isAuthority || link.subject !== expected) return false
    expected = link.issuer
  }
  return true
}

/**
 * @param lines values of all `Client-Cert` lines of a request that a listed proxy sent; at least one of them or of `chain`
 * @param chain values of all its `Client-Cert-Chain` lines
 */
export function readClientCert(lines: readonly string[], chain: readonly string[]): CertificateRead {
  const [line = ''] = lines
  if (lines.length > 1) return refused('several_headers')
  const list = chain.join(',')
  if (line.length > LEAF_MAX || list.length > CHAIN_TEXT_MAX) return refused('too_long')
  const der = bytesOf(line)
  const read = der === null ? refused('malformed') : readLeaf(der, 'client-cert')
  if (read.is === 'refused' || chain.length === 0) return read
  const items = list.split(',', CHAIN_MAX + 1).map(item => item.replace(/^[ \t]+|[ \t]+$/g, ''))
  if (items.length > CHAIN_MAX) return refused('too_long')
  const leads = leadsFrom(read.certificate.issuer, items)
  if (leads === null) return refused('malformed')
  return leads ? read : refused('disagreeing')
}
