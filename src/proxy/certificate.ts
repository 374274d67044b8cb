// The certificate of a listener, read from its files and tried before anything uses it. Errors name listener and file, never the content.
// SPEC: CFG3, CFG10
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ListenerSettings } from '../config/settings.ts'
import { readSecretFile } from '../runtime/secret-file.ts'

/** PEM texts that belong together. */
export type Certificate = { readonly cert: string; readonly key: string }

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
  return { cert, key }
}
