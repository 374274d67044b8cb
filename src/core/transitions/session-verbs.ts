// narrow, widen, freeze, resume, shorten. Cap and freeze are independent; clocks run on; nothing that ended meanwhile revives. SPEC: ENF5-ENF7
import type { SessionHappening } from '../fact.ts'
import { type Cap, cappedTo, NO_CAP, type Session } from '../session.ts'
import type { SignalOf } from '../signal.ts'
import { intersection, scopeOf } from '../scope.ts'
import { resumeAll, suspendFor } from './elevations.ts'
import { NOTHING, reject, type SessionRule } from './rule.ts'

type Narrowing = SignalOf<'session.narrowed'>

/** Caps only ever tighten; `widen` is the one way back. */
function tightened(cap: Cap, to: Narrowing['to']): Cap {
  if (to === null) return cap
  const held = cappedTo(cap)
  if (to === 'baseline') return { is: 'baseline', scopes: held }
  const scopes = held === null ? scopeOf(to) : intersection(held, scopeOf(to))
  return cap.is === 'baseline' ? { is: 'baseline', scopes } : { is: 'scopes', scopes }
}

export const narrow: SessionRule<Narrowing> = (session, signal) => {
  const unknown = signal.elevations.find(id => !session.elevations.some(elevation => elevation.id === id))
  const cap = tightened(session.cap, signal.to)
  const named = session.elevations.filter(({ id }) => signal.elevations.includes(id)).map(({ profile }) => profile)
  const barred = scopeOf([...session.barred, ...named])
  const same = JSON.stringify([cap, barred]) === JSON.stringify([session.cap, session.barred])
  if (same) return unknown === undefined ? NOTHING : reject('not_found', `no elevation ${unknown} in this session`)
  return [{ what: 'session.narrowed', cap, barred }, ...suspendFor(session, ({ profile }) => cap.is === 'baseline' || barred.includes(profile))]
}

const isCapped = ({ cap, barred }: Session): boolean => cap.is !== 'none' || barred.length > 0

export const widen: SessionRule<SignalOf<'session.widened'>> = (session, _signal, now) =>
  isCapped(session) ? [{ what: 'session.widened' }, ...resumeAll({ ...session, cap: NO_CAP, barred: [] }, now)] : NOTHING

export const freeze: SessionRule<SignalOf<'session.frozen'>> = (session, { until }) =>
  session.frozen === null ? [{ what: 'session.frozen', until }] : NOTHING

export const resume: SessionRule<SignalOf<'session.resumed'>> = session => (session.frozen === null ? NOTHING : [{ what: 'session.resumed' }])

export const shorten: SessionRule<SignalOf<'session.shortened'>> = (session, { endsAt }): readonly SessionHappening[] =>
  endsAt < session.endsAt ? [{ what: 'session.shortened', endsAt }] : NOTHING
