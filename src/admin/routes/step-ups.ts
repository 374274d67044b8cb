// Callers that have to show anew that they may go on, and the word of whoever lets them: of the role that is asked for, and of none of those the caller
// is, acts for, belongs to or was opened by. SPEC: STU2, STU3, STU6, ADM12
import { namedBy } from '../../approvals/barred.ts'
import { isLockedOut } from '../../approvals/standing.ts'
import { barredFromStepUp } from '../../approvals/step-up.ts'
import { knownAs } from '../../core/policy.ts'
import type { Session } from '../../core/session.ts'
import type { SessionNews } from '../../core/signal.ts'
import type { StepUp } from '../../core/step-up.ts'
import { sha256 } from '../../runtime/id.ts'
import { type Answer, spanText, timeText, told } from '../answer.ts'
import type { OwnedStepUp } from '../directory.ts'
import { enforced } from '../enforced.ts'
import { AdminFault, faultOf } from '../fault.ts'
import { holdsRole } from '../roles.ts'
import { principalView } from '../session-view.ts'
import { type Call, givenReason, type Handlers, wordOf } from './handler.ts'

type OnOne = 'stepUp.approve' | 'stepUp.deny'

const LISTED = 100

function stepUpView(session: Session, stepUp: StepUp) {
  const { id, state, covers: { rule, request }, by, all, acr, role, askedAt, expiresAt, onTimeout, onDeny, uses, used, for: span, because, given } = stepUp
  return {
    id, session: session.id, principal: principalView(session), state: state.is, endedAt: 'at' in state ? timeText(state.at) : null, until: state.is === 'satisfied' ? timeText(state.until) : null, deniedBy: state.is === 'denied' ? state.by : null,
    rule, request: request === null ? null : { method: request.method, host: request.host, path: request.path, queryDigest: request.query, ...(request.call === null ? {} : { call: request.call }) }, because, by, all, acr, role, askedAt: timeText(askedAt), expiresAt: timeText(expiresAt),
    onTimeout, onDeny, uses, used: used.length, for: span === null ? null : spanText(span), given: given.map(({ means, by: giver, at }) => ({ means, by: giver, at: timeText(at) })),
  }
}

/** As the configuration maps identities now, which may be otherwise than when it was asked for. */
const barredNow = ({ room }: Pick<Call<OnOne>, 'room'>, { live: { record }, stepUp }: OwnedStepUp): readonly string[] =>
  barredFromStepUp(room.mirror.policy, record, [...namedBy(record.principal), ...stepUp.barred])

function assertMayApprove(call: Call<'stepUp.approve'>, owned: OwnedStepUp): void {
  const { room: { mirror, clock }, caller } = call
  const barred = barredNow(call, owned)
  if (knownAs(mirror.policy, caller.identity).some(name => barred.includes(name))) throw new AdminFault('forbidden', 'nobody steps itself up by its own word')
  if (!holdsRole(caller, owned.stepUp.role)) throw new AdminFault('forbidden', `the step-up asks for somebody else: ${owned.stepUp.role}`)
  if (isLockedOut({ locks: mirror.locks, now: clock.now() }, caller.identity)) throw faultOf({ rejected: 'locked', says: 'a lock stands on the approver' })
}

async function apply(call: Call<OnOne>, newsOf: (owned: OwnedStepUp) => SessionNews): Promise<Answer> {
  const { room, directory, caller, params, body } = call
  const owned = await directory.stepUp(params.id)
  const news = newsOf(owned)
  return enforced(room.intake.session(owned.live.record.key, news, { ...wordOf(caller, body.reason), life: owned.live.record.id }), params.id, givenReason(body.reason))
}

function approved(call: Call<'stepUp.approve'>, owned: OwnedStepUp): SessionNews {
  assertMayApprove(call, owned)
  const { room, caller, body } = call
  const at = room.clock.now()
  return { kind: 'stepUp.answered', stepUp: owned.stepUp.id, given: { means: 'approval', by: caller.identity, at, proof: sha256(JSON.stringify([owned.stepUp.id, caller.identity, at, body.reason])) }, barred: barredNow(call, owned) }
}

export const STEP_UP_HANDLERS: Handlers<OnOne | 'stepUp.list' | 'stepUp.get'> = {
  'stepUp.list': async ({ directory, query: { state = 'pending', limit = LISTED } }) => {
    const { items, more } = await directory.stepUps(stepUp => state === 'any' || stepUp.state.is === state, limit)
    return told({ stepUps: items.map(({ session, stepUp }) => stepUpView(session, stepUp)), more })
  },
  'stepUp.get': async ({ directory, params }) => {
    const { live, stepUp } = await directory.stepUp(params.id)
    return told(stepUpView(live.record, stepUp))
  },
  'stepUp.approve': call => apply(call, owned => approved(call, owned)),
  'stepUp.deny': call => apply(call, owned => ({ kind: 'stepUp.denied', stepUp: owned.stepUp.id, barred: barredNow(call, owned) })),
}
