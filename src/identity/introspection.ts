// Asks the issuer about tokens that only it can read (RFC 7662). It takes what is no JWT; with `jwt: true` also JWTs that name its own issuer, never
// another's. An answer counts for `freshness` and never past the token's end; without a clear `active: true` for one of our audiences or clients
// the token is refused. SPEC: SES16
import type { IntrospectionSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import { after, duration, type Instant } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpPost, Lane } from '../runtime/http-client.ts'
import { sha256 } from '../runtime/id.ts'
import { isJwt } from './claimed-authority.ts'
import { claimOf, deviceOf, principalOf } from './claims.ts'
import { bindingOf } from './confirmation.ts'
import { type CredentialFault, invalid, type Mark, type Proof, type Provider, type TokenBinding } from './credential.ts'
import { Inquiry, type InquiryTools } from './inquiry.ts'
import { identify } from './signed-token.ts'
import { isTokenId, timesOf } from './token-times.ts'

/** How long a token that is not active is refused without asking again. */
const INACTIVE_FOR = duration(1_000)
const INACTIVE_MAX = 10_000
/** `token68` of RFC 9110 §11.2, as RFC 6750 §2.1 has it. */
const TOKEN = /^[\w.~+/-]+=*$/

/** A value as `application/x-www-form-urlencoded` has it (RFC 6749 §2.3.1). */
const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)

export const basicOf = (id: string, secret: string): string => `Basic ${Buffer.from(`${formEncoded(id)}:${formEncoded(secret)}`).toString('base64')}`

/** Does `aud`, one text or a list of texts, hold one of ours? */
function audienceFault(aud: unknown, ours: readonly string[]): CredentialFault | null {
  if (aud === null) return 'claim_missing'
  const named = Array.isArray(aud) ? aud : [aud]
  if (!named.every(name => typeof name === 'string')) return 'claim_malformed'
  return named.some(name => ours.includes(name)) ? null : 'audience_refused'
}

/** An access token, where the answer says what it is: `token_type` (RFC 7662 §2.2), and `token_use`, by which some tell refresh and ID tokens apart. */
function typeFault(answer: Claims, binding: TokenBinding | null): CredentialFault | null {
  const type = claimOf(answer, 'token_type')
  const use = claimOf(answer, 'token_use')
  if (use !== null && use !== 'access_token' && use !== 'access') return 'type_refused'
  if (type === null) return null
  if (typeof type !== 'string') return 'claim_malformed'
  if (type.toLowerCase() === 'dpop') return binding?.is === 'dpop' ? null : 'proof_missing'
  return type.toLowerCase() === 'bearer' ? null : 'type_refused'
}

export class IntrospectionProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer: string | null
  readonly opaque = 'tokens'
  readonly fingerprint: string
  readonly #settings: IntrospectionSettings
  readonly #authority: string
  readonly #vouched: string
  readonly #clock: Clock
  readonly #inquiry: Inquiry
  readonly #sent: Omit<HttpPost, 'body'>
  /** Tokens found inactive a moment ago, by their digest. */
  readonly #inactive = new BoundedMap<string, Instant>(INACTIVE_MAX)

  /** `ca` and `secret` are what the settings' files hold. */
  constructor(settings: IntrospectionSettings, files: { readonly ca: string | null; readonly secret: string }, tools: InquiryTools, fingerprint: string) {
    this.name = settings.name
    this.issuer = settings.jwt ? settings.issuer : null
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#authority = settings.issuer ?? `introspection:${settings.name}`
    this.#vouched = sha256(JSON.stringify([settings]))
    this.#clock = tools.clock
    this.#inquiry = new Inquiry(new URL(settings.url), tools)
    const headers = { authorization: basicOf(settings.clientId, files.secret), 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
    this.#sent = { headers, ca: files.ca, statuses: [200] }
  }

  async prove(text: string, digest: string, lane: Lane = 'new'): Promise<Proof> {
    if (!TOKEN.test(text)) return invalid('malformed')
    const askedAt = this.#clock.now()
    const inactiveUntil = this.#inactive.get(digest)
    if (inactiveUntil !== undefined && askedAt < inactiveUntil) return invalid('inactive')
    const body = new URLSearchParams([['token', text], ['token_type_hint', 'access_token']]).toString()
    const told = await this.#inquiry.ask(lane, () => Promise.resolve({ ...this.#sent, body }))
    if (told.is === 'silence') return invalid('introspection_unavailable')
    const active = claimOf(told.answer, 'active')
    if (active === true) return this.#accept(text, digest, told.answer, askedAt)
    if (active !== false) return invalid(active === null ? 'claim_missing' : 'claim_malformed')
    this.#inactive.set(digest, after(this.#clock.now(), INACTIVE_FOR))
    return invalid('inactive')
  }

  vouchesFor({ fingerprint }: Evidence): boolean {
    return this.#vouched === fingerprint
  }

  /** Whose token it is, and for whom. */
  #addressFault(answer: Claims): CredentialFault | null {
    const { issuer, audience, clients } = this.#settings
    const iss = claimOf(answer, 'iss')
    if (issuer !== null && iss !== issuer) return iss === null ? 'claim_missing' : 'issuer_unknown'
    const fault = audience.length === 0 ? null : audienceFault(claimOf(answer, 'aud'), audience)
    if (fault !== null || clients.length === 0) return fault
    const client = claimOf(answer, 'client_id')
    if (client === null) return 'claim_missing'
    return typeof client === 'string' && clients.includes(client) ? null : 'client_refused'
  }

  #accept(text: string, digest: string, answer: Claims, askedAt: Instant): Proof {
    const address = this.#addressFault(answer)
    if (address !== null) return invalid(address)
    const bound = bindingOf(claimOf(answer, 'cnf'), this.#settings.possession)
    if (bound.is === 'fault') return invalid(bound.fault)
    const { binding } = bound
    const type = typeFault(answer, binding)
    if (type !== null) return invalid(type)
    if (claimOf(answer, 'exp') === null) return invalid('claim_missing')
    const times = timesOf(answer, this.#clock.now(), this.#settings.clockTolerance)
    if (times.is === 'refused') return times
    const jti = claimOf(answer, 'jti')
    if (!isTokenId(jti)) return invalid('claim_malformed')
    const read = principalOf({ kind: this.#settings.kind, issuer: this.#authority, claims: this.#settings.claims }, answer)
    if (read.is === 'fault') return invalid(read.fault)
    const { credential, mark } = this.#idsOf(text, digest, jti)
    const { issuedAt, expiresAt } = times
    const evidence = {
      provider: this.name, fingerprint: this.#vouched, credential, issuer: this.#authority, keyId: null, issuedAt, expiresAt, keyThumbprint: binding?.thumbprint ?? null,
      device: deviceOf(this.#settings.claims, answer), claimed: NO_PURPOSES,
    }
    return { is: 'proven', proven: { principal: read.principal, claims: answer, evidence, mark, binding, workload: null, knownUntil: after(askedAt, this.#settings.freshness) } }
  }

  /** A JWT has second spellings, an opaque token has none. */
  #idsOf(text: string, digest: string, jti: string | null): { readonly credential: string; readonly mark: Mark } {
    if (jti !== null || isJwt(text)) return identify(text, this.#authority, jti)
    return { credential: sha256(JSON.stringify([this.#authority, 'text', digest])), mark: { is: 'payload', value: digest } }
  }
}
