// The instants at which a Permit ends without any message. SPEC: ENF4, SES6, BND6, MCP13
import type { Case } from './checks/check.ts'
import { authenticatedUntil } from './authentication.ts'
import { isNewer } from './evidence.ts'
import { externalUntil } from './external.ts'
import { toolLocksUntil } from './locks.ts'
import { earlier, FOREVER, type Instant } from './time.ts'

/** End of the session's newest credential: the one on record, or this request's own when it is newer. */
export function credentialEnd({ policy, standing, evaluation }: Case): Instant {
  if (policy.sessions.credentialEnd === 'ignore' || standing === null) return FOREVER
  const { credential } = standing.session
  const { evidence } = evaluation
  return (evidence !== null && isNewer(evidence, credential) ? evidence.expiresAt : credential.expiresAt) ?? FOREVER
}

/** End of what the rule asks of the caller's sign-in; in the past where the newest credential does not show it. */
export function authenticationEnd({ place: { rule }, claims, now }: Case): Instant {
  const asked = rule?.requireAuth ?? null
  return asked === null ? FOREVER : authenticatedUntil(asked, claims, now)
}

/** The earliest of grant end, session end, credential end, the end of what the rule asks of the sign-in, of what is known of the credential, and of what was said of it outside; for what carries lists or tells of them also the next change of what the session may do. */
export function deadline(c: Case, grantEnd: Instant): Instant {
  if (c.standing === null) return grantEnd
  const { session, until } = c.standing
  const ofParent = session.brokered?.parent == null ? FOREVER : until // whatever next changes of what it was delegated from
  const ofLists = c.evaluation.action.call?.kind === 'protocol' ? earlier(until, toolLocksUntil(c.locks, c.place.route.name, c.now)) : FOREVER // what its lists hold, and its streams tell, is another then
  const ofAnswers = c.external === null ? c.vouchedUntil : earlier(c.vouchedUntil, externalUntil(c))
  return earlier(earlier(earlier(grantEnd, ofAnswers), earlier(earlier(earlier(ofParent, ofLists), c.standing.heardUntil), authenticationEnd(c))), earlier(c.standing.session.endsAt, credentialEnd(c)))
}
