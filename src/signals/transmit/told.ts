// What facts of ours are to others: which event, of whom, and what it says. Values of purposes, claims and what a request showed never are. Pure. SPEC: TRM2
import type { Outgoing } from '../../audit/record.ts'
import type { ToldEvent } from '../../config/schema/signals.ts'
import type { Elevation } from '../../core/elevation.ts'
import type { AnchorFact, Fact, MatterFact, SessionFact } from '../../core/fact.ts'
import { identityOf, type Principal } from '../../core/principal.ts'
import type { RiskPolicy } from '../../core/risk.ts'
import type { Session, SessionId } from '../../core/session.ts'
import type { Instant } from '../../core/time.ts'
import type { Subject } from './subjects.ts'

/** An event as it is told to whoever may know of it. */
export type Telling = {
  readonly event: ToldEvent
  readonly subject: Subject
  readonly says: { readonly [claim: string]: unknown }
  /** Whose it is: `tenant` null where that is not known. */
  readonly issuer: string
  readonly tenant: string | null
  readonly txn: string
  /** Who brought the news that caused it, where it came from outside; null for everybody else. */
  readonly source: string | null
  /** What makes it the same one again. */
  readonly mark: string
}

/** A life as it was when the fact came about. */
type Life = { readonly id: SessionId; readonly principal: Principal; readonly elevations: readonly Elevation[] }

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
/** The event type as receivers know it; those of elevations are our own. */
export const typeOf = (issuer: string, event: ToldEvent): string => (event.startsWith('elevation-') ? `${issuer}/events/${event}` : `${CAEP}${event}`)

const seconds = (at: Instant): number => Math.floor(at / 1000)

const OUTSIDE = 'sig_out_'
const SPEAKER = 'signals:'
const OPERATOR = 'operator'

function sourceOf({ because, by }: Fact): string | null {
  return because.startsWith(OUTSIDE) && by.startsWith(SPEAKER) ? by.slice(SPEAKER.length) : null
}

/** People are named as `issuer|subject`; everybody else is a part of the gateway, or acts by its configuration. */
function initiatorOf(fact: Fact, principal: Principal): 'admin' | 'user' | 'policy' {
  if (sourceOf(fact) === OPERATOR) return 'admin'
  if (!fact.by.includes('|')) return 'policy'
  return fact.by === identityOf(principal) ? 'user' : 'admin'
}

const markOf = ({ ref, fact, part }: Outgoing): string => JSON.stringify([ref.kind, ref.name, fact.version, fact.at, part])

function subjectOf({ id, principal: { issuer, subject, tenant } }: Life): Subject {
  const named = { format: 'complex', session: { format: 'opaque', id }, user: { format: 'iss_sub', iss: issuer, sub: subject } } as const
  return tenant === '' ? named : { ...named, tenant: { format: 'opaque', id: tenant } }
}

type Saying = { readonly event: ToldEvent; readonly says: { readonly [claim: string]: unknown } }

function ofElevation(id: string, { elevations }: Life, event: ToldEvent, more: { readonly [claim: string]: unknown }): Saying {
  const elevation = elevations.find(each => each.id === id)
  const known = elevation === undefined ? {} : { profile: elevation.profile, purposes: Object.keys(elevation.purposes).toSorted() }
  return { event, says: { elevation: id, ...known, ...more } }
}

const because = (reason: string) => ({ reason_admin: { en: reason } })

function untilOf(id: string, { elevations }: Life): { readonly until?: number } {
  const state = elevations.find(each => each.id === id)?.state
  return state?.is === 'active' ? { until: seconds(state.until) } : {}
}

