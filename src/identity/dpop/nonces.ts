// Server nonces for DPoP proofs (RFC 9449 §9) that every gateway of a data set makes and knows without asking another: a digest of the time slot
// and a counter under a key of their own. Raising the counter makes every earlier nonce, and so every proof made with one, useless at once.
// A timed one tells besides when it was handed out: a proof that holds it was made later. SPEC: BND2, STU3
import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Duration, type Instant, instant } from '../../core/time.ts'
import { hmac } from '../../runtime/id.ts'

/** Characters of a nonce: base64url HMAC-SHA-256. */
const LENGTH = 43

/** A timed nonce: when it was made, in base 36, and its digest. */
const TIMED = /^([0-9a-z]{1,11})\.([\w-]{43})$/

const isSame = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(a), Buffer.from(b))

const checkedEpoch = (epoch: number): number => {
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new RangeError(`the counter of nonces is a whole number from 0, not ${epoch}`)
  return epoch
}

export class Nonces {
  readonly #key: Uint8Array
  readonly #slot: Duration
  #epoch: number
  #at = Number.NaN
  #present = ''
  #previous = ''

  /** `digestKey` and `epoch` are the data set's; a nonce lives at least one `slot` and at most two. */
  constructor(digestKey: Uint8Array, slot: Duration, epoch: number) {
    if (digestKey.byteLength < 32) throw new RangeError('the digest key has at least 32 bytes')
    if (!(slot >= 1_000)) throw new RangeError('a slot of nonces lasts at least a second')
    this.#key = createHmac('sha256', digestKey).update('narrowgate dpop nonce').digest()
    this.#slot = slot
    this.#epoch = checkedEpoch(epoch)
  }

  /** A lower counter than the one in force changes nothing: no nonce comes back. */
  rotate(epoch: number): void {
    if (checkedEpoch(epoch) <= this.#epoch) return
    this.#epoch = epoch
    this.#at = Number.NaN
  }

  /** What goes out in `DPoP-Nonce`. */
  current(now: Instant): string {
    this.#settle(now)
    return this.#present
  }

  /** Of the present slot or the one before? A function of its own, so that it can be handed on. */
  readonly accepts = (nonce: string, now: Instant): boolean => {
    if (nonce.includes('.')) return this.handedOutAt(nonce, now) !== null
    const shown = Buffer.from(nonce.length === LENGTH ? nonce : '')
    if (shown.length !== LENGTH) return false
    this.#settle(now)
    const isPresent = timingSafeEqual(shown, Buffer.from(this.#present))
    const isPrevious = timingSafeEqual(shown, Buffer.from(this.#previous))
    return isPresent || isPrevious
  }

  /** One that nobody could know before now; lives two slots. */
  timed(now: Instant): string {
    const at = Math.floor(now).toString(36)
    return `${at}.${this.#digest(`at.${at}`)}`
  }

  /** When a timed nonce of ours was handed out; null for any other, and for one that is over. */
  handedOutAt(nonce: string, now: Instant): Instant | null {
    const [, text = '', digest = ''] = TIMED.exec(nonce) ?? []
    if (digest === '' || !isSame(digest, this.#digest(`at.${text}`))) return null
    const at = Number.parseInt(text, 36)
    return at > now - 2 * this.#slot ? instant(at) : null
  }

  #settle(now: Instant): void {
    const at = Math.floor(now / this.#slot)
    if (at === this.#at) return
    this.#at = at
    this.#present = this.#of(at)
    this.#previous = this.#of(at - 1)
  }

  #of(slot: number): string { return this.#digest(String(slot)) }

  #digest(what: string): string { return hmac(this.#key, `${this.#epoch}.${what}`) }
}
