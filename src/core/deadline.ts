// The instants at which a Permit ends without any message. SPEC: ENF4, SES6
import type { Case } from './checks/check.ts'
import { earlier, FOREVER, type Instant, instant } from './time.ts'

/** End of the session's newest credential, this request's own included. */
export function credentialEnd({ policy, standing, evaluation }: Case): Instant {
  if (policy.sessions.credentialEnd === 'ignore' || standing === null) return FOREVER
  const { expiresAt } = standing.session.credential
  const own = evaluation.evidence?.expiresAt ?? null
  return expiresAt === null || own === null ? FOREVER : instant(Math.max(expiresAt, own))
}

/** The earliest of grant end, session end and credential end. */
export function deadline(c: Case, grantEnd: Instant): Instant {
  if (c.standing === null) return grantEnd
  return earlier(grantEnd, earlier(c.standing.session.endsAt, credentialEnd(c)))
}
