// The instants at which a Permit ends without any message. SPEC: ENF4, SES6
import type { Case } from './checks/check.ts'
import { isNewer } from './evidence.ts'
import { earlier, FOREVER, type Instant } from './time.ts'

/** End of the session's newest credential: the one on record, or this request's own when it is newer. */
export function credentialEnd({ policy, standing, evaluation }: Case): Instant {
  if (policy.sessions.credentialEnd === 'ignore' || standing === null) return FOREVER
  const { credential } = standing.session
  const { evidence } = evaluation
  return (evidence !== null && isNewer(evidence, credential) ? evidence.expiresAt : credential.expiresAt) ?? FOREVER
}

/** The earliest of grant end, session end and credential end. */
export function deadline(c: Case, grantEnd: Instant): Instant {
  if (c.standing === null) return grantEnd
  return earlier(grantEnd, earlier(c.standing.session.endsAt, credentialEnd(c)))
}
