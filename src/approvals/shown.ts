// What an approver is shown of a request, as one digest: an approval is for exactly that. SPEC: APR4
import type { Elevation } from '../core/elevation.ts'
import type { Session } from '../core/session.ts'
import { sha256 } from '../runtime/id.ts'

/** Changes with whatever an approval would change, and with who asks. */
export function shownDigest({ id: session, principal }: Session, elevation: Elevation): string {
  const { id, profile, adds, purposes, proofs, ties, within, params, limits, for: span, max, startsAt, endsBy, requestedAt, requestedBy, because, stages, revision, recording, afterEnd, checked, keyThumbprint, workload } = elevation
  return sha256(JSON.stringify({ session, principal, id, profile, adds, purposes, proofs, ties, within, params, limits, for: span, max, startsAt, endsBy, requestedAt, requestedBy, because, stages, revision, recording, behind: afterEnd === null ? null : [afterEnd.profile, afterEnd.uses, afterEnd.for], checked, keyThumbprint, workload }))
}
