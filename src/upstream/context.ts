// What the upstream learns of a request's standing: a short signed JWT naming session, subject, elevation, purpose and scope. The caller's own
// credential never goes there. Minted once per session life, grant, stamp and upstream, used for half its life, and never good for longer than what
// it speaks of. SPEC: WIRE13
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, type JWK, SignJWT, calculateJwkThumbprint } from 'jose'
import { createPublicKey } from 'node:crypto'
import type { Grant } from '../core/decision.ts'
import { grantName } from '../core/decision.ts'
import type { Session } from '../core/session.ts'
import { earlier, type Instant, instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'

/** Seconds a minted token lives at most; it is reused for the first half of them. */
const CONTEXT_LIFE = 30
const CACHED = 50_000
/** Tokens past their end that make way for each new one: twice as many go as come, until none is left. */
const CLEARED = 2
/** Longest way from a request's gathering to its dispatch, in milliseconds. */
const GRACE = 12_000

type Minted = { readonly token: string; readonly usedUntil: Instant; /** Its `exp`. */ readonly end: Instant; readonly version: number }

/** `until`: when the permit ends without any message, and with it what the token says. */
export type About = { readonly session: Session; readonly grant: Grant; readonly upstream: string; readonly until: Instant }

const nameOf = ({ session, grant, upstream }: About): string => `${session.id} ${grantName(grant)} ${upstream}`

export class ContextMinter {
  readonly #key: CryptoKey
  readonly #jwk: JWK
  readonly #issuer: string
  readonly #clock: Clock
  readonly #minted = new BoundedMap<string, Minted>(CACHED)

  /** @internal use `open` */
  constructor(key: CryptoKey, jwk: JWK, issuer: string, clock: Clock) {
    this.#key = key
    this.#jwk = jwk
    this.#issuer = issuer
    this.#clock = clock
  }

  /** @param pem PKCS#8 of an Ed25519 key */
  static async open(pem: string, issuer: string, clock: Clock): Promise<ContextMinter> {
    const key = await importPKCS8(pem, 'EdDSA')
    const jwk = await exportJWK(createPublicKey(pem))
    return new ContextMinter(key, { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'EdDSA', use: 'sig' }, issuer, clock)
  }

  static async newKey(): Promise<string> {
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
    return exportPKCS8(privateKey)
  }

  /** Tokens kept. */
  get size(): number { return this.#minted.size }

  get jwks(): { readonly keys: readonly JWK[] } { return { keys: [this.#jwk] } }

  /** Need none be minted for a request that is let go soon? */
  isReady(about: About): boolean {
    const minted = this.#minted.get(nameOf(about))
    return minted !== undefined && minted.version === about.session.version && minted.end <= about.until && minted.usedUntil > this.#clock.now()
  }

  /** For a request that is let go now, a little longer than `isReady`: what was ready when it was asked for must not be missing a moment later. Null where there is none. */
  ready(about: About): string | null {
    const minted = this.#minted.get(nameOf(about))
    if (minted === undefined || minted.end > about.until) return null
    return Math.min(minted.end, minted.usedUntil + GRACE) > this.#clock.now() ? minted.token : null
  }

  async mint(about: About): Promise<void> {
    const { session, grant, upstream, until } = about
    const now = this.#clock.now()
    const elevation = grant.is === 'elevation' ? { elevation: grant.elevation.id, profile: grant.elevation.profile, purpose: grant.elevation.purposes } : {}
    const issued = Math.floor(now / 1000)
    const [last, whole] = [until / 1000, Math.floor(until / 1000)]
    const expires = Math.min(issued + CONTEXT_LIFE, whole * 1000 > now + 1000 ? whole : last) // not after the grant, and in its last moments not before it
    const token = await new SignJWT({ sid: session.id, tenant: session.principal.tenant, client: session.principal.client, grant: grantName(grant), ...elevation, ...scopeClaim(grant) })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'narrowgate-context+jwt', ...(this.#jwk.kid === undefined ? {} : { kid: this.#jwk.kid }) })
      .setIssuer(this.#issuer).setSubject(`${session.principal.issuer}|${session.principal.subject}`).setAudience(upstream)
      .setIssuedAt(issued).setExpirationTime(expires)
      .sign(this.#key)
    for (let i = 0; i < CLEARED && this.#minted.deleteOldestIf(({ end }) => end <= now); i++);
    this.#minted.set(nameOf(about), { token, usedUntil: earlier(instant(now + (CONTEXT_LIFE * 1000) / 2), until), end: instant(expires * 1000), version: session.version })
  }
}

const scopeClaim = (grant: Grant): { readonly scope?: string } => (grant.is === 'elevation' ? { scope: grant.elevation.adds.join(' ') } : {})
