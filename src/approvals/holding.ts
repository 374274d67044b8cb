// Which elevations a session may hold under the configuration there is now: what a broker lost, its sessions ask for no more. Only reads. SPEC: ELV1, SES20
import type { Policy } from '../core/policy.ts'
import { mayHold, type Session } from '../core/session.ts'

/** A broker's session: what its broker listed when it was opened and lists still; of a broker that is gone, nothing. */
export const mayHoldNow = ({ brokers }: Policy, session: Pick<Session, 'brokered'>, profile: string): boolean =>
  mayHold(session, profile) && (session.brokered === null || brokers.get(session.brokered.broker)?.profiles.includes(profile) === true)
