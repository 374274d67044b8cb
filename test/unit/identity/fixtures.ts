// What the identity tests share: a clock they move, settings to vary, and providers over a test issuer.
import type { ApiKeySettings, ClaimNames, IntrospectionSettings, JwtSettings, JwtSvidSettings, KubernetesSettings } from '../../../src/config/settings.ts'
import { duration, type Duration, type Instant, instant } from '../../../src/core/time.ts'
import type { Presented, Proven, Provider, Refused } from '../../../src/identity/credential.ts'
import { JwtProvider } from '../../../src/identity/jwt.ts'
import { keysOfText } from '../../../src/identity/keys.ts'
import type { Marks } from '../../../src/identity/possession.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import type { TokenIssuer } from '../../support/token-issuer.ts'

/** A time on a full second. */
export const NOON = instant(1_800_000_000_000)
export const DIGEST_KEY = Buffer.alloc(32, 7)
export const NO_CLAIM_NAMES: ClaimNames = { tenant: null, owner: null, client: null, device: null, subjectCase: 'exact' }

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
  possession: { dpop: 'off', mtls: 'off' },
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

export const introspectionSettings = (changes: Partial<IntrospectionSettings> = {}): IntrospectionSettings => ({
  is: 'introspection',
  name: 'opaque',
  kind: 'agent',
  claims: NO_CLAIM_NAMES,
  url: 'http://127.0.0.1:1/introspect',
  clientId: 'gateway',
  clientSecretFile: '/nowhere',
  caFile: null,
  issuer: 'https://login.example',
  jwt: false,
  audience: ['narrowgate'],
  clients: [],
  freshness: duration(10_000),
  clockTolerance: duration(0),
  possession: { dpop: 'off', mtls: 'off' },
  ...changes,
})

export const jwtSvidSettings = (changes: Partial<JwtSvidSettings> = {}): JwtSvidSettings => ({
  is: 'jwtSvid',
  name: 'mesh',
  kind: 'service',
  claims: NO_CLAIM_NAMES,
  trustDomain: 'example.org',
  ids: [],
  issuer: null,
  audience: ['narrowgate'],
  keys: { is: 'file', file: '/nowhere' },
  algorithms: ['RS256', 'ES256', 'PS256'],
  clockTolerance: duration(0),
  ...changes,
})

export const kubernetesSettings = (changes: Partial<KubernetesSettings> = {}): KubernetesSettings => ({
  is: 'kubernetes',
  name: 'cluster',
  kind: 'service',
  claims: NO_CLAIM_NAMES,
  issuer: 'https://cluster.example',
  audience: ['narrowgate'],
  keys: { is: 'file', file: '/nowhere' },
  algorithms: ['RS256', 'ES256'],
  clockTolerance: duration(0),
  review: null,
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

/** Nothing that can be seen once only is ever accepted without a store. */
export const NO_STORE: Marks = { mark: () => Promise.reject(new Error('there is no store here')) }
