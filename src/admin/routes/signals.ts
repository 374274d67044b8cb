// An operator's news of trust: taken as a transmitter's would be, and answered when it is acted on. Where no store takes it, it is in force here from memory for
// whoever is known here, and never called enforced. SPEC: OUT9, ADM3
import { effectOf } from '../../config/compile/acts.ts'
import type { Effect, OutsideEvent, Subject } from '../../core/outside.ts'
import { newSignalId } from '../../runtime/id.ts'
import { NO_NAMES, subjectNamed } from '../../signals/outside/named.ts'
import { type Answer, done, told } from '../answer.ts'
import { AdminFault } from '../fault.ts'
import { repeatKeyOf } from '../repeat-key.ts'
import { type Call, givenReason, type Handlers, UNSPECIFIED } from './handler.ts'

type Tell = Call<'signal.tell'>

const SOURCE = 'operator'
/** Sessions it may mean where nobody says how many. */
const MOST = 500

function subjectIn({ room, body }: Tell): Subject {
  const named = subjectNamed({ ...NO_NAMES, ...Object.fromEntries(Object.entries(body.subject).filter(([, text]) => text !== undefined)) }, room.naming)
  if (named.is === 'subject') return named.subject
  throw new AdminFault('bad_request', named.of === 'nobody' ? 'subject: nobody is named' : `subject.${named.of}: names nobody; what an issuer calls somebody needs \`issuer\``)
}

/** @throws AdminFault where something of it is missing */
function effectsIn({ room, body: { do: acts, claims, ...terms } }: Tell): readonly Effect[] {
  if (acts.includes('claims') !== (claims !== undefined)) throw new AdminFault('bad_request', '`claims` is written where, and only where, `do` says `claims`')
  if (acts.includes('risk') && terms.points === undefined) throw new AdminFault('bad_request', '`risk` needs `points`')
  const { by } = room.mirror.policy.risk.stepUp
  return [...new Set(acts)].map(act => (act === 'claims' ? { do: 'claims', changes: claims ?? {} } : effectOf(act, terms, SOURCE, by)))
}

function eventIn(call: Tell): OutsideEvent {
  const { room: { clock }, caller: { identity }, body: { type, at, most = MOST, reason }, repeatKeys } = call
  const now = clock.now()
  if (at !== undefined && at > now) throw new AdminFault('bad_request', 'at: lies in the future')
  return { source: SOURCE, issuer: identity, jti: repeatKeyOf(repeatKeys) ?? newSignalId(), type, at: at ?? now, takenAt: now, subject: subjectIn(call), effects: effectsIn(call), order: null, most, notify: [], note: givenReason(reason) ?? UNSPECIFIED }
}

async function tell(call: Tell): Promise<Answer> {
  const { room: { inbox, log }, body: { reason } } = call
  const event = eventIn(call)
  const missing = givenReason(reason) === null ? { reasonMissing: true } : {}
  const target = `${event.type} ${event.subject.map(({ of }) => of).join('+')}`
  const taken = await inbox.take(event).catch((error: unknown) => {
    log.error({ cause: String(error) }, 'the news of an operator was not stored; it is in force here')
    return null
  })
  if (taken === null) return done({ is: 'assumed', outcome: 'acted', sessions: await inbox.here(event), enforced: false, durable: false, ...missing }, target, 202)
  const { outcome, met, enforced } = await taken.acted
  const body = { is: taken.is, outcome, sessions: met, enforced, durable: true, ...missing }
  return outcome === 'failed' ? done(body, target, 202) : taken.is === 'again' ? told(body) : done(body, target)
}

export const SIGNAL_HANDLERS: Handlers<'signal.tell'> = { 'signal.tell': tell }
