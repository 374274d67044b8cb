// Folding facts into records. transition() decides facts and uses this same fold, so the log alone rebuilds what is stored.
// SPEC: AUD1
import type { Anchor, Lock } from './anchor.ts'
import { type Elevation, type ElevationId, type ElevationState, isOver, ownBudget } from './elevation.ts'
import type { AnchorFact, LockFact, SessionFact } from './fact.ts'
import { withChanges } from './overlay.ts'
import { ENDED_ELEVATIONS_KEPT, LIVE, NO_CAP, type Session } from './session.ts'
import { isCovering, STEP_UPS_KEPT, type StepUp, type StepUpId, type StepUpState } from './step-up.ts'
import { withTaint } from './taint.ts'
import { type Instant, instant, later } from './time.ts'
import { withWord } from './tools.ts'

type Opened = Extract<SessionFact, { what: 'session.opened' }>

const opened = (fact: Opened): Session => ({
  record: 'session', key: fact.key, id: fact.session, epoch: fact.epoch, version: fact.version, principal: fact.principal, bindings: fact.bindings, aliases: fact.aliases, overlay: [], demand: null, brokered: fact.brokered, drifts: [],
  openedAt: fact.at, credential: fact.credential, endsAt: fact.endsAt, cap: NO_CAP, barred: [], frozen: null, elevations: [], stepUps: [], taints: [],
  state: LIVE, notBefore: fact.notBefore,
})

function withElevation(session: Session, id: ElevationId, change: (elevation: Elevation) => Elevation): readonly Elevation[] {
  return session.elevations.map(elevation => (elevation.id === id ? change(elevation) : elevation))
}

const moved = (session: Session, id: ElevationId, state: ElevationState): readonly Elevation[] =>
  withElevation(session, id, elevation => ({ ...elevation, state }))

const suspended = ({ state }: Elevation): ElevationState =>
  state.is === 'active' ? { is: 'suspended', since: state.since, until: state.until } : { is: 'suspended', since: null, until: null }

const resumed = (elevation: Elevation): ElevationState =>
  elevation.state.is === 'suspended' && elevation.state.since !== null && elevation.state.until !== null
    ? { is: 'active', since: elevation.state.since, until: elevation.state.until }
    : elevation.state

const extended = (elevation: Elevation, until: Extract<ElevationState, { is: 'active' }>['until']): Elevation =>
  elevation.state.is === 'active' || elevation.state.is === 'suspended'
    ? { ...elevation, state: { ...elevation.state, until } as ElevationState } // same variant, only its end moves
    : elevation

const approved = (elevation: Elevation, { approver, at, stage, shown, claims, revision, adds, for: span, uses, params }: Extract<SessionFact, { what: 'elevation.approved' }>): Elevation =>
  ({ ...elevation, adds, for: span, limits: { ...elevation.limits, uses }, budget: elevation.budget ?? (uses === null ? null : ownBudget(elevation, at)), params, revision, approvals: [...elevation.approvals, { by: approver, at, stage, shown, claims }] })

/** Room for one more: the oldest ended elevations make way. */
function added(session: Session, elevation: Elevation): readonly Elevation[] {
  const over = session.elevations.filter(isOver)
  const drop = new Set(over.slice(0, Math.max(0, over.length - ENDED_ELEVATIONS_KEPT)).map(({ id }) => id))
  return [...session.elevations.filter(({ id }) => !drop.has(id)), elevation]
}

/** Room for one more: the oldest that cover nothing make way first. */
function askedFor(stepUps: readonly StepUp[], one: StepUp, now: Instant): readonly StepUp[] {
  const over = stepUps.filter(({ state }) => state.is !== 'pending')
  const dropped = [...over.filter(stepUp => !isCovering(stepUp, now)), ...over.filter(stepUp => isCovering(stepUp, now))].slice(0, Math.max(0, over.length - STEP_UPS_KEPT + 1))
  const drop = new Set(dropped.map(({ id }) => id))
  return [...stepUps.filter(({ id }) => !drop.has(id)), one]
}

const withStepUp = ({ stepUps }: Session, id: StepUpId, change: (stepUp: StepUp) => Partial<StepUp>): Partial<Session> =>
  ({ stepUps: stepUps.map(stepUp => (stepUp.id === id ? { ...stepUp, ...change(stepUp) } : stepUp)) })
const turned = (session: Session, id: StepUpId, state: StepUpState): Partial<Session> => withStepUp(session, id, () => ({ state }))

/** The mark of a revocation: an issuer's clock ahead of ours must not save the very credential that was revoked. */
const markAt = ({ credential, notBefore }: Session, at: Instant): Instant => later(at, later(notBefore ?? at, credential.issuedAt ?? at))

