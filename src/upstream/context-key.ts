// The key that signs Narrowgate-Context, where an operator gives one. Errors name the file, never the content. SPEC: WIRE13
import { createPrivateKey } from 'node:crypto'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'

function isEd25519(pem: string): boolean {
  try {
    return pem.includes('-----BEGIN PRIVATE KEY-----') && createPrivateKey(pem).asymmetricKeyType === 'ed25519'
  } catch {
    return false // no key at all, or one with a passphrase
  }
}

/** PKCS#8 text. @throws SecretFileError when the file cannot be read or holds no such key */
export async function readContextKey(file: string): Promise<string> {
  const pem = await readSecretFile(file)
  if (!isEd25519(pem)) throw new SecretFileError(file, 'is not an Ed25519 private key in PEM (PKCS#8, without a passphrase)')
  return pem
}
