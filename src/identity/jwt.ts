// Verifies JWT access tokens of one issuer (RFC 9068): what signed-token.ts asks of every JWT, by the issuer's own keys and types.
// SPEC: SES10, SES11
import type { JwtSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Clock } from '../runtime/clock.ts'
import { principalOf } from './claims.ts'
import { invalid, type Proof, type Provider } from './credential.ts'
import type { Keys } from './keys.ts'
import { SignedTokens } from './signed-token.ts'

export class JwtProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer: string
  readonly opaque = 'none'
  readonly fingerprint: string
  readonly #settings: JwtSettings
  readonly #tokens: SignedTokens

  constructor(settings: JwtSettings, keys: Keys, clock: Clock, fingerprint: string) {
    this.name = settings.name
    this.issuer = settings.issuer
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#tokens = new SignedTokens(settings, { ...settings, authority: settings.issuer }, keys, clock)
  }

  async prove(text: string): Promise<Proof> {
    const token = await this.#tokens.read(text)
    if (token.is === 'refused') return token
    const { claims, mark, binding } = token
    const read = principalOf(this.#settings, claims)
    if (read.is === 'fault') return invalid(read.fault)
    return { is: 'proven', proven: { principal: read.principal, claims, evidence: this.#tokens.evidenceOf(token, read.principal.issuer), mark, binding, workload: null, knownUntil: null } }
  }

  vouchesFor(evidence: Evidence): boolean {
    return this.#tokens.vouchesFor(evidence)
  }
}
