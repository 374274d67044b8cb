// The life of a step-up inside its session: asked, answered, denied or over; and its uses. SPEC: STU2-STU5
import type { SessionHappening } from '../fact.ts'
import type { Session } from '../session.ts'
import type { SignalOf } from '../signal.ts'
import { isForDemand } from '../overlay.ts'
import { isComplete, isPending, isSameCovered, satisfiedUntil, STEP_UPS_MAX, type StepUp, type StepUpId, suffices } from '../step-up.ts'
import type { Instant } from '../time.ts'
import { endAll } from './elevations.ts'
import { NOTHING, type Outcome, reject, type SessionRule } from './rule.ts'

type Happenings = Outcome<SessionHappening>

const found = ({ stepUps }: Session, id: StepUpId): StepUp | undefined => stepUps.find(stepUp => stepUp.id === id)

/** The same is asked for once at a time; what is asked for by stronger terms is not the same. */
export const ask: SessionRule<SignalOf<'stepUp.asked'>> = (session, { stepUp }) => {
  const pending = session.stepUps.filter(isPending)
  if (found(session, stepUp.id) !== undefined || pending.some(each => isSameCovered(each.covers, stepUp.covers) && suffices(each, stepUp))) return NOTHING
  return pending.length >= STEP_UPS_MAX ? reject('limit_reached', `a session waits for at most ${STEP_UPS_MAX} step-ups`) : [{ what: 'stepUp.asked', stepUp }]
}

function isBarred({ barred }: StepUp, { principal }: Session, by: string, more: readonly string[]): boolean {
  return by === `${principal.issuer}|${principal.subject}` || barred.includes(by) || more.includes(by)
}

/** Why nobody may answer it any more. */
const over = ({ state, expiresAt }: StepUp, now: Instant): Happenings | null =>
  state.is !== 'pending' ? reject('conflict', `the step-up is ${state.is}`) : expiresAt <= now ? reject('conflict', 'the time to answer is over') : null

export const answer: SessionRule<SignalOf<'stepUp.answered'>> = (session, { stepUp: id, given, barred }, now) => {
  const stepUp = found(session, id)
  if (stepUp === undefined) return reject('not_found', 'no such step-up')
  if (stepUp.given.some(({ means }) => means === given.means)) return NOTHING
  const fault = over(stepUp, now)
  if (fault !== null) return fault
  if (!stepUp.by.includes(given.means)) return reject('bad_request', `the step-up does not take ${given.means}`)
  if (given.means === 'approval' && isBarred(stepUp, session, given.by, barred)) return reject('denied', 'nobody steps itself up by its own word')
  if (given.means !== 'approval' && given.at < stepUp.askedAt) return reject('conflict', 'it was shown before it was asked for')
  const answered: SessionHappening = { what: 'stepUp.answered', stepUp: id, given }
  const shown = [...stepUp.given, given]
  if (!isComplete({ ...stepUp, given: shown })) return [answered]
  const satisfied: SessionHappening = { what: 'stepUp.satisfied', stepUp: id, until: satisfiedUntil(stepUp, now) }
  const isProof = session.demand !== null && isForDemand(session, stepUp) && isComplete({ ...session.demand, given: shown }) // what is demanded may be more by now
  return isProof ? [answered, satisfied, { what: 'proof.given' }] : [answered, satisfied]
}

const terminated = (session: Session, cause: string): readonly SessionHappening[] => [...endAll(session, cause), { what: 'session.revoked', reason: 'step_up_denied' }]

export const deny: SessionRule<SignalOf<'stepUp.denied'>> = (session, { stepUp: id, barred, by, id: signal }, now) => {
  const stepUp = found(session, id)
  if (stepUp === undefined) return reject('not_found', 'no such step-up')
  const fault = over(stepUp, now)
  if (fault !== null) return fault
  if (isBarred(stepUp, session, by, barred)) return reject('denied', 'nobody answers for itself')
  const denied: SessionHappening = { what: 'stepUp.denied', stepUp: id, denier: by }
  return stepUp.onDeny === 'terminate' ? [denied, ...terminated(session, signal)] : [denied]
}

/** Exactly so many, on all gateways together: whoever comes later is told so. */
export const use: SessionRule<SignalOf<'stepUp.used'>> = (session, { stepUp: id, exchange }, now) => {
  const stepUp = found(session, id)
  if (stepUp === undefined) return reject('not_found', 'no such step-up')
  const { state, uses, used } = stepUp
  if (used.includes(exchange)) return NOTHING
  if (state.is !== 'satisfied' || (state.until !== null && state.until <= now) || (uses !== null && used.length >= uses)) return reject('conflict', 'the step-up covers nothing more')
  return [{ what: 'stepUp.used', stepUp: id, exchange }]
}

export const giveBack: SessionRule<SignalOf<'stepUp.returned'>> = (session, { stepUp: id, exchange }) =>
  found(session, id)?.used.includes(exchange) === true ? [{ what: 'stepUp.returned', stepUp: id, exchange }] : NOTHING

/** What nobody answered in time. */
export function stepUpsOverdue(session: Session, now: Instant, cause: string): readonly SessionHappening[] {
  const late = session.stepUps.filter(stepUp => isPending(stepUp) && stepUp.expiresAt <= now)
  if (late.length === 0) return []
  const expired = late.map(({ id }): SessionHappening => ({ what: 'stepUp.expired', stepUp: id }))
  return late.some(({ onTimeout }) => onTimeout === 'terminate') ? [...expired, ...terminated(session, cause)] : expired
}
