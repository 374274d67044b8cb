// Which grant carries a request: baseline first, then active elevations that add the scope and whose purpose the request shows,
// earliest end first. The condition is asked once per candidate; the first that holds is the grant. SPEC: DEC4, DEC5, PUR2, ELV6, ENF8
import { traitsOf, underOf } from './call.ts'
import type { Case } from './checks/check.ts'
import type { Condition } from './condition.ts'
import { type Grant, refuse, type Refusal } from './decision.ts'
import { type Carrier, type Effective, limitOf } from './effective.ts'
import type { Elevation } from './elevation.ts'
import { keptToBaseline } from './locks.ts'
import { PURPOSE_KINDS, purposeFit } from './purpose.ts'
import { type Reason, REASONS } from './reason.ts'
import type { Rule } from './route.ts'
import { covers, type ScopeName } from './scope.ts'
import { earlier, FOREVER, type Instant } from './time.ts'

type Choice = { readonly grant: Grant; readonly until: Instant }

const BASELINE: Choice = { grant: { is: 'baseline' }, until: FOREVER }
export const ANONYMOUS: Choice = { grant: { is: 'anonymous' }, until: FOREVER }

function asked(condition: Condition, c: Case, standing: Effective, elevation: Elevation | null): Reason | null {
  if (elevation === null && condition.readsElevation) return 'condition_false'
  if (condition.readsBody && c.place.rule?.inspect == null) return 'condition_error'
  if (condition.readsBody && c.evaluation.context.body === null) return null // it is read before the last look of the judge
  const { place: { route: { mcp }, params }, evaluation } = c
  const { call } = evaluation.action
  if (condition.readsArguments && call?.args === null) return null // asked what it might do
  if (condition.readsArguments && call?.args === 'forgotten') return 'condition_error' // a call that was made, and nobody can say with what
  const { session } = standing
  const answer = condition.test({ principal: session.principal, claims: c.claims, session: session.id, evaluation, params, elevation, traits: mcp === null || call === null ? null : traitsOf(mcp, call) })
  return answer === 'true' ? null : answer === 'false' ? 'condition_false' : 'condition_error'
}

/** Why the baseline does not carry this request, where it holds the scope. */
export const misfitOfBaseline = (c: Case, rule: Rule, standing: Effective): Reason | null => (rule.condition === null ? null : asked(rule.condition, c, standing, null))

const isSigned = ({ proofs }: Elevation): boolean => PURPOSE_KINDS.some(kind => proofs[kind] === 'signed')

/** Why this elevation does not carry this request; null when it does. One whose uses are spent carries what it carries already. */
export function misfit(c: Case, rule: Rule, standing: Effective, { elevation }: Pick<Carrier, 'elevation'>): Reason | null {
  const { evidence, context } = c.evaluation
  if (elevation.spent && c.held !== elevation.id && underOf(c.evaluation.action.call) !== elevation.id) return 'limit_reached'
  if (elevation.keyThumbprint !== null && elevation.keyThumbprint !== evidence?.keyThumbprint) return 'binding_broken'
  if (elevation.workload !== null && elevation.workload !== context.workload) return 'binding_broken'
  if (context.purposesUntil <= c.now && isSigned(elevation)) return 'purpose_over'
  const fit = purposeFit(elevation.purposes, context.purposes)
  if (fit !== 'shown') return fit === 'missing' ? 'purpose_missing' : 'purpose_mismatch'
  return rule.condition === null ? null : asked(rule.condition, c, standing, elevation)
}

type Candidate = Carrier | 'baseline'

/** In the order in which they are tried; the one that carries the exchange already comes first. */
function candidates(c: Case, standing: Effective, scope: ScopeName | null): readonly Candidate[] {
  if (scope === null) return ['baseline']
  const adding: readonly Candidate[] = standing.carriers.filter(({ carries }) => covers(carries, scope))
  const all = covers(standing.baseline, scope) ? (['baseline', ...adding] as const) : adding
  if (c.held === null) return all
  const held = all.find(candidate => candidate !== 'baseline' && candidate.elevation.id === c.held)
  return held === undefined ? all : [held, ...all.filter(candidate => candidate !== held)]
}