function changed(session: Session, fact: Exclude<SessionFact, Opened>): Partial<Session> {
  switch (fact.what) {
    case 'credential.renewed': return { credential: fact.credential }
    case 'binding.drifted': return { drifts: [...session.drifts, fact.drift] }
    case 'session.narrowed': return { cap: fact.cap, barred: fact.barred }
    case 'session.widened': return { cap: NO_CAP, barred: [] }
    case 'session.frozen': return { frozen: { since: fact.at, note: fact.note, until: fact.until } }
    case 'session.resumed': return { frozen: null }
    case 'session.shortened': return { endsAt: fact.endsAt }
    case 'session.lapsed': return { state: { is: 'lapsed', at: fact.at, reason: fact.reason } }
    case 'session.revoked': return { state: { is: 'revoked', at: fact.at, reason: fact.reason }, notBefore: markAt(session, fact.at) }
    case 'mark.cleared': return { notBefore: null }
    case 'elevation.requested': return { elevations: added(session, fact.elevation) }
    case 'elevation.approved':
      return { elevations: withElevation(session, fact.elevation, e => approved(e, fact)) }
    case 'elevation.spent': return { elevations: withElevation(session, fact.elevation, e => ({ ...e, spent: true })) }
    case 'elevation.scheduled': return { elevations: moved(session, fact.elevation, { is: 'scheduled', startsAt: fact.startsAt }) }
    case 'elevation.activated': return { elevations: moved(session, fact.elevation, { is: 'active', since: fact.at, until: fact.until }) }
    case 'elevation.suspended': return { elevations: withElevation(session, fact.elevation, e => ({ ...e, state: suspended(e) })) }
    case 'elevation.resumed': return { elevations: withElevation(session, fact.elevation, e => ({ ...e, state: resumed(e) })) }
    case 'elevation.extended': return { elevations: withElevation(session, fact.elevation, e => extended({ ...e, extended: e.extended || fact.once }, fact.until)) }
    case 'elevation.denied': return { elevations: moved(session, fact.elevation, { is: 'denied', at: fact.at }) }
    case 'elevation.withdrawn': return { elevations: moved(session, fact.elevation, { is: 'withdrawn', at: fact.at }) }
    case 'elevation.expired': return { elevations: moved(session, fact.elevation, { is: 'expired', at: fact.at }) }
    case 'session.tainted': return { taints: withTaint(session.taints, fact.taint, fact.at) }
    case 'taints.cleared': return { taints: fact.names === null ? [] : session.taints.filter(({ name }) => fact.names?.includes(name) === false) }
    case 'stepUp.asked': return { stepUps: askedFor(session.stepUps, fact.stepUp, fact.at) }
    case 'stepUp.answered': return withStepUp(session, fact.stepUp, ({ given }) => ({ given: [...given, fact.given] }))
    case 'stepUp.satisfied': return turned(session, fact.stepUp, { is: 'satisfied', at: fact.at, until: fact.until })
    case 'stepUp.denied': return turned(session, fact.stepUp, { is: 'denied', at: fact.at, by: fact.denier })
    case 'stepUp.expired': return turned(session, fact.stepUp, { is: 'expired', at: fact.at })
    case 'stepUp.used': return withStepUp(session, fact.stepUp, ({ used }) => ({ used: [...used, fact.exchange] }))
    case 'stepUp.returned': return withStepUp(session, fact.stepUp, ({ used }) => ({ used: used.filter(exchange => exchange !== fact.exchange) }))
    case 'claims.changed': return { overlay: withChanges(session.overlay, fact.changes) }
    case 'proof.demanded': return { demand: fact.demand }
    case 'proof.given': return { demand: null }
    case 'elevation.ended': return { elevations: moved(session, fact.elevation, { is: 'ended', at: fact.at, reason: fact.reason }) }
  }
}

/** @throws TypeError when the first fact of a record is not its birth: the log is incomplete. */
export function applyToSession(session: Session | null, fact: SessionFact): Session {
  if (fact.what === 'session.opened') return opened(fact)
  if (session === null) throw new TypeError(`the log begins with ${fact.what}, before the session was opened`)
  return { ...session, ...changed(session, fact), version: fact.version }
}

export function applyToAnchor(anchor: Anchor | null, fact: AnchorFact): Anchor {
  const ended = fact.what === 'anchor.ended'
  const matter = 'tool' in fact ? withWord(anchor?.matter ?? null, fact.what, fact.tool, fact.digest, fact) : (fact.matter ?? anchor?.matter ?? null)
  if ((fact.what === 'anchor.told' || 'tool' in fact) && anchor !== null) return { ...anchor, version: fact.version, matter }
  return {
    record: 'anchor', kind: fact.kind, name: fact.name, version: fact.version, state: ended ? 'ended' : 'open', matter,
    generation: ended ? instant(Math.max(fact.at, (anchor?.generation ?? 0) + 1)) : (anchor?.generation ?? instant(0)), since: fact.at, note: fact.note,
  }
}

/** @throws TypeError when a lock is lifted that the log never set. */
export function applyToLock(lock: Lock | null, fact: LockFact): Lock {
  if (fact.what === 'lock.set') {
    const { version, selector, effect, reason, note, by, at, until } = fact
    return { record: 'lock', id: fact.lock, selector, version, state: 'set', effect, reason, note, by, since: at, until }
  }
  if (lock === null) throw new TypeError('the log lifts a lock it never set')
  return { ...lock, version: fact.version, state: 'lifted', note: fact.note, by: fact.by }
}

/** The record these facts tell of, or null when there are none. */
export const replaySession = (facts: readonly SessionFact[]): Session | null => facts.reduce<Session | null>(applyToSession, null)
