// Seals small texts for a place that may neither read nor change them: AES-256-GCM under a key that HKDF (RFC 5869) makes of a secret. Whoever has the secret
// can open them; what is said about a text is bound to it.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { sha256 } from './id.ts'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Of the digest of a key: enough to tell a few apart, and nothing to find one by. */
const NAME_LENGTH = 8

export class Seal {
  /** Tells keys apart. */
  readonly name: string
  readonly #key: Uint8Array

  /** @param purpose what the key is for: the same secret makes another key for another purpose */
  constructor(secret: string, purpose: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', purpose, KEY_BYTES))
    this.name = sha256(Buffer.concat([Buffer.from('name of '), this.#key])).slice(0, NAME_LENGTH)
  }

  /** Base64url. */
  seal(text: string, about: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(about))
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')
  }

  /** null where it was sealed with another key, or is about something else, or is not as it was. */
  open(sealed: string, about: string): string | null {
    const bytes = Buffer.from(sealed, 'base64url')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return null
    const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES }).setAAD(Buffer.from(about))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      return null // the tag does not fit
    }
  }
}
