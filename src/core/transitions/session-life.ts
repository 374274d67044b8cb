// Opening, renewing and ending a life. An ended life never comes back; the next one starts at baseline. SPEC: SES3-SES6, OUT5, OUT6
import { isNewDrift } from '../drift.ts'
import type { SessionHappening } from '../fact.ts'
import type { EndReason } from '../reason.ts'
import { isAfter } from '../outside.ts'
import { type Credential, isMarked, type Session } from '../session.ts'
import type { SignalOf } from '../signal.ts'
import type { Instant } from '../time.ts'
import { elevationsOverdue, endAll } from './elevations.ts'
import { stepUpsOverdue } from './step-ups.ts'
import { NOTHING, type Outcome, reject, type SessionRule } from './rule.ts'

type Opening = SignalOf<'session.opened'>

const birth = ({ session, key, epoch, principal, credential, endsAt, bindings, aliases, brokered }: Opening, notBefore: Instant | null): SessionHappening =>
  ({ what: 'session.opened', session, key, epoch, principal, credential, endsAt, notBefore, bindings, aliases, brokered })

export const openFirst = (signal: Opening): Outcome<SessionHappening> => [birth(signal, null)]

/** What somebody outside said of its caller outlives the life in which it was said, until a newer credential shows otherwise. */
function carried({ overlay, demand }: Session, { issuedAt }: Credential): readonly SessionHappening[] {
  const changes = overlay.filter(change => !isAfter(issuedAt, change))
  const answers = demand !== null && demand.by.includes('signIn') && !demand.all // a newer credential may come of a sign-in, and of nothing else that is asked for
  const isAsked = demand !== null && (!answers || issuedAt === null || issuedAt <= demand.since)
  return [...(changes.length === 0 ? [] : [{ what: 'claims.changed', changes } as const]), ...(isAsked ? [{ what: 'proof.demanded', demand } as const] : [])]
}

export const openNext: SessionRule<Opening> = (session, signal) => {
  const { credential } = signal
  if (session.brokered !== null) return reject('session_ended', 'a session that a broker opened has one life')
  if (isMarked(session, credential.issuedAt)) return reject('credential_revoked', 'the credential was issued before the revocation')
  const worn = session.state.is === 'lapsed' && session.state.reason === 'max_reached' && credential.issuedAt !== null && credential.issuedAt <= session.openedAt
  return worn ? reject('max_reached', 'the life before ended at its limit; a newer credential is needed') : [birth(signal, session.notBefore), ...carried(session, credential)]
}

/** Greatest issue time, then latest end: news that comes late never puts an older credential in the place of a newer one. */
const isNewer = (a: Credential, b: Credential): boolean =>
  (a.issuedAt ?? 0) === (b.issuedAt ?? 0) ? (a.expiresAt ?? Infinity) > (b.expiresAt ?? Infinity) : (a.issuedAt ?? 0) > (b.issuedAt ?? 0)

export const renew: SessionRule<SignalOf<'credential.renewed'>> = (session, { credential }) =>
  isNewer(credential, session.credential) ? [{ what: 'credential.renewed', credential }] : NOTHING

export const drift: SessionRule<SignalOf<'binding.drifted'>> = (session, { drift }) => (isNewDrift(session, drift) ? [{ what: 'binding.drifted', drift }] : NOTHING)

const ending = (session: Session, what: 'session.lapsed' | 'session.revoked', reason: EndReason, cause: string): readonly SessionHappening[] =>
  [...endAll(session, cause), { what, reason }]

export const terminate: SessionRule<SignalOf<'session.terminated'>> = (session, signal) => ending(session, 'session.revoked', signal.reason, signal.id)
/** Nobody gets out of being frozen by waiting: what is over by time is revoked then. */
export const lapse: SessionRule<SignalOf<'session.lapsed'>> = (session, signal) =>
  signal.reason === 'idle' && session.frozen !== null ? NOTHING : ending(session, 'session.lapsed', signal.reason, signal.id)

/** A revocation of a life that is over still marks its credentials. */
export const markRevoked: SessionRule<SignalOf<'session.terminated'>> = (session, signal) =>
  session.state.is === 'revoked' ? NOTHING : [{ what: 'session.revoked', reason: signal.reason }]

export const clearMark: SessionRule<SignalOf<'mark.cleared'>> = session => (session.notBefore === null ? NOTHING : [{ what: 'mark.cleared' }])

export const passTime: SessionRule<SignalOf<'time.passed'>> = (session, signal, now) => {
  if (session.endsAt <= now) return ending(session, 'session.lapsed', 'max_reached', signal.id)
  if (session.frozen?.until != null && session.frozen.until <= now) return ending(session, 'session.revoked', 'frozen_too_long', signal.id)
  const ended = elevationsOverdue(session, now)
  const steps = stepUpsOverdue(session, now, signal.id)
  return steps.length === 0 ? ended : steps.some(({ what }) => what === 'session.revoked') ? steps : [...ended, ...steps]
}
