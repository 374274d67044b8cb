// Who may ask for decisions: by the one bearer token or client certificate that is theirs. Whoever fits none, or more than one, is nobody. SPEC: PDP1
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { PdpServed, PepSettings } from '../config/compile/decisions.ts'
import type { Instant } from '../core/time.ts'
import { presentedBy } from '../identity/certificate/authority.ts'
import { MtlsProvider } from '../identity/mtls.ts'
import { sha256 } from '../runtime/id.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { Pace } from './pace.ts'

/** One who may ask, and how many more decisions it may have now. */
export type Pep = { readonly settings: PepSettings; readonly pace: Pace }

const TOKEN = /^[\x21-\x7e]{32,4096}$/
const BEARER = /^Bearer +([\x21-\x7e]{1,4096})$/i

/** @throws Error naming the file, never the content */
async function tokenIn(file: string): Promise<string> {
  const token = (await readSecretFile(file)).replace(/\r?\n$/, '')
  if (!TOKEN.test(token)) throw new Error(`${file}: does not hold a token of 32 to 4096 visible characters, and nothing else`)
  return token
}

export class Peps {
  /** By the digest of the token. */
  readonly #tokens = new Map<string, Pep>()
  readonly #certificates: { readonly provider: MtlsProvider; readonly pep: Pep }[] = []

  /** @throws Error naming the file that is wrong */
  static async open({ peps, perSecond }: PdpServed): Promise<Peps> {
    const opened = new Peps()
    for (const settings of peps) await opened.#add({ settings, pace: new Pace(perSecond) })
    return opened
  }

  /** `none` where nothing was shown, null for nobody. A certificate is asked about only where no `Authorization` is there. */
  known({ headersDistinct, socket }: Pick<IncomingMessage, 'headersDistinct' | 'socket'>, now: Instant): Pep | 'none' | null {
    const [shown, other] = headersDistinct['authorization'] ?? []
    if (shown === undefined) return this.#certified(socket, now)
    const [, token] = BEARER.exec(shown) ?? []
    return other !== undefined || token === undefined ? null : (this.#tokens.get(sha256(token)) ?? null)
  }

  async #add(pep: Pep): Promise<void> {
    const { name, by } = pep.settings
    if (by.is === 'certificate') return void this.#certificates.push({ provider: new MtlsProvider(by.provider, ''), pep })
    const digest = sha256(await tokenIn(by.file))
    const same = this.#tokens.get(digest)
    if (same !== undefined) throw new Error(`${by.file}: '${name}' and '${same.settings.name}' have the same token`)
    this.#tokens.set(digest, pep)
  }

  #certified(socket: IncomingMessage['socket'], now: Instant): Pep | 'none' | null {
    const shown = socket instanceof TLSSocket ? presentedBy(socket, now) : null
    if (shown === null) return 'none'
    if (shown.is === 'refused') return null
    const [one, other] = this.#certificates.filter(({ provider }) => provider.prove(shown.certificate).is === 'proven')
    return one === undefined || other !== undefined ? null : one.pep
  }
}
