// The certificate of a listener, read from its files and tried before anything uses it, and the hosts it speaks for. Errors name listener and file,
// never the content. SPEC: CFG3, CFG10, WIRE22
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ListenerSettings } from '../config/settings.ts'
import { type ClientAuthorities, readAuthority } from '../identity/certificate/authority.ts'
import { readSecretFile } from '../runtime/secret-file.ts'

/** PEM texts that belong together. */
export type Certificate = {
  readonly cert: string
  readonly key: string
  /** Whose certificates clients may show; null where they are not asked for one. */
  readonly clients: ClientAuthorities | null
}

function works(options: SecureContextOptions): boolean {
  try {
    createSecureContext(options)
    return true
  } catch {
    return false // of every cause it is enough to know which file
  }
}

/** Null for a listener without TLS. @throws Error naming the listener and the file that is wrong */
export async function readCertificate({ name, tls }: ListenerSettings): Promise<Certificate | null> {
  if (tls === null) return null
  const fail = (problem: string): never => {
    throw new Error(`listener ${name}: ${problem}`)
  }
  const read = (file: string): Promise<string> => readSecretFile(file).catch((error: unknown) => fail(error instanceof Error ? error.message : `${file}: cannot be read`))
  const [cert, key] = [await read(tls.certFile), await read(tls.keyFile)]
  if (!works({ cert })) fail(`${tls.certFile}: is not a certificate in PEM`)
  if (!works({ key })) fail(`${tls.keyFile}: is not a private key in PEM without a passphrase`)
  if (!works({ cert, key })) fail(`${tls.keyFile}: is not the key of ${tls.certFile}`)
  return { cert, key, clients: tls.clients === null ? null : await readAuthority(name, tls.clients) }
}

/** What a certificate is good for: its alternative names, wildcards of one label and addresses; never its common name. */
export class CertificateNames {
  readonly #certificate: X509Certificate

  constructor({ cert }: Certificate) {
    this.#certificate = new X509Certificate(cert)
  }

  /** @param host lower case, without a port; IPv6 in brackets or without */
  cover(host: string): boolean {
    const bare = host.startsWith('[') ? host.slice(1, -1) : host
    return (isIP(bare) === 0 ? this.#certificate.checkHost(bare, { subject: 'never' }) : this.#certificate.checkIP(bare)) !== undefined
  }
}
