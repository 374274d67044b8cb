// Our key in a file of the operator's, read again when it changes: another one is published at once and signs a while later, and the one before stays
// published until nothing stands on it. A file that cannot be read any more changes nothing. SPEC: CTX6
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { readContextKey } from './context-key.ts'
import { type ContextKeys, FILE_LOOK, Looking } from './context-keys.ts'
import { KeyRing } from './key-ring.ts'
import { type PublicKey, type SigningKey, signingKeyOf } from './signing-key.ts'

type Files = { readonly keyFile: string; /** Of a key that is published and never signs. */ readonly previousKeyFile: string | null }
type Ports = { readonly clock: Clock; readonly log: Log }

export class FileKeys implements ContextKeys {
  readonly #files: Files
  readonly #ports: Ports
  readonly #ring: KeyRing
  readonly #looking: Looking
  #signingPem: string
  #previous: PublicKey | null

  /** @internal use `open` */
  constructor(files: Files, ports: Ports, pem: string, previous: string | null) {
    this.#files = files
    this.#ports = ports
    this.#signingPem = pem
    this.#ring = new KeyRing({ key: signingKeyOf(pem), since: ports.clock.now() })
    this.#previous = previous === null ? null : signingKeyOf(previous).public
    this.#looking = new Looking(FILE_LOOK, () => this.look(), error => ports.log.error({ error: String(error) }, 'the key of Narrowgate-Context could not be read again; the one in use stays'))
  }

  /** @throws SecretFileError when a file cannot be read or holds no such key */
  static async open(files: Files, ports: Ports): Promise<FileKeys> {
    return new FileKeys(files, ports, await readContextKey(files.keyFile), files.previousKeyFile === null ? null : await readContextKey(files.previousKeyFile))
  }

  get signing(): SigningKey { return this.#ring.signing(this.#ports.clock.now()) }

  get published(): readonly PublicKey[] {
    const keys = this.#ring.published(this.#ports.clock.now())
    const previous = this.#previous
    return previous === null || keys.some(({ kid }) => kid === previous.kid) ? keys : [...keys, previous]
  }

  /** Nobody else changes what is in the file. */
  fresh(): Promise<void> { return Promise.resolve() }
  named(): Promise<void> { return Promise.resolve() }
  stop(): void { this.#looking.stop() }

  /** @throws SecretFileError */
  async look(): Promise<void> {
    const { clock, log } = this.#ports
    const now = clock.now()
    const pem = await readContextKey(this.#files.keyFile)
    if (pem !== this.#signingPem) {
      const key = signingKeyOf(pem)
      this.#ring.add({ key, since: now })
      this.#signingPem = pem
      log.info({ kid: key.id }, 'another key will sign Narrowgate-Context; it is published already')
    }
    if (this.#files.previousKeyFile !== null) this.#previous = signingKeyOf(await readContextKey(this.#files.previousKeyFile)).public
    this.#ring.clear(now)
  }
}
