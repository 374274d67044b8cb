// What the identity tests share: a clock they move, settings to vary, and providers over a test issuer.
import type { ApiKeySettings, JwtSettings } from '../../../src/config/settings.ts'
import { duration, type Duration, type Instant, instant } from '../../../src/core/time.ts'
import type { Presented, Proven, Provider, Refused } from '../../../src/identity/credential.ts'
import { JwtProvider } from '../../../src/identity/jwt.ts'
import { keysOfText } from '../../../src/identity/keys.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import type { TokenIssuer } from '../../support/token-issuer.ts'

/** A time on a full second. */
export const NOON = instant(1_800_000_000_000)
export const DIGEST_KEY = Buffer.alloc(32, 7)
export const NO_CLAIM_NAMES = { tenant: null, owner: null, client: null }

export class HandClock implements Clock {
  #now: number = NOON

  now(): Instant {
    return instant(this.#now)
  }

  elapsed(): number {
    return this.#now - NOON
  }

  advance(ms: number): void {
    this.#now += ms
  }
}

export const jwtSettings = (changes: Partial<JwtSettings> = {}): JwtSettings => ({
  is: 'jwt',
  name: 'agents',
  kind: 'agent',
  claims: NO_CLAIM_NAMES,
  issuer: 'https://login.example',
  audience: ['narrowgate'],
  keys: { is: 'discovery' },
  algorithms: ['EdDSA', 'ES256'],
  types: ['at+jwt'],
  clockTolerance: duration(0),
  ...changes,
})

export const apiKeySettings = (changes: Partial<ApiKeySettings> = {}): ApiKeySettings => ({
  is: 'apiKey',
  name: 'legacy',
  kind: 'service',
  claims: NO_CLAIM_NAMES,
  header: 'x-api-key',
  keysFile: '/nowhere',
  ...changes,
})

export const seconds = (count: number): Duration => duration(count * 1000)

export function jwtProvider(issuer: TokenIssuer, clock: Clock, changes: Partial<JwtSettings> = {}): Provider {
  const settings = jwtSettings({ issuer: issuer.issuer, ...changes })
  return new JwtProvider(settings, keysOfText(JSON.stringify(issuer.jwks())), clock, JSON.stringify(settings))
}

export const bearer = (text: string): readonly Presented[] => [{ header: 'authorization', value: `Bearer ${text}` }]

/** What the provider found true; throws where it refused. */
export async function proven(provider: Provider, text: string): Promise<Proven> {
  const proof = await provider.prove(text, sha256(text))
  if (proof.is === 'refused') throw new Error(`refused: ${proof.detail}`)
  return proof.proven
}

/** Why the provider refused; throws where it did not. */
export async function refused(provider: Provider, text: string): Promise<Pick<Refused, 'reason' | 'detail'>> {
  const proof = await provider.prove(text, sha256(text))
  if (proof.is === 'proven') throw new Error('accepted')
  return { reason: proof.reason, detail: proof.detail }
}
