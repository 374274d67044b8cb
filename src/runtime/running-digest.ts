// SHA-256 of bytes as they pass. Keeps none of them.
import { createHash, type Hash } from 'node:crypto'

export class RunningDigest {
  readonly #hash: Hash = createHash('sha256')

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** Base64url, of everything so far. */
  get text(): string { return this.#hash.copy().digest('base64url') }
}
