// What the two event streams of a caller tell: everything of its session, or how one elevation stands that it holds. SPEC: ADM2, ELV15, ELV16
import { type Elevation, type ElevationId, isOver } from '../../core/elevation.ts'
import type { Fact } from '../../core/fact.ts'
import type { Heard } from '../../enforcement/hub.ts'
import type { ProxyRoom } from '../room.ts'
import { stepUpAnswer } from '../step-up-text.ts'
import { elevationAnswer } from './answers.ts'
import type { Callers, Known } from './callers.ts'
import type { Hearing, Told } from './events.ts'
import { type Due, Expiry } from './expiring.ts'

const NOTHING: readonly Told[] = []

/** What an approver's credential said of him is for gateways alone, and so is who must not answer. */
function forCaller(fact: Fact): unknown {
  if (fact.what === 'elevation.requested') return { ...fact, elevation: { ...fact.elevation, approvals: fact.elevation.approvals.map(each => ({ ...each, claims: {} })) } }
  if (fact.what === 'stepUp.asked') return { ...fact, stepUp: stepUpAnswer(fact.stepUp) }
  return fact.what === 'elevation.approved' ? { ...fact, claims: {} } : fact
}

const happened = (heard: Heard, session: string): readonly Told[] => {
  if (heard.session !== session) return NOTHING
  return heard.is === 'announced'
    ? heard.announcement.facts.map(fact => ({ event: fact.what, data: forCaller(fact) }))
    : [{ event: `exchange.${heard.what}`, data: { exchange: heard.exchange, route: heard.route, grant: heard.grant, reason: heard.reason } }]
}

const warnings = (told: Due['told']): readonly Told[] => told.map(data => ({ event: 'elevation.expiring', data }))

type Parts = { readonly callers: Callers; readonly mirror: ProxyRoom['mirror'] }

function dueFor({ callers, mirror }: Parts, known: Known, only: ElevationId | null): Hearing['due'] {
  const expiry = new Expiry()
  return () => {
    const { told, next } = expiry.due(callers.effective(callers.current(known)), mirror.policy, callers.now)
    return { told: warnings(only === null ? told : told.filter(({ elevation }) => elevation === only)), next }
  }
}

export function sessionStory(parts: Parts, known: Known): Hearing {
  const { callers } = parts
  return {
    session: known.life, allowed: () => callers.standing(known, 'events') === null, left: () => callers.left(known), now: () => callers.now,
    told: heard => happened(heard, known.life), standing: () => NOTHING, isOver: () => false, due: dueFor(parts, known, null),
  }
}

/** Whoever holds is there: the session is in use. */
export function heldStory(parts: Parts, known: Known, id: ElevationId): Hearing {
  const { callers } = parts
  const find = (): Elevation | undefined => callers.current(known).record.elevations.find(elevation => elevation.id === id)
  const due = dueFor(parts, known, id)
  let last = ''
  return {
    session: known.life, allowed: () => callers.standing(known, 'events') === null, left: () => callers.left(known), now: () => callers.now, told: () => NOTHING,
    standing: () => {
      const found = find()
      const text = found === undefined ? last : JSON.stringify(found)
      if (found === undefined || text === last) return NOTHING
      last = text
      return [{ event: 'elevation', data: elevationAnswer(found, callers.now) }]
    },
    isOver: () => {
      const found = find()
      return found === undefined || isOver(found)
    },
    due: () => {
      callers.current(known).lastSeen = callers.now
      return due()
    },
  }
}
