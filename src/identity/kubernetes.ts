// Verifies projected service-account tokens of one cluster: for our audience alone, bound to a pod. The session is the pod's, so that a rotated token
// keeps it. Claims get `namespace` and `serviceaccount` of their own, for conditions and for the name of the tenant. SPEC: SES10, SES18
import type { KubernetesSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { after } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lane } from '../runtime/http-client.ts'
import { claimOf, principalOf } from './claims.ts'
import { NO_POSSESSION } from './confirmation.ts'
import { invalid, type Proof, type Provider } from './credential.ts'
import type { Keys } from './keys.ts'
import { podOf } from './kubernetes-claims.ts'
import { SignedTokens } from './signed-token.ts'
import type { TokenReview } from './token-review.ts'

/** The cluster writes no `typ`, which counts as `jwt`. */
const TYPES = ['jwt']

/** Every audience is one of ours: a token that is good elsewhere too may come from there. */
const isOursAlone = (aud: unknown, ours: readonly string[]): boolean => (Array.isArray(aud) ? aud : [aud]).every(name => typeof name === 'string' && ours.includes(name))

export class KubernetesProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer: string
  readonly opaque = 'none'
  readonly fingerprint: string
  readonly #settings: KubernetesSettings
  readonly #tokens: SignedTokens
  readonly #review: TokenReview | null
  readonly #clock: Clock

  constructor(settings: KubernetesSettings, { keys, review }: { readonly keys: Keys; readonly review: TokenReview | null }, clock: Clock, fingerprint: string) {
    this.name = settings.name
    this.issuer = settings.issuer
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#tokens = new SignedTokens(settings, { ...settings, authority: settings.issuer, types: TYPES, possession: NO_POSSESSION }, keys, clock)
    this.#review = review
    this.#clock = clock
  }

  async prove(text: string, _digest: string, lane: Lane = 'new'): Promise<Proof> {
    const token = await this.#tokens.read(text)
    if (token.is === 'refused') return token
    const { audience, review } = this.#settings
    if (!isOursAlone(claimOf(token.claims, 'aud'), audience)) return invalid('audience_refused')
    const pod = podOf(token.claims)
    if (pod.is === 'fault') return invalid(pod.fault)
    const claims: Claims = { ...token.claims, namespace: pod.namespace, serviceaccount: pod.account.name }
    const read = principalOf(this.#settings, claims)
    if (read.is === 'fault') return invalid(read.fault)
    const askedAt = this.#clock.now()
    const fault = this.#review === null ? null : await this.#review.fault(text, pod, audience, lane)
    if (fault !== null) return invalid(fault)
    const { uid } = pod.pod
    const knownUntil = review === null ? null : after(askedAt, review.freshness)
    return { is: 'proven', proven: { principal: read.principal, claims, evidence: this.#tokens.evidenceOf(token, read.principal.issuer), mark: { is: 'pod', value: uid }, binding: token.binding, workload: `pod/${uid}`, knownUntil } }
  }

  vouchesFor(evidence: Evidence): boolean {
    return this.#tokens.vouchesFor(evidence)
  }
}
