// What a Kubernetes service-account token says of its pod: `kubernetes.io` (KEP-1205). A token that is bound to no pod is refused: it says of no
// workload that it runs. SPEC: SES18
import type { Claims } from '../core/principal.ts'
import { claimOf } from './claims.ts'
import type { CredentialFault } from './credential.ts'

export type PodIdentity = {
  readonly is: 'pod'
  readonly namespace: string
  readonly account: { readonly name: string; readonly uid: string }
  readonly pod: { readonly name: string; readonly uid: string }
}

type PodRead = PodIdentity | { readonly is: 'fault'; readonly fault: CredentialFault }

/** RFC 1123 labels, with dots between them in names of pods and accounts. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const UID = /^[A-Za-z0-9-]{1,128}$/

const isRecord = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)

const fits = (pattern: RegExp, value: unknown): value is string => typeof value === 'string' && pattern.test(value)

const fault = (what: CredentialFault): PodRead => ({ is: 'fault', fault: what })

function namedOf(value: unknown): { readonly name: string; readonly uid: string } | CredentialFault {
  if (value === null) return 'claim_missing'
  if (!isRecord(value)) return 'claim_malformed'
  const name = claimOf(value, 'name')
  const uid = claimOf(value, 'uid')
  if (name === null || uid === null) return 'claim_missing'
  return fits(NAME, name) && fits(UID, uid) ? { name, uid } : 'claim_malformed'
}

/** The subject must say the same. */
export function podOf(claims: Claims): PodRead {
  const cluster = claimOf(claims, 'kubernetes.io')
  if (!isRecord(cluster)) return fault(cluster === null ? 'claim_missing' : 'claim_malformed')
  const namespace = claimOf(cluster, 'namespace')
  if (!fits(LABEL, namespace)) return fault(namespace === null ? 'claim_missing' : 'claim_malformed')
  const account = namedOf(claimOf(cluster, 'serviceaccount'))
  if (typeof account === 'string') return fault(account)
  const pod = namedOf(claimOf(cluster, 'pod'))
  if (typeof pod === 'string') return fault(pod)
  return claimOf(claims, 'sub') === `system:serviceaccount:${namespace}:${account.name}` ? { is: 'pod', namespace, account, pod } : fault('subject_refused')
}
