// Signs security event tokens (RFC 8417) as their issuer: RS256, under `typ: secevent+jwt`, with a key of its own that signs nothing else. Says nothing of
// what they say. SPEC: TRM3
import { calculateJwkThumbprint, exportJWK, exportPKCS8, generateKeyPair, importPKCS8, type JWK, SignJWT } from 'jose'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readSecretFile, SecretFileError } from '../runtime/secret-file.ts'

const RSA_BITS_MIN = 2048

function isStrongRsa(pem: string): boolean {
  try {
    if (!pem.includes('-----BEGIN PRIVATE KEY-----')) return false
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(pem)
    return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS_MIN
  } catch {
    return false // no key at all, or one with a passphrase
  }
}

/** PKCS#8 text. @throws SecretFileError when the file cannot be read or holds no such key */
export async function readEventKey(file: string): Promise<string> {
  const pem = await readSecretFile(file)
  if (!isStrongRsa(pem)) throw new SecretFileError(file, `is not an RSA private key of ${RSA_BITS_MIN} bits or more in PEM (PKCS#8, without a passphrase)`)
  return pem
}

export async function newEventKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256', { modulusLength: RSA_BITS_MIN, extractable: true })
  return exportPKCS8(privateKey)
}

export class EventSigner {
  readonly #key: CryptoKey
  readonly #jwk: JWK & { readonly kid: string }

  private constructor(key: CryptoKey, jwk: JWK & { readonly kid: string }) {
    this.#key = key
    this.#jwk = jwk
  }

  /** @param pem PKCS#8 of an RSA key */
  static async open(pem: string): Promise<EventSigner> {
    const jwk = await exportJWK(createPublicKey(pem))
    return new EventSigner(await importPKCS8(pem, 'RS256'), { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'RS256', use: 'sig' })
  }

  get jwks(): { readonly keys: readonly JWK[] } { return { keys: [this.#jwk] } }

  /** As a compact JWS. @param claims as they are signed; none is added */
  sign(claims: { readonly [name: string]: unknown }): Promise<string> {
    return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'RS256', typ: 'secevent+jwt', kid: this.#jwk.kid }).sign(this.#key)
  }
}
