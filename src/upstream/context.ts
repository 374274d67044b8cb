// What the upstream learns of a request's standing: a short signed JWT naming session, subject, elevation, purpose and scope, and where its trust domain
// wants one a Txn-Token beside it. The caller's own credential never goes there. Minted once per session life, grant, stamp and upstream, used for half
// its life, and never good for longer than what it speaks of. SPEC: WIRE13, CTX1-CTX4
import { SignJWT } from 'jose'
import type { TransactionSettings } from '../config/compile/upstream-identity.ts'
import { grantName } from '../core/decision.ts'
import { earlier, type Instant, instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'
import { type About, contextClaims, subjectOf, transactionClaims } from './claims.ts'
import type { ContextKeys } from './context-keys.ts'
import type { PublicKey, SigningKey } from './signing-key.ts'

/** Seconds a minted token lives at most; it is reused for the first half of them. */
const CONTEXT_LIFE = 30
const CACHED = 50_000
/** Tokens past their end that make way for each new one: twice as many go as come, until none is left. */
const CLEARED = 2
/** Longest way from a request's gathering to its dispatch, in milliseconds. */
const GRACE = 12_000

type Token = { readonly text: string; /** Its `exp`. */ readonly end: Instant }
type Minted = {
  readonly context: Token
  /** null where its upstream takes none; it ends no earlier than the context. */
  readonly transaction: (Token & { readonly settings: TransactionSettings }) | null
  readonly usedUntil: Instant
  readonly version: number
}
type Written = { readonly type: string; readonly audience: string; readonly life: number; readonly claims: { readonly [name: string]: unknown } }

const nameOf = ({ session, grant, upstream, transaction }: About): string => {
  const name = `${session.id} ${grantName(grant)} ${upstream}`
  return transaction === null ? name : `${name} ${transaction.source} ${transaction.scope ?? ''}`
}

export class ContextMinter {
  readonly #keys: ContextKeys
  readonly #issuer: string
  readonly #clock: Clock
  readonly #minted = new BoundedMap<string, Minted>(CACHED)

  constructor(keys: ContextKeys, issuer: string, clock: Clock) {
    this.#keys = keys
    this.#issuer = issuer
    this.#clock = clock
  }

  /** Tokens kept. */
  get size(): number { return this.#minted.size }

  get jwks(): { readonly keys: readonly PublicKey[] } { return { keys: this.#keys.published } }

  /** What signs now. */
  get key(): SigningKey { return this.#keys.signing }

  /** Need none be minted for a request that is let go soon? */
  isReady(about: About): boolean {
    const minted = this.#found(about)
    return minted !== null && minted.version === about.session.version && minted.usedUntil > this.#clock.now()
  }

  /** For a request that is let go now, a little longer than `isReady`: what was ready when it was asked for must not be missing a moment later. Null where there is none. */
  ready(about: About): string | null { return this.#readyNow(about)?.context.text ?? null }

  /** The Txn-Token that was minted with it, asked for in the same turn. */
  transaction(about: About): string | null { return this.#found(about)?.transaction?.text ?? null }

  async mint(about: About): Promise<void> {
    await this.#keys.fresh()
    const { session, upstream, until, transaction } = about
    const now = this.#clock.now()
    const context = await this.#signed(about, now, { type: 'narrowgate-context+jwt', audience: upstream, life: CONTEXT_LIFE, claims: contextClaims(about) })
    const beside = transaction === null ? null : await this.#signed(about, now, { type: 'txntoken+jwt', audience: transaction.settings.audience, life: transaction.settings.life / 1000, claims: transactionClaims(about, transaction, this.#issuer) })
    for (let i = 0; i < CLEARED && this.#minted.deleteOldestIf(({ context: { end } }) => end <= now); i++);
    this.#minted.set(nameOf(about), {
      context, transaction: transaction === null || beside === null ? null : { ...beside, settings: transaction.settings },
      usedUntil: earlier(instant(now + (CONTEXT_LIFE * 1000) / 2), until), version: session.version,
    })
  }

  /** What there is for it: nothing that outlives it, nothing made under other settings. */
  #found(about: About): Minted | null {
    const minted = this.#minted.get(nameOf(about))
    if (minted === undefined || minted.context.end > about.until) return null
    if (about.transaction === null) return minted
    const { transaction } = minted
    return transaction !== null && transaction.settings === about.transaction.settings && transaction.end <= about.until ? minted : null
  }

  #readyNow(about: About): Minted | null {
    const minted = this.#found(about)
    return minted !== null && Math.min(minted.context.end, minted.usedUntil + GRACE) > this.#clock.now() ? minted : null
  }

  /** @returns it with its end: not after the grant, and in its last moments not before it */
  async #signed({ session, until }: About, now: Instant, { type, audience, life, claims }: Written): Promise<Token> {
    const issued = Math.floor(now / 1000)
    const [last, whole] = [until / 1000, Math.floor(until / 1000)]
    const expires = Math.min(issued + life, whole * 1000 > now + 1000 ? whole : last)
    const { id, secret } = this.#keys.signing
    const text = await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: type, kid: id })
      .setIssuer(this.#issuer).setSubject(subjectOf(session)).setAudience(audience)
      .setIssuedAt(issued).setExpirationTime(expires)
      .sign(secret)
    return { text, end: instant(expires * 1000) }
  }
}
