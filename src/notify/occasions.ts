// What people are told of requests, decisions and emergencies, and by which channels: pure, from facts. Tells no claim and no parameter. SPEC: NOT1, APR7
import type { Matter } from '../core/anchor.ts'
import type { Elevation } from '../core/elevation.ts'
import type { SessionFact } from '../core/fact.ts'
import type { Policy } from '../core/policy.ts'
import { identityOf } from '../core/principal.ts'
import { PURPOSE_KINDS } from '../core/purpose.ts'
import type { OutsideEvent, OutsideOutcome } from '../core/outside.ts'
import type { LevelMark } from '../core/risk.ts'
import type { Session } from '../core/session.ts'
import type { StepUp } from '../core/step-up.ts'
import type { Instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'
import { cut, type Notice } from './notice.ts'

export type Told = { readonly channels: readonly string[]; readonly notice: Notice }

const MINUTE = 60_000

/** By which page of the console it is found. */
const linkTo = (publicUrl: string | null, id: string): string | null => (publicUrl === null ? null : `${publicUrl}/console/elevations/${id}`)

const purposesText = ({ purposes }: Elevation): string => PURPOSE_KINDS.flatMap(kind => (purposes[kind] === undefined ? [] : [`${kind} ${purposes[kind]}`])).join(', ')

const subjectOf = ({ profile, adds, for: span }: Elevation): string => `${profile} (${adds.join(', ')}) for ${Math.round(span / MINUTE)} min`

function dataOf({ id: session, principal }: Session, { id, profile, adds, because, requestedBy, purposes }: Elevation): Notice['data'] {
  return { elevation: id, session, profile, adds, subject: identityOf(principal), requestedBy, reason: because, ...purposes }
}

type Line = readonly [event: Notice['event'], text: string]

/** null for what nobody is told. */
function lineOf(fact: SessionFact, elevation: Elevation, who: string): Line | null {
  const what = subjectOf(elevation)
  const whatFor = purposesText(elevation)
  const isFor = whatFor === '' ? '' : ` for ${whatFor}`
  if (fact.what === 'elevation.requested') return elevation.stages.length === 0 ? null : ['elevation.requested', `${who} asks for ${what}${isFor}: ${elevation.because}`]
  if (fact.what === 'elevation.approved') return ['elevation.approved', `${fact.approver} approves ${what} of ${who}`]
  if (fact.what === 'elevation.denied') return ['elevation.denied', `${fact.by} denies ${what} to ${who}`]
  if (fact.what === 'elevation.ended') return ['elevation.ended', `${what} of ${who} has ended: ${fact.reason}`]
  if (fact.what !== 'elevation.activated' || elevation.unasked !== 'break_glass') return null
  return ['break_glass.activated', `EMERGENCY: ${who} took ${what} without asking${isFor}: ${elevation.because}. Somebody must review it`]
}

/** @param facts of one commit */
export function noticesOf(session: Session, facts: readonly SessionFact[], { profiles }: Policy, publicUrl: string | null): readonly Told[] {
  return facts.flatMap((fact): Told[] => {
    if (!('elevation' in fact)) return []
    const id = typeof fact.elevation === 'string' ? fact.elevation : fact.elevation.id
    const elevation = session.elevations.find(each => each.id === id)
    const channels = elevation === undefined ? [] : (profiles.get(elevation.profile)?.approval?.notify ?? [])
    const line = elevation === undefined || channels.length === 0 ? null : lineOf(fact, elevation, identityOf(session.principal))
    if (elevation === undefined || line === null) return []
    const [event, text] = line
    return [{ channels, notice: { id: `${fact.because}/${id}/${event}`, event, at: fact.at, text, link: linkTo(publicUrl, id), data: dataOf(session, elevation) } }]
  })
}

/** What a step-up is for, as far as it tells. */
const coveredText = ({ covers: { rule, request } }: StepUp): string => (request !== null ? `${request.call ?? request.method} ${request.host}${request.path}` : rule !== null ? `rule ${rule}` : 'all of its session')

function stepUpLine(fact: SessionFact, stepUp: StepUp, who: string): Line | null {
  const what = coveredText(stepUp)
  if (fact.what === 'stepUp.asked') return ['stepUp.asked', `${who} has to step up (${stepUp.by.join(stepUp.all ? ' and ' : ' or ')}) for ${what}, because of ${stepUp.because}`]
  if (fact.what === 'stepUp.satisfied') return ['stepUp.satisfied', `${who} has stepped up for ${what}`]
  if (fact.what === 'stepUp.denied') return ['stepUp.denied', `${fact.denier} says no to ${who}, who had to step up for ${what}`]
  return fact.what === 'stepUp.expired' ? ['stepUp.expired', `nobody answered in time for ${who}, who had to step up for ${what}`] : null
}

/** @param facts of one commit */
export function stepUpNotices(session: Session, facts: readonly SessionFact[], publicUrl: string | null): readonly Told[] {
  return facts.flatMap((fact): Told[] => {
    const id = !('stepUp' in fact) ? null : typeof fact.stepUp === 'string' ? fact.stepUp : fact.stepUp.id
    const stepUp = session.stepUps.find(each => each.id === id)
    const line = stepUp === undefined || stepUp.notify.length === 0 ? null : stepUpLine(fact, stepUp, identityOf(session.principal))
    if (stepUp === undefined || line === null) return []
    const [event, text] = line
    const data = { stepUp: stepUp.id, session: session.id, subject: identityOf(session.principal), because: stepUp.because, by: stepUp.by, role: stepUp.role, expiresAt: new Date(stepUp.expiresAt).toISOString() }
    return [{ channels: stepUp.notify, notice: { id: `${fact.because}/${stepUp.id}/${event}`, event, at: fact.at, text, link: publicUrl === null ? null : `${publicUrl}/console/step-ups/${stepUp.id}`, data } }]
  })
}

/** Nobody looked at an emergency in time. */
export function missedNotice({ elevation, session, profile, subject, dueAt }: Extract<Matter, { is: 'review' }>, locked: boolean, { profiles }: Policy, publicUrl: string | null, at: Instant): Told {
  const text = `Nobody reviewed in time how ${subject} took ${profile} in an emergency${locked ? '; the caller is locked' : ''}`
  const notice: Notice = { id: `${elevation}/missed`, event: 'break_glass.review_missed', at, text, link: linkTo(publicUrl, elevation), data: { elevation, session, profile, subject, dueAt: new Date(dueAt).toISOString(), locked } }
  return { channels: profiles.get(profile)?.approval?.notify ?? [], notice }
}

/** Somebody is trusted less. @param withheld a lock that would have reached too far was not set */
export function riskNotice({ name, score, who, since, why: { contributions, tenants, request } }: LevelMark, because: string, channels: readonly string[], withheld: boolean): Told {
  const rules = contributions.map(({ rule, points }) => `${rule} ${points}`)
  const text = `${who} reached risk level ${name} with ${score} points: ${rules.join(', ')}${withheld ? '. A lock would have reached too many sessions and was NOT set' : ''}`
  const data = { subject: who, level: name, score, contributions: rules, tenants, route: request?.route ?? null, method: request?.method ?? null, path: request?.path ?? null, withheld }
  return { channels, notice: { id: `${because}/risk.reached`, event: 'risk.reached', at: since, text, link: null, data } }
}

/** News from outside was acted on, means too many, or could not be acted on. @param id of its signal */
export function outsideNotice({ source, type, at, subject, notify, takenAt, note }: OutsideEvent, id: string, outcome: OutsideOutcome, met: number): Told {
  const event = outcome === 'withheld' ? 'outside.withheld' : outcome === 'failed' ? 'outside.failed' : 'outside.acted'
  const became = outcome === 'withheld' ? `means ${met} sessions or more, which are too many: it ended NONE, they are held until somebody looks` : outcome === 'failed' ? 'could NOT be acted on' : `was acted on, for ${met} sessions`
  const data = { source, type, outcome, sessions: met, happenedAt: new Date(at).toISOString(), means: subject.map(({ of }) => of), reason: note }
  return { channels: notify, notice: { id: `${id}/${event}`, event, at: takenAt, text: `${type} of ${source} ${became}`, link: null, data } }
}

/** News from outside names somebody in a way that nobody here understands: nothing follows from it. @param jti what its source calls it */
export function unreadNotice({ source, type, jti, at, what }: Pick<OutsideEvent, 'source' | 'type' | 'jti' | 'at'> & { readonly what: readonly string[] }, channels: readonly string[]): Told {
  const text = `${type} of ${source} means somebody who could not be made out (${what.join(', ')}): NOTHING follows from it`
  return { channels, notice: { id: `${sha256(JSON.stringify([source, jti]))}/outside.unread`, event: 'outside.unread', at, text, link: null, data: { source, type, jti: cut(jti, RECIPIENT_MAX), what: what.map(each => cut(each, RECIPIENT_MAX)) } } }
}

/** A transmitter does not tell of what sessions are ended for. */
export function undeliveredNotice(source: string, channels: readonly string[], at: Instant): Told {
  return { channels, notice: { id: `${source}/outside.undelivered/${at}`, event: 'outside.undelivered', at, text: `${source} does not tell of revoked sessions: session-revoked is not among what its stream delivers`, link: null, data: { source } } }
}

/** What a policy decision point wants somebody to be told; who that is is for the channel. */
export type Wanted = { readonly pdp: string; readonly evaluation: string; readonly session: Session; readonly to: readonly string[]; readonly body: string; readonly topic: string | null; readonly at: Instant }

const RECIPIENT_MAX = 200

export function wantedNotice({ pdp, evaluation, session: { id: session, principal }, to, body, topic, at }: Wanted): Notice {
  const data = { pdp, evaluation, session, subject: identityOf(principal), to: to.map(each => cut(each, RECIPIENT_MAX)), topic: topic === null ? null : cut(topic, RECIPIENT_MAX) }
  return { id: `${evaluation}/${sha256(JSON.stringify([to, body, topic]))}`, event: 'decision.notification', at, text: `${pdp} about ${identityOf(principal)}: ${topic === null ? '' : `${topic}: `}${body}`, link: null, data }
}
