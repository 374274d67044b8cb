// A request is taken from the rates of its place once, however often it is judged: at once, or on a route of MCP from those of the route before its message is
// read, which is work too, and from those of its rule when that is known. SPEC: RAT1
import type { Place } from '../core/route.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Ask } from './ask.ts'
import type { ProxyRoom } from './room.ts'

const NONE = [] as const

const ofRule = (place: Place): Place | null => (place.rule === null || place.rule.rates.length === 0 ? null : { ...place, route: { ...place.route, rates: NONE } })

/** What is taken now; null for nothing more. */
function partOf({ rated }: Ask, place: Place, isUnread: boolean): Place | null {
  switch (rated) {
    case 'not': return isUnread ? { ...place, rule: null } : place
    case 'route': return isUnread ? null : ofRule(place)
    case 'all': return null
  }
}

/** @returns whether there is something left of all of them */
export function passesRates({ rates }: Pick<ProxyRoom, 'rates'>, ask: Ask, place: Place, live: LiveSession | null): boolean {
  const isUnread = place.route.mcp !== null && ask.message === null
  const part = partOf(ask, place, isUnread)
  if (part !== null) ask.short = rates.take(part, live)
  if (ask.rated !== 'all') ask.rated = isUnread ? 'route' : 'all'
  return ask.short === null
}
