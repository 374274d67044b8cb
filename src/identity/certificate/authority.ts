// Which client certificates a listener believes, from its CA, bundle and CRL files, and what a handshake has proven of the one that came. OpenSSL
// verifies; whether that is enough is decided here. Errors name listener and file, never the content. SPEC: BND4, BND8, CFG3, CFG10
import { constants, X509Certificate } from 'node:crypto'
import { createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Instant } from '../../core/time.ts'
import { readSecretFile } from '../../runtime/secret-file.ts'
import { type CertificateFault, type CertificateRead, readLeaf, refused, timely } from './client-certificate.ts'
import { pemBlocks, type PemLabel, pemText } from './pem.ts'
import { isVouchedFor, type TrustDomain, type Vouchers } from './vouchers.ts'

/** Longest file read, in bytes: lists of revoked certificates grow. */
const FILE_MAX = 8 * 1024 * 1024

/** Without `rejectUnauthorized`: a caller without a certificate may still have a right, and one with a bad one gets an answer that it can read. */
export type AuthorityOptions = Required<Pick<TlsOptions, 'ca' | 'requestCert' | 'rejectUnauthorized'>> & Pick<TlsOptions, 'crl' | 'secureOptions'>

/** Two of them say the same where their JSON does. */
export type ClientAuthorities = {
  readonly options: AuthorityOptions
  /** Null where everybody may vouch for everything. */
  readonly vouchers: Vouchers | null
}

type AuthorityFiles = {
  readonly caFile: string | null
  /** With it every certificate below a root needs an issuer whose list is here and in force. */
  readonly crlFile: string | null
  /** Empty where SPIFFE ids count like any other name. */
  readonly trustDomains: readonly { readonly name: string; readonly bundleFile: string }[]
}

function works(options: AuthorityOptions): boolean {
  try {
    createSecureContext(options)
    return true
  } catch {
    return false // of every cause it is enough to know which file
  }
}

function authorityIn(der: Buffer): X509Certificate | null {
  try {
    const certificate = new X509Certificate(der)
    return certificate.ca ? certificate : null
  } catch {
    return null // no certificate, so no authority's
  }
}

// Node takes one list from each text, so each block is a text of its own.
const believing = (authorities: readonly X509Certificate[]): AuthorityOptions => ({ ca: authorities.map(({ raw }) => pemText(raw, 'CERTIFICATE')), requestCert: true, rejectUnauthorized: false })

/** @throws Error naming the listener and the file that is wrong */
export async function readAuthority(listener: string, { caFile, crlFile, trustDomains }: AuthorityFiles): Promise<ClientAuthorities> {
  const fail = (problem: string): never => {
    throw new Error(`listener ${listener}: ${problem}`)
  }
  const blocks = async (file: string, label: PemLabel, what: string): Promise<readonly Buffer[]> => {
    const text = await readSecretFile(file, FILE_MAX).catch((error: unknown) => fail(error instanceof Error ? error.message : `${file}: cannot be read`))
    const found = pemBlocks(text, label)
    return found === null || found.length === 0 ? fail(`${file}: does not hold ${what} in PEM, and nothing else`) : found
  }
  const authorities = async (file: string): Promise<readonly X509Certificate[]> => {
    const found = (await blocks(file, 'CERTIFICATE', 'certificates')).map(authorityIn)
    const known = found.filter(one => one !== null)
    if (known.length < found.length) fail(`${file}: certificate ${found.indexOf(null) + 1} is not an authority's`)
    return works(believing(known)) ? known : fail(`${file}: does not hold certificates that can be used`)
  }
  const others = caFile === null ? [] : await authorities(caFile)
  const domains: TrustDomain[] = []
  for (const { name, bundleFile } of trustDomains) domains.push({ name, bundle: await authorities(bundleFile) })
  const vouchers = domains.length === 0 ? null : { domains, others }
  const everybody = believing([...others, ...domains.flatMap(({ bundle }) => bundle)])
  // A session that is resumed does not say by which chain it began.
  const options = vouchers === null ? everybody : { ...everybody, secureOptions: constants.SSL_OP_NO_TICKET }
  if (crlFile === null) return { options, vouchers }
  const revoking = { ...options, crl: (await blocks(crlFile, 'X509 CRL', 'revocation lists')).map(der => pemText(der, 'X509 CRL')) }
  return works(revoking) ? { options: revoking, vouchers } : fail(`${crlFile}: does not hold revocation lists that can be used`)
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

function believed(shown: X509Certificate, vouchers: Vouchers | null): CertificateRead {
  const reading = readLeaf(shown.raw, 'tls')
  if (vouchers === null || reading.is === 'refused') return reading
  return isVouchedFor(shown, reading.certificate.spiffe?.trustDomain ?? null, vouchers) ? reading : refused('unknown_authority')
}

/** What a client proved by the handshake that is now over, by those that it began with; null where it showed no certificate, or resumed a session that carries none. */
export function proveClient(socket: TLSSocket, clients: ClientAuthorities | null): CertificateRead | null {
  const shown = socket.getPeerX509Certificate()
  if (shown === undefined) return null // before `authorized` is asked, which says something only of a certificate that is here
  const reading = socket.authorized ? believed(shown, clients?.vouchers ?? null) : refused(FAULTS.get(codeOf(socket)) ?? 'unverified')
  readings.set(socket, reading)
  return reading
}

/** What `proveClient` found; null where it was not asked. */
export const readingOf = (socket: TLSSocket): CertificateRead | null => readings.get(socket) ?? null

/** The same where it is in force now. */
export function presentedBy(socket: TLSSocket, now: Instant): CertificateRead | null {
  const reading = readingOf(socket)
  return reading === null ? null : timely(reading, now)
}