function sayingOf(fact: SessionFact, life: Life): Saying | null {
  const { what } = fact
  if (what === 'session.opened') return { event: 'session-established', says: { ext_id: life.id } }
  if (what === 'session.revoked' || what === 'session.lapsed') return { event: 'session-revoked', says: because(fact.reason) }
  if (what === 'binding.drifted') return { event: 'session-presented', says: { ext_id: life.id, ...because(`another ${fact.drift.binding} than it is bound to`) } }
  if (what === 'elevation.activated') return ofElevation(fact.elevation, life, 'elevation-granted', { until: seconds(fact.until) })
  if (what === 'elevation.resumed') return ofElevation(fact.elevation, life, 'elevation-granted', untilOf(fact.elevation, life))
  if (what === 'elevation.suspended') return ofElevation(fact.elevation, life, 'elevation-narrowed', {})
  return what === 'elevation.ended' ? ofElevation(fact.elevation, life, 'elevation-ended', because(fact.reason)) : null
}

const OF_SESSIONS: ReadonlySet<Fact['what']> = new Set<Fact['what']>(['session.opened', 'session.revoked', 'session.lapsed', 'binding.drifted', 'elevation.activated', 'elevation.resumed', 'elevation.suspended', 'elevation.ended'])

/** Is it anything to others? */
export const isTold = ({ ref, fact }: Outgoing): boolean => (ref.kind === 'session' ? OF_SESSIONS.has(fact.what) : isOfRisk(fact))

/** @param record its session now: it may be another life under the same key by then, of which this is not said */
export function ofSession(outgoing: Outgoing, record: Session | null): Telling | null {
  const fact = outgoing.fact as SessionFact // a session's record comes with facts of it
  const life: Life | null = fact.what === 'session.opened' ? { id: fact.session, principal: fact.principal, elevations: [] } : record !== null && record.openedAt <= fact.at ? record : null
  const saying = life === null ? null : sayingOf(fact, life)
  if (life === null || saying === null) return null
  const { issuer, tenant } = life.principal
  const says = { event_timestamp: seconds(fact.at), initiating_entity: initiatorOf(fact, life.principal), ...saying.says }
  return { event: saying.event, subject: subjectOf(life), says, issuer, tenant, txn: fact.because, source: sourceOf(fact), mark: markOf(outgoing) }
}

// ---- risk

export type RiskWord = 'LOW' | 'MEDIUM' | 'HIGH'

/** News of a principal is of other things too. */
export function isOfRisk(fact: Fact): fact is MatterFact {
  if (fact.what !== 'anchor.told' || fact.matter?.is !== 'principal') return false
  return /^sig_(rose|fell)_/.test(fact.because) || fact.matter.clearedAt === fact.at
}

/** The upper half of the levels is HIGH, the lower MEDIUM, none LOW. */
export function riskWord({ levels }: Pick<RiskPolicy, 'levels'>, at: number | null): RiskWord {
  if (at === null) return 'LOW'
  const place = levels.filter(level => level.at <= at).length
  return place * 2 > levels.length ? 'HIGH' : 'MEDIUM'
}

/** Whom it is about, and how it was before, as far as that is known. */
export type Person = { readonly issuer: string; readonly subject: string; readonly tenant: string | null; readonly was: RiskWord | null }

/** `issuer|subject`: no issuer has a bar in it, subjects may. */
export function personNamed(who: string): Omit<Person, 'was'> | null {
  const at = who.indexOf('|')
  return at <= 0 ? null : { issuer: who.slice(0, at), subject: who.slice(at + 1), tenant: null }
}

/** null where it is to others as it was. */
export function ofRisk(outgoing: Outgoing, fact: AnchorFact, { issuer, subject, tenant, was }: Person, now: RiskWord): Telling | null {
  if (now === was) return null
  const level = 'matter' in fact && fact.matter?.is === 'principal' ? fact.matter.level : null
  const says = { event_timestamp: seconds(fact.at), initiating_entity: fact.by.includes('|') ? 'admin' : 'policy', principal: 'USER', current_level: now, ...(was === null ? {} : { previous_level: was }), ...(level === null ? {} : { risk_reason: level.name }) }
  return { event: 'risk-level-change', subject: { format: 'iss_sub', iss: issuer, sub: subject }, says, issuer, tenant, txn: fact.because, source: sourceOf(fact), mark: markOf(outgoing) }
}
