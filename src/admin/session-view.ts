// Sessions, elevations and exchanges as operators read them. The one reader of state behind them is core/effective.ts, through the mirror.
// Holds no credential and no claim, only ids and digests. SPEC: ADM12
import { shownDigest } from '../approvals/shown.ts'
import { grantName } from '../core/decision.ts'
import { type Carrier, effective, type Effective } from '../core/effective.ts'
import type { Elevation } from '../core/elevation.ts'
import { chainOf } from '../core/principal.ts'
import { NO_SCOPE, scopeOf } from '../core/scope.ts'
import type { Session } from '../core/session.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { spanText, timeText } from './answer.ts'
import type { AdminRoom } from './room.ts'
import { trustView } from './trust-view.ts'

/** Exchanges told of one by one; beyond that only their number. */
const EXCHANGES_SHOWN = 200

type View = { readonly [member: string]: unknown }

const stateOf = (session: Session, { state }: Effective): string => (session.state.is === 'live' ? state : session.state.is)

const reasonOf = (session: Session, { reason }: Effective): string | null => (session.state.is === 'live' ? reason : session.state.reason)

export const principalView = ({ principal }: Session): View => {
  const { kind, issuer, subject, tenant, client, owner } = principal
  return { kind, issuer, subject, tenant, client, owner, actors: chainOf(principal) }
}

/** Who opened it, where its own credential did not. */
const brokerView = ({ brokered }: Session): View =>
  brokered === null ? { broker: null, parent: null } : { broker: { name: brokered.broker, by: brokered.by, profiles: brokered.profiles, scopes: brokered.scopes, purpose: brokered.purposes }, parent: brokered.parent?.id ?? null }

/** What it is bound to, and what was shown in its place. */
const bindingView = ({ bindings, drifts }: Session): View => ({ bindings, drifts })

/** Conditions nobody has in memory are taken as the record has them. */
const AS_RECORDED = { find: () => null }

/** A row of the list: the judge's own view where the session is in memory, else the same reader over what is stored. */
export function sessionRow({ mirror, inflight, clock }: Pick<AdminRoom, 'mirror' | 'inflight' | 'clock'>, session: Session): View {
  const live = mirror.byId(session.id)
  const now = clock.now()
  const standing = live === null ? effective(session, NO_SCOPE, AS_RECORDED, mirror.locks, mirror.policy, now, { is: 'unasked' }) : mirror.effective(live, now)
  return {
    id: session.id, state: stateOf(session, standing), reason: reasonOf(session, standing), principal: principalView(session), openedAt: timeText(session.openedAt), endsAt: timeText(session.endsAt),
    cap: session.cap.is, frozen: session.frozen !== null, elevations: standing.carriers.length, exchanges: live === null ? 0 : inflight.of(live).length, version: session.version, ...brokerView(session), ...bindingView(session),
  }
}

function stateTimes({ state }: Elevation): View {
  switch (state.is) {
    case 'requested': return { expiresAt: timeText(state.expiresAt) }
    case 'scheduled': return { startsAt: timeText(state.startsAt) }
    case 'active':
    case 'suspended': return { since: timeText(state.since), until: timeText(state.until) }
    case 'ended': return { endedAt: timeText(state.at), reason: state.reason }
    case 'denied':
    case 'withdrawn':
    case 'expired': return { endedAt: timeText(state.at) }
  }
}

/** @param carrier what it carries now; null when it carries nothing. @param exchanges those standing on it, or null where nobody counted */
export function elevationView(session: Session, elevation: Elevation, carrier: Carrier | null, lost: string | null, exchanges: number | null): View {
  const { id, profile, state, adds, purposes, params, requestedAt, requestedBy, because, stages, approvals, revision, limits, spent, unasked, within, startsAt, endsBy, recording, afterEnd, checked, held } = elevation
  return {
    id, session: session.id, principal: principalView(session), profile, state: state.is, ...stateTimes(elevation), adds, carries: carrier?.carries ?? [], lost, purposes, params,
    for: spanText(elevation.for), max: spanText(elevation.max), requestedAt: timeText(requestedAt), requestedBy, because, stages, revision, shown: shownDigest(session, elevation), limits, spent, unasked, within,
    startAt: timeText(startsAt), endsBy: timeText(endsBy), recording, held, afterEnd: afterEnd === null ? null : { profile: afterEnd.profile, uses: afterEnd.uses, for: spanText(afterEnd.for) },
    ticket: checked === null ? null : { facts: checked.facts, source: checked.source, seenAt: timeText(checked.seenAt) },
    approvals: approvals.map(({ by, at, stage, shown }) => ({ by, at: timeText(at), stage, shown })), exchanges,
  }
}

const exchangeView = (exchange: Exchange): View => ({
  id: exchange.id, route: exchange.place.route.name, rule: exchange.place.rule?.name ?? null, method: exchange.evaluation.action.method, kind: exchange.kind, grant: grantName(exchange.permit.grant),
  state: exchange.state, reason: exchange.reason, bytesUp: exchange.bytesUp, bytesDown: exchange.bytesDown, since: timeText(exchange.openedAt),
})

type Standing = { readonly standing: Effective; readonly exchanges: readonly Exchange[] }

function standingOf({ mirror, inflight, clock }: AdminRoom, live: LiveSession): Standing {
  return { standing: mirror.effective(live, clock.now()), exchanges: inflight.of(live).toSorted((a, b) => a.openedAt - b.openedAt) }
}

/** An elevation of a session this gateway has in memory. */
export function elevationOf(room: AdminRoom, live: LiveSession, elevation: Elevation, { standing, exchanges }: Standing = standingOf(room, live)): View {
  const carrier = standing.carriers.find(each => each.elevation.id === elevation.id) ?? null
  const on = exchanges.filter(({ permit: { grant } }) => grant.is === 'elevation' && grant.elevation.id === elevation.id).length
  return elevationView(live.record, elevation, carrier, standing.lost.get(elevation.id) ?? null, on)
}

/** Scopes are null while no credential of the session was verified here: its baseline is not known. */
export function scopesOf(live: LiveSession, { baseline, carriers, state }: Effective): View {
  if (live.knownClaims === null) return { baseline: null, now: null }
  return { baseline, now: state === 'live' ? scopeOf([...baseline, ...carriers.flatMap(({ carries }) => carries)]) : [] }
}

export function sessionView(room: AdminRoom, live: LiveSession): View {
  const session = live.record
  const both = standingOf(room, live)
  const { standing, exchanges } = both
  return {
    id: session.id, state: stateOf(session, standing), reason: reasonOf(session, standing), principal: principalView(session), openedAt: timeText(session.openedAt), endsAt: timeText(session.endsAt),
    credential: { id: session.credential.id, issuedAt: timeText(session.credential.issuedAt), endsAt: timeText(session.credential.expiresAt) }, notBefore: timeText(session.notBefore),
    cap: session.cap, barred: session.barred, frozen: session.frozen && { since: timeText(session.frozen.since), until: timeText(session.frozen.until), note: session.frozen.note },
    scopes: scopesOf(live, standing), elevations: session.elevations.map(elevation => elevationOf(room, live, elevation, both)),
    exchanges: exchanges.slice(0, EXCHANGES_SHOWN).map(exchangeView), exchangesOpen: exchanges.length, version: session.version, ...brokerView(session), ...bindingView(session), ...trustView(room, live, standing),
  }
}
