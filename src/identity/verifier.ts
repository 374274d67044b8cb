// One provider with what it has verified: answers at once from its cache, or verifies, each credential once however many requests show it.
// SPEC: SES12
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../runtime/clock.ts'
import { type Identification, invalid, type Proven, type Provider, type VerifiedAnswer } from './credential.ts'
import { sessionKeyOf } from './session-key.ts'
import { TokenCache } from './token-cache.ts'

/** Credentials of one provider that may be under verification at once. */
export const PENDING_MAX = 1_000

/** A credential as read from its header line. */
export type Shown = {
  /** Of Authorization; `header` where it came in a header of its own. */
  readonly scheme: 'bearer' | 'dpop' | 'header'
  readonly text: string
  /** Base64url SHA-256 of `text`. */
  readonly digest: string
  /** What a JWT says of its issuer, unverified; empty where it names none, null for what is no JWT. */
  readonly issuer: string | null
}

/** How session keys are made. */
export type Keying = { readonly digestKey: KeyObject; readonly names: readonly string[] }

/** What a provider proved, with the session it belongs to. */
export function answerOf(provider: string, proven: Proven, { digestKey, names }: Keying): VerifiedAnswer {
  const { principal, claims, evidence, mark, binding, workload, knownUntil } = proven
  return { is: 'verified', verified: { provider, principal, claims, evidence, key: sessionKeyOf(digestKey, names, proven), binding, workload, knownUntil, opens: mark.is !== 'session' } }
}

export class Verifier {
  readonly provider: Provider
  readonly cache: TokenCache
  readonly #clock: Clock
  readonly #keying: Keying
  readonly #pending = new Map<string, Promise<Identification>>()
  #busy = 0

  constructor(provider: Provider, clock: Clock, keying: Keying, cache: TokenCache = new TokenCache()) {
    this.provider = provider
    this.cache = cache
    this.#clock = clock
    this.#keying = keying
  }

  get pending(): number {
    return this.#pending.size
  }

  /** Refusals because too many were pending. */
  get busy(): number {
    return this.#busy
  }

  /** The answer known already; null when it must be awaited. */
  known(shown: Shown): Identification | null {
    return this.cache.get(shown.digest, this.#clock.now())
  }

  verify(shown: Shown): Promise<Identification> {
    const underway = this.#pending.get(shown.digest)
    if (underway !== undefined) return underway
    if (this.#pending.size >= PENDING_MAX) {
      this.#busy++
      return Promise.resolve(invalid('busy'))
    }
    const answer = this.#prove(shown).finally(() => this.#pending.delete(shown.digest))
    this.#pending.set(shown.digest, answer)
    return answer
  }

  async #prove({ text, digest }: Shown): Promise<Identification> {
    const proof = await this.provider.prove(text, digest)
    if (proof.is === 'refused') return proof
    const answer = answerOf(this.provider.name, proof.proven, this.#keying)
    this.cache.put(digest, answer, this.#clock.now())
    return answer
  }
}
