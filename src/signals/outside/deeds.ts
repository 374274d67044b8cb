// What an effect is as news of one session. Pure. SPEC: OUT3, OUT5, OUT6
import { isOver } from '../../core/elevation.ts'
import { type Effect, isAfter, type OutsideEvent, TRUST_CHANGED } from '../../core/outside.ts'
import type { Scope } from '../../core/scope.ts'
import type { Session } from '../../core/session.ts'
import type { SessionNews } from '../../core/signal.ts'
import { after, type Duration, type Instant } from '../../core/time.ts'

/** `part` tells it from everything else that follows from the event in that session. */
type Deed = { readonly part: string; readonly news: SessionNews }

type Terms = { readonly now: Instant; /** How long a session is frozen that nobody says how long for. */ readonly frozenFor: Duration }

const adds = (scopes: Scope | null, added: Scope): boolean => scopes === null || added.some(scope => scopes.includes(scope))

function endings({ elevations }: Session, scopes: Scope | null, { type }: OutsideEvent, part: string): readonly Deed[] {
  return elevations.filter(elevation => !isOver(elevation) && adds(scopes, elevation.adds))
    .map(({ id }) => ({ part: `${part}.${id}`, news: { kind: 'elevation.ended', elevation: id, reason: TRUST_CHANGED, because: type } }))
}

/** Whoever revoked, or asks for new proof, knew of a credential that was issued after it happened. @param nth which of the event's effects it is */
export function deedsOf(effect: Effect, nth: number, session: Session, event: OutsideEvent, { now, frozenFor }: Terms): readonly Deed[] {
  const part = String(nth)
  const isNewer = isAfter(session.credential.issuedAt, event)
  switch (effect.do) {
    case 'terminate': return isNewer ? [] : [{ part, news: { kind: 'session.terminated', reason: 'revoked_outside' } }]
    case 'freeze': return [{ part, news: { kind: 'session.frozen', until: after(now, effect.for ?? frozenFor) } }]
    case 'narrow': return [{ part, news: { kind: 'session.narrowed', to: effect.to ?? 'baseline', elevations: [] } }]
    case 'shorten': return [{ part, news: { kind: 'session.shortened', endsAt: after(event.takenAt, effect.to) } }]
    case 'endElevations': return endings(session, effect.scopes, event, part)
    case 'reproof': return isNewer ? [] : [{ part, news: { kind: 'proof.demanded', demand: { since: now, because: event.type, by: effect.by, all: false } } }]
    case 'claims': return [{ part, news: { kind: 'claims.changed', changes: Object.entries(effect.changes).map(([claim, value]) => ({ claim, value, at: event.at })) } }]
    case 'risk':
    case 'notify': return []
  }
}
