// One provider with what it has verified: answers at once from its cache, or verifies, each credential once however many requests show it.
// SPEC: SES12
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../runtime/clock.ts'
import type { Lane } from '../runtime/http-client.ts'
import { type CredentialFault, type Identification, invalid, type Proven, type Provider, type Refused, type VerifiedAnswer } from './credential.ts'
import { type AliasNames, aliasesOf } from './aliases.ts'
import { sessionKeyOf } from './session-key.ts'
import type { TokenCache } from './token-cache.ts'

/** Credentials of one provider that may be under verification at once: of new requests, and beside them of what is open. */
export const NEW_MAX = 750
export const OPEN_MAX = 250

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

/** How session keys are made, and what else a session is called by. */
export type Keying = { readonly digestKey: KeyObject; readonly names: readonly string[]; readonly aliases: AliasNames }

/** What says nothing of the credential: nobody could be asked. */
const SILENCE: ReadonlySet<CredentialFault> = new Set<CredentialFault>(['busy', 'introspection_unavailable', 'review_unavailable', 'keys_unavailable', 'marks_unavailable'])

/** Is it a no to the credential, or to how it was shown? */
export const isDefinite = ({ reason, detail }: Refused): boolean => reason !== 'store_failed' && !SILENCE.has(detail)

/** `denied` is told to those who wait for another answer on it: the last word may have been asked for first. */
type Underway = { readonly answer: Promise<Identification>; denied: boolean }

/** What a provider proved, with the session it belongs to. */
export function answerOf(provider: string, proven: Proven, { digestKey, names, aliases }: Keying): VerifiedAnswer {
  const { principal, claims, evidence, mark, binding, workload, knownUntil } = proven
  return { is: 'verified', verified: { provider, principal, claims, evidence, key: sessionKeyOf(digestKey, names, proven), aliases: aliasesOf(digestKey, aliases, principal.issuer, claims), binding, workload, knownUntil, opens: mark.is !== 'session' } }
}

export class Verifier {
  readonly provider: Provider
  readonly cache: TokenCache
  readonly #clock: Clock
  readonly #keying: Keying
  readonly #onDenied: (provider: string, digest: string) => void
  /** By digest; strangers crowd out each other, never what is open. */
  readonly #lanes: { readonly [L in Lane]: Map<string, Underway> } = { new: new Map(), open: new Map() }
  #busy = 0

  constructor(provider: Provider, clock: Clock, keying: Keying, cache: TokenCache, onDenied: (provider: string, digest: string) => void) {
    this.provider = provider
    this.cache = cache
    this.#clock = clock
    this.#keying = keying
    this.#onDenied = onDenied
  }

  get pending(): number {
    return this.#lanes.new.size + this.#lanes.open.size
  }

  /** Refusals because too many were pending. */
  get busy(): number {
    return this.#busy
  }

  /** The answer known already; null when it must be awaited. */
  known(shown: Shown): Identification | null {
    return this.cache.get(shown.digest, this.#clock.now())
  }

  verify(shown: Shown, lane: Lane): Promise<Identification> {
    const { digest } = shown
    const pending = this.#lanes[lane]
    const underway = this.#lanes.open.get(digest) ?? pending.get(digest)
    if (underway !== undefined) return underway.answer
    if (pending.size >= (lane === 'open' ? OPEN_MAX : NEW_MAX)) {
      this.#busy++
      return Promise.resolve(invalid('busy'))
    }
    const answer = this.#prove(shown, lane).finally(() => pending.delete(digest))
    pending.set(digest, { answer, denied: false })
    return answer
  }

  async #prove({ text, digest }: Shown, lane: Lane): Promise<Identification> {
    const proof = await this.provider.prove(text, digest, lane)
    if (proof.is === 'refused') {
      if (isDefinite(proof)) this.#deny(digest)
      return proof
    }
    if (this.#lanes[lane].get(digest)?.denied === true) return invalid('inactive')
    const answer = answerOf(this.provider.name, proof.proven, this.#keying)
    this.cache.put(digest, answer, this.#clock.now())
    return answer
  }

  /** Whatever was known of it is over, for whoever shows it. */
  #deny(digest: string): void {
    this.cache.forget(digest)
    for (const pending of Object.values(this.#lanes)) {
      const underway = pending.get(digest)
      if (underway !== undefined) underway.denied = true
    }
    this.#onDenied(this.provider.name, digest)
  }
}
