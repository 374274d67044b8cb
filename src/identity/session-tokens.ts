// Tokens of sessions that brokers open: `ngs_` and 256 random bits, shown once. A session lies under the keyed digest of its token, so that nothing
// that is stored gives the token away, and the token alone finds it. SPEC: SES20
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import type { SessionKey } from '../core/session.ts'
import { sha256 } from '../runtime/id.ts'

/** What every one begins with, and nothing else is taken for. */
export const SESSION_TOKEN = 'ngs_'
const FORM = /^ngs_[A-Za-z0-9_-]{43}$/

/** Of whatever text: does it look like one? */
export const isSessionToken = (text: string): boolean => FORM.test(text)

export class SessionTokens {
  readonly #digestKey: KeyObject

  /** @param digestKey as the identifier's */
  constructor(digestKey: Uint8Array) {
    this.#digestKey = createSecretKey(digestKey)
  }

  /** @param digest base64url SHA-256 of the token */
  keyOf(digest: string): SessionKey {
    return createHmac('sha256', this.#digestKey).update(JSON.stringify(['session token', digest])).digest('base64url') as SessionKey // the other place a digest becomes a session key
  }

  issue(): { readonly token: string; readonly key: SessionKey } {
    const token = SESSION_TOKEN + randomBytes(32).toString('base64url')
    return { token, key: this.keyOf(sha256(token)) }
  }
}
