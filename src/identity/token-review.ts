// Asks a cluster whether a service-account token still counts (TokenReview, authentication.k8s.io/v1): a signature does not see that a pod was
// deleted. The answer must speak of the very account and pod that the token names; whatever else it says refuses. SPEC: SES18
import type { KubernetesSettings } from '../config/settings.ts'
import type { Claims } from '../core/principal.ts'
import type { Lane } from '../runtime/http-client.ts'
import { readSecretFile } from '../runtime/secret-file.ts'
import { claimOf } from './claims.ts'
import type { CredentialFault } from './credential.ts'
import { Inquiry, type InquiryTools } from './inquiry.ts'
import type { PodIdentity } from './kubernetes-claims.ts'

type Review = NonNullable<KubernetesSettings['review']>

const API = 'authentication.k8s.io/v1'
const POD_NAME = 'authentication.kubernetes.io/pod-name'
const POD_UID = 'authentication.kubernetes.io/pod-uid'

/** A member that is an object; empty where it is none. */
function within(value: Claims, member: string): Claims {
  const inner = claimOf(value, member)
  return typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Claims) : {} // an object of a parsed JSON text
}

/** Values of `extra` are lists. */
const isOnly = (list: unknown, wanted: string): boolean => Array.isArray(list) && list.length === 1 && list[0] === wanted

/** Null where `answer` says that the token of this pod counts for one of `audience`. */
function reviewFault(answer: Claims, { namespace, account, pod }: PodIdentity, audience: readonly string[]): CredentialFault | null {
  const status = within(answer, 'status')
  if (claimOf(answer, 'kind') !== 'TokenReview' || claimOf(answer, 'apiVersion') !== API) return 'review_mismatch'
  const authenticated = claimOf(status, 'authenticated')
  if (authenticated !== true) return authenticated === null || authenticated === false ? 'inactive' : 'review_mismatch'
  const failure = claimOf(status, 'error')
  if (failure !== null && failure !== '') return 'inactive'
  const audiences = claimOf(status, 'audiences')
  if (!Array.isArray(audiences) || !audiences.some(name => audience.includes(String(name)))) return 'audience_refused'
  const user = within(status, 'user')
  const extra = within(user, 'extra')
  const same = claimOf(user, 'username') === `system:serviceaccount:${namespace}:${account.name}` && claimOf(user, 'uid') === account.uid
  return same && isOnly(claimOf(extra, POD_NAME), pod.name) && isOnly(claimOf(extra, POD_UID), pod.uid) ? null : 'review_mismatch'
}

export class TokenReview {
  readonly #review: Review
  readonly #ca: string | null
  readonly #inquiry: Inquiry

  /** `ca` is what `caFile` holds. */
  constructor(review: Review, ca: string | null, tools: InquiryTools) {
    this.#review = review
    this.#ca = ca
    this.#inquiry = new Inquiry(new URL(review.url), tools)
  }

  /** Null where the cluster says that the token counts. */
  async fault(token: string, pod: PodIdentity, audience: readonly string[], lane: Lane): Promise<CredentialFault | null> {
    const body = JSON.stringify({ apiVersion: API, kind: 'TokenReview', spec: { token, audiences: audience } })
    const told = await this.#inquiry.ask(lane, async () => {
      const own = await readSecretFile(this.#review.tokenFile) // kubelet writes it anew before it ends
      return { body, headers: { authorization: `Bearer ${own}`, 'content-type': 'application/json', accept: 'application/json' }, ca: this.#ca, statuses: [200, 201] }
    })
    return told.is === 'silence' ? 'review_unavailable' : reviewFault(told.answer, pod, audience)
  }
}
