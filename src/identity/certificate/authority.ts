// Which client certificates a listener believes, from its CA and CRL files, and what a handshake has proven of the one that came. OpenSSL verifies;
// whether that is enough is decided here. Errors name listener and file, never the content. SPEC: BND4, CFG3, CFG10
import { X509Certificate } from 'node:crypto'
import { createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Instant } from '../../core/time.ts'
import { readSecretFile } from '../../runtime/secret-file.ts'
import { type CertificateFault, type CertificateRead, readLeaf, refused, timely } from './client-certificate.ts'
import { pemBlocks, type PemLabel, pemText } from './pem.ts'

/** Longest file read, in bytes: lists of revoked certificates grow. */
const FILE_MAX = 8 * 1024 * 1024

/** Without `rejectUnauthorized`: a caller without a certificate may still have a right, and one with a bad one gets an answer that it can read. */
export type AuthorityOptions = Required<Pick<TlsOptions, 'ca' | 'requestCert' | 'rejectUnauthorized'>> & Pick<TlsOptions, 'crl'>

type AuthorityFiles = {
  readonly caFile: string
  /** With it every certificate below a root needs an issuer whose list is here and in force. */
  readonly crlFile: string | null
}

function works(options: AuthorityOptions): boolean {
  try {
    createSecureContext(options)
    return true
  } catch {
    return false // of every cause it is enough to know which file
  }
}

function isAuthority(der: Buffer): boolean {
  try {
    return new X509Certificate(der).ca
  } catch {
    return false // no certificate, so no authority's
  }
}

/** @throws Error naming the listener and the file that is wrong */
export async function readAuthority(listener: string, { caFile, crlFile }: AuthorityFiles): Promise<AuthorityOptions> {
  const fail = (problem: string): never => {
    throw new Error(`listener ${listener}: ${problem}`)
  }
  const blocks = async (file: string, label: PemLabel, what: string): Promise<readonly Buffer[]> => {
    const text = await readSecretFile(file, FILE_MAX).catch((error: unknown) => fail(error instanceof Error ? error.message : `${file}: cannot be read`))
    const found = pemBlocks(text, label)
    return found === null || found.length === 0 ? fail(`${file}: does not hold ${what} in PEM, and nothing else`) : found
  }
  const authorities = await blocks(caFile, 'CERTIFICATE', 'certificates')
  const other = authorities.findIndex(der => !isAuthority(der))
  if (other >= 0) fail(`${caFile}: certificate ${other + 1} is not an authority's`)
  // Node takes one list from each text, so each block is a text of its own.
  const options: AuthorityOptions = { ca: authorities.map(der => pemText(der, 'CERTIFICATE')), requestCert: true, rejectUnauthorized: false }
  if (!works(options)) fail(`${caFile}: does not hold certificates that can be used`)
  if (crlFile === null) return options
  const revoking = { ...options, crl: (await blocks(crlFile, 'X509 CRL', 'revocation lists')).map(der => pemText(der, 'X509 CRL')) }
  return works(revoking) ? revoking : fail(`${crlFile}: does not hold revocation lists that can be used`)
}

/** By OpenSSL's names of what verification found; whatever is not here is `unverified`. */
const FAULTS: ReadonlyMap<string, CertificateFault> = new Map([
  ['CERT_HAS_EXPIRED', 'expired'], ['CERT_NOT_YET_VALID', 'not_yet_valid'], ['CERT_REVOKED', 'revoked'],
  ['UNABLE_TO_GET_CRL', 'revocation_unknown'], ['CRL_HAS_EXPIRED', 'revocation_unknown'], ['CRL_NOT_YET_VALID', 'revocation_unknown'], ['CRL_SIGNATURE_FAILURE', 'revocation_unknown'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'unknown_authority'], ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'unknown_authority'], ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown_authority'],
  ['CERT_UNTRUSTED', 'unknown_authority'], ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self_signed'], ['SELF_SIGNED_CERT_IN_CHAIN', 'unknown_authority'],
  ['CERT_SIGNATURE_FAILURE', 'signature_invalid'], ['INVALID_PURPOSE', 'purpose_refused'],
  ['INVALID_CA', 'chain_refused'], ['PATH_LENGTH_EXCEEDED', 'chain_refused'], ['CERT_CHAIN_TOO_LONG', 'chain_refused'],
])

/** Node sets the code, whatever its types say. */
function codeOf({ authorizationError: error }: TLSSocket): string {
  const found: unknown = error
  if (typeof found === 'string') return found
  return found instanceof Error && 'code' in found ? String(found.code) : ''
}

/** The reading of each connection's certificate: a handshake is over once, and nobody renegotiates (OpenSSL 3 does not let a client). */
const readings = new WeakMap<TLSSocket, CertificateRead>()

/** What the client of a connection proved by its handshake; null where it showed no certificate, or resumed a session that carries none. */
export function readingOf(socket: TLSSocket): CertificateRead | null {
  const known = readings.get(socket)
  if (known !== undefined) return known
  const shown = socket.getPeerX509Certificate()
  if (shown === undefined) return null // before `authorized` is asked, which says something only of a certificate that is here
  const reading = socket.authorized ? readLeaf(shown.raw, 'tls') : refused(FAULTS.get(codeOf(socket)) ?? 'unverified')
  readings.set(socket, reading)
  return reading
}

/** What the client of a connection proved; null where it showed no certificate, or resumed a session that carries none. */
export function presentedBy(socket: TLSSocket, now: Instant): CertificateRead | null {
  const reading = readingOf(socket)
  return reading === null ? null : timely(reading, now)
}
