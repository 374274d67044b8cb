// Verifies JWT-SVIDs of one trust domain (SPIFFE JWT-SVID §3–4): its own keys for this use, a SPIFFE id of the domain as the subject, our audience,
// an end. Nothing of its header but `alg`, `kid` and `typ` counts. The same workload is the same principal whatever its `iss`. SPEC: SES10, SES17
import type { JwtSvidSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Clock } from '../runtime/clock.ts'
import { matches, spiffeIdOf, type SpiffePattern, spiffePatternOf } from './certificate/spiffe-id.ts'
import { authorityOf } from './claimed-authority.ts'
import { claimOf, principalOf } from './claims.ts'
import { NO_POSSESSION } from './confirmation.ts'
import { type CredentialFault, invalid, type Proof, type Provider } from './credential.ts'
import type { Keys } from './keys.ts'
import { SignedTokens } from './signed-token.ts'

/** `typ` may be left out, which counts as `jwt`. */
const TYPES = ['jwt', 'jose']

/** Throws for what is no pattern: the configuration was to see to it. */
function patternOf(text: string): SpiffePattern {
  const pattern = spiffePatternOf(text)
  if (pattern === null) throw new Error(`${text} is no pattern of SPIFFE ids`)
  return pattern
}

export class JwtSvidProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer: string
  readonly opaque = 'none'
  readonly fingerprint: string
  readonly #settings: JwtSvidSettings
  readonly #authority: string
  readonly #patterns: readonly SpiffePattern[]
  readonly #tokens: SignedTokens

  constructor(settings: JwtSvidSettings, keys: Keys, clock: Clock, fingerprint: string) {
    this.name = settings.name
    this.#authority = authorityOf(settings.trustDomain)
    this.issuer = settings.issuer ?? this.#authority
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#patterns = settings.ids.map(patternOf)
    const rules = { ...settings, authority: this.#authority, types: TYPES, possession: NO_POSSESSION }
    this.#tokens = new SignedTokens(settings, rules, keys, clock)
  }

  async prove(text: string): Promise<Proof> {
    const token = await this.#tokens.read(text)
    if (token.is === 'refused') return token
    const { claims, mark, binding } = token
    const named = claimOf(claims, 'iss')
    if (named !== null && named !== this.issuer) return invalid('issuer_unknown')
    const subject = claimOf(claims, 'sub')
    const fault = this.#subjectFault(subject)
    if (fault !== null) return invalid(fault)
    const read = principalOf({ kind: this.#settings.kind, issuer: this.#authority, claims: this.#settings.claims }, claims)
    if (read.is === 'fault') return invalid(read.fault)
    const { principal } = read
    return { is: 'proven', proven: { principal, claims, evidence: this.#tokens.evidenceOf(token, principal.issuer), mark, binding, workload: principal.subject, knownUntil: null } }
  }

  vouchesFor(evidence: Evidence): boolean {
    return this.#tokens.vouchesFor(evidence)
  }

  #subjectFault(subject: unknown): CredentialFault | null {
    const id = typeof subject === 'string' ? spiffeIdOf(subject) : null
    if (id === null) return 'claim_malformed'
    const ours = id.trustDomain === this.#settings.trustDomain
    return ours && (this.#patterns.length === 0 || this.#patterns.some(pattern => matches(pattern, id))) ? null : 'subject_refused'
  }
}