/** Ends that a caller which shows the same purpose again is told of: they say more than that an elevation is missing. */
const TOLD: ReadonlySet<Reason> = new Set<Reason>(['window_closed', 'purpose_over', 'ticket_closed', 'ticket_changed', 'ticket_stale'])

/** Why the newest elevation that added the scope for this purpose carries nothing; null where there is none, or it tells nothing. */
function lastEnd(c: Case, standing: Effective, scope: ScopeName): Reason | null {
  const last = standing.session.elevations.findLast(({ adds, purposes }) => covers(adds, scope) && purposeFit(purposes, c.evaluation.context.purposes) === 'shown')
  const reason = last === undefined ? null : (standing.lost.get(last.id) ?? null)
  return reason !== null && TOLD.has(reason) ? reason : null
}

/** Faults of the elevations there are, not of a new one. */
const ANOTHER_OPENS: ReadonlySet<Reason> = new Set<Reason>(['limit_reached', 'purpose_mismatch'])
const isAdded = ({ policy }: Case, scope: ScopeName): boolean => [...policy.profiles.values()].some(({ adds }) => covers(adds, scope))

/** The scope is not there at all: was it taken by a narrowing, or never asked for? */
function withoutScope(c: Case, standing: Effective, scope: ScopeName): Refusal {
  const { elevations } = standing.session
  const { ceiling } = standing
  if (ceiling !== null && !covers(ceiling, scope)) return refuse(covers(standing.held, scope) ? 'frozen' : 'elevation_required') // no elevation lifts what a broker or a parent leaves
  const limit = limitOf(standing.session, standing.level?.acts ?? null)
  if (limit !== null && !covers(limit, scope)) return refuse('narrowed')
  const suspended = elevations.some(elevation => covers(elevation.adds, scope) && standing.lost.get(elevation.id) === 'narrowed')
  if (suspended) return refuse('narrowed')
  const ended = lastEnd(c, standing, scope)
  return refuse(ended ?? 'elevation_required', isAdded(c, scope))
}

/** Why nothing carries it where what adds the scope is held for now, by a lock or because its ticket's source is silent; null when none adds it. */
function heldBack(c: Case, rule: Rule, standing: Effective, scope: ScopeName): Reason | null {
  const held = standing.frozen.filter(({ carries }) => covers(carries, scope))
  const reasons = held.map(carrier => misfit(c, rule, standing, carrier))
  const first = held[reasons.indexOf(null)]
  return first === undefined ? (reasons[0] ?? null) : (standing.lost.get(first.elevation.id) ?? 'frozen')
}

/** A purpose that is signed counts for its time. */
export const shownUntil = (elevation: Elevation, { evaluation: { context } }: Case): Instant => (isSigned(elevation) ? context.purposesUntil : FOREVER)

const carriedBy = ({ elevation, until, schedules }: Carrier, c: Case): Choice =>
  ({ grant: { is: 'elevation', elevation, schedules }, until: earlier(until, shownUntil(elevation, c)) })

export function chooseGrant(c: Case, rule: Rule, given: Effective): Choice | Refusal {
  const kept = keptToBaseline(c.locks, c.place.route.name, c.evaluation, given.session.principal, c.now) // by route or by what is shown; a lock on the session is part of its standing
  const standing: Effective = kept ? { ...given, carriers: [], frozen: [] } : given
  let first: Reason | null = null
  for (const candidate of candidates(c, standing, rule.scope)) {
    const reason = candidate === 'baseline' ? misfitOfBaseline(c, rule, standing) : misfit(c, rule, standing, candidate)
    if (reason !== null) first ??= reason
    else if (candidate === 'baseline') return BASELINE
    else return carriedBy(candidate, c)
  }
  const { scope } = rule
  if (scope === null) return refuse(first ?? 'denied')
  const held = heldBack(c, rule, standing, scope)
  const fault = held !== null && REASONS[held].loss === 'freeze' ? held : (first ?? held)
  if (fault !== null) return refuse(fault, ANOTHER_OPENS.has(fault) && isAdded(c, scope))
  return kept && [...given.carriers, ...given.frozen].some(({ carries }) => covers(carries, scope)) ? refuse('narrowed') : withoutScope(c, standing, scope)
}
